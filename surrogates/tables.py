"""The tables that step models are trained from: one of driven and one of idle steps."""

from dataclasses import dataclass, replace

from simcore.errors import DatasetError
from simcore.recording import Steps
from simcore.spec import CircuitSpec
from surrogates.bundle import Range
from surrogates.dataset import Dataset
from surrogates.frame import Frame, Table, fit_step_frame, step_table


@dataclass(frozen=True, slots=True)
class StepTables:
    """What the families of one graph have in common."""

    frame: Frame
    train: Table
    selection: Table
    ranges: Range
    """Of the training rows."""


def step_tables(dataset: Dataset) -> dict[str, StepTables]:
    """Return the tables of the graphs `driven` and `idle`; raises DatasetError where one would be empty.

    A static circuit does in an idle step what it does in a driven one: both graphs have the same table.
    """
    if dataset.spec.kind == "static":
        both = _tables(dataset, None)
        low, high = both.ranges.low, both.ranges.high
        longest = Range(low=(*low[:-1], 1.0), high=(*high[:-1], float(dataset.spec.max_idle_periods)))
        return {"driven": both, "idle": replace(both, ranges=longest)}
    return {name: _tables(dataset, idle) for name, idle in (("driven", False), ("idle", True))}


def _tables(dataset: Dataset, idle: bool | None) -> StepTables:
    spec = dataset.spec
    steps, held_out = (_rows(dataset.part_steps(part), idle, spec) for part in ("train", "selection"))
    frame = fit_step_frame(spec, steps, idle=bool(idle))
    train = step_table(spec, steps, frame.targets)
    low, high = train.x.min(axis=0), train.x.max(axis=0)
    ranges = Range(low=tuple(map(float, low)), high=tuple(map(float, high)))
    return StepTables(frame, train, step_table(spec, held_out, frame.targets), ranges)


def _rows(steps: Steps, idle: bool | None, spec: CircuitSpec) -> Steps:
    """Return the idle steps, the driven ones, or all for None."""
    if idle is None:
        return steps
    rows = steps.take(steps.idle == idle)
    if not len(rows):
        kind = "idle" if idle else "driven"
        raise DatasetError(f"the recording of '{spec.name}' has no {kind} steps in one of its parts")
    return rows

"""`circuit check --noise`: how far the reference differs from itself when nothing that matters is changed.

The same stimuli are replayed at other tolerances, with Gear integration, with all edges 1 ps later, and step
by step in closed loop. What then moves is numerical noise: no model of the circuit can be closer than that.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from simcore.bank import Floats, Raster, StepResult
from simcore.metrics import UNDEFINED, Figure, event_error, output_error, relative_error
from simcore.replay import stepped
from simcore.spec import CircuitSpec, PortKind, SolverPreset
from spice_ref.bank import Bench, SpiceBank, joined
from spice_ref.queue import JobQueue

LADDER = (3.0, 0.3, 0.1, 0.03)
"""Factors on the reltol of the preset in use."""
SHIFT_PS = 1


@dataclass(frozen=True, slots=True)
class Noise:
    """One variant against the preset in use, over all runs."""

    variant: str
    energy: Figure
    latency: Figure
    event: Figure
    output: Figure
    """Settled outputs only."""
    exact_runs: int
    """Runs whose every step agrees on its event."""
    n_runs: int
    ms_per_row: float
    """Solver CPU per step."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows of each run, and the solver CPU seconds of all."""

    steps: list[StepResult]
    cpu_s: float


def noise_of(
    spec: CircuitSpec,
    rasters: Sequence[Raster],
    queue: JobQueue,
    accuracy: str = "std",
    progress: Callable[[float], None] = lambda _: None,
) -> list[Noise]:
    """Return one row per variant, the preset itself first; a static circuit has tolerances only."""
    base = replayed(spec, accuracy, rasters, queue)
    variants = list(_variants(spec, spec.solver[accuracy]))
    has_loop = spec.kind == "dynamic"
    found = [against(spec, accuracy, base, base)]
    for done, (name, preset, shift_ps) in enumerate(variants, 1):
        other = spec.model_copy(update={"solver": {"variant": preset}})
        answer = replayed(other, "variant", rasters, queue, shift_ps)
        found.append(against(spec, name, base, answer))
        progress(done / (len(variants) + has_loop))
    if has_loop:
        found.append(against(spec, "closed loop", base, closed(spec, accuracy, rasters, queue)))
        progress(1.0)
    return found


def _variants(spec: CircuitSpec, preset: SolverPreset) -> Iterator[tuple[str, SolverPreset, int]]:
    """Yield name, preset and shift of the edges (ps) of each variant."""

    def changed(**options: float | str) -> SolverPreset:
        return preset.model_copy(update={"options": {**preset.options, **options}})

    reltol = float(preset.options.get("reltol", 1e-3))
    for factor in LADDER:
        exact = {"bypass": 0} if factor < 1 and "bypass" in preset.options else {}  # else it may not converge
        yield f"reltol {reltol * factor:g}", changed(reltol=reltol * factor, **exact), 0
    for name, other in spec.solver.items():
        if other != preset:
            yield name, other, 0
    if spec.kind == "dynamic":
        if preset.options.get("method") == "gear":
            yield "trapezoidal", changed(method="trap"), 0
        else:
            yield "Gear", changed(method="gear"), 0
        yield f"edges +{SHIFT_PS} ps", preset, SHIFT_PS


def replayed(
    spec: CircuitSpec, accuracy: str, rasters: Sequence[Raster], queue: JobQueue, shift_ps: int = 0
) -> Answer:
    """Return the open-loop answer to some rasters, all their edges `shift_ps` later."""
    bench = Bench(spec, accuracy, queue)
    task = bench.sweep if spec.kind == "static" else bench.transient
    shift = (shift_ps,) if shift_ps else ()
    tasks = (task(raster, bench.probe, *shift) for raster in rasters)
    steps: dict[int, StepResult] = {}
    cpu_s = 0.0
    for place, trace, seconds in queue.as_completed(tasks):
        steps[place] = joined([trace.measured], spec)
        cpu_s += seconds
    return Answer([steps[place] for place in range(len(rasters))], cpu_s)


def closed(spec: CircuitSpec, accuracy: str, rasters: Sequence[Raster], queue: JobQueue) -> Answer:
    """Return the closed-loop answer to some rasters, step by step."""
    bank = SpiceBank(Bench(spec, accuracy, queue), np.stack([raster.params for raster in rasters]))
    bank.reset()
    before = queue.cpu_s
    return Answer(stepped(bank, rasters), queue.cpu_s - before)


def against(spec: CircuitSpec, name: str, base: Answer, other: Answer) -> Noise:
    """Set a variant against the preset in use; each run counts as one sample."""
    ours, theirs = (_columns(answer.steps) for answer in (base, other))
    run = np.repeat(np.arange(len(base.steps)), [len(steps.fired) for steps in base.steps])
    fired, also = ours["fired"] > 0, theirs["fired"] > 0
    timed = fired & also & ~np.isnan(ours["latency_s"] + theirs["latency_s"])
    span = float(spec.high(PortKind.OUTPUT)[0] - spec.low(PortKind.OUTPUT)[0])
    detector = spec.of(PortKind.OUTPUT)[0].detector
    is_level = detector is not None and detector.kind == "settled"
    return Noise(
        variant=name,
        energy=relative_error(ours["energy_j"], theirs["energy_j"], run),
        latency=relative_error(ours["latency_s"][timed], theirs["latency_s"][timed], run[timed]),
        event=event_error(fired, also, fired | also, run),
        output=output_error(ours["output"], theirs["output"], span, run) if is_level else UNDEFINED,
        exact_runs=len(base.steps) - len(np.unique(run[fired != also])),
        n_runs=len(base.steps),
        ms_per_row=1e3 * other.cpu_s / len(run),
    )


def _columns(steps: Sequence[StepResult]) -> dict[str, Floats]:
    return {
        "fired": np.concatenate([part.fired for part in steps]).astype(np.float64),
        "latency_s": np.concatenate([part.latency_s for part in steps]),
        "energy_j": np.concatenate([part.supply_j + part.input_j for part in steps]),
        "output": np.concatenate([part.outputs[:, 0] for part in steps]),
    }

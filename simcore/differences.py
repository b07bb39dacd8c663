"""What a unit of a run did against what the reference does on the same input: sums over its steps."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simcore.bank import Floats, RasterResult
from simcore.clock import seconds
from simcore.ledger import TraceRows


@dataclass(frozen=True, slots=True)
class Difference:
    """One unit in one sample, both sides on the input that the run's unit received, from reset."""

    run_j: float
    """Supply + input energy."""
    reference_j: float
    wrong_j: float
    """Sum of |difference| over the steps."""
    scale_j: float
    """Sum of |reference| over the steps."""
    run_events: float
    in_time: float
    """The run's events that are no late ones, as the totals of a run count them."""
    reference_events: float
    wrong_steps: float
    """Steps in which one side fired and the other did not."""
    run_latency_s: float
    """Sum over the run's events in time."""
    reference_latency_s: float
    """Sum over the events that both have."""
    wrong_latency_s: float
    """Sum of |difference| over the events that both have."""
    squared: float
    """Sum of the squared differences of the output level, in V^2 or whatever its unit is."""
    levels: float
    """Steps that count for it: driven ones that are no return to reset."""


def difference(rows: TraceRows, reference: RasterResult, period_ps: int) -> Difference:
    """Compare the rows of a unit, in order of time, with the reference's answer to the same raster."""
    steps = reference.steps
    energy, truth = rows.supply_j + rows.input_j, steps.supply_j + steps.input_j
    latency = steps.latency_s + _lag(rows) * seconds(period_ps)
    both = rows.fired & steps.fired & ~np.isnan(rows.latency_s + latency)
    in_time = rows.fired & ~rows.merged
    timed = in_time & ~np.isnan(rows.latency_s)
    level = ~rows.idle & ~rows.gated
    moved = rows.outputs[level, 0] - steps.outputs[level, 0]
    return Difference(
        run_j=float(energy.sum()),
        reference_j=float(truth.sum()),
        wrong_j=float(np.abs(energy - truth).sum()),
        scale_j=float(np.abs(truth).sum()),
        run_events=float(rows.fired.sum()),
        in_time=float(in_time.sum()),
        reference_events=float(steps.fired.sum()),
        wrong_steps=float((rows.fired != steps.fired).sum()),
        run_latency_s=float(rows.latency_s[timed].sum()),
        reference_latency_s=float(latency[both].sum()),
        wrong_latency_s=float(np.abs(rows.latency_s - latency)[both].sum()),
        squared=float((moved**2).sum()),
        levels=float(level.sum()),
    )


def columns(differences: Sequence[Difference]) -> dict[str, Floats]:
    """Return each figure as an array, (n,)."""
    return {name: np.array([getattr(one, name) for one in differences]) for name in Difference.__slots__}


def _lag(rows: TraceRows) -> NDArray[np.int64]:
    """Return the periods from the last driven edge, or from the start, to each step."""
    driven = np.maximum.accumulate(np.where(rows.idle, 0, rows.step))
    return np.asarray(rows.step - driven)

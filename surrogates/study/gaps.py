"""Idle gaps: errors against their length, and whether one gap of a + b is what two gaps of a and b are."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simcore.bank import Floats, StepInput, StepResult
from surrogates.bundle import SurrogateBundle
from surrogates.runtime import SurrogateBank
from surrogates.study.heads import energy_j, state_spans
from surrogates.study.subject import Truth

SPLITS = 4096
"""Gaps that are cut in two."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Errors over gaps of `low` to `high` periods; None where undefined."""

    low: int
    high: int
    n: int
    energy: float | None
    """Sum of |difference| over sum of |reference|, supply + input."""
    state: float | None
    """RMS difference of all states at the end, over their ranges in the test part."""


def gap_errors(truth: Truth, oracle: StepResult) -> list[Gap]:
    """Return errors of idle steps that start from the reference's state, by length."""
    steps = truth.steps
    rows = np.flatnonzero(steps.idle)
    periods = steps.duration_ps[rows] // truth.spec.period_ps
    gap = (oracle.state - steps.state)[rows] / state_spans(truth)
    return _binned(periods, energy_j(oracle)[rows], energy_j(steps)[rows], gap)


def split_gaps(bundle: SurrogateBundle, truth: Truth, seed: int = 0) -> list[Gap]:
    """Return how far two gaps of a and b are from one gap of a + b, the model against itself.

    They start from states of the test part in which a gap begins. The circuit itself makes no difference.
    """
    steps, spec = truth.steps, truth.spec
    longest = int(steps.duration_ps[steps.idle].max(initial=0) // spec.period_ps)
    if longest < 2:
        return []
    rng = np.random.default_rng(seed)
    rows = rng.choice(np.flatnonzero(steps.idle), SPLITS)
    whole = np.exp(rng.uniform(np.log(2), np.log(longest + 1), SPLITS)).astype(np.int64).clip(2, longest)
    first = rng.integers(1, whole)
    once = _rest(bundle, truth, rows, [whole])
    twice = _rest(bundle, truth, rows, [first, whole - first])
    return _binned(whole, twice[0], once[0], (twice[1] - once[1]) / state_spans(truth))


def _rest(
    bundle: SurrogateBundle, truth: Truth, rows: NDArray[np.int64], gaps: list[NDArray[np.int64]]
) -> tuple[Floats, Floats]:
    """Return energy (k,) and state (k, n_state) after gaps of so many periods, one after the other."""
    start = truth.steps.take(rows)
    bank, units = SurrogateBank(bundle, truth.spec, start.params), np.arange(len(rows))
    bank.set_state(units, start.state_before)
    bank.set_outputs(units, start.outputs_before)
    results = [
        bank.step(StepInput(units, periods * truth.spec.period_ps, start.inputs, True)) for periods in gaps
    ]
    return np.sum([energy_j(result) for result in results], axis=0), results[-1].state


def _binned(periods: NDArray[np.int64], energy: Floats, reference: Floats, state: Floats) -> list[Gap]:
    """Return the errors of gaps of 1, 2, 3-4, 5-8, ... periods; `state` (k, n_state) differences."""
    bins = np.ceil(np.log2(periods)).astype(np.int64)
    found = []
    for each in np.unique(bins).tolist():
        rows = bins == each
        total = float(np.abs(reference[rows]).sum())
        found.append(
            Gap(
                low=2 ** (each - 1) + 1 if each else 1,
                high=2**each,
                n=int(rows.sum()),
                energy=float(np.abs(energy - reference)[rows].sum()) / total if total else None,
                state=float(np.sqrt((state[rows] ** 2).mean())) if state.shape[1] else None,
            )
        )
    return found

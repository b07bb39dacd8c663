"""Errors against the step of a run, on the reference's state and on the own one; a layer of 20,000 units."""

import time
from typing import Any

import numpy as np

from simcore.bank import Floats, StepInput, StepResult
from surrogates.bundle import SurrogateBundle
from surrogates.runtime import SurrogateBank
from surrogates.shipped import cost_of
from surrogates.study.heads import both_timed, energy_j, state_spans
from surrogates.study.subject import Truth

UNITS, STEPS = 20_000, 100
"""Size of the layer and length of its run, as published (arXiv 2507.10748, table III)."""
MOST_S = 60.0
"""A model that would take longer than this by its cost per event is not run: the time is estimated."""


def drift(truth: Truth, answer: StepResult) -> dict[str, list[float | None]]:
    """Return errors by place in the run, as shares: `event` (1 - F1), `energy`, `latency`, `state` (RMS).

    Each entry has one value per step, over all runs; None where nothing is to be compared.
    """
    steps, timed = truth.steps, both_timed(truth, answer)
    energy, latency = energy_j(steps), np.where(timed, steps.latency_s, 0.0)
    gap = (answer.state - steps.state) / state_spans(truth)
    n_state = gap.shape[1]
    squares = (gap**2).mean(axis=1) if n_state else np.zeros(len(gap))
    late = np.where(timed, np.abs(answer.latency_s - steps.latency_s), 0.0)
    shares = {
        "event": (answer.fired != steps.fired, steps.fired.astype(float) + answer.fired),
        "energy": (np.abs(energy_j(answer) - energy), np.abs(energy)),
        "latency": (late, latency),
        "state": (squares, np.full(len(gap), float(n_state > 0))),
    }
    found = {name: _by_step(truth, part, whole) for name, (part, whole) in shares.items()}
    found["state"] = np.sqrt(found["state"])
    return {name: [None if np.isnan(x) else float(x) for x in values] for name, values in found.items()}


def _by_step(truth: Truth, part: Floats, whole: Floats) -> Floats:
    """Return the sum of part over the sum of whole for each step, NaN where that is nothing."""
    sums, total = (np.bincount(truth.index, values.astype(float)) for values in (part, whole))
    return np.asarray(np.divide(sums, total, out=np.full(len(sums), np.nan), where=total > 0))


def large_layer(
    bundle: SurrogateBundle, truth: Truth, n_units: int = UNITS, n_steps: int = STEPS
) -> dict[str, Any]:
    """Step `n_units` units, the test runs over and over, through their first steps; return the time.

    `wall_s` and `cpu_s` include all that a bank does; models beyond MOST_S get an estimate of `cpu_s` alone.
    """
    lengths = np.array([len(raster.duration_ps) for raster in truth.rasters])
    units = np.arange(n_units) % len(lengths)
    starts = (np.cumsum(lengths) - lengths)[units]
    long, n_steps = lengths[units], min(n_steps, int(lengths.max()))
    first = np.concatenate([~raster.idle[:n_steps] for raster in truth.rasters])
    found = {
        "n_units": n_units, "n_steps": n_steps, "driven_share": float(first.mean()), "estimated": False,
    }  # fmt: skip
    estimate = 1e-6 * cost_of(bundle.info) * n_units * n_steps
    if np.isfinite(estimate) and estimate > MOST_S:
        return found | {"wall_s": None, "cpu_s": estimate, "estimated": True}
    bank = SurrogateBank(bundle, truth.spec, np.stack([raster.params for raster in truth.rasters])[units])
    wall, cpu = time.perf_counter(), time.process_time()
    for step in range(n_steps):
        there = np.flatnonzero(long > step)
        rows = starts[there] + step
        for idle in (False, True):
            some = truth.steps.idle[rows] == idle
            if some.any():
                at = rows[some]
                bank.step(StepInput(there[some], truth.steps.duration_ps[at], truth.steps.inputs[at], idle))
    return found | {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}

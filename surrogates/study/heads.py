"""Errors per head on the test rows: what is wrong, against which constant, with an interval over runs."""

import numpy as np
from numpy.typing import NDArray

from simcore import metrics
from simcore.bank import Floats, StepResult
from simcore.metrics import UNDEFINED, Figure
from simcore.recording import Steps
from simcore.spec import PortKind
from surrogates.study.subject import Truth

Mask = NDArray[np.bool_]


def energy_j(steps: Steps | StepResult) -> Floats:
    """Return supply + input energy of each row, (n,)."""
    return steps.supply_j + steps.input_j


def kinds(steps: Steps) -> dict[str, Mask]:
    """Return the rows of each kind of step, by the reference."""
    return {
        "active": steps.fired & ~steps.idle,
        "quiet": ~steps.fired & ~steps.idle,
        "idle": steps.idle,
    }


def both_timed(truth: Truth, answer: StepResult) -> Mask:
    """Return the rows whose event both have, with a known latency."""
    steps = truth.steps
    return steps.fired & answer.fired & ~np.isnan(steps.latency_s + answer.latency_s)


def state_spans(truth: Truth) -> Floats:
    """Return the range of each state over the test rows, (n_state,); 1 where it does not move."""
    span = np.ptp(truth.steps.state, axis=0)
    return np.where(span > 0, span, 1.0)


def head_errors(truth: Truth, answer: StepResult) -> dict[str, Figure]:
    """Return a figure per head: sum of |difference| over sum of |reference| unless said otherwise.

    `event` is 1 - F1; `state ...` the RMS difference over the range in the test part, `output ...` over the
    range of the port. The baseline is the same figure for the best constant. Intervals are over runs.
    """
    steps, run = truth.steps, truth.steps.run
    ours, theirs = energy_j(steps), energy_j(answer)
    timed = both_timed(truth, answer)
    figures = {
        "event": metrics.event_error(steps.fired, answer.fired, ~steps.idle, run),
        "energy": metrics.relative_error(ours, theirs, run),
    }
    for name, rows in kinds(steps).items():
        figures[f"energy {name}"] = metrics.relative_error(ours[rows], theirs[rows], run[rows])
    figures["latency"] = metrics.relative_error(steps.latency_s[timed], answer.latency_s[timed], run[timed])
    levels = [
        ("state", PortKind.STATE, steps.state, answer.state, state_spans(truth)),
        ("output", PortKind.OUTPUT, steps.outputs, answer.outputs,
         truth.spec.high(PortKind.OUTPUT) - truth.spec.low(PortKind.OUTPUT)),
    ]  # fmt: skip
    for what, kind, reference, candidate, spans in levels:
        for column, name in enumerate(truth.spec.columns(kind)):
            figures[f"{what} {name}"] = metrics.output_error(
                reference[:, column], candidate[:, column], float(spans[column]), run
            )
    return {name: figure for name, figure in figures.items() if figure != UNDEFINED}

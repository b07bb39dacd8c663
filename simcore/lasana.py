"""The error figures of LASANA's own scripts, so that ours can stand beside the published ones.

J. Ho, J. A. Boyle, L. Liu, A. Gerstlauer, "LASANA: Large-Scale Surrogate Modeling for Analog Neuromorphic
Architecture Exploration", MLCAD 2025, arXiv 2507.10748. The formulas are those of its published scripts; what
differs here is listed in docs/accuracy.md. They are not the ones of `simcore.metrics`: relative errors are
averaged row by row, energy is that of the supplies alone, and in a spiking network the SURROGATE is the
denominator.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from simcore.bank import Floats
from simcore.ledger import TraceRows

Mask = NDArray[np.bool_]
Pair = tuple[TraceRows, TraceRows]
"""Reference and surrogate."""
REFERENCE, SURROGATE = 0, 1


class Answered(Protocol):
    """What both a recording and a bank's answer have; n rows."""

    @property
    def outputs(self) -> Floats: ...
    @property
    def state(self) -> Floats: ...
    @property
    def fired(self) -> Mask: ...
    @property
    def supply_j(self) -> Floats: ...
    @property
    def latency_s(self) -> Floats: ...


def regression(reference: Floats, predicted: Floats, unit: str, factor: float) -> dict[str, Any]:
    """Return the figures of one head over its rows (n,); values times `factor` are in `unit`.

    `mse` in unit^2; `mape_pct` mean of |difference| / |reference|, rows without reference left out; `r2`;
    `total_error_pct` |difference of the sums| / sum of the reference. None where undefined.
    """
    y, p = reference * factor, predicted * factor
    n, spread, total = len(y), float(((y - y.mean()) ** 2).sum()) if len(y) else 0.0, float(y.sum())
    some = y != 0
    return {
        "unit": unit,
        "mse": float(((p - y) ** 2).mean()) if n else None,
        "mape_pct": float(100 * np.abs((p - y)[some] / y[some]).mean()) if some.any() else None,
        "r2": 1 - float(((p - y) ** 2).sum()) / spread if spread else None,
        "total_error_pct": 100 * abs(float(p.sum()) - total) / total if total else None,
        "n": n,
    }


def head_figures(
    idle: Mask, reference: Answered, predicted: Answered, *, is_level: bool, swing_v: float
) -> dict[str, dict[str, Any]]:
    """Return the figures of the published tables II and III by head, over n rows in the same order.

    Dynamic energy and latency count where the reference has an event, static energy everywhere else (level
    outputs: in idle steps alone). A missed event has latency 0, as in table III; `latency_matched` is over
    events that both have. `swing_v` is what an event counts in the squared output error.
    """
    event, static = reference.fired & ~idle, idle if is_level else ~reference.fired
    both = event & predicted.fired
    ours, theirs = (np.where(side.fired, side.latency_s, 0.0) for side in (reference, predicted))
    known = ~np.isnan(ours + theirs)
    heads = {
        "dynamic_energy": (reference.supply_j, predicted.supply_j, event, "pJ", 1e12),
        "static_energy": (reference.supply_j, predicted.supply_j, static, "pJ", 1e12),
        "latency": (ours, theirs, event & known, "ns", 1e9),
        "latency_matched": (ours, theirs, both & known, "ns", 1e9),
    }
    if reference.state.shape[1]:
        everywhere = np.ones_like(idle)
        heads["state"] = (reference.state[:, 0], predicted.state[:, 0], everywhere, "V", 1.0)
    figures = {
        name: regression(y[rows], p[rows], unit, factor) for name, (y, p, rows, unit, factor) in heads.items()
    }
    return figures | {"output": _output(idle, reference, predicted, is_level, swing_v)}


def _output(
    idle: Mask, reference: Answered, predicted: Answered, is_level: bool, swing_v: float
) -> dict[str, Any]:
    """Return the squared error of a level, or of events as levels of `swing_v`, these with accuracy."""
    if is_level:
        return regression(reference.outputs[:, 0], predicted.outputs[:, 0], "V", 1.0)
    y, p = reference.fired[~idle], predicted.fired[~idle]
    if not len(y):
        return {"unit": "V", "mse": None, "accuracy_pct": None, "n": 0}
    wrong = float((y != p).mean())
    return {"unit": "V", "mse": swing_v**2 * wrong, "accuracy_pct": 100 * (1 - wrong), "n": len(y)}


@dataclass(frozen=True, slots=True)
class Sums:
    """What one layer adds to the figures of each sample, all (2, n_samples)."""

    energy_j: Floats
    """Supply energy of reference and surrogate."""
    latency_s: Floats
    """Sum over their events."""
    energy_mape: Floats
    """Sum of relative errors, and how many."""
    latency_mape: Floats
    events: Floats
    """Driven rows that agree on the event, and how many."""

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(*(getattr(self, name) + getattr(other, name) for name in Sums.__slots__))


def layer_sums(rows: Pair, matched: Pair, samples: NDArray[np.int64], *, is_level: bool) -> Sums:
    """Return the sums of a layer's trace: `rows` are all of each run, `matched` those that both have.

    A network of level outputs has the reference as denominator and counts latencies of shared events only.
    """
    ours, theirs = matched
    lane = np.searchsorted(samples, ours.lane)
    event = ours.fired & ~ours.idle & ~ours.gated
    both = event & theirs.fired & ~np.isnan(ours.latency_s + theirs.latency_s)
    over = ours if is_level else theirs
    timed = [rows_of.take(both) for rows_of in matched] if is_level else rows

    def by_sample(at: NDArray[np.int64], values: Floats) -> Floats:
        return np.bincount(at, values, minlength=len(samples)).astype(np.float64)

    def mape(some: Mask, y: Floats, p: Floats, denominator: Floats) -> Floats:
        some = some & (y != 0) & (denominator != 0)
        error = np.abs(p - y)[some] / np.abs(denominator)[some]
        return np.stack([by_sample(lane[some], error), by_sample(lane[some], np.ones_like(error))])

    driven = ~ours.idle & ~theirs.idle & ~ours.gated
    agree = (ours.fired == theirs.fired)[driven].astype(np.float64)
    return Sums(
        np.stack([by_sample(np.searchsorted(samples, side.lane), side.supply_j) for side in rows]),
        np.stack([
            by_sample(np.searchsorted(samples, side.lane), np.nan_to_num(side.latency_s)) for side in timed
        ]),
        mape(event, ours.supply_j, theirs.supply_j, over.supply_j),
        mape(both, ours.latency_s, theirs.latency_s, over.latency_s),
        np.stack([by_sample(lane[driven], agree), by_sample(lane[driven], np.ones_like(agree))]),
    )  # fmt: skip


def network_figures(
    layers: Sequence[Sums], *, is_level: bool, accuracy: tuple[float, float] | None
) -> dict[str, float | None]:
    """Return the figures of the published comparisons of whole networks: means over samples, in percent.

    `accuracy` of reference and surrogate as shares; None where no label was predicted from the surrogate.
    """
    sums = layers[0]
    for layer in layers[1:]:
        sums = sums + layer
    over = REFERENCE if is_level else SURROGATE
    hits, n_events = sums.events.sum(axis=1)
    return {
        "energy_error_pct": _mean(np.abs(sums.energy_j[0] - sums.energy_j[1]), sums.energy_j[over]),
        "latency_error_pct": _mean(np.abs(sums.latency_s[0] - sums.latency_s[1]), sums.latency_s[over]),
        "energy_mape_pct": _mean(*sums.energy_mape),
        "latency_mape_pct": _mean(*sums.latency_mape),
        "event_error_pct": 100 * float(1 - hits / n_events) if n_events else None,
        "accuracy_difference_pct": None if accuracy is None else 100 * abs(accuracy[0] - accuracy[1]),
    }


def _mean(part: Floats, whole: Floats) -> float | None:
    """Return the mean over samples of part / whole, in percent; samples without anything are left out."""
    some = whole != 0
    return float(100 * (part[some] / whole[some]).mean()) if some.any() else None


def is_level_network(layers: Mapping[str, Mapping[str, Any]]) -> bool:
    """Return whether a run's layers (its provenance) have level outputs, as the published crossbar has."""
    return any(
        port["detector"]["kind"] == "settled"
        for layer in layers.values()
        for port in layer["spec"]["ports"]
        if port["kind"] == "output"
    )

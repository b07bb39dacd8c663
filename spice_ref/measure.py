"""From raw vectors to energies, outputs, states and events at the clock edges.

Energy: power that each source element delivers, -(v+ - v-) i, trapezoid over the solver's raw points,
the cumulative energy interpolated at the edges. Outputs are sampled 1 ps before the edge that ends a step.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simcore.bank import Floats
from simcore.clock import PS_PER_S
from simcore.spec import Detector

SAMPLE_BEFORE_EDGE_PS = 1
EXCURSION_V = 0.1
"""How far a node may leave the supply range before it is counted."""
SETTLED = 0.9
"""Share of an output's change after which it counts as settled."""

Branch = tuple[str, str, str]
"""Current vector, first node, second node of a source element."""
Window = tuple[Floats, Floats]
"""Times (s) and values of an output within one step, both edges included."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What is read off a transient."""

    groups: tuple[tuple[Branch, ...], ...]
    """Source elements whose energies are added up: supply and bias, input."""
    outputs: tuple[str, ...]
    """Nodes sampled before the end of each step."""
    states: tuple[str, ...]
    """Nodes sampled at the end of each step."""
    detectors: tuple[tuple[str, Detector], ...]
    """Output node and detector."""
    rails: tuple[str, ...]
    """Nodes that span the supply range; empty where excursions are not counted."""
    free: frozenset[str] = frozenset()
    """Nodes fixed by sources, which cannot leave the rails."""

    @property
    def text(self) -> str:
        """All of it, as text that is the same in each process."""
        detectors = [[node, detector.model_dump()] for node, detector in self.detectors]
        parts = [self.groups, self.outputs, self.states, detectors, self.rails, sorted(self.free)]
        return json.dumps(parts)

    @property
    def saves(self) -> tuple[str, ...]:
        """Vectors that ngspice keeps only on request."""
        return tuple(name for group in self.groups for name, _, _ in group if name.startswith("@"))


@dataclass(frozen=True, slots=True)
class Measured:
    """What a transient of n steps showed."""

    energy_j: Floats
    """(n_groups, n) delivered in each step."""
    outputs: Floats
    """(n, n_out)"""
    state: Floats
    """(n, n_state)"""
    fired: NDArray[np.bool_]
    """(n_detectors, n) whether there was an event."""
    latency_s: Floats
    """(n_detectors, n) from the start of the step to the event, NaN where there was none."""
    excursions: NDArray[np.int64]
    """(n,) nodes that left the supply range by more than EXCURSION_V."""


def measure(probe: Probe, vectors: Mapping[str, Floats], edges_ps: NDArray[np.int64]) -> Measured:
    """Measure a transient whose steps are bounded by `edges_ps` (n + 1,)."""
    time = vectors["time"]
    edges = edges_ps / PS_PER_S
    samples = (edges_ps[1:] - SAMPLE_BEFORE_EDGE_PS) / PS_PER_S
    found = [_latencies(time, vectors[node], edges, samples, detector) for node, detector in probe.detectors]
    latency = np.array(found).reshape(len(found), len(samples))
    return Measured(
        energy_j=np.array([_energy(vectors, group, edges) for group in probe.groups]),
        outputs=_at(vectors, probe.outputs, samples),
        state=_at(vectors, probe.states, edges[1:]),
        fired=~np.isnan(latency),
        latency_s=latency,
        excursions=_excursions(probe, vectors, edges),
    )


def _at(vectors: Mapping[str, Floats], nodes: tuple[str, ...], times: Floats) -> Floats:
    values = [np.interp(times, vectors["time"], vectors[node]) for node in nodes]
    return np.array(values).reshape(len(nodes), len(times)).T.copy()


def _energy(vectors: Mapping[str, Floats], group: tuple[Branch, ...], edges: Floats) -> Floats:
    """Return the energy that a group delivers in each step, (n,)."""
    time = vectors["time"]
    power = np.zeros(len(time))
    for current, plus, minus in group:
        power -= (_voltage(vectors, plus) - _voltage(vectors, minus)) * vectors[current]
    energy = np.concatenate([np.zeros(1), np.cumsum(0.5 * (power[1:] + power[:-1]) * np.diff(time))])
    return np.diff(np.interp(edges, time, energy))


def _voltage(vectors: Mapping[str, Floats], node: str) -> Floats | float:
    return 0.0 if node == "0" else vectors[node]


def _excursions(probe: Probe, vectors: Mapping[str, Floats], edges: Floats) -> NDArray[np.int64]:
    """Count in each step the nodes that leave the supply range, (n,)."""
    if not probe.rails:
        return np.zeros(len(edges) - 1, np.int64)
    time = vectors["time"]
    rails = [float(np.max(_voltage(vectors, node))) for node in probe.rails]
    nodes = [name for name in vectors if is_node(name) and name not in probe.free]
    volts = np.array([vectors[name] for name in nodes])
    outside = (volts > max(rails) + EXCURSION_V) | (volts < min(rails) - EXCURSION_V)
    if not outside.any():
        return np.zeros(len(edges) - 1, np.int64)
    starts = np.minimum(np.searchsorted(time, edges[:-1]), len(time) - 1)
    seen = np.logical_or.reduceat(outside, starts, axis=1)
    counts: NDArray[np.int64] = seen.sum(axis=0, dtype=np.int64)
    return counts


def is_node(vector: str) -> bool:
    """Tell a node voltage from a branch current, a device quantity and the time."""
    return not (vector.endswith("#branch") or vector.startswith("@") or vector == "time")


def _latencies(time: Floats, values: Floats, edges: Floats, samples: Floats, detector: Detector) -> Floats:
    """Return the latency of the event of each step, NaN where there is none, (n,)."""
    detect = DETECTORS[detector.kind]
    latency = np.full(len(samples), np.nan)
    ends = samples if detector.kind == "settled" else edges[1:]
    first = np.searchsorted(time, edges[:-1], side="right")
    last = np.searchsorted(time, ends, side="left")
    at_start, at_end = np.interp(edges[:-1], time, values), np.interp(ends, time, values)
    for step, (i, j) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
        t = np.concatenate([edges[step : step + 1], time[i:j], ends[step : step + 1]])
        v = np.concatenate([at_start[step : step + 1], values[i:j], at_end[step : step + 1]])
        latency[step] = detect((t, v), detector) - edges[step]
    return latency


def _crossing(window: Window, detector: Detector) -> float:
    """Time of the first rise through the threshold, NaN if none."""
    assert detector.threshold is not None
    rises = _rises(window, detector.threshold)
    return float(rises[0]) if len(rises) else np.nan


def _level(window: Window, detector: Detector) -> float:
    """Time at which the output is first above the threshold, which may be the edge itself; NaN if never."""
    assert detector.threshold is not None
    if window[1][0] >= detector.threshold:
        return float(window[0][0])
    return _crossing(window, detector)


def _settled(window: Window, detector: Detector) -> float:
    """Time at which the change from edge to sample last passes 90 %; NaN if it is below min_swing."""
    assert detector.min_swing is not None
    times, values = window
    swing = values[-1] - values[0]
    if abs(swing) < detector.min_swing or swing == 0:
        return np.nan
    return float(_rises((times, (values - values[0]) / swing), SETTLED)[-1])


def _rises(window: Window, threshold: float) -> Floats:
    """Return the interpolated times of the rises through a threshold."""
    times, values = window
    at = np.flatnonzero((values[:-1] < threshold) & (values[1:] >= threshold))
    share = (threshold - values[at]) / (values[at + 1] - values[at])
    return times[at] + share * (times[at + 1] - times[at])


DETECTORS: dict[str, Callable[[Window, Detector], float]] = {
    "crossing": _crossing,
    "level": _level,
    "settled": _settled,
}

"""The floor: when shared digital parts have taken in what a layer did, and how long requests waited for them.

A delivery passes the components of its stage one behind the other. At a component with shared parts each part
gets one request per delivery, for all its turns; it serves them in the order of deliveries, and the next
component begins when the last part is done. Times of all lanes are computed at once; a test holds them to a
SimPy model that takes turn by turn.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcore.architecture import Delivery, Layer, LayerOutput, Network, Observation, Work
from simcore.bank import Floats
from simcore.digital import Components

READOUT = "readout"
"""The logic behind the last layer."""
STEP_S = 1e-15
"""Rounding of times that are sums of others."""


@dataclass(frozen=True, slots=True)
class Span:
    """A request of the first lane: what the timeline shows."""

    layer: str
    component: str
    part: int
    asked_s: float
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class FloorTotals:
    """What the digital logic in front of one layer (or of the readout) did; all (n_lanes,)."""

    wait_s: Floats
    """Time that requests waited for a part, summed over requests."""
    busy_s: Floats
    """Time that parts worked, summed over parts."""
    missed: NDArray[np.int64]
    """Deliveries that were not complete at the edge that they belong to."""
    done_s: Floats
    """When the last delivery was complete; 0 without one."""


class Floor:
    """The shared parts of one batch."""

    def __init__(
        self, components: Components, n_lanes: int, *, contention: bool, spans: bool = False
    ) -> None:
        """Without `contention` nobody waits; `spans` keeps the requests of the first lane."""
        self._components, self._n_lanes = components, n_lanes
        self._contention, self._keeps_spans = contention, spans
        self._free: dict[tuple[str, str], Floats] = {}
        self._totals: dict[str, FloorTotals] = {}
        self.spans: list[Span] = []

    def series_s(self, path: tuple[str, ...]) -> float:
        """Return the latency of components in series where nobody waits."""
        return sum(self._components[name].latency_s for name in path)

    def take_in(
        self, layer: str, path: tuple[str, ...], work: tuple[Work, ...], ready_s: Floats, due_s: float,
        active: NDArray[np.bool_],
    ) -> None:  # fmt: skip
        """Pass a delivery through the logic in front of `layer`.

        `ready_s` (n_lanes,) is when its sources are there, `due_s` the edge that it belongs to; lanes that
        are not `active` (n_lanes,) deliver nothing.
        """
        totals = self._of(layer)
        at = ready_s.copy()
        pending = {each.component: each for each in work} if self._contention else {}
        for component in path:
            each = pending.pop(component, None)
            if each is None:
                at += self._components[component].latency_s
            else:
                at = self._served(layer, each, at, active, totals)
        totals.done_s[active] = np.maximum(totals.done_s, at)[active]
        totals.missed[active & (at > due_s + STEP_S)] += 1

    def totals(self) -> Mapping[str, FloorTotals]:
        """Return the totals by layer."""
        return self._totals

    def _served(
        self, layer: str, work: Work, asked_s: Floats, active: NDArray[np.bool_], totals: FloorTotals
    ) -> Floats:
        """Serve one request per part; return when the last one is done, (n_lanes,)."""
        component = self._components[work.component]
        shape = (self._n_lanes, work.turns.shape[1])
        turns = np.broadcast_to(work.turns, shape) * active[:, None]
        service_s = turns * component.latency_s
        free = self._free.setdefault((layer, work.component), np.zeros(shape))
        start = np.maximum(asked_s[:, None], free)
        end, busy = start + service_s, turns > 0
        totals.wait_s[:] += ((start - asked_s[:, None]) * busy).sum(axis=1)
        totals.busy_s[:] += service_s.sum(axis=1)
        free[busy] = end[busy]
        if self._keeps_spans:
            for part in np.flatnonzero(busy[0]).tolist():
                times = (float(asked_s[0]), float(start[0, part]), float(end[0, part]))
                self.spans.append(Span(layer, work.component, part, *times))
        done: Floats = np.where(busy, end, asked_s[:, None]).max(axis=1)
        return done

    def _of(self, layer: str) -> FloorTotals:
        if layer not in self._totals:
            zeros = [np.zeros(self._n_lanes) for _ in range(3)]
            missed = np.zeros(self._n_lanes, np.int64)
            self._totals[layer] = FloorTotals(zeros[0], zeros[1], missed, zeros[2])
        return self._totals[layer]


class Desk:
    """Takes deliveries and observations to the floor, with the times at which their sources are there."""

    def __init__(self, network: Network, floor: Floor, period_s: float, n_lanes: int) -> None:
        self._floor, self._period_s, self._n_lanes = floor, period_s, n_lanes
        self._readout = network.readout

    def delivery(self, step: int, layer: Layer, delivery: Delivery, sources: Sequence[LayerOutput]) -> None:
        """Take in what is delivered to a layer at edge `step`."""
        if not sources or not len(delivery.units):
            return
        active = np.bincount(delivery.units // layer.n_units, minlength=self._n_lanes) > 0
        start_s = max(0, step - layer.delay_periods) * self._period_s
        ready_s = start_s + np.max([source.ready_s for source in sources], axis=0)
        due_s = step * self._period_s
        self._floor.take_in(layer.name, layer.stage.path, delivery.work, ready_s, due_s, active)

    def observation(self, step: int, seen: Observation, source: LayerOutput) -> None:
        """Take in what the readout reads of period `step`."""
        if seen.active is not None:
            ready_s = step * self._period_s + source.ready_s
            self._floor.take_in(READOUT, self._readout.path, seen.work, ready_s, np.inf, seen.active)


def taken_in(network: Network, floor: Floor, last_event_s: Mapping[str, Floats]) -> dict[str, dict[str, Any]]:
    """Return layer -> what the logic behind it did: `taken_in_s`, `wait_s`, `missed`, (n_lanes,) each.

    `last_event_s` (n_lanes,) is NaN in a lane without an event; `taken_in_s` then too.
    """
    found = {}
    for layer in network.layers:
        readers = [(x.name, x.stage.path) for x in network.layers if layer.name in x.sources]
        if layer is network.layers[-1]:
            readers.append((READOUT, network.readout.path))
        last_s = last_event_s[layer.name]
        done_s = last_s + max((floor.series_s(path) for _, path in readers), default=0.0)
        totals = [floor.totals()[name] for name, _ in readers if name in floor.totals()]
        for each in totals:
            done_s = np.where(np.isnan(last_s), np.nan, np.maximum(done_s, each.done_s))
        zeros = np.zeros(len(last_s))
        found[layer.name] = {
            "taken_in_s": done_s,
            "wait_s": sum((each.wait_s for each in totals), zeros),
            "missed": sum((each.missed for each in totals), zeros.astype(np.int64)),
        }
    return found

"""The ledger: totals per lane, layer and kind of step; rows only when traced. It never calls a bank."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from simcore.bank import Floats, StepResult
from simcore.clock import seconds
from simcore.digital import COMPONENTS
from simcore.errors import ContractError
from simcore.idle import Call

Masks = Mapping[str, NDArray[np.bool_]]
"""Layer -> (n_lanes, n_units), True for units whose rows are kept."""


class StepKind(IntEnum):
    """What a step was, derived from its request and result."""

    ACTIVE = 0
    """Driven, the output fired."""
    QUIET = 1
    """Driven, nothing fired."""
    IDLE = 2
    """Not driven."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the units of a bank sit in the network; all (n,), n the units of the bank."""

    layer: NDArray[np.int64]
    """Index of the layer."""
    lane: NDArray[np.int64]
    unit: NDArray[np.int64]
    """Index within layer and lane."""

    def take(self, rows: NDArray[np.int64]) -> "Address":
        """Return the addresses of some units."""
        return Address(self.layer[rows], self.lane[rows], self.unit[rows])


@dataclass(frozen=True, slots=True)
class TraceRows:
    """Rows of one layer's trace, struct of arrays, in the order in which they were recorded."""

    lane: NDArray[np.int64]
    unit: NDArray[np.int64]
    step: NDArray[np.int64]
    """Period in which the step starts."""
    periods: NDArray[np.int64]
    idle: NDArray[np.bool_]
    merged: NDArray[np.bool_]
    """A catch-up of an idle gap."""
    gated: NDArray[np.bool_]
    """A level driven back to reset."""
    fired: NDArray[np.bool_]
    supply_j: Floats
    input_j: Floats
    latency_s: Floats
    inputs: Floats
    """(n, n_in)"""
    outputs: Floats
    """(n, n_out)"""

    @staticmethod
    def concatenate(parts: Sequence["TraceRows"]) -> "TraceRows":
        """Join several blocks of rows."""
        columns = TraceRows.__slots__
        return TraceRows(*(np.concatenate([getattr(part, name) for part in parts]) for name in columns))

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> "TraceRows":
        """Return the rows of an index or mask array."""
        return TraceRows(*(getattr(self, name)[rows] for name in TraceRows.__slots__))


@dataclass(frozen=True, slots=True)
class LayerTotals:
    """What one layer did, per lane."""

    supply_j: Floats
    """(n_lanes, 3) by StepKind"""
    input_j: Floats
    """(n_lanes, 3) by StepKind"""
    steps: NDArray[np.int64]
    """(n_lanes, 3) by StepKind"""
    fired: NDArray[np.int64]
    """(n_lanes,) output events in time"""
    late: NDArray[np.int64]
    """(n_lanes,) output events in merged idle steps"""
    latency_sum_s: Floats
    """(n_lanes,) over the timed events"""
    timed: NDArray[np.int64]
    """(n_lanes,) events in time whose latency is known: all of them but in static circuits"""
    last_event_s: Floats
    """(n_lanes,) time of the last timed event, NaN without one; returns to reset do not count"""
    unit_energy_j: Floats
    """(n_lanes, n_units) supply + input energy"""
    unit_fired: NDArray[np.int64]
    """(n_lanes, n_units) output events in time"""
    digital: Mapping[str, Floats]
    """component -> (n_lanes,) number of actions"""


class Ledger:
    """Adds up what the banks report."""

    def __init__(self, layer_sizes: Mapping[str, int], n_lanes: int, trace: bool | Masks = False) -> None:
        """`trace`: keep the rows of all units, or of those of masks (n_lanes, n_units) by layer."""
        self._sizes = layer_sizes
        self._n_lanes = n_lanes
        cells = (len(layer_sizes), n_lanes, len(StepKind))
        self._supply, self._input = np.zeros(cells), np.zeros(cells)
        self._steps = np.zeros(cells, dtype=np.int64)
        self._late = np.zeros(cells[:2], dtype=np.int64)
        self._latency = np.zeros(cells[:2])
        self._timed = np.zeros(cells[:2], dtype=np.int64)
        self._last = np.full(cells[:2], -np.inf)
        self._unit_energy = {name: np.zeros((n_lanes, size)) for name, size in layer_sizes.items()}
        self._unit_fired = {
            name: np.zeros((n_lanes, size), dtype=np.int64) for name, size in layer_sizes.items()
        }
        self._digital: dict[str, dict[str, Floats]] = {name: defaultdict(self._zeros) for name in layer_sizes}
        self._trace: dict[str, list[TraceRows]] = {name: [] for name in layer_sizes}
        self._kept: Masks = {}
        if isinstance(trace, Mapping):
            self._kept = trace
        elif trace:
            self._kept = {name: np.ones((n_lanes, size), np.bool_) for name, size in layer_sizes.items()}

    def record(self, at: Address, calls: Sequence[Call], result: StepResult, period_ps: int) -> None:
        """Add answered bank calls; `at` and `result` have the rows of all of them, one behind the other.

        Rows are added one by one in their order: the sums do not depend on how calls are grouped.
        """
        call = Rows.of(calls)
        driven = np.where(result.fired, int(StepKind.ACTIVE), int(StepKind.QUIET))
        lane = at.layer * self._n_lanes + at.lane
        cell = lane * len(StepKind) + np.where(call.idle, int(StepKind.IDLE), driven)
        for totals, values in ((self._supply, result.supply_j), (self._input, result.input_j)):
            np.add.at(totals.reshape(-1), cell, values)
        self._steps += np.bincount(cell, minlength=self._steps.size).reshape(self._steps.shape)
        in_time = result.fired & ~call.merged
        self._late += self._counted(lane[result.fired & call.merged])
        latency_s = result.latency_s + call.lag * seconds(period_ps)
        timed = np.flatnonzero(in_time & ~np.isnan(latency_s))
        np.add.at(self._latency.reshape(-1), lane[timed], latency_s[timed])
        self._timed += self._counted(lane[timed])
        needed = timed[~call.gated[timed]]
        time_s = (call.start - call.lag)[needed] * seconds(period_ps) + latency_s[needed]
        np.maximum.at(self._last.reshape(-1), lane[needed], time_s)
        for index, name in enumerate(self._sizes):
            rows = np.flatnonzero(at.layer == index)
            if len(rows):
                unit = at.lane[rows] * self._sizes[name] + at.unit[rows]
                energy_j = (result.supply_j + result.input_j)[rows]
                np.add.at(self._unit_energy[name].reshape(-1), unit, energy_j)
                np.add.at(self._unit_fired[name].reshape(-1), unit[in_time[rows]], 1)
                if name in self._kept and len(kept := rows[self._kept[name].reshape(-1)[unit]]):
                    self._trace[name].append(_trace_rows(at, call, result, latency_s, period_ps).take(kept))

    def digital(self, actions: Mapping[tuple[str, str], Floats]) -> None:
        """Add digital actions, keyed by (layer that pays, component), each (n_lanes,)."""
        for (layer, component), count in actions.items():
            if layer not in self._sizes or component not in COMPONENTS:
                raise ContractError(
                    f"digital action '{component}' of layer '{layer}'; "
                    f"known layers: {', '.join(self._sizes)}; known components: {', '.join(COMPONENTS)}"
                )
            self._digital[layer][component] += count

    def totals(self) -> dict[str, LayerTotals]:
        """Return the totals of every layer."""
        last = np.where(np.isfinite(self._last), self._last, np.nan)
        return {
            name: LayerTotals(
                supply_j=self._supply[i],
                input_j=self._input[i],
                steps=self._steps[i],
                fired=self._unit_fired[name].sum(axis=1),
                late=self._late[i],
                latency_sum_s=self._latency[i],
                timed=self._timed[i],
                last_event_s=last[i],
                unit_energy_j=self._unit_energy[name],
                unit_fired=self._unit_fired[name],
                digital=dict(self._digital[name]),
            )
            for i, name in enumerate(self._sizes)
        }

    def trace(self) -> dict[str, TraceRows]:
        """Return the rows of every layer that has any; empty unless traced."""
        return {name: TraceRows.concatenate(parts) for name, parts in self._trace.items() if parts}

    def _zeros(self) -> Floats:
        return np.zeros(self._n_lanes)

    def _counted(self, lane: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how often each lane of each layer occurs, (n_layers, n_lanes)."""
        return np.bincount(lane, minlength=self._late.size).reshape(self._late.shape)


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of some calls, one behind the other."""

    start: NDArray[np.int64]
    merged: NDArray[np.bool_]
    gated: NDArray[np.bool_]
    lag: NDArray[np.int64]
    idle: NDArray[np.bool_]
    duration_ps: NDArray[np.int64]
    inputs: Floats

    @staticmethod
    def of(calls: Sequence[Call]) -> "Rows":
        """Join calls."""
        requests = [call.request for call in calls]
        return Rows(
            start=np.concatenate([call.start for call in calls]),
            merged=np.concatenate([call.merged for call in calls]),
            gated=np.concatenate([call.gated for call in calls]),
            lag=np.concatenate([call.lag for call in calls]),
            idle=np.repeat([x.idle for x in requests], [len(x.units) for x in requests]),
            duration_ps=np.concatenate([x.duration_ps for x in requests]),
            inputs=np.concatenate([x.inputs for x in requests]),
        )


def _trace_rows(at: Address, call: Rows, result: StepResult, latency_s: Floats, period_ps: int) -> TraceRows:
    """Return all rows; a latency counts from the last driven edge, a bank's own from the step's start."""
    return TraceRows(
        lane=at.lane,
        unit=at.unit,
        step=call.start,
        periods=call.duration_ps // period_ps,
        idle=call.idle,
        merged=call.merged,
        gated=call.gated,
        fired=result.fired,
        supply_j=result.supply_j,
        input_j=result.input_j,
        latency_s=latency_s,
        inputs=call.inputs,
        outputs=result.outputs,
    )

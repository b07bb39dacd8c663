"""The ledger: totals per lane, layer and kind of step; rows only when traced. It never calls a bank."""

import itertools
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
from simcore.idle import Rows

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
class TraceRows:
    """Rows of one layer's trace, struct of arrays."""

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
    """Adds up what the banks report, unit by unit.

    A unit's rows are added in order of time, units and kinds of steps only at the end: no sum depends on the
    schedule, or on which units are recorded together.
    """

    def __init__(self, layer_sizes: Mapping[str, int], n_lanes: int, trace: bool | Masks = False) -> None:
        """`trace`: keep the rows of all units, or of those of masks (n_lanes, n_units) by layer."""
        self._n_lanes = n_lanes
        self._sizes = layer_sizes
        ends = np.cumsum([0, *(size * n_lanes for size in layer_sizes.values())]).tolist()
        self._parts = dict(zip(layer_sizes, itertools.starmap(slice, itertools.pairwise(ends)), strict=True))
        n = ends[-1]
        self._supply, self._input = np.zeros((n, len(StepKind))), np.zeros((n, len(StepKind)))
        self._steps = np.zeros((n, len(StepKind)), np.int32)
        self._fired, self._late, self._timed = (np.zeros(n, np.int32) for _ in range(3))
        self._latency, self._last = np.zeros(n), np.full(n, -np.inf)
        self._digital: dict[str, dict[str, Floats]] = {name: defaultdict(self._zeros) for name in layer_sizes}
        self._trace: dict[str, list[TraceRows]] = {name: [] for name in layer_sizes}
        self._kept = np.zeros(n, np.bool_)
        masks = trace if isinstance(trace, Mapping) else dict.fromkeys(layer_sizes, np.array(trace))
        for name, mask in masks.items():
            self._kept[self._parts[name]] = np.broadcast_to(mask, (n_lanes, layer_sizes[name])).ravel()

    def places(self, layer: str) -> NDArray[np.int64]:
        """Return where the units of a layer stand in the ledger, lane by lane, (n_lanes * n_units,)."""
        part = self._parts[layer]
        return np.arange(part.start, part.stop)

    def record(self, at: NDArray[np.int64], rows: Rows, result: StepResult, period_ps: int) -> None:
        """Add answered rows; `at` (n,) are the places of their units, each unit's rows in order of time."""
        active, quiet, idle = (np.int8(kind) for kind in StepKind)
        kind = np.where(rows.idle, idle, np.where(result.fired, active, quiet))
        cell = at * len(StepKind) + kind
        np.add.at(self._supply.reshape(-1), cell, result.supply_j)
        np.add.at(self._input.reshape(-1), cell, result.input_j)
        np.add.at(self._steps.reshape(-1), cell, np.int32(1))
        fired = np.flatnonzero(result.fired)
        if len(fired):
            self._record_events(at[fired], fired, rows, result.latency_s, period_ps)
        if self._kept.any():
            self._keep(at, rows, result, period_ps)

    def _record_events(
        self, at: NDArray[np.int64], fired: NDArray[np.int64], rows: Rows, latency_s: Floats, period_ps: int
    ) -> None:
        """Add the events of the rows `fired`, whose units stand at `at`."""
        late = rows.merged[fired]
        np.add.at(self._late, at[late], np.int32(1))
        np.add.at(self._fired, at[~late], np.int32(1))
        latency_s = latency_s[fired] + rows.lag[fired] * seconds(period_ps)
        timed = np.flatnonzero(~late & ~np.isnan(latency_s))
        np.add.at(self._latency, at[timed], latency_s[timed])
        np.add.at(self._timed, at[timed], np.int32(1))
        timed = timed[~rows.gated[fired[timed]]]
        edge = (rows.start - rows.lag)[fired[timed]]
        np.maximum.at(self._last, at[timed], edge * seconds(period_ps) + latency_s[timed])

    def _keep(self, at: NDArray[np.int64], rows: Rows, result: StepResult, period_ps: int) -> None:
        """Keep the rows of units that are traced."""
        for name, part in self._parts.items():
            here = (at >= part.start) & (at < part.stop) & self._kept[at]
            if here.any():
                unit = at[here] - part.start
                lane, unit = np.divmod(unit, self._sizes[name])
                self._trace[name].append(_trace_rows(lane, unit, here, rows, result, period_ps))

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
        return {name: self._layer_totals(name, part) for name, part in self._parts.items()}

    def _layer_totals(self, name: str, part: slice) -> LayerTotals:
        shape = (self._n_lanes, self._sizes[name])
        supply_j = self._supply[part].reshape(*shape, -1)
        input_j = self._input[part].reshape(*shape, -1)
        fired, late, timed = (x[part].reshape(shape) for x in (self._fired, self._late, self._timed))
        last_s = self._last[part].reshape(shape).max(axis=1)
        return LayerTotals(
            supply_j=supply_j.sum(axis=1),
            input_j=input_j.sum(axis=1),
            steps=self._steps[part].reshape(*shape, -1).sum(axis=1),
            fired=fired.sum(axis=1),
            late=late.sum(axis=1),
            latency_sum_s=self._latency[part].reshape(shape).sum(axis=1),
            timed=timed.sum(axis=1),
            last_event_s=np.where(np.isfinite(last_s), last_s, np.nan),
            unit_energy_j=(supply_j + input_j).sum(axis=2),
            unit_fired=fired.astype(np.int64),
            digital=dict(self._digital[name]),
        )

    def trace(self) -> dict[str, TraceRows]:
        """Return the rows of every layer that has any, by step, lane and unit; empty unless traced."""
        found = {name: TraceRows.concatenate(parts) for name, parts in self._trace.items() if parts}
        return {
            name: rows.take(np.lexsort([rows.unit, rows.lane, rows.step])) for name, rows in found.items()
        }

    def _zeros(self) -> Floats:
        return np.zeros(self._n_lanes)


def _trace_rows(
    lane: NDArray[np.int64],
    unit: NDArray[np.int64],
    kept: NDArray[np.bool_],
    rows: Rows,
    result: StepResult,
    period_ps: int,
) -> TraceRows:
    """Return the kept rows; latencies count from the last driven edge, in a bank from the step's start."""
    return TraceRows(
        lane=lane,
        unit=unit,
        step=rows.start[kept],
        periods=rows.duration_ps[kept] // period_ps,
        idle=rows.idle[kept],
        merged=rows.merged[kept],
        gated=rows.gated[kept],
        fired=result.fired[kept],
        supply_j=result.supply_j[kept],
        input_j=result.input_j[kept],
        latency_s=result.latency_s[kept] + rows.lag[kept] * seconds(period_ps),
        inputs=rows.inputs.take(kept),
        outputs=result.outputs[kept],
    )

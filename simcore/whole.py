"""Whole inputs: all rows of many units at once, the ones that `idle.IdleTracker` plans edge by edge.

Where a layer's input is known beforehand its units are independent of each other; the rows of a unit then
follow from the steps in which it is driven, by arithmetic on arrays.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simcore.architecture import Delivery
from simcore.bank import Floats, RasterBatch, Repeated
from simcore.idle import NEVER, Rows
from simcore.spec import CircuitSpec

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Events:
    """What is delivered to the units of a layer, ordered by unit, then by step; n of them."""

    unit: Ints
    """(n,)"""
    step: Ints
    """(n,)"""
    row: Ints
    """(n,) which row of `table` it delivers."""
    table: Floats
    """(m, n_in) the inputs at reset, then those of all deliveries."""

    def of_units(self, first: int, end: int) -> "Events":
        """Return those of some units, numbered from `first`."""
        rows = slice(*np.searchsorted(self.unit, [first, end]).tolist())
        return Events(self.unit[rows] - first, self.step[rows], self.row[rows], self.table)


@dataclass(frozen=True, slots=True)
class WholeInput:
    """The rows of n_units units, unit by unit in order of time."""

    rows: Rows
    starts: Ints
    """(n_units + 1,) unit i has rows `starts[i]:starts[i + 1]`."""

    def batch(self, params: Repeated) -> RasterBatch:
        """Return it as a bank takes it; `params` (n_units, n_param)."""
        return RasterBatch(params, self.starts, self.rows.duration_ps, self.rows.inputs, self.rows.idle)


@dataclass(frozen=True, slots=True)
class Habits:
    """How the units of a circuit are driven, (n_units,) each; see `Layer`."""

    hold_periods: Ints
    power_gate: NDArray[np.bool_]

    def take(self, units: slice) -> "Habits":
        """Return those of some units."""
        return Habits(self.hold_periods[units], self.power_gate[units])


def events_of(deliveries: Sequence[Delivery], at_reset: Floats) -> Events:
    """Return the deliveries of all edges as events; `at_reset` are the inputs there, (n_in,)."""
    unit = np.concatenate([delivery.units for delivery in deliveries])
    step = np.repeat(np.arange(len(deliveries)), [len(delivery.units) for delivery in deliveries])
    order = stable_order(unit)
    table = np.concatenate([at_reset[None], *(delivery.inputs for delivery in deliveries)])
    return Events(unit.take(order), step.take(order), order + 1, table)


def whole_input(
    spec: CircuitSpec, habits: Habits, events: Events, n_steps: int, *, merge_idle: bool
) -> WholeInput:
    """Return the rows of all units from reset to the end of `n_steps` periods."""
    n_units = len(habits.hold_periods)
    gated = np.zeros(len(events.unit), np.bool_)
    if spec.holds_level.any():
        events, gated = _level_changes(spec, habits, events, n_steps)
    return _Gaps(spec, events, n_units, n_steps, merge_idle).rows(gated)


def _level_changes(
    spec: CircuitSpec, habits: Habits, events: Events, n_steps: int
) -> tuple[Events, NDArray[np.bool_]]:
    """Leave out deliveries that change no level, add the returns to reset; tell which rows are such."""
    unit, step, row, table = events.unit, events.step, events.row, events.table
    same = unit[1:] == unit[:-1]
    until = np.append(np.where(same, step[1:], n_steps), n_steps)[: len(unit)]
    due = step + habits.hold_periods[unit]
    released = habits.power_gate[unit] & (table != table[0]).any(axis=1)[row] & (due < until)
    held = np.zeros_like(row)
    held[1:][same & ~released[:-1]] = row[:-1][same & ~released[:-1]]
    before = np.where(spec.holds_level, table, table[0]).take(held, axis=0)
    changed = (table.take(row, axis=0) != before).any(axis=1)
    # Each event lies before the return that it makes.
    kept = np.flatnonzero(np.column_stack([changed, released]))
    is_return = kept % 2 == 1
    event = kept // 2
    found = Events(
        unit[event], np.where(is_return, due[event], step[event]), np.where(is_return, 0, row[event]), table
    )
    return found, is_return


class _Gaps:
    """The gap before a unit's first driven row, and behind each driven row; unit by unit."""

    def __init__(
        self, spec: CircuitSpec, driven: Events, n_units: int, n_steps: int, merge_idle: bool
    ) -> None:
        self._spec, self._driven = spec, driven
        n = len(driven.unit)
        counts = np.bincount(driven.unit, minlength=n_units)
        self._first = np.cumsum(counts) - counts + np.arange(n_units)
        self._behind = np.arange(n) + driven.unit + 1
        self._has_row = np.ones(n + n_units, np.int64)
        self._has_row[self._first] = 0
        self._begin = np.zeros(n + n_units, np.int64)
        self._begin[self._behind] = driven.step + 1
        end = np.full(n + n_units, n_steps)
        end[self._behind - 1] = driven.step
        end[np.append(self._first[1:], n + n_units) - 1] = n_steps
        tail = spec.tail_periods if merge_idle else NEVER
        self._tails = np.minimum(end - self._begin, tail)
        self._tails[self._first] = np.minimum(end - self._begin, tail - spec.tail_periods)[self._first]
        self._rest = end - self._begin - self._tails
        merged = -(-self._rest // spec.max_idle_periods)
        self._n_rows = self._has_row + self._tails + merged
        self._offset = np.cumsum(self._n_rows) - self._n_rows
        self._n_merged, self._n_units = merged, n_units

    def rows(self, gated: NDArray[np.bool_]) -> WholeInput:
        """Return the rows; `gated` tells which driven ones only bring a level back to reset."""
        spec = self._spec
        n = int(self._n_rows.sum())
        # The rows of a part begin one period apart; only a gap that takes several merged rows is longer.
        begin = self._begin - self._has_row
        start = np.arange(n) + np.repeat(begin - self._offset, self._n_rows)
        lag = start - np.repeat(begin, self._n_rows)
        periods, idle, merged = np.ones(n, np.int64), np.ones(n, np.bool_), np.zeros(n, np.bool_)
        at = self._offset[self._behind]
        idle[at] = False
        is_gated = np.zeros(n, np.bool_)
        is_gated[at] = gated
        for part in range(int(self._n_merged.max(initial=0))):
            gap = np.flatnonzero(self._n_merged > part)
            row = self._offset[gap] + self._has_row[gap] + self._tails[gap] + part
            done = part * spec.max_idle_periods
            if part:
                start[row] = self._begin[gap] + self._tails[gap] + done
                lag[row] = start[row] - begin[gap]
            periods[row] = np.minimum(self._rest[gap] - done, spec.max_idle_periods)
            merged[row] = True
        starts = np.append(self._offset[self._first], n)
        inputs = self._inputs(at, n)
        return WholeInput(Rows(start, merged, is_gated, lag, idle, periods * spec.period_ps, inputs), starts)

    def _inputs(self, at: Ints, n: int) -> Repeated:
        """Return the inputs of all n rows: packets in driven rows only, levels until the next one."""
        table, holds = self._driven.table, self._spec.holds_level
        index = np.zeros(n, np.int64)
        if holds.any():
            held = np.zeros(len(self._n_rows), np.int64)
            held[self._behind] = self._driven.row
            index = np.repeat(held, self._n_rows)
            if not holds.all():
                index += len(table)
                table = np.concatenate([table, np.where(holds, table, table[0])])
        index[at] = self._driven.row
        return Repeated(table, index)


def stable_order(keys: Ints) -> Ints:
    """Return the stable order of non-negative integers below 2^32; numpy sorts 16-bit ones by radix."""
    order: Ints = np.argsort(keys.astype(np.uint16), kind="stable")
    if keys.max(initial=0) > 0xFFFF:
        order = order[np.argsort((keys[order] >> 16).astype(np.uint16), kind="stable")]
    return order

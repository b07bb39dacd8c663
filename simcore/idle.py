"""Idle merging: decides at each clock edge which units are driven, which take a tail step, which catch up."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simcore.bank import Floats, Repeated, StepInput
from simcore.errors import ContractError
from simcore.spec import CircuitSpec

NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Call:
    """One bank call with what the ledger must know of its k rows."""

    request: StepInput
    start: NDArray[np.int64]
    """(k,) period in which the step starts."""
    merged: NDArray[np.bool_]
    """(k,) True where an idle step catches up a gap: an event in it is late."""
    gated: NDArray[np.bool_]
    """(k,) True where a driven step only brings a level back to reset."""
    lag: NDArray[np.int64]
    """(k,) periods since the edge at which the unit was last driven: 0 in a driven step."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Steps of units with what the ledger must know of them, struct of arrays; all (n,) as in `Call`."""

    start: NDArray[np.int64]
    merged: NDArray[np.bool_]
    gated: NDArray[np.bool_]
    lag: NDArray[np.int64]
    idle: NDArray[np.bool_]
    duration_ps: NDArray[np.int64]
    inputs: Repeated
    """(n, n_in)"""

    @staticmethod
    def of(calls: Sequence[Call]) -> "Rows":
        """Return the rows of some calls, one behind the other."""
        requests = [call.request for call in calls]
        return Rows(
            start=np.concatenate([call.start for call in calls]),
            merged=np.concatenate([call.merged for call in calls]),
            gated=np.concatenate([call.gated for call in calls]),
            lag=np.concatenate([call.lag for call in calls]),
            idle=np.repeat([x.idle for x in requests], [len(x.units) for x in requests]),
            duration_ps=np.concatenate([x.duration_ps for x in requests]),
            inputs=Repeated.once(np.concatenate([x.inputs for x in requests])),
        )


class IdleTracker:
    """Owns, for the units of one bank, how far each is simulated and which level it holds."""

    def __init__(
        self,
        spec: CircuitSpec,
        hold_periods: NDArray[np.int64],
        power_gate: NDArray[np.bool_],
        merge_idle: bool,
    ) -> None:
        """`hold_periods`, `power_gate`: (n_units,); without `merge_idle` every idle period is stepped."""
        n = len(hold_periods)
        self._spec = spec
        self._tail = spec.tail_periods if merge_idle else NEVER
        self._is_level = bool(spec.holds_level.any())
        self._hold = hold_periods
        self._gate = power_gate & self._is_level
        # 32 bits each: a large layer has nothing but these arrays, and they count steps.
        self._end, self._driven_at = np.zeros(n, np.int32), np.zeros(n, np.int32)
        self._idle_since = np.full(n, spec.tail_periods, np.int32)
        n_levels = n if self._is_level else 0
        self._held = np.tile(spec.reset_inputs, (n_levels, 1))
        self._release = np.full(n_levels, NEVER)

    def plan(self, step: int, units: NDArray[np.int64], inputs: Floats) -> list[Call]:
        """Return the calls of edge `step`, in order, that drive `units` (ascending, unique) with `inputs`."""
        units, inputs, gated = self._with_gated(step, *self._changed(step, units, inputs))
        if np.any(self._end[units] > step):
            raise ContractError(f"a unit is driven twice in period {step}")
        tails = (self._end == step) & (self._idle_since < self._tail)
        tails[units] = False
        calls = self._idle_calls(units, step, np.flatnonzero(tails))
        if self._is_level:
            self._held[units] = np.where(self._spec.holds_level, inputs, self._spec.reset_inputs)
        self._idle_since[units] = 0
        self._idle_since[tails] += 1
        self._end[units] = step + 1
        self._end[tails] = step + 1
        self._driven_at[units] = step
        if len(units):
            duration = np.full(len(units), self._spec.period_ps)
            request = StepInput(units, duration, inputs, idle=False)
            start = np.full(len(units), step)
            calls.append(Call(request, start, np.zeros_like(gated), gated, np.zeros_like(start)))
        return calls

    def settle(self, end: int) -> list[Call]:
        """Return the idle calls that bring every unit to the common end time."""
        return self._idle_calls(np.flatnonzero(self._end < end), end, np.empty(0, dtype=np.int64))

    def _changed(
        self, step: int, units: NDArray[np.int64], inputs: Floats
    ) -> tuple[NDArray[np.int64], Floats]:
        """Drop level units whose input does not change, and schedule the return to reset."""
        if not self._is_level:
            return units, inputs
        at_reset = np.all(inputs == self._spec.reset_inputs, axis=1)
        self._release[units] = np.where(self._gate[units] & ~at_reset, step + self._hold[units], NEVER)
        changed = np.any(inputs != self._held[units], axis=1)
        return units[changed], inputs[changed]

    def _with_gated(
        self, step: int, units: NDArray[np.int64], inputs: Floats
    ) -> tuple[NDArray[np.int64], Floats, NDArray[np.bool_]]:
        """Add the units whose level is due to go back to reset."""
        due = np.flatnonzero(self._release == step)
        self._release[due] = NEVER
        if not len(due):
            return units, inputs, np.zeros(len(units), dtype=np.bool_)
        every = np.concatenate([units, due])
        order = np.argsort(every)
        levels = np.vstack([inputs, np.tile(self._spec.reset_inputs, (len(due), 1))])
        return every[order], levels[order], (np.arange(len(every)) >= len(units))[order]

    def _idle_calls(self, behind: NDArray[np.int64], now: int, tails: NDArray[np.int64]) -> list[Call]:
        """Catch `behind` up to `now` and give `tails` one period; long gaps take several calls."""
        behind = behind[self._end[behind] < now]
        calls = []
        while len(behind) or len(tails):
            units = np.concatenate([behind, tails])
            order = np.argsort(units)
            gap = np.minimum(now - self._end[behind].astype(np.int64), self._spec.max_idle_periods)
            count = np.concatenate([gap, np.ones(len(tails), dtype=np.int64)])[order]
            merged = (np.arange(len(units)) < len(behind))[order]
            units = units[order]
            held = self._held[units] if self._is_level else np.tile(self._spec.reset_inputs, (len(units), 1))
            request = StepInput(units, count * self._spec.period_ps, held, idle=True)
            start = self._end[units].astype(np.int64)
            calls.append(Call(request, start, merged, np.zeros_like(merged), start - self._driven_at[units]))
            self._end[behind] += gap.astype(np.int32)
            behind, tails = behind[self._end[behind] < now], tails[:0]
        return calls

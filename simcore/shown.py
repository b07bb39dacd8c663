"""What a layer showed at the end of each period, put together from the rows of its whole input."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simcore.architecture import LayerOutput
from simcore.bank import Floats, StepResult
from simcore.whole import WholeInput


@dataclass(frozen=True, slots=True)
class _Visible:
    """The rows whose outputs somebody may see: those that are not merged."""

    start: NDArray[np.int32]
    """(n,) period in which each begins."""
    outputs: Floats
    """(n, n_out)"""
    bounds: NDArray[np.int64]
    """(n_units + 1,) where the rows of each unit begin."""

    @staticmethod
    def of(whole: WholeInput, outputs: Floats) -> "_Visible":
        rows = np.flatnonzero(~whole.rows.merged)
        bounds = np.searchsorted(rows, whole.starts)
        return _Visible(whole.rows.start[rows].astype(np.int32), outputs[rows], bounds)


class Shown:
    """Outputs by step; filled block of units by block of units."""

    def __init__(self, n_steps: int, n_lanes: int, at_reset: Floats) -> None:
        """`at_reset` are the outputs there, (n_lanes * n_units, n_out); read when they are looked at."""
        self._n_steps, self._n_lanes, self._at_reset = n_steps, n_lanes, at_reset
        self._fired = np.zeros((n_steps + 1, len(at_reset)), np.bool_)
        self._event_s = np.zeros((n_steps + 1, n_lanes))
        self._blocks: list[tuple[slice, _Visible]] = []
        self._outputs: Floats | None = None

    def add(self, units: slice, whole: WholeInput, result: StepResult) -> None:
        """Take in what the rows of some units did."""
        rows = np.flatnonzero(result.fired & ~whole.rows.merged)
        unit = np.searchsorted(whole.starts, rows, side="right") - 1
        after = whole.rows.start[rows] + 1
        self._fired[after, units.start + unit] = True
        lane = (units.start + unit) // (len(self._at_reset) // self._n_lanes)
        np.fmax.at(self._event_s, (after, lane), result.latency_s[rows])
        self._blocks.append((units, _Visible.of(whole, result.outputs)))

    def after(self, n_periods: int) -> LayerOutput:
        """Return what the layer shows when so many periods have passed; 0: at reset."""
        shape = (self._n_lanes, -1)
        return LayerOutput(
            fired=self._fired[n_periods].reshape(shape),
            outputs=lambda: self._all_outputs()[n_periods].reshape(*shape, self._at_reset.shape[1]),
            ready_s=self._event_s[n_periods],
        )

    def _all_outputs(self) -> Floats:
        """Return (n_steps + 1, n_units, n_out): an output lasts until the unit's next step.

        A merged step is simulated when the next driven one begins, so that nobody sees its outputs.
        """
        if self._outputs is None:
            self._outputs = np.empty((self._n_steps + 1, *self._at_reset.shape))
            for units, visible in self._blocks:
                self._outputs[:, units] = self._of_block(self._at_reset[units], visible)
            self._blocks.clear()
        return self._outputs

    def _of_block(self, at_reset: Floats, visible: "_Visible") -> Floats:
        n_units, n_out = at_reset.shape
        n, before = len(visible.start), visible.bounds
        resets = before[:-1] + np.arange(n_units)
        place = np.arange(n) + np.repeat(np.arange(n_units), np.diff(before)) + 1
        begin = np.zeros(n + n_units, np.int64)
        begin[place] = visible.start + 1
        values = np.empty((len(begin), n_out))
        values[resets], values[place] = at_reset, visible.outputs
        end = np.append(begin[1:], 0)
        end[np.append(resets[1:], len(begin)) - 1] = self._n_steps + 1
        return np.repeat(values, end - begin, axis=0).reshape(n_units, -1, n_out).transpose(1, 0, 2)

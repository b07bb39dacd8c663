"""What a layer showed at the end of each period, put together from the rows of its whole input."""

import numpy as np

from simcore.architecture import LayerOutput
from simcore.bank import Floats, StepResult
from simcore.whole import WholeInput


class Shown:
    """Outputs by step; filled block of units by block of units."""

    def __init__(self, n_steps: int, n_lanes: int, at_reset: Floats) -> None:
        """`at_reset` are the outputs there, (n_lanes * n_units, n_out); read when they are looked at."""
        self._n_steps, self._n_lanes, self._at_reset = n_steps, n_lanes, at_reset
        self._fired = np.zeros((n_steps + 1, len(at_reset)), np.bool_)
        self._event_s = np.zeros((n_steps + 1, n_lanes))
        self._blocks: list[tuple[slice, WholeInput, Floats]] = []
        self._outputs: Floats | None = None

    def add(self, units: slice, whole: WholeInput, result: StepResult) -> None:
        """Take in what the rows of some units did."""
        rows = np.flatnonzero(result.fired & ~whole.rows.merged)
        unit = np.searchsorted(whole.starts, rows, side="right") - 1
        after = whole.rows.start[rows] + 1
        self._fired[after, units.start + unit] = True
        lane = (units.start + unit) // (len(self._at_reset) // self._n_lanes)
        np.fmax.at(self._event_s, (after, lane), result.latency_s[rows])
        self._blocks.append((units, whole, result.outputs))

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
            for units, whole, outputs in self._blocks:
                self._outputs[:, units] = self._of_block(self._at_reset[units], whole, outputs)
            self._blocks.clear()
        return self._outputs

    def _of_block(self, at_reset: Floats, whole: WholeInput, outputs: Floats) -> Floats:
        n_units, n_out = at_reset.shape
        rows = np.flatnonzero(~whole.rows.merged)
        before = np.searchsorted(rows, whole.starts)
        resets = before[:-1] + np.arange(n_units)
        place = np.arange(len(rows)) + np.repeat(np.arange(n_units), np.diff(before)) + 1
        begin = np.zeros(len(rows) + n_units, np.int64)
        begin[place] = whole.rows.start[rows] + 1
        values = np.empty((len(begin), n_out))
        values[resets], values[place] = at_reset, outputs[rows]
        end = np.append(begin[1:], 0)
        end[np.append(resets[1:], len(begin)) - 1] = self._n_steps + 1
        return np.repeat(values, end - begin, axis=0).reshape(n_units, -1, n_out).transpose(1, 0, 2)

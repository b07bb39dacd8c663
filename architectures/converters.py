"""Digital-to-analog and analog-to-digital conversion around a crossbar layer."""

from typing import Literal

import numpy as np

from architectures.mapping import Tiles
from simcore.architecture import Work
from simcore.bank import Floats


def dac(activity: Floats, bits: int, full_scale_v: float) -> Floats:
    """Return the levels, 0..full_scale_v, that stand for `activity` in 0..1."""
    top = float(2**bits - 1)
    levels: Floats = np.rint(activity * top) / top * full_scale_v
    return levels


class Converters:
    """Reads the summed partial voltages of a layer: two's complement of `bits` over +-full_scale_v.

    `mode` "before" converts each partial voltage and adds the codes; "after" adds the voltages exactly and
    converts the sum. Both count an addition per partial sum but one. An adder tree of any width takes one
    cycle (carry-save), so that its latency is one addition.
    """

    def __init__(
        self,
        layer: str,
        tiles: Tiles,
        bits: int,
        full_scale_v: float,
        mode: Literal["before", "after"],
        rows_per_adc: int = 1,
    ) -> None:
        """`rows_per_adc`: values that one converter takes one behind the other, held until then."""
        self.tiles = tiles
        self.path: tuple[str, ...] = ("adc", "adder") if tiles.count > 1 else ("adc",)
        self._layer, self._mode = layer, mode
        self._top = 2 ** (bits - 1)
        self._full_scale_v = full_scale_v
        self._n_values = tiles.count * tiles.n_outputs if mode == "before" else tiles.n_outputs
        self._per_adc = rows_per_adc

    @property
    def parts(self) -> dict[str, int]:
        """Converters and the registers behind them."""
        return {"adc": -(-self._n_values // self._per_adc), "register": self._n_values}

    @property
    def work(self) -> Work:
        """What each converter has to do once all values are there."""
        n_adc = self.parts["adc"]
        values = np.bincount(np.arange(self._n_values) // self._per_adc, minlength=n_adc)
        return Work("adc", values[None].astype(np.float64))

    def read(self, outputs_v: Floats) -> tuple[Floats, dict[tuple[str, str], Floats]]:
        """Return sums (n_lanes, n_outputs) of `outputs_v` (n_lanes, n_units, n_out), and actions per lane."""
        partial_v = self.tiles.partial_sums(outputs_v)
        if self._mode == "after":
            partial_v = partial_v.sum(axis=1, keepdims=True)
        clipped = (np.abs(partial_v) > self._full_scale_v).sum(axis=(1, 2)).astype(np.float64)
        n_lanes, n_conversions = len(outputs_v), float(partial_v[0].size)
        n_additions = float((self.tiles.count - 1) * self.tiles.n_outputs)
        return self._quantise(partial_v).sum(axis=1), {
            (self._layer, "adc"): np.full(n_lanes, n_conversions),
            (self._layer, "sample_hold"): np.full(n_lanes, n_conversions * (self._per_adc > 1)),
            (self._layer, "register"): np.full(n_lanes, n_conversions),
            (self._layer, "adder"): np.full(n_lanes, n_additions),
            (self._layer, "clip"): clipped,
        }

    def _quantise(self, values_v: Floats) -> Floats:
        lsb_v = self._full_scale_v / self._top
        codes = np.rint(values_v / lsb_v).clip(-self._top, self._top - 1)
        quantised: Floats = codes * lsb_v
        return quantised

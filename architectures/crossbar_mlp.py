"""Multilayer perceptron on crossbar rows: analog dot products, digital addition and sigmoid between layers.

Pixels become levels of 0..0.8 V; each unit (a row of 32 cells and a bias cell) answers with a voltage that
grows with the dot product of its tile; the partial sums of an output are converted and added, pass a sigmoid
0.8 / (1 + exp(-slope x)) and a DAC into the next layer. Set-up after LASANA, arXiv 2507.10748.
"""

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from architectures.dense_stages import Digital, Levels, centre, dense_network, n_pixels
from architectures.mapping import Tiles
from architectures.weights import Dense, load_weights
from simcore.architecture import Batch, Network, Options
from simcore.bank import Floats
from simcore.errors import WeightsError

CIRCUIT = "crossbar_row"


class CrossbarOptions(Options):
    """Options of `crossbar_mlp`."""

    crop: int | None = Field(default=None, ge=1)
    """Side of the centre crop of the image; none: the whole image."""
    rows: int = Field(default=32, ge=1)
    """Inputs of one crossbar row; must be the size `rows` of the circuit."""
    gain: float = Field(default=30.0, gt=0)
    """Amplifier gain of all layers but the last (LASANA: 30)."""
    last_gain: float = Field(default=10.0, gt=0)
    """Amplifier gain of the last layer (LASANA: 10)."""
    slope: float = Field(default=11.0, gt=0)
    """Slope of the sigmoid in 1/V (LASANA: 11)."""
    converters: Literal["before", "after"] = "before"
    """Convert each partial sum, then add; or add the analog partial sums, then convert once."""
    rows_per_adc: int = Field(default=1, ge=1)
    """Crossbar rows (with `after`: outputs) that share one converter; it takes them one behind the other."""
    bits: int = Field(default=8, ge=2, le=16)
    """Resolution of the DACs and ADCs."""
    full_scale_v: float = Field(default=0.8, gt=0)
    """Levels are 0..full_scale_v, converters take -full_scale_v..full_scale_v (the rails of the row)."""
    delay_periods: int = Field(default=2, ge=1)
    """Periods from one layer's edge to the next one's; 2: settle, then 3.8 ns of digital logic."""


class CrossbarMlp:
    """Architecture `crossbar_mlp`; weights -1, 0, +1, biases whole numbers up to the number of tiles."""

    options_type: ClassVar[type[Options]] = CrossbarOptions

    def __init__(self, weights: str, options: CrossbarOptions, image_shape: tuple[int, int]) -> None:
        self._options = options
        self._dense = load_weights(weights, n_pixels(options.crop, image_shape))
        self._tiles = tuple(
            Tiles(dense.weight.shape[1], dense.weight.shape[0], options.rows) for dense in self._dense
        )
        for i, (dense, tiles) in enumerate(zip(self._dense, self._tiles, strict=True)):
            _check_values(dense, tiles, f"{weights}: fc{i + 1}")

    def network(self, batch: Batch) -> Network:
        """Return one layer of crossbar rows per dense layer."""
        options, n = self._options, len(self._dense)
        return dense_network(
            CIRCUIT,
            self._tiles,
            [self._params(i) for i in range(n)],
            [0.0] * n,
            centre(batch.images, options.crop),
            Digital(
                Levels(options.bits, options.full_scale_v),
                options.full_scale_v,
                options.converters,
                options.rows_per_adc,
                options.slope,
                options.delay_periods,
            ),
        )

    def _params(self, i: int) -> dict[str, Floats]:
        dense, tiles, options = self._dense[i], self._tiles[i], self._options
        gain = options.last_gain if i == len(self._dense) - 1 else options.gain
        return {
            "w": tiles.cells(dense.weight),
            "wb": tiles.bias_cells(dense.bias),
            "gain": np.full(tiles.n_units, gain),
        }


def _check_values(dense: Dense, tiles: Tiles, where: str) -> None:
    wrong = dense.weight[~np.isin(dense.weight, (-1.0, 0.0, 1.0))]
    if wrong.size:
        raise WeightsError(
            f"{where}.weight: got {wrong[0]:g}, expected -1, 0 or +1 (the cells of a crossbar row)"
        )
    wrong = dense.bias[(dense.bias != np.rint(dense.bias)) | (np.abs(dense.bias) > tiles.count)]
    if wrong.size:
        raise WeightsError(
            f"{where}.bias: got {wrong[0]:g}, expected a whole number in -{tiles.count}..{tiles.count} "
            "(one bias cell per tile)"
        )

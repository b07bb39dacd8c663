"""Multilayer perceptron on whole MAC blocks: arrays of cells with their periphery, digital sigmoids between.

Pixels become levels of 0..0.3 V; each unit, a block of `tiles` x `rows` lines and pairs of columns, answers
with one voltage for each pair, which grows with the dot product of its lines. The partial sums of an output
over the blocks are converted and added, get their bias, pass a sigmoid and a DAC into the next layer. Blocks
after SEMULATOR, arXiv 2101.07864; network and sigmoid after LASANA, arXiv 2507.10748.
"""

import math
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from architectures.dense_stages import Digital, Levels, centre, dense_network, n_pixels
from architectures.mapping import Tiles
from architectures.weights import load_weights
from simcore.architecture import Batch, Network, Options
from simcore.bank import Floats
from simcore.errors import WeightsError

CIRCUIT = "rram_mac"


class MacUnitOptions(Options):
    """Options of `mac_unit`."""

    crop: int | None = Field(default=None, ge=1)
    """Side of the centre crop of the image; none: the whole image."""
    tiles: int = Field(default=4, ge=1)
    """Tiles of a block; tiles, rows and columns must be the sizes of the circuit."""
    rows: int = Field(default=64, ge=1)
    """Lines of a tile."""
    columns: int = Field(default=2, ge=2, multiple_of=2)
    """Columns of a block; each pair of them is one output."""
    r_f: float = Field(default=10e3, gt=0)
    """Feedback resistance of the output stages in Ohm."""
    g_off_s: float = Field(default=1e-6, gt=0)
    """Conductance of a cell of weight 0 in S."""
    g_span_s: float = Field(default=8e-6, gt=0)
    """By how much a weight of 1 raises the conductance of one of its two cells, in S."""
    unit_v: float | None = Field(default=None, gt=0)
    """What an input at full level adds to an output over a weight of 1, unit of biases; none: ideal cells."""
    slope: float = Field(default=16.0, gt=0)
    """Slope of the sigmoid in 1/V."""
    converters: Literal["before", "after"] = "before"
    """Convert each partial sum, then add; or add the analog partial sums, then convert once."""
    rows_per_adc: int = Field(default=1, ge=1)
    """Outputs that share one converter; it takes them one behind the other."""
    bits: int = Field(default=8, ge=2, le=16)
    """Resolution of the DACs and ADCs."""
    level_v: float = Field(default=0.3, gt=0)
    """Levels are 0..level_v."""
    full_scale_v: float = Field(default=0.8, gt=0)
    """Converters take -full_scale_v..full_scale_v."""
    delay_periods: int = Field(default=2, ge=1)
    """Periods from one layer's edge to the next one's; 2: settle, then a period of digital logic."""

    @property
    def volts_per_unit(self) -> float:
        """Return `unit_v`, or that of a cell of sinh(4 V) / 4 into an ideal stage."""
        return self.unit_v or self.r_f * self.g_span_s * math.sinh(4 * self.level_v) / 4


class MacUnit:
    """Architecture `mac_unit`; weights from -1 to 1."""

    options_type: ClassVar[type[Options]] = MacUnitOptions

    def __init__(self, weights: str, options: MacUnitOptions, image_shape: tuple[int, int]) -> None:
        self._options = options
        self._dense = load_weights(weights, n_pixels(options.crop, image_shape))
        self._tiles = tuple(
            Tiles(
                n_inputs=dense.weight.shape[1],
                n_outputs=dense.weight.shape[0],
                rows=options.tiles * options.rows,
                pairs=options.columns // 2,
            )
            for dense in self._dense
        )
        for i, dense in enumerate(self._dense, 1):
            largest = float(np.abs(dense.weight).max())
            if largest > 1:
                raise WeightsError(f"{weights}: fc{i}.weight: got {largest:g}, expected -1 to 1")

    def network(self, batch: Batch) -> Network:
        """Return one layer of blocks per dense layer."""
        options = self._options
        return dense_network(
            CIRCUIT,
            self._tiles,
            [self._params(i) for i in range(len(self._dense))],
            [options.volts_per_unit * dense.bias for dense in self._dense],
            centre(batch.images, options.crop),
            Digital(
                Levels(options.bits, options.level_v),
                options.full_scale_v,
                options.converters,
                options.rows_per_adc,
                options.slope,
                options.delay_periods,
            ),
        )

    def _params(self, i: int) -> dict[str, Floats]:
        options, tiles = self._options, self._tiles[i]
        weight = tiles.cells(self._dense[i].weight)
        return {
            "r_f": np.full(tiles.n_units, options.r_f),
            "g_pos": options.g_off_s + options.g_span_s * np.maximum(weight, 0.0),
            "g_neg": options.g_off_s + options.g_span_s * np.maximum(-weight, 0.0),
        }

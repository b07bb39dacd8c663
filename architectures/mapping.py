"""Mapping of a dense layer onto analog dot products: one unit per (tile of inputs, group of outputs).

A unit has `pairs` neighbouring outputs: one of a crossbar row, some of a MAC block. Unit
`tile * groups + group` holds their weights for the inputs of one tile. Inputs beyond the last are padding:
weight 0, level 0; so are outputs beyond the last, which are not read.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simcore.bank import Floats


@dataclass(frozen=True, slots=True)
class Tiles:
    """A dense layer of `n_inputs` x `n_outputs` in tiles of `rows` inputs, groups of `pairs` outputs."""

    n_inputs: int
    n_outputs: int
    rows: int
    pairs: int = 1

    @property
    def count(self) -> int:
        """Tiles that share one output."""
        return -(-self.n_inputs // self.rows)

    @property
    def groups(self) -> int:
        """Units that share the inputs of one tile."""
        return -(-self.n_outputs // self.pairs)

    @property
    def n_units(self) -> int:
        """Units of the layer."""
        return self.count * self.groups

    def cells(self, weight: Floats) -> Floats:
        """Return the weights of each unit, (n_units, pairs * rows), of `weight` (n_outputs, n_inputs)."""
        padded = np.pad(self._padded(weight), ((0, self.groups * self.pairs - self.n_outputs), (0, 0)))
        tiled = padded.reshape(self.groups, self.pairs, self.count, self.rows).transpose(2, 0, 1, 3)
        return tiled.reshape(self.n_units, self.pairs * self.rows)

    def bias_cells(self, bias: Floats) -> Floats:
        """Spread whole biases, one for each unit of a tile, over bias cells -1, 0, +1: (n_units,)."""
        tile = np.arange(self.count)[:, None]
        return (np.sign(bias) * (tile < np.abs(bias))).reshape(self.n_units)

    def levels(self, values: Floats) -> Floats:
        """Return the inputs of each unit, (lanes, n_units, rows), of `values` (lanes, n_inputs)."""
        tiled = self._padded(values).reshape(len(values), self.count, 1, self.rows)
        shape = (len(values), self.count, self.groups, self.rows)
        return np.broadcast_to(tiled, shape).reshape(len(values), self.n_units, self.rows)

    def partial_sums(self, outputs: Floats) -> Floats:
        """Arrange the outputs of the units, (lanes, n_units, pairs), as (lanes, count, n_outputs)."""
        columns = outputs.reshape(len(outputs), self.count, self.groups * self.pairs)
        return columns[:, :, : self.n_outputs]

    def _padded(self, values: Floats) -> Floats:
        return np.pad(values, ((0, 0), (0, self.count * self.rows - self.n_inputs)))


def all_units(n_lanes: int, n_units: int) -> NDArray[np.int64]:
    """Return the flat indices of every unit of every lane."""
    return np.arange(n_lanes * n_units, dtype=np.int64)

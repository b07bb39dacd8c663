"""Cores on a mesh: which core a neuron sits on, and which links its spikes take."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simcore.bank import Floats

Link = tuple[tuple[int, int], tuple[int, int]]
"""From (column, row) to (column, row), neighbours."""


@dataclass(frozen=True, slots=True)
class Cores:
    """Neurons of one layer, in order, on cores of `size`; cores fill the mesh row by row."""

    first: int
    """Number of the first core."""
    n_units: int
    size: int

    @property
    def count(self) -> int:
        """Cores of the layer."""
        return -(-self.n_units // self.size)

    def of_units(self) -> NDArray[np.int64]:
        """Return which of the layer's cores each neuron sits on, (n_units,)."""
        return np.arange(self.n_units) // self.size


class Route:
    """Links between the cores of two layers: first along the row, then along the column."""

    def __init__(self, source: Cores, target: Cores, columns: int) -> None:
        self.target = target

        def place(core: int) -> tuple[int, int]:
            row, column = divmod(core, columns)
            return column, row

        self._links: list[list[list[Link]]] = [
            [list(_xy(place(source.first + a), place(target.first + b))) for b in range(target.count)]
            for a in range(source.count)
        ]
        self._source_core = source.of_units()
        self._known = sorted({link for row in self._links for links in row for link in links})

    @property
    def most_hops(self) -> int:
        """Links on the longest way."""
        return max(len(links) for row in self._links for links in row)

    def loads(self, reaches: NDArray[np.bool_]) -> tuple[Floats, Floats]:
        """Return how many links a spike of each source takes, (n_sources,), and which, (n_sources, n_links).

        `reaches` (n_sources, n_target_cores): to which cores a source sends its spikes, one copy each.
        """
        taken = np.zeros((*reaches.shape[1:], self._source_core.max() + 1, max(1, len(self._known))))
        for a, row in enumerate(self._links):
            for b, links in enumerate(row):
                for link in links:
                    taken[b, a, self._known.index(link)] += 1.0
        links = np.einsum("sb,bsl->sl", reaches.astype(np.float64), taken[:, self._source_core])
        return links.sum(axis=1), links


def _xy(start: tuple[int, int], end: tuple[int, int]) -> Iterator[Link]:
    (column, row), (last_column, last_row) = start, end
    while column != last_column:
        following = column + (1 if last_column > column else -1)
        yield (column, row), (following, row)
        column = following
    while row != last_row:
        following = row + (1 if last_row > row else -1)
        yield (column, row), (column, following)
        row = following

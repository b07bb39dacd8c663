"""RangeCounter: counts the rows outside a bundle's training ranges, and which graph input left its own."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcore.ranges import Report, report
from surrogates.bundle import STEP_GRAPHS, BundleInfo

TOLERANCE = 0.01
"""Share of a column's training range by which it may be left without being counted."""
SIDE = 64
"""Rows that are laid side by side: numpy takes three times as long over as many short ones."""
Rows = NDArray[np.float32]


class RangeCounter:
    """Counts over all calls; looks at single rows only in columns that some row leaves, which are rare."""

    def __init__(self, info: BundleInfo) -> None:
        self._graphs = {graph: _Graph(info, graph) for graph in STEP_GRAPHS}
        self._rows = self._outside = 0

    def outside(
        self, graph: str, x: Rows, ignored: NDArray[np.bool_] | None = None
    ) -> NDArray[np.bool_] | None:
        """Return which rows of x (k, width) have a column out of the range of `graph`, (k,); None if none.

        Rows that are `ignored` (k,) are not counted.
        """
        bounds = self._graphs[graph]
        self._rows += len(x) - (0 if ignored is None else int(np.count_nonzero(ignored)))
        columns = bounds.left_by(x)
        if not len(columns):
            return None
        held = [bounds.hold(x[:, column], column) for column in columns]
        rows = ~np.asarray(np.logical_and.reduce(held))
        if ignored is not None:
            rows &= ~ignored
        self._outside += int(np.count_nonzero(rows))
        bounds.count(x[rows])
        return rows

    def report(self) -> Report:
        """Return the counts as `simcore.ranges` describes them."""
        entries = (graph.entry(name, i) for name, graph in self._graphs.items() for i in graph.left())
        return report(self._rows, self._outside, entries)


class _Graph:
    """Bounds of one graph, and what its columns did."""

    def __init__(self, info: BundleInfo, graph: str) -> None:
        self._names = info.columns
        self._range = np.array([info.ranges[graph].low, info.ranges[graph].high])
        low, high = self._range
        size = np.maximum(np.abs(low), np.abs(high))
        margin = TOLERANCE * (high - low) + 1e-6 * size
        self.low, self.high = (low - margin).astype(np.float32), (high + margin).astype(np.float32)
        self._span = np.where(high > low, high - low, np.where(size > 0, size, 1.0))
        self._counts = np.zeros(len(low), dtype=np.int64)
        self._excess = np.zeros(len(low))
        self._value = np.zeros(len(low))

    def left_by(self, x: Rows) -> NDArray[np.int64]:
        """Return the columns that some row of x (k, width) leaves: by their extremes, where a NaN lasts."""
        if not len(x):
            return np.zeros(0, np.int64)
        lowest, highest = (_extremes(x, ufunc) for ufunc in (np.minimum, np.maximum))
        return np.flatnonzero(~((lowest >= self.low) & (highest <= self.high)))

    def hold(self, values: Rows, column: int | slice = slice(None)) -> NDArray[np.bool_]:
        """Return which values of a column, or of all, are in range, same shape."""
        return np.asarray((values >= self.low[column]) & (values <= self.high[column]))

    def count(self, x: Rows) -> None:
        """Take in rows (m, width) that are outside."""
        out = ~self.hold(x)
        self._counts += out.sum(axis=0)
        columns = np.flatnonzero(out.any(axis=0))
        values = x[:, columns].astype(np.float64)
        low, high = self._range[:, columns]
        excess = np.maximum(low - values, values - high) / self._span[columns]
        excess[np.isnan(excess)] = np.inf
        farthest = excess.argmax(axis=0), np.arange(len(columns))
        more = excess[farthest] > self._excess[columns]
        self._excess[columns[more]] = excess[farthest][more]
        self._value[columns[more]] = values[farthest][more]

    def left(self) -> NDArray[np.int64]:
        """Return the columns that left their range."""
        return np.flatnonzero(self._counts)

    def entry(self, graph: str, column: int) -> dict[str, Any]:
        """Return what is known of one column, JSON-able."""
        low, high = self._range[:, column]
        finite = bool(np.isfinite(self._excess[column]))
        return {
            "column": self._names[column],
            "graph": graph,
            "rows": int(self._counts[column]),
            "value": float(self._value[column]) if finite else None,
            "low": float(low),
            "high": float(high),
            "excess_pct": 100 * float(self._excess[column]) if finite else None,
        }


def _extremes(x: Rows, ufunc: np.ufunc) -> Rows:
    """Return the least or the largest value of each column of x (k, width), (width,)."""
    whole = len(x) // SIDE * SIDE
    if whole:
        sides = ufunc.reduce(x[:whole].reshape(-1, SIDE * x.shape[1]), axis=0)
        x = np.concatenate([sides.reshape(SIDE, -1), x[whole:]])
    return np.asarray(ufunc.reduce(x, axis=0))

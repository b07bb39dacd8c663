"""Family `table`: the nearest of some thousand training rows answers, with its own targets.

Near means near in z, every column counting the same: the published "table". Nothing is interpolated and no
linear model is added, so that a row of the table gets exactly what was recorded for it. Of rows that differ
by no more than rounding (a circuit at rest, an input that repeats) one is kept: which of them is nearest
would be chance.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from surrogates.family import Effort, StepModel
from surrogates.features import Floats, Rows
from surrogates.frame import Frame, Table, column_sets
from surrogates.graph import GraphBuilder

MAX_ROWS = 4096
ALIKE = 2e-5
"""Rows nearer to each other than this are one row; float32 and the features move a row by some 5e-6."""
CHUNK = 4_000_000
"""Distances that are in memory at a time."""


@dataclass(frozen=True, slots=True)
class TableModel:
    """Rows of the table: where they are (n, m), and what they answer (n, c)."""

    z: Rows
    t: Rows

    def predict(self, z: Rows) -> Rows:
        """Return t of the nearest row, (k, c)."""
        return self.t[nearest(self.z, z)]

    def emit(self, builder: GraphBuilder, z: str) -> str:
        """Add the nodes; return t."""
        towards, shift = _metric(self.z)
        constants = builder.tensor(towards, exact=True), builder.tensor(shift, exact=True)
        closeness = builder.add("Gemm", builder.double(z), *constants)
        row = builder.add("ArgMax", closeness, axis=1, keepdims=0)
        return builder.add("Gather", builder.tensor(self.t), row, axis=0)

    def describe(self) -> Mapping[str, Any]:
        """Return the number of rows."""
        return {"rows": len(self.z)}


class TableFamily:
    """A baseline, trained at once and slow to run; needs nothing but numpy."""

    name: ClassVar[str] = "table"
    requires: ClassVar[tuple[str, ...]] = ("onnx",)
    teacher: ClassVar[str] = ""
    residual: ClassVar[bool] = False
    arrays: ClassVar[bool] = False

    def fit(self, frame: Frame, train: Table, selection: Table, effort: Effort) -> StepModel:
        """Draw the rows; a target that a row lacks is that of the nearest training row that has it."""
        z, t = frame.encode(train)
        drawn = _draw(train.valid, effort.seed)
        chosen = drawn[_distinct(z[drawn])]
        answers = t[chosen]
        for columns in column_sets(frame, train):
            has = train.valid[:, columns[0]]
            lacks = np.flatnonzero(~has[chosen])
            if len(lacks) and has.any():
                found = t[has][nearest(z[has], z[chosen[lacks]])]
                answers[np.ix_(lacks, np.array(columns))] = found[:, columns]
        return TableModel(z[chosen], answers)


def nearest(table: Rows, z: Rows) -> NDArray[np.int64]:
    """Return which row of the table is nearest to each row of z, (k,)."""
    size = max(1, CHUNK // len(table))
    towards, shift = _metric(table)
    parts = [z[i : i + size].astype(np.float64) @ towards + shift for i in range(0, len(z), size)]
    return np.concatenate([part.argmax(axis=1) for part in parts])


def _metric(table: Rows) -> tuple[Floats, Floats]:
    """Return matrix (m, n) and shift (n,): z @ matrix + shift is largest where |z - row| is smallest.

    In float64: rows of a circuit at rest differ by less than float32 leaves of |z|^2.
    """
    rows = table.astype(np.float64)
    return rows.T, -0.5 * (rows**2).sum(axis=1)


def _draw(valid: NDArray[np.bool_], seed: int) -> NDArray[np.int64]:
    """Draw rows so that those with and without an event (or a latency) are as frequent as in the data."""
    _, kind = np.unique(valid, axis=0, return_inverse=True)
    shuffled = np.random.default_rng(seed).permutation(len(valid))
    by_kind = shuffled[np.argsort(kind.reshape(-1)[shuffled], kind="stable")]
    picks = np.linspace(0, len(valid) - 1, min(MAX_ROWS, len(valid)))
    return np.sort(by_kind[np.round(picks).astype(np.int64)])


def _distinct(z: Rows) -> NDArray[np.bool_]:
    """Return which rows have no row before them that is ALIKE, (n,)."""
    towards, shift = _metric(z)
    distinct = np.ones(len(z), dtype=np.bool_)
    size = max(1, CHUNK // len(z))
    for i in range(0, len(z), size):
        # Half the squared distance to every row, of which only those before count.
        half = -shift[i : i + size, None] - (z[i : i + size].astype(np.float64) @ towards + shift)
        distinct[i : i + size] = ~np.tril(half < 0.5 * ALIKE**2, i - 1).any(axis=1)
    return distinct


FAMILY = TableFamily()

"""Trees: binary regression trees, and the one ONNX node that adds up a forest of them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from surrogates.family import Effort
from surrogates.features import Rows
from surrogates.graph import GraphBuilder

FEWEST_ROUNDS = 20
GRID = np.float32(2**-10)
"""A thousandth of a column's spread."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """An end: what it adds to which columns of t."""

    adds: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class Split:
    """A branch: `below` where z[feature] <= threshold, else `above`."""

    feature: int
    threshold: float
    below: "Tree"
    above: "Tree"


Tree = Leaf | Split


def affordable_rounds(effort: Effort, most: int, cost_s: float) -> int:
    """Return how many rounds of `cost_s` fit into the budget; with `epochs`, `most` on every machine."""
    return most if effort.epochs is not None else int(np.clip(effort.budget_s / cost_s, FEWEST_ROUNDS, most))


def coarse(z: Rows) -> Rows:
    """Return the rows rounded to GRID, for a library to choose its thresholds from.

    Values that differ by no more than rounding would else be told apart where many rows repeat, and the
    graph, which rounds its features otherwise, would take another branch.
    """
    return np.asarray(np.round(z / GRID) * GRID, dtype=np.float32)


def emit_trees(builder: GraphBuilder, z: str, trees: Iterable[Tree], n_columns: int) -> str:
    """Add a TreeEnsembleRegressor (k, n_columns), the sum of all trees; return its tensor.

    A threshold is rounded down to the float32 below it, so that no float32 changes sides between a float64
    threshold and the node.
    """
    lists = _Lists()
    for tree in trees:
        lists.add(tree)
    if not lists.trees:
        lists.add(Leaf({0: 0.0}))
    return builder.add(
        "TreeEnsembleRegressor",
        z,
        domain="ai.onnx.ml",
        n_targets=n_columns,
        aggregate_function="SUM",
        post_transform="NONE",
        **lists.attributes,
    )


@dataclass
class _Lists:
    """Collects trees as the flat attribute lists of the ONNX node."""

    trees: int = 0
    _nodes: list[tuple[int, int, int, str, float, int, int]] = field(default_factory=list)
    _leaves: list[tuple[int, int, int, float]] = field(default_factory=list)

    def add(self, root: Tree) -> None:
        """Add one tree."""
        for number, node, yes, no in _numbered(root):
            if isinstance(node, Leaf):
                self._nodes.append((self.trees, number, 0, "LEAF", 0.0, 0, 0))
                self._leaves.extend((self.trees, number, column, add) for column, add in node.adds.items())
            else:
                threshold = _float_below(node.threshold)
                self._nodes.append((self.trees, number, node.feature, "BRANCH_LEQ", threshold, yes, no))
        self.trees += 1

    @property
    def attributes(self) -> dict[str, list[Any]]:
        """Attributes of TreeEnsembleRegressor, ai.onnx.ml 3."""
        names = ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids")
        nodes = {f"nodes_{n}": list(v) for n, v in zip(names, zip(*self._nodes, strict=True), strict=True)}
        ends = ("treeids", "nodeids", "ids", "weights")
        leaves = {f"target_{n}": list(v) for n, v in zip(ends, zip(*self._leaves, strict=True), strict=True)}
        return nodes | leaves


def _numbered(root: Tree) -> Iterator[tuple[int, Tree, int, int]]:
    """Yield (number, node, number of its lower child, of its upper child), level by level."""
    level, n = [(0, root)], 1
    while level:
        below: list[tuple[int, Tree]] = []
        for number, node in level:
            if isinstance(node, Leaf):
                yield number, node, 0, 0
                continue
            below += [(n, node.below), (n + 1, node.above)]
            yield number, node, n, n + 1
            n += 2
        level = below


def _float_below(threshold: float) -> float:
    """Return the largest float32 that is not above a float64."""
    rounded = np.float32(threshold)
    return float(np.nextafter(rounded, np.float32(-np.inf)) if float(rounded) > threshold else rounded)

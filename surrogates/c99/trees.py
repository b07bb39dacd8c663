"""A TreeEnsembleRegressor in C: a table of nodes, one of roots, and a walk."""

from typing import Any

import numpy as np

from surrogates.c99.body import Body, Operation, Value
from surrogates.c99.text import initialiser, literal

HELPERS = {
    "walk_trees": """\
/* A branch goes to `yes` where x[column] <= value, else to `no`; a leaf adds its value to y[-1 - column]. */
typedef struct { float value; int column, yes, no; } tree_node;

static inline void walk_trees(const float *restrict x, const tree_node *restrict nodes,
                              const int *restrict roots, int n, const float *restrict base, int m,
                              float *restrict y)
{
    for (int j = 0; j < m; j++) y[j] = base[j];
    for (int i = 0; i < n; i++) {
        const tree_node *at = nodes + roots[i];
        while (at->column >= 0) at = nodes + (x[at->column] <= at->value ? at->yes : at->no);
        y[-1 - at->column] += at->value;
    }
}
"""
}
_SETTINGS = {"aggregate_function": b"SUM", "post_transform": b"NONE"}
_COLUMNS = ("nodes_modes", "nodes_featureids", "nodes_values", "nodes_truenodeids", "nodes_falsenodeids")


def trees(body: Body, operation: Operation) -> Value:
    """Add tables and walk; branches are BRANCH_LEQ, a leaf has one target."""
    (source,), given = operation.inputs, operation.attributes
    for name, expected in _SETTINGS.items():
        if given.get(name, expected) != expected:
            raise body.refuse(operation, f"{name} {given[name]!r}, expected {expected!r}")
    if source.flat or source.constant is not None:
        raise body.refuse(operation, "expected rows (k, n)")
    width = int(given["n_targets"])
    nodes, roots = _tables(body, operation, source.width, width)
    base = np.array(given.get("base_values", [0.0] * width), dtype=np.float32)
    arguments = [
        source.code,
        _table(body, "tree_node", nodes),
        _table(body, "int", [str(root) for root in roots]),
        str(len(roots)),
        body.floats(base),
        str(width),
    ]
    return body.call("walk_trees", arguments, width)


def _table(body: Body, kind: str, items: list[str]) -> str:
    text = initialiser(items)
    return body.table(kind + text, lambda name: f"static const {kind} {name}[] = {text};")


def _tables(body: Body, operation: Operation, width: int, n_targets: int) -> tuple[list[str], list[int]]:
    """Return the nodes as C initialisers, and which of them are roots."""
    given = operation.attributes
    ids = list(zip(given["nodes_treeids"], given["nodes_nodeids"], strict=True))
    place = {key: index for index, key in enumerate(ids)}
    leaves = _leaves(given)
    nodes: list[str] = []
    children: set[int] = set()
    rows = zip(ids, *(given[name] for name in _COLUMNS), strict=True)
    for key, mode, column, value, yes, no in rows:
        target, weight = leaves.get(key, (None, 0.0))
        if mode == b"LEAF" and target is not None and 0 <= target < n_targets:
            nodes.append(f"{{{literal(weight)}, {-1 - target}, 0, 0}}")
        elif mode == b"BRANCH_LEQ" and 0 <= column < width:
            below = place[key[0], yes], place[key[0], no]
            children.update(below)
            nodes.append(f"{{{literal(value)}, {column}, {below[0]}, {below[1]}}}")
        else:
            raise body.refuse(operation, f"node {key} is {mode!r} of column {column}, target {target}")
    return nodes, [index for index in range(len(ids)) if index not in children]


def _leaves(given: Any) -> dict[tuple[int, int], tuple[int | None, float]]:
    """Return target and weight of each leaf, None for one that has several."""
    found: dict[tuple[int, int], tuple[int | None, float]] = {}
    columns = (given[f"target_{name}"] for name in ("treeids", "nodeids", "ids", "weights"))
    for tree, node, target, weight in zip(*columns, strict=True):
        found[tree, node] = (None, 0.0) if (tree, node) in found else (target, weight)
    return found

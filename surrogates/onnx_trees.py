"""Checks the attributes of a TreeEnsembleRegressor: onnxruntime indexes with what they hold."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_DEPTH = 256
MAX_TARGETS = 4096
MODES = (b"BRANCH_LEQ", b"BRANCH_LT", b"BRANCH_GTE", b"BRANCH_GT")
LEAF = b"LEAF"
TREE_ATTRIBUTES = {
    **{f"nodes_{name}ids": "ints" for name in ("tree", "node", "feature", "truenode", "falsenode")},
    **{f"target_{name}": "ints" for name in ("treeids", "nodeids", "ids")},
    **dict.fromkeys(("nodes_values", "nodes_hitrates", "target_weights", "base_values"), "floats"),
    "nodes_missing_value_tracks_true": "ints",
    "nodes_modes": "strings",
    "n_targets": "i",
    "aggregate_function": "s",
    "post_transform": "s",
}
"""Name -> field that holds the value."""

Integers = NDArray[np.int64]


def check_ensemble(attributes: Mapping[str, Any], width: int) -> int:
    """Return the number of targets of trees over `width` columns; unsound ones raise ValueError."""
    n_targets = attributes.get("n_targets", 0)
    if not 1 <= n_targets <= MAX_TARGETS:
        raise ValueError(f"trees with {n_targets} targets, expected 1 to {MAX_TARGETS}")
    if attributes.get("aggregate_function", b"SUM") != b"SUM":
        raise ValueError(f"trees joined by {attributes['aggregate_function']!r}, expected a sum")
    if attributes.get("post_transform", b"NONE") != b"NONE":
        raise ValueError(f"trees followed by {attributes['post_transform']!r}, expected nothing")
    if len(attributes.get("base_values", ())) not in (0, n_targets):
        raise ValueError(f"{len(attributes['base_values'])} base values for {n_targets} targets")
    n_nodes = len(attributes.get("nodes_modes", ()))
    keys, leaf = _check_nodes(attributes, n_nodes, width)
    _check_leaves(attributes, keys[leaf], n_nodes, n_targets)
    return int(n_targets)


def _check_nodes(attributes: Mapping[str, Any], n: int, width: int) -> tuple[Integers, NDArray[np.bool_]]:
    """Check what each node says; return a key of each, unique over the trees, and which are leaves."""
    modes = attributes.get("nodes_modes", [])
    unknown = set(modes) - {*MODES, LEAF}
    if unknown or not n:
        raise ValueError(f"trees with nodes of kind {sorted(unknown)[:3]}, expected {LEAF!r} and {MODES}")
    leaf = np.array([mode == LEAF for mode in modes])
    _integers(attributes, "nodes_featureids", n, width)
    _floats(attributes, "nodes_values", n)
    tree = _integers(attributes, "nodes_treeids", n, n)
    keys = tree * n + _integers(attributes, "nodes_nodeids", n, n)
    if len(np.unique(keys)) < n:
        raise ValueError("trees with two nodes of one number")
    children = np.stack(
        [tree * n + _integers(attributes, f"nodes_{x}nodeids", n, n) for x in ("true", "false")]
    )
    order = np.argsort(keys)
    found = order[np.searchsorted(keys, children, sorter=order).clip(max=n - 1)]
    if not (keys[found] == children)[:, ~leaf].all():
        raise ValueError("trees with a branch to a node that is not there")
    _check_depth(found, leaf)
    for name, most in (("nodes_hitrates", None), ("nodes_missing_value_tracks_true", 2)):
        if name in attributes:
            _floats(attributes, name, n) if most is None else _integers(attributes, name, n, most)
    return keys, leaf


def _check_depth(children: Integers, leaf: NDArray[np.bool_]) -> None:
    """Walk down from all nodes at once: where branches form a ring, this never ends."""
    nodes = np.flatnonzero(~leaf)
    for _ in range(MAX_DEPTH):
        if not len(nodes):
            return
        nodes = np.unique(children[:, nodes])
        nodes = nodes[~leaf[nodes]]
    raise ValueError(f"trees deeper than {MAX_DEPTH} branches, or with a ring")


def _check_leaves(attributes: Mapping[str, Any], leaves: Integers, n_nodes: int, n_targets: int) -> None:
    n = len(attributes.get("target_ids", ()))
    _integers(attributes, "target_ids", n, n_targets)
    _floats(attributes, "target_weights", n)
    tree = _integers(attributes, "target_treeids", n, n_nodes)
    keys = tree * n_nodes + _integers(attributes, "target_nodeids", n, n_nodes)
    if not n or not np.isin(keys, leaves).all():
        raise ValueError("trees with a value that is not at a leaf")


def _integers(attributes: Mapping[str, Any], name: str, n: int, limit: int) -> Integers:
    values = np.array(attributes.get(name, ()), dtype=np.int64)
    if len(values) != n or not ((values >= 0) & (values < limit)).all():
        raise ValueError(f"{name} of trees: {len(values)} values, expected {n} of 0 to {limit - 1}")
    return values


def _floats(attributes: Mapping[str, Any], name: str, n: int) -> None:
    if len(attributes.get(name, ())) != n:
        raise ValueError(f"{name} of trees: {len(attributes.get(name, ()))} values, expected {n}")

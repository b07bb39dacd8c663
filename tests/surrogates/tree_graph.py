"""A driven graph of the neuron, made of decision trees that nobody trained."""

import numpy as np

from surrogates.bundle import EVENT_BIAS
from surrogates.graph import GraphBuilder

HEADS = {"supply_j": 7, "input_j": 8, "latency_s": 9}


def tree_graph(width: int, n_trees: int = 6, depth: int = 3) -> bytes:
    """Return the ONNX file: inputs (k, width); one output and three states."""
    builder = GraphBuilder("driven")
    rng = np.random.default_rng(0)
    inner, all_nodes = 2**depth - 1, 2 ** (depth + 1) - 1
    node = np.tile(np.arange(all_nodes), n_trees)
    tree = np.repeat(np.arange(n_trees), all_nodes)
    leaf = node >= inner
    values = builder.add(
        "TreeEnsembleRegressor", "x", domain="ai.onnx.ml", n_targets=10,
        aggregate_function="SUM", post_transform="NONE",
        nodes_treeids=tree.tolist(), nodes_nodeids=node.tolist(),
        nodes_featureids=np.where(leaf, 0, rng.integers(0, width, len(node))).tolist(),
        nodes_modes=np.where(leaf, "LEAF", "BRANCH_LEQ").tolist(),
        nodes_values=rng.normal(size=len(node)).tolist(),
        nodes_truenodeids=np.where(leaf, 0, 2 * node + 1).tolist(),
        nodes_falsenodeids=np.where(leaf, 0, 2 * node + 2).tolist(),
        target_treeids=tree[leaf].tolist(), target_nodeids=node[leaf].tolist(),
        target_ids=rng.integers(0, 10, leaf.sum()).tolist(),
        target_weights=rng.normal(size=leaf.sum()).tolist(),
    )  # fmt: skip
    logit = builder.add("Add", builder.columns(values, slice(0, 1)), EVENT_BIAS)
    heads = {"fired": (builder.column(logit, 0), None)}
    heads |= {name: (builder.column(values, column), None) for name, column in HEADS.items()}
    levels = {
        "outputs": (builder.columns(values, slice(1, 2)), 1),
        "state": (builder.columns(values, slice(2, 5)), 3),
    }
    return builder.finish({"x": width, EVENT_BIAS: 1}, heads | levels, {})

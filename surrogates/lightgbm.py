"""Family `lightgbm`: gradient-boosted trees on what the linear model leaves, all in one ensemble node.

The node is written from the boosters' own dump, not by a converter: a threshold is rounded down to the
float32 below it, so that no row changes sides between LightGBM and onnxruntime.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from surrogates.family import Effort, StepModel
from surrogates.features import Rows
from surrogates.frame import Frame, Group, Table
from surrogates.graph import GraphBuilder

ROUNDS = 150
LEAVES = 31
# Seconds per row and round of one booster on one core, rounded up.
ROW_COST_S = 2e-7


@dataclass(frozen=True, slots=True)
class LightgbmModel:
    """One booster per column of t; None where the column never varies."""

    boosters: tuple[Any, ...]

    def predict(self, z: Rows) -> Rows:
        """Return t, (k, c); the event as a logit."""
        columns = [
            np.zeros(len(z)) if booster is None else booster.predict(z, raw_score=True, num_threads=1)
            for booster in self.boosters
        ]
        return np.column_stack(columns).astype(np.float32)

    def emit(self, builder: GraphBuilder, z: str) -> str:
        """Add one TreeEnsembleRegressor with all columns; return its tensor."""
        ensemble = _Ensemble()
        for column, booster in enumerate(self.boosters):
            for tree in booster.dump_model()["tree_info"] if booster is not None else ():
                ensemble.add(tree["tree_structure"], column)
        return builder.add(
            "TreeEnsembleRegressor",
            z,
            domain="ai.onnx.ml",
            n_targets=len(self.boosters),
            aggregate_function="SUM",
            post_transform="NONE",
            **ensemble.attributes,
        )

    def describe(self) -> Mapping[str, Any]:
        """Return the number of trees of each column."""
        return {"leaves": LEAVES, "trees": [0 if b is None else b.num_trees() for b in self.boosters]}


class LightgbmFamily:
    """Trees: quick to train, slow to run; needs the extra `train`."""

    name: ClassVar[str] = "lightgbm"
    requires: ClassVar[tuple[str, ...]] = ("lightgbm", "onnx")
    teacher: ClassVar[str] = ""

    def fit(self, frame: Frame, train: Table, selection: Table, effort: Effort) -> StepModel:
        """Fit one booster per column, stopped early on the selection rows."""
        z, t = frame.encode(train)
        z_selection, t_selection = frame.encode(selection)
        groups = frame.targets.groups
        rounds = int(np.clip(effort.budget_s / (ROW_COST_S * len(z) * len(groups)), 20, ROUNDS))
        boosters = []
        for column, group in enumerate(groups):
            effort.progress(column / len(groups), f"column {column + 1} of {len(groups)}")
            rows, held_out = train.valid[:, column], selection.valid[:, column]
            data = z[rows], t[rows, column], z_selection[held_out], t_selection[held_out, column]
            boosters.append(_fit_booster(*data, group is Group.FIRED, rounds, effort.seed))
        return LightgbmModel(tuple(boosters))


def _fit_booster(
    z: Rows, t: Rows, z_selection: Rows, t_selection: Rows, is_label: bool, rounds: int, seed: int
) -> Any:
    import lightgbm

    if not len(t) or np.ptp(t) < 1e-6:
        return None
    settings = {
        "objective": "binary" if is_label else "regression",
        "boost_from_average": False,
        "num_leaves": LEAVES,
        "learning_rate": 0.1,
        "min_data_in_leaf": 10,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    }
    stops: list[Any] = [lightgbm.early_stopping(20, verbose=False)] if len(t_selection) else []
    train = lightgbm.Dataset(z, t)
    valid = [lightgbm.Dataset(z_selection, t_selection, reference=train)] if len(t_selection) else []
    booster = lightgbm.train(settings, train, rounds, valid_sets=valid, callbacks=stops)
    # Through text: only the rounds up to the best one are kept, in the dump as in predict.
    return lightgbm.Booster(model_str=booster.model_to_string(num_iteration=booster.best_iteration or -1))


@dataclass
class _Ensemble:
    """Collects trees as the flat attribute lists of the ONNX node."""

    _trees: int = 0
    _nodes: list[tuple[int, int, int, str, float, int, int]] = field(default_factory=list)
    _leaves: list[tuple[int, int, int, float]] = field(default_factory=list)

    def add(self, root: Mapping[str, Any], column: int) -> None:
        """Add one tree that adds to `column`."""
        for number, node, yes, no in _numbered(root):
            if "leaf_value" in node:
                self._nodes.append((self._trees, number, 0, "LEAF", 0.0, 0, 0))
                self._leaves.append((self._trees, number, column, float(node["leaf_value"])))
            else:
                threshold = _float_below(float(node["threshold"]))
                feature = int(node["split_feature"])
                self._nodes.append((self._trees, number, feature, "BRANCH_LEQ", threshold, yes, no))
        self._trees += 1

    @property
    def attributes(self) -> dict[str, list[Any]]:
        """Attributes of TreeEnsembleRegressor, ai.onnx.ml 3."""
        names = ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids")
        nodes = {f"nodes_{n}": list(v) for n, v in zip(names, zip(*self._nodes, strict=True), strict=True)}
        ends = ("treeids", "nodeids", "ids", "weights")
        leaves = {f"target_{n}": list(v) for n, v in zip(ends, zip(*self._leaves, strict=True), strict=True)}
        return nodes | leaves


def _numbered(root: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, Any], int, int]]:
    """Yield (number, node, number of its left child, of its right child), the root first."""
    queue, n = [(0, root)], 1
    while queue:
        number, node = queue.pop(0)
        if "leaf_value" in node:
            yield number, node, 0, 0
            continue
        queue += [(n, node["left_child"]), (n + 1, node["right_child"])]
        yield number, node, n, n + 1
        n += 2


def _float_below(threshold: float) -> float:
    """Return the largest float32 that is not above a float64."""
    rounded = np.float32(threshold)
    return float(np.nextafter(rounded, np.float32(-np.inf)) if float(rounded) > threshold else rounded)


FAMILY = LightgbmFamily()

"""Family `lightgbm`: gradient-boosted trees on what the linear model leaves, all in one ensemble node.

The node is written from the boosters' own dump, not by a converter: see `trees` for the thresholds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from surrogates.family import Effort, StepModel
from surrogates.features import Rows
from surrogates.frame import Frame, Group, Table
from surrogates.graph import GraphBuilder
from surrogates.trees import Leaf, Split, Tree, affordable_rounds, coarse, emit_trees

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
        trees = (
            _tree(tree["tree_structure"], column)
            for column, booster in enumerate(self.boosters)
            if booster is not None
            for tree in booster.dump_model()["tree_info"]
        )
        return emit_trees(builder, z, trees, len(self.boosters))

    def describe(self) -> Mapping[str, Any]:
        """Return the number of trees of each column."""
        return {"leaves": LEAVES, "trees": [0 if b is None else b.num_trees() for b in self.boosters]}


class LightgbmFamily:
    """Trees: quick to train, slow to run; needs the extra `train`."""

    name: ClassVar[str] = "lightgbm"
    requires: ClassVar[tuple[str, ...]] = ("lightgbm", "onnx")
    teacher: ClassVar[str] = ""
    residual: ClassVar[bool] = True
    arrays: ClassVar[bool] = False

    def fit(self, frame: Frame, train: Table, selection: Table, effort: Effort) -> StepModel:
        """Fit one booster per column, stopped early on the selection rows."""
        z, t = frame.encode(train)
        z_selection, t_selection = frame.encode(selection)
        z, z_selection = coarse(z), coarse(z_selection)
        groups = frame.targets.groups
        rounds = affordable_rounds(effort, ROUNDS, ROW_COST_S * t.size)
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


def _tree(node: Mapping[str, Any], column: int) -> Tree:
    """Turn a node of the boosters' dump into a tree that adds to `column`."""
    if "leaf_value" in node:
        return Leaf({column: float(node["leaf_value"])})
    below, above = _tree(node["left_child"], column), _tree(node["right_child"], column)
    return Split(int(node["split_feature"]), float(node["threshold"]), below, above)


FAMILY = LightgbmFamily()

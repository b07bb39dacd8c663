"""Family `catboost`: boosted oblivious trees, one ensemble per set of rows; how accurate trees can be.

An oblivious tree asks the same question in all nodes of a level. It is written as the binary tree that it is,
from the model's own JSON, into the same ONNX node as LightGBM's; branches whose leaves agree are left out.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np

from surrogates.family import Effort, StepModel
from surrogates.features import Floats, Rows
from surrogates.frame import Frame, Group, Table, column_sets
from surrogates.graph import GraphBuilder
from surrogates.trees import Leaf, Split, Tree, affordable_rounds, coarse, emit_trees

DEPTH = 6
"""Published: 10. For the neuron 30 rounds of that depth are 3.5 MB, so that 500 would be more than a bundle
may hold; 500 of depth 6 are 7 MB."""
ROUNDS = 500
"""As published (arXiv:2507.10748)."""
# Seconds per row, round and column on one core, rounded up.
ROW_COST_S = 4e-7
PATIENCE = 20
"""Rounds without a smaller error on the selection rows after which training stops."""


@dataclass(frozen=True, slots=True)
class Booster:
    """One ensemble and the columns of t that it answers."""

    columns: tuple[int, ...]
    model: Any

    def trees(self) -> Iterator[Tree]:
        """Yield the trees of the model's JSON."""
        with TemporaryDirectory(prefix="simcore-catboost-") as folder:
            path = Path(folder) / "model.json"
            self.model.save_model(str(path), format="json")
            trees = json.loads(path.read_text(encoding="utf-8"))["oblivious_trees"]
        for tree in trees:
            leaves = np.array(tree["leaf_values"]).reshape(-1, len(self.columns))
            yield _tree(tree["splits"] or [], leaves, self.columns)


@dataclass(frozen=True, slots=True)
class CatboostModel:
    """Ensembles side by side; a column of none of them is zero."""

    boosters: tuple[Booster, ...]
    n_columns: int

    def predict(self, z: Rows) -> Rows:
        """Return t, (k, c); the event as a logit."""
        t = np.zeros((len(z), self.n_columns), dtype=np.float32)
        for booster in self.boosters:
            raw = booster.model.predict(z, prediction_type="RawFormulaVal", thread_count=1)
            t[:, booster.columns] = raw.reshape(len(z), -1)
        return t

    def emit(self, builder: GraphBuilder, z: str) -> str:
        """Add one TreeEnsembleRegressor with all columns; return its tensor."""
        trees = (tree for booster in self.boosters for tree in booster.trees())
        return emit_trees(builder, z, trees, self.n_columns)

    def describe(self) -> Mapping[str, Any]:
        """Return depth and number of trees of each ensemble."""
        return {"depth": DEPTH, "trees": [booster.model.tree_count_ for booster in self.boosters]}


class CatboostFamily:
    """A reference for accuracy, slow to train and to run; needs the extra `catboost`."""

    name: ClassVar[str] = "catboost"
    requires: ClassVar[tuple[str, ...]] = ("catboost", "onnx")
    teacher: ClassVar[str] = ""
    residual: ClassVar[bool] = True
    arrays: ClassVar[bool] = False

    def fit(self, frame: Frame, train: Table, selection: Table, effort: Effort) -> StepModel:
        """Fit one ensemble per set of rows, stopped early on the selection rows."""
        z, t = frame.encode(train)
        z_selection, t_selection = frame.encode(selection)
        z, z_selection = coarse(z), coarse(z_selection)
        sets, boosters = column_sets(frame, train), []
        rounds = affordable_rounds(effort, ROUNDS, ROW_COST_S * t.size)
        for done, columns in enumerate(sets):
            effort.progress(done / len(sets), f"ensemble {done + 1} of {len(sets)}")
            rows, held_out = train.valid[:, columns[0]], selection.valid[:, columns[0]]
            varying = [c for c in columns if rows.any() and np.ptp(t[rows, c]) >= 1e-6]
            if not varying:
                continue
            data = z[rows], t[rows][:, varying], z_selection[held_out], t_selection[held_out][:, varying]
            is_label = frame.targets.groups[columns[0]] is Group.FIRED
            boosters.append(Booster(tuple(varying), _fit(*data, is_label, rounds, effort.seed)))
        return CatboostModel(tuple(boosters), t.shape[1])


def _fit(
    z: Rows, t: Rows, z_selection: Rows, t_selection: Rows, is_label: bool, rounds: int, seed: int
) -> Any:
    from catboost import CatBoost, Pool

    loss = "Logloss" if is_label else "MultiRMSE" if t.shape[1] > 1 else "RMSE"
    settings = {
        "loss_function": loss,
        "boost_from_average": False,
        "iterations": rounds,
        "depth": DEPTH,
        "learning_rate": 0.1,
        "random_seed": seed,
        "thread_count": 1,
        "allow_writing_files": False,
        "logging_level": "Silent",
    }
    booster = CatBoost(settings)
    if len(t_selection):
        held_out = Pool(z_selection, t_selection)
        booster.fit(Pool(z, t), eval_set=held_out, early_stopping_rounds=PATIENCE, use_best_model=True)
    else:
        booster.fit(Pool(z, t))
    return booster


def _tree(splits: Sequence[Mapping[str, Any]], leaves: Floats, columns: tuple[int, ...]) -> Tree:
    """Build a binary tree: split i is bit i of a leaf's number, set where the feature is above its border."""
    if len(leaves) == 1 or (leaves == leaves[0]).all():
        adds = {column: float(value) for column, value in zip(columns, leaves[0], strict=True)}
        return Leaf(adds)
    *lower, top = splits
    half = len(leaves) // 2
    below, above = _tree(lower, leaves[:half], columns), _tree(lower, leaves[half:], columns)
    border = float(np.float32(top["border"]))
    return Split(int(top["float_feature_index"]), border, below, above)


FAMILY = CatboostFamily()

"""Family `mlp`: scikit-learn multilayer perceptrons (100, 50), one per set of rows or one per head."""

import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor
from threadpoolctl import threadpool_limits

from surrogates.dense import DenseNet
from surrogates.family import Effort, StepModel
from surrogates.features import Rows
from surrogates.frame import Frame, Group, Table, column_sets
from surrogates.graph import GraphBuilder

HIDDEN = (100, 50)
PER_HEAD = False
"""Whether each head (latency, output, state, energy) has a network of its own, as published."""
MAX_EPOCHS = 200
TRIAL_EPOCHS = 2


@dataclass(frozen=True, slots=True)
class MlpModel:
    """Networks side by side; `order[i]` is where column i of t lies in their joined answers."""

    nets: tuple[DenseNet, ...]
    order: tuple[int, ...]
    epochs: tuple[int, ...]

    def predict(self, z: Rows) -> Rows:
        """Return t, (k, c)."""
        joined = np.concatenate([net.predict(z) for net in self.nets], axis=1)
        return joined[:, list(self.order)]

    def emit(self, builder: GraphBuilder, z: str) -> str:
        """Add the nodes; return t."""
        joined = builder.concat([net.emit(builder, z) for net in self.nets])
        return builder.gather(joined, self.order)

    def describe(self) -> Mapping[str, Any]:
        """Return sizes and epochs."""
        return {
            "hidden": [[len(bias) for _, bias in net.layers[:-1]] for net in self.nets],
            "epochs": list(self.epochs),
        }


class MlpFamily:
    """The baseline of the literature; needs nothing but scikit-learn to train."""

    name: ClassVar[str] = "mlp"
    requires: ClassVar[tuple[str, ...]] = ("onnx",)
    teacher: ClassVar[str] = ""
    residual: ClassVar[bool] = True
    arrays: ClassVar[bool] = False

    def fit(self, frame: Frame, train: Table, selection: Table, effort: Effort) -> StepModel:
        """Fit one network per set of rows: all rows for the event, those with and those without one."""
        z, t = frame.encode(train)
        sets = column_sets(frame, train, per_head=PER_HEAD)
        nets, trained = [], []
        for done, columns in enumerate(sets):
            effort.progress(done / len(sets), f"network {done + 1} of {len(sets)}")
            rows = train.valid[:, columns[0]]
            is_label = frame.targets.groups[columns[0]] is Group.FIRED
            data = z[rows], t[rows][:, columns], is_label
            epochs = effort.epochs or _affordable(data, effort.budget_s / len(sets))
            net, used = _fit_net(*data, epochs, effort.seed + done)
            nets.append(net)
            trained.append(used)
        joined = [column for columns in sets for column in columns]
        order = tuple(joined.index(column) for column in range(len(joined)))
        return MlpModel(tuple(nets), order, tuple(trained))


def _affordable(data: tuple[Rows, Rows, bool], budget_s: float) -> int:
    """Return how many epochs fit into the budget."""
    start = time.monotonic()
    _fit_net(*data, TRIAL_EPOCHS, 0)
    cost = (time.monotonic() - start) / TRIAL_EPOCHS
    return int(np.clip(budget_s / cost, 5, MAX_EPOCHS))


def _fit_net(z: Rows, t: Rows, is_label: bool, epochs: int, seed: int) -> tuple[DenseNet, int]:
    kind = MLPClassifier if is_label else MLPRegressor
    net = kind(
        hidden_layer_sizes=HIDDEN,
        max_iter=epochs,
        random_state=seed,
        batch_size=min(256, len(z)),
        learning_rate_init=2e-3,
        tol=0.0,
        n_iter_no_change=epochs,
    )
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)  # the number of epochs is ours
        net.fit(z, t[:, 0] > 0.5 if is_label else t if t.shape[1] > 1 else t[:, 0])
    layers = zip(net.coefs_, net.intercepts_, strict=True)
    return DenseNet(tuple((w.astype(np.float32), b.astype(np.float32)) for w, b in layers), "relu"), int(
        net.n_iter_
    )


def fit_smooth(z: Rows, t: Rows, seed: int) -> MlpModel:
    """Fit a small tanh network to a few hundred rows of a smooth function."""
    net = MLPRegressor(
        hidden_layer_sizes=(24,),
        activation="tanh",
        solver="lbfgs",
        alpha=1e-3,
        max_iter=500,
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        net.fit(z, t if t.shape[1] > 1 else t[:, 0])
    layers = zip(net.coefs_, net.intercepts_, strict=True)
    dense = DenseNet(tuple((w.astype(np.float32), b.astype(np.float32)) for w, b in layers), "tanh")
    return MlpModel((dense,), tuple(range(t.shape[1])), (int(net.n_iter_),))


FAMILY = MlpFamily()

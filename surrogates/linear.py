"""Family `linear`: the frame's ridge regression as it is, and logistic regression for the event."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from surrogates.dense import DenseModel
from surrogates.family import Effort, StepModel
from surrogates.features import Floats, Rows
from surrogates.frame import Frame, Table
from surrogates.mean import event_layer, event_logit

MAX_ITERATIONS = 1000


class LinearFamily:
    """A baseline: what the physics features are worth by themselves; needs nothing but scikit-learn."""

    name: ClassVar[str] = "linear"
    requires: ClassVar[tuple[str, ...]] = ("onnx",)
    teacher: ClassVar[str] = ""
    residual: ClassVar[bool] = True
    arrays: ClassVar[bool] = False

    def fit(self, frame: Frame, train: Table, selection: Table, effort: Effort) -> StepModel:
        """Fit the event; the frame has fitted the rest."""
        weights, bias = np.zeros(len(frame.design.names)), 0.0
        if frame.targets.fired:
            label = train.y[:, 0] > 0.5
            if label.all() or not label.any():
                bias = event_logit(train)
            else:
                weights, bias = _logistic(frame.design.standardise(train.x), label)
        return DenseModel(event_layer(frame, weights, bias), {"columns": len(frame.design.names)})


def _logistic(z: Rows, label: NDArray[np.bool_]) -> tuple[Floats, float]:
    regression = LogisticRegression(max_iter=MAX_ITERATIONS)
    with threadpool_limits(1):
        regression.fit(z.astype(np.float64), label)
    return regression.coef_[0], float(regression.intercept_[0])


FAMILY = LinearFamily()

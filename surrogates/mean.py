"""Family `mean`: the constant predictor of the literature, which every other family has to beat.

Each target is its mean over the training rows that have it, the next state included; the event is the more
frequent outcome. An idle energy is the mean of what the frame makes of it: a power, where time decides.
"""

from typing import ClassVar

import numpy as np

from surrogates.dense import DenseModel, DenseNet
from surrogates.family import Effort, StepModel
from surrogates.features import Floats
from surrogates.frame import Frame, Table

RAREST = 1e-6
"""Share below which an outcome that never happened is taken to be: a logit is finite."""


class MeanFamily:
    """A baseline, trained at once; needs nothing but numpy."""

    name: ClassVar[str] = "mean"
    requires: ClassVar[tuple[str, ...]] = ("onnx",)
    teacher: ClassVar[str] = ""
    residual: ClassVar[bool] = False
    arrays: ClassVar[bool] = False

    def fit(self, frame: Frame, train: Table, selection: Table, effort: Effort) -> StepModel:
        """Count the events; the means are the frame's."""
        logit = event_logit(train) if frame.targets.fired else 0.0
        net = event_layer(frame, np.zeros(len(frame.design.names)), logit)
        return DenseModel(net, {"event_logit": logit})


def event_logit(train: Table) -> float:
    """Return log p / (1 - p) of the share p of training rows with an event."""
    share = float(np.clip(train.y[:, 0].mean(), RAREST, 1 - RAREST))
    return float(np.log(share / (1 - share)))


def event_layer(frame: Frame, weights: Floats, bias: float) -> DenseNet:
    """Return z @ weights (m,) + bias for the event, t = 0 for everything else."""
    n_columns = len(frame.targets.groups)
    matrix = np.zeros((len(frame.design.names), n_columns), dtype=np.float32)
    shift = np.zeros(n_columns, dtype=np.float32)
    if frame.targets.fired:
        matrix[:, 0], shift[0] = weights, bias
    return DenseNet(((matrix, shift),), "relu")


FAMILY = MeanFamily()

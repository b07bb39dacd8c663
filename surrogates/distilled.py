"""Family `distilled`: a small network that learns from the recording and from the answers of `trunk`.

A network that is fast to run needs more data than a large one to be as good. The trunk answers any step: half
of each epoch are recorded steps whose state and parameters are shaken, with the trunk's answers; a branch
counts as much as the trunk believes in it. They are shaken a little: steps far from those of a run cost a
small network what it needs near them (docs/adr/0015).
"""

from dataclasses import replace
from typing import ClassVar

import numpy as np

from simcore.spec import PortKind
from surrogates.family import Effort, StepModel
from surrogates.features import Rows
from surrogates.frame import Frame, Table
from surrogates.trunk import Trainer

HIDDEN = (64, 64, 64)
"""As good as two layers of 112, with two thirds of the products."""
PASSES = 2
"""Epochs for each one that is asked for: they cost little, and a small network gains from more of them."""
SHAKE = 0.002
"""Standard deviation of the shaking of state and parameters, as a share of their range in the recording."""


class DistilledFamily:
    """The fast family; needs the extra `torch` to train."""

    name: ClassVar[str] = "distilled"
    requires: ClassVar[tuple[str, ...]] = ("torch", "onnx")
    teacher: ClassVar[str] = "trunk"
    residual: ClassVar[bool] = True
    arrays: ClassVar[bool] = False

    def fit(self, frame: Frame, train: Table, selection: Table, effort: Effort) -> StepModel:
        """Learn from the recording and from `effort.fitted["trunk"]`, whose idle steps are fast already."""
        if effort.graph == "idle":
            return effort.fitted[self.teacher]
        return _Student(frame, train, effort, effort.fitted[self.teacher]).train()


class _Student(Trainer):
    """Epochs of recorded and shaken rows."""

    def __init__(self, frame: Frame, train: Table, effort: Effort, teacher: StepModel) -> None:
        epochs = None if effort.epochs is None else PASSES * effort.epochs
        super().__init__(frame, train, replace(effort, epochs=epochs), HIDDEN)
        self._teacher = teacher
        self._low, self._high = train.x.min(axis=0), train.x.max(axis=0)
        layout, self._shake = frame.design.layout, np.zeros_like(self._low)
        for kind in (PortKind.PARAM, PortKind.STATE):
            columns = layout.of(kind)
            self._shake[columns] = SHAKE * (self._high - self._low)[columns]

    @property
    def n_rows(self) -> int:
        """Rows of an epoch: as many shaken as recorded ones."""
        return 2 * len(self._train.x)

    def rows(self) -> tuple[Rows, Rows, Rows]:
        """Return the recorded rows, then the shaken ones."""
        z, t, weight = super().rows()
        new_z = self._frame.design.standardise(self._shaken())
        new_t = self._teacher.predict(new_z)
        new_weight = self._belief(new_t)
        return np.concatenate([z, new_z]), np.concatenate([t, new_t]), np.concatenate([weight, new_weight])

    def _shaken(self) -> Rows:
        """Return as many new graph inputs as recorded ones, (n, width)."""
        x = self._train.x
        shaken = x + self._shake * self._rng.standard_normal(x.shape, dtype=np.float32)
        return np.asarray(np.clip(shaken, self._low, self._high))

    def _belief(self, t: Rows) -> Rows:
        """Return the weight of each target by the trunk's probability of an event; make its logit a label."""
        targets = self._frame.targets
        weight = np.ones_like(t)
        if targets.branched:
            probability = 0.5 * (1.0 + np.tanh(0.5 * t[:, :1]))
            t[:, :1] = probability
            weight[:, targets.block(0)] = 1.0 - probability
            weight[:, targets.block(1)] = probability
            weight[:, int(targets.fired) : targets.block(0).start] = probability
        return weight


FAMILY = DistilledFamily()

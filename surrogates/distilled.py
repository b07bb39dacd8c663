"""Family `distilled`: a small network that learns from the recording and from the answers of `trunk`.

A network that is fast to run needs more data than a large one to be as good. The trunk answers any step, so
half of each epoch are steps that no recording has: the state and the parameters of one recorded step, shaken,
with the inputs and the duration of another. On those the targets are the trunk's; a branch counts as much as
the trunk believes in it. Half of the synthetic steps lie where the trunk is least sure of the event: there an
error costs most, and the recording has few steps.
"""

from dataclasses import replace
from typing import ClassVar

import numpy as np

from simcore.spec import PortKind
from surrogates.family import Effort, StepModel
from surrogates.features import Rows
from surrogates.frame import Frame, Mask, Table
from surrogates.layout import Layout
from surrogates.trunk import Trainer

HIDDEN = (112, 112)
PASSES = 2
"""Epochs for each one that is asked for: they cost little, and a small network gains from more of them."""
UNSURE = 2
"""Candidates for each step that is kept because the trunk is unsure of it."""
BATCH = 512
SHAKE = 0.02
"""Standard deviation of the shaking of state and parameters, as a share of their range in the recording."""


class DistilledFamily:
    """The fast family; needs the extra `torch` to train."""

    name: ClassVar[str] = "distilled"
    requires: ClassVar[tuple[str, ...]] = ("torch", "onnx")
    teacher: ClassVar[str] = "trunk"
    residual: ClassVar[bool] = True
    arrays: ClassVar[bool] = False

    def fit(self, frame: Frame, train: Table, selection: Table, effort: Effort) -> StepModel:
        """Learn from the recording and from `effort.fitted["trunk"]`."""
        return _Student(frame, train, effort, effort.fitted[self.teacher]).train()


class _Student(Trainer):
    """Epochs of recorded and synthetic rows."""

    def __init__(self, frame: Frame, train: Table, effort: Effort, teacher: StepModel) -> None:
        epochs = None if effort.epochs is None else PASSES * effort.epochs
        super().__init__(frame, train, replace(effort, epochs=epochs), HIDDEN, BATCH)
        self._teacher = teacher
        self._free = _free_columns(frame.design.layout)
        self._low, self._high = train.x.min(axis=0), train.x.max(axis=0)
        self._shake = (SHAKE * (self._high - self._low) * self._free).astype(np.float32)

    @property
    def n_rows(self) -> int:
        """Rows of an epoch: as many synthetic as recorded ones."""
        return 2 * len(self._train.x)

    def rows(self) -> tuple[Rows, Rows, Rows]:
        """Return the recorded rows, then the synthetic ones."""
        z, t, weight = super().rows()
        new_z, new_t = self._taught(len(z))
        new_weight = self._belief(new_t)
        return np.concatenate([z, new_z]), np.concatenate([t, new_t]), np.concatenate([weight, new_weight])

    def _taught(self, n: int) -> tuple[Rows, Rows]:
        """Return n synthetic steps and the trunk's answers; half are unsure ones, where there are events."""
        if not self._frame.targets.branched or n < 2:
            z = self._frame.design.standardise(self._synthetic(n))
            return z, self._teacher.predict(z)
        n_unsure = n // 2
        z = self._frame.design.standardise(self._synthetic(n - n_unsure + UNSURE * n_unsure))
        t = self._teacher.predict(z)
        unsure = n - n_unsure + np.argpartition(np.abs(t[n - n_unsure :, 0]), n_unsure)[:n_unsure]
        kept = np.concatenate([np.arange(n - n_unsure), unsure])
        return z[kept], t[kept]

    def _synthetic(self, n: int) -> Rows:
        """Return new graph inputs, (n, width)."""
        x, rng = self._train.x, self._rng
        noise = self._shake * rng.standard_normal((n, x.shape[1]), dtype=np.float32)
        shaken = np.clip(x[rng.integers(len(x), size=n)] + noise, self._low, self._high)
        return np.where(self._free, shaken, x[rng.integers(len(x), size=n)])

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


def _free_columns(layout: Layout) -> Mask:
    """Which graph inputs come from the step whose state is taken, (width,)."""
    free = np.zeros(layout.width, np.bool_)
    free[layout.of(PortKind.PARAM)] = free[layout.of(PortKind.STATE)] = True
    return free


FAMILY = DistilledFamily()

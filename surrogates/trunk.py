"""Family `trunk`: one torch network for all targets, layers of SiLU, trained with masked losses.

Next state and energies have separate heads with and without an event, each trained only on its own rows.
Noise of about a millivolt on the state it starts from teaches the network to return to the true trajectory,
so that errors do not add up over the steps of a run. torch trains it and is not needed to run it.
"""

import time
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from simcore.errors import UserError
from surrogates.dense import DenseModel, DenseNet
from surrogates.family import Effort, StepModel
from surrogates.features import Rows
from surrogates.frame import Frame, Group, Table, state_noise

HIDDEN = {"driven": (160, 160, 160), "idle": (32, 32)}
"""Widths by graph. While its input stays as it is a circuit only relaxes: larger networks are no better."""
MAX_EPOCHS = 200
BATCH = {"driven": 1024, "idle": 512}
PEAK_RATE = 2e-2
LOSS_WEIGHTS = {
    "driven": {Group.FIRED: 3.0, Group.STATE: 3.0},
    "idle": {},
}
"""Weights other than 1, by graph. What the next step starts from counts more: its errors stay in the run. In
idle steps so do those of the energy: many small ones have to add up to that of a merged step."""


class TrunkFamily:
    """The most accurate family; needs the extra `torch` to train."""

    name: ClassVar[str] = "trunk"
    requires: ClassVar[tuple[str, ...]] = ("torch", "onnx")
    teacher: ClassVar[str] = ""
    residual: ClassVar[bool] = True
    arrays: ClassVar[bool] = False

    def fit(self, frame: Frame, train: Table, selection: Table, effort: Effort) -> StepModel:
        """Train for one cycle of as many epochs as the budget allows, at most MAX_EPOCHS."""
        return Trainer(frame, train, effort, HIDDEN[effort.graph]).train()


class Trainer:
    """One training; all random numbers come from the effort's seed."""

    def __init__(self, frame: Frame, train: Table, effort: Effort, hidden: tuple[int, ...]) -> None:
        import torch

        if not hasattr(torch.optim, "Muon"):
            raise UserError(
                f"training needs torch 2.9 or later, found {torch.__version__}: pip install -U torch"
            )
        self._torch = torch
        self._frame, self._train, self._effort, self._batch = frame, train, effort, BATCH[effort.graph]
        self._rng = np.random.default_rng(effort.seed)
        torch.manual_seed(effort.seed)
        groups = frame.targets.groups
        self._net = _stack(torch, [len(frame.design.names), *hidden, len(groups)])
        self._weights = torch.tensor([LOSS_WEIGHTS[effort.graph].get(group, 1.0) for group in groups])
        # A rare branch counts as much per row of its own as a common one.
        share = np.maximum(train.valid.mean(axis=0), 1e-3).astype(np.float32)
        self._weights = self._weights / torch.from_numpy(share).sqrt()
        self._noise = state_noise(frame.design.layout, train.x)

    def train(self) -> DenseModel:
        """Train on one thread, so that every machine adds in the same order."""
        before = self._torch.get_num_threads()
        self._torch.set_num_threads(1)
        try:
            return self._trained()
        finally:
            self._torch.set_num_threads(before)

    def _trained(self) -> DenseModel:
        start = time.monotonic()
        cycle = _Cycle(self._torch, self._net)
        epochs = self._effort.epochs or self._affordable(cycle)
        cycle.begin(epochs * -(-self.n_rows // self._batch))
        for done in range(1, epochs + 1):
            loss = self._epoch(cycle)
            self._effort.progress(done / epochs, f"epoch {done} of {epochs}, loss {loss:.4g}")
        layers = [
            (layer.weight.detach().numpy().T.copy(), layer.bias.detach().numpy().copy())
            for layer in self._net
            if hasattr(layer, "weight")
        ]
        net = DenseNet(tuple(layers), "silu")
        return DenseModel(net, {"epochs": epochs, "fit_s": round(time.monotonic() - start, 1)})

    def _affordable(self, cycle: "_Cycle") -> int:
        """Time one epoch at the lowest rate; return how many fit into the budget."""
        start = time.monotonic()
        self._epoch(cycle)
        cost = max(time.monotonic() - start, 1e-3)
        return int(np.clip(self._effort.budget_s / cost - 1, 5, MAX_EPOCHS))

    def _epoch(self, cycle: "_Cycle") -> float:
        torch = self._torch
        z, t, weight = (torch.from_numpy(array) for array in self.rows())
        order = torch.from_numpy(self._rng.permutation(len(z)))
        total = 0.0
        for rows in order.split(self._batch):
            self._net.zero_grad(set_to_none=True)
            loss = self._loss(self._net(z[rows]), t[rows], weight[rows])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self._net.parameters(), 1.0)
            cycle.step()
            total += float(loss.detach()) * len(rows)
        return total / len(z)

    @property
    def n_rows(self) -> int:
        """Rows of an epoch."""
        return len(self._train.x)

    def rows(self) -> tuple[Rows, Rows, Rows]:
        """Return what an epoch learns: z, t and the weight of each target, (n_rows, ...) each."""
        z, t = self._frame.encode(self._train, self._noisy())
        return z, t, self._train.valid.astype(np.float32)

    def _loss(self, answer: Any, t: Any, weight: Any) -> Any:
        functional = self._torch.nn.functional
        first = int(self._frame.targets.fired)
        each = functional.huber_loss(answer[:, first:], t[:, first:], reduction="none", delta=1.0)
        loss = (each * weight[:, first:] * self._weights[first:]).mean()
        if first:
            label = functional.binary_cross_entropy_with_logits(answer[:, 0], t[:, 0])
            loss = loss + self._weights[0] * label
        return loss

    def _noisy(self) -> Rows:
        shape = self._train.x.shape
        return self._train.x + self._noise * self._rng.standard_normal(shape, dtype=np.float32)


class _Cycle:
    """One cycle of the rate: Muon for the matrices, AdamW for the biases.

    Muon (https://kellerjordan.github.io/posts/muon) makes the directions of a step equally long: as good as
    AdamW alone in less than half the time (docs/adr/0015).
    """

    def __init__(self, torch: Any, net: Any) -> None:
        matrices = [each for each in net.parameters() if each.ndim == 2]
        biases = [each for each in net.parameters() if each.ndim == 1]
        optim, lowest = torch.optim, PEAK_RATE / 25
        self._schedules: list[Any] = []
        self._torch = torch
        self._optimisers = [
            optim.Muon(matrices, lr=lowest, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"),
            optim.AdamW(biases, lr=lowest, weight_decay=0.0, fused=True),
        ]

    def begin(self, steps: int) -> None:
        """Let the rate rise and fall over so many steps; before that it is the lowest."""
        self._schedules = [
            self._torch.optim.lr_scheduler.OneCycleLR(
                each, PEAK_RATE, total_steps=steps + 1, pct_start=0.1, cycle_momentum=False
            )
            for each in self._optimisers
        ]

    def step(self) -> None:
        """Move the weights along their gradients."""
        for each in (*self._optimisers, *self._schedules):
            each.step()


def _stack(torch: Any, widths: list[int]) -> Any:
    layers: list[Any] = []
    for n_in, n_out in pairwise(widths):
        layers += [torch.nn.Linear(n_in, n_out), torch.nn.SiLU()]
    return torch.nn.Sequential(*layers[:-1])


FAMILY = TrunkFamily()

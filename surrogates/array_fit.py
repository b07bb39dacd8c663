"""Trains networks on whole arrays with torch, from checkpoint to checkpoint; ArrayModel is what comes out."""

import hashlib
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from surrogates.family import Effort
from surrogates.features import Rows
from surrogates.frame import Frame, Group, Table
from surrogates.graph import GraphBuilder
from surrogates.tensors import GraphTensor, Tensor, Weights, constants, parameters

Forward = Callable[[dict[str, Tensor], Tensor], Tensor]
LOSS_WEIGHTS = {Group.LATENCY: 0.02, Group.OUTPUT: 1.0, Group.ENERGY: 0.5}
SHARP = {Group.LATENCY: 0.5, Group.OUTPUT: 0.004, Group.ENERGY: 0.02}
"""Errors below this share of a target's spread count squared, larger ones as they are."""
CHECKPOINT_S = 30.0
ROWS = 1024
"""Rows per call of a network that only answers."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How a network is trained with AdamW, where the effort does not say."""

    batch: int
    rate: float
    epochs: int
    halve_at: tuple[float, ...]
    """Shares of the epochs after which the rate is halved."""

    def rate_at(self, share: float) -> float:
        """Return the rate when a share of the epochs is done; it rises over the first percent."""
        return self.rate * min(1.0, 100 * share + 0.01) * 0.5 ** sum(share >= at for at in self.halve_at)


@dataclass(frozen=True, slots=True)
class ArrayModel:
    """A step model that is one network on whole arrays."""

    forward: Forward
    weights: Weights
    notes: Mapping[str, Any]

    def predict(self, z: Rows) -> Rows:
        """Return t, (k, c)."""
        import torch

        w = parameters(self.weights)
        with torch.no_grad():
            parts = [
                self.forward(w, torch.from_numpy(z[first : first + ROWS])).numpy()
                for first in range(0, len(z), ROWS)
            ]
        return np.concatenate(parts)

    def emit(self, builder: GraphBuilder, z: str) -> str:
        """Add the nodes; return t."""
        answer: GraphTensor = self.forward(constants(builder, self.weights), GraphTensor(builder, z))
        return answer.name

    def describe(self) -> Mapping[str, Any]:
        """Return the number of weights, and the notes."""
        return {"weights": int(sum(value.size for value in self.weights.values())), **self.notes}


def fit_array(
    forward: Forward,
    weights: Weights,
    frame: Frame,
    train: Table,
    effort: Effort,
    schedule: Schedule,
    fixed: Collection[str] = (),
) -> tuple[dict[str, Rows], dict[str, Any]]:
    """Train all weights but the `fixed` ones on one thread; return them with notes.

    Where the effort counts epochs, a checkpoint of the same data, seed and settings is gone on with, and
    leaves the same network.
    """
    with one_thread():
        return _Fit(forward, weights, frame, train, effort, schedule, fixed).run()


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch and BLAS use one thread, so that every machine adds in the same order."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


class _Fit:
    def __init__(
        self,
        forward: Forward,
        weights: Weights,
        frame: Frame,
        train: Table,
        effort: Effort,
        schedule: Schedule,
        fixed: Collection[str],
    ) -> None:
        import torch

        self._torch, self._forward, self._effort, self._schedule = torch, forward, effort, schedule
        self._w = parameters(weights)
        for name in fixed:
            self._w[name].requires_grad_(False)
        trained = [value for value in self._w.values() if value.requires_grad]
        self._optimiser = torch.optim.AdamW(trained, lr=schedule.rate, weight_decay=0.0)
        z, t = frame.encode(train)
        self._z, self._t = torch.from_numpy(z), torch.from_numpy(t)
        weight = np.array([LOSS_WEIGHTS[group] for group in frame.targets.groups], np.float32)
        share = np.maximum(train.valid.mean(axis=0), 1e-3)
        self._weight = torch.from_numpy((train.valid * (weight / share)).astype(np.float32))
        self._sharp = torch.tensor([SHARP[group] for group in frame.targets.groups])
        self._rng = np.random.default_rng(effort.seed)
        self._path = effort.checkpoint if effort.epochs else None
        shapes = {name: value.shape for name, value in weights.items()}
        settings = (effort.seed, effort.epochs, schedule, sorted(fixed), shapes, LOSS_WEIGHTS, SHARP)
        digest = hashlib.sha256(repr(settings).encode())
        for array in (z, t, train.valid, *(weights[name] for name in fixed)):
            digest.update(np.ascontiguousarray(array).tobytes())
        self._key = digest.hexdigest()

    def run(self) -> tuple[dict[str, Rows], dict[str, Any]]:
        """Train for the effort's epochs, else for the schedule's or as many as the budget allows."""
        start, saved = time.monotonic(), time.monotonic()
        done, losses = self._restored()
        epochs = self._effort.epochs or self._schedule.epochs
        while done < epochs:
            losses.append(self._epoch(done, epochs))
            done += 1
            if self._effort.epochs is None and done == 2:
                left = self._effort.budget_s - (time.monotonic() - start)
                epochs = int(np.clip(2 + left * 2 / (time.monotonic() - start), 3, epochs))
            self._effort.progress(done / epochs, f"epoch {done} of {epochs}, loss {losses[-1]:.4g}")
            if time.monotonic() - saved > CHECKPOINT_S:
                self._save(done, losses)
                saved = time.monotonic()
        self._save(done, losses)
        weights = {name: value.detach().numpy().copy() for name, value in self._w.items()}
        return weights, {"epochs": epochs, "fit_s": round(time.monotonic() - start, 1), "loss": losses[-1]}

    def _epoch(self, done: int, epochs: int) -> float:
        torch, total = self._torch, 0.0
        order = torch.from_numpy(self._rng.permutation(len(self._z)))
        batches = order.split(self._schedule.batch)
        for place, rows in enumerate(batches):
            rate = self._schedule.rate_at((done + place / len(batches)) / epochs)
            for group in self._optimiser.param_groups:
                group["lr"] = rate
            self._optimiser.zero_grad(set_to_none=True)
            off = (self._forward(self._w, self._z[rows]) - self._t[rows]).abs()
            rounded = torch.where(off < self._sharp, off * off / (2 * self._sharp), off - self._sharp / 2)
            loss = (rounded * self._weight[rows]).mean()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self._optimiser.param_groups[0]["params"], 1.0)
            self._optimiser.step()
            total += float(loss.detach()) * len(rows)
        return total / len(self._z)

    def _save(self, done: int, losses: list[float]) -> None:
        path = self._path
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        state = {
            "key": self._key, "done": done, "losses": losses, "rng": self._rng.bit_generator.state,
            "weights": {name: value.detach() for name, value in self._w.items()},
            "optimiser": self._optimiser.state_dict(),
        }  # fmt: skip
        part = Path(f"{path}.part")
        self._torch.save(state, part)
        part.replace(path)

    def _restored(self) -> tuple[int, list[float]]:
        """Go on from the checkpoint, where there is one of this very training."""
        path = self._path
        if path is None or not path.exists():
            return 0, []
        state = self._torch.load(path, weights_only=True)
        if state["key"] != self._key:
            return 0, []
        with self._torch.no_grad():
            for name, value in state["weights"].items():
                self._w[name].copy_(value)
        self._optimiser.load_state_dict(state["optimiser"])
        self._rng.bit_generator.state = state["rng"]
        return state["done"], state["losses"]

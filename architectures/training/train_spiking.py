"""Trains the spiking networks: python -m architectures.training.train_spiking NAME.

Surrogate gradient through the very equations of `simcore.lif`; jitter on gain, threshold and leak and lost
input spikes make the spike counts insensitive to what the closed form leaves out.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from architectures.datasets import digits, mnist
from architectures.spiking_mlp import CIRCUIT, SpikingOptions
from architectures.training.store import save
from architectures.weights import SHIPPED
from simcore.closed_form import load_constants
from simcore.lif import LifConstants, LifState, lif_period
from simcore.manifest import circuit_folder

_, NEURON = load_constants(circuit_folder(CIRCUIT))
GRID = 1 / 64
"""Step of the stored weights (8 bits: -2..2)."""
JITTER = 0.05
"""Relative spread of gain, threshold and leak over units and batches in training."""
LOST = 0.02
"""Share of input spikes that are dropped in training."""
MAX_RATE = 0.25
"""Mean hidden rate above which a penalty sets in: sparse activity costs less energy and simulation time."""
LOGITS_PER_RATE = 15.0
"""Logit per unit of output rate: low, so that the right class fires often; few spikes make coarse counts."""
NEAR_V = 0.1
"""Overdrives smaller than this are near the threshold: which way they go depends on the last millivolt."""
MAX_SUM = 8.0
"""Summed weight above which a penalty sets in; the neuron's input ends at 14."""


@dataclass(frozen=True)
class Setting:
    """One shipped network."""

    load: Callable[[str], Any]
    sizes: tuple[int, int, int]
    options: SpikingOptions
    train_steps: int
    epochs: int
    batch: int
    lr: float


SETTINGS = {
    "digits_64_32_10": Setting(
        digits.load, (64, 32, 10), SpikingOptions(steps=30, max_rate=0.5), 30, 50, 64, 4e-3
    ),
    "mnist_784_128_10": Setting(mnist.load, (784, 128, 10), SpikingOptions(), 32, 4, 150, 3e-3),
}


class Spike(torch.autograd.Function):
    """A step whose gradient is a bell of about 0.1 V around the threshold."""

    @staticmethod
    def forward(ctx: Any, overdrive: Tensor) -> Tensor:
        ctx.save_for_backward(overdrive)
        return (overdrive > 0).to(overdrive.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (overdrive,) = ctx.saved_tensors
        return gradient / (1.0 + (overdrive / 0.15) ** 2)


def layer(constants: LifConstants, drive: Tensor) -> tuple[Tensor, Tensor]:
    """Run neurons on `drive` (n, steps, units); return spikes and overdrives, same shape."""
    zero = torch.zeros_like(drive[:, 0])
    state, spikes, overdrives = LifState(zero, zero), [], []
    for weight in drive.unbind(1):
        state, fired, overdrive = lif_period(constants, state, weight, Spike.apply)
        spikes.append(fired)
        overdrives.append(overdrive)
    return torch.stack(spikes, 1), torch.stack(overdrives, 1)


def nearness(overdrive: Tensor) -> Tensor:
    """Return 1 at the threshold, falling to 0 over NEAR_V."""
    return 1.0 / (1.0 + (overdrive / NEAR_V) ** 2)


def jittered(units: int) -> LifConstants:
    """Return the neuron with constants that vary from unit to unit."""
    factor = {name: 1.0 + JITTER * torch.randn(units) for name in ("gain_v", "v_th_v", "leak_rate")}
    return NEURON.model_copy(update={name: getattr(NEURON, name) * value for name, value in factor.items()})


class Net(torch.nn.Module):
    """Input spikes (n, steps, pixels) to output spikes, sums and hidden spikes, and how near events were."""

    def __init__(self, sizes: tuple[int, int, int]) -> None:
        super().__init__()
        n_in, n_hidden, n_out = sizes
        self.fc1 = torch.nn.Parameter(torch.randn(n_hidden, n_in) * 3.0 / n_in**0.5)
        self.fc2 = torch.nn.Parameter(torch.randn(n_out, n_hidden) * 3.0 / n_hidden**0.5)

    def forward(self, spikes: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor], Tensor, Tensor]:
        noisy = self.training
        sums1 = spikes @ self.rounded(self.fc1).T
        hidden, over1 = layer(jittered(len(self.fc1)) if noisy else NEURON, sums1)
        sums2 = hidden @ self.rounded(self.fc2).T
        out, over2 = layer(jittered(len(self.fc2)) if noisy else NEURON, sums2)
        return out, (sums1, sums2), hidden, nearness(over1).mean() + nearness(over2).mean()

    @staticmethod
    def rounded(weight: Tensor) -> Tensor:
        """Return the weights on their grid, with the gradient passed through."""
        return weight + (torch.round(weight / GRID) * GRID - weight).detach()


def poisson(images: Tensor, steps: int, max_rate: float) -> Tensor:
    """Return input spikes (n, steps, pixels)."""
    rate = max_rate * images.flatten(1)[:, None, :]
    drawn = torch.empty(len(images), steps, rate.shape[2], dtype=torch.int16).random_(0, 1 << 15)
    return (drawn < (rate * (1 << 15)).to(torch.int16)).float()


def tensors(setting: Setting, split: str) -> tuple[Tensor, Tensor]:
    """Return images and labels."""
    data = setting.load(split)
    return torch.as_tensor(data.images, dtype=torch.float32), torch.as_tensor(data.labels)


def evaluate(net: Net, setting: Setting, images: Tensor, labels: Tensor) -> dict[str, float]:
    """Return accuracy, mean rates and the largest summed weight at the full number of steps."""
    net.eval()
    right, rates, near, largest = [], [], [], 0.0
    with torch.no_grad():
        for part, truth in zip(images.split(250), labels.split(250), strict=True):
            out, sums, hidden, nearby = net(poisson(part, setting.options.steps, setting.options.max_rate))
            right.append((out.sum(1).argmax(1) == truth).double().mean().item())
            rates.append((hidden.mean().item(), out.mean().item()))
            near.append(nearby.item())
            largest = max(largest, *(s.abs().max().item() for s in sums))
    net.train()
    hidden_rate, output_rate = np.mean(rates, axis=0)
    return {
        "software_accuracy": float(np.mean(right)),
        "hidden_rate": float(hidden_rate),
        "output_rate": float(output_rate),
        "nearness": float(np.mean(near)),
        "largest_sum": largest,
    }


def loss_of(net: Net, setting: Setting, images: Tensor, labels: Tensor) -> Tensor:
    """Return cross entropy on spike counts plus the penalties on rate and on summed weights."""
    spikes = poisson(images, setting.train_steps, setting.options.max_rate * (1.0 - LOST))
    out, sums, hidden, near = net(spikes)
    penalty = 0.5 * near + 2.0 * (hidden.mean((0, 1)) - MAX_RATE).clip(min=0).mean()
    for total in sums:
        penalty = penalty + 0.1 * (total.abs() - MAX_SUM).clip(min=0).square().mean()
    return cross_entropy(LOGITS_PER_RATE * out.mean(1), labels) + penalty


def train(name: str, seed: int, folder: Path) -> None:
    """Train one network and write its weights."""
    setting = SETTINGS[name]
    torch.manual_seed(seed)
    images, labels = tensors(setting, "train")
    net = Net(setting.sizes)
    optimiser = torch.optim.Adam(net.parameters(), lr=setting.lr)
    n_batches = len(images) // setting.batch
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, setting.epochs * n_batches)
    for epoch in range(setting.epochs):
        for i, rows in enumerate(torch.randperm(len(images)).split(setting.batch)[:n_batches]):
            loss = loss_of(net, setting, images[rows], labels[rows])
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            if (epoch * n_batches + i) % (setting.epochs * n_batches // 20) == 0:
                print(f"{name} epoch {epoch} loss {loss.item():.4f}", flush=True)
        if (epoch + 1) % max(setting.epochs // 10, 1) == 0:
            print(epoch, evaluate(net, setting, images[:1000], labels[:1000]), flush=True)
    figures = evaluate(net, setting, *tensors(setting, "test"))
    print(f"{name}: {figures}")
    layers = [{"weight": net.rounded(weight).detach().numpy()} for weight in (net.fc1, net.fc2)]
    options = setting.options.model_dump_json()
    script = Path(__file__).name
    save(name, layers, folder, seed=seed, options=options, script=script, neuron=NEURON.source, **figures)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=SETTINGS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=SHIPPED, help="folder [that of the shipped weights]")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    train(arguments.name, arguments.seed, arguments.out)

"""Trains the binary crossbar networks: python -m architectures.training.train_crossbar NAME.

Weights are the signs of latent weights (straight-through gradient); every partial sum passes the closed form
of the row, noise and an 8-bit converter, so that the software accuracy is that of the circuit.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from architectures.crossbar_mlp import CIRCUIT, CrossbarOptions
from architectures.datasets import digits, mnist
from architectures.dense_stages import centre
from architectures.mapping import Tiles
from architectures.training.store import save
from simcore.closed_form import load_constants
from simcore.manifest import circuit_folder

_, ROW = load_constants(circuit_folder(CIRCUIT))


@dataclass(frozen=True)
class Setting:
    """One shipped network."""

    load: object
    sizes: tuple[int, ...]
    options: CrossbarOptions
    epochs: int
    batch: int
    shift: int
    """Training images are shifted by up to this many pixels."""


SETTINGS = {
    "digits_64_48_10": Setting(digits.load, (64, 48, 10), CrossbarOptions(), 300, 64, 0),
    "mnist_400_120_84_10": Setting(mnist.load, (400, 120, 84, 10), CrossbarOptions(crop=20), 16, 128, 1),
}
NOISE_V = 0.004
"""Noise on each partial sum in training."""


def straight(hard: Tensor, soft: Tensor) -> Tensor:
    """Return `hard` with the gradient of `soft`."""
    return soft + (hard - soft).detach()


class Row(torch.nn.Module):
    """A tiled dense layer of crossbar rows: activity (n, in) in 0..1 to summed volts (n, out)."""

    def __init__(self, tiles: Tiles, gain: float, options: CrossbarOptions) -> None:
        super().__init__()
        self.tiles, self.gain, self.options = tiles, gain, options
        self.latent = torch.nn.Parameter(0.3 * (2.0 * torch.rand(tiles.n_outputs, tiles.n_inputs) - 1.0))
        self.latent_bias = torch.nn.Parameter(torch.zeros(tiles.n_outputs))

    def forward(self, activity: Tensor) -> Tensor:
        t, fs = self.tiles, self.options.full_scale_v
        top = 2**self.options.bits - 1
        activity = straight(torch.round(activity * top) / top, activity)
        pad = t.count * t.rows - t.n_inputs
        u = torch.nn.functional.pad(fs * activity, (0, pad)).reshape(-1, t.count, t.rows)
        w = straight(torch.where(self.latent >= 0, 1.0, -1.0), self.latent.clip(-1, 1))
        w = torch.nn.functional.pad(w, (0, pad)).reshape(t.n_outputs, t.count, t.rows)
        volts = self.amplify(self.column(u, w, 1.0) - self.column(u, w, -1.0))
        if self.training:
            volts = volts + NOISE_V * torch.randn_like(volts)
        if self.options.converters == "after":
            volts = volts.sum(1, keepdim=True)
        lsb, half = fs / 2 ** (self.options.bits - 1), 2 ** (self.options.bits - 1)
        return straight(torch.round(volts / lsb).clip(-half, half - 1) * lsb, volts).sum(1)

    def column(self, u: Tensor, w: Tensor, sign: float) -> Tensor:
        """Return the voltage of one column of each unit, (n, tiles, out)."""
        span = ROW.g_on_s - ROW.g_off_s
        g = ROW.g_off_s + span * (sign * w).clip(min=0.0)
        g_bias = ROW.g_off_s + span * (sign * self.bias_cells()).clip(min=0.0)
        current = torch.einsum("ntr,otr->nto", u, g) + g_bias * ROW.bias_v
        return current / (ROW.g_sense_s + g.sum(2).T + g_bias)

    def bias_cells(self) -> Tensor:
        """Return the bias cells, (tiles, out)."""
        cells = torch.as_tensor(self.tiles.bias_cells(self.bias().numpy()), dtype=torch.float32)
        soft = (self.latent_bias / self.tiles.count).expand(self.tiles.count, -1)
        return straight(cells.reshape(self.tiles.count, -1), soft)

    def bias(self) -> Tensor:
        """Return the whole-numbered biases."""
        return torch.round(self.latent_bias.detach()).clip(-self.tiles.count, self.tiles.count)

    def amplify(self, difference: Tensor) -> Tensor:
        """Return the settled output, with a little gradient beyond the rails."""
        line = self.gain * difference / (1.0 + self.gain / ROW.loop_gain)
        bend = ROW.bend + ROW.bend_gain * self.gain
        knee = ROW.knee_v + ROW.knee_gain_v * self.gain
        flat = line.clip(-ROW.v_sat_v, ROW.v_sat_v)
        out = flat * (1.0 - bend * torch.exp(-(line.abs() - ROW.v_sat_v).abs() / knee))
        return straight(out, 0.9 * flat + 0.1 * line)


class Net(torch.nn.Module):
    """The whole network: images (n, pixels) to class scores in volts."""

    def __init__(self, sizes: tuple[int, ...], options: CrossbarOptions) -> None:
        super().__init__()
        self.slope = options.slope
        n = len(sizes) - 1
        self.rows = torch.nn.ModuleList(
            Row(
                Tiles(sizes[i], sizes[i + 1], options.rows),
                options.gain if i < n - 1 else options.last_gain,
                options,
            )
            for i in range(n)
        )

    def forward(self, x: Tensor) -> Tensor:
        for i, row in enumerate(self.rows):
            x = row(torch.sigmoid(self.slope * x) if i else x)
        return x


def tensors(setting: Setting, split: str) -> tuple[Tensor, Tensor]:
    """Return cropped images (n, side, side) and labels."""
    data = setting.load(split)
    images = centre(data.images, setting.options.crop)
    return torch.as_tensor(images, dtype=torch.float32), torch.as_tensor(data.labels)


def accuracy(net: Net, images: Tensor, labels: Tensor) -> float:
    """Return the share of right labels, without noise."""
    net.eval()
    with torch.no_grad():
        scores = torch.cat([net(part.flatten(1)) for part in images.split(2000)])
    net.train()
    return float((scores.argmax(1) == labels).double().mean())


def shifted(images: Tensor, shift: int) -> Tensor:
    """Shift a batch by a random whole number of pixels."""
    if not shift:
        return images
    dy, dx = (int(n) for n in torch.randint(-shift, shift + 1, (2,)))
    return torch.roll(images, (dy, dx), (1, 2))


def train(name: str, seed: int) -> None:
    """Train one network and write its weights."""
    setting = SETTINGS[name]
    torch.manual_seed(seed)
    images, labels = tensors(setting, "train")
    net = Net(setting.sizes, setting.options)
    scale = torch.nn.Parameter(torch.tensor(20.0))
    optimiser = torch.optim.Adam([{"params": net.parameters(), "lr": 3e-3}, {"params": [scale], "lr": 3e-2}])
    steps = setting.epochs * (len(images) // setting.batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for epoch in range(setting.epochs):
        for rows in torch.randperm(len(images)).split(setting.batch)[: len(images) // setting.batch]:
            batch = shifted(images[rows], setting.shift).flatten(1)
            loss = torch.nn.functional.cross_entropy(scale * net(batch), labels[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            with torch.no_grad():
                for row in net.rows:
                    row.latent.clip_(-1, 1)
                    row.latent_bias.clip_(-row.tiles.count, row.tiles.count)
        if epoch % max(setting.epochs // 20, 1) == 0:
            train_accuracy = accuracy(net, images[:5000], labels[:5000])
            print(f"{name} epoch {epoch} loss {loss.item():.4f} train {train_accuracy:.4f}", flush=True)
    test = accuracy(net, *tensors(setting, "test"))
    print(f"{name}: test accuracy {test:.4f}, scale {scale.item():.1f}")
    layers = [
        {
            "weight": torch.where(row.latent >= 0, 1, -1).numpy().astype(np.int8),
            "bias": row.bias().numpy().astype(np.int8),
        }
        for row in net.rows
    ]
    options = setting.options.model_dump_json()
    save(name, layers, software_accuracy=test, seed=seed, options=options, script=Path(__file__).name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=SETTINGS)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    train(arguments.name, arguments.seed)

"""Trained weights: the files that ship with the package, or any HDF5 or npz file with checked shapes.

A file holds `fc1.weight`, `fc2.weight`, ... as (out, in), and optionally `fc1.bias`, ... as (out,).
"""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from simcore.bank import Floats
from simcore.errors import WeightsError

SHIPPED = Path(__file__).parent / "weights"
SUFFIXES = (".h5", ".hdf5", ".npz")


@dataclass(frozen=True, slots=True)
class Dense:
    """One fully connected layer: y = weight @ x + bias."""

    weight: Floats
    """(out, in)"""
    bias: Floats
    """(out,) zero where the file has none."""


def load_weights(name: str, n_inputs: int) -> tuple[Dense, ...]:
    """Read the layers of a shipped file (by name) or of a path that ends in .h5, .hdf5 or .npz.

    `n_inputs` is the number of pixels that the first layer gets. Raises WeightsError with file, key, what was
    got and what was expected.
    """
    path = _path(name)
    arrays = _read(path)
    layers: list[Dense] = []
    width = n_inputs
    while f"fc{len(layers) + 1}.weight" in arrays:
        layers.append(_dense(arrays, f"fc{len(layers) + 1}", width, path))
        width = len(layers[-1].bias)
    if not layers:
        raise WeightsError(f"{path}: no key 'fc1.weight'; it has: {', '.join(arrays) or 'nothing'}")
    known = {f"fc{i + 1}.{part}" for i in range(len(layers)) for part in ("weight", "bias")}
    if unknown := sorted(set(arrays) - known):
        raise WeightsError(
            f"{path}: unexpected key '{unknown[0]}', "
            "expected fc1.weight, fc1.bias, fc2.weight, ... without a gap"
        )
    return tuple(layers)


def _path(name: str) -> Path:
    if Path(name).suffix in SUFFIXES:
        path = Path(name).expanduser()
        if not path.is_file():
            raise WeightsError(f"weight file {path} does not exist")
        return path
    path = SHIPPED / f"{name}.h5"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.h5")))
        raise WeightsError(
            f"no shipped weights '{name}'; known: {known}; or give a path that ends in {', '.join(SUFFIXES)}"
        )
    return path


def _read(path: Path) -> Mapping[str, Any]:
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                return {key: archive[key] for key in archive.files}
        with h5py.File(path) as file:
            return {key: data[()] for key, data in file.items() if isinstance(data, h5py.Dataset)}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise WeightsError(f"cannot read the weight file {path}: {error}") from error


def _dense(arrays: Mapping[str, Any], layer: str, n_inputs: int, path: Path) -> Dense:
    weight = _floats(arrays[f"{layer}.weight"], f"{layer}.weight", path)
    if weight.ndim != 2 or weight.shape[1] != n_inputs or not len(weight):
        raise WeightsError(f"{path}: {layer}.weight: got shape {weight.shape}, expected (out, {n_inputs})")
    bias = _floats(arrays.get(f"{layer}.bias", np.zeros(len(weight))), f"{layer}.bias", path)
    if bias.shape != (len(weight),):
        raise WeightsError(f"{path}: {layer}.bias: got shape {bias.shape}, expected ({len(weight)},)")
    return Dense(weight=weight, bias=bias)


def _floats(values: Any, key: str, path: Path) -> Floats:
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise WeightsError(f"{path}: {key}: got type {array.dtype}, expected numbers")
    if not np.isfinite(array).all():
        raise WeightsError(f"{path}: {key}: holds NaN or infinity, expected finite numbers")
    return array.astype(np.float64)

"""Weight files: shipped and own ones, and what is refused."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from architectures.crossbar_mlp import CrossbarMlp, CrossbarOptions
from architectures.spiking_mlp import SpikingMlp, SpikingOptions
from architectures.weights import load_weights
from simcore.errors import WeightsError

SHIPPED = {
    "digits_64_48_10": (64, 48, 10),
    "digits_64_32_10": (64, 32, 10),
    "mnist_400_120_84_10": (400, 120, 84, 10),
    "mnist_784_128_10": (784, 128, 10),
}


def npz(folder: Path, **arrays: Any) -> str:
    """Write an npz file and return its path."""
    path = folder / "own.npz"
    np.savez(path, **{key.replace("_", "."): value for key, value in arrays.items()})
    return str(path)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_weights_have_the_sizes_of_their_name(name: str) -> None:
    layers = load_weights(name, SHIPPED[name][0])
    assert (SHIPPED[name][0], *(len(layer.weight) for layer in layers)) == SHIPPED[name]


def test_own_npz_and_hdf5_files_read_alike(tmp_path: Path) -> None:
    weight, bias = np.arange(6.0).reshape(2, 3), np.array([1.0, -1.0])
    with h5py.File(tmp_path / "own.h5", "w") as file:
        file["fc1.weight"], file["fc1.bias"] = weight, bias
    for path in (npz(tmp_path, fc1_weight=weight, fc1_bias=bias), str(tmp_path / "own.h5")):
        (layer,) = load_weights(path, 3)
        assert np.array_equal(layer.weight, weight)
        assert np.array_equal(layer.bias, bias)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"fc1_weight": np.zeros((2, 4))}, r"fc1.weight: got shape \(2, 4\), expected \(out, 3\)"),
        (
            {"fc1_weight": np.zeros((2, 3)), "fc1_bias": np.zeros(3)},
            r"fc1.bias: got shape \(3,\), expected \(2,\)",
        ),
        ({"fc1_weight": np.full((2, 3), np.nan)}, "fc1.weight: holds NaN"),
        ({"fc1_weight": np.array([["a", "b", "c"]])}, "fc1.weight: got type <U1"),
        ({"fc2_weight": np.zeros((2, 3))}, "no key 'fc1.weight'; it has: fc2.weight"),
        ({"fc1_weight": np.zeros((2, 3)), "fc3_weight": np.zeros((2, 2))}, "unexpected key 'fc3.weight'"),
    ],
)
def test_damaged_files_are_refused_with_file_and_key(
    tmp_path: Path, arrays: dict[str, Any], message: str
) -> None:
    path = npz(tmp_path, **arrays)
    with pytest.raises(WeightsError, match=message) as caught:
        load_weights(path, 3)
    assert path in str(caught.value)


def test_missing_files_and_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="does not exist"):
        load_weights(str(tmp_path / "none.h5"), 3)
    with pytest.raises(WeightsError, match="no shipped weights 'none'; known: digits_64_32_10"):
        load_weights("none", 3)
    (tmp_path / "text.h5").write_text("not HDF5")
    with pytest.raises(WeightsError, match=r"cannot read the weight file .*text.h5"):
        load_weights(str(tmp_path / "text.h5"), 3)
    (tmp_path / "text.npz").write_text("not a zip file")
    with pytest.raises(WeightsError, match=r"cannot read the weight file .*text.npz"):
        load_weights(str(tmp_path / "text.npz"), 3)


def test_crossbar_refuses_values_that_no_cell_has(tmp_path: Path) -> None:
    options = CrossbarOptions()
    with pytest.raises(WeightsError, match=r"fc1.weight: got 0.5, expected -1, 0 or \+1"):
        CrossbarMlp(npz(tmp_path, fc1_weight=np.full((2, 4), 0.5)), options, (2, 2))
    with pytest.raises(WeightsError, match=r"fc1.bias: got 2, expected a whole number in -1..1"):
        CrossbarMlp(npz(tmp_path, fc1_weight=np.ones((1, 4)), fc1_bias=np.array([2.0])), options, (2, 2))


def test_spiking_refuses_biases(tmp_path: Path) -> None:
    path = npz(tmp_path, fc1_weight=np.ones((1, 4)), fc1_bias=np.ones(1))
    with pytest.raises(WeightsError, match="events have no bias"):
        SpikingMlp(path, SpikingOptions(), (2, 2))

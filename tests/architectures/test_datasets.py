"""Data sets: shapes and ranges, where MNIST is looked for, what is refused; spike encoding."""

import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest

from architectures.datasets import digits, mnist
from architectures.datasets.encoding import poisson_raster
from architectures.datasets.images import image_set
from simcore.architecture import Batch
from simcore.errors import DatasetError


def test_digits_split_is_fixed_and_disjoint() -> None:
    train, test = digits.load("train"), digits.load("test")
    assert train.images.shape == (1297, 8, 8)
    assert test.images.shape == (500, 8, 8)
    assert test.images.max() == 1.0
    assert np.array_equal(test.images, digits.load("test").images)


@pytest.mark.parametrize("load", [digits.load, mnist.load])
def test_unknown_split_is_refused(load: object) -> None:
    assert callable(load)
    with pytest.raises(DatasetError, match="unknown split 'valid'; expected one of: train, test"):
        load("valid")


@pytest.mark.parametrize("value", [np.nan, -0.1, 1.5])
def test_bad_pixel_is_refused_with_its_place(value: float) -> None:
    images = np.zeros((2, 3, 3))
    images[1, 2, 0] = value
    with pytest.raises(DatasetError, match=rf"own: image 1, pixel \(2, 0\) is {value:g}, expected"):
        image_set(images, np.zeros(2, dtype=np.int64), 10, "own")


def test_bad_label_and_shape_are_refused() -> None:
    with pytest.raises(DatasetError, match=r"label of image 1 is 10, expected 0..9"):
        image_set(np.zeros((2, 3, 3)), np.array([0, 10]), 10, "own")
    with pytest.raises(DatasetError, match=r"got images \(2, 9\)"):
        image_set(np.zeros((2, 9)), np.array([0, 1]), 10, "own")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty machine: no SIMCORE_DATA, an empty user cache, a mirror that cannot be reached."""
    monkeypatch.delenv("SIMCORE_DATA", raising=False)
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name: str(tmp_path / name))
    monkeypatch.setattr(mnist, "URL", "http://127.0.0.1:9/")
    monkeypatch.setattr(mnist, "TIMEOUT_S", 1)
    return tmp_path


def test_unreachable_mnist_says_where_to_put_which_files(home: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        mnist.load("test")
    message = str(caught.value)
    assert str(home / "simcore" / "mnist") in message
    for name, digest in mnist.CHECKSUMS.items():
        assert f"{name}.gz  {digest}" in message


@pytest.mark.parametrize("packed", [True, False])
def test_mnist_is_read_from_simcore_data(home: Path, monkeypatch: pytest.MonkeyPatch, packed: bool) -> None:
    pixels = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    contents = {
        "t10k-images-idx3-ubyte": b"\0\0\x08\x03"
        + np.array(pixels.shape, ">u4").tobytes()
        + pixels.tobytes(),
        "t10k-labels-idx1-ubyte": b"\0\0\x08\x01" + np.array([2], ">u4").tobytes() + bytes([7, 3]),
    }
    folder = home / "data" / "mnist"
    folder.mkdir(parents=True)
    for name, data in contents.items():
        (folder / (f"{name}.gz" if packed else name)).write_bytes(gzip.compress(data) if packed else data)
        monkeypatch.setitem(mnist.CHECKSUMS, name, hashlib.sha256(data).hexdigest())
    monkeypatch.setenv("SIMCORE_DATA", str(home / "data"))
    test = mnist.load("test")
    assert np.array_equal(test.images, pixels / 255.0)
    assert test.labels.tolist() == [7, 3]


def test_damaged_mnist_is_refused_with_both_checksums(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = home / "mnist"
    folder.mkdir()
    file = folder / "t10k-images-idx3-ubyte.gz"
    monkeypatch.setenv("SIMCORE_DATA", str(home))
    file.write_bytes(gzip.compress(b"something else"))
    expected = mnist.CHECKSUMS["t10k-images-idx3-ubyte"]
    with pytest.raises(DatasetError, match=f"is damaged or not MNIST: .*expected {expected}"):
        mnist.load("test")
    file.write_bytes(b"not gzip")
    with pytest.raises(DatasetError, match="cannot read"):
        mnist.load("test")


def batch(samples: list[int]) -> Batch:
    """Return a batch of random images that belong to their sample indices."""
    images = np.stack([np.random.default_rng(sample).random((4, 4)) for sample in samples])
    return Batch(images=images, labels=np.zeros(len(samples), np.int64), samples=np.array(samples), seed=3)


def test_encoding_of_a_sample_does_not_depend_on_its_batch() -> None:
    together, alone = poisson_raster(batch([5, 8, 2]), 50, 0.4), poisson_raster(batch([8]), 50, 0.4)
    assert np.array_equal(together[1], alone[0])
    assert not np.array_equal(together[0], together[1])


def test_encoding_rate_is_proportional_to_the_pixel() -> None:
    sample = batch([1])
    rate = poisson_raster(sample, 20000, 0.4).mean(axis=1)
    assert np.allclose(rate, 0.4 * sample.images.reshape(1, -1), atol=0.02)

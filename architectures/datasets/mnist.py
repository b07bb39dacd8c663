"""MNIST from idx files: `$SIMCORE_DATA/mnist`, else the user cache, else a download into that cache.

A file may come as `NAME.gz` or unpacked as `NAME`. The checksum is over the unpacked content, because
mirrors pack it differently.
"""

import gzip
import hashlib
import os
import zlib
from pathlib import Path

import numpy as np
import platformdirs
import pooch
from numpy.typing import NDArray

from architectures.datasets.images import image_set
from simcore.architecture import ImageSet
from simcore.errors import DatasetError

URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
"""Mirror of yann.lecun.com/exdb/mnist, the one that torchvision uses."""
TIMEOUT_S = 30

CHECKSUMS = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
"""SHA-256 of each file's unpacked content."""

FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def load(split: str) -> ImageSet:
    """Return the 60,000 training or 10,000 test images, (n, 28, 28) scaled to 0..1."""
    if split not in FILES:
        raise DatasetError(f"mnist: unknown split '{split}'; expected one of: {', '.join(FILES)}")
    pixels, labels = (_idx(_content(name)) for name in FILES[split])
    return image_set(pixels.astype(np.float64) / 255.0, labels.astype(np.int64), 10, f"MNIST, {split}")


def folders() -> tuple[Path, ...]:
    """Return the folders that are searched, in order; the last one receives downloads."""
    named = os.environ.get("SIMCORE_DATA")
    cache = Path(platformdirs.user_cache_dir("simcore")) / "mnist"
    return (Path(named).expanduser() / "mnist", cache) if named else (cache,)


def _content(name: str) -> bytes:
    """Return the unpacked bytes of one file, checked."""
    path = next(
        (file for folder in folders() for file in (folder / f"{name}.gz", folder / name) if file.is_file()),
        None,
    )
    if path is None:
        path = _download(name)
    try:
        packed = path.read_bytes()
        data = gzip.decompress(packed) if path.suffix == ".gz" else packed
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"cannot read {path}: {error}; delete it and try again") from error
    got = hashlib.sha256(data).hexdigest()
    if got != CHECKSUMS[name]:
        raise DatasetError(
            f"{path} is damaged or not MNIST: the SHA-256 of its unpacked content is {got}, "
            f"expected {CHECKSUMS[name]}; delete it and try again"
        )
    return data


def _download(name: str) -> Path:
    cache = folders()[-1]
    try:
        file = pooch.retrieve(
            f"{URL}{name}.gz", known_hash=None, fname=f"{name}.gz", path=cache,
            downloader=pooch.HTTPDownloader(timeout=TIMEOUT_S),
        )  # fmt: skip
    except (OSError, ValueError) as error:
        listed = "\n".join(f"  {file}.gz  {digest}" for file, digest in CHECKSUMS.items())
        raise DatasetError(
            f"MNIST is not on this machine and {URL} cannot be reached ({type(error).__name__}). Put "
            f"these files into {' or '.join(str(folder) for folder in folders())} (SHA-256 of the unpacked "
            f"content, `zcat FILE | sha256sum`):\n{listed}"
        ) from error
    return Path(file)


def _idx(data: bytes) -> NDArray[np.uint8]:
    """Decode an idx file of bytes: two zeros, type 8, number of axes, big-endian sizes, values."""
    axes = data[3]
    shape = np.frombuffer(data, dtype=">u4", count=axes, offset=4)
    return np.frombuffer(data, dtype=np.uint8, offset=4 + 4 * axes).reshape(tuple(int(n) for n in shape))

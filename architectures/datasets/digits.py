"""scikit-learn's bundled 8x8 digits: 1797 images that need no network."""

import numpy as np
from sklearn.datasets import load_digits

from architectures.datasets.images import image_set
from simcore.architecture import ImageSet
from simcore.errors import DatasetError

SPLITS = ("train", "test")
N_TRAIN = 1297
SPLIT_SEED = 0
"""Order in which the images are dealt to train (first N_TRAIN) and test."""


def load(split: str) -> ImageSet:
    """Return the 1297 training or the 500 test images, (n, 8, 8) scaled to 0..1."""
    if split not in SPLITS:
        raise DatasetError(f"digits: unknown split '{split}'; expected one of: {', '.join(SPLITS)}")
    bunch = load_digits()
    order = np.random.default_rng(SPLIT_SEED).permutation(len(bunch.target))
    rows = order[:N_TRAIN] if split == "train" else order[N_TRAIN:]
    images = np.asarray(bunch.images, dtype=np.float64)[rows] / 16.0
    return image_set(
        images, np.asarray(bunch.target, dtype=np.int64)[rows], 10, f"scikit-learn digits, {split}"
    )

"""Checks that every image data set passes before it is used."""

import numpy as np
from numpy.typing import NDArray

from simcore.architecture import ImageSet
from simcore.bank import Floats
from simcore.errors import DatasetError


def image_set(images: Floats, labels: NDArray[np.int64], n_classes: int, source: str) -> ImageSet:
    """Return a checked ImageSet; raises DatasetError that names the first bad image.

    `images` (n, height, width) must be finite and within 0..1, `labels` (n,) within 0..n_classes-1.
    """
    if images.ndim != 3 or labels.shape != images.shape[:1]:
        raise DatasetError(
            f"{source}: got images {images.shape} and labels {labels.shape}, "
            "expected (n, height, width) and (n,)"
        )
    bad = ~((images >= 0.0) & (images <= 1.0))
    if bad.any():
        image, row, column = (int(index) for index in np.argwhere(bad)[0])
        value = images[image, row, column]
        raise DatasetError(
            f"{source}: image {image}, pixel ({row}, {column}) is {value:g}, expected a number in 0..1"
        )
    wrong = (labels < 0) | (labels >= n_classes)
    if wrong.any():
        image = int(np.argmax(wrong))
        raise DatasetError(
            f"{source}: label of image {image} is {labels[image]}, expected 0..{n_classes - 1}"
        )
    return ImageSet(images=images, labels=labels, n_classes=n_classes, source=source)

"""Spike encoding: Poisson rate coding, one random stream per sample."""

import numpy as np
from numpy.typing import NDArray

from simcore.architecture import Batch

POISSON = 1
"""Purpose of the random stream, see Batch.generator."""


def poisson_raster(batch: Batch, steps: int, max_rate: float) -> NDArray[np.bool_]:
    """Return the events of every pixel, (n_lanes, steps, n_pixels).

    Each step holds an event with probability `max_rate x pixel`. A sample's events depend on the seed and on
    its index in the data set only, not on the samples that run beside it.
    """
    pixels = batch.images.reshape(len(batch.images), -1)
    raster = np.empty((len(pixels), steps, pixels.shape[1]), dtype=np.bool_)
    for lane, image in enumerate(pixels):
        raster[lane] = batch.generator(lane, POISSON).random(raster.shape[1:]) < max_rate * image
    return raster

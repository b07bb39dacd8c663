"""How good a surrogate the first runs of a recording make: the judge of `circuit record --until`."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from simcore import registry
from simcore.errors import DatasetError
from simcore.spec import CircuitSpec
from surrogates.dataset import PARTS, Dataset, load_dataset
from surrogates.family import Effort
from surrogates.train import Training

FAMILY = "mlp"
EPOCHS = 15
HELD_OUT, OF_RUNS = 8, 400
"""Every 8th group of runs among the first 400 is held out, whatever is recorded after them."""
GROUP = 4
"""Neighbouring runs that are dealt together: the kinds of stimuli take turns."""


def selection_error(spec: CircuitSpec, recording: Path, runs: int) -> float:
    """Train a quick surrogate on the first `runs` runs and return its closed-loop score on those held out.

    Raises DatasetError where there are too few runs to hold any out.
    """
    dataset = _first(load_dataset(recording, spec, 1), runs)
    with TemporaryDirectory(prefix="simcore-learning-") as folder:
        effort = Effort(1, 1e9, EPOCHS, lambda share, message: None, {})
        family = registry.load("surrogate_families", FAMILY)
        trained = Training(dataset, Path(folder), 1).fit(family, effort)
    return float(trained.info.metrics["closed_loop"]["selection"]["score"])


def _first(dataset: Dataset, runs: int) -> Dataset:
    """Return the data set of the first runs, held-out ones as its selection and its calibration part."""
    known = dataset.runs.run[dataset.runs.run < runs]
    held_out = (known // GROUP % HELD_OUT == 0) & (known < OF_RUNS)
    if held_out.all() or not held_out.any():
        raise DatasetError(f"{dataset.paths[0]}: {len(known)} runs are too few to hold some out")
    parts = (known[~held_out], known[held_out], np.zeros(0, np.int64), np.zeros(0, np.int64))
    return replace(dataset, split=dict(zip(PARTS, parts, strict=True)))

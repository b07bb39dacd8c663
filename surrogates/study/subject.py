"""What a study judges: bundles, and what each says of the runs that no training saw."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simcore.bank import Raster, StepResult
from simcore.errors import BundleError
from simcore.recording import Steps
from simcore.spec import CircuitSpec
from surrogates.bundle import MANIFEST, BundleInfo, SurrogateBundle, read_info
from surrogates.dataset import TEST, Dataset, load_dataset
from surrogates.evaluate import answered, joined_steps
from surrogates.origin import on_command_line
from surrogates.runtime import SurrogateBank
from surrogates.shipped import ALL, list_bundles, ranked

Found = list[tuple[Path, BundleInfo]]


@dataclass(frozen=True, slots=True)
class Truth:
    """The test part of the recordings; n rows, run after run."""

    spec: CircuitSpec
    steps: Steps
    rasters: list[Raster]
    runs: list[StepResult]
    """The same rows, one entry per run."""
    index: NDArray[np.int64]
    """(n,) place of each row in its run."""
    reads: int
    """How often this test part has been read."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A bundle and its answers to the test part."""

    bundle: SurrogateBundle
    oracle: StepResult
    """n rows, each from the reference's state."""
    own: list[StepResult]
    """One entry per run, on the model's own state from reset."""


def find_bundles(spec: CircuitSpec, folder: Path | None, family: str) -> Found:
    """Return the bundles of `spec` in a folder (one, or one per family) or where they usually lie.

    The default comes first. Raises BundleError where there is none of that family.
    """
    if folder is None:
        found = list_bundles(spec)
    else:
        manifests = [folder / MANIFEST] if (folder / MANIFEST).exists() else folder.glob(f"*/{MANIFEST}")
        found = [(path.parent, read_info(path.parent)) for path in sorted(manifests)]
    named = [
        (path, info) for path, info in found if info.spec.hash == spec.hash and family in (ALL, info.family)
    ]
    if not named:
        what = "" if family == ALL else f" of family '{family}'"
        raise BundleError(
            f"no bundle{what} of {spec.name} {spec.hash[:12]} in {folder or 'the places of its bundles'}; "
            f"train one with: simcore surrogate train {on_command_line(spec)}"
        )
    return ranked(named)


def load_data(spec: CircuitSpec, recordings: Sequence[Path], bundles: Found) -> tuple[Dataset, Found, Found]:
    """Return the data set, the bundles that never saw its test part, and the others.

    Raises DatasetError, or BundleError if no bundle is left.
    """
    dataset = load_dataset(recordings, spec, bundles[0][1].split_seed)
    wanted = dataset.part_sha256[TEST]
    fits = [info.part_sha256.get(TEST) == wanted for _, info in bundles]
    kept, others = (
        [found for found, fit in zip(bundles, fits, strict=True) if fit is k] for k in (True, False)
    )
    if not kept:
        raise BundleError(
            f"{bundles[0][0]} and {len(bundles) - 1} more were trained on other data than "
            f"{', '.join(map(str, recordings))}, so that its test part may have been seen in training; "
            "give the same --recording in the same order as for the training"
        )
    return dataset, kept, others


def read_truth(dataset: Dataset, families: Sequence[str]) -> Truth:
    """Open the test part, which is noted, and return it."""
    reads = dataset.open_test(f"evaluation of {', '.join(families)}")
    steps = dataset.part_steps(TEST)
    rasters, results = dataset.replays(TEST)
    lengths = [len(raster.duration_ps) for raster in rasters]
    index = np.concatenate([np.arange(n) for n in lengths])
    return Truth(dataset.spec, steps, rasters, [result.steps for result in results], index, reads)


def examine(bundle: SurrogateBundle, truth: Truth) -> Subject:
    """Ask a bundle for every test step and every test run."""
    bank = SurrogateBank(bundle, truth.spec, np.stack([raster.params for raster in truth.rasters]))
    own = [answer.steps for answer in bank.replay(truth.rasters)]
    return Subject(bundle, answered(bundle, truth.spec, truth.steps), own)


def own_steps(subject: Subject) -> StepResult:
    """Return the answers on the model's own state in the order of the test rows, (n,)."""
    return joined_steps(subject.own)

"""Dataset: a recording, split by run into train, selection and test."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simcore.bank import Raster, RasterResult, StepResult
from simcore.errors import DatasetError
from simcore.recording import Runs, Steps, read_recording
from simcore.spec import CircuitSpec
from surrogates.origin import on_command_line

PARTS = ("train", "selection", "test")
SHARES = (0.8, 0.1, 0.1)
MIN_RUNS = 10


@dataclass(frozen=True, slots=True)
class Dataset:
    """Steps and runs of one circuit; `split` says which runs belong to which part."""

    spec: CircuitSpec
    steps: Steps
    runs: Runs
    split: dict[str, NDArray[np.int64]]
    sha256: str

    def part_steps(self, part: str) -> Steps:
        """Return the rows of one part."""
        return self.steps.take(np.isin(self.steps.run, self.split[part]))

    def part_runs(self, part: str) -> Runs:
        """Return the runs of one part."""
        chosen = np.isin(self.runs.run, self.split[part])
        return Runs(**{name: getattr(self.runs, name)[chosen] for name in self.runs.__slots__})

    def replays(self, part: str) -> tuple[list[Raster], list[RasterResult]]:
        """Return the inputs of each run of a part, and what the reference did with them."""
        steps, runs = self.part_steps(part), self.part_runs(part)
        rasters, results = [], []
        for index, run in enumerate(runs.run):
            rows = steps.take(steps.run == run)
            rasters.append(Raster(runs.params[index], rows.duration_ps, rows.inputs, rows.idle))
            result = StepResult(
                rows.outputs, rows.state, rows.fired, rows.supply_j, rows.input_j, rows.latency_s
            )
            results.append(RasterResult(runs.reset_state[index], runs.reset_outputs[index], result))
        return rasters, results


def load_dataset(path: Path, spec: CircuitSpec, seed: int) -> Dataset:
    """Read a recording of `spec` and split it; another circuit or too few runs raise DatasetError."""
    found, steps, runs = read_recording(path)
    if found.hash != spec.hash:
        raise DatasetError(
            f"{path} records {found.name} {found.hash[:12]}, expected {spec.name} {spec.hash[:12]}; "
            f"make one with: simcore circuit record {on_command_line(spec)}"
        )
    if len(runs.run) < MIN_RUNS:
        raise DatasetError(f"{path} holds {len(runs.run)} runs; training needs at least {MIN_RUNS}")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Dataset(spec, steps, runs, split_runs(runs.run, runs.kind, seed), digest)


def split_runs(run: NDArray[np.int64], kind: NDArray[np.str_], seed: int) -> dict[str, NDArray[np.int64]]:
    """Deal the runs of each kind to the parts, at random but for every kind in the same shares."""
    rng = np.random.default_rng([seed, len(run)])
    parts: dict[str, list[NDArray[np.int64]]] = {part: [] for part in PARTS}
    for name in np.unique(kind):
        members = rng.permutation(run[kind == name])
        cuts = np.round(np.cumsum(SHARES[1:]) * len(members)).astype(int)
        selection, test, train = np.split(members, cuts)
        for part, chosen in zip(PARTS, (train, selection, test), strict=True):
            parts[part].append(chosen)
    split = {part: np.sort(np.concatenate(chosen)) for part, chosen in parts.items()}
    for part in PARTS:
        if not len(split[part]):
            raise DatasetError(f"no run left for the part '{part}': record more runs of each kind")
    return split

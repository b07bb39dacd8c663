"""Dataset: recordings of one circuit, split by run into train, selection, calibration and test."""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcore.bank import Raster, RasterResult, StepResult
from simcore.errors import ContractError, DatasetError
from simcore.recording import Runs, Steps, read_recording
from simcore.spec import CircuitSpec
from surrogates.origin import on_command_line

PARTS = ("train", "selection", "calibration", "test")
SHARES = (0.7, 0.1, 0.1, 0.1)
"""Models learn from `train`, are chosen on `selection`, get their intervals from `calibration`; `test` is for
the table of errors alone."""
MIN_RUNS = 10
TEST = "test"
log = logging.getLogger("simcore.surrogates")


@dataclass(frozen=True, slots=True)
class Dataset:
    """Steps and runs of one circuit; `split` says which runs belong to which part.

    Runs are numbered through all recordings in their order. A run in two parts raises DatasetError.
    """

    spec: CircuitSpec
    steps: Steps
    runs: Runs
    split: Mapping[str, NDArray[np.int64]]
    sha256: str
    """Of the recordings."""
    paths: tuple[Path, ...]
    _test_reads: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        members = np.concatenate(list(self.split.values()))
        run, count = np.unique(members, return_counts=True)
        if (count > 1).any():
            raise DatasetError(f"run {run[count > 1][0]} is in two parts of the split, expected in one")

    def part_steps(self, part: str) -> Steps:
        """Return the rows of one part; those of `test` only after `open_test`."""
        return self.steps.take(np.isin(self.steps.run, self._members(part)))

    def part_runs(self, part: str) -> Runs:
        """Return the runs of one part."""
        chosen = np.isin(self.runs.run, self._members(part))
        return Runs(**{name: getattr(self.runs, name)[chosen] for name in self.runs.__slots__})

    def replays(self, part: str) -> tuple[list[Raster], list[RasterResult]]:
        """Return the inputs of each run of a part, and what the reference did with them."""
        steps, runs = self.part_steps(part), self.part_runs(part)
        bounds = np.searchsorted(steps.run, runs.run), np.searchsorted(steps.run, runs.run, side="right")
        rasters, results = [], []
        for index, (start, end) in enumerate(zip(*bounds, strict=True)):
            rows = steps.take(np.arange(start, end))
            rasters.append(Raster(runs.params[index], rows.duration_ps, rows.inputs, rows.idle))
            result = StepResult(
                rows.outputs, rows.state, rows.fired, rows.supply_j, rows.input_j, rows.latency_s
            )
            results.append(RasterResult(runs.reset_state[index], runs.reset_outputs[index], result))
        return rasters, results

    def open_test(self, purpose: str) -> int:
        """Allow the test part to be read, note it beside the recording, and return how often that was done.

        Figures of a part that was looked at before choices were made say less: each bundle has the number.
        """
        path = self.paths[0].with_suffix(".test-reads.jsonl")
        entry = {
            "when": datetime.now(UTC).isoformat(timespec="seconds"), "purpose": purpose,
            "dataset_sha256": self.sha256, "test_sha256": self.part_sha256[TEST],
        }  # fmt: skip
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
            reads = sum(
                bool(json.loads(line)["test_sha256"] == entry["test_sha256"])
                for line in path.read_text(encoding="utf-8").splitlines()
            )
        except (OSError, ValueError, KeyError) as error:
            raise DatasetError(f"cannot note in {path} that the test part is read: {error}") from error
        log.info("the test part of %s is read for the %d. time, for %s", self.paths[0], reads, purpose)
        self._test_reads.append(reads)
        return reads

    @property
    def part_sha256(self) -> dict[str, str]:
        """SHA-256 of the stimuli of each part."""
        known = dict(zip(self.runs.run.tolist(), run_digests(self.steps, self.runs), strict=True))
        return {
            part: hashlib.sha256(b"".join(known[run] for run in runs.tolist())).hexdigest()
            for part, runs in self.split.items()
        }

    def _members(self, part: str) -> NDArray[np.int64]:
        if part == TEST and not self._test_reads:
            raise ContractError("the test part is read before open_test was called")
        return self.split[part]


def load_dataset(paths: Path | Sequence[Path], spec: CircuitSpec, seed: int) -> Dataset:
    """Read recordings of `spec` and split them; another circuit or too few runs raise DatasetError.

    Of runs with the same stimulus the first is kept.
    """
    files = (paths,) if isinstance(paths, Path) else tuple(paths)
    steps, runs = _joined([_read(path, spec) for path in files])
    n_all = len(runs.run)
    steps, runs = _distinct(steps, runs)
    if len(runs.run) < n_all:
        log.info("%d of %d runs repeat another one and are left out", n_all - len(runs.run), n_all)
    if len(runs.run) < MIN_RUNS:
        where = ", ".join(map(str, files))
        raise DatasetError(f"{where} holds {len(runs.run)} runs; training needs at least {MIN_RUNS}")
    digest = hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in files))
    return Dataset(spec, steps, runs, split_runs(runs.run, runs.kind, seed), digest.hexdigest(), files)


def _read(path: Path, spec: CircuitSpec) -> tuple[Steps, Runs]:
    found, steps, runs = read_recording(path)
    if found.hash != spec.hash:
        raise DatasetError(
            f"{path} records {found.name} {found.hash[:12]}, expected {spec.name} {spec.hash[:12]}; "
            f"make one with: simcore circuit record {on_command_line(spec)}"
        )
    return steps, runs


def _joined(parts: list[tuple[Steps, Runs]]) -> tuple[Steps, Runs]:
    """Number the runs of all recordings through, from 0."""
    columns: tuple[dict[str, list[NDArray[Any]]], ...] = ({}, {})
    first = 0
    for steps, runs in parts:
        number = first + np.arange(len(runs.run))
        first += len(runs.run)
        renumbered = number[np.searchsorted(runs.run, steps.run)], number
        for table, own, names, run in zip(
            columns, (steps, runs), (Steps.__slots__, Runs.__slots__), renumbered, strict=True
        ):
            for name in names:
                table.setdefault(name, []).append(run if name == "run" else getattr(own, name))
    joined = [{name: np.concatenate(values) for name, values in table.items()} for table in columns]
    return Steps(**joined[0]), Runs(**joined[1])


def _distinct(steps: Steps, runs: Runs) -> tuple[Steps, Runs]:
    """Leave out runs whose stimulus another run before them has."""
    _, first = np.unique(np.array(run_digests(steps, runs)), return_index=True)
    keep = np.sort(first)
    if len(keep) == len(runs.run):
        return steps, runs
    kept = Runs(**{name: getattr(runs, name)[keep] for name in runs.__slots__})
    return steps.take(np.isin(steps.run, kept.run)), kept


def run_digests(steps: Steps, runs: Runs) -> list[bytes]:
    """Return the SHA-256 of each run's parameters and inputs, 32 bytes each."""
    starts, ends = (np.searchsorted(steps.run, runs.run, side=side) for side in ("left", "right"))
    stimulus = (steps.inputs, steps.duration_ps, steps.idle)
    digests = []
    for params, start, end in zip(runs.params, starts, ends, strict=True):
        digest = hashlib.sha256(np.ascontiguousarray(params).tobytes())
        for column in stimulus:
            digest.update(np.ascontiguousarray(column[start:end]).tobytes())
        digests.append(digest.digest())
    return digests


def split_runs(run: NDArray[np.int64], kind: NDArray[np.str_], seed: int) -> dict[str, NDArray[np.int64]]:
    """Deal the runs of each kind to the parts, at random but for every kind in the same shares."""
    rng = np.random.default_rng([seed, len(run)])
    parts: dict[str, list[NDArray[np.int64]]] = {part: [] for part in PARTS}
    for name in np.unique(kind):
        members = rng.permutation(run[kind == name])
        cuts = np.round(np.cumsum(SHARES[1:]) * len(members)).astype(int)
        *held_out, train = np.split(members, cuts)
        for part, chosen in zip(PARTS, (train, *held_out), strict=True):
            parts[part].append(chosen)
    split = {part: np.sort(np.concatenate(chosen)) for part, chosen in parts.items()}
    for part in PARTS:
        if not len(split[part]):
            raise DatasetError(f"no run left for the part '{part}': record more runs of each kind")
    return split

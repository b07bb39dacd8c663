"""A data set of bank steps: HDF5, appendable run by run, one row per step.

Interface = data set row: the columns are exactly those of StepInput and StepResult plus the state before.

Layout: attributes `schema`, `spec` (JSON), `spec_hash`, `provenance` (JSON);
`/runs` one row per run: `run`, `kind`, `params`, `reset_state`, `reset_outputs`, `cpu_s`, `end` (rows of
`/steps` up to and with this run: what lies behind the last `end` was cut off by a kill);
`/steps` one row per step: `run`, `idle`, `duration_ps`, `inputs`, `state_before`, `outputs_before`,
`outputs`, `state`, `fired`, `supply_j`, `input_j`, `latency_s`.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from simcore.bank import Floats, Raster, RasterResult
from simcore.disk_room import give_back, reserve
from simcore.errors import DatasetError
from simcore.spec import CircuitSpec, PortKind

SCHEMA = 1
STEPS_CHUNK, RUNS_CHUNK = 1024, 256
"""Rows stored together. They are not compressed: a compressed chunk moves whenever a row is added, what lay
there is overwritten, and a kill in between makes the file unreadable. It would save 25 to 45 %."""
KIND_BYTES = 64
"""Room for the name of a kind. Strings of any length lie in a heap of their own, which HDF5 writes when it
likes: a kill in between left an index that nothing could be appended to."""
RANDOM = "random stimuli"
"""Source of recordings that name none."""
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
log = logging.getLogger("simcore.recording")


def default_path(spec: CircuitSpec) -> Path:
    """Return where a circuit's recording lies if nobody says otherwise, from the working directory."""
    return Path("data/recordings") / ("-".join([spec.name, *map(str, spec.sizes.values())]) + ".h5")


@dataclass(frozen=True, slots=True)
class Steps:
    """The rows of a recording, struct of arrays; n rows, state and outputs before and after each step."""

    run: NDArray[np.int64]
    idle: NDArray[np.bool_]
    duration_ps: NDArray[np.int64]
    inputs: Floats
    params: Floats
    state_before: Floats
    outputs_before: Floats
    outputs: Floats
    state: Floats
    fired: NDArray[np.bool_]
    supply_j: Floats
    input_j: Floats
    latency_s: Floats

    def __len__(self) -> int:
        return len(self.run)

    def take(self, rows: NDArray[Any]) -> "Steps":
        """Return the rows of an index or mask array."""
        return Steps(**{name: getattr(self, name)[rows] for name in self.__slots__})


@dataclass(frozen=True, slots=True)
class Runs:
    """The runs of a recording: parameters and reset point of each."""

    run: NDArray[np.int64]
    kind: NDArray[np.str_]
    params: Floats
    reset_state: Floats
    reset_outputs: Floats


class Recording:
    """An open data-set file; `append` flushes, so that a kill loses at most the run in flight."""

    def __init__(self, path: Path, spec: CircuitSpec, provenance: Mapping[str, Any]) -> None:
        """Open `path` for appending, or create it; another circuit's file raises DatasetError.

        A recording that a kill left unreadable is moved aside, to NAME.damaged, with a warning.
        """
        self._path = path
        self._file = _opened(path)
        if not self._file.attrs:
            self._create(spec, provenance)
        elif self._file.attrs.get("spec_hash") != spec.hash:
            self._file.close()
            raise DatasetError(
                f"{path} holds a recording of another circuit than {spec.name} {spec.hash[:12]}; "
                "give another --out or delete it"
            )
        else:
            self._same_settings(path, provenance)
            self._drop_unfinished()
        self._n_runs, self._n_rows = _whole(self._file)
        self._chunk_bytes = sum(
            int(np.prod(data.chunks)) * data.dtype.itemsize
            for group in ("runs", "steps")
            for data in self._file[group].values()
        )

    def done(self) -> frozenset[int]:
        """Return the runs that are already in the file."""
        return frozenset(int(run) for run in self._file["runs/run"][:])

    def append(self, run: int, kind: str, raster: Raster, result: RasterResult, cpu_s: float) -> None:
        """Add one run and flush; raises DatasetError where the disk takes no more, all before is kept.

        What an append that failed or was interrupted has written is overwritten by the next one.
        """
        n = len(raster.duration_ps)
        try:
            reserve(self._file, (n // STEPS_CHUNK + 2) * self._chunk_bytes)
            self._write(run, kind, raster, result, cpu_s)
        except (OSError, RuntimeError) as error:
            raise DatasetError(
                f"cannot write to the recording {self._path}: {error}; {self._n_runs} runs are kept in it"
            ) from error
        self._n_runs, self._n_rows = self._n_runs + 1, self._n_rows + n

    def _write(self, run: int, kind: str, raster: Raster, result: RasterResult, cpu_s: float) -> None:
        steps = result.steps
        before = np.vstack([result.reset_state, steps.state[:-1]])
        outputs_before = np.vstack([result.reset_outputs, steps.outputs[:-1]])
        n = len(raster.duration_ps)
        _write_rows(self._file["steps"], self._n_rows, {
            "run": np.full(n, run), "idle": raster.idle, "duration_ps": raster.duration_ps,
            "inputs": raster.inputs, "state_before": before, "outputs_before": outputs_before,
            "outputs": steps.outputs, "state": steps.state, "fired": steps.fired,
            "supply_j": steps.supply_j, "input_j": steps.input_j, "latency_s": steps.latency_s,
        })  # fmt: skip
        self._file.flush()  # a run is listed when all of it is on the disk
        _write_rows(self._file["runs"], self._n_runs, {
            "run": [run], "kind": [_as_stored(kind)], "params": raster.params[None],
            "reset_state": result.reset_state[None], "reset_outputs": result.reset_outputs[None],
            "cpu_s": [cpu_s], "end": [self._n_rows + n],
        })  # fmt: skip
        self._file.flush()

    def close(self) -> None:
        """Close the file and give back what was reserved."""
        if self._file:
            give_back(self._file)
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _same_settings(self, path: Path, provenance: Mapping[str, Any]) -> None:
        """Refuse to mix runs of other settings into a file."""
        stored = {"source": RANDOM, **json.loads(self._file.attrs["provenance"])}
        for key in ("source", "seed", "steps", "accuracy", "preset", "solver"):
            if key in stored and key in provenance and stored[key] != provenance[key]:
                self._file.close()
                raise DatasetError(
                    f"{path} was recorded with {key} {stored[key]}, got {provenance[key]}; "
                    f"use the same {key}, give another --out or delete it"
                )

    def _drop_unfinished(self) -> None:
        """Cut what a kill left behind the last whole run."""
        n_runs, n_rows = _whole(self._file)
        for data in self._file["runs"].values():
            data.resize(n_runs, axis=0)
        for data in self._file["steps"].values():
            data.resize(n_rows, axis=0)

    def _create(self, spec: CircuitSpec, provenance: Mapping[str, Any]) -> None:
        try:
            reserve(self._file, 0)
        except OSError as error:
            raise DatasetError(f"cannot write to the recording {self._path}: {error}") from error
        n_in, n_param, n_state, n_out = (spec.width(kind) for kind in PortKind)
        steps = {
            "run": ("i8", ()), "idle": ("?", ()), "duration_ps": ("i8", ()), "inputs": ("f4", (n_in,)),
            "state_before": ("f8", (n_state,)), "outputs_before": ("f8", (n_out,)),
            "outputs": ("f8", (n_out,)), "state": ("f8", (n_state,)), "fired": ("?", ()),
            "supply_j": ("f8", ()), "input_j": ("f8", ()), "latency_s": ("f8", ()),
        }  # fmt: skip
        runs = {
            "run": ("i8", ()), "kind": (f"S{KIND_BYTES}", ()), "params": ("f8", (n_param,)),
            "reset_state": ("f8", (n_state,)), "reset_outputs": ("f8", (n_out,)), "cpu_s": ("f8", ()),
            "end": ("i8", ()),
        }  # fmt: skip
        for group, columns in (("steps", steps), ("runs", runs)):
            for name, (dtype, shape) in columns.items():
                chunk = (STEPS_CHUNK if group == "steps" else RUNS_CHUNK, *(max(1, n) for n in shape))
                self._file.create_dataset(
                    f"{group}/{name}", shape=(0, *shape), maxshape=(None, *(n or None for n in shape)),
                    dtype=dtype, chunks=chunk,
                )  # fmt: skip
        self._file.attrs["schema"] = SCHEMA
        self._file.attrs["spec"] = spec.model_dump_json()
        self._file.attrs["spec_hash"] = spec.hash
        self._file.attrs["provenance"] = json.dumps(dict(provenance))
        self._file.flush()


def read_recording(path: Path) -> tuple[CircuitSpec, Steps, Runs]:
    """Read a whole data set; rows come in run order. Raises DatasetError if missing, damaged or newer."""
    if not path.exists():
        raise DatasetError(f"no recording at {path}; make one with: simcore circuit record NAME --out {path}")
    try:
        with h5py.File(path) as file:
            if file.attrs["schema"] > SCHEMA:
                raise DatasetError(
                    f"{path}: schema {file.attrs['schema']} is newer than this program's {SCHEMA}"
                )
            spec = CircuitSpec.model_validate_json(file.attrs["spec"])
            n_runs, n_rows = _whole(file)
            columns = {name: data[:n_runs] for name, data in file["runs"].items()}
            stored = [name for name in Steps.__slots__ if name != "params"]
            rows = {name: file["steps"][name][:n_rows] for name in stored}
    except (OSError, KeyError, ValidationError) as error:
        raise DatasetError(f"{path}: damaged recording: {error}") from error
    order = np.argsort(columns["run"])
    columns["kind"] = np.char.decode(columns["kind"].astype("S"), "utf-8", "replace")
    names = ("run", "kind", "params", "reset_state", "reset_outputs")
    runs = Runs(**{name: columns[name][order] for name in names})
    steps = Steps(params=runs.params[np.searchsorted(runs.run, rows["run"])], **rows)
    return spec, steps.take(np.argsort(steps.run, kind="stable")), runs


def _whole(file: h5py.File) -> tuple[int, int]:
    """Return how many runs, and rows of them, are complete in every column."""
    runs, steps = file["runs"], file["steps"]
    n_listed = min(data.shape[0] for data in runs.values())
    ends = runs["end"][:n_listed]
    n_runs = int(np.searchsorted(ends, min(data.shape[0] for data in steps.values()), side="right"))
    return n_runs, int(ends[n_runs - 1]) if n_runs else 0


def _opened(path: Path) -> h5py.File:
    """Open or create a file; a recording that cannot be read is moved aside first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        file = h5py.File(path, "a")
    except OSError as error:
        if error.errno is not None or not _was_recording(path):  # locked, forbidden, or no HDF5 at all
            raise DatasetError(f"cannot open the recording {path}: {error}") from error
        return _anew(path, error)
    try:
        _read_ends(file)
    except (OSError, RuntimeError, KeyError) as error:
        file.close()
        return _anew(path, error)
    return file


def _as_stored(kind: str) -> bytes:
    return kind.encode()[:KIND_BYTES]


def _was_recording(path: Path) -> bool:
    """Return whether a file starts like HDF5, or is empty, as after a kill right at its start."""
    with path.open("rb") as file:
        return file.read(len(_SIGNATURE)) in (b"", _SIGNATURE)


def _anew(path: Path, error: Exception) -> h5py.File:
    aside = path.with_name(f"{path.name}.damaged")
    path.replace(aside)
    log.warning("the recording %s is damaged (%s); it is kept as %s and started anew", path, error, aside)
    return h5py.File(path, "a")


def _read_ends(file: h5py.File) -> None:
    """Read what was written last in each column: a kill that damages a recording does it there."""
    if not file.attrs:
        return
    n_runs, n_rows = _whole(file)
    for group, n in (("runs", n_runs), ("steps", n_rows)):
        for data in file[group].values():
            data[max(0, n - data.chunks[0]) : n]


def _write_rows(group: h5py.Group, start: int, columns: Mapping[str, Any]) -> None:
    for name, values in columns.items():
        data = group[name]
        data.resize(start + len(values), axis=0)
        data[start:] = values

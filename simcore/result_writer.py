"""ResultWriter: stores a run batch by batch in one HDF5 file that grows; `result` reads it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from simcore.bank import Floats
from simcore.digital import COMPONENTS
from simcore.disk_room import give_back, reserve
from simcore.errors import ResultError
from simcore.floor import Span
from simcore.ledger import LayerTotals, TraceRows
from simcore.result import CHOSEN, COUNTERS, FILE, SCHEMA, TIMELINE, TOTALS, WHOLE

CHUNK = 65536
"""Values of a column that are stored together, at most."""
SAMPLE = "results/sample"
"""The samples that count; stored last."""
RECORD_BYTES = 4096
"""Room for HDF5's own records of a column; 2.8 kB were seen."""


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What one engine run gives."""

    samples: NDArray[np.int64]
    labels: NDArray[np.int64]
    scores: Floats
    """(n_lanes, n_classes)"""
    layers: Mapping[str, LayerTotals]
    behind: Mapping[str, Mapping[str, NDArray[Any]]]
    """layer -> what the digital logic behind it did: `taken_in_s`, `wait_s`, `missed`, (n_lanes,) each"""
    duration_s: Floats
    """(n_lanes,) from the first input edge until everything is done, what static power counts for"""
    counters: Mapping[str, Mapping[str, NDArray[np.int64]]]
    """layer -> counter -> (n_lanes,)"""
    trace: Mapping[str, TraceRows]
    spans: tuple[Span, ...] = ()
    """Requests of the first sample for shared digital parts."""
    is_whole: bool = True
    """Whether the trace holds all units, or only chosen ones."""


class ResultWriter:
    """Appends batches to a result file; a batch counts once its samples are listed, which comes last.

    An earlier result in the directory stays until the first batch is finished.
    """

    def __init__(self, directory: Path, provenance: Mapping[str, Any], n_kept: int = 0) -> None:
        """`n_kept`: go on with the run in the directory, behind so many of its samples."""
        self.path = directory / FILE
        self._partial = directory / f"{FILE}.partial"
        self._is_new, self._has_appended = not n_kept, False
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._partial.unlink(missing_ok=True)
            self._file = h5py.File(self._partial, "w") if self._is_new else h5py.File(self.path, "r+")
        except OSError as error:
            raise ResultError(f"cannot write {self.path}: {error}") from error
        try:
            if self._is_new:
                self._file.attrs["schema"] = SCHEMA
                self.describe(provenance)
            else:
                with self._telling():
                    _cut(self._file, n_kept)
        except ResultError:
            self.close()
            raise

    def describe(self, provenance: Mapping[str, Any]) -> None:
        """Store what made the run; called again when more is known."""
        text = json.dumps(dict(provenance))
        with self._telling():
            reserve(self._file, len(text))
            group = self._file.require_group("provenance")
            if "json" in group:
                del group["json"]
            group["json"] = text
            self._file.flush()

    def append(self, *batches: BatchResult) -> None:
        """Add the samples of some batches and flush.

        Raises ResultError where the disk takes no more; all samples before are kept.
        """
        parts = [_columns(batch) for batch in batches]
        columns = {path: [part[path] for part in parts if path in part] for part in parts for path in part}
        with self._telling():
            reserve(self._file, self._room(columns))
            self._append(columns, batches[0].spans)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError) as error:
            raise ResultError(f"cannot write {self.path}: {error}") from error

    def _room(self, new: Mapping[str, Sequence[NDArray[Any]]]) -> int:
        """Return the bytes that columns take at most: uncompressed, and each one moves its last chunk."""
        stored: list[int] = []

        def add(_: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Dataset) and item.chunks:
                stored.append(int(np.prod(item.chunks)) * item.dtype.itemsize)

        self._file.visititems(add)
        sizes = {path: sum(values.nbytes for values in parts) for path, parts in new.items()}
        chunks = [min(sizes[path], CHUNK * parts[0].itemsize) for path, parts in new.items()]
        return sum(sizes.values()) + RECORD_BYTES * len(new) + 2 * max(sum(stored), sum(chunks))

    def _append(self, columns: dict[str, list[NDArray[Any]]], spans: Sequence[Span]) -> None:
        samples = columns.pop(SAMPLE)
        for path, parts in columns.items():
            _append(self._file, path, parts)
        for path in columns:
            if path.endswith("/lane"):
                self._file[path].parent.attrs["n"] = len(self._file[path])
        if TIMELINE not in self._file and any(path.startswith(f"{WHOLE}/") for path in columns):
            text = json.dumps([astuple(span) for span in spans])
            self._file[TIMELINE] = np.frombuffer(text.encode(), np.uint8)
        _append(self._file, SAMPLE, samples)
        self._file.flush()
        if not self._has_appended:
            self._has_appended = True
            for stale in ("summary.json", "layers.csv", "report.html", "audit.json", "timeline.json"):
                (self.path.parent / stale).unlink(missing_ok=True)
            if self._is_new:
                self._partial.replace(self.path)

    def close(self) -> None:
        """Close the file; without a finished batch nothing is left of it."""
        if self._file:
            give_back(self._file)
            self._file.close()
        self._partial.unlink(missing_ok=True)


def _columns(batch: BatchResult) -> dict[str, NDArray[Any]]:
    """Return what is stored of a batch, by its place in the file."""
    zeros = np.zeros(len(batch.samples))
    found = {SAMPLE: batch.samples, "results/label": batch.labels, "results/scores": batch.scores,
             "results/duration_s": batch.duration_s}  # fmt: skip
    for name, totals in batch.layers.items():
        layer = {column: getattr(totals, column) for column in TOTALS}
        layer["actions"] = np.stack([totals.digital.get(each, zeros) for each in COMPONENTS], axis=1)
        layer |= batch.behind[name]
        layer |= {each: batch.counters[name].get(each, zeros.astype(np.int64)) for each in COUNTERS}
        found |= {f"results/layers/{name}/{column}": values for column, values in layer.items()}
    for name, rows in batch.trace.items():
        place = f"{WHOLE if batch.is_whole else CHOSEN}/{name}"
        found |= {f"{place}/{column}": getattr(rows, column) for column in TraceRows.__slots__}
        found[f"{place}/lane"] = batch.samples[rows.lane]
    return found


def _cut(file: h5py.File, n: int) -> None:
    """Drop what belongs to no finished sample: a kill may have left rows behind the first n samples."""

    def cut(_: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            item.resize(n, axis=0)

    file["results"].visititems(cut)
    kept = file["results/sample"][:]
    for group in file[WHOLE].values() if WHOLE in file else ():
        if "lane" not in group:
            continue
        rows = int(np.count_nonzero(np.isin(group["lane"][:], kept)))
        for column in group.values():
            column.resize(rows, axis=0)
        group.attrs["n"] = rows


def _append(file: h5py.File, path: str, parts: Sequence[NDArray[Any]]) -> None:
    values = parts[0] if len(parts) == 1 else np.concatenate(parts)
    if path not in file:
        chunk = (max(1, min(len(values), CHUNK // max(1, int(np.prod(values.shape[1:]))))), *values.shape[1:])
        file.create_dataset(
            path, data=values, maxshape=(None, *values.shape[1:]), chunks=chunk, compression="lzf"
        )  # fmt: skip
        return
    data = file[path]
    start = data.shape[0]
    data.resize(start + len(values), axis=0)
    data[start:] = values

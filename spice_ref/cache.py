"""Stored answers of solver jobs: one small HDF5 file per job, named by the hash of all that it depends on.

A file is written whole beside its place and then renamed, so that a kill loses at most the job in flight, a
reader never sees half an entry, and any number of processes may share a folder. The hash covers deck (models,
stimuli and options are in it), what is read off and by which code, ngspice's version and the format.

An entry holds one record, `answer`: `label`, `cpu_s` (solver seconds that the answer took), `sha256` (of the
file, with this field blank), `empty` (JSON: arrays without elements, which HDF5 records cannot hold) and the
arrays of the answer.
"""

import contextlib
import functools
import hashlib
import io
import json
import logging
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path

from spice_ref import measure, sweep, tasks
from spice_ref.tasks import Arrays, Storable

SCHEMA = 1
"""Raised whenever the layout of an entry changes."""
CACHE_ENV = "SIMCORE_CACHE"
"""Environment variable: folder of the cache, else `simcore/spice` in the user's cache folder."""
RECORD, CHECKSUM, TEXT_BYTES = "answer", "sha256", 200
OWN = ("label", "cpu_s", "empty", CHECKSUM)
"""Fields of an entry that are no part of the answer."""
_NAME = re.compile(r"[0-9a-f]{62}\.h5(\.[0-9a-f]+\.partial)?")
log = logging.getLogger("simcore.cache")


def default_folder() -> Path:
    """Return where answers are stored if nobody says otherwise."""
    named = os.environ.get(CACHE_ENV)
    return Path(named).expanduser() if named else user_cache_path("simcore") / "spice"


@dataclass(frozen=True, slots=True)
class Entry:
    """One stored file."""

    path: Path
    size: int
    used: float
    """Time of its last use, seconds since the epoch."""


class Cache:
    """The answers of one version of the solver in one folder."""

    def __init__(self, folder: Path, version: str) -> None:
        self.folder = folder
        self._version = version
        self._writes = True
        self._reader = _Reader()

    @classmethod
    def at(cls, where: str, base: Path, version: str) -> Self | None:
        """Return the cache that an option names: `auto`, `off`, or a folder that is relative to `base`."""
        if where == "off":
            return None
        return cls(default_folder() if where == "auto" else base / Path(where).expanduser(), version)

    def get(self, task: Storable) -> tuple[Any, float] | None:
        """Return answer and CPU seconds, None if there is none; a damaged entry is dropped with a warning."""
        path = self._path(task)
        try:
            data = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            log.warning("cannot read the cached result %s: %s; it is computed again", path, error)
            return None
        try:
            arrays, cpu_s = self._reader.read(data)
            answer = task.unpack(arrays)
        except (OSError, LookupError, ValueError, TypeError, RuntimeError, AttributeError) as error:
            log.warning("damaged cached result %s dropped (%s); it is computed again", path, error)
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        with contextlib.suppress(OSError):  # pruned meanwhile, or somebody else's folder
            os.utime(path)
        return answer, cpu_s

    def put(self, task: Storable, answer: Any, cpu_s: float) -> None:
        """Store an answer; where that cannot be done a warning is given once, and nothing else is lost."""
        if not self._writes:
            return
        path = self._path(task)
        partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(_image(task.pack(answer), task.label, cpu_s))
            partial.replace(path)
        except FileNotFoundError:
            pass  # another process pruned it half written
        except OSError as error:
            self._writes = False
            log.warning("cannot write to the cache %s (%s); results go on without it", self.folder, error)
            with contextlib.suppress(OSError):
                partial.unlink()

    def _path(self, task: Storable) -> Path:
        parts = (str(SCHEMA), self._version, _code(), type(task).__name__, task.reads, task.deck)
        key = hashlib.sha256("\0".join(parts).encode()).hexdigest()
        return self.folder / key[:2] / f"{key[2:]}.h5"


def entries(folder: Path) -> Iterator[Entry]:
    """Yield what a cache folder holds, files that a kill left half written among it."""
    for path in folder.glob("[0-9a-f][0-9a-f]/*.h5*"):
        if not _NAME.fullmatch(path.name):
            continue
        try:
            status = path.stat()
        except FileNotFoundError:
            continue  # another process pruned it
        yield Entry(path, status.st_size, status.st_mtime)


def prune(folder: Path, max_bytes: int | None = None, max_age_s: float | None = None) -> tuple[int, int]:
    """Delete the least recently used entries above `max_bytes`, and those older than `max_age_s`.

    Without a limit all are deleted. Returns how many entries and bytes went.
    """
    found = sorted(entries(folder), key=lambda entry: entry.used)
    total, now = sum(entry.size for entry in found), time.time()
    gone = freed = 0
    for entry in found:
        is_old = max_age_s is not None and now - entry.used > max_age_s
        is_much = max_bytes is not None and total - freed > max_bytes
        if is_old or is_much or (max_bytes is None and max_age_s is None):
            entry.path.unlink(missing_ok=True)
            gone, freed = gone + 1, freed + entry.size
    return gone, freed


def free_bytes(folder: Path) -> int:
    """Return how much room the disk of a cache folder has."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _image(arrays: Arrays, label: str, cpu_s: float) -> bytes:
    """Return an entry as the bytes of its file."""
    empty = {name: [values.dtype.str, values.shape] for name, values in arrays.items() if not values.size}
    parts = {
        "label": _text(label),
        "cpu_s": np.array(cpu_s),
        "empty": _text(json.dumps(empty)),
        CHECKSUM: np.zeros(hashlib.sha256().digest_size, np.uint8),
        **{name: values for name, values in arrays.items() if values.size},
    }
    record = np.zeros((), [(name, values.dtype, values.shape) for name, values in parts.items()])
    for name, values in parts.items():
        record[name] = values
    frame = _frame(record.dtype)
    record[CHECKSUM] = _digest(frame.before + record.tobytes() + frame.behind)
    return frame.before + record.tobytes() + frame.behind


@functools.cache
def _code() -> str:
    """Return a hash of the code that turns vectors into answers: results of another code are not mixed in."""
    sources = [Path(module.__file__ or "") for module in (measure, tasks, sweep)]
    sources.append(sources[0].with_name("ngspice.py"))  # not imported: it loads the solver
    return hashlib.sha256(b"\0".join(source.read_bytes() for source in sources)).hexdigest()


@functools.lru_cache(maxsize=256)
def _frame(dtype: np.dtype[Any]) -> "_Frame":
    """Return the file of one record of this type.

    To build it takes 3 ms, as much as a fifth of a closed-loop step; entries of one shape share it.
    """
    with h5py.File("entry", "w", driver="core", backing_store=False, libver="latest") as file:
        data = file.create_dataset(RECORD, data=np.zeros((), dtype))
        file.attrs["schema"] = SCHEMA
        file.flush()
        start = data.id.get_offset()
        image: bytes = file.id.get_file_image()
    return _Frame(dtype, image[:start], image[start + dtype.itemsize :])


class _Reader:
    """Reads entries; one of a type met before without the library, which takes 2 ms to open a file."""

    def __init__(self) -> None:
        self._known: dict[int, list[_Frame]] = {}

    def read(self, image: bytes) -> tuple[Arrays, float]:
        """Return arrays and CPU seconds; raises OSError, KeyError or ValueError for a damaged entry."""
        frame = self._frame(image)
        record = np.frombuffer(image, frame.dtype, 1, frame.start)[0]
        fields = frame.dtype.fields
        if fields is None or not set(OWN) <= set(fields):
            raise ValueError("it holds no answer")
        first = frame.start + fields[CHECKSUM][1]
        blank = bytes(fields[CHECKSUM][0].itemsize)
        digest = _digest(image[:first] + blank + image[first + len(blank) :])
        if not np.array_equal(record[CHECKSUM], digest):
            raise ValueError("its checksum does not fit")
        arrays = {name: np.array(record[name]) for name in fields if name not in OWN}
        for name, (kind, shape) in json.loads(record["empty"]).items():
            arrays[name] = np.zeros(shape, kind)
        return arrays, float(record["cpu_s"])

    def _frame(self, image: bytes) -> "_Frame":
        """Return where the record of an entry lies."""
        known = self._known.setdefault(len(image), [])
        for frame in known:
            if image.startswith(frame.before) and image.endswith(frame.behind):
                return frame
        with h5py.File(io.BytesIO(image)) as file:
            data = file[RECORD]
            dtype, start = data.dtype, data.id.get_offset()
        frame = _Frame(dtype, image[:start], image[start + dtype.itemsize :])
        known.append(frame)
        return frame


@dataclass(frozen=True, slots=True)
class _Frame:
    """What an HDF5 file with one record of this type has before and behind its data."""

    dtype: np.dtype[Any]
    before: bytes
    behind: bytes

    @property
    def start(self) -> int:
        """Where the record begins."""
        return len(self.before)


def _text(text: str) -> NDArray[np.bytes_]:
    """Return text of a fixed size, so that entries of one shape have one type."""
    return np.array(text.encode()[:TEXT_BYTES], f"S{TEXT_BYTES}")


def _digest(image: bytes) -> NDArray[np.uint8]:
    """Return the SHA-256 of an entry whose checksum field is blank."""
    return np.frombuffer(hashlib.sha256(image).digest(), np.uint8)

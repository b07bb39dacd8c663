"""Waveforms of one transient as files other tools open: raw (ngspice, spicelib) and VCD (GTKWave)."""

import heapq
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from operator import itemgetter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simcore.bank import Floats
from simcore.errors import ResultError, UserError

BRANCH = "#branch"
"""How ngspice ends the name of the current of a voltage source."""
PS_PER_S = 1e12
RESOLUTION = 1e-6
"""A change smaller than this share of a vector's span is left out of a VCD file."""
WIDTH = {"real": 64, "wire": 1}
"""Bits of the kinds of VCD variables that are written."""


def write_raw(path: Path, title: str, vectors: Mapping[str, Floats]) -> None:
    """Write the vectors of a transient, each `(n,)` in SI units, as a binary SPICE3 raw file.

    Names are those of ngspice's `write`: `time` (put first), `v(node)`, `i(source)`, `i(@device[quantity])`.
    There is no Command line, since ngspice executes it on loading, and no date, so that equal runs give equal
    files; spicelib therefore has to be told `dialect="ngspice"`. Raises ResultError where "time" is missing,
    lengths differ or the file cannot be written.
    """
    _check(path, vectors)
    names = ["time", *(name for name in vectors if name != "time")]
    table = "".join("\t{}\t{}\t{}\n".format(i, *_raw_variable(name)) for i, name in enumerate(names))
    header = (
        f"Title: {' '.join(title.split())}\n"
        "Plotname: Transient Analysis\n"
        "Flags: real\n"
        f"No. Variables: {len(names)}\n"
        f"No. Points: {len(vectors['time'])}\n"
        f"Variables:\n{table}Binary:\n"
    )
    points = np.stack([vectors[name] for name in names], axis=1)
    with _replacing(path) as partial:
        partial.write_bytes(header.encode() + points.astype("<f8").tobytes())


def write_vcd(
    path: Path, scope: str, vectors: Mapping[str, Floats], digital: Mapping[str, float], date: str = ""
) -> None:
    """Write the vectors of a transient, each `(n,)` in SI units, as a Value Change Dump in picoseconds.

    Each vector is a `real`; one that `digital` gives a threshold is also a 1-bit wire NAME_d, 1 at or above
    it, whose edges lie where the straight line between two solver points crosses it. Times are rounded to
    integer picoseconds; of several points within one the last counts. Characters that VCD does not allow in
    a name become `_`. Raises UserError without pyvcd, ResultError for vectors that cannot be written.
    """
    try:
        import vcd
    except ImportError as error:
        raise UserError(
            f"pyvcd is not installed ({error}); VCD files need it: pip install 'simcore-ams[waves]'"
        ) from error
    _check(path, vectors)
    _check_vcd(path, vectors, digital)
    variables = _variables(path, vectors, digital)
    start_ps, stop_ps = _ticks_ps(vectors["time"])[[0, -1]].tolist()
    with _replacing(path) as partial, partial.open("w", encoding="ascii") as file:
        writer = vcd.VCDWriter(file, timescale="1 ps", date=date, init_timestamp=start_ps)
        handles = [
            writer.register_var((_identifier(scope),), v.name, v.kind, size=WIDTH[v.kind], init=v.values[0])
            for v in variables
        ]
        changes = (
            zip(v.ticks_ps[1:], repeat(handle), v.values[1:], strict=False)
            for v, handle in zip(variables, handles, strict=True)
        )
        for tick_ps, handle, value in heapq.merge(*changes, key=itemgetter(0)):
            writer.change(handle, tick_ps, value)
        writer.close(stop_ps)


@dataclass(frozen=True, slots=True)
class _Variable:
    """A VCD variable and its changes; the first is its initial value."""

    name: str
    kind: str
    ticks_ps: Sequence[int]
    values: Sequence[float]


def _variables(path: Path, vectors: Mapping[str, Floats], digital: Mapping[str, float]) -> list[_Variable]:
    """Return all variables of a VCD file; raises ResultError where two would have the same name."""
    time_s = vectors["time"]
    variables = [_real(name, time_s, vector) for name, vector in vectors.items() if name != "time"]
    variables += [_wire(name, time_s, vectors[name], threshold) for name, threshold in digital.items()]
    names = [variable.name for variable in variables]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ResultError(f"cannot write {path}: several vectors would be called {', '.join(twice)} in a VCD")
    return variables


def _real(name: str, time_s: Floats, vector: Floats) -> _Variable:
    """Return a vector without the changes that RESOLUTION leaves out."""
    ticks_ps, values = _last_of_each_ps(_ticks_ps(time_s), vector)
    kept = list(_moves(values, RESOLUTION * float(np.ptp(vector))))
    return _Variable(_identifier(name), "real", [ticks_ps[i] for i in kept], [values[i] for i in kept])


def _moves(values: Sequence[float], step: float) -> Iterator[int]:
    """Yield the first index and each whose value is more than `step` off the last one yielded."""
    last = values[0]
    yield 0
    for i, value in enumerate(values):
        if abs(value - last) > step:
            last = value
            yield i


def _wire(name: str, time_s: Floats, vector: Floats, threshold: float) -> _Variable:
    """Return a vector as 1 where it is at or above the threshold and 0 elsewhere."""
    is_high = (vector >= threshold).astype(np.int64)
    (before,) = np.nonzero(np.diff(is_high))
    after = before + 1
    share = (threshold - vector[before]) / (vector[after] - vector[before])
    edges_s = np.minimum(time_s[before] + share * (time_s[after] - time_s[before]), time_s[after])
    ticks_ps, levels = _last_of_each_ps(
        _ticks_ps(np.append(time_s[:1], edges_s)), np.append(is_high[:1], is_high[after])
    )
    return _Variable(f"{_identifier(name)}_d", "wire", ticks_ps, levels)


def _last_of_each_ps(
    ticks_ps: NDArray[np.int64], values: Floats | NDArray[np.int64]
) -> tuple[list[int], list[float]]:
    is_last = np.append(np.diff(ticks_ps) > 0, True)
    return ticks_ps[is_last].tolist(), values[is_last].tolist()


def _ticks_ps(time_s: Floats) -> NDArray[np.int64]:
    return np.rint(time_s * PS_PER_S).astype(np.int64)


def _identifier(name: str) -> str:
    """Return a name as a VCD identifier: letters, digits and `_`, no digit in front."""
    return re.sub(r"\W|^(?=\d)", "_", name, flags=re.ASCII)


def _raw_variable(name: str) -> tuple[str, str]:
    """Return what a raw file calls a vector, and its type."""
    if name == "time":
        return "time", "time"
    if name.endswith(BRANCH) or name.startswith("@"):
        return f"i({name.removesuffix(BRANCH)})", "current"
    return f"v({name})", "voltage"


def _check(path: Path, vectors: Mapping[str, Floats]) -> None:
    """Raise ResultError unless there is a time and all vectors are as long."""
    if "time" not in vectors:
        raise ResultError(f"cannot write {path}: no vector 'time', only {', '.join(vectors) or 'none'}")
    n = len(vectors["time"])
    odd = [f"'{name}' has {len(vector)}" for name, vector in vectors.items() if len(vector) != n]
    if odd or not n:
        raise ResultError(f"cannot write {path}: 'time' has {n} points, {', '.join(odd) or 'needs one'}")


def _check_vcd(path: Path, vectors: Mapping[str, Floats], digital: Mapping[str, float]) -> None:
    """Raise ResultError where time falls or is negative, or `digital` names no vector."""
    known = [name for name in vectors if name != "time"]
    unknown = [name for name in digital if name not in known]
    if unknown:
        raise ResultError(
            f"cannot write {path}: no vector {', '.join(unknown)} for a wire; known: {', '.join(known)}"
        )
    steps_s = np.diff(vectors["time"], prepend=0.0)
    if (steps_s < 0).any():
        i = int(np.argmax(steps_s < 0))
        raise ResultError(
            f"cannot write {path}: time must ascend from 0 s on, but point {i} is at {vectors['time'][i]:g} s"
        )


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Give a path beside `path` that takes its place once written; of a failure nothing is left."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        raise ResultError(f"cannot write {path}: {error}") from error
    finally:
        if partial.exists():
            partial.unlink()

"""Checks a result file before it is read: what is missing is named, with its place and what is there."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from simcore.errors import ResultError

_RESULTS = ("sample", "label", "scores", "layers")
_MADE_BY = (
    "scenario",
    "architecture",
    "backend",
    "dataset",
    "seed",
    "settings",
    "layers",
    "components",
    "wall_s",
    "cpu_s",
)
_LAYER = ("backend", "circuit", "n_units", "spec", "is_encoder", "parts")


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Open a result file to read; whatever HDF5 finds wrong with it is a ResultError."""
    try:
        with h5py.File(path) as file:
            yield file
    except (OSError, KeyError, RuntimeError) as error:
        raise ResultError(f"{path}: damaged or unfinished run: {error}") from error


def read_provenance(file: h5py.File, path: Path, schema: int, columns: Sequence[str]) -> dict[str, Any]:
    """Return the provenance of a file that is whole and not newer than `schema`; raises ResultError.

    `columns` are those that each layer must have, one row per sample.
    """
    if "schema" not in file.attrs:
        raise ResultError(
            f"{path}: damaged or unfinished run: no attribute 'schema'; the file has: {_names(file)}"
        )
    found = file.attrs["schema"]
    if found > schema:
        raise ResultError(
            f"{path}: schema {found} is newer than this program's {schema} (known: 1 to {schema}); "
            "read it with the version that wrote it, or update simcore"
        )
    _need(path, "/", list(file), ("provenance", "results"))
    _need(path, "/provenance", list(file["provenance"]), ("json",))
    try:
        provenance: dict[str, Any] = json.loads(file["provenance/json"][()])
    except json.JSONDecodeError as error:
        raise ResultError(f"{path}: damaged or unfinished run: /provenance/json: {error}") from error
    _need(path, "/provenance/json", list(provenance), _MADE_BY)
    _need(path, "/results", list(file["results"]), _RESULTS)
    _need(path, "/results/layers", list(file["results/layers"]), tuple(provenance["layers"]))
    n = len(file["results/sample"])
    for name, info in provenance["layers"].items():
        _need(path, f"/provenance/json: layer {name}", list(info), _LAYER)
        layer, where = file[f"results/layers/{name}"], f"/results/layers/{name}"
        _need(path, where, list(layer), columns)
        short = [column for column in columns if len(layer[column]) < n]
        if short:
            raise ResultError(
                f"{path}: damaged or unfinished run: {where}/{short[0]} has {len(layer[short[0]])} rows, "
                f"expected {n}, one per sample"
            )
    return provenance


def _need(path: Path, where: str, found: Sequence[str], expected: Sequence[str]) -> None:
    missing = [name for name in expected if name not in found]
    if missing:
        raise ResultError(
            f"{path}: damaged or unfinished run: {where} has no {_quoted(missing)}; "
            f"expected: {', '.join(expected)}; it has: {', '.join(sorted(found)) or 'nothing'}"
        )


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _names(group: h5py.Group) -> str:
    return ", ".join(sorted(group)) or "nothing"

"""The CSV tables of an evaluation: raw numbers, energies in J, times in s, shares as such."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from simcore.errors import ResultError

Content = Mapping[str, Any]
Flat = dict[str, Any]
_COSTS = ("family", "bundle_hash", "on_front", "score", "train_s", "size_bytes")


def csv_tables(content: Content) -> dict[str, list[Flat]]:
    """Return the rows of each file by its name; tables without rows are left out."""
    tables = {
        "costs": list(_costs(content)),
        "heads": list(_heads(content)),
        "closed_loop": [{"family": e["family"], **e["closed_loop"]} for e in content["families"]],
        "drift": list(_drift(content)),
        "gaps": list(_gaps(content)),
        "intervals": [{"family": e["family"], **row} for e in content["families"] for row in e["intervals"]],
        "lasana_heads": list(_compat(content)),
        "lasana_networks": [
            {"network": n["name"], "scenario": n["scenario"], "view": view, **figures}
            for n in content["networks"]
            for view, figures in n["lasana_compat"].items()
        ],
        "network_layers": list(_layers(content)),
    }
    return {name: rows for name, rows in tables.items() if rows}


def write_csv(content: Content, directory: Path) -> list[Path]:
    """Write the tables and return their paths; raises ResultError if that fails."""
    paths = []
    for name, rows in csv_tables(content).items():
        path = directory / f"{name}.csv"
        columns = list(dict.fromkeys(key for row in rows for key in row))
        try:
            with path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, columns)
                writer.writeheader()
                writer.writerows(rows)
        except OSError as error:
            raise ResultError(f"cannot write {path}: {error}") from error
        paths.append(path)
    return paths


def _costs(content: Content) -> Iterator[Flat]:
    for e in content["families"]:
        layer = {f"layer_{key}": value for key, value in e["large_layer"].items()}
        per_event = {f"us_per_event_{key}": value for key, value in e["us_per_event"].items()}
        yield {key: e[key] for key in _COSTS} | per_event | layer


def _heads(content: Content) -> Iterator[Flat]:
    for e in content["families"]:
        for head, figure in e["one_step"].items():
            yield {"family": e["family"], "head": head, **_unpaired(figure)}


def _unpaired(figure: Mapping[str, Any]) -> Flat:
    """Return a figure with the two ends of its interval in columns of their own."""
    low, high = figure["ci95_pct"] or (None, None)
    flat = {key: value for key, value in figure.items() if key != "ci95_pct"}
    return flat | {"ci95_low_pct": low, "ci95_high_pct": high}


def _drift(content: Content) -> Iterator[Flat]:
    for e in content["families"]:
        for state, errors in e["drift"].items():
            for step, values in enumerate(zip(*errors.values(), strict=True)):
                yield {
                    "family": e["family"],
                    "state": state,
                    "step": step,
                    **dict(zip(errors, values, strict=True)),
                }


def _gaps(content: Content) -> Iterator[Flat]:
    for e in content["families"]:
        for study in ("gaps", "split_gaps"):
            for gap in e[study]:
                yield {"family": e["family"], "study": study, **gap}


def _compat(content: Content) -> Iterator[Flat]:
    for e in content["families"]:
        for state, heads in e["lasana_compat"].items():
            for head, figures in heads.items():
                yield {"family": e["family"], "state": state, "head": head, **figures}


def _layers(content: Content) -> Iterator[Flat]:
    for network in content["networks"]:
        for layer in network["layers"]:
            for view in ("aligned", "cascade"):
                for key, figure in layer[view].items():
                    if isinstance(figure, dict):
                        where = {
                            "network": network["name"],
                            "layer": layer["name"],
                            "view": view,
                            "figure": key,
                        }
                        yield where | _unpaired(figure)

"""Files of a study: its trials as CSV, its best scenarios as TOML."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from simcore.errors import ResultError
from simcore.explore.figures import QUANTITIES
from simcore.explore.record import Record, best_first
from simcore.explore.sweep import Sweep
from simcore.scenario import Scenario

BEST = "best"
TABLE = "trials.csv"
MOST = 20
"""Best scenarios that are written."""


def write_table(records: Sequence[Record], sweep: Sweep, out: Path) -> Path:
    """Write one row per trial, SI units; what is not known is empty."""
    axes = [axis.name for axis in sweep.axes]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    figures = [_column(name) for name in QUANTITIES]
    costs = ["wall_s", "cpu_s", "n_samples", "outside"]
    true = [f"spice_{column}" for column in figures]
    writer.writerow(
        ["trial", "place", "rank", "feasible", *axes, *figures, *costs, "spice_n_samples", *true, "error"]
    )
    for record in records:
        said = record.validated.get("true", {})
        writer.writerow([
            record.number, record.place, record.rank, record.is_feasible,
            *(record.point[name] for name in axes), *(record.figures.get(name) for name in QUANTITIES),
            *(record.costs.get(name) for name in costs), record.validated.get("n_samples"),
            *(said.get(name) for name in QUANTITIES), record.error,
        ])  # fmt: skip
    return _write(out / TABLE, text.getvalue())


def write_best(records: Sequence[Record], sweep: Sweep, out: Path) -> list[Path]:
    """Write the scenarios of the front, or of the best where there is one objective; the best one first."""
    for stale in (out / BEST).glob("*-trial-*.toml"):
        stale.unlink()
    many = len(sweep.objectives) > 1
    chosen = [record for record in best_first(records) if record.rank == 0 or not many][:MOST]
    return [
        _write(
            out / BEST / f"{i + 1:02d}-trial-{record.number}.toml",
            f"# Trial {record.number} of the study {sweep.name}: {_said(record)}.\n"
            + to_toml(sweep.scenario(record.point)),
        )
        for i, record in enumerate(chosen)
    ]


def to_toml(scenario: Scenario) -> str:
    """Write a scenario as TOML, its defaults left out."""
    return "".join(_tables(json.loads(scenario.model_dump_json(exclude_defaults=True)), ()))


def _tables(data: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    plain = {key: value for key, value in data.items() if value is not None and not isinstance(value, dict)}
    if path and (plain or not data):
        yield f"\n[{'.'.join(map(_key, path))}]\n"
    yield from (f"{_key(key)} = {_inline(value)}\n" for key, value in plain.items())
    for key, value in data.items():
        if isinstance(value, dict):
            yield from _tables(value, (*path, key))


def _key(text: str) -> str:
    return text if text.replace("_", "").replace("-", "").isalnum() and text.isascii() else json.dumps(text)


def _inline(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_inline, value))}]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(k)} = {_inline(v)}" for k, v in value.items()) + " }"
    return json.dumps(value)


def _column(name: str) -> str:
    unit = QUANTITIES[name].unit
    return f"{name}_{unit.replace(' ', '').lower()}" if unit else name


def _said(record: Record) -> str:
    names = [name for name in QUANTITIES if name in record.figures]
    return ", ".join(f"{name} {record.figures[name]:.4g} {QUANTITIES[name].unit}".rstrip() for name in names)


def _write(path: Path, text: str) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ResultError(f"cannot write {path}: {error}") from error
    return path

"""The difference of two runs: setting by setting, layer by layer, and where the energy went."""

import json
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table as Grid

from simcore import terminal
from simcore.report.origin import origin, shortened
from simcore.report.page import write_page
from simcore.report.parity import parity
from simcore.report.plot import Axis, Bars, Panel, Plot, named
from simcore.report.sides import CANDIDATE_COLOUR, REFERENCE_COLOUR, Side, side_of
from simcore.report.tables import (
    Cell,
    Heading,
    Row,
    Table,
    energy_table,
    event_table,
    summary_table,
    timing_table,
)
from simcore.report.totals_plots import PARTS
from simcore.result import RunResult
from simcore.units import DASH, number, percent, scale_for, si

FILE = "difference.html"
_ALWAYS_OTHER = ("started", "wall_s", "cpu_s", "solver_cpu_s", "solver_jobs", "solver_jobs_cached", "command")
"""What tells nothing where it differs."""


def write_difference(a: RunResult, b: RunResult, directory: Path) -> Path:
    """Write `difference.html` into `directory` and return its path; raises ResultError."""
    from simcore.report.draw_plotly import chart

    sides = _sides(a, b)
    plots = [plot for plot in (_energy_plot(sides), _unit_plot(sides)) if plot is not None]
    context = {
        "title": f"{sides[0].name} and {sides[1].name}",
        "subtitle": "what differs: settings, models, figures; changes are of the second against the first",
        "headline": _headline(sides),
        "settings": _settings_table(sides),
        "tables": [make(sides) for make in (summary_table, energy_table, timing_table, event_table)],
        "origins": [origin(side) for side in sides],
    }
    template = files(__package__).joinpath("difference.html").read_text("utf-8")
    return write_page(directory / FILE, template, context, [chart(plot) for plot in plots])


def difference_tables(a: RunResult, b: RunResult) -> list[Grid]:
    """Return what the terminal shows: settings that differ, then layer by layer."""
    sides = _sides(a, b)
    settings = [[cell.text for cell in row.cells] for row in _settings_table(sides).rows]
    names = [side.name for side in sides]
    grids = [terminal.table("settings that differ", ["setting", *names], settings)] if settings else []
    columns = {"energy_j": "J", "event_latency_s": "s", "critical_path_s": "s"}
    rows = []
    for name in _layers(sides):
        for key, unit in columns.items():
            values = [_of(side, name).get(key) for side in sides]
            shown = [si(value, unit) for value in values]
            rows.append([name if key == "energy_j" else "", key.rpartition("_")[0].replace("_", " "), *shown,
                         _change(values)])  # fmt: skip
    return [*grids, terminal.table("layer by layer", ["layer", "", *names, "change"], rows)]


def settings_that_differ(a: RunResult, b: RunResult) -> list[tuple[str, str, str]]:
    """Return (setting, value in a, value in b) of all that made the runs and is not the same."""
    ours, theirs = (dict(_flat("", _made_by(run))) for run in (a, b))
    return [
        (key, ours.get(key, DASH), theirs.get(key, DASH))
        for key in dict.fromkeys([*ours, *theirs])
        if ours.get(key) != theirs.get(key)
    ]


def _made_by(run: RunResult) -> dict[str, Any]:
    """Return settings, models and environment of a run under short keys."""
    made = run.provenance
    rest = {
        key: value
        for key, value in made.items()
        if key not in ("settings", "layers", "banks", *_ALWAYS_OTHER)
    }
    banks = {
        f"model of {' + '.join(bank.get('layers', [str(i)]))}": {
            key: bank.get(key) for key in ("family", "bundle_hash", "solver", "accuracy", "behaviour")
        }
        for i, bank in enumerate(made.get("banks", []))
    }
    circuits = {f"circuit of {name}": info["spec"]["hash"] for name, info in made["layers"].items()}
    return {**made["settings"], **banks, **circuits, **rest}


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield (dotted key, value as text) of nested tables, None left out."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{prefix}.{key}" if prefix else str(key), inner)
    elif value is not None:
        yield prefix, value if isinstance(value, str) else json.dumps(value)


def _sides(a: RunResult, b: RunResult) -> tuple[Side, Side]:
    names = [run.path.parent.name for run in (a, b)]
    if names[0] == names[1]:
        names = [str(run.path.parent) for run in (a, b)]
    colours = (REFERENCE_COLOUR, CANDIDATE_COLOUR)
    first, second = (
        side_of(run, name, name, colour) for run, name, colour in zip((a, b), names, colours, strict=True)
    )
    return first, second


def _layers(sides: tuple[Side, Side]) -> list[str]:
    return list(dict.fromkeys(name for side in sides for name in side.result.layer_columns))


def _of(side: Side, layer: str) -> Mapping[str, Any]:
    return side.layer(layer) if layer in side.result.layer_columns else {}


def _settings_table(sides: tuple[Side, Side]) -> Table:
    differ = settings_that_differ(sides[0].result, sides[1].result)
    ours, theirs = (set(_flat("", _made_by(side.result))) for side in sides)
    headings = (Heading("setting", "Dotted key of the scenario, a model, or the environment."),
                *(Heading(side.name, "Its value in this run.") for side in sides))  # fmt: skip
    rows = tuple(Row(tuple(Cell(_cut(shortened(text))) for text in row)) for row in differ)
    note = (
        f"Of all that made the runs; {len(ours & theirs)} more are the same." if rows else "All are the same."
    )
    return Table("Settings that differ", note, headings, rows, n_text=3)


def _cut(text: str, most: int = 60) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _change(values: list[float | None]) -> str:
    first, second = values
    if first is None or second is None or not first:
        return DASH
    return percent(100 * (second / first - 1), sign=True)


def _headline(sides: tuple[Side, Side]) -> list[tuple[str, str, str]]:
    first, second = (side.summary for side in sides)
    cards = []
    for key, name, unit in (("energy_j", "energy per sample", "J"), ("latency_s", "latency per sample", "s")):
        values = [first[key], second[key]]
        cards.append((_change(values), name, " to ".join(si(value, unit) for value in values)))
    accuracies = [100 * side["accuracy"] for side in (first, second)]
    change = number(accuracies[1] - accuracies[0], 3)
    cards.append((f"{change} pts", "accuracy", " to ".join(percent(value) for value in accuracies)))
    ours, theirs = (side.result for side in sides)
    common, left, right = np.intersect1d(ours.samples, theirs.samples, return_indices=True)
    if len(common):
        same = 100 * float(np.mean(ours.predictions[left] == theirs.predictions[right]))
        cards.append((percent(same), "same label", f"{len(common)} samples in common"))
    return cards


def _energy_plot(sides: tuple[Side, Side]) -> Plot:
    """Draw by how much each part of each layer changed."""
    names = _layers(sides)
    found = {part: np.array([_grown(sides, name, f"{part}_j") for name in names]) for part in PARTS}
    scale = scale_for(np.concatenate(list(found.values())), "J")
    x = np.arange(len(names), dtype=np.float64)
    marks = tuple(
        Bars(part, x, values * scale.factor, PARTS[part], 0.6,
             tuple(f"{name}, {part} {si(value, 'J')}" for name, value in zip(names, values, strict=True)))
        for part, values in found.items()
    )  # fmt: skip
    axis = Axis(low=-0.7, high=len(names) - 0.3, ticks=named(names), grid=False)
    panel = Panel("", axis, Axis(f"change in energy ({scale.unit})"), marks)
    note = f"{sides[1].name} minus {sides[0].name}, mean per sample; below zero the second run saves energy."
    return Plot("energy-change", "Where the energy changes", note, (panel,), columns=1, stacked=True)


def _grown(sides: tuple[Side, Side], layer: str, key: str) -> float:
    """Return by how much a figure of a layer is larger in the second run; a missing layer has none."""
    first, second = (float(_of(side, layer).get(key) or 0.0) for side in sides)
    return second - first


def _unit_plot(sides: tuple[Side, Side]) -> Plot | None:
    """Draw the energy of each unit, second over first, where both ran the same samples and layers."""
    ours, theirs = (side.result for side in sides)
    if not np.array_equal(ours.samples, theirs.samples):
        return None
    panels = []
    for name in ours.layer_columns:
        pair = [
            run.layer_columns[name]["unit_energy_j"] for run in (ours, theirs) if name in run.layer_columns
        ]
        if len(pair) == 2 and pair[0].shape == pair[1].shape:
            panels.append(
                parity(name, pair[0].ravel(), pair[1].ravel(), ("energy", "J"), [s.name for s in sides])
            )
    note = "Supply + input energy of each unit in each sample; on the line nothing changed."
    return Plot("unit-energy", "Energy per unit, side by side", note, tuple(panels)) if panels else None

"""The tables of a report: summary, energy, timing, digital components, errors."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simcore.digital import Component
from simcore.glossary import define
from simcore.report.sides import Side
from simcore.units import DASH, number, percent, si

_EQUAL = 1e-9
"""Relative difference below which two figures differ by rounding only."""

Value = float | int | None
Style = Callable[[Value], str]


@dataclass(frozen=True, slots=True)
class Heading:
    """A column: its short name and the sentence that explains it on hover."""

    text: str
    hover: str
    key: str = ""
    """Key in the glossary and in files; empty where it has none."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell: its text, what stands below it in small print, and what shows on hover."""

    text: str
    notes: tuple[str, ...] = ()
    hover: str = ""
    tag: str = ""
    """Verdict word, empty for none."""
    value: float | None = None
    """SI value, to sort by and for files."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table."""

    cells: tuple[Cell, ...]
    kind: str = ""
    """`first` opens a group, `change` holds differences, `total` closes the table."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the report."""

    title: str
    note: str
    headings: tuple[Heading, ...]
    rows: tuple[Row, ...]
    n_text: int = 1
    """Leading columns that hold text, aligned to the left."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a per-layer table: the key in `summary.json`, and how it is shown."""

    key: str
    heading: Heading
    style: Style
    total: Callable[[Sequence[float]], float] | None = sum
    """How layers add up; None where they do not."""
    note: str = ""
    """Key of what stands below the figure in small print, where the layer has it."""


def _joules(value: Value) -> str:
    return si(value, "J")


def _seconds(value: Value) -> str:
    return si(value, "s")


def heading(key: str, text: str | None = None) -> Heading:
    """Return the heading of a column of the glossary, under its name or another."""
    known = define(key)
    return Heading(known.name if text is None else text, known.hover, key)


def _column(key: str, style: Style = _joules, total: Any = sum, note: str = "", text: str = "") -> Column:
    return Column(key, heading(key, text or None), style, total, note)


_LAYER, _BACKEND = heading("name"), heading("backend")
ENERGY_COLUMNS = (
    _column("n_units", number),
    _column("energy_j"),
    _column("share_pct", percent),
    _column("energy_interval_pct", percent, None, text="+-"),
    _column("supply_j"),
    _column("input_j"),
    _column("digital_j"),
    _column("active_j"),
    _column("quiet_j"),
    _column("idle_j"),
)
TIMING_COLUMNS = (
    _column("event_latency_s", _seconds, None),
    _column("latency_interval_pct", percent, None, text="+-"),
    _column("latency_p50_s", _seconds, None, note="untimed"),
    _column("latency_p95_s", _seconds, None),
    _column("latency_max_s", _seconds, max),
    _column("critical_path_s", _seconds, max),
    _column("wait_s", _seconds),
    _column("missed", number),
)
EVENT_COLUMNS = (
    _column("events_active", number, text="active"),
    _column("events_quiet", number, text="quiet"),
    _column("events_idle", number, text="idle"),
    _column("events_late", number),
    _column("out_of_range", number),
    _column("out_of_range_pct", percent, None, note="worst"),
    _column("rail_excursions", number),
    _column("guarded", number),
)


def energy_table(sides: Sequence[Side]) -> Table:
    """Return the energy of each layer and its parts, side by side."""
    note = "Means per sample. energy = supply + input + digital; active + quiet + idle = supply + input."
    return _layer_table("Energy per layer", note, ENERGY_COLUMNS, sides)


def timing_table(sides: Sequence[Side]) -> Table:
    """Return the latencies of each layer, side by side."""
    note = "Event latency: the analog unit alone; p50, p95 and max are over the events of all samples."
    untraced = [side.name for side in sides if not side.result.is_traced]
    if untraced:
        note += (
            f" They are empty for {' and '.join(untraced)}: a run keeps single events only with --trace, "
            "else the sum of their latencies."
        )
    return _layer_table("Latency per layer", note, TIMING_COLUMNS, sides)


def event_table(sides: Sequence[Side]) -> Table:
    """Return the steps and events of each layer and what left its range, side by side."""
    note = "Means per sample."
    if not all(side.result.is_traced for side in sides):
        note += " Single events and levels are not shown: a run keeps them only with --trace."
    return _layer_table("Steps and events per layer", note, EVENT_COLUMNS, sides)


def _layer_table(title: str, note: str, columns: Sequence[Column], sides: Sequence[Side]) -> Table:
    rows: list[Row] = []
    for name in dict.fromkeys(name for side in sides for name in side.result.layer_columns):
        group = [_layer(side, name, columns) for side in sides]
        backends = [each["backend"] for each in group]
        same = len(sides) > 1 and len(set(backends)) == 1
        rows += _group(name, [side.name for side in sides] if same else backends, group, columns)
    totals = [_totals([side.layer(name) for name in side.result.layer_columns], columns) for side in sides]
    rows += _group("total", [side.name for side in sides], totals, columns, kind="total")
    return Table(title, note, (_LAYER, _BACKEND, *(c.heading for c in columns)), tuple(rows), n_text=2)


def _layer(side: Side, name: str, columns: Sequence[Column]) -> Mapping[str, Any]:
    """Return the figures of a layer; undefined ones where a run does not have it."""
    if name in side.result.layer_columns:
        return side.layer(name)
    return {"backend": DASH, **dict.fromkeys(column.key for column in columns)}


def _group(
    name: str,
    backends: Sequence[str],
    values: Sequence[Mapping[str, Any]],
    columns: Sequence[Column],
    kind: str = "",
) -> list[Row]:
    rows = []
    for i, (backend, figures) in enumerate(zip(backends, values, strict=True)):
        cells = [_figure(column, figures) for column in columns]
        row_kind = f"{kind} first".strip() if i == 0 else kind
        rows.append(Row((Cell("" if i else name), Cell(backend), *cells), row_kind))
    if len(values) == 2:
        changes = [Cell(_change(*(v[c.key] for v in values))) for c in columns]
        rows.append(Row((Cell(""), Cell("change"), *changes), f"{kind} change".strip()))
    return rows


def _figure(column: Column, figures: Mapping[str, Any]) -> Cell:
    note = figures.get(column.note)
    value = figures[column.key]
    return Cell(column.style(value), (note,) if note else (), value=value)


def _change(reference: Value, candidate: Value) -> str:
    if reference is None or candidate is None:
        return DASH
    if math.isclose(reference, candidate, rel_tol=_EQUAL):
        return "0"
    return percent(100 * (candidate / reference - 1), sign=True) if reference else "new"


def _totals(layers: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> dict[str, Value]:
    totals: dict[str, Value] = {}
    for column in columns:
        known = [layer[column.key] for layer in layers if layer[column.key] is not None]
        totals[column.key] = column.total(known) if column.total and known else None
    return totals


def digital_table(sides: Sequence[Side]) -> Table | None:
    """Return the digital energy by component and layer; None if no layer has any."""
    layers = [layer["name"] for layer in sides[0].summary["layers"]]
    spent = [{name: side.result.digital(name) for name in layers} for side in sides]
    table = sides[-1].result.components
    used = [c for c in table if any(side[name].get(c) for side in spent for name in layers)]
    if not used:
        return None
    headings = [Heading(c, _component(table[c])) for c in used]
    rows = []
    for name in layers:
        for i, (side, energy) in enumerate(zip(sides, spent, strict=True)):
            cells = [_spent(energy[name].get(c)) for c in used]
            total = _spent(sum(energy[name].values()))
            head = (Cell("" if i else name), Cell(side.name))
            rows.append(Row((*head, *cells, total), "" if i else "first"))
    side_heading = Heading("run", "Which run the actions were counted in.")
    return Table(
        "Digital energy by component",
        "Means per sample; actions times energy, and what parts draw all the time.",
        (_LAYER, side_heading, *headings, heading("digital_j")),
        tuple(rows),
        n_text=2,
    )


def _component(component: Component) -> str:
    each = f"{si(component.energy_j, 'J')}, {si(component.latency_s, 's')} each"
    always = f", {si(component.static_w, 'W')} a part all the time" if component.static_w else ""
    return f"{component.what}: {each}{always}. {component.source}"


def _spent(energy_j: float | None) -> Cell:
    return Cell(_joules(energy_j), value=energy_j) if energy_j else Cell(DASH)


def summary_table(sides: Sequence[Side]) -> Table:
    """Return the figures of the whole run, one column per side."""
    rows: dict[str, Style] = {
        "backend": str,
        "n_samples": number,
        "accuracy": lambda x: percent(None if x is None else 100 * x),
        "energy_j": _joules,
        "latency_s": _seconds,
        "wall_s": _seconds,
        "cpu_s": _seconds,
        "seed": str,
    }
    changing = {"energy_j", "latency_s"}
    body = []
    for key, style in rows.items():
        values = [side.summary[key] for side in sides]
        known = define("run.energy_j" if key == "energy_j" else key)
        cells = [Cell(known.name, hover=known.hover), *(Cell(style(value)) for value in values)]
        if len(sides) == 2:
            cells.append(Cell(_change(*values) if key in changing else ""))
        body.append(Row(tuple(cells)))
    headings = [Heading("", ""), *(Heading(side.role or "run", "") for side in sides)]
    if len(sides) == 2:
        headings.append(Heading("change", "Candidate against reference."))
    return Table("The whole run", "", tuple(headings), tuple(body))

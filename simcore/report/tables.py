"""The tables of a report: summary, energy, timing, digital components, errors."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simcore.digital import COMPONENTS
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


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell: its text, what stands below it in small print, and what shows on hover."""

    text: str
    notes: tuple[str, ...] = ()
    hover: str = ""
    tag: str = ""
    """Verdict word, empty for none."""


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


def _column(
    key: str, text: str, hover: str, style: Style = _joules, total: Any = sum, note: str = ""
) -> Column:
    return Column(key, Heading(text, hover), style, total, note)


_LAYER = Heading("layer", "Layer of the network, in the order of the signal path.")
_BACKEND = Heading(
    "back end", "What answered the analog units of this layer: spice, surrogate, annotate or ideal."
)
ENERGY_COLUMNS = (
    _column("n_units", "units", "Analog units of the layer: neurons, or rows of a crossbar.", number),
    _column("energy_j", "energy", "Energy of the layer per sample: supply + input + digital."),
    _column(
        "energy_interval_pct",
        "+-",
        "Half-width of the 90 % interval of supply + input energy in one sample, where the surrogate was "
        "calibrated on compared runs.",
        percent,
        None,
    ),
    _column("supply_j", "supply", "Energy that the analog units draw from supplies and bias sources."),
    _column("input_j", "input", "Energy that the drivers of the inputs deliver into the analog units."),
    _column("digital_j", "digital", "Energy of the digital components that this layer pays for."),
    _column("active_j", "active", "Supply + input energy of driven steps in which the output fired."),
    _column("quiet_j", "quiet", "Supply + input energy of driven steps in which nothing fired."),
    _column("idle_j", "idle", "Supply + input energy of steps without an input (merged gaps included)."),
)
TIMING_COLUMNS = (
    _column("event_latency_s", "event latency",
            "Mean time from the last driven input edge to the output event.", _seconds, None),
    _column("latency_interval_pct", "+-",
            "Half-width of the 90 % interval of the mean event latency in one sample.", percent, None),
    _column("critical_path_s", "critical path",
            "Time from the first input edge of the sample to the last output event of the layer, digital "
            "latency included; mean over the samples. The total is the largest.", _seconds, max),
    _column("events_active", "active", "Driven steps per sample in which the output fired.", number),
    _column("events_quiet", "quiet", "Driven steps per sample in which nothing fired.", number),
    _column("events_idle", "idle", "Idle steps per sample; a merged gap counts once.", number),
    _column("events_late", "late",
            "Output events per sample that fell into a merged idle gap, after their tail steps.", number),
    _column("out_of_range", "out of range",
            "Steps per sample with a value outside the range that the model was made for. Below: their share "
            "of the layer's steps, and the input of the model that left its range most often; layers of one "
            "circuit share a model.", number, note="outside"),
    _column("rail_excursions", "rail excursions",
            "Steps per sample in which a node left the rails by more than the allowed 0.1 V.", number),
    _column("guarded", "guarded",
            "Units per sample that left the model's range and were replayed on ngspice.", number),
)  # fmt: skip


def energy_table(sides: Sequence[Side]) -> Table:
    """Return the energy of each layer and its parts, side by side."""
    note = "Means per sample. energy = supply + input + digital; active + quiet + idle = supply + input."
    return _layer_table("Energy per layer", note, ENERGY_COLUMNS, sides)


def timing_table(sides: Sequence[Side]) -> Table:
    """Return latencies and events of each layer, side by side."""
    note = "Means per sample. Event latency is that of the analog unit alone."
    return _layer_table("Latency and events per layer", note, TIMING_COLUMNS, sides)


def _layer_table(title: str, note: str, columns: Sequence[Column], sides: Sequence[Side]) -> Table:
    rows: list[Row] = []
    for layer in sides[0].summary["layers"]:
        name = layer["name"]
        group = [side.layer(name) | {"outside": side.result.outside().get(name)} for side in sides]
        rows += _group(name, [x["backend"] for x in group], group, columns)
    totals = [_totals(side.summary["layers"], columns) for side in sides]
    rows += _group("total", [side.name for side in sides], totals, columns, kind="total")
    return Table(title, note, (_LAYER, _BACKEND, *(c.heading for c in columns)), tuple(rows), n_text=2)


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
    return Cell(column.style(figures[column.key]), (note,) if note else ())


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
    used = [c for c in COMPONENTS if any(side[name].get(c) for side in spent for name in layers)]
    if not used:
        return None
    headings = [Heading(c, f"{COMPONENTS[c].what}: {si(COMPONENTS[c].energy_j, 'J')}, "
                           f"{si(COMPONENTS[c].latency_s, 's')} each. {COMPONENTS[c].source}")
                for c in used]  # fmt: skip
    rows = []
    for name in layers:
        for i, (side, energy) in enumerate(zip(sides, spent, strict=True)):
            cells = [Cell(_joules(energy[name].get(c)) if energy[name].get(c) else DASH) for c in used]
            total = Cell(_joules(sum(energy[name].values())))
            head = (Cell("" if i else name), Cell(side.name))
            rows.append(Row((*head, *cells, total), "" if i else "first"))
    side_heading = Heading("run", "Which run the actions were counted in.")
    return Table(
        "Digital energy by component",
        "Means per sample; number of actions times energy per action.",
        (_LAYER, side_heading, *headings, Heading("digital", "Sum over the components.")),
        tuple(rows),
        n_text=2,
    )


def summary_table(sides: Sequence[Side]) -> Table:
    """Return the figures of the whole run, one column per side."""
    rows: list[tuple[str, str, Style]] = [
        ("back end", "backend", str),
        ("samples", "n_samples", number),
        ("accuracy", "accuracy", lambda x: percent(None if x is None else 100 * x)),
        ("energy per sample", "energy_j", _joules),
        ("latency per sample", "latency_s", _seconds),
        ("wall time", "wall_s", _seconds),
        ("CPU time", "cpu_s", _seconds),
        ("seed", "seed", str),
    ]
    changing = {"energy_j", "latency_s"}
    body = []
    for text, key, style in rows:
        values = [side.summary[key] for side in sides]
        cells = [Cell(text), *(Cell(style(value)) for value in values)]
        if len(sides) == 2:
            cells.append(Cell(_change(*values) if key in changing else ""))
        body.append(Row(tuple(cells)))
    headings = [Heading("", ""), *(Heading(side.role or "run", "") for side in sides)]
    if len(sides) == 2:
        headings.append(Heading("change", "Candidate against reference."))
    return Table("Summary", "", tuple(headings), tuple(body))

"""The tables per layer that `run` and `compare` show: quantities as rows, layers as columns.

A network has few layers and many quantities, so that this way round fits a narrow terminal; what is still too
wide is broken into several tables, layer by layer.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from simcore import terminal
from simcore.report.audit_table import audit_table
from simcore.report.errors_table import verdict
from simcore.units import number, percent, si

Style = Callable[[Any], str]


def _joules(value: float | None) -> str:
    return si(value, "J")


def _seconds(value: float | None) -> str:
    return si(value, "s")


_QUANTITIES: dict[str, tuple[str, Style]] = {
    "n_units": ("units", number),
    "energy_j": ("energy", _joules),
    "energy_interval_pct": ("  +-, 90 %", percent),
    "supply_j": ("  supply", _joules),
    "input_j": ("  input", _joules),
    "digital_j": ("  digital", _joules),
    "active_j": ("  active", _joules),
    "quiet_j": ("  quiet", _joules),
    "idle_j": ("  idle", _joules),
    "event_latency_s": ("event latency", _seconds),
    "latency_interval_pct": ("  +-, 90 %", percent),
    "critical_path_s": ("critical path", _seconds),
    "wait_s": ("  waiting", _seconds),
    "missed": ("missed edges", number),
    "events_active": ("steps active", number),
    "events_quiet": ("  quiet", number),
    "events_idle": ("  idle", number),
    "events_late": ("late events", number),
    "out_of_range": ("out of range", number),
    "outside": ("  of all steps", lambda text: text or "0 %"),
    "rail_excursions": ("beyond rails", number),
    "guarded": ("units guarded", number),
}
"""Key in `summary.json`, or `outside` -> row label and how it is shown; energy = supply + input + digital."""
_OPTIONAL = ("energy_interval_pct", "latency_interval_pct", "outside")
"""Left out where no layer has it."""

_ERRORS = {
    ("aligned", "energy"): "energy",
    ("aligned", "energy_active"): "  active",
    ("aligned", "energy_quiet"): "  quiet",
    ("aligned", "energy_idle"): "  idle",
    ("aligned", "latency"): "latency",
    ("aligned", "event"): "event",
    ("aligned", "output"): "output",
    ("aligned", "exact_units_pct"): "exact units",
    ("cascade", "energy"): "cascade energy",
    ("cascade", "behaviour"): "cascade behaviour",
}
"""View and key in `comparison.json` -> row label."""


@dataclass(frozen=True, slots=True)
class _Column:
    """One column of a table: heading and a cell for each row."""

    heading: str
    cells: tuple[str, ...]


def layer_tables(
    sides: Sequence[Mapping[str, Any]], outside: Sequence[Mapping[str, str]] = ()
) -> list[Table]:
    """Return the figures of each layer, the runs of `sides` (contents of `summary.json`) side by side.

    `outside` is `RunResult.outside` of each side: a row of its own, where anything was out of range.
    """
    layers_of_all = [
        [{"outside": shares.get(layer["name"]), **layer} for layer in side["layers"]]
        for side, shares in zip(sides, outside or [{}] * len(sides), strict=True)
    ]
    shown = {
        key: quantity
        for key, quantity in _QUANTITIES.items()
        if key not in _OPTIONAL
        or any(layer.get(key) is not None for layers in layers_of_all for layer in layers)
    }
    groups = [
        [
            _Column(
                f"{layer['name']}\n{layer['backend']}",
                tuple(style(layer.get(key)) for key, (_, style) in shown.items()),
            )
            for layer in layers
        ]
        for layers in zip(*layers_of_all, strict=True)
    ]
    labels = [label for label, _ in shown.values()]
    return _broken(f"{sides[0]['scenario']}: means per sample", labels, groups)


def error_tables(figures: Mapping[str, Any]) -> list[Table]:
    """Return the errors of each layer, from the content of `comparison.json`."""
    groups = [
        _errors(layer["name"], [layer[view][key] for view, key in _ERRORS]) for layer in figures["layers"]
    ]
    title = f"errors of {figures['candidate']} against {figures['reference']}, aligned unless cascade"
    return _broken(title, list(_ERRORS.values()), groups)


def audit_tables(figures: Mapping[str, Any]) -> list[Table]:
    """Return the errors that an audit found, from the content of `audit.json`."""
    whole = audit_table(figures)
    cells = [[" ".join([cell.text, *cell.notes]) for cell in row.cells] for row in whole.rows]
    labels, *columns = zip(*cells, strict=True)
    names = [heading.text for heading in whole.headings[1:]]
    groups = [[_Column(name, column)] for name, column in zip(names, columns, strict=True)]
    return _broken(whole.title, labels, groups)


def _errors(layer: str, figures: Sequence[Any]) -> list[_Column]:
    """Return the errors of a layer, and marks where a constant would do as well, or noise rules."""
    values = [x["value_pct"] if isinstance(x, Mapping) else x for x in figures]
    words = [verdict(x) if isinstance(x, Mapping) else "" for x in figures]
    marks = [word if word in ("trivial", "at the floor") else "" for word in words]
    columns = [_Column(layer, tuple(percent(value) for value in values))]
    return [*columns, _Column("", tuple(marks))] if any(marks) else columns


def _broken(title: str, labels: Sequence[str], groups: Sequence[Sequence[_Column]]) -> list[Table]:
    """Return tables that fit the terminal; the columns of a group stay together."""
    for n in range(len(groups), 0, -1):
        chunks = [groups[first : first + n] for first in range(0, len(groups), n)]
        tables = [_table(title if i == 0 else "", labels, chunk) for i, chunk in enumerate(chunks)]
        if all(map(terminal.fits, tables)):
            break
    return tables


def _table(title: str, labels: Sequence[str], groups: Sequence[Sequence[_Column]]) -> Table:
    columns = [column for group in groups for column in group]
    rows = [
        [label, *cells] for label, *cells in zip(labels, *(column.cells for column in columns), strict=True)
    ]
    return terminal.table(title, ["", *(column.heading for column in columns)], rows)

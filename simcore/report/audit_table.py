"""The table of an audit: errors of a run, estimated from units that ngspice answered again."""

from collections.abc import Mapping
from typing import Any

from simcore.report.tables import Cell, Heading, Row, Table
from simcore.units import DASH, number, percent, si

_ROWS = {
    "energy_bias": ("energy, signed", "Run minus ngspice over ngspice: what the total is too large by."),
    "energy": ("energy", "Sum of |difference| over sum of supply + input energy, step by step."),
    "latency": ("latency", "Sum of |difference| over sum of latency, over events that both have."),
    "event_count": ("events, signed", "Number of events, run minus ngspice over ngspice."),
    "event": ("event", "1 - F1 of the output events by unit and step."),
    "output": (
        "output",
        "RMS difference of the output level over the range of its port; level outputs only.",
    ),
}
"""Key in `audit.json` -> row label and what it means."""


def audit_table(figures: Mapping[str, Any]) -> Table:
    """Return the table of the content of `audit.json`, layers as columns."""
    sides = [*figures["layers"], {**figures, "name": "whole run"}]
    first = [
        _row("pairs replayed", "", [_share(side) for side in sides]),
        _row("energy of the run", "Mean per sample, supply + input.", [
            Cell(si(side["energy_run_j"], "J")) for side in sides
        ]),
        _row("energy on ngspice", "Mean per sample, estimated.", [_joules(side) for side in sides]),
    ]  # fmt: skip
    rows = [
        _row(label, hover, [_percent(side.get(key), signed="signed" in label) for side in sides])
        for key, (label, hover) in _ROWS.items()
        if any(side.get(key) and side[key]["value_pct"] is not None for side in sides)
    ]
    note = (
        f"{number(figures['n_pairs'])} pairs of sample and unit, drawn at random, once more on "
        f"{figures['reference']}: each on the input that it received in this run, from reset. In brackets "
        "the interval of 95 % confidence for all units of the run."
    )
    headings = (Heading("", ""), *(Heading(side["name"], "") for side in sides))
    return Table(
        f"Audit: {figures['candidate']} against {figures['reference']}, estimated",
        note,
        headings,
        (*first, *rows),
    )


def _row(label: str, hover: str, cells: list[Cell]) -> Row:
    return Row((Cell(label, hover=hover), *cells))


def _share(side: Mapping[str, Any]) -> Cell:
    return Cell(f"{number(side['n_pairs'])} of {number(side['n_population'], 6)}")


def _joules(side: Mapping[str, Any]) -> Cell:
    low, high = (si(value, "J") for value in side["energy_reference_ci95_j"])
    return Cell(si(side["energy_reference_j"], "J"), (f"({low} to {high})",))


def _percent(figure: Mapping[str, Any] | None, signed: bool) -> Cell:
    if figure is None or figure["value_pct"] is None:
        return Cell(DASH)
    low, high = (percent(value, sign=signed).removesuffix(" %") for value in figure["ci95_pct"])
    return Cell(percent(figure["value_pct"], sign=signed), (f"({low} to {high})",))

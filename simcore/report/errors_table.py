"""The errors of a comparison, layer by layer, each beside its baseline and with a verdict."""

from collections.abc import Mapping, Sequence
from typing import Any

from simcore.glossary import define
from simcore.report.tables import Cell, Row, Table, heading
from simcore.units import DASH, percent

TRIVIAL_FROM = 0.8
"""Share of the baseline from which a figure says no more than a constant predictor would."""

COLUMNS = (
    "aligned.energy", "aligned.energy_active", "aligned.energy_quiet", "aligned.energy_idle",
    "aligned.latency", "aligned.event", "aligned.output", "aligned.exact_units_pct",
    "cascade.energy", "cascade.behaviour",
)  # fmt: skip
"""View and key in `comparison.json`."""


def error_table(figures: Mapping[str, Any]) -> Table:
    """Return the error table of the content of `comparison.json`."""
    shown = [column for column in COLUMNS if any(_has(layer, column) for layer in figures["layers"])]
    rows = [_row(layer, shown) for layer in figures["layers"]]
    note = (
        "Aligned: each layer on the inputs that the reference's layer received. Cascade: the candidate runs "
        "the whole network alone. In small print the baseline (same figure for a constant predictor) and the "
        "95 % interval over samples; bias and number of rows on hover."
    )
    headings = (heading("name"), heading("verdict"), *(heading(key) for key in shown))
    title = f"Errors of {figures['candidate']} against {figures['reference']}"
    return Table(title, note, headings, tuple(rows), n_text=2)


def verdict(figure: Mapping[str, Any]) -> str:
    """Return `trivial`, `at the floor`, `clear`, or nothing where there is no baseline to judge by."""
    value, baseline, noise = figure["value_pct"], figure["baseline_pct"], figure["noise_pct"]
    if value is None:
        return ""
    if noise is not None and value <= noise:
        return "at the floor"
    if baseline is None:
        return ""
    return "trivial" if value > 0 and value >= TRIVIAL_FROM * baseline else "clear"


def _has(layer: Mapping[str, Any], column: str) -> bool:
    view, _, key = column.partition(".")
    figure = layer[view][key]
    return figure is not None and (not isinstance(figure, Mapping) or figure["value_pct"] is not None)


def _row(layer: Mapping[str, Any], shown: Sequence[str]) -> Row:
    cells = []
    judged: dict[str, list[str]] = {}
    for column in shown:
        view, _, key = column.partition(".")
        figure = layer[view][key]
        if key == "exact_units_pct":
            cells.append(Cell(percent(figure), value=figure))
            continue
        word = verdict(figure)
        judged.setdefault(word, []).append(define(column).name)
        cells.append(_cell(figure, word))
    return Row((Cell(layer["name"]), _verdict_cell(judged), *cells), "first")


def _cell(figure: Mapping[str, Any], word: str) -> Cell:
    if figure["value_pct"] is None:
        return Cell(DASH, hover="Undefined: there are no such rows, or the reference is zero.")
    notes = [f"base {percent(figure['baseline_pct'], 2)}"]
    if figure["ci95_pct"] is not None:
        low, high = (percent(x, 2).removesuffix(" %") for x in figure["ci95_pct"])
        notes.append(f"CI {low} to {high}")
    if figure["noise_pct"] is not None:
        notes.append(f"noise {percent(figure['noise_pct'], 2)}")
    hover = f"bias {percent(figure['bias_pct'], sign=True)}, {figure['n']:,} rows"
    if figure.get("matched_pct") is not None:
        hover += f", {percent(figure['matched_pct'])} of the events matched"
    value, tag = figure["value_pct"], word if word != "clear" else ""
    return Cell(percent(value), tuple(notes), hover, tag, value)


def _verdict_cell(judged: Mapping[str, list[str]]) -> Cell:
    if "trivial" in judged:
        return Cell("", tuple(judged["trivial"]), "No better than a constant predictor in these.", "trivial")
    if "at the floor" in judged and "clear" not in judged:
        return Cell("", (), "Every figure is within the reference's own noise.", "at the floor")
    if "clear" in judged:
        return Cell("", (), "Every figure with a baseline is clear of it.", "informative")
    return Cell(DASH)

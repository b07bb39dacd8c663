"""The errors of a comparison, layer by layer, each beside its baseline and with a verdict."""

from collections.abc import Mapping
from typing import Any

from simcore.report.tables import Cell, Heading, Row, Table
from simcore.units import DASH, percent

TRIVIAL_FROM = 0.8
"""Share of the baseline from which a figure says no more than a constant predictor would."""

_HEADINGS = {
    ("aligned", "energy"): Heading(
        "energy", "Sum of |difference| over sum of supply + input energy, over all events."
    ),
    ("aligned", "energy_active"): Heading("active", "The energy error over driven steps that fired."),
    ("aligned", "energy_quiet"): Heading("quiet", "The energy error over driven steps that did not fire."),
    ("aligned", "energy_idle"): Heading("idle", "The energy error over steps without an input."),
    ("aligned", "latency"): Heading(
        "latency", "Sum of |difference| over sum of latency, over events that both runs have."
    ),
    ("aligned", "event"): Heading("event", "1 - F1 of the output events by unit and step."),
    ("aligned", "output"): Heading(
        "output", "RMS difference of the output level over the range of its port; level outputs only."
    ),
    ("aligned", "exact_units_pct"): Heading(
        "exact units", "Of the units with events, those whose every step agrees. Higher is better."
    ),
    ("cascade", "energy"): Heading(
        "energy", "Sum of |difference| over sum of the units' energy totals, each run on its own."
    ),
    ("cascade", "behaviour"): Heading(
        "behaviour",
        "Each run on its own. Spiking: sum of |difference| over sum of the units' event counts; "
        "level outputs: the output error.",
    ),
}
_VERDICT = Heading(
    "verdict",
    f"'trivial': a figure is at least {TRIVIAL_FROM:g} x its baseline, so a constant would do as well; "
    "'at the floor': a figure is within the reference's own noise; "
    "'informative': every figure with a baseline is clear of it.",
)


def error_table(figures: Mapping[str, Any]) -> Table:
    """Return the error table of the content of `comparison.json`."""
    rows = [_row(layer) for layer in figures["layers"]]
    note = (
        "Aligned: each layer on the inputs that the reference's layer received. Cascade: the candidate runs "
        "the whole network alone. In small print the baseline (same figure for a constant predictor) and the "
        "95 % interval over samples; bias and number of rows on hover."
    )
    headings = [
        Heading(h.text if view == "aligned" else f"cascade {h.text}", h.hover)
        for (view, _), h in _HEADINGS.items()
    ]
    layer = Heading("layer", "Layer of the network, in the order of the signal path.")
    title = f"Errors of {figures['candidate']} against {figures['reference']}"
    return Table(title, note, (layer, *headings, _VERDICT), tuple(rows))


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


def _row(layer: Mapping[str, Any]) -> Row:
    cells = [Cell(layer["name"])]
    judged: dict[str, list[str]] = {}
    for (view, key), heading in _HEADINGS.items():
        figure = layer[view][key]
        if key == "exact_units_pct":
            cells.append(Cell(percent(figure)))
            continue
        word = verdict(figure)
        judged.setdefault(word, []).append(heading.text if view == "aligned" else f"cascade {heading.text}")
        cells.append(_cell(figure, word))
    return Row((*cells, _verdict_cell(judged)), "first")


def _cell(figure: Mapping[str, Any], word: str) -> Cell:
    if figure["value_pct"] is None:
        return Cell(DASH, hover="Undefined: there are no such rows, or the reference is zero.")
    notes = [f"base {percent(figure['baseline_pct'])}"]
    if figure["ci95_pct"] is not None:
        low, high = (percent(x).removesuffix(" %") for x in figure["ci95_pct"])
        notes.append(f"CI {low} to {high}")
    if figure["noise_pct"] is not None:
        notes.append(f"noise {percent(figure['noise_pct'])}")
    hover = f"bias {percent(figure['bias_pct'], sign=True)}, {figure['n']:,} rows"
    if figure.get("matched_pct") is not None:
        hover += f", {percent(figure['matched_pct'])} of the events matched"
    return Cell(percent(figure["value_pct"]), tuple(notes), hover, word if word != "clear" else "")


def _verdict_cell(judged: Mapping[str, list[str]]) -> Cell:
    if "trivial" in judged:
        return Cell("", tuple(judged["trivial"]), "No better than a constant predictor in these.", "trivial")
    if "at the floor" in judged and "clear" not in judged:
        return Cell("", (), "Every figure is within the reference's own noise.", "at the floor")
    if "clear" in judged:
        return Cell("", (), "Every figure with a baseline is clear of it.", "informative")
    return Cell(DASH)

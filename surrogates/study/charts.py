"""The pictures of an evaluation: families, drift, gaps, correlations; imports Plotly."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from simcore.report.panels import Chart, Place, add, grid, label, parity
from simcore.units import number
from surrogates.study.clouds import Cloud, sampled
from surrogates.study.run import MEAN

Content = Mapping[str, Any]
COLOURS = ("#2f5d8c", "#d9772b", "#4f8f6b", "#b5443c", "#7a5ea8", "#8a8f98", "#c2a33a", "#3fa0a8")
POINTS = 1500
"""Points of one correlation plot."""
MOST = 3
"""Families in the drift and correlation pictures, the best ones; the others are in the tables."""
BLOCK = 5
"""Steps of the drift picture that are shown as one: single steps have few events."""
_NAMES = {
    "event": "event (1 - F1)", "energy": "energy", "latency": "latency", "state": "state (RMS over range)",
}  # fmt: skip
_BY_FAMILY = {"margin": {"l": 60, "r": 20, "t": 90, "b": 60}}


def pareto_chart(content: Content) -> Chart:
    """Return error against time per event, names as labels, the front as a line."""
    figure, (place,) = grid([""], columns=1, row_px=380)
    known = [entry for entry in content["families"] if entry["us_per_event"]["driven"] is not None]
    front = sorted((e for e in known if e["on_front"]), key=lambda e: e["us_per_event"]["driven"])
    add(figure, place, go.Scatter(
        x=[e["us_per_event"]["driven"] for e in front], y=[100 * e["score"] for e in front], mode="lines",
        line={"color": "#9aa4b1", "width": 2, "shape": "hv"}, name="front", hoverinfo="skip",
    ))  # fmt: skip
    for on_front, name, colour in ((True, "on the front", COLOURS[0]), (False, "beaten in both", COLOURS[5])):
        some = [e for e in known if e["on_front"] is on_front]
        add(figure, place, go.Scatter(
            x=[e["us_per_event"]["driven"] for e in some], y=[100 * e["score"] for e in some], name=name,
            text=[e["family"] for e in some], textposition="top center", mode="markers+text",
            marker={"size": 11, "color": colour}, cliponaxis=False,
            hovertemplate="%{text}<br>%{x:.3g} us, %{y:.3g} %<extra></extra>",
        ))  # fmt: skip
    figure.update_xaxes(**log_axis([e["us_per_event"]["driven"] for e in known]))
    figure.update_yaxes(**log_axis([100 * e["score"] for e in known]))
    label(figure, place, "CPU time of a driven event (µs)", "closed-loop error (%)")
    note = (
        "Error: score on the selection runs, event or output + total energy + latency. Both axes logarithmic."
    )
    return Chart("pareto", "I. Families: error against time", note, figure)


def log_axis(values: Sequence[float]) -> dict[str, Any]:
    """Return the settings of a logarithmic axis with ticks at 1, 2 and 5, each written out."""
    low, high = min(values, default=1.0) / 1.5, max(values, default=1.0) * 1.5
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [digit * 10.0**decade for decade in decades for digit in (1, 2, 5)]
    shown = [tick for tick in ticks if low <= tick <= high]
    return {"type": "log", "tickvals": shown, "ticktext": [number(tick, 3) for tick in shown]}


def drift_chart(content: Content) -> Chart:
    """Return the error of each step of a run, on the reference's state (dotted) and on the model's own."""
    families = drawn(content)
    names = [n for n in _NAMES if any(x is not None for x in families[0]["drift"]["own"][n])]
    figure, places = grid([_NAMES[name] for name in names], columns=2, row_px=290)
    for place, name in zip(places, names, strict=True):
        for entry, colour in zip(families, COLOURS, strict=False):
            for view, dash in (("oracle", "dot"), ("own", "solid")):
                values = blocks(entry["drift"][view][name])
                add(figure, place, go.Scatter(
                    x=[BLOCK * (i + 0.5) for i in range(len(values))], y=values, mode="lines",
                    line={"color": colour, "width": 1.4, "dash": dash}, 
                    legendgroup=f"{entry['family']}{view}",
                    name=f"{entry['family']}, {'own state' if view == 'own' else 'oracle'}",
                    showlegend=name == names[0],
                    hovertemplate="about step %{x:.0f}: %{y:.3g} %<extra></extra>",
                ))  # fmt: skip
        label(figure, place, "step of the run", "error (%)")
    figure.update_yaxes(rangemode="tozero")
    figure.update_layout(**_BY_FAMILY)
    note = (
        f"All {content['runs']['test']} test runs, means of {BLOCK} steps. Dotted: each step starts "
        "from the reference's state; solid: from the state that the model itself predicted."
    )
    if len(families) < len(content["families"]):
        note += f" The first {len(families)} families; all are in drift.csv."
    return Chart("drift", "III. Error against time, oracle and predicted state", note, figure)


def blocks(shares: Sequence[float | None]) -> list[float | None]:
    """Return the means of BLOCK steps each, in percent; steps without a value are left out."""
    found = []
    for start in range(0, len(shares), BLOCK):
        known = [x for x in shares[start : start + BLOCK] if x is not None]
        found.append(100 * sum(known) / len(known) if known else None)
    return found


def gap_chart(content: Content) -> Chart:
    """Return errors against the length of idle gaps, and of gaps cut in two."""
    panels = [
        ("gaps", "energy", "idle energy"), ("gaps", "state", "next state (RMS over range)"),
        ("split_gaps", "energy", "a + b against a, b: energy"),
        ("split_gaps", "state", "a + b against a, b: state"),
    ]  # fmt: skip
    first = content["families"][0]
    shown = [each for each in panels if any(gap[each[1]] is not None for gap in first[each[0]])]
    figure, places = grid([title for _, _, title in shown], columns=2, row_px=290)
    for place, (key, name, _) in zip(places, shown, strict=True):
        for index, entry in enumerate(content["families"]):
            _gap_line(figure, place, entry, key, name, COLOURS[index % len(COLOURS)], place == places[0])
        label(figure, place, "length of the gap (periods)", "error (%)")
        values = [100 * gap[name] for entry in content["families"] for gap in entry[key] if gap[name]]
        figure.update_yaxes(**log_axis(values), row=place.row, col=place.col)
    figure.update_layout(**_BY_FAMILY)
    note = (
        "Bins double in width: 1, 2, 3 to 4, 5 to 8, ... The lower pictures cut a gap in two, the model "
        "against itself: the circuit makes no difference there."
    )
    return Chart("gaps", "Idle gaps", note, figure)


def _gap_line(
    figure: go.Figure, place: Place, entry: Content, key: str, name: str, colour: str, legend: bool
) -> None:
    gaps = [gap for gap in entry[key] if gap[name]]
    add(figure, place, go.Scatter(
        x=_lengths(gaps),
        y=[100 * gap[name] for gap in gaps], mode="lines+markers", name=entry["family"],
        legendgroup=entry["family"], showlegend=legend, line={"color": colour, "width": 1.5},
        text=[f"{gap['n']:,} gaps" for gap in gaps],
        hovertemplate="%{x} periods: %{y:.3g} %, %{text}<extra>" + entry["family"] + "</extra>",
    ))  # fmt: skip
    axis = {"type": "category", "row": place.row, "col": place.col}
    figure.update_xaxes(categoryorder="array", categoryarray=_lengths(entry[key]), **axis)


def _lengths(gaps: Sequence[Mapping[str, Any]]) -> list[str]:
    return [str(gap["high"]) if gap["high"] < 3 else f"{gap['low']}-{gap['high']}" for gap in gaps]


def correlation_charts(content: Content, clouds: Mapping[str, Sequence[Cloud]]) -> list[Chart]:
    """Return predicted against reference for each head, a chart per family."""
    return [_correlation(entry["family"], clouds[entry["family"]]) for entry in drawn(content)]


def drawn(content: Content) -> list[Content]:
    """Return the families ranked first; a constant predictor has nothing to show beside others."""
    families = content["families"]
    return [entry for entry in families if entry["family"] != MEAN or len(families) == 1][:MOST]


def _correlation(family: str, clouds: Sequence[Cloud]) -> Chart:
    titles = [f"{cloud.name}: R² {number(cloud.r2, 4)}" for cloud in clouds]
    figure, places = grid(titles, columns=5, row_px=250)
    for place, cloud in zip(places, clouds, strict=True):
        few = sampled(cloud, POINTS)
        parity(figure, place, few.reference, few.predicted, "", few.unit, ["reference", "predicted"])
    figure.update_xaxes(title_standoff=2)
    figure.update_layout(margin={"l": 60, "r": 20, "t": 50, "b": 50})
    note = (
        f"One step from the reference's state; at most {POINTS:,} points a picture, R² over all test rows; "
        "dotted: equal."
    )
    return Chart(f"correlation-{family}", f"II. Predicted against reference: {family}", note, figure)

"""Draws a plot with Plotly, for the page."""

from typing import Any

import numpy as np
import plotly.graph_objects as go

from simcore.report.panels import Chart, Place, add, grid
from simcore.report.plot import EMPTY, INK, Axis, Bars, Heat, Legend, Line, Mark, Panel, Plot, Points

_SYMBOLS = {
    "dot": "circle", "ring": "circle-open", "bar": "line-ns", "dash": "line-ew", "diamond": "diamond",
    "cross": "x-thin",
}  # fmt: skip
_STROKES = ("bar", "dash", "cross")
_GAP_PX = 88
"""Room between two rows: labels of an axis and the title below."""
_DIGITS = 6
"""Significant digits of what is drawn: more only make the file larger."""


def chart(plot: Plot) -> Chart:
    """Return a plot as a chart of the page."""
    titles = [panel.title for panel in plot.panels]
    figure, places = grid(titles, columns=plot.width, row_px=plot.panel_px, gap_px=_GAP_PX)
    legend = Legend()
    for place, panel in zip(places, plot.panels, strict=True):
        for mark in panel.marks:
            add(figure, place, _trace(mark, panel, legend))
        at = {"row": place.row, "col": place.col}
        figure.update_xaxes(**_axis(panel.x), **at)
        figure.update_yaxes(**_axis(panel.y), **at)
        _heat_labels(figure, place, panel)
    figure.update_layout(barmode="relative" if plot.stacked else "overlay")
    _trim(figure, plot, has_legend=any(trace.showlegend for trace in figure.data))
    return Chart(plot.key, plot.title, plot.note, figure)


def _trim(figure: go.Figure, plot: Plot, *, has_legend: bool) -> None:
    """Leave room on top only for what stands there."""
    titled = any(panel.title for panel in plot.panels)
    top = 12 + 24 * titled + 30 * has_legend
    rows = -(-len(plot.panels) // plot.width)
    figure.update_layout(
        height=top + 50 + plot.panel_px * rows, margin={"t": top, "b": 50}, showlegend=has_legend
    )


def _trace(mark: Mark, panel: Panel, legend: Legend) -> Any:
    match mark:
        case Heat():
            return _heat(mark)
        case Bars():
            style: dict[str, Any] = {"marker": {"color": mark.colour}, "width": mark.width}
            make: Any = go.Bar
        case Line():
            shape = "hv" if mark.steps else "linear"
            line = {
                "color": mark.colour, "width": mark.width, "dash": "dot" if mark.dash else "solid", 
                "shape": shape
            }  # fmt: skip
            style = {"mode": "lines", "line": line, "fill": "tozeroy" if mark.fill else None}
            make = go.Scatter
        case Points():
            style = _points(mark)
            make = go.Scatter
    shown = {"name": mark.name, "legendgroup": mark.name, "showlegend": legend.is_new(mark.name)}
    return make(x=_short(mark.x), y=_short(mark.y), **style, **shown, **_hover(mark, panel))


def _points(mark: Points) -> dict[str, Any]:
    marker: dict[str, Any] = {"symbol": _SYMBOLS[mark.symbol], "size": mark.size, "color": mark.colour,
                              "opacity": mark.opacity}  # fmt: skip
    if mark.symbol in _STROKES:
        marker["line"] = {"width": 1.8, "color": mark.colour}
    style: dict[str, Any] = {"mode": "markers", "marker": marker}
    if any(mark.labels):
        style |= {"mode": "markers+text", "text": mark.labels, "textposition": "top center",
                  "cliponaxis": False, "textfont": {"size": 11}}  # fmt: skip
    return style


def _hover(mark: Bars | Line | Points, panel: Panel) -> dict[str, Any]:
    if isinstance(mark, Line) and not mark.name:
        return {"hoverinfo": "skip"}
    what = f"<extra>{mark.name}</extra>"
    hover = () if isinstance(mark, Line) else mark.hover
    if hover:
        return {"customdata": hover, "hovertemplate": f"%{{customdata}}{what}"}
    return {"hovertemplate": f"{panel.x.label} %{{x:.4g}}<br>{panel.y.label} %{{y:.4g}}{what}"}


def _heat(mark: Heat) -> go.Heatmap:
    return go.Heatmap(
        z=mark.values.tolist(), colorscale=[[0, EMPTY], [1, mark.colour]], showscale=False, xgap=1,
        ygap=1, zmin=0, hovertemplate="label %{y}, predicted %{x}: %{z}<extra></extra>",
    )  # fmt: skip


def _heat_labels(figure: go.Figure, place: Place, panel: Panel) -> None:
    """Write the number of each cell that is not zero, in a colour that can be read on it."""
    for mark in panel.marks:
        if isinstance(mark, Heat):
            bright = 0.55 * mark.values.max(initial=1)
            cells = [(int(r), int(c), mark.values[r, c]) for r, c in np.argwhere(mark.values)]
            add(figure, place, go.Scatter(
                x=[c for _, c, _ in cells], y=[r for r, _, _ in cells], mode="text",
                text=[f"{value:g}" for _, _, value in cells], showlegend=False, hoverinfo="skip",
                textfont={"size": 11, "color": ["#fff" if v > bright else INK for _, _, v in cells]},
            ))  # fmt: skip


def _axis(axis: Axis) -> dict[str, Any]:
    settings: dict[str, Any] = {"title_text": axis.label, "title_standoff": 8, "showgrid": axis.grid}
    if axis.ticks:
        settings["tickvals"] = [position for position, _ in axis.ticks]
        settings["ticktext"] = [text.replace("\n", "<br>") for _, text in axis.ticks]
    if axis.log:
        settings["type"] = "log"
    if axis.low is not None and axis.high is not None:
        ends = np.log10([axis.low, axis.high]) if axis.log else np.array([axis.low, axis.high])
        settings["range"] = ends.tolist()[:: -1 if axis.reverse else 1]
    elif axis.reverse:
        settings["autorange"] = "reversed"
    return settings


def _short(values: Any) -> list[Any]:
    """Return numbers with few digits, NaN as None."""
    return [float(f"{x:.{_DIGITS}g}") if np.isfinite(x) else None for x in np.asarray(values, float).tolist()]

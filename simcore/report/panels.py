"""Panels that several charts share: the grid, parity scatter, histogram; imports Plotly."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from simcore.units import scale_for

Array = NDArray[Any]
MAX_POINTS = 2000
"""Points of one parity panel; of more a random subset is drawn."""
_WIDTH = 4
"""Most panels in a row."""
_INK, _GRID = "#2b2f36", "#e4e7eb"


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart of the report."""

    key: str
    """Id of its element in the page."""
    title: str
    note: str
    figure: go.Figure


@dataclass(frozen=True, slots=True)
class Place:
    """Where a panel sits in its figure."""

    row: int
    col: int


def grid(
    titles: Sequence[str], *, columns: int | None = None, row_px: int = 300, gap_px: float | None = None
) -> tuple[go.Figure, list[Place]]:
    """Return an empty figure with one titled panel per entry, and the place of each.

    `gap_px` is the room between two rows; without it a share of the height.
    """
    n = len(titles)
    width = columns or (max(n, 2) if n <= _WIDTH else _WIDTH - 1)
    height = -(-n // width)
    figure = make_subplots(
        rows=height, cols=width, subplot_titles=list(titles),
        specs=[[{} if row * width + col < n else None for col in range(width)] for row in range(height)],
        horizontal_spacing=(0.16 if width < 3 else 0.28) / width,
        vertical_spacing=(0.26 if gap_px is None else gap_px / row_px) / height,
    )  # fmt: skip
    figure.update_layout(
        template="none",
        height=110 + row_px * height,
        margin={"l": 60, "r": 20, "t": 70, "b": 60},
        font={"family": "system-ui, sans-serif", "size": 12, "color": _INK},
        legend={
            "orientation": "h", "y": 1, "yref": "container", "yanchor": "top", "x": 0.5, "xanchor": "center",
        },
        hoverlabel={"font": {"size": 12}},
    )  # fmt: skip
    figure.update_xaxes(gridcolor=_GRID, linecolor=_INK, zeroline=False, automargin=True)
    figure.update_yaxes(gridcolor=_GRID, linecolor=_INK, zeroline=False, automargin=True)
    figure.update_annotations(font_size=13)
    return figure, [Place(1 + i // width, 1 + i % width) for i in range(n)]


def add(figure: go.Figure, place: Place, trace: Any) -> None:
    """Add a trace to a panel."""
    figure.add_trace(trace, row=place.row, col=place.col)


def label(figure: go.Figure, place: Place, x: str, y: str) -> None:
    """Name the axes of a panel."""
    figure.update_xaxes(title_text=x, title_standoff=8, row=place.row, col=place.col)
    figure.update_yaxes(title_text=y, title_standoff=8, row=place.row, col=place.col)


def parity(
    figure: go.Figure, place: Place, x: Array, y: Array, what: str, unit: str, names: Sequence[str]
) -> None:
    """Draw candidate `y` over reference `x` (n,) with the line on which they are equal."""
    x, y = subset(x, y)
    scale = scale_for(np.concatenate([x, y]), unit)
    x, y = x * scale.factor, y * scale.factor
    low, high = _span(np.concatenate([x, y]))
    line = {"color": _INK, "width": 1, "dash": "dot"}
    add(figure, place, go.Scatter(
        x=[low, high], y=[low, high], mode="lines", line=line, showlegend=False, hoverinfo="skip",
    ))  # fmt: skip
    marker = {"size": 4, "color": "#2f5d8c", "opacity": 0.45}
    add(figure, place, go.Scatter(
        x=x.astype(np.float32), y=y.astype(np.float32), mode="markers", marker=marker, showlegend=False,
        hovertemplate=f"{names[0]} %{{x:.4g}}<br>{names[1]} %{{y:.4g}} {scale.unit}<extra></extra>",
    ))  # fmt: skip
    shown = f" ({scale.unit})" if scale.unit else ""
    label(figure, place, f"{what}, {names[0]}{shown}".removeprefix(", "), f"{names[1]}{shown}")
    at = {"row": place.row, "col": place.col}
    figure.update_xaxes(range=[low, high], **at)
    figure.update_yaxes(range=[low, high], **at)


def subset(x: Array, y: Array) -> tuple[Array, Array]:
    """Return both arrays (n,), or the same random MAX_POINTS rows of them."""
    if len(x) <= MAX_POINTS:
        return x, y
    rows = np.sort(np.random.default_rng(0).choice(len(x), MAX_POINTS, replace=False))
    return x[rows], y[rows]


def histogram(values: Array, low: float, high: float, bins: int) -> tuple[Array, Array]:
    """Return bin centres and the share of `values` in each, in percent; the end bins take what is beyond."""
    edges = np.linspace(low, high, bins + 1)
    counts, _ = np.histogram(np.clip(values, low, high), edges)
    return (edges[1:] + edges[:-1]) / 2, 100 * counts / max(len(values), 1)


def _span(values: Array) -> tuple[float, float]:
    low, high = float(values.min(initial=np.inf)), float(values.max(initial=-np.inf))
    if not np.isfinite([low, high]).all():
        return 0.0, 1.0
    margin = 0.04 * (high - low) or 0.04 * abs(high) or 1.0
    return low - margin, high + margin

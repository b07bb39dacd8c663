"""Draws a plot with matplotlib, for papers: PNG and PDF; the optional extra `figures`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from simcore.errors import ResultError, UserError
from simcore.report.plot import (
    EMPTY,
    INK,
    LINES,
    SOFT,
    Axis,
    Bars,
    Heat,
    Legend,
    Line,
    Mark,
    Panel,
    Plot,
    Points,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KINDS = ("png", "pdf")
DPI = 200
_PX_PER_INCH = 110
_MOST_INCHES = 7.2
"""Width of a page of two columns."""
_SYMBOLS = {"dot": "o", "ring": "o", "bar": "|", "dash": "_", "diamond": "D", "cross": "x"}
_STROKES = ("bar", "dash", "cross")
_STYLE: Any = {
    "font.family": "sans-serif", "font.size": 8, "axes.titlesize": 8.5, "axes.labelsize": 8,
    "axes.edgecolor": INK, "text.color": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK,
    "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.8, "axes.axisbelow": True,
    "grid.color": LINES, "grid.linewidth": 0.7, "legend.frameon": False, "legend.fontsize": 8,
    "xtick.major.size": 2.5, "ytick.major.size": 2.5, "pdf.fonttype": 42, "savefig.dpi": DPI,
}  # fmt: skip


def figure(plot: Plot) -> "tuple[Figure, Any]":
    """Return a plot as a matplotlib figure and its axes: one, or an array; raises UserError without it."""
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UserError(
            f"matplotlib is not installed ({error}); figures need it: pip install 'simcore-ams[figures]'"
        ) from error
    columns = plot.width
    rows = -(-len(plot.panels) // columns)
    size = (min(_MOST_INCHES, 3.6 * columns), rows * plot.panel_px / _PX_PER_INCH * 0.82 + 0.35)
    with matplotlib.rc_context(_STYLE):
        made = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(made)
        grid = made.subplots(rows, columns, squeeze=False)
        legend = Legend()
        for ax, panel in zip(grid.flat, plot.panels, strict=False):
            _draw(ax, panel, legend, stacked=plot.stacked)
        for ax in list(grid.flat)[len(plot.panels) :]:
            ax.set_axis_off()
        handles, names = _entries(grid.flat)
        if names:
            made.legend(handles, names, loc="outside upper center", ncols=min(len(names), 6))
    axes = list(grid.flat)[: len(plot.panels)]
    return made, axes[0] if len(axes) == 1 else np.array(axes)


def save(plot: Plot, folder: Path) -> list[Path]:
    """Write a plot as PNG and PDF and return the paths; raises ResultError, UserError without matplotlib."""
    import matplotlib

    made, _ = figure(plot)
    written = []
    for kind in KINDS:
        path = folder / f"{plot.key}.{kind}"
        meta = {"Software": None} if kind == "png" else {"CreationDate": None, "Producer": None}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with matplotlib.rc_context(_STYLE):
                made.savefig(path, metadata=meta)
        except OSError as error:
            raise ResultError(f"cannot write {path}: {error}") from error
        written.append(path)
    return written


def _entries(axes: Any) -> tuple[list[Any], list[str]]:
    found = [pair for ax in axes for pair in zip(*ax.get_legend_handles_labels(), strict=True)]
    return [handle for handle, _ in found], [name for _, name in found]


def _draw(ax: "Axes", panel: Panel, legend: Legend, *, stacked: bool) -> None:
    ax.set_title(panel.title)
    below: dict[tuple[float, bool], float] = {}
    for mark in panel.marks:
        name = "" if isinstance(mark, Heat) or not legend.is_new(mark.name) else mark.name
        _mark(ax, mark, name or "_", below if stacked else None)
    _axis(ax, ax.xaxis, "x", panel.x)
    _axis(ax, ax.yaxis, "y", panel.y)


def _mark(ax: "Axes", mark: Mark, name: str, below: dict[tuple[float, bool], float] | None) -> None:
    match mark:
        case Bars():
            y = np.nan_to_num(mark.y)
            places = list(zip(mark.x.tolist(), (y < 0).tolist(), strict=True))  # below zero they hang down
            base = [0.0 if below is None else below.get(place, 0.0) for place in places]
            ax.bar(mark.x, y, mark.width, bottom=base, color=mark.colour, label=name)
            if below is not None:
                below |= {place: b + h for place, b, h in zip(places, base, y.tolist(), strict=True)}
        case Line():
            style: dict[str, Any] = {"color": mark.colour, "linewidth": 0.75 * mark.width, "label": name,
                                     "linestyle": ":" if mark.dash else "-"}  # fmt: skip
            ax.plot(mark.x, mark.y, drawstyle="steps-post" if mark.steps else "default", **style)
            if mark.fill:
                ax.fill_between(
                    mark.x, mark.y, step="post" if mark.steps else None, color=mark.colour, alpha=0.15
                )
        case Points():
            _points(ax, mark, name)
        case Heat():
            _heat(ax, mark)


def _points(ax: "Axes", mark: Points, name: str) -> None:
    ring = mark.symbol == "ring"
    edge = 1.2 if mark.symbol in _STROKES or ring else 0.0
    ax.plot(
        mark.x, mark.y, _SYMBOLS[mark.symbol], color=mark.colour, markersize=0.72 * mark.size, label=name,
        markeredgewidth=edge, alpha=mark.opacity, markerfacecolor="none" if ring else mark.colour,
        rasterized=len(mark.x) > 5000,
    )  # fmt: skip
    for x, y, text in zip(mark.x, mark.y, mark.labels, strict=False):
        ax.annotate(text, (x, y), (0, 4), textcoords="offset points", ha="center", fontsize=7, color=SOFT)


def _heat(ax: "Axes", mark: Heat) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    top = float(mark.values.max(initial=1))
    ax.imshow(
        mark.values, cmap=LinearSegmentedColormap.from_list("report", [EMPTY, mark.colour]), vmin=0,
        vmax=top, aspect="auto",
    )  # fmt: skip
    for row, column in zip(*np.nonzero(mark.values), strict=True):
        value = mark.values[row, column]
        colour = "#ffffff" if value > 0.55 * top else INK
        ax.text(column, row, f"{value:g}", ha="center", va="center", fontsize=7, color=colour)


def _axis(ax: "Axes", axis: Any, which: Literal["x", "y"], settings: Axis) -> None:
    ax.set(**{f"{which}label": settings.label})
    if settings.log:
        ax.set(**{f"{which}scale": "log"})
        axis.minorticks_off()
    if settings.ticks:
        axis.set_ticks(
            [position for position, _ in settings.ticks], labels=[text for _, text in settings.ticks]
        )
        if any("\n" in text for _, text in settings.ticks):
            ax.tick_params(which, labelsize=6.5)
    if settings.low is not None and settings.high is not None:
        ax.set(**{f"{which}lim": (settings.low, settings.high)})
    if settings.reverse and not axis.get_inverted():
        axis.set_inverted(True)
    ax.grid(visible=settings.grid, axis=which)

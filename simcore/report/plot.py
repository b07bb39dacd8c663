"""What a picture shows, told once: panels and marks; Plotly draws it for the page, matplotlib for papers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
INK, SOFT, LINES, EMPTY = "#22262c", "#626a75", "#e4e7eb", "#f3f5f8"
_MOST_DECADES = 5
"""Decades of an axis that are all named."""
MAX_POINTS = 2000
"""Points of one cloud; of more a random subset is drawn."""


@dataclass(frozen=True, slots=True)
class Bars:
    """Upright bars of one colour; those of a stacked panel stand on each other."""

    name: str
    x: Array
    """(n,) positions"""
    y: Array
    colour: str
    width: float = 0.8
    hover: tuple[str, ...] = ()
    """(n,) what each bar is called"""


@dataclass(frozen=True, slots=True)
class Line:
    """A line through points; NaN breaks it."""

    name: str
    x: Array
    y: Array
    colour: str
    width: float = 1.5
    dash: bool = False
    steps: bool = False
    """Hold each value until the next x."""
    fill: bool = False
    """Shade down to zero."""


@dataclass(frozen=True, slots=True)
class Points:
    """Marks."""

    name: str
    x: Array
    y: Array
    colour: str
    size: float = 5
    symbol: str = "dot"
    """`dot`, `ring`, `bar` (upright stroke), `dash` (level stroke), `diamond`, `cross`."""
    opacity: float = 1.0
    hover: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    """(n,) text above each mark, empty for none."""


@dataclass(frozen=True, slots=True)
class Heat:
    """A grid of coloured cells with their numbers, row 0 on top."""

    values: Array
    """(rows, columns)"""
    row_names: tuple[str, ...]
    column_names: tuple[str, ...]
    colour: str


Mark = Bars | Line | Points | Heat


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a panel."""

    label: str = ""
    low: float | None = None
    high: float | None = None
    log: bool = False
    reverse: bool = False
    ticks: tuple[tuple[float, str], ...] = ()
    """(position, text); numbers if empty."""
    grid: bool = True


@dataclass(frozen=True, slots=True)
class Panel:
    """One coordinate system."""

    title: str
    x: Axis
    y: Axis
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture of the report: one or more panels, a title and what to know to read it."""

    key: str
    """Id in the page, and the file's name."""
    title: str
    note: str
    panels: tuple[Panel, ...]
    columns: int | None = None
    """Panels in a row; None: as many as fit."""
    stacked: bool = False
    panel_px: int = 300
    """Height of a panel in the page."""

    @property
    def width(self) -> int:
        """Return the number of panels in a row."""
        n = len(self.panels)
        return self.columns or (max(n, 1) if n <= 4 else 3)


@dataclass(slots=True)
class Legend:
    """Names that have been drawn: each stands in the legend once."""

    seen: set[str] = field(default_factory=set)

    def is_new(self, name: str) -> bool:
        """Return whether a name is to be shown, and remember it."""
        new = bool(name) and name not in self.seen
        self.seen.add(name)
        return new


def subset(x: Array, y: Array) -> tuple[Array, Array]:
    """Return both arrays (n,), or the same random MAX_POINTS rows of them."""
    if len(x) <= MAX_POINTS:
        return x, y
    rows = np.sort(np.random.default_rng(0).choice(len(x), MAX_POINTS, replace=False))
    return x[rows], y[rows]


def span(values: Array, margin: float = 0.04) -> tuple[float, float]:
    """Return the range of values with a margin; 0 to 1 where there are none."""
    low, high = float(values.min(initial=np.inf)), float(values.max(initial=-np.inf))
    if not np.isfinite([low, high]).all():
        return 0.0, 1.0
    room = margin * (high - low) or margin * abs(high) or 1.0
    return low - room, high + room


def decades(low: float, high: float) -> tuple[tuple[float, str], ...]:
    """Return ticks at the powers of ten of a logarithmic axis, written out."""
    first, last = round(np.log10(low)), round(np.log10(high))
    step = 1 + (last - first > _MOST_DECADES)
    return tuple((10.0**k, f"{10.0**k:,.{max(-k, 0)}f}") for k in range(first, last + 1, step))


def named(names: Sequence[str]) -> tuple[tuple[float, str], ...]:
    """Return ticks 0, 1, 2, ... with names."""
    return tuple((float(i), name) for i, name in enumerate(names))

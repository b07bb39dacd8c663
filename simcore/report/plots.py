"""The charts of a report, as Plotly figures; imports Plotly, so import this file when it is needed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from simcore.compare import Comparison
from simcore.errors import ResultError
from simcore.ledger import TraceRows
from simcore.report.sides import CANDIDATE_COLOUR, REFERENCE_COLOUR, LayerKind, Side, layer_kinds, paired
from simcore.report.units import Scale, number, scale_for
from simcore.result import RunResult

MAX_POINTS = 2000
"""Points of one parity panel; more are drawn at random."""
RASTER_UNITS = 64
RASTER_LAYERS = 2
BINS = 61
_PARTS = {"supply": "#2f5d8c", "input": "#e0a458", "digital": "#8a8f98"}
_KINDS = {"active": "#b5443c", "quiet": "#5a9e8f", "idle": "#b9c4d0", "digital": "#8a8f98"}
_WIDTH = 2
"""Panels side by side."""

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart of the report."""

    key: str
    """Id of its element in the page."""
    title: str
    note: str
    figure: go.Figure


def charts(source: RunResult | Comparison, sides: Sequence[Side]) -> list[Chart]:
    """Return the charts of a run or a comparison; those without data are left out."""
    first = sides[0].result
    kinds = layer_kinds(first)
    drawn = [_energy_stack(sides), _latency_bars(sides)]
    if isinstance(source, Comparison):
        drawn += [_unit_energy_parity(source, sides, kinds), _aligned_charts(source, sides, kinds)]
        drawn += []
    return drawn



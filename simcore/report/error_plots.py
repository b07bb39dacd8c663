"""The pictures of errors: figures beside baseline and noise, parity of events, how errors are distributed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simcore.compare import Comparison, matched
from simcore.glossary import define
from simcore.ledger import TraceRows
from simcore.report.parity import parity
from simcore.report.plot import (
    MAX_POINTS,
    Array,
    Axis,
    Line,
    Mark,
    Panel,
    Plot,
    Points,
    decades,
    named,
    subset,
)
from simcore.report.sides import CANDIDATE_COLOUR
from simcore.report.subject import Subject, rows_of
from simcore.units import number, percent

BASELINE_COLOUR, NOISE_COLOUR = "#b5443c", "#4f8f6b"
_SHOWN = ("aligned.energy", "aligned.latency", "aligned.event", "aligned.output", "cascade.behaviour")
"""Figures that have a panel, where any layer has them."""
_STROKES = {
    "noise_pct": ("noise of the reference", NOISE_COLOUR, "bar", 16),
    "baseline_pct": ("a constant instead", BASELINE_COLOUR, "bar", 16),
    "value_pct": ("candidate", CANDIDATE_COLOUR, "dot", 9),
}
"""Part of a figure -> name, colour, symbol and size of its mark."""
_KINDS = {"active": "#b5443c", "quiet": "#5a9e8f", "idle": "#7d8ca0"}
_BINS = 61
_TAIL_PCT = 1.0
"""Share of the errors, in percent, that the end bins of a histogram collect."""
_CURVE = 160
"""Points of a distribution."""
_FLOOR_PCT = 1e-3
"""Errors below count as this, on a logarithmic axis."""


def error_bars(subject: Subject) -> Plot | None:
    """Draw each figure of each layer between the noise of the reference and the constant predictor."""
    if subject.figures is None:
        return None
    layers = subject.figures["layers"]
    columns = [column for column in _SHOWN if any(_values(layers, column, "value_pct"))]
    every = [x for column in columns for part in _STROKES for x in _values(layers, column, part)]
    ends = _FLOOR_PCT, 10.0 ** np.ceil(np.log10(max([x for x in every if x is not None], default=1.0) * 1.05))
    panels = [_figure_panel(column, layers, ends) for column in columns]
    note = (
        "Left is better. A figure is worth something where it is clear of the red stroke, a constant in its "
        "place; left of the green stroke it is within the reference's own noise (compare --noise). Lines: "
        f"95 % interval over samples. What is below {_FLOOR_PCT:g} % is drawn there."
    )
    n = len(panels)
    return Plot(
        "error-bars", "Errors beside baseline and noise floor", note, tuple(panels),
        columns=2 if n == 4 else min(n, 3), panel_px=100 + 30 * len(layers),
    ) if panels else None  # fmt: skip


def _values(layers: Sequence[Mapping[str, Any]], column: str, part: str) -> list[float | None]:
    view, _, key = column.partition(".")
    return [layer[view][key][part] for layer in layers]


def _figure_panel(column: str, layers: Sequence[Mapping[str, Any]], ends: tuple[float, float]) -> Panel:
    values = _values(layers, column, "value_pct")
    known = np.array([value is not None for value in values])
    y = np.arange(len(layers), dtype=np.float64)
    marks: list[Mark] = [
        Line("", _shown(interval), np.full(2, row), CANDIDATE_COLOUR, 2)
        for row, interval in enumerate(_values(layers, column, "ci95_pct")) if interval is not None
    ]  # fmt: skip
    for part, (name, colour, symbol, size) in _STROKES.items():
        found = _values(layers, column, part)
        rows = known & np.array([value is not None for value in found])
        if rows.any():
            shown = [value for value, is_shown in zip(found, rows, strict=True) if is_shown]
            hover = tuple(f"{name} {percent(value)}" for value in shown)
            marks.append(Points(name, _shown(shown), y[rows], colour, size, symbol, hover=hover))
    names = [layer["name"] for layer in layers]
    rows_axis = Axis("", -0.6, len(names) - 0.4, ticks=named(names), reverse=True)
    x = Axis("error (%)", ends[0] / 1.3, ends[1], log=True, ticks=decades(*ends))
    return Panel(define(column).name, x, rows_axis, tuple(marks))


def _shown(values: Any) -> Array:
    return np.maximum(np.asarray(values, dtype=np.float64), _FLOOR_PCT)


@dataclass(frozen=True, slots=True)
class _Errors:
    """What the aligned pictures keep of a layer's trace, which may be large."""

    name: str
    n_latency: int
    latency: tuple[Array, Array]
    """Reference and candidate, over the events that both have."""
    energy_pct: dict[str, Array]
    """Kind of step -> signed error in percent of the layer's mean step energy."""
    curves: dict[str, tuple[Array, Array]]
    """Candidate, baseline or noise -> errors in percent and the share of steps below, in percent."""


def aligned_plots(subject: Subject) -> list[Plot]:
    """Draw the events that the reference's inputs cause: latency parity, energy errors, distributions."""
    if subject.comparison is None:
        return []
    errors = []
    for kind in subject.kinds:
        pair = _aligned(subject.comparison, kind.name)
        if pair is not None:
            errors.append(_errors(kind.name, *pair, subject))
    timed = [layer for layer in errors if len(layer.latency[0])]
    plots = [_latency_parity(timed, subject.names)] if timed else []
    return [*plots, _energy_errors(errors, subject.names), _distributions(errors)] if errors else plots


def _aligned(comparison: Comparison, layer: str) -> tuple[TraceRows, TraceRows] | None:
    ours, theirs = rows_of(comparison.reference, layer), rows_of(comparison.aligned, layer)
    return None if ours is None or theirs is None else matched(ours, theirs, inner=False)


def _errors(name: str, ours: TraceRows, theirs: TraceRows, subject: Subject) -> _Errors:
    energy, other = ours.supply_j + ours.input_j, theirs.supply_j + theirs.input_j
    both = ours.fired & theirs.fired & ~np.isnan(ours.latency_s + theirs.latency_s)
    masks = {"active": ~ours.idle & ours.fired, "quiet": ~ours.idle & ~ours.fired, "idle": ours.idle}
    mean = (float(np.abs(energy).mean()) if len(energy) else 0.0) or 1.0
    signed = 100 * (other - energy) / mean
    curves = {
        "candidate": _curve(signed),
        "a constant instead": _curve(100 * (np.median(energy) - energy) / mean),
    }
    noise = rows_of(subject.noise, name) if subject.noise else None
    if subject.noise is not None and noise is not None:
        first, tight = matched(ours.take(np.isin(ours.lane, subject.noise.samples)), noise, inner=True)
        off = tight.supply_j + tight.input_j - first.supply_j - first.input_j
        curves["noise of the reference"] = _curve(100 * off / mean)
    return _Errors(
        name,
        int(both.sum()),
        subset(ours.latency_s[both], theirs.latency_s[both]),
        {kind: signed[mask] for kind, mask in masks.items() if mask.any()},
        curves,
    )


def _curve(errors: Array) -> tuple[Array, Array]:
    """Return the distribution of |errors| at some quantiles."""
    share = np.linspace(0, 100, _CURVE)
    return np.maximum(np.percentile(np.abs(errors), share), _FLOOR_PCT), share


def _latency_parity(errors: Sequence[_Errors], names: Sequence[str]) -> Plot:
    panels = tuple(
        parity(f"{layer.name}: {number(layer.n_latency)} events", *layer.latency, ("latency", "s"), names)
        for layer in errors
    )
    note = (
        "Events that both runs have (same unit, same step), aligned: the candidate on the reference's "
        f"inputs. At most {MAX_POINTS:,} points a panel."
    )
    return Plot("latency-parity", "Latency per event, side by side", note, panels)


def _energy_errors(errors: Sequence[_Errors], names: Sequence[str]) -> Plot:
    note = (
        f"{names[1]} minus {names[0]}, step by step, in percent of the layer's mean step energy; "
        "aligned: the candidate on the reference's inputs. "
        f"The outermost bins hold the {percent(_TAIL_PCT)} of the steps that lie beyond."
    )
    panels = tuple(_error_panel(layer) for layer in errors)
    return Plot("energy-errors", "Energy error per step", note, panels)


def _error_panel(layer: _Errors) -> Panel:
    values = np.concatenate(list(layer.energy_pct.values()))
    limit = float(np.percentile(np.abs(values), 100 - _TAIL_PCT)) or 1.0
    edges = np.linspace(-limit, limit, _BINS + 1)
    marks = []
    for kind, part in layer.energy_pct.items():
        counts, _ = np.histogram(np.clip(part, -limit, limit), edges)
        share = np.append(100 * counts / len(part), 0.0)
        marks.append(Line(f"{kind} steps", edges, share, _KINDS[kind], steps=True, fill=True))
    x = Axis("error (% of mean energy)", -limit, limit)
    return Panel(layer.name, x, Axis("share of steps (%)"), tuple(marks))


def _distributions(errors: Sequence[_Errors]) -> Plot:
    colours = {"candidate": CANDIDATE_COLOUR, "a constant instead": BASELINE_COLOUR,
               "noise of the reference": NOISE_COLOUR}  # fmt: skip
    panels = []
    for layer in errors:
        marks = [
            Line(name, *layer.curves[name], colour, 2, dash=name != "candidate")
            for name, colour in colours.items() if name in layer.curves
        ]  # fmt: skip
        high = max(float(values.max()) for values, _ in layer.curves.values())
        ends = _FLOOR_PCT, 10.0 ** np.ceil(np.log10(high))
        x = Axis("|energy error| (% of mean energy)", *ends, log=True, ticks=decades(*ends))
        panels.append(Panel(layer.name, x, Axis("steps with less (%)", 0, 101), tuple(marks)))
    note = (
        "Share of the steps whose energy error is at most x; left is better. Useful where it lies left of a "
        "constant predictor (the median in place of every step); right of the noise of the reference, where "
        "that was measured, the rest is the candidate's."
    )
    return Plot("error-distributions", "How energy errors are distributed", note, tuple(panels))

"""The charts of single events: aligned errors, rasters, output levels; imports Plotly."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from simcore.clock import seconds
from simcore.compare import Comparison, matched
from simcore.errors import ResultError
from simcore.ledger import TraceRows
from simcore.report.panels import (
    MAX_POINTS,
    Array,
    Chart,
    Place,
    add,
    grid,
    histogram,
    label,
    parity,
    subset,
)
from simcore.report.sides import LayerKind, Side
from simcore.result import RunResult
from simcore.units import number, percent, scale_for

RASTER_UNITS = 64
RASTER_LAYERS = 2
_UNIT_PX = 10
"""Height of one unit in a raster."""
_BINS = 61
_TAIL_PCT = 1.0
"""Share of the errors, in percent, that the end bins of a histogram collect."""
_KINDS = {"active": "#b5443c", "quiet": "#5a9e8f", "idle": "#7d8ca0"}


@dataclass(frozen=True, slots=True)
class _Errors:
    """What the aligned charts keep of a layer's trace, which may be large."""

    name: str
    n_latency: int
    latency: tuple[Array, Array]
    """Reference and candidate, over the events that both have."""
    energy_pct: dict[str, Array]
    """Kind of step -> signed error in percent of the layer's mean event energy."""


def aligned_charts(source: Comparison, names: Sequence[str], kinds: Sequence[LayerKind]) -> list[Chart]:
    """Return latency parity and energy errors of the events that the reference's inputs cause."""
    errors = []
    for kind in kinds:
        ours, theirs = rows_of(source.reference, kind.name), rows_of(source.aligned, kind.name)
        if ours is not None and theirs is not None:
            errors.append(_errors(kind.name, *matched(ours, theirs, inner=False)))
    drawn = [_energy_errors(errors, names)] if errors else []
    timed = [layer for layer in errors if len(layer.latency[0])]
    return [_latency_parity(timed, names), *drawn] if timed else drawn


def rows_of(result: RunResult, layer: str) -> TraceRows | None:
    """Return the trace of a layer; None if nothing of it was traced."""
    try:
        return result.trace(layer) if result.is_traced else None
    except ResultError:
        return None


def _errors(name: str, ours: TraceRows, theirs: TraceRows) -> _Errors:
    energy, other = ours.supply_j + ours.input_j, theirs.supply_j + theirs.input_j
    both = ours.fired & theirs.fired
    masks = {"active": ~ours.idle & ours.fired, "quiet": ~ours.idle & ~ours.fired, "idle": ours.idle}
    mean = float(np.abs(energy).mean()) if len(energy) else 0.0
    signed = 100 * (other - energy) / (mean or 1.0)
    return _Errors(
        name,
        int(both.sum()),
        subset(ours.latency_s[both], theirs.latency_s[both]),
        {kind: signed[mask] for kind, mask in masks.items() if mask.any()},
    )


def _latency_parity(errors: Sequence[_Errors], names: Sequence[str]) -> Chart:
    figure, places = grid([f"{layer.name}: {number(layer.n_latency)} events" for layer in errors])
    for place, layer in zip(places, errors, strict=True):
        parity(figure, place, *layer.latency, "latency", "s", names)
    note = (
        "Events that both runs have (same unit, same step), aligned: the candidate on the reference's "
        f"inputs. At most {MAX_POINTS:,} points a panel."
    )
    return Chart("latency-parity", "Latency per event", note, figure)


def _energy_errors(errors: Sequence[_Errors], names: Sequence[str]) -> Chart:
    figure, places = grid([layer.name for layer in errors])
    seen: set[str] = set()
    for place, layer in zip(places, errors, strict=True):
        values = np.concatenate(list(layer.energy_pct.values()))
        limit = float(np.percentile(np.abs(values), 100 - _TAIL_PCT)) or 1.0
        for kind, part in layer.energy_pct.items():
            centres, share = histogram(part, -limit, limit, _BINS)
            add(figure, place, go.Scatter(
                x=centres, y=share, name=f"{kind} steps", legendgroup=kind, showlegend=kind not in seen,
                mode="lines", line={"color": _KINDS[kind], "width": 1.5, "shape": "hvh"},
                fill="tozeroy", opacity=0.9,
                hovertemplate=f"{kind} %{{x:.3g}} %: %{{y:.3g}} % of steps<extra></extra>",
            ))  # fmt: skip
            seen.add(kind)
        label(figure, place, "error (% of mean energy)", "share of steps (%)")
    note = (
        f"{names[1]} minus {names[0]}, step by step, in percent of the layer's mean step energy; "
        "aligned: the candidate on the reference's inputs. "
        f"The outermost bins hold the {percent(_TAIL_PCT)} of the steps that lie beyond."
    )
    return Chart("energy-errors", "Energy error per step", note, figure)


def behaviour_charts(sides: Sequence[Side], kinds: Sequence[LayerKind]) -> list[Chart]:
    """Return spike rasters and output levels of the first sample; empty unless traced."""
    judged = [kind for kind in kinds if not kind.is_encoder] or list(kinds)
    spiking = [kind for kind in judged if not kind.is_level][-RASTER_LAYERS:]
    level = [kind for kind in judged if kind.is_level]
    found = {kind.name: [_first_sample(side, kind) for side in sides] for kind in spiking + level}
    first = {name: [rows for rows in parts if rows is not None] for name, parts in found.items()}
    spiking = [kind for kind in spiking if len(first[kind.name]) == len(sides)]
    level = [kind for kind in level if len(first[kind.name]) == len(sides)]
    drawn = [_rasters(sides, spiking, [first[kind.name] for kind in spiking])] if spiking else []
    return drawn + ([_levels(sides, level, [first[kind.name] for kind in level])] if level else [])


def _first_sample(side: Side, kind: LayerKind) -> TraceRows | None:
    rows = rows_of(side.result, kind.name)
    return None if rows is None else rows.take(rows.lane == side.result.samples[0])


def _rasters(sides: Sequence[Side], kinds: Sequence[LayerKind], rows: Sequence[Sequence[TraceRows]]) -> Chart:
    units = max(1 + part.unit.max(initial=0) for parts in rows for part in parts)
    row_px = 80 + max(160, _UNIT_PX * min(units, RASTER_UNITS))
    figure, places = grid([kind.name for kind in kinds], columns=1, row_px=int(row_px))
    for place, kind, parts in zip(places, kinds, rows, strict=True):
        shift = 0.36 if len(sides) > 1 else 0.0
        for i, (side, part) in enumerate(zip(sides, parts, strict=True)):
            _raster(figure, place, side, part, kind, shift * (i - 0.5))
        label(figure, place, "time (ns)", "unit")
        figure.update_yaxes(autorange="reversed", row=place.row, col=place.col)
    note = (
        f"Output events of sample {sides[0].result.samples[0]}{', each run on its own' * (len(sides) > 1)}; "
        f"the first {RASTER_UNITS} units of each layer, events in merged idle gaps left out."
    )
    return Chart("raster", "Spikes, first sample", note, figure)


def _raster(
    figure: go.Figure, place: Place, side: Side, rows: TraceRows, kind: LayerKind, shift: float
) -> None:
    part = rows.take(rows.fired & ~rows.merged & (rows.unit < RASTER_UNITS))
    time_ns = (part.step * seconds(kind.period_ps) + part.latency_s) * 1e9
    add(figure, place, go.Scatter(
        x=time_ns.astype(np.float32), y=(part.unit + shift).astype(np.float32), mode="markers",
        name=side.name, legendgroup=side.name, showlegend=place.row == 1 and bool(side.role),
        marker={"symbol": "line-ns", "size": 5, "line": {"width": 1.6, "color": side.colour}},
        customdata=part.unit, hovertemplate="unit %{customdata}, %{x:.5g} ns<extra>" + side.name + "</extra>",
    ))  # fmt: skip


def _levels(sides: Sequence[Side], kinds: Sequence[LayerKind], rows: Sequence[Sequence[TraceRows]]) -> Chart:
    figure, places = grid([kind.name for kind in kinds])
    for place, kind, parts in zip(places, kinds, rows, strict=True):
        driven = [part.take(~part.idle & ~part.gated) for part in parts]
        if len(driven) > 1:
            x, y = (part.outputs[:, 0] for part in matched(driven[0], driven[1], inner=True))
            parity(figure, place, x, y, "output", kind.unit, [side.name for side in sides])
        else:
            _outputs(figure, place, sides[0], driven[0], kind)
    how = "each run on its own" if len(sides) > 1 else "driven steps"
    note = f"Output levels at the end of the step, sample {sides[0].result.samples[0]}, {how}."
    return Chart("levels", "Output levels, first sample", note, figure)


def _outputs(figure: go.Figure, place: Place, side: Side, rows: TraceRows, kind: LayerKind) -> None:
    unit, values = subset(rows.unit, rows.outputs[:, 0])
    scale = scale_for(values, kind.unit)
    add(figure, place, go.Scatter(
        x=unit, y=values * scale.factor, mode="markers", showlegend=False,
        marker={"size": 4, "color": side.colour, "opacity": 0.6},
        hovertemplate=f"unit %{{x}}: %{{y:.4g}} {scale.unit}<extra></extra>",
    ))  # fmt: skip
    label(figure, place, "unit", f"output ({scale.unit})")

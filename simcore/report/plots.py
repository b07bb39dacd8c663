"""The charts of totals per layer and unit, and the list of all charts; imports Plotly."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from simcore.compare import Comparison
from simcore.report.event_plots import aligned_charts, behaviour_charts
from simcore.report.panels import MAX_POINTS, Chart, Place, add, grid, histogram, label, parity
from simcore.report.sides import Side, layer_kinds
from simcore.result import RunResult
from simcore.units import number, scale_for

_PARTS = {"supply": "#2f5d8c", "input": "#e0a458", "digital": "#8a8f98"}
_KINDS = {"active": "#b5443c", "quiet": "#5a9e8f", "idle": "#b9c4d0", "digital": "#8a8f98"}
_UNIT_BINS = 40


def charts(source: RunResult | Comparison, sides: Sequence[Side]) -> list[Chart]:
    """Return the charts of a run or a comparison; those without data are left out."""
    kinds = layer_kinds(sides[0].result)
    drawn = [_energy_stack(sides), _latency_bars(sides)]
    if isinstance(source, Comparison):
        drawn.append(_unit_energy_parity(source, sides))
        drawn += aligned_charts(source, [side.name for side in sides], kinds)
    else:
        drawn.append(_unit_energy_spread(sides[0]))
    return drawn + behaviour_charts(sides, kinds)


def _energy_stack(sides: Sequence[Side]) -> Chart:
    figure, places = grid(["by source", "by kind of step"], columns=2)
    for place, parts in zip(places, (_PARTS, _KINDS), strict=True):
        _stack(figure, place, sides, parts)
    figure.update_layout(barmode="stack", bargap=0.25)
    note = "Mean per sample. Both pictures add up to the energy of the layer."
    return Chart("energy-stack", "Energy per layer", note, figure)


def _stack(figure: go.Figure, place: Place, sides: Sequence[Side], parts: Mapping[str, str]) -> None:
    names = [layer["name"] for layer in sides[0].summary["layers"]]
    bars = [(name, side) for name in names for side in sides]
    values = {part: np.array([side.layer(name)[f"{part}_j"] for name, side in bars]) for part in parts}
    scale = scale_for(np.sum(list(values.values()), axis=0), "J")
    layer, run = [name for name, _ in bars], [side.name for _, side in bars]
    shown = {trace.name for trace in figure.data}
    for part, colour in parts.items():
        add(figure, place, go.Bar(
            x=[layer, run] if len(sides) > 1 else layer, y=values[part] * scale.factor, name=part,
            legendgroup=part, showlegend=part not in shown, marker={"color": colour},
            hovertemplate=f"%{{x}}<br>{part} %{{y:.4g}} {scale.unit}<extra></extra>",
        ))  # fmt: skip
    label(figure, place, "", f"energy ({scale.unit})")
    figure.update_xaxes(showgrid=False)


def _latency_bars(sides: Sequence[Side]) -> Chart:
    quantities = {"event_latency_s": "event latency", "critical_path_s": "critical path"}
    figure, places = grid(list(quantities.values()), columns=2)
    names = [layer["name"] for layer in sides[0].summary["layers"]]
    for place, key in zip(places, quantities, strict=True):
        known = {side.name: [side.layer(name)[key] for name in names] for side in sides}
        values = {name: np.array(column, dtype=np.float64) for name, column in known.items()}
        scale = scale_for(np.concatenate(list(values.values())), "s")
        for side in sides:
            add(figure, place, go.Bar(
                x=names, y=values[side.name] * scale.factor, name=side.name, legendgroup=side.name,
                showlegend=len(sides) > 1 and place.col == 1, marker={"color": side.colour},
                hovertemplate=f"%{{x}}<br>{side.name} %{{y:.4g}} {scale.unit}<extra></extra>",
            ))  # fmt: skip
        label(figure, place, "", f"{quantities[key]} ({scale.unit})")
    figure.update_layout(barmode="group", bargap=0.3)
    figure.update_xaxes(showgrid=False)
    note = (
        "Event latency: from the last driven edge to the output event, mean. Critical path: from the "
        "sample's first input edge to the layer's last output event, digital latency included."
    )
    return Chart("latency-bars", "Latency per layer", note, figure)


def _unit_energy_parity(source: Comparison, sides: Sequence[Side]) -> Chart:
    ours, theirs = source.reference.layer_columns, source.candidate.layer_columns
    titles = [f"{name}: {number(columns['unit_energy_j'].size)} totals" for name, columns in ours.items()]
    figure, places = grid(titles)
    for place, name in zip(places, ours, strict=True):
        x, y = (columns[name]["unit_energy_j"].ravel() for columns in (ours, theirs))
        parity(figure, place, x, y, "energy", "J", [side.name for side in sides])
    note = (
        "Supply + input energy of each unit in each sample, each run on its own. "
        f"At most {MAX_POINTS:,} points a panel."
    )
    return Chart("unit-energy", "Energy per unit", note, figure)


def _unit_energy_spread(side: Side) -> Chart:
    layers = side.result.layer_columns
    figure, places = grid([f"{n}: {number(c['unit_energy_j'].size)} totals" for n, c in layers.items()])
    for place, columns in zip(places, layers.values(), strict=True):
        scale = scale_for(columns["unit_energy_j"], "J")
        values = columns["unit_energy_j"].ravel() * scale.factor
        low, high = float(values.min()), float(values.max())
        centres, share = histogram(values, low, high if high > low else low + 1, _UNIT_BINS)
        add(figure, place, go.Bar(
            x=centres, y=share, marker={"color": side.colour}, showlegend=False,
            hovertemplate=f"%{{x:.4g}} {scale.unit}: %{{y:.3g}} %<extra></extra>",
        ))  # fmt: skip
        label(figure, place, f"energy ({scale.unit})", "share of units (%)")
    figure.update_layout(bargap=0.05)
    note = "Supply + input energy of each unit in each sample."
    return Chart("unit-energy", "Energy per unit", note, figure)

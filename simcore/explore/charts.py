"""The charts of a study: fronts, parallel coordinates, importances; imports Plotly."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from simcore.explore.axes import Axis
from simcore.explore.figures import Objective, Quantity
from simcore.explore.record import Record
from simcore.explore.sweep import Sweep
from simcore.report.panels import Chart, Place, add, grid, label
from simcore.units import scale_for

_FRONT, _BEHIND, _OUTSIDE, _TRUE = "#2f5d8c", "#9db4cc", "#d5d9de", "#b5443c"
_BARS = ("#2f5d8c", "#d9772b", "#5a9e8f", "#8a8f98", "#7d5ba6")
_TICKS_AT_MOST = 12


def charts(
    records: Sequence[Record], sweep: Sweep, shares: Mapping[str, Mapping[str, float]] | str
) -> list[Chart]:
    """Return the charts of a study; those without data are left out."""
    good = [record for record in records if not record.error]
    if not good:
        return []
    drawn = [front_chart(good, sweep) if len(sweep.objectives) > 1 else history_chart(good, sweep)]
    drawn.append(parallel_chart(good, sweep))
    return drawn if isinstance(shares, str) else [*drawn, importance_chart(shares, sweep)]


def front_chart(records: Sequence[Record], sweep: Sweep) -> Chart:
    """Return each pair of objectives, the front as a line, ngspice's word beside its twin."""
    pairs = list(itertools.combinations(sweep.objectives, 2))
    figure, places = grid([""] * len(pairs), columns=min(len(pairs), 2), row_px=420)
    for place, (x, y) in zip(places, pairs, strict=True):
        _front_panel(figure, place, records, x, y, is_plane=len(sweep.objectives) == 2)
    note = (
        "One point per trial; on the front no other trial that keeps the constraints is better in all "
        "objectives. Red: what ngspice makes of a trial, joined to it; energy and latency are the trial's "
        "times the ratio of ngspice and surrogate on the samples that both ran, accuracy moves by the "
        "difference."
    )
    return Chart("front", "Pareto front", note, figure)


def history_chart(records: Sequence[Record], sweep: Sweep) -> Chart:
    """Return the only objective trial by trial, with the best so far."""
    (objective,) = sweep.objectives
    figure, (place,) = grid([""], columns=1, row_px=380)
    factor, unit = _scale(objective.quantity, records)
    for name, colour, some in _groups(records):
        add(figure, place, go.Scatter(
            x=[r.number for r in some], y=[r.figures[objective.name] * factor for r in some], mode="markers",
            name=name, marker={"color": colour, "size": 8}, text=[_hover(r) for r in some],
            hovertemplate=f"%{{text}}<br>%{{y:.4g}} {unit}<extra></extra>",
        ))  # fmt: skip
    kept = [record for record in records if record.is_feasible]
    so_far = np.minimum.accumulate([objective.cost(record.figures) for record in kept] or [0.0])
    sign = 1 if objective.direction == "min" else -1
    add(figure, place, go.Scatter(
        x=[r.number for r in kept], y=so_far[: len(kept)] * factor * sign, mode="lines", name="best so far",
        line={"color": _FRONT, "shape": "hv", "width": 1.5}, hoverinfo="skip",
    ))  # fmt: skip
    _add_validated(figure, place, records, lambda f, r: (r.number, f[objective.name] * factor))
    label(figure, place, "trial", _titled(objective.quantity, unit))
    note = "Red: what ngspice makes of a trial, joined to it, scaled to all its samples."
    return Chart("front", "Search", note, figure)


def parallel_chart(records: Sequence[Record], sweep: Sweep) -> Chart:
    """Return axes and objectives side by side, one line per trial."""
    first = sweep.objectives[0]
    factor, unit = _scale(first.quantity, records)
    dimensions = [_axis_dimension(axis, records) for axis in sweep.axes]
    dimensions += [_figure_dimension(objective.quantity, records) for objective in sweep.objectives]
    figure = go.Figure(go.Parcoords(
        dimensions=dimensions, labelside="top", labelangle=0,
        line={
            "color": [record.figures[first.name] * factor for record in records], "colorscale": "Viridis",
            "reversescale": first.direction == "max", "showscale": True,
            "colorbar": {"title": {"text": _titled(first.quantity, unit), "side": "right"}, "thickness": 12},
        },
    ))  # fmt: skip
    figure.update_layout(
        template="none", height=430, margin={"l": 70, "r": 40, "t": 60, "b": 30},
        font={"family": "system-ui, sans-serif", "size": 12, "color": "#2b2f36"},
    )  # fmt: skip
    note = "One line per trial that has its figures. Drag along an axis to choose lines; drag its name."
    return Chart("parallel", "Knobs and figures", note, figure)


def importance_chart(shares: Mapping[str, Mapping[str, float]], sweep: Sweep) -> Chart:
    """Return how much of each objective's variance an axis explains."""
    names = [short_names(sweep.axes)[axis.name] for axis in sweep.axes]
    figure, (place,) = grid([""], columns=1, row_px=60 + 60 * len(names))
    for colour, (objective, of_axes) in zip(itertools.cycle(_BARS), shares.items(), strict=False):
        add(figure, place, go.Bar(
            y=names, x=[100 * of_axes[axis.name] for axis in sweep.axes], orientation="h", name=objective,
            marker={"color": colour}, hovertemplate=f"%{{y}}: %{{x:.3g}} % of {objective}<extra></extra>",
        ))  # fmt: skip
    label(figure, place, "share of the variance (%)", "")
    figure.update_layout(barmode="group")
    figure.update_yaxes(autorange="reversed", showgrid=False)
    note = "fANOVA over all trials that have their figures; a knob at 0 could have stayed as it was."
    return Chart("importance", "Importance of each knob", note, figure)


def short_names(axes: Sequence[Axis]) -> dict[str, str]:
    """Return axis -> the last part of its name, or all of it where that is not unique."""
    last = {axis.name: axis.name.rpartition(".")[2] for axis in axes}
    return {name: short if list(last.values()).count(short) == 1 else name for name, short in last.items()}


def _front_panel(
    figure: go.Figure, place: Place, records: Sequence[Record], x: Objective, y: Objective, is_plane: bool
) -> None:
    (x_factor, x_unit), (y_factor, y_unit) = (_scale(o.quantity, records) for o in (x, y))

    def at(figures: Mapping[str, float]) -> tuple[float, float]:
        return figures[x.name] * x_factor, figures[y.name] * y_factor

    front = sorted(at(record.figures) for record in records if record.rank == 0)
    if is_plane and front:
        shape = "hv" if x.direction == "min" else "vh"
        add(figure, place, go.Scatter(
            x=[p[0] for p in front], y=[p[1] for p in front], mode="lines", showlegend=False,
            line={"color": _FRONT, "width": 1.5, "shape": shape}, hoverinfo="skip",
        ))  # fmt: skip
    for name, colour, some in _groups(records):
        add(figure, place, go.Scatter(
            x=[at(r.figures)[0] for r in some], y=[at(r.figures)[1] for r in some], mode="markers", name=name,
            legendgroup=name, showlegend=place == Place(1, 1), text=[_hover(r) for r in some],
            marker={"color": colour, "size": 9, "line": {"color": "#fff", "width": 0.5}},
            hovertemplate=f"%{{text}}<br>%{{x:.4g}} {x_unit}<br>%{{y:.4g}} {y_unit}<extra></extra>",
        ))  # fmt: skip
    _add_validated(figure, place, records, lambda figures, _: at(figures))
    label(figure, place, _titled(x.quantity, x_unit), _titled(y.quantity, y_unit))


def _add_validated(figure: go.Figure, place: Place, records: Sequence[Record], at: Any) -> None:
    """Draw ngspice's points, each joined to its trial."""
    known = [record for record in records if record.validated]
    xs: list[float | None] = []
    ys: list[float | None] = []
    for record in known:
        (x, y), (true_x, true_y) = at(record.figures, record), at(record.validated["corrected"], record)
        xs, ys = [*xs, x, true_x, None], [*ys, y, true_y, None]
    if known:
        add(figure, place, go.Scatter(
            x=xs, y=ys, mode="lines", line={"color": _TRUE, "width": 1.2}, showlegend=False, hoverinfo="skip",
        ))  # fmt: skip
        add(figure, place, go.Scatter(
            x=xs[1::3], y=ys[1::3], mode="markers", name="ngspice", legendgroup="ngspice",
            showlegend=place == Place(1, 1), text=[_hover(record) for record in known],
            marker={"color": _TRUE, "symbol": "diamond-open", "size": 13, "line": {"width": 2}},
            hovertemplate="ngspice, %{text}<br>%{x:.4g}, %{y:.4g}<extra></extra>",
        ))  # fmt: skip


def _groups(records: Sequence[Record]) -> list[tuple[str, str, list[Record]]]:
    groups = [
        ("breaks a constraint", _OUTSIDE, [r for r in records if not r.is_feasible]),
        ("behind the front", _BEHIND, [r for r in records if r.is_feasible and r.rank]),
        ("on the front", _FRONT, [r for r in records if r.rank == 0]),
    ]
    return [group for group in groups if group[2]]


def _hover(record: Record) -> str:
    return "<br>".join([
        f"trial {record.number}",
        *(f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
          for name, value in record.point.items()),
    ])  # fmt: skip


def _scale(quantity: Quantity, records: Sequence[Record]) -> tuple[float, str]:
    if not quantity.unit:
        return 100.0, "%"
    if " " in quantity.unit or quantity.unit == "m2":
        return 1.0, quantity.unit
    scale = scale_for(np.array([record.figures[quantity.name] for record in records]), quantity.unit)
    return scale.factor, scale.unit


def _titled(quantity: Quantity, unit: str) -> str:
    return f"{quantity.label} ({unit})"


def _figure_dimension(quantity: Quantity, records: Sequence[Record]) -> dict[str, Any]:
    factor, unit = _scale(quantity, records)
    values = [record.figures[quantity.name] * factor for record in records]
    return {"label": f"{quantity.name} ({unit})", "values": values}


def _axis_dimension(axis: Axis, records: Sequence[Record]) -> dict[str, Any]:
    """Return a number line for ranges, evenly spaced places for lists."""
    values = [record.point[axis.name] for record in records]
    short, listed = axis.name.rpartition(".")[2], axis.values()
    if listed is None or (axis.is_number and len(listed) > _TICKS_AT_MOST):
        return {"label": short, "values": values}
    return {
        "label": short, "values": [listed.index(value) for value in values],
        "tickvals": list(range(len(listed))), "ticktext": [str(value) for value in listed],
    }  # fmt: skip

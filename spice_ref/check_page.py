"""The page of `circuit check`: waveforms of a few stimuli, what was read off them, and all tables."""

import html
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from simcore.bank import StepResult
from simcore.errors import ResultError
from simcore.spec import CircuitSpec, PortKind
from simcore.units import DASH, percent, scale_for, si
from spice_ref.check import CheckReport, Shown, Table
from spice_ref.deck import edges_ps
from spice_ref.netlist import state_nodes
from spice_ref.noise import Noise

FILE = "check.html"
MOST = 4
"""Curves of one kind of port in a chart; a row of 32 inputs would hide the rest."""
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums }
td, th { padding: .2rem .8rem; border-bottom: 1px solid #ddd; text-align: right }
td:first-child, th:first-child { text-align: left }
.problem { color: #a40000 } caption { text-align: left; font-weight: 600; padding: .5rem 0 }
"""


def write_page(spec: CircuitSpec, report: CheckReport, folder: Path) -> Path:
    """Write `check.html`, which needs no network, and return its path; raises ResultError if that fails."""
    import plotly.offline

    path = folder / FILE
    parts = [
        f"<h1>Check of {html.escape(spec.name)}</h1>",
        f"<p>{html.escape(spec.source)}</p>",
        *(f"<p class=problem>problem: {html.escape(text)}</p>" for text in report.problems),
        "" if report.problems else "<p>No problem found.</p>",
        *(_chart(spec, shown) for shown in report.shown),
        *(_table(table) for table in (steps_table(report.shown), *tables(report))),
    ]
    head = f"<meta charset=utf-8><title>{html.escape(spec.name)}</title><style>{_STYLE}</style>"
    script = f"<script>{plotly.offline.get_plotlyjs()}</script>"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(f"<!doctype html>{head}{script}" + "\n".join(parts), encoding="utf-8")
    except OSError as error:
        raise ResultError(f"cannot write {path}: {error}") from error
    return path


def tables(report: CheckReport) -> list[Table]:
    """Return the tables of a report that have rows, that of the noise first where there is one."""
    found = [*([noise_table(report.noise)] if report.noise else []), *report.tables()]
    return [table for table in found if table.rows]


def steps_table(shown: Sequence[Shown]) -> Table:
    """Return events, energies and latencies of the shown stimuli."""
    rows = [row for each in shown for row in _steps(each)]
    columns = ("stimuli", "start", "step", "event", "latency", "supply", "input", "output at the end (V)")
    return Table(f"Steps of the waveforms in {FILE}", columns, tuple(rows))


def _steps(shown: Shown) -> list[tuple[str, ...]]:
    starts, steps = edges_ps(shown.raster.duration_ps) * 1e-12, shown.steps
    return [
        (
            shown.kind, si(float(starts[i]), "s"),
            "driven" if not shown.raster.idle[i] else f"idle {si(float(starts[i + 1] - starts[i]), 's')}",
            "yes" if steps.fired[i] else "", _latency(steps, i),
            si(float(steps.supply_j[i]), "J"), si(float(steps.input_j[i]), "J"),
            f"{steps.outputs[i, 0]:.4g}",
        )
        for i in range(len(steps.fired))
    ]  # fmt: skip


def _latency(steps: StepResult, row: int) -> str:
    return si(float(steps.latency_s[row]), "s") if steps.fired[row] else ""


def noise_table(noise: Sequence[Noise]) -> Table:
    """Return how far each variant moves from the preset in use."""
    rows = [
        (
            row.variant, percent(row.energy.value_pct), percent(row.latency.value_pct),
            percent(row.event.value_pct), percent(row.output.value_pct),
            f"{row.exact_runs}/{row.n_runs}", f"{row.ms_per_row:.3g}",
        )
        for row in noise
    ]  # fmt: skip
    columns = ("variant", "energy", "latency", "event", "output", "exact runs", "ms/step")
    return Table("The reference against itself: difference from the preset in use", columns, tuple(rows))


def _chart(spec: CircuitSpec, shown: Shown) -> str:
    """Return a chart of inputs, states and outputs over time, with clock edges and events."""
    from plotly.subplots import make_subplots

    groups = [
        ("inputs", [name.lower() for name in spec.columns(PortKind.INPUT)]),
        ("state", state_nodes(spec)),
        ("outputs", [name.lower() for name in spec.columns(PortKind.OUTPUT)]),
    ]
    groups = [(name, nodes[:MOST]) for name, nodes in groups if nodes]
    figure = make_subplots(rows=len(groups), cols=1, shared_xaxes=True, vertical_spacing=0.04)
    time = shown.vectors["time"]
    scale = scale_for(time, "s")
    for row, (name, nodes) in enumerate(groups, 1):
        for node in nodes:
            figure.add_scatter(
                x=time * scale.factor, y=shown.vectors[node], name=node.removeprefix("x0."), row=row, col=1
            )
        figure.update_yaxes(title_text=f"{name} (V)", row=row, col=1)
    _mark(figure, shown, scale.factor)
    figure.update_xaxes(title_text=f"time ({scale.unit})", row=len(groups), col=1)
    figure.update_layout(
        title=f"{shown.kind} stimulus; dotted: clock edges, red: events",
        height=180 * len(groups) + 120, template="plotly_white", margin={"l": 70, "r": 20, "t": 50, "b": 40},
    )  # fmt: skip
    text: str = figure.to_html(full_html=False, include_plotlyjs=False)
    return text


def _mark(figure: Any, shown: Shown, factor: float) -> None:
    edges = edges_ps(shown.raster.duration_ps) * 1e-12
    for edge in edges.tolist():
        figure.add_vline(x=edge * factor, line={"color": "#ccc", "dash": "dot", "width": 1})
    for (start, _), latency, fired in zip(
        pairwise(edges.tolist()), shown.steps.latency_s, shown.steps.fired, strict=True
    ):
        if fired and np.isfinite(latency):
            figure.add_vline(x=(start + latency) * factor, line={"color": "#c00", "width": 1})


def _table(table: Table) -> str:
    head = "".join(f"<th>{html.escape(column)}</th>" for column in table.columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(shown_cell(cell))}</td>" for cell in row) + "</tr>"
        for row in table.rows
    )
    return f"<table><caption>{html.escape(table.title)}</caption><tr>{head}</tr>{body}</table>"


def shown_cell(cell: str | int | float) -> str:
    """Return a cell as text, numbers with four digits."""
    if isinstance(cell, float):
        return f"{cell:.4g}" if np.isfinite(cell) else DASH
    return str(cell)

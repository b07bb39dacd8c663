"""The pictures of totals: energy and latency per layer, energy per unit, confusion."""

from collections.abc import Mapping, Sequence

import numpy as np

from simcore.report.parity import parity
from simcore.report.plot import INK, MAX_POINTS, Axis, Bars, Heat, Mark, Panel, Plot, Points, named
from simcore.report.sides import Side
from simcore.report.subject import Subject
from simcore.units import number, scale_for, si

PARTS = {"supply": "#2f5d8c", "input": "#e0a458", "digital": "#8a8f98"}
KINDS = {"active": "#b5443c", "quiet": "#5a9e8f", "idle": "#b9c4d0"}
_UNIT_BINS = 40
_GAP = 0.6
"""Room between the bars of two layers, in bars."""
_QUANTILES = {"p50": "ring", "p95": "dash", "max": "diamond"}


def energy_stack(subject: Subject) -> Plot:
    """Draw the energy of each layer as a stack of its parts."""
    panels = (_stack("all of it, by source", subject.sides, PARTS),
              _stack("the analog part, by kind of step", subject.sides, KINDS))  # fmt: skip
    note = "Mean per sample. On the right supply + input energy only, on a scale of its own."
    return Plot("energy-stack", "Energy per layer", note, panels, stacked=True)


def _stack(title: str, sides: Sequence[Side], parts: Mapping[str, str]) -> Panel:
    names = list(sides[0].result.layer_columns)
    bars = [(name, side) for name in names for side in sides]
    x = _places(len(names), len(sides))
    values = {part: np.array([side.layer(name)[f"{part}_j"] for name, side in bars]) for part in parts}
    scale = scale_for(np.sum(list(values.values()), axis=0), "J")
    marks = tuple(
        Bars(part, x, values[part] * scale.factor, colour, hover=tuple(
            f"{name}, {side.name}<br>{part} {si(value, 'J')}" 
            for (name, side), value in zip(bars, values[part], strict=True)
        ))
        for part, colour in parts.items()
    )  # fmt: skip
    return Panel(title, _layer_axis(names, sides, x), Axis(f"energy ({scale.unit})"), marks)


def _places(n_layers: int, n_sides: int) -> np.ndarray:
    """Return the positions of the bars, those of a layer side by side."""
    return np.array([i * (n_sides + _GAP) + j for i in range(n_layers) for j in range(n_sides)])


def _layer_axis(names: Sequence[str], sides: Sequence[Side], x: np.ndarray) -> Axis:
    """Name each bar by its layer, and by its run where there are two."""
    runs = [""] if len(sides) == 1 else [f"{side.short}\n" for side in sides]
    texts = [f"{run}{name}" for name in names for run in runs]
    return Axis(
        low=x[0] - 0.7, high=x[-1] + 0.7, grid=False, ticks=tuple(zip(x.tolist(), texts, strict=True))
    )


def latency_bars(subject: Subject) -> Plot:
    """Draw event latencies and critical paths; quantiles where runs were traced."""
    events = _bars("event latency", "event_latency_s", subject.sides, quantiles=True)
    paths = _bars("critical path", "critical_path_s", subject.sides)
    note = (
        "Event latency: from the last driven edge to the output event; bars are means, marks median, 95 % "
        "and maximum of traced runs. Critical path: from the sample's first input edge to the "
        "layer's last output event, digital latency included."
    )
    return Plot("latency-bars", "Latency per layer", note, (events, paths))


def _bars(title: str, key: str, sides: Sequence[Side], *, quantiles: bool = False) -> Panel:
    names = list(sides[0].result.layer_columns)
    x = _places(len(names), len(sides)).reshape(len(names), len(sides))
    found = {
        column: np.array([[side.layer(name)[column] for side in sides] for name in names], dtype=np.float64)
        for column in (key, *(f"latency_{q}_s" for q in _QUANTILES if quantiles))
    }
    scale = scale_for(np.concatenate([values.ravel() for values in found.values()]), "s")
    marks: list[Mark] = [
        Bars(side.name if len(sides) > 1 else "", x[:, i], found[key][:, i] * scale.factor, side.colour,
             hover=tuple(f"{n}, {side.name}<br>{title} {si(v, 's')}" 
                         for n, v in zip(names, found[key][:, i], strict=True)))
        for i, side in enumerate(sides)
    ]  # fmt: skip
    for quantile, symbol in _QUANTILES.items() if quantiles else ():
        values = found[f"latency_{quantile}_s"].ravel()
        if np.isfinite(values).any():
            hover = tuple(f"{quantile} {si(value, 's')}" for value in values)
            marks.append(
                Points(quantile, x.ravel(), values * scale.factor, INK, 8, symbol, hover=hover)
            )  # fmt: skip
    ticks = tuple(zip(x.mean(axis=1).tolist(), names, strict=True))
    axis = Axis(low=x.min() - 0.7, high=x.max() + 0.7, grid=False, ticks=ticks)
    return Panel(title, axis, Axis(f"{title} ({scale.unit})"), tuple(marks))


def unit_energy(subject: Subject) -> Plot:
    """Draw the energy of each unit in each sample: candidate over reference, or how it is spread."""
    if subject.comparison is None:
        panels = [_spread(subject.sides[0], name) for name in subject.sides[0].result.layer_columns]
        return Plot("unit-energy", "Energy per unit", "Supply + input energy of each unit in each sample.",
                    tuple(panels), panel_px=250)  # fmt: skip
    panels = []
    for name in subject.sides[0].result.layer_columns:
        x, y = (side.result.layer_columns[name]["unit_energy_j"].ravel() for side in subject.sides)
        panels.append(parity(f"{name}: {number(x.size)} totals", x, y, ("energy", "J"), subject.names))
    note = (
        "Supply + input energy of each unit in each sample, each run on its own. On the line both are equal. "
        f"At most {MAX_POINTS:,} points a panel."
    )
    return Plot("unit-energy", "Energy per unit, side by side", note, tuple(panels))


def _spread(side: Side, layer: str) -> Panel:
    values = side.result.layer_columns[layer]["unit_energy_j"].ravel()
    scale = scale_for(values, "J")
    counts, edges = np.histogram(values * scale.factor, _UNIT_BINS)
    share = 100 * counts / max(len(values), 1)
    bars = Bars("", (edges[1:] + edges[:-1]) / 2, share, side.colour, 0.92 * float(edges[1] - edges[0]))
    x = Axis(f"energy ({scale.unit})")
    return Panel(f"{layer}: {number(values.size)} totals", x, Axis("share of units (%)"), (bars,))


def confusion(subject: Subject) -> Plot:
    """Draw how often each label was predicted as each class."""
    panels = []
    for side in subject.sides:
        result = side.result
        n = result.scores.shape[1]
        counts = np.zeros((n, n))
        np.add.at(counts, (result.labels, result.predictions), 1)
        names = tuple(str(i) for i in range(n))
        x = Axis("predicted class", -0.5, n - 0.5, ticks=named(names), grid=False)
        y = Axis("label", -0.5, n - 0.5, ticks=named(names), reverse=True, grid=False)
        title = f"{side.name}: {number(np.trace(counts))} of {number(counts.sum())} right"
        panels.append(Panel(title, x, y, (Heat(counts, names, names, side.colour),)))
    note = "Samples by label and predicted class; what is off the diagonal was taken for another class."
    return Plot("confusion", "Confusion matrix", note, tuple(panels), columns=2, panel_px=340)

"""The pictures of behaviour: spike rasters, output levels, waveforms of chosen units, the worst units."""

from collections.abc import Sequence

import numpy as np

from simcore.bank import Floats
from simcore.compare import matched
from simcore.frames import event_times_s
from simcore.ledger import TraceRows
from simcore.report.parity import parity
from simcore.report.plot import SOFT, Array, Axis, Line, Mark, Panel, Plot, Points, subset
from simcore.report.sides import LayerKind, Side
from simcore.report.stored_waves import Wave
from simcore.report.subject import Subject
from simcore.units import scale_for

RASTER_UNITS = 64
RASTER_LAYERS = 2
_UNIT_PX = 10
"""Height of one unit in a raster."""
MOST_WAVES = 6
_STATES = (("#2f5d8c", 1.8), ("#c2a33a", 1.2))
"""Colour and width of the lines of the first states."""
_WAVE_POINTS = 900
"""Points of a waveform that are drawn."""


def raster(subject: Subject) -> Plot | None:
    """Draw the output events of the first sample; None unless traced."""
    found = {kind: subject.first_sample(kind.name) for kind in subject.judged if not kind.is_level}
    drawn = {kind: parts for kind, parts in list(found.items())[-RASTER_LAYERS:] if parts}
    if not drawn:
        return None
    units = max(1 + part.unit.max(initial=0) for parts in drawn.values() for part in parts)
    panels = tuple(_raster_panel(subject.sides, kind, parts) for kind, parts in drawn.items())
    note = (
        f"Output events of sample {subject.sample}{', each run on its own' * (len(subject.sides) > 1)}; "
        f"the first {RASTER_UNITS} units of each layer, events in merged idle gaps left out."
    )
    height = 70 + max(130, _UNIT_PX * min(int(units), RASTER_UNITS))
    return Plot("raster", "Spikes, first sample", note, panels, columns=1, panel_px=height)


def _raster_panel(sides: Sequence[Side], kind: LayerKind, parts: Sequence[TraceRows]) -> Panel:
    marks = []
    shift = 0.4 if len(sides) > 1 else 0.0
    top = min(RASTER_UNITS, 1 + max(int(part.unit.max(initial=0)) for part in parts))
    for i, (side, rows) in enumerate(zip(sides, parts, strict=True)):
        at_ns = event_times_s(rows, kind.period_ps) * 1e9
        shown = rows.fired & ~rows.merged & (rows.unit < RASTER_UNITS)
        hover = tuple(
            f"unit {unit}, {at:.5g} ns" for unit, at in zip(rows.unit[shown], at_ns[shown], strict=True)
        )
        name = side.name if side.role else ""
        y = rows.unit[shown] + shift * (i - 0.5)
        marks.append(
            Points(name, at_ns[shown], y, side.colour, 6 if len(sides) > 1 else 8, "bar", hover=hover)
        )
    return Panel(kind.name, Axis("time (ns)"), Axis("unit", -0.8, top - 0.2, reverse=True), tuple(marks))


def levels(subject: Subject) -> Plot | None:
    """Draw the output levels of the first sample; None unless traced."""
    panels = []
    for kind in subject.judged:
        parts = subject.first_sample(kind.name) if kind.is_level else []
        driven = [part.take(~part.idle & ~part.gated) for part in parts]
        if len(driven) == 2:
            x, y = (part.outputs[:, 0] for part in matched(driven[0], driven[1], inner=True))
            panels.append(parity(kind.name, x, y, ("output", kind.unit), subject.names))
        elif driven:
            panels.append(_level_panel(subject.sides[0], kind, driven[0]))
    if not panels:
        return None
    how = "each run on its own" if len(subject.sides) > 1 else "driven steps"
    note = f"Output levels at the end of the step, sample {subject.sample}, {how}."
    return Plot("levels", "Output levels, first sample", note, tuple(panels))


def _level_panel(side: Side, kind: LayerKind, rows: TraceRows) -> Panel:
    unit, values = subset(rows.unit, rows.outputs[:, 0])
    scale = scale_for(values, kind.unit)
    dots = Points("", unit, values * scale.factor, side.colour, 4, opacity=0.6)
    return Panel(kind.name, Axis("unit"), Axis(f"output ({scale.unit})"), (dots,))


def waveforms(subject: Subject) -> Plot | None:
    """Draw the stored waveforms of chosen units, and what each run says of the same units."""
    panels = []
    for wave in subject.waves[:MOST_WAVES]:
        kind = next(kind for kind in subject.kinds if kind.name == wave.layer)
        panels.append(wave_panel(subject, kind, wave))
    note = (
        "Each unit's recorded input, once more through ngspice: its output and first states as they move. "
        "Diamonds: the events that each run reports for the unit on that input."
    )
    return Plot("waveforms", "Waveforms of chosen units", note, tuple(panels), columns=min(2, len(panels)),
                panel_px=240) if panels else None  # fmt: skip


def wave_panel(subject: Subject, kind: LayerKind, wave: Wave) -> Panel:
    """Return output and first states of a unit over time, with the events of each traced run."""
    marks: list[Mark] = []
    top = 0.0
    time_ns = wave.vectors["time"] * 1e9
    styles = ((SOFT, 1.0), *_STATES)
    names = (kind.output, *kind.states)
    for (name, values), (colour, width) in zip(wave.of(names).items(), styles, strict=False):
        x, y = thinned(time_ns, values)
        marks.append(Line(f"{name}, ngspice", x, y, colour, width))
        top = max(top, float(values.max()))
    runs = [side.result for side in subject.sides[:1]]
    runs += [subject.comparison.aligned] if subject.comparison else []
    for i, (side, run) in enumerate(zip(subject.sides, runs, strict=True)):
        if kind.is_level or not run.is_traced:
            continue
        rows = run.trace(kind.name)
        rows = rows.take((rows.lane == wave.sample) & (rows.unit == wave.unit))
        at = event_times_s(rows, kind.period_ps)[rows.fired & ~rows.merged] * 1e9
        y = np.full(len(at), top * (1.07 + 0.08 * i))
        marks.append(Points(f"events, {side.name}", at, y, side.colour, 7, "diamond"))
    title = f"{wave.layer}, unit {wave.unit}, sample {wave.sample}"
    return Panel(title, Axis("time (ns)"), Axis("voltage (V)"), tuple(marks))


def thinned(x: Floats, y: Floats) -> tuple[Array, Array]:
    """Return a line of few points that keeps its extremes: least and largest of each stretch."""
    if len(x) <= _WAVE_POINTS:
        return x, y
    ends = np.linspace(0, len(x), _WAVE_POINTS // 2 + 1).astype(int)
    kept = sorted({
        index
        for first, last in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)
        for index in (first + int(np.argmin(y[first:last])), first + int(np.argmax(y[first:last])))
    })  # fmt: skip
    return x[kept], y[kept]

"""The three units that a comparison gets most wrong, step by step, both runs over each other."""

from dataclasses import dataclass

import numpy as np

from simcore.bank import Floats
from simcore.clock import seconds
from simcore.compare import Comparison, matched
from simcore.frames import event_times_s
from simcore.ledger import TraceRows
from simcore.report.behaviour_plots import thinned
from simcore.report.plot import INK, Axis, Line, Panel, Plot, Points
from simcore.report.sides import LayerKind, Side
from simcore.report.stored_waves import Wave
from simcore.report.subject import Subject, rows_of
from simcore.units import percent, scale_for

MOST = 3


@dataclass(frozen=True, slots=True)
class Worst:
    """A unit in a sample and how wrong its energy is."""

    kind: LayerKind
    sample: int
    unit: int
    error_pct: float
    """Sum of |difference| over its steps, in percent of the layer's mean energy of a unit."""
    rows: tuple[TraceRows, TraceRows]
    """Reference and aligned candidate, in order of time."""


def worst_units(comparison: Comparison, kinds: list[LayerKind], most: int = MOST) -> list[Worst]:
    """Return the units of these layers with the largest energy error, aligned; the worst first."""
    found = []
    for kind in kinds:
        ours, theirs = rows_of(comparison.reference, kind.name), rows_of(comparison.aligned, kind.name)
        if ours is None or theirs is None:
            continue
        ours, theirs = matched(ours, theirs, inner=False)
        energy = ours.supply_j + ours.input_j
        off = np.abs(theirs.supply_j + theirs.input_j - energy)
        n_units = 1 + int(ours.unit.max(initial=0))
        keys, place = np.unique(ours.lane * n_units + ours.unit, return_inverse=True)
        wrong, total = np.bincount(place, off), np.bincount(place, np.abs(energy))
        if not len(keys) or not total.any():
            continue
        for index in np.argsort(-wrong, kind="stable")[:most].tolist():
            sample, unit = divmod(int(keys[index]), n_units)
            rows = np.flatnonzero(place == index)
            rows = rows[np.argsort(ours.step[rows], kind="stable")]
            error_pct = 100 * float(wrong[index] / total.mean())
            found.append(Worst(kind, sample, unit, error_pct, (ours.take(rows), theirs.take(rows))))
    return sorted(found, key=lambda worst: -worst.error_pct)[:most]


def worst_plot(subject: Subject) -> Plot | None:
    """Draw the worst units: above what they put out, below the energy of each step."""
    if subject.comparison is None:
        return None
    found = worst_units(subject.comparison, subject.judged)
    if not found:
        return None
    waves = {(wave.layer, wave.unit, wave.sample): wave for wave in subject.waves}
    above = [_output(one, subject.sides, waves.get((one.kind.name, one.unit, one.sample))) for one in found]
    below = [_energy(one, subject.sides) for one in found]
    note = (
        "Of all layers but input encoders, the units whose energy is most wrong, aligned: the candidate on "
        "the reference's inputs. In the titles the sum of |difference| over the steps, in percent of the "
        "mean energy of a unit of the layer. Above the output (diamonds: events), below the energy of a step."
    )
    return Plot("worst-units", "The worst units", note, (*above, *below), columns=len(found), panel_px=230)


def _output(one: Worst, sides: tuple[Side, ...], wave: Wave | None) -> Panel:
    title = f"{one.kind.name} {one.unit}, sample {one.sample}: {percent(one.error_pct)}"
    if one.kind.is_level:
        return _levels(title, one, sides, wave)
    shown = _wave(one, wave, 1.0) if wave else None
    floor = 1.05 * float(shown.y.max(initial=0)) if shown else 0.0
    marks: list[Line | Points] = [shown] if shown else []
    for i, (side, rows) in enumerate(zip(sides, one.rows, strict=True)):
        at = event_times_s(rows, one.kind.period_ps)[rows.fired & ~rows.merged] * 1e9
        top = (floor or 1.0) * (1.1 + 0.13 * i)
        marks.append(_stems(side, at, floor, top))
        marks.append(Points(side.name, at, np.full(len(at), top), side.colour, 7, "diamond"))
    y = Axis(f"output ({one.kind.unit})") if wave else Axis("events", 0, 1.35, ticks=((0.0, ""),))
    return Panel(title, _time(one), y, tuple(marks))


def _levels(title: str, one: Worst, sides: tuple[Side, ...], wave: Wave | None) -> Panel:
    """Draw the level at the end of each step, and ngspice's own waveform where it is stored."""
    scale = scale_for(np.concatenate([rows.outputs[:, 0] for rows in one.rows]), one.kind.unit)
    marks: list[Line | Points] = [_wave(one, wave, scale.factor)] if wave else []
    period_ns = seconds(one.kind.period_ps) * 1e9
    for i, (side, rows) in enumerate(zip(sides, one.rows, strict=True)):
        end_ns = (rows.step + rows.periods) * period_ns
        level = rows.outputs[:, 0] * scale.factor
        marks.append(Line("", end_ns, level, side.colour, 1, dash=i == 1))
        marks.append(Points(side.name, end_ns, level, side.colour, 7 - 2 * i, "dot" if i else "ring"))
    return Panel(title, _time(one), Axis(f"output ({scale.unit})"), tuple(marks))


def _wave(one: Worst, wave: Wave, factor: float) -> Line:
    """Return the output as ngspice has it; an empty line where its node is not stored."""
    found = wave.of((one.kind.output,)).get(one.kind.output)
    if found is None:
        return Line("", np.zeros(0), np.zeros(0), INK)
    x, y = thinned(wave.vectors["time"] * 1e9, found * factor)
    return Line("waveform, ngspice", x, y, INK, 1.2)


def _time(one: Worst) -> Axis:
    """Return the axis of time, the same above and below."""
    end = max(float((rows.step + rows.periods).max(initial=1)) for rows in one.rows)
    return Axis("time (ns)", 0, end * seconds(one.kind.period_ps) * 1e9)


def _stems(side: Side, at: Floats, low: float, high: float) -> Line:
    gap = np.full(len(at), np.nan)
    x = np.stack([at, at, gap], axis=1)
    y = np.stack([np.full(len(at), low), np.full(len(at), high), gap], axis=1)
    return Line("", x.ravel(), y.ravel(), side.colour, 1)


def _energy(one: Worst, sides: tuple[Side, ...]) -> Panel:
    values = [rows.supply_j + rows.input_j for rows in one.rows]
    scale = scale_for(np.concatenate(values), "J")
    period_ns = seconds(one.kind.period_ps) * 1e9
    marks = []
    for i, (side, rows, energy) in enumerate(zip(sides, one.rows, values, strict=True)):
        at = np.append(rows.step, rows.step[-1] + rows.periods[-1]) * period_ns
        y = np.append(energy, energy[-1]) * scale.factor
        marks.append(Line(side.name, at, y, side.colour, 1.6 if i else 2.2, dash=i == 1, steps=True))
    return Panel("", _time(one), Axis(f"energy of a step ({scale.unit})"), tuple(marks))

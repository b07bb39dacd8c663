"""The three units that a comparison gets most wrong, step by step, both runs over each other."""

from dataclasses import dataclass

import numpy as np

from simcore.bank import Floats
from simcore.clock import seconds
from simcore.compare import Comparison, matched
from simcore.frames import event_times_s
from simcore.ledger import TraceRows
from simcore.report.behaviour_plots import thinned
from simcore.report.plot import Axis, Line, Mark, Panel, Plot, Points
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
        "mean energy of a unit of the layer. Above the output (diamonds: events), below the energy of each step."
    )
    return Plot("worst-units", "The worst units", note, (*above, *below), columns=len(found), panel_px=230)


def _output(one: Worst, sides: tuple[Side, ...], wave: Wave | None) -> Panel:
    marks: list[Mark] = []
    period_ns = seconds(one.kind.period_ps) * 1e9
    if wave is not None:
        for name, values in wave.of((one.kind.output,)).items():
            x, y = thinned(wave.vectors["time"] * 1e9, values)
            marks.append(Line(f"{name}, ngspice", x, y, "#22262c", 1.2))
    for i, (side, rows) in enumerate(zip(sides, one.rows, strict=True)):
        end_ns = (rows.step + rows.periods) * period_ns
        if one.kind.is_level:
            marks.append(_line(side, end_ns, rows.outputs[:, 0], dash=i == 1))
            continue
        at = event_times_s(rows, one.kind.period_ps)[rows.fired & ~rows.merged] * 1e9
        height = np.full(len(at), 1.0 if wave is None else 1.62)
        marks += [_stems(side, at, height + 0.12 * i), *_dots(side, at, height + 0.12 * i)]
    title = f"{one.kind.name}, unit {one.unit}, sample {one.sample}: {percent(one.error_pct)}"
    y = (
        Axis(f"output ({one.kind.unit})")
        if one.kind.is_level or wave
        else Axis("event", 0, 1.3, ticks=((0, ""),))
    )
    return Panel(title, Axis("time (ns)"), y, tuple(marks))


def _stems(side: Side, at: Floats, height: Floats) -> Line:
    gap = np.full(len(at), np.nan)
    x, y = np.stack([at, at, gap], axis=1), np.stack([np.zeros(len(at)), height, gap], axis=1)
    return Line("", x.ravel(), y.ravel(), side.colour, 1)


def _dots(side: Side, at: Floats, height: Floats) -> list[Mark]:
    return [Points(side.name, at, height, side.colour, 7, "diamond")]


def _energy(one: Worst, sides: tuple[Side, ...]) -> Panel:
    values = [rows.supply_j + rows.input_j for rows in one.rows]
    scale = scale_for(np.concatenate(values), "J")
    period_ns = seconds(one.kind.period_ps) * 1e9
    marks = [
        _line(side, rows.step * period_ns, energy * scale.factor, dash=i == 1)
        for i, (side, rows, energy) in enumerate(zip(sides, one.rows, values, strict=True))
    ]
    return Panel("", Axis("time (ns)"), Axis(f"energy per step ({scale.unit})"), tuple(marks))


def _line(side: Side, x: Floats, y: Floats, *, dash: bool) -> Line:
    return Line(side.name, x, y, side.colour, 2.2 if not dash else 1.6, dash=dash, steps=True)

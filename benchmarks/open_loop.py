"""An independent look at a unit: one continuous transient whose energy ngspice itself integrates in the deck.

Nothing here comes from the ngspice bank but the solver processes: the netlist is rendered, the stimulus
written and the events found on other paths. The power of the sources flows into 1 pF (1 V is 1 pJ).
"""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from jinja2 import Template
from numpy.typing import NDArray

from simcore.bank import Floats
from simcore.clock import PS_PER_S, seconds
from simcore.ledger import TraceRows
from simcore.spec import CircuitSpec, PortKind, PortSpec
from spice_ref.tasks import Solver

GROUPS = {"supply": ("supply", "bias"), "input": ("input",)}
"""Energy in the ledger -> classes of source elements that it adds up."""
PICO = 1e-12
SAMPLE_PS = 1
"""A settled output is read this long before the edge."""


@dataclass(frozen=True, slots=True)
class Steps:
    """What the ledger says that one unit did over a whole run, one row per bank step."""

    params: Floats
    """(n_param,)"""
    step: NDArray[np.int64]
    """(n + 1,) period in which each step starts, and the end of the run."""
    driven: NDArray[np.bool_]
    """(n,)"""
    inputs: Floats
    """(n, n_in)"""


@dataclass(frozen=True, slots=True)
class Observed:
    """What the transient of one unit showed."""

    energy_j: Floats
    """(2,) supply and input energy over the run, from the integrators in the deck."""
    n_events: NDArray[np.int64]
    """(n,) events found in the raw waveform within each of the unit's steps."""
    event_s: Floats
    """(n,) time of the first of them since the start of the run, NaN without one."""


@dataclass(frozen=True, slots=True)
class Continuous:
    """Run one unit's deck; answered by an Observed."""

    deck: str
    edges_s: Floats
    """(n + 1,) where the unit's steps begin, and the end."""
    output: PortSpec
    label: str = "continuous transient of one unit"
    params: str = ""

    @property
    def duration_ps(self) -> int:
        """End of the transient."""
        return round(float(self.edges_s[-1]) * PS_PER_S)

    def run(self, solver: Solver) -> Observed:
        """Run it and read off integrators and events."""
        vectors = solver.run(self.deck, self.duration_ps / PS_PER_S)
        energy = np.array([vectors[f"joule_{group}"][-1] for group in GROUPS]) * PICO
        times = _events(vectors["time"], vectors[self.output.columns[0].lower()], self)
        row = np.searchsorted(self.edges_s, times, side="right") - 1
        first = np.full(len(self.edges_s) - 1, np.nan)
        first[row[::-1]] = times[::-1]
        return Observed(energy, np.bincount(row, minlength=len(first)), first)


def steps_of(rows: TraceRows, lane: int, unit: int, params: Floats, n_steps: int) -> Steps:
    """Return one unit's steps from a trace; ValueError unless they cover the run once, without a hole."""
    rows = rows.take((rows.lane == lane) & (rows.unit == unit))
    rows = rows.take(np.argsort(rows.step))
    edges = np.concatenate([[0], rows.step + rows.periods])
    if not np.array_equal(rows.step, edges[:-1]) or edges[-1] != n_steps:
        raise ValueError(f"the ledger's steps of unit {unit} do not cover periods 0..{n_steps}: {edges}")
    return Steps(params, edges, ~rows.idle, rows.inputs)


def continuous(spec: CircuitSpec, steps: Steps, accuracy: str) -> Continuous:
    """Return the transient that drives a fresh circuit as the ledger says that the unit was driven."""
    edges_s = (steps.step * seconds(spec.period_ps)).astype(np.float64)
    return Continuous(_deck(spec, steps, accuracy), edges_s, spec.of(PortKind.OUTPUT)[0])


def _deck(spec: CircuitSpec, steps: Steps, accuracy: str) -> str:
    netlist = Template(spec.netlist).render(spec.sizes) if spec.sizes else spec.netlist
    preset = spec.solver[accuracy]
    pins = [name for kind in (PortKind.INPUT, PortKind.OUTPUT) for name in spec.columns(kind)]
    names = spec.columns(PortKind.PARAM)
    values = " ".join(f"{name}={value!r}" for name, value in zip(names, steps.params.tolist(), strict=True))
    sources = _sources(spec, netlist)
    lines = [
        f"* {spec.name}: continuous transient with integrators", spec.device_models, netlist,
        ".options " + " ".join(f"{key}={value}" for key, value in preset.options.items()),
        f"x0 {' '.join(pins)} {spec.subckt} {values}",
    ]  # fmt: skip
    ports = [port for port in spec.of(PortKind.INPUT) for _ in port.columns]
    for i, (pin, port) in enumerate(zip(spec.columns(PortKind.INPUT), ports, strict=True)):
        lines.append(f"vstim{i} {pin} 0 {_stimulus(port, i, steps, spec.period_ps)}")
    for group, classes in GROUPS.items():
        terms = [power for found, power in sources if found in classes]
        lines += [
            f"b_{group} 0 joule_{group} i=" + "\n+ ".join(terms or ["0"]),
            f"c_{group} joule_{group} 0 1p",
        ]
    stop_ps = int(steps.step[-1]) * spec.period_ps
    lines += [
        ".ic " + " ".join(f"v(joule_{group})=0" for group in GROUPS),
        f".tran {preset.tstep_ps}p {stop_ps}p 0 {preset.tmax_ps}p", ".end",
    ]  # fmt: skip
    return "\n".join(lines)


def _sources(spec: CircuitSpec, netlist: str) -> list[tuple[str, str]]:
    """Return class and delivered power of each source that pays, the stimuli among them."""
    body = {
        line.split()[0].lower(): line.split()[1:3] for line in netlist.splitlines() if len(line.split()) > 2
    }
    found = []
    for name, group in spec.sources.items():
        if group == "load":
            continue
        if not re.fullmatch(r"v\w+", name) or name not in body:
            raise ValueError(f"{spec.name}: source '{name}' is no voltage source of the top level")
        plus, minus = (node.lower() if node == "0" else f"x0.{node.lower()}" for node in body[name])
        found.append((group, f"-v({plus},{minus})*i(v.x0.{name})"))
    pins = enumerate(spec.columns(PortKind.INPUT))
    return [*found, *(("input", f"-v({pin.lower()})*i(vstim{i})") for i, pin in pins)]


def _stimulus(port: PortSpec, column: int, steps: Steps, period_ps: int) -> str:
    """Return what drives one input column: packets at the driven edges, or levels that change there."""
    assert port.rise_ps is not None
    assert port.reset is not None
    corners = [(0, port.reset)]
    for start, driven, value in zip(
        (steps.step * period_ps).tolist(),
        steps.driven.tolist(),
        steps.inputs[:, column].tolist(),
        strict=False,
    ):
        if not driven or value == corners[-1][1]:
            continue
        corners += [(start, corners[-1][1]), (start + port.rise_ps, value)]
        if port.stimulus == "pulse":
            assert port.width_ps is not None
            end = start + port.width_ps
            corners += [(end, value), (end + port.rise_ps, port.reset)]
    ramps = [f"{t}p {v!r}" for i, (t, v) in enumerate(corners) if i == 0 or t > corners[i - 1][0]]
    return f"dc {port.reset!r}" if len(ramps) == 1 else "pwl(" + "\n+ ".join(ramps) + ")"


def _events(time: Floats, values: Floats, task: Continuous) -> Floats:
    """Return the times of all events in a raw waveform, (n,)."""
    detector = task.output.detector
    assert detector is not None
    if detector.kind == "crossing":
        assert detector.threshold is not None
        return _rises(time, values - detector.threshold)
    if detector.kind != "settled":
        raise ValueError(f"no independent detector of kind '{detector.kind}'")
    assert detector.min_swing is not None
    at: list[float] = []
    for start, end in zip(task.edges_s[:-1], task.edges_s[1:] - SAMPLE_PS / PS_PER_S, strict=True):
        before, after = np.interp([start, end], time, values)
        if abs(after - before) >= detector.min_swing:
            inside = (time > start) & (time < end)
            t, v = time[inside], (values[inside] - before) / (after - before)
            at.append(float(_rises(t, v - 0.9)[-1]))
    return np.array(at)


def _rises(time: Floats, signal: Floats) -> Floats:
    """Return the times at which a signal rises through zero, interpolated."""
    above: NDArray[Any] = signal >= 0
    i = np.flatnonzero(~above[:-1] & above[1:])
    return np.asarray(time[i] - signal[i] * (time[i + 1] - time[i]) / (signal[i + 1] - signal[i]))

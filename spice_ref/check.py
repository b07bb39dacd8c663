"""`circuit check`: does a circuit keep the rules on sources, rails and events that its figures rest on?"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from simcore.bank import Floats, Raster, StepResult
from simcore.progress import scaled
from simcore.spec import CircuitSpec, Detector, PortKind
from spice_ref.bank import Bench, joined
from spice_ref.deck import edges_ps
from spice_ref.farm import TIMEOUT_S
from spice_ref.measure import Measured, Probe, measure
from spice_ref.netlist import SOURCES, Element, source_class
from spice_ref.noise import Noise, noise_of
from spice_ref.probe import branch
from spice_ref.queue import open_queue
from spice_ref.stimuli import KINDS, draw_raster

OFFSETS_V = (0.0, -0.1, 0.1)
"""Shifts of an event detector's threshold."""
INSENSITIVE = 0.01
"""Events may change by less than this share for each shift, on random and on dense stimuli."""
LATE = 0.001
"""Share of events that may fall behind the tail."""
DELIVERS = 1e-3
"""Share of the circuit's energy above which a `load`, or an element without class, counts as a source."""
SHOWN_KINDS, SHOWN_STEPS = 3, 12
"""Stimuli whose waveforms are shown, and steps of each."""

Cell = str | int | float


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the report."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What `check_circuit` found; no problems means that the circuit keeps the rules."""

    circuit: str
    sources: Table
    """Energy that each source delivered, per kind of stimulus."""
    rails: Table
    """Nodes that left the supply range."""
    events: Table
    """Events at the detector's threshold and around it."""
    late: Table
    """Events by the step they fall in."""
    reset: Table
    """Operating point at reset."""
    shown: tuple["Shown", ...]
    """Waveforms of a few stimuli."""
    noise: tuple[Noise, ...]
    """The reference against itself; empty where it was not asked for."""
    problems: tuple[str, ...]

    def tables(self) -> tuple[Table, ...]:
        """Return all tables, in the order to show them."""
        return self.sources, self.rails, self.events, self.late, self.reset


@dataclass(frozen=True, slots=True)
class Shown:
    """One stimulus with its waveforms and what was read off them."""

    kind: str
    raster: Raster
    steps: StepResult
    vectors: Mapping[str, Floats]


@dataclass(frozen=True, slots=True)
class _Run:
    kind: str
    raster: Raster
    measured: Measured


def check_circuit(
    spec: CircuitSpec,
    *,
    runs: int = 6,
    steps: int = 100,
    seed: int = 1,
    workers: int = 0,
    accuracy: str = "std",
    noise: bool = False,
    cluster: str | None = None,
    timeout_s: float = TIMEOUT_S,
    progress: Callable[[float], None] = lambda _: None,
) -> CheckReport:
    """Check a circuit on `runs` random rasters of each kind; `noise` measures the reference's own on them.

    Raises CircuitError where manifest and netlist do not fit, SolverError where ngspice fails; broken rules
    are the report's `problems`.
    """
    drawn = [draw_raster(spec, run, steps, seed, kind) for kind in KINDS for run in range(runs)]
    rasters = [raster for _, raster in drawn]
    share = 0.1 if noise else 0.95
    with open_queue(workers, timeout_s, cluster) as queue:
        bench = Bench(spec, accuracy, queue)
        sources = tuple(element for element in bench.elements if element.kind in SOURCES)
        found = _replayed(bench, _probe(bench.probe, sources), drawn, scaled(progress, 0.0, share))
        shown = _shown(bench, drawn)
        rest = scaled(progress, share, 1 - share)
        moved = noise_of(spec, rasters, queue, accuracy, rest) if noise else []
        reset = _reset(bench)
    energies, unpaid = _sources(spec, sources, found)
    rails, outside = _rails(found)
    events, sensitive = _events(bench.probe, found)
    late, behind = _late(spec, found)
    unknown = [] if bench.probe.rails else ["no V element is classed 'supply': excursions were not counted"]
    problems = (*unpaid, *unknown, *outside, *sensitive, *behind)
    return CheckReport(spec.name, energies, rails, events, late, reset, shown, tuple(moved), problems)


def _replayed(
    bench: Bench, probe: Probe, drawn: Sequence[tuple[str, Raster]], progress: Callable[[float], None]
) -> list[_Run]:
    found: list[_Run] = []
    for place, trace, _ in bench.replay([raster for _, raster in drawn], probe):
        found.append(_Run(*drawn[place], trace.measured))
        progress(len(found) / len(drawn))
    return found


def _reset(bench: Bench) -> Table:
    (point,) = bench.points(bench.spec.default_params[None])
    names = bench.spec.columns(PortKind.STATE) + bench.spec.columns(PortKind.OUTPUT)
    nodes = (*bench.probe.states, *bench.probe.outputs)
    rows = tuple((name, point[node]) for name, node in zip(names, nodes, strict=True))
    return Table("Reset point at default parameters (V)", ("node", "V"), rows)


def _shown(bench: Bench, drawn: Sequence[tuple[str, Raster]]) -> tuple[Shown, ...]:
    """Run the first steps of the first raster of some kinds once more, keeping all waveforms."""
    spec = bench.spec
    first: dict[str, Raster] = {}
    for kind, raster in drawn:
        first.setdefault(kind, raster.take(slice(SHOWN_STEPS)))
    chosen = dict(list(first.items())[:SHOWN_KINDS])
    vectors = bench.queue.map([bench.waveforms(raster) for raster in chosen.values()])
    return tuple(
        Shown(
            kind, raster, joined([measure(bench.probe, curves, edges_ps(raster.duration_ps))], spec), curves
        )
        for (kind, raster), curves in zip(chosen.items(), vectors, strict=True)
    )


def _probe(standard: Probe, sources: Sequence[Element]) -> Probe:
    """Return a probe of every source element apart, and of every detector at shifted thresholds."""
    detectors = tuple((node, _shifted(found, by)) for by in OFFSETS_V for node, found in standard.detectors)
    return replace(standard, groups=tuple((branch(element),) for element in sources), detectors=detectors)


def _shifted(detector: Detector, by_v: float) -> Detector:
    if detector.threshold is None:
        return detector
    return detector.model_copy(update={"threshold": detector.threshold + by_v})


def _of(found: Sequence[_Run], kind: str) -> list[_Run]:
    return [run for run in found if run.kind == kind]


def _sources(spec: CircuitSpec, sources: Sequence[Element], found: Sequence[_Run]) -> tuple[Table, list[str]]:
    """Energy of each source per kind of stimulus; a problem for what delivers and must not."""
    energy = {kind: np.concatenate([r.measured.energy_j for r in _of(found, kind)], axis=1) for kind in KINDS}
    paid = [source_class(spec, element) not in (None, "load") for element in sources]
    ports = {f"v_{name.lower()}": port.name for port in spec.of(PortKind.INPUT) for name in port.columns}
    totals: dict[tuple[str, str], Floats] = {}
    problems: list[str] = []
    for i, element in enumerate(sources):
        group = source_class(spec, element)
        row = (ports.get(element.name, element.local), group or "(none)")
        totals[row] = totals.get(row, 0.0) + np.array([energy[kind][i].sum() for kind in KINDS])
        if paid[i]:
            continue
        delivered = sum(float(np.maximum(energy[kind][i], 0).sum()) for kind in KINDS)
        if delivered > DELIVERS * sum(float(np.abs(energy[kind][paid]).sum()) for kind in KINDS):
            told = "is classed 'load' but" if group else "has no class in [sources] and"
            problems.append(f"element '{element.local}' {told} delivers {delivered:.3g} J")
    columns = ("source", "class", *(f"{kind} (J)" for kind in KINDS))
    rows = tuple((*row, *total.tolist()) for row, total in totals.items())
    return Table("Energy delivered by each source element or input port", columns, rows), problems


def _rails(found: Sequence[_Run]) -> tuple[Table, list[str]]:
    rows: list[tuple[Cell, ...]] = []
    for kind in KINDS:
        counts = np.concatenate([run.measured.excursions for run in _of(found, kind)])
        rows.append((kind, len(counts), int(counts.sum()), int((counts > 0).sum())))
    problems = [f"{row[0]}: {row[2]} rail excursions over 0.1 V" for row in rows if row[2]]
    columns = ("stimuli", "steps", "excursions", "steps with one")
    return Table("Nodes that leave the supply range by more than 0.1 V", columns, tuple(rows)), problems


def _events(probe: Probe, found: Sequence[_Run]) -> tuple[Table, list[str]]:
    """Events per shifted threshold, the shift of each detector by -100 mV and +100 mV."""
    rows: list[tuple[Cell, ...]] = []
    problems: list[str] = []
    for i, (node, detector) in enumerate(probe.detectors):
        if detector.threshold is None:
            if not any(run.measured.fired[i].any() for run in found):
                problems.append(
                    f"output '{node}': no event at all; it never changes by min_swing = "
                    f"{detector.min_swing:g} within a step"
                )
            continue
        for kind in KINDS:
            fired = [run.measured.fired[i :: len(probe.detectors)] for run in _of(found, kind)]
            counts = np.concatenate(fired, axis=1).sum(axis=1)
            if not counts[0] and kind != "sparse":
                problems.append(f"output '{node}', {kind}: no event at all; the threshold is never crossed")
            changes = [float(count / counts[0] - 1) if counts[0] else np.nan for count in counts[1:]]
            rows.append((node, kind, *counts.tolist(), *(100 * change for change in changes)))
            worst = max(map(abs, changes), default=0.0)
            if kind != "sparse" and worst >= INSENSITIVE:
                problems.append(
                    f"output '{node}', {kind}: events change by {worst:.1%} for a shift of 100 mV"
                )
    columns = ("output", "stimuli", "events", "at -100 mV", "at +100 mV", "change (%)", "change (%)")
    return Table("Events against the detector's threshold", columns, tuple(rows)), problems


def _late(spec: CircuitSpec, found: Sequence[_Run]) -> tuple[Table, list[str]]:
    """Events by idle periods since the last driven step; those behind the tail are late."""
    n_standard = spec.width(PortKind.OUTPUT)
    since: list[Floats] = []
    for run in found:
        fired = run.measured.fired[:n_standard].any(axis=0)
        since.append(_idle_periods(spec, run.raster)[fired])
    events = np.concatenate(since) if since else np.zeros(0)
    late = int((events > spec.tail_periods).sum())
    share = late / len(events) if len(events) else 0.0
    rows: list[tuple[Cell, ...]] = [(f"idle period {n}", int((events == n).sum())) for n in range(1, 4)]
    rows = [("driven", int((events == 0).sum())), *rows, ("later", int((events > 3).sum()))]
    rows.append((f"late (behind tail_periods = {spec.tail_periods})", late))
    told = f"{late} of {len(events)} events are late ({share:.2%}, at most {LATE:.1%}): raise tail_periods"
    return Table("Events by the step they fall in", ("step", "events"), tuple(rows)), [told] * (share > LATE)


def _idle_periods(spec: CircuitSpec, raster: Raster) -> Floats:
    """Return how many idle periods lie before the end of each row since it was driven, (n,)."""
    count = 0
    counts = []
    for idle, duration in zip(raster.idle.tolist(), raster.duration_ps.tolist(), strict=True):
        count = count + duration // spec.period_ps if idle else 0
        counts.append(count)
    return np.array(counts, np.float64)

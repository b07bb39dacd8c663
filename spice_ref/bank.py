"""The ngspice bank: closed-loop steps by hand-off of the full solver state, open-loop replays.

A step is a pure job: (deck, all node voltages, previous levels, inputs, duration) -> (all node voltages,
outputs, energies). The deck's text holds all of it, so equal texts are run once, and may come from the cache.
The state is handed on by `.ic` of every node that no source fixes, without `uic`: within 0.12 mV and 0.03 %
of one long transient. A static circuit is answered by sweeps of operating points instead.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from simcore.bank import BankRequest, Floats, Raster, RasterResult, StepInput, StepResult
from simcore.errors import CircuitError, ContractError, ScenarioError
from simcore.manifest import explain
from simcore.spec import CircuitSpec, PortKind, Record
from spice_ref.deck import Decks, edges_ps
from spice_ref.farm import TIMEOUT_S
from spice_ref.measure import Measured, Probe
from spice_ref.netlist import Element, held_nodes, read_elements
from spice_ref.probe import standard_probe
from spice_ref.queue import JobQueue, open_queue
from spice_ref.static import StaticReplay
from spice_ref.sweep import Sweep
from spice_ref.tasks import Listing, Point, Task, Trace, Transient, Waveforms


class SpiceOptions(Record):
    """Options of the `spice` back end."""

    accuracy: str = "std"
    """Solver preset of the circuit: std or gold."""
    workers: int = Field(default=0, ge=0)
    """Solver processes; 0 means all cores."""
    timeout_s: float = Field(default=TIMEOUT_S, gt=0)
    """Wall time that a solver job may take per 500 ns of simulated time, 500 ns at least."""
    failed_dir: str | None = None
    """Folder for decks of failed jobs; default is in the user cache."""
    cache: str = "auto"
    """Folder of stored results; `auto`: $SIMCORE_CACHE or the user's cache folder; `off`: none."""
    cluster: str | None = None
    """Address of a Dask scheduler that runs the jobs instead of this machine's cores."""


def read_options(table: Mapping[str, Any], spec: CircuitSpec) -> SpiceOptions:
    """Check the options of the `spice` back end for a circuit; raises ScenarioError."""
    try:
        options = SpiceOptions.model_validate(dict(table))
    except ValidationError as error:
        raise ScenarioError(f"options of back end 'spice': {explain(error, SpiceOptions)}") from error
    if options.accuracy not in spec.solver:
        known = ", ".join(spec.solver)
        raise ScenarioError(
            f"options of back end 'spice': accuracy '{options.accuracy}' is unknown to circuit "
            f"'{spec.name}', which has: {known}"
        )
    return options


def queue_of(options: SpiceOptions, base: Path) -> JobQueue:
    """Open the queue that the options describe; relative paths start from `base`."""
    failed = None if options.failed_dir is None else base / Path(options.failed_dir)
    return open_queue(options.workers, options.timeout_s, options.cluster, options.cache, failed, base)


def open_bank(request: BankRequest) -> "SpiceBank":
    """Open the bank of the `spice` back end; raises ScenarioError, CircuitError or SolverError."""
    options = read_options(request.options, request.spec)
    queue = queue_of(options, request.base)
    try:
        return SpiceBank(Bench(request.spec, options.accuracy, queue), request.params)
    except BaseException:
        queue.close()
        raise


class Bench:
    """One circuit at one accuracy on a queue: its decks, its elements, what is read off it."""

    def __init__(self, spec: CircuitSpec, accuracy: str, queue: JobQueue) -> None:
        """Render, let ngspice flatten the netlist, and check it against the manifest."""
        self.spec = spec
        self.accuracy = accuracy
        self.queue = queue
        self.decks = Decks(spec, accuracy)
        (lines,) = queue.map([Listing(self.decks.point(spec.default_params), f"netlist of {spec.name}")])
        if isinstance(lines, str):
            raise CircuitError(f"{spec.folder}: {lines}")
        self.elements: tuple[Element, ...] = read_elements(spec, lines)
        self.probe = standard_probe(spec, self.elements)

    def points(self, params: Floats) -> list[Mapping[str, float]]:
        """Return the reset operating point of each row of params, node voltages by name."""
        label = f"{self.spec.name} reset"
        return self.queue.map([Point(self.decks.point(row), label, self.told(row)) for row in params])

    def replay(
        self,
        rasters: Iterable[Raster],
        probe: Probe | None = None,
        on_failure: Callable[[int], None] = lambda _: None,
    ) -> Iterator[tuple[int, Trace, float]]:
        """Yield (place, trace, CPU seconds) of each raster as they come, each one continuous transient.

        `on_failure` is called with the place of each that failed. Those of a static circuit are sweeps of
        operating points.
        """
        chosen = probe or self.probe
        task = self.sweep if self.spec.kind == "static" else self.transient
        return self.queue.as_completed((task(raster, chosen) for raster in rasters), on_failure)

    def transient(self, raster: Raster, probe: Probe, shift_ps: int = 0) -> Transient:
        """Return the job of one continuous transient over a raster, all its edges `shift_ps` later."""
        return Transient(
            self.decks.raster(raster, probe.saves, shift_ps), f"{self.spec.name} replay",
            edges_ps(raster.duration_ps) + shift_ps, probe, params=self.told(raster.params),
        )  # fmt: skip

    def sweep(self, raster: Raster, probe: Probe) -> Sweep:
        """Return the job of the operating points of a raster, the one at reset first."""
        points = np.vstack([self.spec.reset_inputs, raster.inputs])
        return Sweep(
            self.decks.sweep(raster.params, points, probe.saves), f"{self.spec.name} operating points",
            raster.duration_ps, probe, self.told(raster.params),
        )  # fmt: skip

    def waveforms(self, raster: Raster) -> Waveforms:
        """Return the job that keeps all waveforms of a raster, source currents included."""
        deck = self.decks.raster(raster, self.probe.saves)
        label = f"{self.spec.name} waveforms"
        return Waveforms(deck, label, int(raster.duration_ps.sum()), self.told(raster.params))

    def latencies(self, rasters: Iterable[Raster]) -> Iterator[tuple[int, Floats]]:
        """Yield (place, latency of each step) of rasters of a static circuit, each by a transient."""
        tasks = (self.transient(raster, self.probe) for raster in rasters)
        for place, trace, _ in self.queue.as_completed(tasks):
            yield place, joined([trace.measured], self.spec).latency_s

    def provenance(self) -> dict[str, Any]:
        """Return what made the figures."""
        preset = self.spec.solver[self.accuracy]
        return {
            "backend": "spice", "solver": f"ngspice {self.queue.version}", "circuit": self.spec.name,
            "spec_hash": self.spec.hash, "accuracy": self.accuracy, "preset": preset.model_dump(),
            "cpu_s": self.queue.cpu_s, "n_jobs": self.queue.n_jobs, "n_cached": self.queue.n_cached,
        }  # fmt: skip

    def told(self, params: Floats) -> str:
        """Return the first parameters of a unit, for messages."""
        names = self.spec.columns(PortKind.PARAM)
        shown = [f"{name}={value:g}" for name, value in zip(names, params.tolist(), strict=True)]
        return ", ".join(shown[:6]) + (", ..." if len(shown) > 6 else "")


class SpiceBank:
    """An AnalogBank and OpenLoop on ngspice."""

    def __init__(self, bench: Bench, params: Floats) -> None:
        """Take over the bench; params (n_units, n_param). Call `reset` before `step`."""
        self.spec = bench.spec
        self.n_units = len(params)
        self.params = np.ascontiguousarray(params, np.float64).reshape(
            self.n_units, self.spec.width(PortKind.PARAM)
        )
        self._bench = bench
        self._probe = bench.probe
        self._fixed = held_nodes(bench.elements)
        self._nodes: tuple[str, ...] = ()
        self._rest: tuple[Floats, Floats] | None = None
        self._n_in = self.spec.width(PortKind.INPUT)
        self._voltages = np.zeros((self.n_units, 0))
        self._held = np.zeros((self.n_units, self._n_in))
        self._out_of_range = np.zeros(self.n_units, np.int64)
        self._excursions = np.zeros(self.n_units, np.int64)

    def reset(self) -> Floats:
        """Put every unit into its operating point, solved once per distinct row of params."""
        if self._rest is None:
            self._rest = self._solve_rest()
        voltages, outputs = self._rest
        self._voltages = voltages.copy()
        self._held = np.tile(self.spec.reset_inputs, (self.n_units, 1))
        self._out_of_range[:] = 0
        self._excursions[:] = 0
        return outputs.copy()

    def step(self, request: StepInput) -> StepResult:
        """Advance some units by one step each; equal jobs of the call are run once."""
        self._check(request)
        units, rest = request.units, self._bench.decks.rested(request.inputs)
        inputs = rest if request.idle else request.inputs
        tasks = [
            self._task(unit, inputs[row], int(request.duration_ps[row]))
            for row, unit in enumerate(units.tolist())
        ]
        rows: list[Trace] = self._bench.queue.map(tasks)
        for unit, trace in zip(units.tolist(), rows, strict=True):
            self._voltages[unit] = trace.voltages
            self._excursions[unit] += int(trace.measured.excursions[0])
        self._held[units] = rest
        self._out_of_range[units] += self._outside(inputs)
        return joined([trace.measured for trace in rows], self.spec)

    def replay(
        self, rasters: list[Raster], progress: Callable[[float], None] = lambda _: None
    ) -> list[RasterResult]:
        """Answer whole rasters, each distinct one by one transient from reset; the bank's own state stays.

        In a static circuit each distinct operating point is solved once, and each `latency_every`-th raster
        also runs as a transient, for its latencies.
        """
        if self.spec.kind == "static":
            results = self._replay_static(rasters, progress)
        else:
            found: dict[int, RasterResult] = {}
            for place, trace, _ in self._bench.replay(rasters):
                found[place] = raster_result(trace, self.spec)
                progress(len(found) / len(rasters))
            results = [found[place] for place in range(len(rasters))]
        return [
            replace(result, out_of_range=int(self._outside(raster.inputs).sum()))
            for raster, result in zip(rasters, results, strict=True)
        ]

    def _replay_static(self, rasters: list[Raster], progress: Callable[[float], None]) -> list[RasterResult]:
        timed = range(0, len(rasters), self.spec.latency_every) if self.spec.latency_every else range(0)
        plan = StaticReplay(self.spec, rasters)
        total = len(plan.sweeps) + len(timed)
        results = plan.run(self._bench.replay, lambda done: progress(done / total))
        measured = self._bench.latencies([rasters[place] for place in timed])
        for done, (place, latency_s) in enumerate(measured, len(plan.sweeps) + 1):
            results[timed[place]] = with_latency(results[timed[place]], latency_s)
            progress(done / total)
        return results

    def counters(self) -> Mapping[str, NDArray[np.int64]]:
        """Return inputs out of range, and nodes that left the rails, summed over steps since reset."""
        return {"out_of_range": self._out_of_range.copy(), "rail_excursions": self._excursions.copy()}

    def provenance(self) -> Mapping[str, Any]:
        """Return solver, version, preset, options, CPU seconds and jobs."""
        return self._bench.provenance()

    def close(self) -> None:
        """Stop the workers."""
        self._bench.queue.close()

    def _solve_rest(self) -> tuple[Floats, Floats]:
        """Return node voltages and outputs at reset, one row per unit."""
        distinct, row_of_unit = np.unique(self.params, axis=0, return_inverse=True)
        points = self._bench.points(distinct)
        remembers = points and self.spec.kind == "dynamic"
        self._nodes = tuple(node for node in points[0] if node not in self._fixed) if remembers else ()
        voltages = np.array([[point[node] for node in self._nodes] for point in points])
        outputs = np.array([[point[node] for node in self._probe.outputs] for point in points])
        rows = row_of_unit.reshape(-1)
        return voltages[rows], outputs[rows]

    def _task(self, unit: int, inputs: Floats, duration_ps: int) -> Task:
        voltages, held, params = self._voltages[unit], self._held[unit], self.params[unit]
        told = self._bench.told(params)
        shown = ", ".join(f"{value:g}" for value in inputs[:6])
        label = f"{self.spec.name} step of {duration_ps} ps from {held[:6]} to ({shown})"
        if self.spec.kind == "static":
            deck = self._bench.decks.sweep(params, np.stack([held, inputs]), self._probe.saves)
            return Sweep(deck, label, np.array([duration_ps]), self._probe, told)
        deck = self._bench.decks.step(params, self._nodes, voltages, held, inputs, duration_ps)
        return Transient(deck, label, np.array([0, duration_ps]), self._probe, self._nodes, told)

    def _outside(self, inputs: Floats) -> NDArray[np.bool_]:
        """Return which rows of inputs leave the declared range, (n,)."""
        low, high = self.spec.low(PortKind.INPUT), self.spec.high(PortKind.INPUT)
        return np.asarray(((inputs < low) | (inputs > high)).any(axis=1))

    def _check(self, request: StepInput) -> None:
        """Raise ContractError for a request that no engine may make."""
        units, period = request.units, self.spec.period_ps
        if self._rest is None:
            raise ContractError(f"bank '{self.spec.name}': step before reset")
        if len(units) and (units[0] < 0 or units[-1] >= self.n_units or (np.diff(units) <= 0).any()):
            raise ContractError(f"bank '{self.spec.name}': units must ascend within 0..{self.n_units - 1}")
        if request.inputs.shape != (len(units), self._n_in) or not np.isfinite(request.inputs).all():
            raise ContractError(
                f"bank '{self.spec.name}': inputs must be finite, shape ({len(units)}, {self._n_in}), "
                f"got {request.inputs.shape}"
            )
        if (request.duration_ps <= 0).any() or (request.duration_ps % period).any():
            raise ContractError(f"bank '{self.spec.name}': durations must be whole periods of {period} ps")
        levels = self.spec.holds_level
        if request.idle and (request.inputs[:, levels] != self._held[units][:, levels]).any():
            raise ContractError(
                f"bank '{self.spec.name}': an idle step must hold the levels of the step before"
            )


def joined(parts: Sequence[Measured], spec: CircuitSpec) -> StepResult:
    """Return what was measured as one StepResult; the latest event of a unit's outputs counts."""
    n_out, n_state = spec.width(PortKind.OUTPUT), spec.width(PortKind.STATE)
    energy = np.concatenate([np.zeros((2, 0)), *(part.energy_j for part in parts)], axis=1)
    latency = np.concatenate([np.zeros(0), *(np.fmax.reduce(part.latency_s, axis=0) for part in parts)])
    return StepResult(
        outputs=np.concatenate([np.zeros((0, n_out)), *(part.outputs for part in parts)]),
        state=np.concatenate([np.zeros((0, n_state)), *(part.state for part in parts)]),
        fired=np.concatenate([np.zeros(0, np.bool_), *(part.fired.any(axis=0) for part in parts)]),
        supply_j=energy[0],
        input_j=energy[1],
        latency_s=latency,
    )


def raster_result(trace: Trace, spec: CircuitSpec) -> RasterResult:
    """Return a replayed raster as rows of steps."""
    return RasterResult(
        trace.start_state,
        trace.start_outputs,
        joined([trace.measured], spec),
        rail_excursions=int(trace.measured.excursions.sum()),
    )


def with_latency(result: RasterResult, latency_s: Floats) -> RasterResult:
    """Return the same with the latencies that a transient measured, where something fired; latency_s (n,)."""
    fired = result.steps.fired
    steps = replace(result.steps, latency_s=np.where(fired, latency_s, np.nan))
    return replace(result, steps=steps)

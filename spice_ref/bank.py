"""The ngspice bank: closed-loop steps by hand-off of the full solver state, open-loop replays.

A step is a pure job: (deck, all node voltages, previous levels, inputs, duration) -> (all node voltages,
outputs, energies). The deck's text holds all of it, so equal texts are run once. The state is handed on by
`.ic` of every node that no source fixes, without `uic`: within 0.12 mV and 0.03 % of one long transient.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from spice_ref.farm import Farm
from spice_ref.measure import Measured, Probe
from spice_ref.netlist import Element, held_nodes, read_elements
from spice_ref.probe import standard_probe
from spice_ref.tasks import Listing, Point, Trace, Transient


class SpiceOptions(Record):
    """Options of the `spice` back end."""

    accuracy: str = "std"
    """Solver preset of the circuit: std or gold."""
    workers: int = Field(default=0, ge=0)
    """Solver processes; 0 means all cores."""
    timeout_s: float = Field(default=120.0, gt=0)
    """Wall time that a solver job may take per 500 ns of simulated time, 500 ns at least."""
    failed_dir: str | None = None
    """Folder for decks of failed jobs; default is in the user cache."""


def open_bank(request: BankRequest) -> "SpiceBank":
    """Open the bank of the `spice` back end; raises ScenarioError, CircuitError or SolverError."""
    try:
        options = SpiceOptions.model_validate(dict(request.options))
    except ValidationError as error:
        raise ScenarioError(f"options of back end 'spice': {explain(error, SpiceOptions)}") from error
    if options.accuracy not in request.spec.solver:
        known = ", ".join(request.spec.solver)
        raise ScenarioError(
            f"options of back end 'spice': accuracy '{options.accuracy}' is unknown to circuit "
            f"'{request.spec.name}', which has: {known}"
        )
    failed = None if options.failed_dir is None else request.base / Path(options.failed_dir)
    farm = Farm(options.workers, options.timeout_s, failed)
    try:
        return SpiceBank(Bench(request.spec, options.accuracy, farm), request.params)
    except BaseException:
        farm.close()
        raise


class Bench:
    """One circuit on a farm: its decks, its elements, what is read off it. Owns the farm."""

    def __init__(self, spec: CircuitSpec, accuracy: str, farm: Farm) -> None:
        """Render, let ngspice flatten the netlist, and check it against the manifest."""
        self.spec = spec
        self.accuracy = accuracy
        self.farm = farm
        self.decks = Decks(spec, accuracy)
        (lines,) = farm.map([Listing(self.decks.point(spec.default_params), f"netlist of {spec.name}")])
        if isinstance(lines, str):
            raise CircuitError(f"{spec.folder}: {lines}")
        self.elements: tuple[Element, ...] = read_elements(spec, lines)
        self.probe = standard_probe(spec, self.elements)

    def points(self, params: Floats) -> list[Mapping[str, float]]:
        """Return the reset operating point of each row of params, node voltages by name."""
        return self.farm.map([Point(self.decks.point(row), self._label("reset", row)) for row in params])

    def replay(
        self, rasters: Iterable[Raster], probe: Probe | None = None
    ) -> Iterator[tuple[int, Trace, float]]:
        """Yield (place, trace, CPU seconds) of each raster as they come."""
        chosen = probe or self.probe
        saves = chosen.saves
        tasks = (
            Transient(
                self.decks.raster(raster, saves), self._label("replay", raster.params),
                edges_ps(raster.duration_ps), chosen,
            )
            for raster in rasters
        )  # fmt: skip
        return self.farm.as_completed(tasks)

    def provenance(self) -> dict[str, Any]:
        """Return what made the figures."""
        preset = self.spec.solver[self.accuracy]
        return {
            "backend": "spice", "solver": f"ngspice {self.farm.version}", "circuit": self.spec.name,
            "spec_hash": self.spec.hash, "accuracy": self.accuracy, "preset": preset.model_dump(),
            "cpu_s": self.farm.cpu_s, "n_jobs": self.farm.n_jobs,
        }  # fmt: skip

    def _label(self, what: str, params: Floats) -> str:
        shown = [
            f"{n}={v:g}" for n, v in zip(self.spec.columns(PortKind.PARAM), params.tolist(), strict=True)
        ]
        return f"{self.spec.name} {what} ({', '.join(shown[:6])}{', ...' if len(shown) > 6 else ''})"


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
        distinct = {task.deck: task for task in tasks}
        answers: list[Trace] = self._bench.farm.map(list(distinct.values()))
        traces = dict(zip(distinct, answers, strict=True))
        rows = [traces[task.deck] for task in tasks]
        for unit, trace in zip(units.tolist(), rows, strict=True):
            self._voltages[unit] = trace.voltages
            self._excursions[unit] += int(trace.measured.excursions[0])
        self._held[units] = rest
        low, high = self.spec.low(PortKind.INPUT), self.spec.high(PortKind.INPUT)
        self._out_of_range[units] += ((inputs < low) | (inputs > high)).any(axis=1)
        return joined([trace.measured for trace in rows], self.spec)

    def replay(self, rasters: list[Raster]) -> list[RasterResult]:
        """Answer whole rasters, each distinct one by one transient from reset; the bank's own state stays."""
        distinct = {_key(raster): raster for raster in rasters}
        keys = list(distinct)
        results: dict[bytes, RasterResult] = {}
        for place, trace, _ in self._bench.replay(distinct.values()):
            results[keys[place]] = raster_result(trace, self.spec)
        return [results[_key(raster)] for raster in rasters]

    def counters(self) -> Mapping[str, NDArray[np.int64]]:
        """Return inputs out of range, and nodes that left the rails, summed over steps since reset."""
        return {"out_of_range": self._out_of_range.copy(), "rail_excursions": self._excursions.copy()}

    def provenance(self) -> Mapping[str, Any]:
        """Return solver, version, preset, options, CPU seconds and jobs."""
        return self._bench.provenance()

    def close(self) -> None:
        """Stop the workers."""
        self._bench.farm.close()

    def _solve_rest(self) -> tuple[Floats, Floats]:
        """Return node voltages and outputs at reset, one row per unit."""
        distinct, row_of_unit = np.unique(self.params, axis=0, return_inverse=True)
        points = self._bench.points(distinct)
        self._nodes = tuple(node for node in points[0] if node not in self._fixed) if points else ()
        voltages = np.array([[point[node] for node in self._nodes] for point in points])
        outputs = np.array([[point[node] for node in self._probe.outputs] for point in points])
        rows = row_of_unit.reshape(-1)
        return voltages[rows], outputs[rows]

    def _task(self, unit: int, inputs: Floats, duration_ps: int) -> Transient:
        voltages, held = self._voltages[unit], self._held[unit]
        deck = self._bench.decks.step(self.params[unit], self._nodes, voltages, held, inputs, duration_ps)
        shown = ", ".join(f"{value:g}" for value in inputs[:6])
        label = f"{self.spec.name} step of {duration_ps} ps from {held[:6]} to ({shown})"
        return Transient(deck, label, np.array([0, duration_ps]), self._probe, self._nodes)

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
        fired=~np.isnan(latency),
        supply_j=energy[0],
        input_j=energy[1],
        latency_s=latency,
    )


def raster_result(trace: Trace, spec: CircuitSpec) -> RasterResult:
    """Return a replayed raster as rows of steps."""
    return RasterResult(trace.start_state, trace.start_outputs, joined([trace.measured], spec))


def _key(raster: Raster) -> bytes:
    """Return what makes two rasters equal; silent units of a layer share one transient."""
    parts = (raster.params, raster.duration_ps, raster.inputs, raster.idle)
    return b"".join(part.tobytes() for part in parts)

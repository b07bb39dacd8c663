"""Runs a scenario: batches of samples through the engine into a RunResult."""

import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcore import ranges
from simcore.architecture import Batch, Layer, Network, check_network
from simcore.assembly import Assembly, assemble, backend_of, open_banks
from simcore.bank import OpenLoop
from simcore.engine import BankSlot, Engine
from simcore.errors import ResultError, ScenarioError, SimcoreError
from simcore.guard import GuardedBank
from simcore.ledger import Ledger, Masks
from simcore.result import BatchResult, ResultWriter, RunResult
from simcore.scenario import Scenario
from simcore.schedule import has_feedback, in_order, lock_step, run_ahead, scaled

Progress = Callable[[float], None]
"""Called with the share of the work that is done, 0..1."""
Rewire = Callable[[Network, Batch], Network]
"""Replaces the network of a batch, as the aligned view of a comparison does."""

Chosen = Mapping[str, NDArray[np.int64]]
"""Layer -> (n, 2): samples (index in the data set) and units whose rows are kept."""

SPICE_LANES = 8
"""Samples per engine run where ngspice answers: few, so that a failure loses little."""
LANES = 64


def run(
    scenario: Scenario,
    out: Path | None = None,
    *,
    trace: bool | Chosen = False,
    progress: Progress = lambda _: None,
    rewire: Rewire | None = None,
) -> RunResult:
    """Run a scenario and return its result; `out` gets `result.h5`, `summary.json` and `layers.csv`.

    `trace` keeps the rows of all units, or of some pairs of sample and unit, such as an audit chooses.
    Raises a UserError before anything runs if the scenario is wrong, a SolverError if ngspice fails; the
    samples finished before that stay in the file.
    """
    clock = _Stopwatch()
    assembly = assemble(scenario)
    directory = out or Path(tempfile.mkdtemp(prefix="simcore-"))
    provenance = _provenance(scenario)
    writer: ResultWriter | None = None
    n_finished = 0
    try:
        for first, batch in _batches(assembly):
            network = _network(assembly, batch, rewire)
            with closing_all(open_banks(scenario, network.layers, len(batch.samples))) as slots:
                if writer is None:
                    provenance["layers"] = _layer_info(scenario, network, slots)
                    writer = ResultWriter(directory, provenance)
                report = scaled(progress, first / scenario.samples, len(batch.samples) / scenario.samples)
                result = _run_batch(network, batch, slots, scenario, trace, report)
                provenance["banks"] = _bank_info(slots, provenance.get("banks"))
            writer.append(result)
            n_finished = first + len(batch.samples)
            writer.describe(provenance | clock.read(provenance["banks"]))
    except SimcoreError as error:
        if n_finished:
            error.add_note(
                f"the {n_finished} samples finished before that are kept: simcore report {directory}"
            )
        raise
    finally:
        if writer is not None:
            writer.close()
    return _finish(directory)


def rehearse(scenario: Scenario) -> tuple[Layer, ...]:
    """Open all that a run needs, step nothing, and return the layers; raises what the run would raise."""
    assembly = assemble(scenario)
    network = _network(assembly, assembly.batch(0, 1))
    with closing_all(open_banks(scenario, network.layers, 1)) as slots:
        _runs_ahead(scenario, network, slots)
        return network.layers


def _network(assembly: Assembly, batch: Batch, rewire: Rewire | None = None) -> Network:
    """Return the checked network of a batch; raises ContractError for one that cannot be run."""
    network = assembly.architecture.network(batch)
    network = rewire(network, batch) if rewire else network
    check_network(network)
    return network


class _Stopwatch:
    """Wall and CPU time of a run; the banks report the CPU time of their own worker processes."""

    def __init__(self) -> None:
        self._wall, self._cpu, self._solver = time.perf_counter(), time.process_time(), 0.0
        self._jobs = self._cached = 0

    def read(self, banks: list[dict[str, Any]]) -> dict[str, float]:
        """Add the solver time of one batch's banks and return the times so far.

        Results from a cache count with the solver time that they took when they were made.
        """
        self._solver += sum(float(bank.get("cpu_s", 0.0)) for bank in banks)
        self._jobs += sum(int(bank.get("n_jobs", 0)) for bank in banks)
        self._cached += sum(int(bank.get("n_cached", 0)) for bank in banks)
        return {
            "wall_s": time.perf_counter() - self._wall,
            "cpu_s": time.process_time() - self._cpu + self._solver,
            "solver_cpu_s": self._solver,
            "solver_jobs": self._jobs,
            "solver_jobs_cached": self._cached,
        }


@contextmanager
def closing_all(slots: list[BankSlot]) -> Iterator[list[BankSlot]]:
    """Close the banks at the end, whatever happens."""
    try:
        yield slots
    finally:
        for slot in slots:
            slot.bank.close()


def _batches(assembly: Assembly) -> list[tuple[int, Batch]]:
    scenario = assembly.scenario
    backends = {scenario.backend.default, *(layer.backend for layer in scenario.layers.values())}
    lanes = SPICE_LANES if "spice" in backends else LANES
    return [
        (first, assembly.batch(first, min(lanes, scenario.samples - first)))
        for first in range(0, scenario.samples, lanes)
    ]


def _run_batch(
    network: Network,
    batch: Batch,
    slots: list[BankSlot],
    scenario: Scenario,
    trace: bool | Chosen,
    progress: Progress,
) -> BatchResult:
    n_lanes = len(batch.samples)
    order = [layer.name for layer in network.layers]
    sizes = {layer.name: layer.n_units for layer in network.layers}
    kept = trace if isinstance(trace, bool) else _masks(trace, sizes, batch.samples)
    ledger = Ledger(sizes, n_lanes, kept)
    ahead = _runs_ahead(scenario, network, slots)
    engine = Engine(slots, order, n_lanes, ledger, scenario.merge_idle, by_layer=ahead)
    if ahead:
        run_ahead(network, engine, ledger, progress)
    else:
        steps = iter(range(1, network.n_steps + 1))
        period_ps = slots[0].bank.spec.period_ps
        lock_step(network, engine, ledger, period_ps, lambda: progress(next(steps) / network.n_steps))
    return BatchResult(
        samples=batch.samples,
        labels=batch.labels,
        scores=network.readout.scores(),
        layers=ledger.totals(),
        counters=engine.counters(),
        trace=ledger.trace(),
        is_whole=isinstance(trace, bool),
    )


def _masks(pairs: Chosen, sizes: Mapping[str, int], samples: NDArray[np.int64]) -> Masks:
    """Return which units of a batch are among the pairs."""
    masks = {}
    for layer, chosen in pairs.items():
        mask = np.zeros((len(samples), sizes[layer]), np.bool_)
        here = chosen[np.isin(chosen[:, 0], samples)]
        mask[np.searchsorted(samples, here[:, 0]), here[:, 1]] = True
        masks[layer] = mask
    return masks


def _runs_ahead(scenario: Scenario, network: Network, slots: list[BankSlot]) -> bool:
    """Decide for a schedule; raises ScenarioError where the scenario asks for one that cannot be."""
    if any(isinstance(slot.bank, GuardedBank) for slot in slots):
        if scenario.schedule == "lock_step":
            raise ScenarioError(
                f"{scenario.name}: the guard replays whole inputs of units; it needs schedule = 'run_ahead' "
                "or 'auto', got 'lock_step'"
            )
        in_order(network, remedy="go without the guard, which needs it")
        return True
    if scenario.schedule == "auto":
        return any(isinstance(slot.bank, OpenLoop) for slot in slots) and not has_feedback(network)
    if scenario.schedule == "run_ahead":
        in_order(network)
    return scenario.schedule == "run_ahead"


def _layer_info(scenario: Scenario, network: Network, slots: list[BankSlot]) -> dict[str, Any]:
    spec_of = {layer.name: slot.bank.spec for slot in slots for layer in slot.layers}
    made_by = {layer.name: slot.bank.provenance() for slot in slots for layer in slot.layers}
    return {
        layer.name: {
            "backend": backend_of(scenario, layer.name),
            "circuit": spec_of[layer.name].name,
            "spec": json.loads(spec_of[layer.name].model_dump_json(exclude={"netlist", "device_models"})),
            "n_units": layer.n_units,
            "is_encoder": layer.is_encoder,
            "digital_latency_s": _digital_latency(network, layer),
            "intervals": made_by[layer.name].get("intervals", []),
        }
        for layer in network.layers
    }


def _bank_info(slots: list[BankSlot], before: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    """Return the provenance of each bank and its layers; out-of-range reports are added to those `before`."""
    banks = []
    for slot, earlier in zip(slots, before or [{}] * len(slots), strict=True):
        bank = {"layers": [layer.name for layer in slot.layers], **slot.bank.provenance()}
        if "out_of_range" in bank:
            bank["out_of_range"] = ranges.added(earlier.get("out_of_range"), bank["out_of_range"])
        banks.append(bank)
    return banks


def _digital_latency(network: Network, layer: Layer) -> float:
    """Time from the layer's output until the digital logic behind it has taken it in."""
    readers = [x.stage.latency_s for x in network.layers if layer.name in x.sources]
    if layer is network.layers[-1]:
        readers.append(network.readout.latency_s)
    return max(readers, default=0.0)


def _provenance(scenario: Scenario) -> dict[str, Any]:
    packages = ("simcore-ams", "simpy", "numpy", "onnxruntime", "h5py")
    return {
        "scenario": scenario.name,
        "architecture": scenario.architecture.name,
        "backend": scenario.backend.default,
        "dataset": f"{scenario.dataset.name}/{scenario.dataset.split}",
        "seed": scenario.seed,
        "settings": json.loads(scenario.model_dump_json()),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(sys.argv),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "versions": {name: version(name) for name in packages},
        "wall_s": None,
        "cpu_s": None,
    }


def _finish(directory: Path) -> RunResult:
    result = RunResult(directory)
    text = json.dumps(result.summary(), indent=2, allow_nan=False)
    try:
        (directory / "summary.json").write_text(text + "\n", encoding="utf-8")
        result.layers().to_csv(directory / "layers.csv", index=False)
    except OSError as error:
        raise ResultError(f"cannot write into {directory}: {error}; {result.path} is whole") from error
    return result

"""One shard of a run: a batch of samples through the engine, here or in another process."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from simcore.architecture import Batch, Layer, Network, check_network
from simcore.assembly import Assembly, assemble, backend_of, open_banks
from simcore.bank import OpenLoop
from simcore.clock import seconds
from simcore.engine import BankSlot, Engine
from simcore.errors import ScenarioError
from simcore.floor import Desk, Floor, taken_in
from simcore.guard import GuardedBank
from simcore.ledger import Ledger, Masks
from simcore.result_writer import BatchResult
from simcore.scenario import Scenario
from simcore.schedule import has_feedback, in_order, lock_step, run_ahead

Progress = Callable[[float], None]
"""Called with the share of the work that is done, 0..1."""
Rewire = Callable[[Network, Batch], Network]
"""Replaces the network of a batch, as the aligned view of a comparison does."""
Chosen = Mapping[str, NDArray[np.int64]]
"""Layer -> (n, 2): samples (index in the data set) and units whose rows are kept."""


@dataclass(frozen=True, slots=True)
class Shard:
    """What a batch gave, with what made it."""

    result: BatchResult
    layers: Mapping[str, Any]
    """Layer -> provenance."""
    banks: list[dict[str, Any]]
    """Provenance of each bank."""
    remote_cpu_s: float = 0.0
    """CPU time that it took in another process; without solver processes."""


def run_shard(
    assembly: Assembly,
    first: int,
    n_lanes: int,
    trace: bool | Chosen,
    progress: Progress = lambda _: None,
    rewire: Rewire | None = None,
) -> Shard:
    """Run `n_lanes` samples from the `first` of the scenario on."""
    scenario = assembly.scenario
    batch = assembly.batch(first, n_lanes)
    network = _network(assembly, batch, rewire)
    # Products of matrices are small here: threads that wait for each other cost more than they bring.
    with threadpool_limits(1), closing_all(open_banks(scenario, network.layers, n_lanes)) as slots:
        layers = _layer_info(assembly, network, slots)
        result = _run_batch(assembly, network, batch, slots, trace, progress)
        banks = [
            {"layers": [layer.name for layer in slot.layers], **slot.bank.provenance()} for slot in slots
        ]
    return Shard(result, layers, banks)


def remote_shard(scenario: Scenario, first: int, n_lanes: int, trace: bool | Chosen) -> Shard:
    """Run a shard in a process that serves others, and say what it took."""
    start = time.thread_time()
    shard = run_shard(_assembled(scenario.model_dump_json()), first, n_lanes, trace)
    return replace(shard, remote_cpu_s=time.thread_time() - start)


@lru_cache(maxsize=1)
def _assembled(scenario: str) -> Assembly:
    return assemble(Scenario.model_validate_json(scenario))


def rows_per_sample(assembly: Assembly) -> int:
    """Return the steps of units in one sample, if all were driven in each period."""
    network = _network(assembly, assembly.batch(0, 1))
    return network.n_steps * sum(layer.n_units for layer in network.layers)


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


@contextmanager
def closing_all(slots: list[BankSlot]) -> Iterator[list[BankSlot]]:
    """Close the banks at the end, whatever happens."""
    try:
        yield slots
    finally:
        for slot in slots:
            slot.bank.close()


def _run_batch(
    assembly: Assembly,
    network: Network,
    batch: Batch,
    slots: list[BankSlot],
    trace: bool | Chosen,
    progress: Progress,
) -> BatchResult:
    n_lanes, scenario = len(batch.samples), assembly.scenario
    sizes = {layer.name: layer.n_units for layer in network.layers}
    kept = trace if isinstance(trace, bool) else _masks(trace, sizes, batch.samples)
    ledger = Ledger(sizes, n_lanes, kept)
    ahead = _runs_ahead(scenario, network, slots)
    engine = Engine(slots, n_lanes, ledger, merge_idle=scenario.merge_idle, by_layer=ahead)
    period_ps = slots[0].bank.spec.period_ps
    floor = Floor(assembly.components, n_lanes, contention=scenario.digital.contention, spans=trace is True)
    desk = Desk(network, floor, seconds(period_ps), n_lanes)
    if ahead:
        run_ahead(network, engine, ledger, progress, desk)
    else:
        steps = iter(range(1, network.n_steps + 1))
        lock_step(network, engine, ledger, period_ps, lambda: progress(next(steps) / network.n_steps), desk)
    totals = ledger.totals()
    behind = taken_in(network, floor, {name: each.last_event_s for name, each in totals.items()})
    ends_s = np.array([network.n_steps * seconds(period_ps) * np.ones(n_lanes)])
    done_s = np.array(
        [np.nan_to_num(each["taken_in_s"]) for each in behind.values()]
        + [each.done_s for each in floor.totals().values()]
    )
    return BatchResult(
        samples=batch.samples,
        labels=batch.labels,
        scores=network.readout.scores(),
        layers=totals,
        behind=behind,
        duration_s=np.concatenate([ends_s, done_s]).max(axis=0),
        spans=tuple(floor.spans),
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


def _layer_info(assembly: Assembly, network: Network, slots: list[BankSlot]) -> dict[str, Any]:
    scenario = assembly.scenario
    spec_of = {layer.name: slot.bank.spec for slot in slots for layer in slot.layers}
    made_by = {layer.name: slot.bank.provenance() for slot in slots for layer in slot.layers}
    return {
        layer.name: {
            "backend": backend_of(scenario, layer.name),
            "circuit": spec_of[layer.name].name,
            "spec": json.loads(spec_of[layer.name].model_dump_json(exclude={"netlist", "device_models"})),
            "n_units": layer.n_units,
            "is_encoder": layer.is_encoder,
            "parts": dict(layer.parts),
            "intervals": made_by[layer.name].get("intervals", []),
        }
        for layer in network.layers
    }

"""The ledger of a run on ngspice against one independent open-loop transient per unit.

A network runs in closed loop, step by step. Then each unit's inputs are read back from the trace and
driven into a fresh circuit in ONE continuous transient, whose energy ngspice integrates in the deck and whose
events are found in the raw waveform. Usage:

    python -m benchmarks.oracle --scenario scenarios/digits_spiking.toml --units 20 --out runs/oracle.json
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.open_loop import GROUPS, Observed, continuous, steps_of
from simcore.architecture import Batch, Network
from simcore.assembly import circuit_of, open_banks
from simcore.bank import Floats
from simcore.clock import PS_PER_S, seconds
from simcore.ledger import TraceRows
from simcore.result import RunResult
from simcore.run import run
from simcore.scenario import Scenario, load_scenario
from simcore.shard import closing_all
from simcore.terminal import console, progress_bar, table
from spice_ref.queue import open_queue

ENERGY = 0.005
"""Share by which the ledger may differ from the integrators."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit of a run on both ways."""

    layer: str
    lane: int
    unit: int
    ledger_j: Floats
    """(2,) supply and input energy"""
    oracle_j: Floats
    """(2,)"""
    events: int
    """Found in the raw waveform."""
    missed: int
    """Of these, those that the ledger has not in the same step (or has only once where there are two)."""
    extra: int
    """Events of the ledger where the waveform has none."""
    shift_s: Floats
    """(m,) difference in time of the events that both have."""


def check_run(
    scenario: Scenario, out: Path, n_units: int | None, accuracy: str, workers: int = 1, seed: int = 1
) -> tuple[RunResult, list[Unit]]:
    """Run a scenario on ngspice and check `n_units` random units (all if None) against the oracle."""
    networks: list[Network] = []

    def keep(network: Network, batch: Batch) -> Network:
        networks.append(network)
        return network

    with progress_bar() as show:
        result = run(
            scenario.with_backend("spice"), out, trace=True, rewire=keep, progress=show("closed loop")
        )
        network = networks[0]
        units = [
            (layer.name, lane, unit)
            for layer in network.layers
            for lane in result.samples.tolist()
            for unit in range(layer.n_units)
        ]
        picked = np.random.default_rng(seed).permutation(len(units))[:n_units]
        chosen = [units[i] for i in np.sort(picked)]
        checked = _observe(
            scenario, result, network, chosen, accuracy, workers, show("continuous transients")
        )
    return result, checked


def _observe(
    scenario: Scenario, result: RunResult, network: Network, chosen: list[tuple[str, int, int]],
    accuracy: str, workers: int, progress: Callable[[float], None],
) -> list[Unit]:  # fmt: skip
    params = _params(scenario, network)
    specs = {layer.name: circuit_of(scenario, layer.circuit) for layer in network.layers}
    rows = {name: result.trace(name) for name in result.layer_columns}
    tasks = [
        continuous(
            specs[layer], steps_of(rows[layer], lane, unit, params[layer][unit], network.n_steps), accuracy
        )
        for layer, lane, unit in chosen
    ]
    found: dict[int, Unit] = {}
    with open_queue(workers, cache="off") as queue:
        for place, observed, _ in queue.as_completed(tasks):
            layer = chosen[place][0]
            found[place] = against(*chosen[place], rows[layer], observed, specs[layer].period_ps)
            _check_totals(result, found[place])
            progress(len(found) / len(tasks))
    return [found[place] for place in range(len(tasks))]


def _params(scenario: Scenario, network: Network) -> dict[str, Floats]:
    """Return the parameters of each layer's units; the closed form is asked, as it opens at once."""
    params = {}
    with closing_all(open_banks(scenario.with_backend("ideal"), network.layers, 1)) as slots:
        for slot in slots:
            starts = np.cumsum([0, *(layer.n_units for layer in slot.layers)])
            for layer, start in zip(slot.layers, starts.tolist(), strict=False):
                params[layer.name] = slot.bank.params[start : start + layer.n_units]
    return params


def against(layer: str, lane: int, unit: int, rows: TraceRows, observed: Observed, period_ps: int) -> Unit:
    """Set what the ledger's rows say of one unit against what its continuous transient showed."""
    rows = rows.take((rows.lane == lane) & (rows.unit == unit))
    rows = rows.take(np.argsort(rows.step))
    both = rows.fired & (observed.n_events > 0)
    return Unit(
        layer, lane, unit, np.array([rows.supply_j.sum(), rows.input_j.sum()]), observed.energy_j,
        events=int(observed.n_events.sum()),
        missed=int((observed.n_events - both).sum()),
        extra=int((rows.fired & (observed.n_events == 0)).sum()),
        shift_s=np.abs(_event_times(rows, period_ps) - observed.event_s)[both],
    )  # fmt: skip


def _check_totals(result: RunResult, unit: Unit) -> None:
    """Raise ValueError unless the ledger's total of a unit is the sum of its rows."""
    place = int(np.flatnonzero(result.samples == unit.lane)[0])
    total = result.layer_columns[unit.layer]["unit_energy_j"][place, unit.unit]
    if abs(unit.ledger_j.sum() - total) > 1e-9 * abs(total):
        raise ValueError(f"{unit}: the ledger's rows and its total {total} J differ")


def _event_times(rows: TraceRows, period_ps: int) -> Floats:
    """Return when the ledger's events happened since the start of the run; it counts from the driven edge."""
    driven: NDArray[np.int64] = np.maximum.accumulate(np.where(rows.idle, 0, rows.step))
    return driven * seconds(period_ps) + rows.latency_s


def figures(units: list[Unit]) -> dict[str, Any]:
    """Return errors in percent (sum of |difference| over sum), the worst unit, and events."""
    ledger, oracle = (np.array([getattr(u, name) for u in units]) for name in ("ledger_j", "oracle_j"))
    parts = {name: (ledger[:, i], oracle[:, i]) for i, name in enumerate(GROUPS)}
    parts["total"] = ledger.sum(axis=1), oracle.sum(axis=1)
    shown: dict[str, Any] = {"units": len(units), "energy_pj": 1e12 * float(oracle.sum())}
    for name, (ours, theirs) in parts.items():
        scale = np.abs(theirs).sum()
        shown[f"{name}_error_pct"] = 100 * float(np.abs(ours - theirs).sum() / scale) if scale else None
        shown[f"{name}_bias_pct"] = 100 * float((ours - theirs).sum() / scale) if scale else None
    worst = np.abs(parts["total"][0] / parts["total"][1] - 1)
    shift = np.concatenate([unit.shift_s for unit in units]) * PS_PER_S
    return shown | {
        "worst_unit_pct": 100 * float(worst.max()),
        **{name: sum(getattr(unit, name) for unit in units) for name in ("events", "missed", "extra")},
        "event_shift_median_ps": float(np.median(shift)) if len(shift) else None,
        "event_shift_max_ps": float(shift.max()) if len(shift) else None,
    }


def main() -> None:
    """Run, print a table, write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenario", type=Path, default=Path("scenarios/digits_spiking.toml"))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as in `simcore run`")
    parser.add_argument("--units", type=int, default=20, help="random units; 0 means all")
    parser.add_argument("--accuracy", default="gold", help="solver preset of the oracle")
    parser.add_argument("--workers", type=int, default=1, help="solver processes of the oracle")
    parser.add_argument("--seed", type=int, default=1, help="seed of the choice of units")
    parser.add_argument("--out", type=Path, help="JSON file")
    args = parser.parse_args()
    scenario = load_scenario(args.scenario, args.set)
    with tempfile.TemporaryDirectory() as folder:
        _, units = check_run(
            scenario, Path(folder), args.units or None, args.accuracy, args.workers, args.seed
        )  # fmt: skip
    layers = dict.fromkeys(unit.layer for unit in units)
    groups = {"all": units} | {name: [u for u in units if u.layer == name] for name in layers}
    shown = {name: figures(group) for name, group in groups.items()}
    columns = list(shown["all"])
    rows = [[key, *(_cell(found[key]) for found in shown.values())] for key in columns]
    console.print(table(f"{scenario.name}: ledger against integrators ({args.accuracy})", ["", *shown], rows))
    holds = shown["all"]["total_error_pct"] <= 100 * ENERGY and shown["all"]["missed"] == 0
    console.print(f"within {ENERGY:.1%} and no event missed: {'yes' if holds else 'NO'}")
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        report = {"scenario": scenario.name, "accuracy": args.accuracy, "set": args.set, "layers": shown}
        args.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _cell(value: float | int | None) -> str:
    return "-" if value is None else f"{value:.4g}"


if __name__ == "__main__":
    main()

"""What ngspice costs per neuron and step: closed loop, open loop, and many neurons in one netlist (one run).

The same stimuli on one worker without a cache, in solver CPU seconds: (a) the closed-loop bank, step by step
by state hand-off; (b) the open-loop replay, one transient per neuron; (c) one netlist that holds `--together`
neurons, where each one's breakpoints and spikes force everybody's time step. Usage:

    python -m benchmarks.spice --units 16 --steps 100 --together 16 --out runs/spice.json
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.one_netlist import in_one_netlist
from simcore.bank import Raster, StepResult
from simcore.manifest import load_circuit
from simcore.metrics import event_error, relative_error
from simcore.replay import stepped
from simcore.spec import CircuitSpec
from simcore.terminal import console, table
from spice_ref.bank import Bench, SpiceBank, joined
from spice_ref.queue import JobQueue, open_queue

CIRCUIT = "lif_neuron"
REPEATS = 3
"""Each way is run so often, in turn; the fastest counts, and the spread is told."""


def stimuli(spec: CircuitSpec, units: int, steps: int, seed: int) -> list[Raster]:
    """Return rasters as a hidden layer sees them: sums of weights in two of three steps, default knobs."""
    rng = np.random.default_rng(seed)
    rasters = []
    for _ in range(units):
        driven = rng.random(steps) < 0.67
        driven[0] = True
        inputs = np.where(driven, rng.normal(0.3, 1.2, steps), 0.0).clip(-14, 14)
        duration = np.full(steps, spec.period_ps)
        rasters.append(Raster(spec.default_params, duration, inputs[:, None], ~driven))
    return rasters


def closed_loop(bench: Bench, queue: JobQueue, rasters: list[Raster]) -> tuple[list[StepResult], float]:
    """Step a bank; return its rows and CPU seconds."""
    bank = SpiceBank(bench, np.stack([raster.params for raster in rasters]))
    bank.reset()
    before = queue.cpu_s
    return stepped(bank, rasters), queue.cpu_s - before


def open_loop(bench: Bench, rasters: list[Raster]) -> tuple[list[StepResult], float]:
    """Replay; return rows and CPU seconds."""
    rows: dict[int, StepResult] = {}
    cpu_s = 0.0
    for place, trace, seconds in bench.replay(rasters):
        rows[place] = joined([trace.measured], bench.spec)
        cpu_s += seconds
    return [rows[place] for place in range(len(rasters))], cpu_s


def agreement(ours: list[StepResult], theirs: list[StepResult]) -> dict[str, Any]:
    """Return how far closed loop and open loop differ."""
    run = np.repeat(np.arange(len(ours)), [len(part.fired) for part in ours])
    fired, also = (np.concatenate([part.fired for part in side]) for side in (ours, theirs))
    energy = [np.concatenate([part.supply_j + part.input_j for part in side]) for side in (ours, theirs)]
    return {
        "events": int(fired.sum()),
        "event_error_pct": event_error(fired, also, fired | also, run).value_pct,
        "energy_error_pct": relative_error(energy[1], energy[0], run).value_pct,
    }


def measure(units: int, steps: int, together: int, seed: int, accuracy: str) -> dict[str, Any]:
    """Measure all three ways in turn and return CPU ms per neuron and step, with their spread."""
    spec = load_circuit(CIRCUIT)
    rasters = stimuli(spec, max(units, together), steps, seed)
    times: dict[str, list[float]] = {"closed_loop": [], "open_loop": [], "one_netlist": []}
    with open_queue(1, timeout_s=3600.0, cache="off") as queue:
        bench = Bench(spec, accuracy, queue)
        for _ in range(REPEATS):
            closed, seconds = closed_loop(bench, queue, rasters[:units])
            times["closed_loop"].append(1e3 * seconds / (units * steps))
            opened, seconds = open_loop(bench, rasters[:units])
            times["open_loop"].append(1e3 * seconds / (units * steps))
            before = queue.cpu_s
            (counts,) = queue.map([in_one_netlist(spec, bench, rasters[:together])])
            times["one_netlist"].append(1e3 * (queue.cpu_s - before) / (together * steps))
        version = queue.version
    best = {name: min(values) for name, values in times.items()}
    return {
        "circuit": CIRCUIT, "accuracy": accuracy, "ngspice": version, "units": units, "steps": steps,
        "together": together, "repeats": REPEATS,
        "ms_per_neuron_step": best,
        "spread_pct": {name: 100 * (max(v) / min(v) - 1) for name, v in times.items()},
        "netlist_over_open": best["one_netlist"] / best["open_loop"],
        "closed_over_open": best["closed_loop"] / best["open_loop"],
        "closed_against_open": agreement(closed, opened),
        "events_in_one_netlist": sum(counts),
        "events_open_loop_same_units": int(sum(part.fired.sum() for part in opened[:together])),
    }  # fmt: skip


def main() -> None:
    """Measure, show and store."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--units", type=int, default=16)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--together", type=int, default=16, help="neurons in the one netlist")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--accuracy", default="std")
    parser.add_argument("--out", type=Path, default=Path("runs/spice.json"))
    args = parser.parse_args()
    found = measure(args.units, args.steps, args.together, args.seed, args.accuracy)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    rows = [
        [name.replace("_", " "), f"{ms:.3g}", f"{found['spread_pct'][name]:.0f}",
         f"{ms / found['ms_per_neuron_step']['open_loop']:.2f}"]
        for name, ms in found["ms_per_neuron_step"].items()
    ]  # fmt: skip
    columns = ["way", "CPU ms per neuron and step", "spread (%)", "over open loop"]
    console.print(table(f"{CIRCUIT}, {args.accuracy}, {args.steps} steps", columns, rows))
    console.print(f"closed against open loop: {found['closed_against_open']}\nwritten: {args.out}")


if __name__ == "__main__":
    main()

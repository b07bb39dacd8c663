"""The closed-loop ngspice bank against an open-loop replay of the same stimuli, beside the reference's noise.

All kinds of random stimuli with random knobs. The noise is the open loop at `gold` against `std`, over the
first `--noise` of them. Usage:

    python -m benchmarks.closed_loop --circuit lif_neuron --stimuli 50 --steps 1000 --noise 10
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from simcore.manifest import load_circuit
from simcore.terminal import console, table
from simcore.units import percent
from spice_ref.noise import Noise, against, closed, replayed
from spice_ref.queue import open_queue
from spice_ref.stimuli import draw_raster


def measure(circuit: str, stimuli: int, steps: int, n_noise: int, seed: int, workers: int) -> list[Noise]:
    """Return closed loop against open loop over all stimuli, and gold against std over the first ones."""
    spec = load_circuit(circuit)
    rasters = [draw_raster(spec, run, steps, seed)[1] for run in range(stimuli)]
    with open_queue(workers, timeout_s=600.0) as queue:
        opened = replayed(spec, "std", rasters, queue)
        console.print(f"open loop: {opened.cpu_s:.0f} s CPU")
        stepped = closed(spec, "std", rasters, queue)
        console.print(f"closed loop: {stepped.cpu_s:.0f} s CPU")
        first = replayed(spec, "std", rasters[:n_noise], queue)
        gold = replayed(spec, "gold", rasters[:n_noise], queue)
    return [against(spec, "closed loop", opened, stepped), against(spec, "gold (noise)", first, gold)]


def main() -> None:
    """Measure, show and store."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--circuit", default="lif_neuron")
    parser.add_argument("--stimuli", type=int, default=50)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--noise", type=int, default=10)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/closed_loop.json"))
    args = parser.parse_args()
    found = measure(args.circuit, args.stimuli, args.steps, args.noise, args.seed, args.workers)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps([asdict(row) for row in found], indent=2) + "\n", encoding="utf-8")
    rows = [
        [row.variant, row.n_runs, percent(row.energy.value_pct), percent(row.latency.value_pct),
         percent(row.event.value_pct), percent(row.output.value_pct), f"{row.exact_runs}/{row.n_runs}",
         f"{row.ms_per_row:.3g}"]
        for row in found
    ]  # fmt: skip
    columns = [
        "against open loop, std",
        "stimuli",
        "energy",
        "latency",
        "event",
        "output",
        "exact",
        "ms/step",
    ]
    console.print(table(f"{args.circuit}, {args.steps} steps each", columns, rows))


if __name__ == "__main__":
    main()

"""How fast: the engine beside the published way, a compiled loop, the flop limit and ngspice, in one run.

    python -m benchmarks                    # everything, about half an hour; runs/speed.json, .csv, .png
    python -m benchmarks --quick            # small sizes and few samples, two minutes
    python -m benchmarks --write docs/performance.md

All times are CPU seconds of one thread, the least of REPEATS, but where wall time is named.
"""

import argparse
import json
import platform
from pathlib import Path
from typing import Any

import h5py
import onnxruntime
import pandas as pd

from benchmarks.speed import networks, peer, ways
from benchmarks.speed.cases import Case
from benchmarks.speed.page import picture, write_page
from simcore.terminal import console, progress_bar, table

SIZES = {
    "lif_neuron": (10, 100, 128, 1_000, 5_000, 10_000, 20_000, 200_000),
    "crossbar_row": (10, 100, 1_000, 5_000),
}
QUICK = {"lif_neuron": (10, 128, 1_000), "crossbar_row": (10, 100)}
FAMILIES = ("trunk", "distilled")
MOST_PUBLISHED = 20_000
"""Units up to which the published way is run."""
REPEATS = 3
SPICE_UNITS = 8
NETWORKS = ("spiking_mnist", "crossbar_mnist")


def layer(case: Case, *, with_spice: bool) -> list[dict[str, Any]]:
    """Return one row per family: seconds of each way, for one layer of one sample."""
    n_rows = sum(len(call.request.units) for call in case.calls())
    spice_s, error_s = ways.ngspice(case, min(SPICE_UNITS, case.n_units)) if with_spice else (None, None)
    found = []
    for family in FAMILIES:
        bundle = ways.bundle_of(case, family)
        repeats = 1 if case.n_units > MOST_PUBLISHED else REPEATS
        row: dict[str, Any] = {
            "circuit": case.circuit,
            "units": case.n_units,
            "rows": n_rows,
            "family": family,
        }
        ahead = min(ways.engine(case, bundle, ahead=True) for _ in range(repeats))
        edges = min(ways.engine(case, bundle, ahead=False) for _ in range(repeats))
        c_loop = min(ways.compiled(case, bundle) for _ in range(repeats))
        ways.check_agreement(ahead, edges, c_loop)
        row["run_ahead_s"], row["lock_step_s"], row["c_loop_s"] = ahead.cpu_s, edges.cpu_s, c_loop.cpu_s
        row["flop_limit_s"] = ways.flop_limit(case, bundle)
        if case.n_units <= MOST_PUBLISHED:
            published = ways.Published(case, bundle)
            row["published_s"] = min(published.run() for _ in range(repeats))
        row["ngspice_s"], row["ngspice_error_s"] = spice_s, error_s
        found.append(row)
    return found


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Run all cases and networks."""
    sizes = QUICK if args.quick else SIZES
    cases = [Case(circuit, n) for circuit, ns in sizes.items() for n in ns]
    samples = 128 if args.quick else args.samples
    layers: list[dict[str, Any]] = []
    whole: list[dict[str, Any]] = []
    with progress_bar() as show:
        step = show("layers")
        for i, case in enumerate(cases):
            layers += layer(case, with_spice=case.n_units >= 100)
            step((i + 1) / len(cases))
        step = show("networks")
        for i, name in enumerate(NETWORKS):
            spice = networks.on_ngspice(name, args.out / f"{name}-spice")
            for workers in (1, 2):
                one = networks.on_surrogate(name, samples, workers, args.out / f"{name}-{workers}")
                whole.append(one | {"ngspice_cpu_s_per_sample": spice["cpu_s"]})
                step((2 * i + workers) / (2 * len(NETWORKS)))
    size = Case("lif_neuron", 20_000, 1)
    made_s = sum(float(h5py.File(path)["runs/cpu_s"][:].sum()) for path in args.recording or ())
    return {
        "layers": layers, "networks": whole, "recording_cpu_s": made_s or None,
        "sanafe_s": peer.image_seconds(),
        "bytes_per_unit": ways.bytes_per_unit(size, ways.bundle_of(size, "best")),
        "machine": f"{platform.machine()}, {platform.system()}", "cores": networks.psutil.cpu_count(),
        "versions": {"python": platform.python_version(), "onnxruntime": onnxruntime.__version__},
    }  # fmt: skip


def main() -> None:
    """Measure, show, store."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--samples", type=int, default=10_000, help="of each network [10000]")
    parser.add_argument(
        "--recording", type=Path, action="append", help="a recording behind the bundles, for the break-even"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/speed"))
    parser.add_argument("--write", type=Path, help="page to write, such as docs/performance.md")
    parser.add_argument("--stored", action="store_true", help="take OUT/speed.json instead of measuring")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    stored = args.out / "speed.json"
    found = json.loads(stored.read_text()) if args.stored else measure(args)
    stored.write_text(json.dumps(found, indent=2) + "\n")
    frame = pd.DataFrame(found["layers"])
    frame.to_csv(args.out / "speed.csv", index=False)
    picture(frame, args.out / "speed.png")
    shown = frame.drop(columns=["ngspice_error_s"]).map(
        lambda x: f"{x:.3g}" if isinstance(x, float) else str(x)
    )
    console.print(table("", list(shown.columns), shown.to_numpy().tolist()))
    for one in found["networks"]:
        console.print(
            f"{one['network']}, {one['samples']} samples, {one['workers']} workers: "
            f"{one['wall_s']:.1f} s wall, {one['cpu_s']:.1f} s CPU, {one['peak_mb']:.0f} MB; against ngspice "
            f"{one['ngspice_cpu_s_per_sample'] * one['samples'] / one['cpu_s']:,.0f}x"
        )
    console.print(f"written: {stored}")
    if args.write:
        write_page(found, args.write)
        picture(frame, args.write.with_suffix(".png"))


if __name__ == "__main__":
    main()

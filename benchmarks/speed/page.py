"""docs/performance.md and its picture, from what was measured."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd

mpl.use("Agg")
from matplotlib import pyplot as plt

WAYS = {
    "run_ahead_s": "engine, input known",
    "lock_step_s": "engine, edge by edge",
    "published_s": "published way",
    "c_loop_s": "C loop, -O3",
    "flop_limit_s": "flop limit",
    "ngspice_s": "ngspice, open loop",
}
RATIOS = ("us a row", "published / engine", "engine / C")
INTRO = """# How fast it is

Made by `python -m benchmarks --write docs/performance.md`; not edited by hand. Machine: {machine},
{cores} cores; Python {python}, onnxruntime {onnxruntime}. CPU seconds of one thread, the least of three; wall
time where named.

## One layer, one sample

100 steps, each unit driven in a random fifth of them. All ways simulate the same rows: driven steps, single
idle steps behind them (one for the neuron), merged gaps. The published way: five scikit-learn networks
(100, 50) called per step; the C loop: the bundle exported by `surrogate export --c`, row by row; the flop
limit: the products of all rows at the rate of a measured sgemm; ngspice: extrapolated from eight units.
Times in ms.
"""


def picture(frame: pd.DataFrame, path: Path) -> None:
    """Draw time against units, one panel per circuit, the family with the fewest weights."""
    circuits = list(dict.fromkeys(frame["circuit"]))
    figure, axes = plt.subplots(1, len(circuits), figsize=(5.5 * len(circuits), 4.2), squeeze=False)
    for axis, circuit in zip(axes[0], circuits, strict=True):
        part = frame[(frame["circuit"] == circuit) & (frame["family"] == frame["family"].iloc[-1])]
        for column, name in WAYS.items():
            if column in part and part[column].notna().any():
                axis.loglog(part["units"], part[column], marker="o", markersize=3, label=name)
        axis.set(title=circuit, xlabel="units", ylabel="CPU seconds, 100 steps")
        axis.grid(True, which="both", alpha=0.2)
    axes[0][0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def write_page(found: Mapping[str, Any], path: Path) -> None:
    """Write the page."""
    layers = [
        [
            row["circuit"], f"{row['units']:,}", row["family"], f"{row['rows']:,}",
            *(_ms(row.get(column)) for column in WAYS),
            f"{1e6 * min(row['run_ahead_s'], row['lock_step_s']) / row['rows']:.2f}",
            _times(row.get("published_s"), min(row["run_ahead_s"], row["lock_step_s"])),
            _times(min(row["run_ahead_s"], row["lock_step_s"]), row["c_loop_s"]),
        ]
        for row in found["layers"]
    ]  # fmt: skip
    whole = [
        [
            one["network"], f"{one['samples']:,}", one["workers"], ", ".join(one["families"]),
            f"{one['wall_s']:.0f}", f"{one['cpu_s']:.0f}", f"{one['peak_mb']:.0f}",
            f"{100 * one['accuracy']:.2f} %", f"{1e3 * one['cpu_s'] / one['samples']:.1f}",
            f"{one['ngspice_cpu_s_per_sample']:.1f}",
            f"{one['ngspice_cpu_s_per_sample'] * one['samples'] / one['cpu_s']:,.0f}x",
        ]
        for one in found["networks"]
    ]  # fmt: skip
    text = [
        INTRO.format(**found, **found["versions"]),
        *_table(
            ["circuit", "units", "bundle", "rows", *WAYS.values(), *RATIOS],
            layers,
        ),
        "",
        f"![CPU time against units]({path.with_suffix('.png').name})",
        "",
        "## Whole test sets",
        "",
        *_table(
            ["network", "samples", "workers", "bundles", "wall s", "CPU s", "peak MB", "accuracy",
             "CPU ms a sample", "ngspice CPU s a sample", "against ngspice"],
            whole,
        ),
        "",
        *_context(found),
        *_distributions(found["networks"]),
        *_break_even(found),
    ]  # fmt: skip
    path.write_text("\n".join(text).rstrip() + "\n", encoding="utf-8")


def _distributions(networks: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = []
    for one in networks:
        if one["workers"] == 1:
            for each in one["layers"]:
                energy = " / ".join(f"{1e12 * x:,.1f}" for x in each["energy_j"])
                last = " / ".join(f"{1e9 * x:,.1f}" for x in each["last_event_s"])
                rows.append([one["network"], each["layer"], energy, last])
    head = ["network", "layer", "analog energy, pJ: 5 / 50 / 95 % of the samples", "last event, ns"]
    return [*_table(head, rows), ""]


def _context(found: Mapping[str, Any]) -> list[str]:
    held = f"{found['bytes_per_unit']:.0f} bytes: parameters, state, sums of the ledger"
    text = [f"Between two edges a neuron takes {held}.", ""]
    if found.get("sanafe_s"):
        peer = f"{1e3 * found['sanafe_s']:.1f} ms of one core for one spiking-MNIST image"
        text += [
            "For context, a compiled event-driven simulator of digital neurons, no analog circuits: SANA-FE",
            f"takes {peer} (`pip install sanafe`, GPLv3; benchmarks/speed/peer.py).",
            "",
        ]
    return text


def _break_even(found: Mapping[str, Any]) -> list[str]:
    recording = found.get("recording_cpu_s")
    if not recording:
        return []
    one = found["networks"][0]
    saved = one["ngspice_cpu_s_per_sample"] - one["cpu_s"] / one["samples"]
    return [
        "## When it has paid for itself",
        "",
        f"The neuron's recordings took {recording:,.0f} s of solver CPU: as much as "
        f"{recording / saved:,.0f} images of `{one['network']}` on ngspice. "
        f"From there on each image saves {saved:.1f} s.",
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in (head, *rows)]
    return [lines[0], "|" + "---|" * len(head), *lines[1:]]


def _ms(seconds: float | None) -> str:
    return "" if seconds is None or seconds != seconds else f"{1e3 * seconds:,.3g}"


def _times(a: float | None, b: float) -> str:
    return "" if a is None else f"{a / b:.1f}x"

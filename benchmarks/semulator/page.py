"""Writes docs/semulator.md and its pictures from what the study measured."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.semulator.pictures import draw
from simcore.units import number

Stored = Mapping[str, Mapping[str, Any]]
INTRO = Path(__file__).with_name("intro.md")
BOUND = Path(__file__).with_name("bound.md")
SHAPES = {"a": "(2, 4, 64, 2), 1 output", "b": "(2, 2, 64, 8), 4 outputs"}
PUBLISHED_V = {"a": 0.981e-3, "b": 0.955e-3}
NAMES = {"ideal": "ideal multiply-accumulate", "linear": "linear model on physics features",
         "cnn": "Conv4Xbar (`cnn`)", "cellsum": "ours (`cellsum`)"}  # fmt: skip
DATA = {
    "uniform": "uniform, as published",
    "mixed": "sparse, dense, saturated",
    "workload": "MNIST, test images",
}


def write_page(stored: Stored, folder: Path) -> None:
    """Write page and pictures into `folder`; parts that were not measured are left out."""
    pictures = draw(stored, folder / "semulator")
    parts = [INTRO.read_text(encoding="utf-8").rstrip(), *_errors(stored.get("errors", {}))]
    parts += _section("How the errors are spread", pictures, "errors")
    parts += [BOUND.read_text(encoding="utf-8").rstrip(), *_bound(stored.get("errors", {}))]
    parts += _section("Loss against samples", pictures, "curves")
    parts += _curves(stored.get("curves", {}))
    parts += _section("One cell", pictures, "surface")
    parts += _times(stored.get("times", {}))
    (folder / "semulator.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _section(title: str, pictures: Mapping[str, list[str]], name: str) -> list[str]:
    shown = [f"![{title}](semulator/{picture})" for picture in pictures.get(name, [])]
    return [f"## {title}", *shown] if shown else []


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _mv(value: float) -> str:
    return f"{1e3 * value:.3f}"


def _errors(errors: Mapping[str, Any]) -> list[str]:
    parts = ["## Error of the output on test runs"]
    for key, found in errors.items():
        rows = [["published (SPICE of its own)", "uniform", _mv(PUBLISHED_V[key]), *[""] * 7]]
        for data, told in DATA.items():
            for model, e in found.get(data, {}).items():
                rows.append([
                    NAMES[model], told, _mv(e["mae_v"]), _mv(e["rms_v"]), _mv(e["p99_v"]), _mv(e["max_v"]),
                    f"{100 * e['mae_of_spread']:.3f} %", f"{100 * e['mae_of_range']:.4f} %",
                    f"{100 * e['supply_j']:.2f} %" if "supply_j" in e else "",
                    f"{100 * e['input_j']:.3f} %" if "input_j" in e else "",
                ])  # fmt: skip
        spread, span = (found["uniform"]["ideal"][name] for name in ("spread_v", "range_v"))
        parts.append(
            f"Shape {SHAPES[key]}: the uniform test outputs have a standard deviation of {spread:.3f} V and "
            f"a range of {span:.2f} V. Numbers in the network, fixed ones included: "
            + ", ".join(f"{NAMES[name]} {n:,}" for name, n in found["weights"].items() if n)
            + "."
        )
        head = ["model", "test data", "MAE (mV)", "RMS", "99 %", "max", "MAE / std", "MAE / range",
                "supply energy", "input energy"]  # fmt: skip
        parts.append(table(head, rows))
    return parts if errors else []


def _bound(errors: Mapping[str, Any]) -> list[str]:
    rows = []
    for key, found in errors.items():
        for model in ("cnn", "cellsum"):
            if model in found["uniform"]:
                e = found["uniform"][model]
                mse = e["rms_v"] ** 2
                rows.append([
                    SHAPES[key], NAMES[model], f"{mse:.2e}", f"{found['bound_v2']:.2e}",
                    "yes" if mse <= found["bound_v2"] else "no", f"{100 * e['share_below']:.1f} %",
                    f"{100 * e['share_if_normal']:.1f} %", f"{e['kurtosis']:.0f}", f"{e['skew']:.1f}",
                    f"{e['normal_p']:.1g}",
                ])  # fmt: skip
    head = ["shape", "model", "MSE (V^2)", "bound for 30 %", "kept", "below 0.5 mV", "if it were normal",
            "excess kurtosis", "skew", "p (normal)"]  # fmt: skip
    return [table(head, rows)] if rows else []


def _curves(curves: Mapping[str, Any]) -> list[str]:
    parts = []
    for key, found in curves.items():
        longer = found.get("long", [])
        found = {family: points for family, points in found.items() if family != "long"}
        sizes = [point["samples"] for point in next(iter(found.values()))]
        rows = [
            [NAMES[family], *(f"{1e3 * p['mae_v']:.2f} ({p['cpu_s']:.0f} s)" for p in points)]
            for family, points in found.items()
        ]
        parts.append(f"Shape {SHAPES[key]}: MAE in mV on the selection part (and CPU seconds of training).")
        parts.append(table(["samples", *(f"{size:,}" for size in sizes)], rows))
        parts += [
            f"The column of {p['samples']:,} samples has a quarter of the steps of the last one; with as "
            f"many, Conv4Xbar reaches {1e3 * p['mae_v']:.2f} mV ({p['cpu_s']:.0f} s)."
            for p in longer
        ]
    return parts


def _times(times: Mapping[str, Any]) -> list[str]:
    rows = []
    for key, found in times.items():
        spice_s = found["spice"]["s"]
        rows.append([SHAPES[key], "ngspice, chunked `.dc`", f"{1e3 * spice_s:.2f} ms", "", "1"])
        for family in ("cnn", "cellsum", "linear"):
            if family in found:
                one, many = found[family]["1"], found[family]["256"]
                rows.append([
                    SHAPES[key], NAMES[family], f"{1e6 * one:.0f} us", f"{1e6 * many:.2f} us",
                    number(spice_s / many, 3),
                ])  # fmt: skip
    if not rows:
        return []
    machine = next(iter(times.values()))["machine"]
    return [
        "## Time per block",
        f"CPU time on one core ({machine}), one after the other in one run; ngspice in chunks of "
        f"{next(iter(times.values()))['spice']['points']:.0f} operating points, loading included.",
        table(["shape", "model", "batch 1", "batch 256", "faster than ngspice, batch 256"], rows),
    ]

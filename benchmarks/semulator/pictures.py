"""The study's pictures as PNG; needs matplotlib."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

COLOURS = {"cnn": "#3b6ea5", "cellsum": "#b5443c", "linear": "#7d8ca0"}


def draw(stored: Mapping[str, Mapping[str, Any]], folder: Path) -> dict[str, list[str]]:
    """Write the pictures into `folder`; return file names by section."""
    import matplotlib as mpl

    mpl.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    figures: dict[str, list[tuple[str, Any]]] = {
        "curves": [(f"curve-{key}", _curve(found)) for key, found in stored.get("curves", {}).items()],
        "surface": [
            (f"surface-{key}", _surface(found["cellsum"]))
            for key, found in stored.get("surfaces", {}).items()
            if "cellsum" in found
        ],
        "errors": [
            (f"errors-{key}", _histogram(found["uniform"]))
            for key, found in stored.get("errors", {}).items()
            if any("histogram" in e for e in found["uniform"].values())
        ],
    }
    written: dict[str, list[str]] = {}
    for section, pictures in figures.items():
        for name, figure in pictures:
            figure.savefig(folder / f"{name}.png", dpi=110, bbox_inches="tight", metadata={"Software": None})
            written.setdefault(section, []).append(f"{name}.png")
    return written


def _axes(width: float, n: int = 1) -> tuple[Any, list[Any]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, 3.4), layout="constrained")
    axes = [figure.add_subplot(1, n, i + 1) for i in range(n)]
    for each in axes:
        each.grid(color="#e4e7eb")
        each.set_axisbelow(True)
    return figure, axes


def _curve(found: Mapping[str, Any]) -> Any:
    figure, (axis,) = _axes(5.5)
    for family, points in found.items():
        if family == "long":
            continue
        x, y = [p["samples"] for p in points], [1e3 * p["mae_v"] for p in points]
        axis.plot(x, y, "o-", color=COLOURS[family], label=family)
    axis.axhline(0.9, color="#555", linewidth=1, linestyle="--", label="0.9 mV")
    axis.set(xscale="log", yscale="log", xlabel="training samples", ylabel="MAE (mV)")
    axis.legend()
    return figure


def _surface(found: Mapping[str, Any]) -> Any:
    import numpy as np

    figure, axes = _axes(11, 4)
    for place, (side, data) in enumerate(found.items()):
        spice, model = np.array(data["spice_v"]), np.array(data["model_v"])
        extent = (data["v"][0], data["v"][-1], 1e6 * data["g"][0], 1e6 * data["g"][-1])
        for axis, values, title, unit in (
            (axes[2 * place], spice, f"{side}: ngspice (V)", {}),
            (axes[2 * place + 1], 1e3 * (model - spice), f"{side}: ours - ngspice (mV)", {"cmap": "RdBu"}),
        ):
            axis.grid(visible=False)
            image = axis.imshow(values, origin="lower", aspect="auto", extent=extent, **unit)
            figure.colorbar(image, ax=axis)
            axis.set(title=title, xlabel="voltage of the row (V)", ylabel="conductance (uS)")
            axis.title.set_fontsize(9)
    return figure


def _histogram(found: Mapping[str, Any]) -> Any:
    import numpy as np

    shown = [name for name in ("cnn", "cellsum") if "histogram" in found.get(name, {})]
    figure, axes = _axes(9, len(shown))
    for axis, name in zip(axes, shown, strict=True):
        edges, counts = (np.array(found[name]["histogram"][part]) for part in ("edges_v", "counts"))
        width = np.diff(edges)
        axis.stairs(counts / counts.sum() / (1e3 * width), 1e3 * edges, fill=True, color=COLOURS[name])
        x = np.linspace(edges[0], edges[-1], 300)
        sigma = found[name]["rms_v"]
        normal = np.exp(-((x / sigma) ** 2) / 2) / (1e3 * sigma * np.sqrt(2 * np.pi))
        axis.plot(1e3 * x, normal, color="#222", linewidth=1, label="normal of the same RMS")
        axis.set(title=name, xlabel="error of the output (mV)", ylabel="density (1/mV)", yscale="log")
        axis.set_ylim(bottom=1e-4)
        axis.legend()
    return figure

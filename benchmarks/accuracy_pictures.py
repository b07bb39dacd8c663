"""The pictures of docs/accuracy.md: families, error against time, idle gaps; needs matplotlib."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from surrogates.study.charts import BLOCK, COLOURS, blocks, drawn, log_axis

Content = Mapping[str, Any]


def named(content: Content) -> str:
    """Return circuit and sizes of an evaluation: `crossbar_row-16`."""
    return "-".join([content["circuit"], *map(str, content["sizes"].values())])


def draw(content: Content, folder: Path) -> list[Path]:
    """Write the pictures of a circuit as PNG and return their paths."""
    import matplotlib as mpl

    mpl.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    figures = {"pareto": _pareto(content), "drift": _drift(content), "gaps": _gaps(content)}
    paths = []
    for name, figure in figures.items():
        paths.append(folder / f"{named(content)}-{name}.png")
        figure.savefig(paths[-1], dpi=110, bbox_inches="tight", metadata={"Software": None})
    return paths


def _panels(n: int, height: float) -> tuple[Any, list[Any]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, height * -(-n // 2)), layout="constrained")
    axes = [figure.add_subplot(-(-n // 2), min(n, 2), i + 1) for i in range(n)]
    for each in axes:
        each.grid(color="#e4e7eb")
        each.set_axisbelow(True)
        each.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _pareto(content: Content) -> Any:
    figure, (axes,) = _panels(1, 4.2)
    known = [entry for entry in content["families"] if entry["us_per_event"]["driven"] is not None]
    front = sorted((e for e in known if e["on_front"]), key=lambda e: e["us_per_event"]["driven"])
    x, y = ([value(e) for e in front] for value in (lambda e: e["us_per_event"]["driven"], _score))
    axes.plot(x, y, drawstyle="steps-post", color="#9aa4b1")
    for entry in known:
        at = entry["us_per_event"]["driven"], _score(entry)
        axes.plot(*at, "o", color=COLOURS[0] if entry["on_front"] else COLOURS[5])
        axes.annotate(entry["family"], at, textcoords="offset points", xytext=(5, 5), fontsize=9)
    _log(axes, [e["us_per_event"]["driven"] for e in known], [_score(e) for e in known])
    axes.set(
        xlabel="CPU time of a driven event (µs)", ylabel="closed-loop error (%)",
        title=f"{named(content)}: families; the line is the front",
    )  # fmt: skip
    return figure


def _score(entry: Content) -> float:
    return 100 * float(entry["score"])


def _drift(content: Content) -> Any:
    families = drawn(content)
    names = [n for n in ("event", "energy", "latency", "state") if any(_known(families[0], n))]
    figure, panels = _panels(len(names), 2.7)
    for axes, name in zip(panels, names, strict=True):
        for entry, colour in zip(families, COLOURS, strict=False):
            for view, style in (("oracle", ":"), ("own", "-")):
                values = [float("nan") if v is None else v for v in blocks(entry["drift"][view][name])]
                label = f"{entry['family']}, {'own state' if view == 'own' else 'oracle'}"
                steps = [BLOCK * (i + 0.5) for i in range(len(values))]
                axes.plot(steps, values, style, color=colour, lw=1.1, label=label)
        axes.set(xlabel="step of the run", ylabel="error (%)", title=name, ylim=(0, None))
    _legend(figure, panels[0])
    return figure


def _known(entry: Content, name: str) -> list[bool]:
    return [value is not None for value in entry["drift"]["own"][name]]


def _gaps(content: Content) -> Any:
    wanted = [
        ("gaps", "energy", "idle energy"), ("gaps", "state", "next state"),
        ("split_gaps", "energy", "a + b against a, b: energy"),
        ("split_gaps", "state", "a + b against a, b: state"),
    ]  # fmt: skip
    first = content["families"][0]
    shown = [each for each in wanted if any(gap[each[1]] is not None for gap in first[each[0]])]
    figure, panels = _panels(len(shown), 2.7)
    for axes, (key, name, title) in zip(panels, shown, strict=True):
        for i, entry in enumerate(content["families"]):
            gaps = [gap for gap in entry[key] if gap[name]]
            x, y = [gap["high"] for gap in gaps], [100 * gap[name] for gap in gaps]
            axes.plot(x, y, "o-", ms=3.5, lw=1.1, color=COLOURS[i % len(COLOURS)], label=entry["family"])
        known = [gap for entry in content["families"] for gap in entry[key] if gap[name]]
        _log(axes, [gap["high"] for gap in known], [100 * gap[name] for gap in known])
        lengths = [gap["high"] for gap in first[key]]
        axes.set_xticks(lengths, labels=[str(length) for length in lengths])
        axes.set(xlabel="periods, up to", ylabel="error (%)", title=title)
    _legend(figure, panels[0])
    return figure


def _log(axes: Any, x: list[float], y: list[float]) -> None:
    """Make both axes logarithmic, with numbers written out."""
    axes.set(xscale="log", yscale="log")
    for axis, values in ((axes.xaxis, x), (axes.yaxis, y)):
        ticks = log_axis(values)
        axis.set_ticks(ticks["tickvals"], labels=ticks["ticktext"])
        axis.set_ticks([], minor=True)


def _legend(figure: Any, axes: Any) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8, frameon=False)

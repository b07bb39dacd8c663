"""How a run shows itself in a notebook: its figures, the shares of the layers, the table of energies."""

from importlib.resources import files
from typing import TYPE_CHECKING

from simcore.report.sides import sides_of
from simcore.report.tables import energy_table, timing_table
from simcore.report.totals_plots import PARTS
from simcore.units import percent, si

if TYPE_CHECKING:
    from simcore.result import RunResult


def run_html(result: "RunResult") -> str:
    """Return a piece of HTML without scripts, its style confined to itself."""
    import jinja2

    (side,) = sides_of(result)
    summary = side.summary
    most = max((layer["energy_j"] for layer in summary["layers"]), default=0.0) or 1.0
    bars = [
        (
            layer["name"],
            [(colour, 100 * max(layer[f"{part}_j"], 0.0) / most) for part, colour in PARTS.items()],
            f"{si(layer['energy_j'], 'J')}, {percent(side.layer(layer['name'])['share_pct'])}",
        )
        for layer in summary["layers"]
    ]
    figures = [
        (si(summary["energy_j"], "J"), "energy per sample"),
        (si(summary["latency_s"], "s"), "latency per sample"),
        (percent(100 * summary["accuracy"]), f"accuracy, {summary['n_samples']} samples"),
        (si(summary["wall_s"], "s"), "wall time"),
    ]
    text = files(__package__).joinpath("notebook.html").read_text("utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.from_string(text).render(
        title=summary["scenario"], backend=side.name, figures=figures, bars=bars, parts=PARTS,
        tables=[energy_table((side,)), timing_table((side,))],
    )  # fmt: skip

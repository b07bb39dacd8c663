"""Writes the report: tables and charts rendered into one self-contained HTML file."""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simcore.compare import Comparison
from simcore.errors import ResultError
from simcore.report.boundary import boundary
from simcore.report.origin import origin
from simcore.report.sides import Side
from simcore.report.subject import Subject, subject_of
from simcore.report.topics import Part, parts
from simcore.report.verdicts import verdicts
from simcore.result import RunResult
from simcore.units import number, percent, si

if TYPE_CHECKING:
    from simcore.report.panels import Chart

FILE = "report.html"
_PARTS = ("template.html", "macros.html")
TEMPLATE = '{% extends "template.html" %}'
"""The page of a run or a comparison: `template.html` as it is."""


def write_report(result: RunResult | Comparison, directory: Path) -> Path:
    """Write `report.html` into `directory` and return its path; raises ResultError if that fails.

    The file holds everything that it shows, Plotly included, and needs no network.
    """
    subject = subject_of(result, directory)
    found = parts(subject)
    return write_page(directory / FILE, TEMPLATE, _context(subject, found), _charts(found))


def _charts(found: Sequence[Part]) -> "list[Chart]":
    from simcore.report.draw_plotly import chart

    return [chart(plot) for part in found for plot in part.plots]


def write_page(path: Path, template: str, context: Mapping[str, Any], charts: "Sequence[Chart]") -> Path:
    """Render a Jinja2 template, which extends `template.html`, into one file with its charts and Plotly.

    `context` has `title`, `subtitle`, `headline` and what the template's own block `main` shows. Raises
    ResultError if the file cannot be written.
    """
    import jinja2
    from plotly.offline import get_plotlyjs

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResultError(f"cannot write {path}: {error}") from error
    parts = {name: files(__package__).joinpath(name).read_text("utf-8") for name in _PARTS}
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        loader=jinja2.DictLoader(parts),
    )  # fmt: skip
    text = environment.from_string(template).render(
        context,
        charts=charts,
        chart_of={chart.key: chart for chart in charts},
        figures={chart.key: _script_json(chart.figure.to_json()) for chart in charts},
        plotly=get_plotlyjs(),
    )
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise ResultError(f"cannot write {path}: {error}") from error
    return path


def _context(subject: Subject, found: Sequence[Part]) -> dict[str, Any]:
    sides, figures = subject.sides, subject.figures
    return {
        "title": sides[0].summary["scenario"],
        "subtitle": _subtitle(sides),
        "headline": _comparison_headline(figures) if figures else _run_headline(sides[0]),
        "verdicts": verdicts(subject),
        "judged": subject.names[-1],
        "boundary": boundary(sides),
        "parts": found,
        "origins": [origin(side) for side in sides],
    }


def _subtitle(sides: Sequence[Side]) -> str:
    summary = sides[0].summary
    against = " against ".join(side.name for side in reversed(sides))
    n = summary["n_samples"]
    return f"{against} · {summary['architecture']} on {summary['dataset']} · {n} sample{'s' * (n != 1)}"


def _run_headline(side: Side) -> list[tuple[str, str, str]]:
    """Return the (value, name, small print) of the figures that open the page."""
    summary = side.summary
    return [
        (si(summary["energy_j"], "J"), "energy per sample", "all layers, digital included"),
        (si(summary["latency_s"], "s"), "latency per sample", "longest critical path"),
        (percent(100 * summary["accuracy"]), "accuracy", f"{summary['n_samples']} samples"),
        (si(summary["wall_s"], "s"), "wall time", f"{si(summary['cpu_s'], 's')} CPU"),
    ]


def _comparison_headline(figures: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    cpu = f"{si(figures['cpu_reference_s'], 's')} against {si(figures['cpu_candidate_s'], 's')}"
    cached = ", reference from cache" if figures["reference_cached"] else ""
    accuracies = " against ".join(percent(100 * figures[f"accuracy_{x}"]) for x in ("reference", "candidate"))
    return [
        (percent(figures["energy_error_pct"]), "energy error", "units' totals, whole network"),
        (percent(figures["latency_error_pct"]), "latency error", "worst layer, aligned"),
        (percent(figures["behaviour_error_pct"]), "behaviour error", "worst layer, cascade"),
        (f"{number(figures['speedup'], 3)} x", "speed-up", f"CPU {cpu}{cached}"),
        (percent(100 * figures["prediction_agreement"]), "same label", f"accuracy {accuracies}"),
    ]


def _script_json(text: str) -> str:
    """Make JSON safe inside a script element."""
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")

"""Writes the report: tables and charts rendered into one self-contained HTML file."""

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simcore.audit import load_audit
from simcore.compare import Comparison
from simcore.errors import ResultError
from simcore.report.audit_table import audit_table
from simcore.report.errors_table import error_table
from simcore.report.sides import Side, sides_of
from simcore.report.tables import digital_table, energy_table, summary_table, timing_table
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
    from simcore.report.plots import charts

    sides = sides_of(result)
    audited = _audited(result, directory)
    context = _context(result, sides) | {"audit": audit_table(audited) if audited else None}
    return write_page(directory / FILE, TEMPLATE, context, charts(result, sides))


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
        figures={chart.key: _script_json(chart.figure.to_json()) for chart in charts},
        plotly=get_plotlyjs(),
    )
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ResultError(f"cannot write {path}: {error}") from error
    return path


def _context(result: RunResult | Comparison, sides: Sequence[Side]) -> dict[str, Any]:
    tables = [energy_table(sides), timing_table(sides), digital_table(sides)]
    figures = result.figures if isinstance(result, Comparison) else None
    return {
        "title": sides[0].summary["scenario"],
        "subtitle": _subtitle(sides),
        "headline": _comparison_headline(figures) if figures else _run_headline(sides[0]),
        "summary": summary_table(sides),
        "errors": error_table(figures) if figures else None,
        "tables": [table for table in tables if table is not None],
        "origins": [_origin(side) for side in sides],
    }


def _audited(result: RunResult | Comparison, directory: Path) -> Mapping[str, Any] | None:
    """Return the figures of a run's audit, if it was audited."""
    return load_audit(directory) if isinstance(result, RunResult) else None


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


def _origin(side: Side) -> dict[str, Any]:
    """Return what made a run: the facts to show at once, and all of it as JSON."""
    made = side.result.provenance
    circuits = {info["circuit"]: info["spec"]["hash"] for info in made["layers"].values()}
    facts = {
        "command": made.get("command"),
        "started": made.get("started"),
        "machine": made.get("machine"),
        "versions": _pairs({"python": made.get("python"), **made.get("versions", {})}),
        "circuits": _pairs(circuits),
        **{f"bank {i}": _pairs(_brief(bank)) for i, bank in enumerate(made.get("banks", []))},
        "result": str(side.result.path),
    }
    return {
        "name": f"{side.role}: {side.name}" if side.role else side.name,
        "facts": {key: value for key, value in facts.items() if value},
        "json": json.dumps(made, indent=2, ensure_ascii=False),
    }


def _brief(bank: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the long list of inputs that were out of range: it stands in the JSON."""
    return {key: value for key, value in bank.items() if key != "out_of_range"}


def _pairs(entries: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {_inline(value)}" for key, value in entries.items())


def _inline(value: Any) -> str:
    return json.dumps(value) if isinstance(value, dict | list) else str(value)


def _script_json(text: str) -> str:
    """Make JSON safe inside a script element."""
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")

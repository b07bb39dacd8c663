"""Writes the page of an evaluation: tables and charts in one self-contained HTML file."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from simcore.report.errors_table import error_table, verdict
from simcore.report.page import write_page
from simcore.report.panels import Chart
from simcore.report.tables import Table
from simcore.units import percent, si
from surrogates.study import charts, tables
from surrogates.study.compat_tables import compat_table, network_name, network_table
from surrogates.study.run import Evaluation

Content = Mapping[str, Any]
FILE = "evaluation.html"


@dataclass(frozen=True, slots=True)
class Section:
    """Tables, then charts."""

    tables: tuple[Table, ...] = ()
    charts: tuple[Chart, ...] = ()


def write_evaluation_page(evaluation: Evaluation, directory: Path) -> Path:
    """Write `evaluation.html` and return its path; raises ResultError if that fails."""
    content = evaluation.content
    found = sections(evaluation)
    context = {
        "title": f"Surrogates of {content['circuit']}",
        "subtitle": _subtitle(content),
        "headline": _headline(content),
        "sections": found,
        "facts": _facts(content),
    }
    template = files(__package__).joinpath("page.html").read_text("utf-8")
    drawn = [chart for section in found for chart in section.charts]
    return write_page(directory / FILE, template, context, drawn)


def sections(evaluation: Evaluation) -> list[Section]:
    """Return the parts of the page in order."""
    content = evaluation.content
    optional = [tables.interval_table(content), network_table(content)]
    intervals, networks = ((table,) if table else () for table in optional)
    return [
        Section((tables.cost_table(content),), (charts.pareto_chart(content),)),
        Section((tables.head_table(content), tables.loop_table(content))),
        Section((), tuple(charts.correlation_charts(content, evaluation.clouds))),
        Section((tables.drift_table(content), tables.layer_table(content)), (charts.drift_chart(content),)),
        Section(tuple(tables.gap_tables(content)), (charts.gap_chart(content),)),
        Section(intervals),
        Section((compat_table(content), *networks)),
        Section(tuple(layer_tables(content))),
    ]


def layer_tables(content: Content) -> list[Table]:
    """Return the errors per layer of each compared network."""
    found = []
    for network in content["networks"]:
        table = error_table(network)
        title = f"{table.title}: {network_name(network)}"
        found.append(Table(title, table.note, table.headings, table.rows, table.n_text))
    return found


def _subtitle(content: Content) -> str:
    runs = content["runs"]
    return (
        f"{len(content['families'])} families against the reference · {runs['test']} test runs that no "
        f"training saw · {', '.join(content['recordings'])}"
    )


def _headline(content: Content) -> list[tuple[str, str, str]]:
    """Return the (value, name, small print) of the default bundle's figures that open the page."""
    best = content["families"][0]
    loop, cost = best["closed_loop"], best["us_per_event"]["driven"]
    main = ("output", "output error") if content["is_level"] else ("event", "event error")
    return [
        (best["family"], "default family", "fastest of the accurate ones"),
        (tables.percent_of(loop[main[0]]), main[1], "closed loop, whole runs"),
        (tables.percent_of(loop["energy_total"]), "energy error", "closed loop, totals of runs"),
        (tables.percent_of(loop["latency"]), "latency error", "closed loop, shared events"),
        (si(None if cost is None else 1e-6 * cost, "s", 3), "per driven event", "CPU, one thread"),
    ]


def _facts(content: Content) -> dict[str, str]:
    facts = {
        "circuit": f"{content['circuit']} {content['spec_hash']}",
        "recordings": f"{', '.join(content['recordings'])} (SHA-256 {content['dataset_sha256']})",
        "runs": ", ".join(f"{part} {n:,}" for part, n in content["runs"].items()),
        "test part": f"read {content['test_reads']} times",
        "left out": ", ".join(f"{each['family']} ({each['reason']})" for each in content["left_out"]),
        "networks": ", ".join(network["name"] for network in content["networks"]),
        "made": f"{content['made']}, Python {content['python']}, {content['machine']}",
    }
    bundles = {e["family"]: e["bundle_hash"] for e in content["families"]}
    return {key: value for key, value in {**facts, **bundles}.items() if value}


def summary_rows(content: Content) -> tuple[list[str], list[list[str]]]:
    """Return what the command line shows: columns and one row per family."""
    main = "output" if content["is_level"] else "event"
    columns = ["family", main, "energy", "latency", "per event", "trivial"]
    rows = []
    for entry in content["families"]:
        loop, cost = entry["closed_loop"], entry["us_per_event"]["driven"]
        heads = [name for name, figure in entry["one_step"].items() if verdict(figure) == "trivial"]
        errors = [
            percent(None if loop[k] is None else 100 * loop[k]) for k in (main, "energy_total", "latency")
        ]
        rows.append([
            entry["family"] + "*" * entry["on_front"], *errors,
            "" if cost is None else f"{cost:.2f} us", ", ".join(heads),
        ])  # fmt: skip
    return columns, rows

"""What stands in a report and in which order. Another table or picture is one more function in its topic."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from simcore.report.audit_table import audit_table
from simcore.report.behaviour_plots import levels, raster, waveforms
from simcore.report.error_plots import aligned_plots, error_bars
from simcore.report.errors_table import error_table
from simcore.report.plot import Plot
from simcore.report.subject import Subject
from simcore.report.tables import (
    Table,
    digital_table,
    energy_table,
    event_table,
    summary_table,
    timing_table,
)
from simcore.report.timeline_plot import timeline
from simcore.report.totals_plots import confusion, energy_stack, latency_bars, unit_energy
from simcore.report.worst_units import worst_plot

TableMaker = Callable[[Subject], Table | None]
PlotMaker = Callable[[Subject], Plot | Iterable[Plot] | None]


@dataclass(frozen=True, slots=True)
class Topic:
    """A part of the report; what has no data makes nothing and is left out."""

    key: str
    title: str
    tables: tuple[TableMaker, ...]
    plots: tuple[PlotMaker, ...]


def _errors(subject: Subject) -> Table | None:
    return error_table(subject.figures) if subject.figures else None


def _audit(subject: Subject) -> Table | None:
    return audit_table(subject.audit) if subject.audit else None


TOPICS = (
    Topic("summary", "Summary", (lambda s: summary_table(s.sides),), ()),
    Topic(
        "energy",
        "Energy",
        (lambda s: energy_table(s.sides), lambda s: digital_table(s.sides)),
        (energy_stack, unit_energy),
    ),
    Topic("latency", "Latency", (lambda s: timing_table(s.sides),), (latency_bars, timeline)),
    Topic("errors", "Errors", (_errors, _audit), (error_bars, aligned_plots, worst_plot)),
    Topic(
        "behaviour",
        "Behaviour",
        (lambda s: event_table(s.sides),),
        (raster, levels, waveforms, confusion),
    ),
)


@dataclass(frozen=True, slots=True)
class Part:
    """A topic of one report: its tables and pictures."""

    key: str
    title: str
    tables: tuple[Table, ...]
    plots: tuple[Plot, ...]


def parts(subject: Subject) -> list[Part]:
    """Return the parts of a report, empty ones left out. Raises ResultError where a trace is damaged."""
    made = [
        Part(
            topic.key,
            topic.title,
            tuple(table for make in topic.tables if (table := make(subject)) is not None),
            tuple(plot for make in topic.plots for plot in _each(make(subject))),
        )
        for topic in TOPICS
    ]
    return [part for part in made if part.tables or part.plots]


def _each(made: Plot | Iterable[Plot] | None) -> Iterator[Plot]:
    if isinstance(made, Plot):
        yield made
    elif made is not None:
        yield from made

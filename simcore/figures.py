"""Plots of runs and comparisons with matplotlib: each returns `(fig, ax)`; needs the extra `figures`.

    import simcore.figures as figures
    fig, ax = figures.energy(result)
    fig.savefig("energy.pdf")

`ax` is one axes, or an array where the plot has several panels. Each raises ResultError where the run has not
what the plot shows, such as a trace.
"""

from typing import TYPE_CHECKING, Any

from simcore.compare import Comparison
from simcore.errors import ResultError
from simcore.report.behaviour_plots import levels, raster, waveforms
from simcore.report.error_plots import aligned_plots, error_bars
from simcore.report.plot import Plot
from simcore.report.subject import subject_of
from simcore.report.topics import PlotMaker
from simcore.report.totals_plots import confusion, energy_stack, latency_bars, unit_energy
from simcore.report.worst_units import worst_plot
from simcore.result import RunResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Source = RunResult | Comparison
Drawn = tuple["Figure", Any]


def energy(source: Source) -> "Drawn":
    """Draw the energy of each layer by source and by kind of step."""
    return _drawn(energy_stack, source, "energies")


def latency(source: Source) -> "Drawn":
    """Draw event latency and critical path of each layer."""
    return _drawn(latency_bars, source, "latencies")


def units(source: Source) -> "Drawn":
    """Draw the energy of each unit: its spread, or candidate over reference."""
    return _drawn(unit_energy, source, "units")


def errors(source: Comparison) -> "Drawn":
    """Draw each error of each layer beside its baseline and the noise of the reference."""
    return _drawn(error_bars, source, "errors; it is no comparison")


def parity(source: Comparison) -> "Drawn":
    """Draw the latency of each event, candidate over reference."""
    return _drawn(aligned_plots, source, "traced events of two runs", "latency-parity")


def error_distribution(source: Comparison) -> "Drawn":
    """Draw how the energy errors of steps are distributed, with baseline and noise."""
    return _drawn(aligned_plots, source, "traced steps of two runs", "error-distributions")


def worst(source: Comparison) -> "Drawn":
    """Draw the three units that are most wrong."""
    return _drawn(worst_plot, source, "traced steps of two runs")


def spikes(source: Source) -> "Drawn":
    """Draw the output events of the first sample."""
    return _drawn(raster, source, "traced spikes; run again with --trace")


def outputs(source: Source) -> "Drawn":
    """Draw the output levels of the first sample."""
    return _drawn(levels, source, "traced output levels; run again with --trace")


def waves(source: Source) -> "Drawn":
    """Draw the stored waveforms of chosen units."""
    return _drawn(waveforms, source, "waveforms; run again with --trace --waves LAYER:UNITS")


def confusions(source: Source) -> "Drawn":
    """Draw how often each label was predicted as each class."""
    return _drawn(confusion, source, "predictions")


def _drawn(make: PlotMaker, source: Source, what: str, key: str = "") -> "Drawn":
    from simcore.report.draw_mpl import figure

    made = make(subject_of(source))
    plots = [made] if isinstance(made, Plot) else list(made or ())
    found = [plot for plot in plots if not key or plot.key == key]
    if not found:
        path = source.path if isinstance(source, RunResult) else source.reference.path
        raise ResultError(f"{path}: nothing to draw: the run has no {what}")
    return figure(found[0])

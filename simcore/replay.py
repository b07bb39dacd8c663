"""Whole inputs of units: a layer's calls as one raster per unit and back, and rasters stepped row by row."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcore.bank import AnalogBank, Floats, OpenLoop, Raster, StepInput, StepResult
from simcore.idle import Call

Counts = Mapping[str, NDArray[np.int64]]
"""Counter -> (n_units,), as `AnalogBank.counters` gives them."""


def replayed(
    bank: OpenLoop, params: Floats, calls: Sequence[Call], progress: Callable[[float], None]
) -> tuple[Floats, list[StepResult], Counts]:
    """Return the outputs at reset (n_units, n_out), the answer of each call, and the counters of the units.

    `params` are (n_units, n_param). `calls` are in order of time and reach every unit; a unit's rows in them
    make its raster.
    """
    requests = [call.request for call in calls]
    units = np.concatenate([request.units for request in requests])
    order = np.argsort(units, kind="stable")
    duration = np.concatenate([request.duration_ps for request in requests])[order]
    inputs = np.concatenate([request.inputs for request in requests])[order]
    idle = np.repeat([request.idle for request in requests], [len(r.units) for r in requests])[order]
    bounds = np.searchsorted(units[order], np.arange(len(params) + 1)).tolist()
    parts = [slice(start, end) for start, end in itertools.pairwise(bounds)]
    rasters = [
        Raster(row, duration[part], inputs[part], idle[part]) for row, part in zip(params, parts, strict=True)
    ]
    results = bank.replay(rasters, progress)
    columns = {
        name: np.concatenate([getattr(result.steps, name) for result in results])
        for name in StepResult.__slots__
    }
    place = np.argsort(order)
    ends = np.cumsum([len(request.units) for request in requests]).tolist()
    answers = [
        StepResult(**{name: column[place[start:end]] for name, column in columns.items()})
        for start, end in zip([0, *ends[:-1]], ends, strict=True)
    ]
    counts = {
        name: np.array([getattr(result, name) for result in results])
        for name in ("out_of_range", "rail_excursions")
    }
    if any(result.guarded for result in results):
        counts["guarded"] = np.array([int(result.guarded) for result in results])
    return np.stack([result.reset_outputs for result in results]), answers, counts


def stepped(
    bank: AnalogBank, rasters: Sequence[Raster], progress: Callable[[float], None] = lambda _: None
) -> list[StepResult]:
    """Step unit i of a bank that was reset through raster i, row j of all of them in one call."""
    lengths = np.array([len(raster.duration_ps) for raster in rasters])
    starts = np.concatenate([[0], np.cumsum(lengths)])
    duration = np.concatenate([raster.duration_ps for raster in rasters])
    inputs = np.concatenate([raster.inputs for raster in rasters])
    idle = np.concatenate([raster.idle for raster in rasters])
    columns: dict[str, NDArray[Any]] = {}
    for step in range(int(lengths.max())):
        units = np.flatnonzero(lengths > step)
        for rest in (False, True):
            some = units[idle[starts[units] + step] == rest]
            rows = starts[some] + step
            if not len(rows):
                continue
            result = bank.step(StepInput(some, duration[rows], inputs[rows], rest))
            for name in StepResult.__slots__:
                values = getattr(result, name)
                empty = np.empty((len(idle), *values.shape[1:]), values.dtype)
                columns.setdefault(name, empty)[rows] = values
        progress((step + 1) / int(lengths.max()))
    return [
        StepResult(**{name: column[start:end] for name, column in columns.items()})
        for start, end in itertools.pairwise(starts.tolist())
    ]

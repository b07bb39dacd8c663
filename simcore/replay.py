"""Open loop: the calls of a layer, known beforehand, as one raster per unit, and the answers as calls."""

import itertools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from simcore.bank import Floats, OpenLoop, Raster, StepResult
from simcore.idle import Call

Counts = Mapping[str, NDArray[np.int64]]
"""Counter -> (n_units,), as `AnalogBank.counters` gives them."""


def replayed(
    bank: OpenLoop, params: Floats, calls: Sequence[Call], progress: Callable[[float], None]
) -> tuple[list[StepResult], Counts]:
    """Return the answer of each call and the counters of the units, params (n_units, n_param).

    `calls` are in order of time and reach every unit; a unit's rows in them make its raster.
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
    return answers, counts

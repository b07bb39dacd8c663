"""Whole inputs of units: a layer's calls as one batch of rasters and back, and batches stepped row by row."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcore.bank import (
    AnalogBank,
    BatchAnswer,
    BatchOpenLoop,
    Floats,
    OpenLoop,
    Raster,
    RasterBatch,
    RasterResult,
    StepInput,
    StepResult,
)
from simcore.idle import Call

Counts = Mapping[str, NDArray[np.int64]]
"""Counter -> (n_units,), as `AnalogBank.counters` gives them."""


def replayed(
    bank: OpenLoop, params: Floats, calls: Sequence[Call], progress: Callable[[float], None]
) -> tuple[Floats, StepResult, Counts]:
    """Return the outputs at reset (n_units, n_out), the rows of all calls in order, the units' counters.

    `params` are (n_units, n_param). `calls` are in order of time and reach every unit; a unit's rows in them
    make its raster.
    """
    requests = [call.request for call in calls]
    units = np.concatenate([request.units for request in requests])
    order = np.argsort(units, kind="stable")
    batch = RasterBatch(
        params=params,
        starts=np.searchsorted(units[order], np.arange(len(params) + 1)),
        duration_ps=np.concatenate([request.duration_ps for request in requests])[order],
        inputs=np.concatenate([request.inputs for request in requests])[order],
        idle=np.repeat([request.idle for request in requests], [len(r.units) for r in requests])[order],
    )
    if isinstance(bank, BatchOpenLoop):
        answer = bank.replay_batch(batch, progress)
    else:
        answer = joined_results(bank.replay(split(batch), progress))
    return answer.reset_outputs, _rows(answer.steps, np.argsort(order)), answer.counters


def in_calls(rows: StepResult, calls: Sequence[Call]) -> list[StepResult]:
    """Return the answer of each call, given the rows of all of them."""
    ends = np.cumsum([len(call.request.units) for call in calls]).tolist()
    return [_rows(rows, slice(start, end)) for start, end in itertools.pairwise([0, *ends])]


def stepped(
    bank: AnalogBank, rasters: Sequence[Raster], progress: Callable[[float], None] = lambda _: None
) -> list[StepResult]:
    """Step unit i of a bank that was reset through raster i, see `stepped_batch`."""
    batch = joined(rasters)
    steps = stepped_batch(bank, batch, progress)
    return [_rows(steps, part) for part in _parts(batch.starts)]


def stepped_batch(
    bank: AnalogBank, batch: RasterBatch, progress: Callable[[float], None] = lambda _: None
) -> StepResult:
    """Step the units of a bank that was reset through a batch, the j-th row of all of them in one call."""
    starts, idle = batch.starts, batch.idle
    lengths = np.diff(starts)
    columns: dict[str, NDArray[Any]] = {}
    for step in range(int(lengths.max())):
        units = np.flatnonzero(lengths > step)
        resting = idle[starts[units] + step]
        for rest in (False, True):
            some = units[resting == rest]
            rows = starts[some] + step
            if not len(rows):
                continue
            result = bank.step(StepInput(some, batch.duration_ps[rows], batch.inputs[rows], rest))
            for name in StepResult.__slots__:
                values = getattr(result, name)
                if name not in columns:
                    columns[name] = np.empty((len(idle), *values.shape[1:]), values.dtype)
                columns[name][rows] = values
        progress((step + 1) / int(lengths.max()))
    return StepResult(**columns)


def joined(rasters: Sequence[Raster]) -> RasterBatch:
    """Return rasters as one batch."""
    return RasterBatch(
        params=np.stack([raster.params for raster in rasters]),
        starts=np.cumsum([0, *(len(raster.idle) for raster in rasters)]),
        duration_ps=np.concatenate([raster.duration_ps for raster in rasters]),
        inputs=np.concatenate([raster.inputs for raster in rasters]),
        idle=np.concatenate([raster.idle for raster in rasters]),
    )


def split(batch: RasterBatch) -> list[Raster]:
    """Return a batch as one raster per unit."""
    return [
        Raster(row, batch.duration_ps[part], batch.inputs[part], batch.idle[part])
        for row, part in zip(batch.params, _parts(batch.starts), strict=True)
    ]


def split_answer(answer: BatchAnswer, starts: NDArray[np.int64]) -> list[RasterResult]:
    """Return the answer to a batch as one result per unit."""
    outside, rails = answer.counters["out_of_range"], answer.counters["rail_excursions"]
    return [
        RasterResult(
            answer.reset_state[unit],
            answer.reset_outputs[unit],
            _rows(answer.steps, part),
            out_of_range=int(outside[unit]),
            rail_excursions=int(rails[unit]),
        )
        for unit, part in enumerate(_parts(starts))
    ]


def joined_results(results: Sequence[RasterResult]) -> BatchAnswer:
    """Return one result per unit as the answer to a batch."""
    counts = {
        name: np.array([getattr(result, name) for result in results])
        for name in ("out_of_range", "rail_excursions")
    }
    if any(result.guarded for result in results):
        counts["guarded"] = np.array([int(result.guarded) for result in results])
    columns = {
        name: np.concatenate([getattr(result.steps, name) for result in results])
        for name in StepResult.__slots__
    }
    return BatchAnswer(
        reset_state=np.stack([result.reset_state for result in results]),
        reset_outputs=np.stack([result.reset_outputs for result in results]),
        steps=StepResult(**columns),
        counters=counts,
    )


def _rows(steps: StepResult, rows: slice | NDArray[np.int64]) -> StepResult:
    return StepResult(*(getattr(steps, name)[rows] for name in StepResult.__slots__))


def _parts(starts: NDArray[np.int64]) -> list[slice]:
    return [slice(start, end) for start, end in itertools.pairwise(starts.tolist())]

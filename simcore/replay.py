"""Batches of rasters: answered by any bank, in few calls; and single rasters joined and split."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
    Repeated,
    StepInput,
    StepResult,
)
from simcore.whole import stable_order

FEW = 4
"""Idle rows behind a driven one up to which they are grouped by it."""
Counts = Mapping[str, NDArray[np.int64]]
"""Counter -> (n_units,), as `AnalogBank.counters` gives them."""


def replayed(
    bank: AnalogBank, first: int, batch: RasterBatch, progress: Callable[[float], None]
) -> tuple[StepResult, Counts | None, Floats | None]:
    """Return the rows of a batch, unit by unit; and where the bank can replay, counters and outputs at reset.

    A bank that can only be stepped has been reset, and has the batch's units from `first` on.
    """
    if isinstance(bank, BatchOpenLoop):
        answer = bank.replay_batch(batch, progress, states=False)
    elif isinstance(bank, OpenLoop):
        answer = joined_results(bank.replay(split(batch), progress))
    else:
        return stepped_batch(bank, batch, progress, first), None, None
    return answer.steps, answer.counters, answer.reset_outputs


def stepped(
    bank: AnalogBank, rasters: Sequence[Raster], progress: Callable[[float], None] = lambda _: None
) -> list[StepResult]:
    """Step unit i of a bank that was reset through raster i, see `stepped_batch`."""
    batch = joined(rasters)
    steps = stepped_batch(bank, batch, progress)
    return [_rows(steps, part) for part in _parts(batch.starts)]


def stepped_batch(
    bank: AnalogBank, batch: RasterBatch, progress: Callable[[float], None] = lambda _: None, first: int = 0
) -> StepResult:
    """Step units of a bank that was reset through a batch, in the calls of `call_order`.

    The batch's units are those of the bank from `first` on.
    """
    order = call_order(batch.starts, batch.idle)
    columns: dict[str, NDArray[Any]] = {}
    for done, (rows, idle) in enumerate(order.calls()):
        units = order.unit[rows] + first
        result = bank.step(StepInput(units, batch.duration_ps[rows], batch.inputs.take(rows), idle))
        for name in StepResult.__slots__:
            values = getattr(result, name)
            if name not in columns:
                columns[name] = np.empty((len(batch.idle), *values.shape[1:]), values.dtype)
            columns[name][rows] = values
        progress((done + 1) / len(order.idle))
    return StepResult(**columns)


@dataclass(frozen=True, slots=True)
class CallOrder:
    """The rows of a batch in the order in which a bank can answer them: few calls, each of many units."""

    unit: NDArray[np.int64]
    """(n,) unit of each row of the batch."""
    rows: NDArray[np.int64]
    """(n,) rows of the batch, call by call, units ascending."""
    bounds: NDArray[np.int64]
    """(n_calls + 1,) where the rows of each call begin."""
    idle: NDArray[np.bool_]
    """(n_calls,)"""

    def calls(self) -> Iterator[tuple[NDArray[np.int64], bool]]:
        """Yield the rows of each call, and whether it is idle."""
        for (start, end), idle in zip(itertools.pairwise(self.bounds.tolist()), self.idle, strict=True):
            yield self.rows[start:end], bool(idle)


def call_order(starts: NDArray[np.int64], idle: NDArray[np.bool_]) -> CallOrder:
    """Group the rows of a batch: the i-th driven rows of all units, then the first idle ones behind them, ...

    Where gaps consist of many rows, as without idle merging, it is the j-th rows of all units, driven ones
    and idle ones apart. `starts` (n_units + 1,) and `idle` (n,) as in `RasterBatch`.
    """
    n, lengths = len(idle), np.diff(starts)
    unit = np.repeat(np.arange(len(lengths)), lengths)
    # A part is a driven row and the idle ones behind it, or those before a unit's first driven one.
    begins = ~idle
    begins[starts[:-1][lengths > 0]] = True
    part = np.flatnonzero(begins)
    sizes = np.diff(part, append=n)
    if sizes.max(initial=0) - 1 > FEW:
        key = 2 * (np.arange(n) - np.repeat(starts[:-1], lengths)) + idle
    else:
        n_driven = np.cumsum(~idle[part])
        before = np.append(0, n_driven)[np.searchsorted(part, starts[:-1])]
        rank = n_driven - before[unit[part]]
        key = np.arange(n) + np.repeat(rank * (FEW + 1) - part, sizes)
    counts = np.bincount(key)
    bounds = np.append(0, np.cumsum(counts[counts > 0]))
    rows = stable_order(key)
    return CallOrder(unit, rows, bounds, idle[rows[bounds[:-1]]])


def joined(rasters: Sequence[Raster]) -> RasterBatch:
    """Return rasters as one batch."""
    return RasterBatch(
        params=Repeated.once(np.stack([raster.params for raster in rasters])),
        starts=np.cumsum([0, *(len(raster.idle) for raster in rasters)]),
        duration_ps=np.concatenate([raster.duration_ps for raster in rasters]),
        inputs=Repeated.once(np.concatenate([raster.inputs for raster in rasters])),
        idle=np.concatenate([raster.idle for raster in rasters]),
    )


def split(batch: RasterBatch) -> list[Raster]:
    """Return a batch as one raster per unit."""
    return [
        Raster(row, batch.duration_ps[part], batch.inputs.take(part), batch.idle[part])
        for row, part in zip(batch.params.take(), _parts(batch.starts), strict=True)
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

"""BatchReplay: whole inputs of many units through a bundle's graphs, all their rows in one array."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simcore.bank import BatchAnswer, Floats, RasterBatch, StepResult
from simcore.replay import CallOrder, call_order
from simcore.spec import CircuitSpec, PortKind
from surrogates.bundle import SurrogateBundle
from surrogates.features import Rows
from surrogates.layout import Layout
from surrogates.ranges import RangeCounter

CHUNK, VALUES = 8192, 2**18
"""Rows per call of onnxruntime at most, and values of its input. Of 2,048 to 16,384 rows these were the
fastest, or as fast as any, whatever the width of the network."""
BLOCK = 16
"""Rows are padded to a multiple of this: vector kernels treat the rest of a block by other code, and a
unit's result would depend on how many are stepped with it."""
GRAPHS = ("driven", "idle")
"""By whether a row is idle."""
HEADS = ("outputs", "state", "supply_j", "input_j", "latency_s", "fired")


def rows_per_call(width: int) -> int:
    """Return the rows per call of a graph with `width` inputs, a multiple of BLOCK."""
    return int(np.clip(VALUES // width // BLOCK * BLOCK, BLOCK, CHUNK))


_NO_BIAS = np.zeros((CHUNK, 1), np.float32)


class BatchReplay:
    """One batch. The graphs' input has the rows call by call, padded, so that a call takes a slice of it."""

    def __init__(
        self, bundle: SurrogateBundle, spec: CircuitSpec, ranges: RangeCounter, *, states: bool
    ) -> None:
        """`states`: whether the state after each step is wanted."""
        self._bundle, self._spec, self._ranges = bundle, spec, ranges
        self._layout = Layout(spec)
        self._rows = rows_per_call(self._layout.width)
        self._swings = swings(spec) if bundle.info.min_swing is not None else None
        self._heads = [head for head in HEADS if states or head != "state"]

    def answer(
        self, batch: RasterBatch, resets: Mapping[str, Rows], progress: Callable[[float], None]
    ) -> BatchAnswer:
        """Return what the units did; `resets` are the answers of the graph `reset`."""
        order = call_order(batch.starts, batch.idle)
        slots = _slots(order)
        unit = order.unit.take(slots.source)
        x = self._inputs(batch, slots, unit)
        answers = self._stepped(slots, x, unit, resets, progress)
        is_padding = np.ones(len(x), np.bool_)
        is_padding[slots.of_row] = False
        outside = np.bincount(self._outside(slots, x, unit, is_padding), minlength=len(batch.starts) - 1)
        return BatchAnswer(
            reset_state=resets["state"].astype(np.float64),
            reset_outputs=resets["outputs"].astype(np.float64),
            steps=self._result({head: each.take(slots.of_row, axis=0) for head, each in answers.items()}),
            counters={"out_of_range": outside, "rail_excursions": np.zeros_like(outside)},
        )

    def _inputs(self, batch: RasterBatch, slots: "_Slots", unit: NDArray[np.int64]) -> Rows:
        """Return the graphs' input in the order of slots, states still empty."""
        layout, params, spec = self._layout, batch.params, self._spec
        table = np.zeros((len(params.distinct), layout.width), np.float32)
        table[:, layout.of(PortKind.PARAM)] = params.distinct
        table[:, layout.of(PortKind.INPUT)] = spec.reset_inputs
        x = table.take(params.index.take(unit), axis=0)
        # Without levels to hold the inputs of idle rows are those at reset.
        given = slice(None if spec.holds_level.any() else slots.n_driven)
        inputs = batch.inputs.index.take(slots.source[given])
        x[given, layout.of(PortKind.INPUT)] = batch.inputs.distinct.astype(np.float32).take(inputs, axis=0)
        x[:, -1] = (batch.duration_ps // spec.period_ps).astype(np.float32).take(slots.source)
        return x

    def _stepped(
        self,
        slots: "_Slots",
        x: Rows,
        unit: NDArray[np.int64],
        resets: Mapping[str, Rows],
        progress: Callable[[float], None],
    ) -> dict[str, Rows]:
        """Run all calls, carrying state and outputs from one to the next; return the heads by row of x."""
        states = self._layout.of(PortKind.STATE)
        state, outputs = resets["state"].copy(), resets["outputs"].copy()
        widths = {head: values.shape[1:] for head, values in resets.items()}
        answers = {head: np.empty((len(x), *widths.get(head, ())), np.float32) for head in self._heads}
        for call, (begin, size, is_idle) in enumerate(slots.calls):
            graph = GRAPHS[is_idle]
            for first in range(begin, begin + size, self._rows):
                rows = slice(first, min(first + self._rows, begin + size))
                units = unit[rows]
                x[rows, states] = state.take(units, axis=0)
                found = self._bundle.run(graph, x[rows], _NO_BIAS[: len(units)])
                if state.size:
                    _items(state)[units] = _items(found["state"])
                if self._swings is not None:
                    self._settle(found, outputs, units, graph)
                    outputs[units] = found["outputs"]
                for head, values in answers.items():
                    values[rows] = found[head]
            progress((call + 1) / len(slots.calls))
        return answers

    def _settle(self, found: dict[str, Rows], outputs: Rows, units: NDArray[np.int64], graph: str) -> None:
        """Give the answer what a model leaves to the run time: outputs that hold, events seen in a swing."""
        if self._spec.kind == "static" and graph == "idle":
            found["outputs"] = outputs[units]
        change = np.abs(found["outputs"].astype(np.float64) - outputs[units])
        found["fired"] = np.asarray((change >= self._swings).any(axis=1), np.float32)

    def _outside(
        self, slots: "_Slots", x: Rows, unit: NDArray[np.int64], is_padding: NDArray[np.bool_]
    ) -> NDArray[np.int64]:
        """Return the units of the rows that leave the training range, once for each row."""
        found = []
        for graph, rows in zip(GRAPHS, (slice(slots.n_driven), slice(slots.n_driven, None)), strict=True):
            left = self._ranges.outside(graph, x[rows], is_padding[rows])
            if left is not None:
                found.append(unit[rows][left])
        return np.concatenate([np.zeros(0, np.int64), *found])

    def _result(self, answers: Mapping[str, Rows]) -> StepResult:
        fired = answers["fired"] > 0
        timed = np.flatnonzero(fired & self._spec.has_latencies)
        latency_s = np.full(len(fired), np.nan)
        latency_s[timed] = answers["latency_s"][timed]
        return StepResult(
            outputs=answers["outputs"].astype(np.float64),
            state=answers.get("state", np.zeros((len(fired), 0))).astype(np.float64),
            fired=fired,
            supply_j=answers["supply_j"].astype(np.float64),
            input_j=answers["input_j"].astype(np.float64),
            latency_s=latency_s,
        )


def _items(rows: Rows) -> NDArray[np.void]:
    """Return rows as items of one array: numpy scatters items twice as fast as rows."""
    return rows.view(f"V{rows.itemsize * rows.shape[1]}")[:, 0]


@dataclass(frozen=True, slots=True)
class _Slots:
    """Where the rows of a batch lie in the graphs' input: driven calls first, then idle ones.

    The slots behind a call's rows, up to a multiple of BLOCK, repeat its last row.
    """

    source: NDArray[np.int64]
    """(n_slots,) the batch's row at each slot."""
    of_row: NDArray[np.int64]
    """(n_rows,)"""
    calls: list[tuple[int, int, int]]
    """In the order in which they are answered: first slot, number of slots, 1 for an idle one."""
    n_driven: int
    """Slots of driven calls."""


def _slots(order: CallOrder) -> _Slots:
    sizes = np.diff(order.bounds)
    padded = -(-sizes // BLOCK) * BLOCK
    begins = np.empty(len(sizes), np.int64)
    n_driven = 0
    for idle in (False, True):
        mine = np.flatnonzero(order.idle == idle)
        begins[mine] = n_driven + np.cumsum(padded[mine]) - padded[mine]
        n_driven += int(padded[mine].sum()) * (not idle)
    rows = np.arange(len(order.rows)) + np.repeat(begins - order.bounds[:-1], sizes)
    source = np.empty(int(padded.sum()), np.int64)
    for behind in range(1, BLOCK):
        short = padded - sizes >= behind
        source[(begins + padded)[short] - behind] = order.rows[order.bounds[1:][short] - 1]
    source[rows] = order.rows
    of_row = np.empty(len(order.rows), np.int64)
    of_row[order.rows] = rows
    calls = list(zip(begins.tolist(), padded.tolist(), order.idle.astype(int).tolist(), strict=True))
    return _Slots(source, of_row, calls, n_driven)


def swings(spec: CircuitSpec) -> Floats:
    """Return the change of each output column that makes an event, (n_out,)."""
    ports = [port for port in spec.of(PortKind.OUTPUT) for _ in port.columns]
    swings = [port.detector.min_swing if port.detector is not None else None for port in ports]
    return np.array([np.inf if swing is None else swing for swing in swings])

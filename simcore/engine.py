"""The engine: answers clock edges, for all layers at once or for one layer all of them. It owns the banks'
time, idle merging and the ledger.

`simcore.schedule` decides when an edge comes; the engine decides what happens in it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from simcore.architecture import Delivery, Layer, LayerOutput
from simcore.bank import AnalogBank, BatchOpenLoop, OpenLoop, Repeated, StepResult
from simcore.errors import ContractError
from simcore.idle import Call, IdleTracker, Rows
from simcore.ledger import Ledger
from simcore.progress import scaled
from simcore.replay import Counts, replayed
from simcore.shown import Shown
from simcore.spec import PortKind
from simcore.whole import Events, Habits, events_of, whole_input

ROWS, VALUES = 2**20, 2**27
"""Rows of a layer, about, that are answered together, and numbers in all their columns."""


@dataclass(frozen=True, slots=True)
class BankSlot:
    """A bank and the layers whose units it holds, one after the other, each lane by lane."""

    bank: AnalogBank
    layers: tuple[Layer, ...]


class _Seat:
    """Mutable state of some layers of one bank: their idle tracker and the places of their units."""

    def __init__(
        self, slot: BankSlot, ledger: Ledger, n_lanes: int, merge_idle: bool, first: int = 0
    ) -> None:
        """`first` is the bank's index of the first unit of these layers."""
        self.bank = slot.bank
        self.layers = slot.layers
        self.first = first
        sizes = [layer.n_units * n_lanes for layer in slot.layers]
        self.starts = dict(zip([x.name for x in slot.layers], np.cumsum([0, *sizes[:-1]]), strict=True))
        self.places = np.concatenate([ledger.places(layer.name) for layer in slot.layers])
        self.habits = Habits(
            np.repeat([layer.hold_periods for layer in slot.layers], sizes),
            np.repeat([layer.power_gate for layer in slot.layers], sizes),
        )
        self._sizes = dict(zip(self.starts, sizes, strict=True))
        self._n_in = slot.bank.spec.width(PortKind.INPUT)
        self._merge_idle = merge_idle
        self.n_units = sum(sizes)
        self.outputs = np.zeros((self.n_units, slot.bank.spec.width(PortKind.OUTPUT)))
        self.lane_ends = np.cumsum(np.repeat([layer.n_units for layer in slot.layers], n_lanes))
        """Where the units of each layer's lanes end."""
        self.event_s = np.zeros(len(self.lane_ends))
        """Latency of the last event of this period in each of them, 0 without one."""
        self.replayed: Counts | None = None

    @cached_property
    def idle(self) -> IdleTracker:
        """How far each unit is simulated, edge by edge."""
        habits = self.habits
        return IdleTracker(self.bank.spec, habits.hold_periods, habits.power_gate, self._merge_idle)

    def gather(self, step: int, deliveries: Mapping[str, Delivery]) -> list[Call]:
        """Join what the layers of this bank receive into the calls of this edge."""
        for layer in self.layers:
            self.check(layer.name, deliveries[layer.name])
        parts = [(self.starts[layer.name], deliveries[layer.name]) for layer in self.layers]
        units = np.concatenate([start + part.units for start, part in parts])
        return self.idle.plan(step, units, np.vstack([part.inputs for _, part in parts]))

    def params(self, units: slice) -> Repeated:
        """Return the parameters of some units of the only layer; all lanes have the same ones."""
        (layer,) = self.layers
        of_lane = self.bank.params[self.first : self.first + layer.n_units]
        if (of_lane == of_lane[:1]).all():
            return Repeated(of_lane[:1], np.zeros(units.stop - units.start, np.int64))
        return Repeated(of_lane, np.arange(units.start, units.stop) % layer.n_units)

    def events(self, parts: Sequence[Delivery]) -> Events:
        """Return what is delivered to the only layer; raises ContractError where something does not fit."""
        (layer,) = self.layers
        if not all(part.inputs.shape == (len(part.units), self._n_in) for part in parts):
            self._check_each(layer.name, parts)
        events = events_of(parts, self.bank.spec.reset_inputs)
        units = np.concatenate([part.units for part in parts])
        ascends = np.diff(units) > 0
        ends = np.cumsum([len(part.units) for part in parts])
        ascends[ends[(ends > 0) & (ends < len(units))] - 1] = True
        within = units.min(initial=0) >= 0 and units.max(initial=0) < self.n_units
        if not (ascends.all() and within and np.isfinite(events.table).all()):
            self._check_each(layer.name, parts)
        return events

    def _check_each(self, layer: str, parts: Sequence[Delivery]) -> None:
        for part in parts:
            self.check(layer, part)

    def check(self, layer: str, part: Delivery) -> None:
        """Raise ContractError for a delivery that does not fit the layer."""
        units, size = part.units, self._sizes[layer]
        if len(units) and (units[0] < 0 or units[-1] >= size or np.any(np.diff(units) <= 0)):
            raise ContractError(
                f"delivery to layer {layer}: units must ascend, each once, within 0..{size - 1}"
            )
        if part.inputs.shape != (len(units), self._n_in) or not np.isfinite(part.inputs).all():
            raise ContractError(
                f"delivery to layer {layer}: inputs must be finite, shape ({len(units)}, {self._n_in}), "
                f"got {part.inputs.shape}"
            )


class Engine:
    """Runs the banks of one batch edge by edge."""

    def __init__(
        self,
        slots: Sequence[BankSlot],
        n_lanes: int,
        ledger: Ledger,
        *,
        merge_idle: bool,
        by_layer: bool = False,
    ) -> None:
        """`by_layer`: for `run_layer`, which needs a seat per layer; else for `edge`."""
        self._n_lanes = n_lanes
        self._ledger = ledger
        self._merge_idle = merge_idle
        self._seats: list[_Seat] = []
        for slot in slots:
            # A replay starts from reset by itself, and tells the outputs there.
            replays = by_layer and isinstance(slot.bank, OpenLoop)
            outputs = None if replays else slot.bank.reset()
            parts = [replace(slot, layers=(layer,)) for layer in slot.layers] if by_layer else [slot]
            first = 0
            for part in parts:
                seat = _Seat(part, ledger, n_lanes, merge_idle, first)
                first += seat.n_units
                if outputs is not None:
                    seat.outputs = outputs[seat.first : first]
                self._seats.append(seat)

    def at_reset(self) -> dict[str, LayerOutput]:
        """Return what every layer shows before the first edge."""
        for seat in self._seats:
            seat.event_s[:] = 0.0
        return self._show({id(seat): np.zeros(seat.n_units, dtype=np.bool_) for seat in self._seats})

    def edge(self, step: int, deliveries: Mapping[str, Delivery]) -> dict[str, LayerOutput]:
        """Answer edge `step`: deliver, step all banks, record; return what every layer shows at its end."""
        fired = {}
        for delivery in deliveries.values():
            self._ledger.digital(delivery.actions)
        for seat in self._seats:
            fired[id(seat)] = self._execute(seat, seat.gather(step, deliveries))
        return self._show(fired)

    def run_layer(
        self, layer: str, deliveries: Sequence[Delivery], progress: Callable[[float], None]
    ) -> Shown:
        """Run one layer through all its edges and settle it; return what it shows at reset and after each.

        A bank that can replay answers each unit's whole input at once, any other one is stepped; those that
        answer arrays get some units at a time, so that memory does not grow with the layer.
        """
        (seat,) = (seat for seat in self._seats if seat.layers[0].name == layer)
        for delivery in deliveries:
            self._ledger.digital(delivery.actions)
        events = seat.events(deliveries)
        shown = Shown(len(deliveries), self._n_lanes, seat.outputs)
        size = seat.n_units
        if isinstance(seat.bank, BatchOpenLoop):
            n_rows = size + (2 + seat.bank.spec.tail_periods) * len(events.unit)
            if not self._merge_idle:
                n_rows = size * len(deliveries)
            spec = seat.bank.spec
            n_columns = sum(spec.width(kind) for kind in PortKind)
            most = min(ROWS, VALUES // n_columns)
            size = max(1, size * most // max(n_rows, most))
        counts: list[Counts] = []
        for first in range(0, seat.n_units, size):
            units = slice(first, min(first + size, seat.n_units))
            share = scaled(progress, units.start / seat.n_units, (units.stop - units.start) / seat.n_units)
            whole = whole_input(
                seat.bank.spec,
                seat.habits.take(units),
                events.of_units(units.start, units.stop),
                len(deliveries),
                merge_idle=self._merge_idle,
            )
            result, counted, at_reset = replayed(
                seat.bank, seat.first + units.start, whole.batch(seat.params(units)), share
            )
            if counted is not None and at_reset is not None:
                counts.append(counted)
                seat.outputs[units] = at_reset
            self._record(seat, np.repeat(seat.places[units], np.diff(whole.starts)), whole.rows, result)
            shown.add(units, whole, result)
        if counts:
            seat.replayed = {name: np.concatenate([part[name] for part in counts]) for name in counts[0]}
        return shown

    def settle(self, step: int) -> None:
        """Bring every unit to the common end time `step`."""
        for seat in self._seats:
            self._execute(seat, seat.idle.settle(step))

    def counters(self) -> dict[str, dict[str, NDArray[np.int64]]]:
        """Return the banks' counters summed per layer and lane: layer -> counter -> (n_lanes,)."""
        counts: dict[str, dict[str, NDArray[np.int64]]] = {}
        for seat in self._seats:
            rows = slice(seat.first, seat.first + seat.n_units)
            per_unit = seat.replayed or {name: n[rows] for name, n in seat.bank.counters().items()}
            for layer in seat.layers:
                rows = self._rows(seat, layer)
                counts[layer.name] = {
                    name: values[rows].reshape(self._n_lanes, -1).sum(axis=1)
                    for name, values in per_unit.items()
                }
        return counts

    def _rows(self, seat: _Seat, layer: Layer) -> slice:
        start = seat.starts[layer.name]
        return slice(start, start + layer.n_units * self._n_lanes)

    def _execute(self, seat: _Seat, calls: list[Call]) -> NDArray[np.bool_]:
        """Step the bank call by call; return which units fired in time."""
        fired = np.zeros(seat.n_units, dtype=np.bool_)
        seat.event_s[:] = 0.0
        for call in calls:
            units = call.request.units
            result = seat.bank.step(call.request)
            self._record(seat, seat.places[units], Rows.of([call]), result)
            seat.outputs[units] = result.outputs
            in_time = result.fired & ~call.merged
            fired[units] |= in_time
            lanes = np.searchsorted(seat.lane_ends, units[in_time], side="right")
            np.fmax.at(seat.event_s, lanes, result.latency_s[in_time])
        return fired

    def _record(self, seat: _Seat, at: NDArray[np.int64], rows: Rows, result: StepResult) -> None:
        """Enter some rows into the ledger."""
        if not np.isfinite(result.supply_j + result.input_j).all():
            raise ContractError(f"bank of {seat.bank.spec.name}: an energy is not finite")
        self._ledger.record(at, rows, result, seat.bank.spec.period_ps)

    def _show(self, fired: Mapping[int, NDArray[np.bool_]]) -> dict[str, LayerOutput]:
        shown = {}
        for seat in self._seats:
            for place, layer in enumerate(seat.layers):
                rows = self._rows(seat, layer)
                shape = (self._n_lanes, layer.n_units)
                shown[layer.name] = LayerOutput(
                    fired=fired[id(seat)][rows].reshape(shape),
                    outputs=seat.outputs[rows].reshape(*shape, -1).copy(),
                    ready_s=seat.event_s[place * self._n_lanes :][: self._n_lanes].copy(),
                )
        return shown

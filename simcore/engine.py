"""The engine: answers clock edges, for all layers at once or for one layer all of them. It owns the banks'
time, idle merging and the ledger.

`simcore.schedule` decides when an edge comes; the engine decides what happens in it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from simcore.architecture import Delivery, Layer, LayerOutput
from simcore.bank import AnalogBank, OpenLoop, StepInput, StepResult
from simcore.errors import ContractError
from simcore.idle import Call, IdleTracker
from simcore.ledger import Address, Ledger
from simcore.replay import Counts, in_calls, replayed
from simcore.spec import PortKind


@dataclass(frozen=True, slots=True)
class BankSlot:
    """A bank and the layers whose units it holds, one after the other, each lane by lane."""

    bank: AnalogBank
    layers: tuple[Layer, ...]


class _Seat:
    """Mutable state of some layers of one bank: their idle tracker and the addresses of their units."""

    def __init__(
        self, slot: BankSlot, order: Sequence[str], n_lanes: int, merge_idle: bool, first: int = 0
    ) -> None:
        """`first` is the bank's index of the first unit of these layers."""
        self.bank = slot.bank
        self.layers = slot.layers
        self.first = first
        sizes = [layer.n_units * n_lanes for layer in slot.layers]
        self.starts = dict(zip([x.name for x in slot.layers], np.cumsum([0, *sizes[:-1]]), strict=True))
        self.address = Address(
            layer=np.repeat([order.index(layer.name) for layer in slot.layers], sizes),
            lane=np.concatenate([np.repeat(np.arange(n_lanes), x.n_units) for x in slot.layers]),
            unit=np.concatenate([np.tile(np.arange(x.n_units), n_lanes) for x in slot.layers]),
        )
        hold = np.repeat([layer.hold_periods for layer in slot.layers], sizes)
        gate = np.repeat([layer.power_gate for layer in slot.layers], sizes)
        self._sizes = dict(zip(self.starts, sizes, strict=True))
        self._n_in = slot.bank.spec.width(PortKind.INPUT)
        self.idle = IdleTracker(slot.bank.spec, hold, gate, merge_idle)
        self.n_units = sum(sizes)
        self.outputs = np.zeros((self.n_units, slot.bank.spec.width(PortKind.OUTPUT)))
        self.replayed: Counts | None = None

    def gather(self, step: int, deliveries: Mapping[str, Delivery]) -> list[Call]:
        """Join what the layers of this bank receive into the calls of this edge."""
        for layer in self.layers:
            self._check(layer.name, deliveries[layer.name])
        parts = [(self.starts[layer.name], deliveries[layer.name]) for layer in self.layers]
        units = np.concatenate([start + part.units for start, part in parts])
        return self.idle.plan(step, units, np.vstack([part.inputs for _, part in parts]))

    def in_bank(self, request: StepInput) -> StepInput:
        """Return a request with the bank's own unit numbers."""
        return replace(request, units=request.units + self.first) if self.first else request

    def _check(self, layer: str, part: Delivery) -> None:
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
        order: Sequence[str],
        n_lanes: int,
        ledger: Ledger,
        merge_idle: bool,
        *,
        by_layer: bool = False,
    ) -> None:
        """`order` are the names of all layers in the ledger's order; `by_layer` for `run_layer`."""
        self._n_lanes = n_lanes
        self._ledger = ledger
        self._seats: list[_Seat] = []
        for slot in slots:
            # A replay starts from reset by itself, and tells the outputs there.
            replays = by_layer and isinstance(slot.bank, OpenLoop)
            outputs = None if replays else slot.bank.reset()
            parts = [replace(slot, layers=(layer,)) for layer in slot.layers] if by_layer else [slot]
            first = 0
            for part in parts:
                seat = _Seat(part, order, n_lanes, merge_idle, first)
                first += seat.n_units
                if outputs is not None:
                    seat.outputs = outputs[seat.first : first]
                self._seats.append(seat)

    def at_reset(self) -> dict[str, LayerOutput]:
        """Return what every layer shows before the first edge."""
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
    ) -> list[LayerOutput]:
        """Run one layer through all its edges and settle it; return what it shows at reset and after each.

        A bank that can replay answers each unit's whole input at once, any other one is stepped.
        """
        (seat,) = (seat for seat in self._seats if seat.layers[0].name == layer)
        edges = [seat.gather(step, {layer: delivery}) for step, delivery in enumerate(deliveries)]
        edges.append(seat.idle.settle(len(deliveries)))
        answers = None
        if isinstance(seat.bank, OpenLoop):
            params = seat.bank.params[seat.first : seat.first + seat.n_units]
            flat = [call for calls in edges for call in calls]
            seat.outputs, whole, seat.replayed = replayed(seat.bank, params, flat, progress)
            self._record(seat, flat, whole)
            answers = iter(in_calls(whole, flat))
        nothing = np.zeros(seat.n_units, dtype=np.bool_)
        shown = [self._show({id(seat): nothing}, [seat])[layer]]
        for step, calls in enumerate(edges):
            if step < len(deliveries):
                self._ledger.digital(deliveries[step].actions)
            fired = self._execute(seat, calls, answers)
            shown.append(self._show({id(seat): fired}, [seat])[layer])
            if answers is None:
                progress((step + 1) / len(edges))
        return shown[:-1]

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

    def _execute(
        self, seat: _Seat, calls: list[Call], answers: Iterator[StepResult] | None = None
    ) -> NDArray[np.bool_]:
        """Step the bank call by call, or take recorded answers; return which units fired in time."""
        fired = np.zeros(seat.n_units, dtype=np.bool_)
        for call in calls:
            units = call.request.units
            if answers:
                result = next(answers)
            else:
                result = seat.bank.step(seat.in_bank(call.request))
                self._record(seat, [call], result)
            seat.outputs[units] = result.outputs
            fired[units] |= result.fired & ~call.merged
        return fired

    def _record(self, seat: _Seat, calls: Sequence[Call], result: StepResult) -> None:
        """Enter the rows of some calls into the ledger."""
        if not calls:
            return
        if not np.isfinite(result.supply_j + result.input_j).all():
            raise ContractError(f"bank of {seat.bank.spec.name}: an energy is not finite")
        units = np.concatenate([call.request.units for call in calls])
        self._ledger.record(seat.address.take(units), calls, result, seat.bank.spec.period_ps)

    def _show(
        self, fired: Mapping[int, NDArray[np.bool_]], seats: Sequence[_Seat] | None = None
    ) -> dict[str, LayerOutput]:
        shown = {}
        for seat in self._seats if seats is None else seats:
            for layer in seat.layers:
                rows = self._rows(seat, layer)
                shape = (self._n_lanes, layer.n_units)
                shown[layer.name] = LayerOutput(
                    fired=fired[id(seat)][rows].reshape(shape),
                    outputs=seat.outputs[rows].reshape(*shape, -1).copy(),
                )
        return shown

"""The engine: answers one clock edge for all layers. It owns the banks' time, idle merging and the ledger.

`simcore.schedule` decides when an edge comes; the engine decides what happens in it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simcore.architecture import Delivery, Layer, LayerOutput
from simcore.bank import AnalogBank
from simcore.errors import ContractError
from simcore.idle import Call, IdleTracker
from simcore.ledger import Address, Ledger
from simcore.spec import PortKind


@dataclass(frozen=True, slots=True)
class BankSlot:
    """A bank and the layers whose units it holds, one after the other, each lane by lane."""

    bank: AnalogBank
    layers: tuple[Layer, ...]


class _Seat:
    """Mutable state of one bank in the engine: its idle tracker and the addresses of its units."""

    def __init__(self, slot: BankSlot, order: Sequence[str], n_lanes: int, merge_idle: bool) -> None:
        self.bank = slot.bank
        self.layers = slot.layers
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
        self.outputs = slot.bank.reset()

    def gather(self, step: int, deliveries: Mapping[str, Delivery]) -> list[Call]:
        """Join what the layers of this bank receive into the calls of this edge."""
        for layer in self.layers:
            self._check(layer.name, deliveries[layer.name])
        parts = [(self.starts[layer.name], deliveries[layer.name]) for layer in self.layers]
        units = np.concatenate([start + part.units for start, part in parts])
        return self.idle.plan(step, units, np.vstack([part.inputs for _, part in parts]))

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
        self, slots: Sequence[BankSlot], order: Sequence[str], n_lanes: int, ledger: Ledger, merge_idle: bool
    ) -> None:
        """`order` are the names of all layers in the ledger's order."""
        self._n_lanes = n_lanes
        self._ledger = ledger
        self._seats = [_Seat(slot, order, n_lanes, merge_idle) for slot in slots]

    def at_reset(self) -> dict[str, LayerOutput]:
        """Return what every layer shows before the first edge."""
        return self._show({id(seat): np.zeros(seat.bank.n_units, dtype=np.bool_) for seat in self._seats})

    def edge(self, step: int, deliveries: Mapping[str, Delivery]) -> dict[str, LayerOutput]:
        """Answer edge `step`: deliver, step all banks, record; return what every layer shows at its end."""
        fired = {}
        for delivery in deliveries.values():
            self._ledger.digital(delivery.actions)
        for seat in self._seats:
            fired[id(seat)] = self._execute(seat, seat.gather(step, deliveries))
        return self._show(fired)

    def settle(self, step: int) -> None:
        """Bring every unit to the common end time `step`."""
        for seat in self._seats:
            self._execute(seat, seat.idle.settle(step))

    def counters(self) -> dict[str, dict[str, NDArray[np.int64]]]:
        """Return the banks' counters summed per layer and lane: layer -> counter -> (n_lanes,)."""
        counts: dict[str, dict[str, NDArray[np.int64]]] = {}
        for seat in self._seats:
            per_unit = seat.bank.counters()
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
        """Step the bank call by call; return which units fired in time, (n_units,)."""
        fired = np.zeros(seat.bank.n_units, dtype=np.bool_)
        for call in calls:
            units = call.request.units
            result = seat.bank.step(call.request)
            if not np.isfinite(result.supply_j + result.input_j).all():
                raise ContractError(f"bank of {seat.bank.spec.name}: an energy is not finite")
            seat.outputs[units] = result.outputs
            self._ledger.record(seat.address.take(units), call, result, seat.bank.spec.period_ps)
            fired[units] |= result.fired & ~call.merged
        return fired

    def _show(self, fired: Mapping[int, NDArray[np.bool_]]) -> dict[str, LayerOutput]:
        shown = {}
        for seat in self._seats:
            for layer in seat.layers:
                rows = self._rows(seat, layer)
                shape = (self._n_lanes, layer.n_units)
                shown[layer.name] = LayerOutput(
                    fired=fired[id(seat)][rows].reshape(shape),
                    outputs=seat.outputs[rows].reshape(*shape, -1).copy(),
                )
        return shown

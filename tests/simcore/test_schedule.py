"""Engine and LockStep: who is stepped when, and what it sees of the others."""

from dataclasses import replace

import numpy as np
import pytest

from simcore.architecture import Delivery, Layer, LayerOutput, Network, Observation, check_network
from simcore.bank import Floats
from simcore.engine import BankSlot, Engine
from simcore.errors import ContractError
from simcore.ledger import LayerTotals, Ledger
from simcore.schedule import lock_step
from tests.simcore.fakes import Count, FakeBank, Relay, Script, follower, leaky

PERIOD_PS = 1000


class Watch:
    """Readout that remembers in which steps unit 0 of the last layer fired."""

    path: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.fired: list[int] = []

    def observe(self, step: int, source: LayerOutput) -> Observation:
        if source.fired[0, 0]:
            self.fired.append(step)
        return Observation()

    def scores(self) -> Floats:
        return np.zeros((1, 1))


def pulse(name: str, stage: object, n_units: int = 1, **changes: object) -> Layer:
    return replace(Layer(name, "leaky", n_units, {}, stage), **changes)


def simulate(
    network: Network, slots: list[BankSlot], n_lanes: int = 1, merge: bool = True
) -> dict[str, LayerTotals]:
    ledger = Ledger({x.name: x.n_units for x in network.layers}, n_lanes)
    engine = Engine(slots, n_lanes, ledger, merge_idle=merge)
    lock_step(network, engine, ledger, PERIOD_PS, lambda: None)
    return ledger.totals()


def shared(layers: tuple[Layer, ...], n_lanes: int = 1) -> list[BankSlot]:
    """One bank for all layers."""
    n = sum(layer.n_units for layer in layers) * n_lanes
    return [BankSlot(FakeBank(leaky(), np.ones((n, 1))), layers)]


def ping(steps: list[int]) -> Script:
    return Script({step: ([0], [[1.5]]) for step in steps})


@pytest.mark.parametrize("delay", [1, 2, 3])
def test_spike_of_a_step_is_delivered_after_the_delay(delay: int) -> None:
    relay = Relay("b", 1.5)
    layers = (pulse("a", ping([2])), pulse("b", relay, sources=("a",), delay_periods=delay))
    watch = Watch()
    simulate(Network(layers, watch, 8), shared(layers))
    assert [step for step, seen in enumerate(relay.seen) if seen.any()] == [2 + delay]
    assert watch.fired == [2 + delay]


def test_spike_in_a_tail_step_is_delivered() -> None:
    relay = Relay("b", 0.5)
    layers = (
        pulse("a", Script({0: ([0], [[4.0]])})),  # 4 fires, 1.5 is left, fires in the tail, 0.25 is left
        pulse("b", relay, sources=("a",)),
    )
    totals = simulate(Network(layers, Watch(), 5), shared(layers))
    assert [step for step, seen in enumerate(relay.seen) if seen.any()] == [1, 2]
    assert totals["a"].fired.tolist() == [2]
    assert totals["a"].late.tolist() == [0]


def test_late_event_is_counted_and_not_delivered() -> None:
    relay = Relay("b", 0.5)
    # 20 fires in the driven step, 9.5 and 4.25 in the tails, 1.625 in the merged step.
    layers = (pulse("a", Script({0: ([0], [[20.0]])})), pulse("b", relay, sources=("a",)))
    totals = simulate(Network(layers, Watch(), 12), shared(layers))
    assert totals["a"].late.tolist() == [1]
    assert totals["a"].fired.tolist() == [3]
    assert [step for step, seen in enumerate(relay.seen) if seen.any()] == [1, 2, 3]


def test_feedback_runs_in_lock_step() -> None:
    """A ring of two units passes one spike round for ever, one layer per step."""
    there, back = Relay("b", 1.5), Relay("a", 1.5)

    class Start:
        path: tuple[str, ...] = ()

        def deliver(self, step: int, sources: tuple[LayerOutput, ...]) -> Delivery:
            return ping([0]).deliver(step, ()) if step == 0 else back.deliver(step, sources)

    layers = (pulse("a", Start(), sources=("b",)), pulse("b", there, sources=("a",)))
    watch = Watch()
    totals = simulate(Network(layers, watch, 9), shared(layers))
    assert watch.fired == [1, 3, 5, 7]
    assert totals["a"].fired.tolist() == [5]


def test_layer_that_feeds_itself_sees_its_own_last_step() -> None:
    relay = Relay("a", 0.25)
    layers = (pulse("in", ping([1])), pulse("a", relay, sources=("in", "a")))
    simulate(Network(layers, Watch(), 4), shared(layers))
    assert [bool(seen.any()) for seen in relay.seen] == [False, False, True, False]


@pytest.mark.parametrize("one_bank", [True, False])
def test_order_of_layers_does_not_matter(one_bank: bool) -> None:
    def totals(names: list[str]) -> dict[str, LayerTotals]:
        script = Script({s: (range(4), [[1.5], [0.5], [2.5], [3.0]]) for s in (0, 1, 5, 9)})
        made = {
            "a": pulse("a", script, 4),
            "b": pulse("b", Relay("b", 1.5), 4, sources=("a",)),
            "c": pulse("c", Relay("c", 2.5), 4, sources=("b", "a"), delay_periods=2),
        }
        layers = tuple(made[name] for name in names)
        groups = [layers] if one_bank else [(layer,) for layer in layers]
        slots = [slot for group in groups for slot in shared(group)]
        return simulate(Network(layers, Count(1, names[-1]), 14), slots)

    first, second = totals(["a", "b", "c"]), totals(["c", "a", "b"])
    for name in "abc":
        for column in (
            "supply_j",
            "input_j",
            "steps",
            "fired",
            "last_event_s",
            "unit_energy_j",
            "unit_fired",
        ):
            np.testing.assert_array_equal(getattr(first[name], column), getattr(second[name], column))
    assert first["c"].fired[0] > 0


def test_one_bank_call_per_circuit_and_edge_for_driven_units() -> None:
    script = Script({s: ([0, 1], [[1.5], [1.5]]) for s in range(5)})
    layers = tuple(pulse(name, script, 2) for name in "abc")
    slots = shared(layers)
    simulate(Network(layers, Count(1, "c"), 5), slots)
    calls = slots[0].bank.calls
    assert [(call.idle, len(call.units)) for call in calls] == [(False, 6)] * 5


def test_two_circuits_get_one_call_each() -> None:
    pulses = pulse("a", Script({s: ([0], [[1.5]]) for s in range(4)}))
    levels = replace(pulses, name="b", circuit="follower", stage=Script({2: ([0], [[0.5, 0.5]])}, n_in=2))
    slots = [
        BankSlot(FakeBank(leaky(), np.ones((1, 1))), (pulses,)),
        BankSlot(FakeBank(follower(), np.ones((1, 2))), (levels,)),
    ]
    simulate(Network((pulses, levels), Count(1, "b"), 4), slots)
    assert [call.idle for call in slots[0].bank.calls] == [False] * 4
    # catch-up of 0..1, driven at 2, gated at 3
    assert [call.idle for call in slots[1].bank.calls] == [True, False, False]


def test_layers_see_the_reset_outputs_before_the_first_edge() -> None:
    seen = []

    class Look:
        path: tuple[str, ...] = ()

        def deliver(self, step: int, sources: tuple[LayerOutput, ...]) -> Delivery:
            seen.append((sources[0].fired.copy(), sources[0].outputs.copy()))
            return Script({}).deliver(step, ())

    layers = (pulse("a", ping([0]), 3), pulse("b", Look(), 3, sources=("a",)))
    simulate(Network(layers, Count(2, "b"), 1), shared(layers, 2), n_lanes=2)
    fired, outputs = seen[0]
    assert fired.shape == (2, 3)
    assert outputs.shape == (2, 3, 1)
    assert not fired.any()


def test_level_outputs_stay_until_the_next_step_of_the_unit() -> None:
    shown = []

    class Look:
        path: tuple[str, ...] = ()

        def observe(self, step: int, source: LayerOutput) -> Observation:
            shown.append(float(source.outputs[0, 0, 0]))
            return Observation()

        def scores(self) -> Floats:
            return np.zeros((1, 1))

    layer = replace(pulse("a", Script({1: ([0], [[0.5, 0.25]])}, n_in=2)), circuit="follower", hold_periods=3)
    simulate(Network((layer,), Look(), 6), [BankSlot(FakeBank(follower(), np.ones((1, 2))), (layer,))])
    assert shown == [0.0, 0.75, 0.75, 0.75, 0.0, 0.0]


BAD = [
    ([1, 0], [[1.0], [1.0]], "ascend, each once, within 0..1"),
    ([1, 1], [[1.0], [1.0]], "ascend, each once, within 0..1"),
    ([2], [[1.0]], "ascend, each once, within 0..1"),
    ([-1], [[1.0]], "ascend, each once, within 0..1"),
    ([0], [[np.nan]], "must be finite"),
]


@pytest.mark.parametrize(("units", "inputs", "message"), BAD)
def test_wrong_delivery_is_refused(units: list[int], inputs: list[list[float]], message: str) -> None:
    layers = (pulse("a", Script({1: (units, inputs)}), 2), pulse("b", Script({}), 2))
    with pytest.raises(ContractError, match=f"layer a: .*{message}"):
        simulate(Network(layers, Count(1, "b"), 3), shared(layers))


def test_delivery_of_the_wrong_width_is_refused() -> None:
    layers = (pulse("a", Script({0: ([0], [[1.0, 2.0]])}, n_in=2), 2),)
    with pytest.raises(ContractError, match=r"shape \(1, 1\), got \(1, 2\)"):
        simulate(Network(layers, Count(1, "a"), 3), shared(layers))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sources": ("c",)}, "layer b: unknown source 'c', known: a, b"),
        ({"delay_periods": 0}, "layer b: delay_periods is 0, expected 1 or more"),
        ({"hold_periods": 0}, "layer b: hold_periods is 0"),
        ({"n_units": 0}, "layer b: n_units is 0"),
        ({"name": "a"}, "different names, got: a, a"),
    ],
)
def test_network_that_does_not_fit_together_is_refused(changes: dict[str, object], message: str) -> None:
    layers = (pulse("a", ping([0])), replace(pulse("b", Relay("b", 1.0)), **changes))
    with pytest.raises(ContractError, match=message):
        check_network(Network(layers, Count(1, "b"), 1))


def test_network_without_layers_is_refused() -> None:
    with pytest.raises(ContractError, match="got: none"):
        check_network(Network((), Count(1, "b"), 1))

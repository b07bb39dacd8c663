"""The ledger against sums made by hand."""

import numpy as np
import pytest

from simcore.architecture import Network
from simcore.bank import StepInput, StepResult
from simcore.engine import BankSlot, Engine
from simcore.errors import ContractError
from simcore.idle import Call, Rows
from simcore.ledger import LayerTotals, Ledger, StepKind, TraceRows
from simcore.schedule import lock_step
from tests.simcore.fakes import INPUT_J, LATENCY_S, PULSE_J, SUPPLY_J, Count, FakeBank, Relay, Script, leaky
from tests.simcore.test_schedule import pulse, shared

PERIOD_PS = 1000
NAN = np.nan


def record(
    book: Ledger, layer: list[int], lane: list[int], unit: list[int], calls: Call, answer: StepResult
) -> None:
    """Enter one call; layers by their place in the ledger."""
    names, n_lanes = list(book._sizes), book._n_lanes
    at = [
        book.places(names[i])[row * book._sizes[names[i]] + each]
        for i, row, each in zip(layer, lane, unit, strict=True)
    ]
    assert max(lane) < n_lanes
    book.record(np.array(at), Rows.of([calls]), answer, PERIOD_PS)


def call(
    units: list[int], *, idle: bool = False, start: int = 0, merged: bool = False, gated: bool = False
) -> Call:
    k = len(units)
    request = StepInput(np.array(units), np.full(k, PERIOD_PS), np.zeros((k, 1)), idle)
    return Call(
        request, np.full(k, start), np.full(k, merged), np.full(k, gated), np.zeros(k, dtype=np.int64)
    )


def result(fired: list[bool], supply: list[float], charge: list[float], latency: list[float]) -> StepResult:
    k = len(fired)
    return StepResult(
        np.zeros((k, 1)),
        np.zeros((k, 1)),
        np.array(fired),
        np.array(supply),
        np.array(charge),
        np.array(latency),
    )


@pytest.fixture
def ledger() -> Ledger:
    """Two layers of 2 and 1 units, two lanes, four calls."""
    book = Ledger({"a": 2, "b": 1}, 2, trace=True)
    fired = [True, False, True, False, True, False]
    latency = [0.25, NAN, 0.5, NAN, 0.125, NAN]
    record(
        book, [0, 0, 0, 0, 1, 1], [0, 0, 1, 1, 0, 1], [0, 1, 0, 1, 0, 0], call([0, 1, 2, 3, 4, 5], start=1),
        result(fired, [1, 2, 3, 4, 5, 6], [0.5, -0.5, 0.25, 0, 0, 1], [t * 1e-9 for t in latency]),
    )  # fmt: skip
    tail = call([1], idle=True, start=2)
    record(book, [0], [0], [1], tail, result([True], [8], [0], [0.75e-9]))
    late = call([1], idle=True, start=3, merged=True)
    record(book, [0], [0], [1], late, result([True], [16], [0], [0.5e-9]))
    gated = call([0], start=5, gated=True)
    record(book, [0], [0], [0], gated, result([True], [32], [2], [0.5e-9]))
    return book


def test_totals_by_lane_layer_and_kind(ledger: Ledger) -> None:
    a, b = ledger.totals()["a"], ledger.totals()["b"]
    assert a.supply_j.tolist() == [[1 + 32, 2, 8 + 16], [3, 4, 0]]
    assert a.input_j.tolist() == [[0.5 + 2, -0.5, 0], [0.25, 0, 0]]
    assert a.steps.tolist() == [[2, 1, 2], [1, 1, 0]]
    assert b.supply_j.tolist() == [[5, 0, 0], [0, 6, 0]]
    assert b.steps.tolist() == [[1, 0, 0], [0, 1, 0]]


def test_late_events_are_counted_apart(ledger: Ledger) -> None:
    a = ledger.totals()["a"]
    assert a.late.tolist() == [1, 0]
    assert a.fired.tolist() == [3, 1]
    assert a.unit_fired.tolist() == [[2, 1], [1, 0]]
    np.testing.assert_allclose(a.latency_sum_s, [1.5e-9, 0.5e-9], rtol=1e-15)


def test_events_without_latency_count_but_are_not_timed() -> None:
    """A static circuit: lane 0 knows one of two latencies, lane 1 none of its one."""
    book = Ledger({"a": 2}, 2, trace=True)
    fired, latency = [True, True, True, False], [0.25e-9, NAN, NAN, NAN]
    answer = result(fired, [1, 2, 4, 8], [0, 0, 0, 0], latency)
    record(book, [0] * 4, [0, 0, 1, 1], [0, 1, 0, 1], call([0, 1, 2, 3], start=1), answer)
    record(book, [0], [0], [1], call([1], start=5), result([True], [16], [0], [NAN]))
    a = book.totals()["a"]
    assert a.fired.tolist() == [3, 1]
    assert a.timed.tolist() == [1, 0]
    assert a.latency_sum_s.tolist() == [0.25e-9, 0.0]
    np.testing.assert_allclose(a.last_event_s, [1.25e-9, NAN], rtol=1e-15)
    assert a.supply_j.tolist() == [[1 + 2 + 16, 0, 0], [4, 8, 0]]
    np.testing.assert_array_equal(book.trace()["a"].latency_s, [0.25e-9, NAN, NAN, NAN, NAN])


def test_all_events_in_time_of_a_dynamic_circuit_are_timed(ledger: Ledger) -> None:
    for totals in ledger.totals().values():
        np.testing.assert_array_equal(totals.timed, totals.fired)


def test_last_event_leaves_out_late_events_and_returns_to_reset(ledger: Ledger) -> None:
    totals = ledger.totals()
    np.testing.assert_allclose(totals["a"].last_event_s, [2e-9 + 0.75e-9, 1e-9 + 0.5e-9], rtol=1e-15)
    np.testing.assert_allclose(totals["b"].last_event_s, [1.125e-9, NAN], rtol=1e-15)


def test_units_add_up_to_their_layer(ledger: Ledger) -> None:
    for totals in ledger.totals().values():
        both = totals.supply_j + totals.input_j
        np.testing.assert_allclose(totals.unit_energy_j.sum(axis=1), both.sum(axis=1), rtol=1e-15)


def test_trace_rows_are_ordered_by_step(ledger: Ledger) -> None:
    rows = ledger.trace()["a"]
    assert rows.lane.tolist() == [0, 0, 1, 1, 0, 0, 0]
    assert rows.unit.tolist() == [0, 1, 0, 1, 1, 1, 0]
    assert rows.step.tolist() == [1, 1, 1, 1, 2, 3, 5]
    assert rows.periods.tolist() == [1] * 7
    assert rows.idle.tolist() == [False] * 4 + [True, True, False]
    assert rows.merged.tolist() == [False] * 5 + [True, False]
    assert rows.gated.tolist() == [False] * 6 + [True]
    assert rows.supply_j.tolist() == [1, 2, 3, 4, 8, 16, 32]
    assert rows.inputs.shape == (7, 1)
    assert isinstance(rows.take(rows.lane == 1), TraceRows)


def test_untraced_ledger_keeps_no_rows() -> None:
    book = Ledger({"a": 1}, 1)
    record(book, [0], [0], [0], call([0]), result([False], [1], [0], [NAN]))
    assert book.trace() == {}


def test_digital_actions_add_up_per_component() -> None:
    book = Ledger({"a": 1, "b": 1}, 2)
    book.digital({("a", "adc"): np.array([1.0, 2.0]), ("b", "dac"): np.array([4.0, 0.0])})
    book.digital({("a", "adc"): np.array([8.0, 8.0])})
    assert book.totals()["a"].digital["adc"].tolist() == [9.0, 10.0]
    assert book.totals()["b"].digital["dac"].tolist() == [4.0, 0.0]


@pytest.mark.parametrize("key", [("a", "abacus"), ("c", "adc")])
def test_unknown_digital_action_is_refused(key: tuple[str, str]) -> None:
    message = f"'{key[1]}' of layer '{key[0]}'; known layers: a, b; known components: adc, sample_hold, dac"
    with pytest.raises(ContractError, match=message):
        Ledger({"a": 1, "b": 1}, 1).digital({key: np.ones(1)})


def run_pair(n_lanes: int, drives: list[float], trace: bool = False) -> dict[str, LayerTotals]:
    """Lane i of `a` gets a packet of drives[i] at step 1; `b` follows."""
    script = Script({1: (range(n_lanes), [[w] for w in drives])})
    layers = (pulse("a", script), pulse("b", Relay("b", 1.5), sources=("a",)))
    book = Ledger({"a": 1, "b": 1}, n_lanes, trace)
    engine = Engine(shared(layers, n_lanes), n_lanes, book, merge_idle=True)
    lock_step(Network(layers, Count(n_lanes, "b"), 6), engine, book, PERIOD_PS, lambda: None)
    return book.totals()


def test_run_of_two_units_by_hand() -> None:
    totals = run_pair(1, [1.5])
    # a: idle 1, driven, tails 2, merged 2 -> 6 periods; b: idle 2, driven, tails 2, merged 1.
    assert totals["a"].supply_j.tolist() == [[SUPPLY_J + PULSE_J, 0.0, 5 * SUPPLY_J]]
    assert totals["a"].steps.tolist() == [[1, 0, 4]]
    assert totals["a"].input_j.tolist() == [[1.5 * INPUT_J, 0.0, 0.0]]
    assert totals["b"].supply_j.tolist() == [[SUPPLY_J + PULSE_J, 0.0, 5 * SUPPLY_J]]
    assert totals["a"].last_event_s.tolist() == [1e-9 + LATENCY_S]
    assert totals["b"].last_event_s.tolist() == [2e-9 + LATENCY_S]
    assert totals["b"].digital["accumulate"].tolist() == [1.0]
    assert totals["b"].digital["spike_count"].tolist() == [1.0]


def test_quiet_step_costs_energy_and_has_no_latency() -> None:
    totals = run_pair(1, [0.5])["a"]
    assert totals.supply_j[0, StepKind.QUIET] == SUPPLY_J + PULSE_J
    assert totals.supply_j[0, StepKind.ACTIVE] == 0.0
    assert np.isnan(totals.last_event_s[0])
    assert totals.latency_sum_s[0] == 0.0


def test_lanes_of_one_run_equal_single_runs_exactly() -> None:
    drives = [1.5, 0.3, 2.7, 3.9]
    together = run_pair(4, drives)
    for lane, drive in enumerate(drives):
        alone = run_pair(1, [drive])
        for name in ("a", "b"):
            for column in ("supply_j", "input_j", "steps", "fired", "late", "latency_sum_s", "last_event_s",
                           "unit_energy_j", "unit_fired"):  # fmt: skip
                left, right = getattr(together[name], column)[lane], getattr(alone[name], column)[0]
                np.testing.assert_array_equal(left, right)


def test_counters_are_summed_per_layer_and_lane() -> None:
    script = Script({1: ([0, 2], [[9.0], [9.0]]), 2: ([2], [[9.0]])})
    layers = (pulse("a", script, 2), pulse("b", Script({1: ([3], [[9.0]])}), 2))
    bank = FakeBank(leaky(), np.ones((8, 1)))
    engine = Engine([BankSlot(bank, layers)], 2, book := Ledger({"a": 2, "b": 2}, 2), merge_idle=True)
    lock_step(Network(layers, Count(2, "b"), 4), engine, book, PERIOD_PS, lambda: None)
    counts = engine.counters()
    assert counts["a"]["out_of_range"].tolist() == [1, 2]
    assert counts["b"]["out_of_range"].tolist() == [0, 1]

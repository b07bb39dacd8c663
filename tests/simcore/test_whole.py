"""Whole inputs: rows made by arithmetic are those that the idle tracker plans edge by edge."""

import itertools

import numpy as np
import pytest

from simcore.architecture import Delivery
from simcore.idle import IdleTracker, Rows
from simcore.replay import FEW, call_order
from simcore.spec import CircuitSpec
from simcore.whole import Habits, events_of, stable_order, whole_input
from tests.simcore.fakes import follower, leaky

N_UNITS, N_STEPS = 9, 40


def drawn(spec: CircuitSpec, seed: int) -> tuple[list[Delivery], Habits]:
    """Rare to frequent deliveries; levels repeat themselves and return to reset by themselves too."""
    rng = np.random.default_rng(seed)
    rate = rng.choice([0.02, 0.1, 0.5, 1.0], N_UNITS)
    rate[0] = 0.0
    deliveries = []
    for _ in range(N_STEPS):
        units = np.flatnonzero(rng.random(N_UNITS) < rate)
        choices = rng.choice([*spec.reset_inputs, 0.25, 0.5], (len(units), len(spec.reset_inputs)))
        deliveries.append(Delivery(units, choices))
    return deliveries, Habits(rng.integers(1, 4, N_UNITS), rng.random(N_UNITS) < 0.6)


def assert_same(found: Rows, expected: Rows, rows: np.ndarray) -> None:
    np.testing.assert_array_equal(found.inputs.take(), expected.inputs.take(rows))
    for column in set(Rows.__slots__) - {"inputs"}:
        np.testing.assert_array_equal(getattr(found, column), getattr(expected, column)[rows], err_msg=column)


@pytest.mark.parametrize("merge", [True, False])
@pytest.mark.parametrize("make", [leaky, follower])
@pytest.mark.parametrize("seed", range(8))
def test_rows_are_those_of_the_idle_tracker(make: object, merge: bool, seed: int) -> None:
    spec = make()
    deliveries, habits = drawn(spec, seed)
    tracker = IdleTracker(spec, habits.hold_periods, habits.power_gate, merge)
    calls = [
        call for step, part in enumerate(deliveries) for call in tracker.plan(step, part.units, part.inputs)
    ]
    calls += tracker.settle(N_STEPS)
    expected = Rows.of(calls)
    units = np.concatenate([call.request.units for call in calls])
    order = np.argsort(units, kind="stable")
    found = whole_input(spec, habits, events_of(deliveries, spec.reset_inputs), N_STEPS, merge_idle=merge)
    np.testing.assert_array_equal(np.diff(found.starts), np.bincount(units, minlength=N_UNITS))
    assert_same(found.rows, expected, order)


def test_some_units_have_the_rows_that_they_have_among_all() -> None:
    spec = leaky()
    deliveries, habits = drawn(spec, 1)
    events = events_of(deliveries, spec.reset_inputs)
    whole = whole_input(spec, habits, events, N_STEPS, merge_idle=True)
    part = whole_input(spec, habits.take(slice(2, 6)), events.of_units(2, 6), N_STEPS, merge_idle=True)
    rows = slice(whole.starts[2], whole.starts[6])
    np.testing.assert_array_equal(part.starts, whole.starts[2:7] - whole.starts[2])
    assert_same(part.rows, whole.rows, np.arange(rows.start, rows.stop))


def test_no_delivery_is_one_merged_row_a_gap() -> None:
    spec = leaky()
    nothing = [Delivery(np.zeros(0, np.int64), np.zeros((0, 1)))] * N_STEPS
    habits = Habits(np.ones(2, np.int64), np.ones(2, np.bool_))
    found = whole_input(spec, habits, events_of(nothing, spec.reset_inputs), N_STEPS, merge_idle=True)
    assert found.rows.duration_ps.sum() == 2 * N_STEPS * spec.period_ps
    assert found.rows.merged.all()


@pytest.mark.parametrize("longest_gap", [2, FEW, FEW + 5])
def test_calls_keep_the_order_of_a_unit_and_take_it_once(longest_gap: int) -> None:
    rng = np.random.default_rng(longest_gap)
    idle, starts = [], [0]
    for unit in range(30):
        idle += [True] * (unit % 3 % (longest_gap + 1))
        for gap in rng.integers(0, longest_gap + 1, rng.integers(0, 9)):
            idle += [False] + [True] * int(gap)
        starts.append(len(idle))
    order = call_order(np.array(starts), np.array(idle))
    seen = np.concatenate([rows for rows, _ in order.calls()])
    assert sorted(seen.tolist()) == list(range(len(idle)))
    last = dict.fromkeys(range(30), -1)
    for rows, is_idle in order.calls():
        assert (np.array(idle)[rows] == is_idle).all()
        assert (np.diff(order.unit[rows]) > 0).all()
        for row, unit in zip(rows.tolist(), order.unit[rows].tolist(), strict=True):
            assert row > last[unit]
            last[unit] = row
    n_driven = max(np.count_nonzero(~np.array(idle)[a:b]) for a, b in itertools.pairwise(starts))
    most = (1 + longest_gap) * n_driven + 2 if longest_gap <= FEW else 2 * max(np.diff(starts))
    assert len(order.idle) <= most


def test_no_rows_no_calls() -> None:
    assert list(call_order(np.zeros(4, np.int64), np.zeros(0, np.bool_)).calls()) == []


@pytest.mark.parametrize("largest", [1, 70, 66_000, 2**31])
def test_stable_order_is_that_of_numpy(largest: int) -> None:
    keys = np.random.default_rng(0).integers(0, largest, 5000)
    np.testing.assert_array_equal(stable_order(keys), np.argsort(keys, kind="stable"))

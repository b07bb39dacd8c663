"""Idle merging: which steps a unit takes, and that merging them changes no figure."""

from collections.abc import Mapping

import numpy as np
import pytest

from simcore.bank import StepResult
from simcore.errors import ContractError
from simcore.idle import Call, IdleTracker
from simcore.spec import CircuitSpec
from tests.simcore.fakes import FakeBank, follower, leaky

Script = Mapping[int, Mapping[int, list[float]]]
"""step -> unit -> inputs"""


def tracker(
    spec: CircuitSpec, n_units: int = 1, merge: bool = True, hold: int = 1, gate: bool = True
) -> IdleTracker:
    return IdleTracker(spec, np.full(n_units, hold), np.full(n_units, gate), merge)


def plan(idle: IdleTracker, step: int, driven: Mapping[int, list[float]]) -> list[Call]:
    units = np.array(sorted(driven), dtype=np.int64)
    inputs = np.array([driven[u] for u in sorted(driven)])
    return idle.plan(step, units, inputs if len(units) else np.empty((0, n_in(idle))))


def n_in(idle: IdleTracker) -> int:
    return idle._held.shape[1]


def calls_of(idle: IdleTracker, script: Script, n_steps: int) -> list[Call]:
    calls = [call for step in range(n_steps) for call in plan(idle, step, script.get(step, {}))]
    return calls + idle.settle(n_steps)


def rows(calls: list[Call], unit: int = 0) -> list[tuple[str, int, int]]:
    """The steps of one unit: what, start, periods."""
    found = []
    for call in calls:
        for row in np.flatnonzero(call.request.units == unit):
            what = "idle" if call.request.idle else "driven"
            what = "merged" if call.merged[row] else "gated" if call.gated[row] else what
            found.append((what, int(call.start[row]), int(call.request.duration_ps[row]) // 1000))
    return found


def execute(bank: FakeBank, calls: list[Call]) -> list[tuple[Call, StepResult]]:
    return [(call, bank.step(call.request)) for call in calls]


def test_driven_step_is_followed_by_tail_steps_and_one_merged_step() -> None:
    calls = calls_of(tracker(leaky()), {1: {0: [1.0]}}, 8)
    assert rows(calls) == [
        ("merged", 0, 1),
        ("driven", 1, 1),
        ("idle", 2, 1),
        ("idle", 3, 1),
        ("merged", 4, 4),
    ]


def test_tail_is_restarted_by_an_input() -> None:
    calls = calls_of(tracker(leaky()), {0: {0: [1.0]}, 2: {0: [1.0]}}, 5)
    assert rows(calls) == [("driven", 0, 1), ("idle", 1, 1), ("driven", 2, 1), ("idle", 3, 1), ("idle", 4, 1)]


def test_never_driven_unit_takes_one_merged_step() -> None:
    assert rows(calls_of(tracker(leaky()), {}, 5)) == [("merged", 0, 5)]


def test_gap_longer_than_max_idle_is_split() -> None:
    calls = calls_of(tracker(leaky()), {0: {0: [1.0]}, 20: {0: [1.0]}}, 21)
    assert rows(calls)[3:] == [("merged", 3, 8), ("merged", 11, 8), ("merged", 19, 1), ("driven", 20, 1)]


def test_stepping_without_merging_takes_every_period() -> None:
    calls = calls_of(tracker(leaky(), merge=False), {1: {0: [1.0]}}, 4)
    assert rows(calls) == [("idle", 0, 1), ("driven", 1, 1), ("idle", 2, 1), ("idle", 3, 1)]


def test_catch_up_and_tail_steps_of_an_edge_share_one_call() -> None:
    idle = tracker(leaky(), n_units=2)
    plan(idle, 0, {0: [1.0]})
    calls = plan(idle, 1, {1: [1.0]})
    assert [call.request.units.tolist() for call in calls] == [[0, 1], [1]]
    assert calls[0].merged.tolist() == [False, True]


@pytest.mark.parametrize("n_steps", [30, 31])
def test_all_units_settle_to_the_common_end_time(n_steps: int) -> None:
    rng = np.random.default_rng(0)
    script = {s: {u: [1.0] for u in range(6) if rng.random() < 0.1 * u} for s in range(n_steps)}
    calls = calls_of(tracker(leaky(), n_units=6), script, n_steps)
    for unit in range(6):
        at = 0
        for _, start, periods in rows(calls, unit):
            assert start == at, "no gap and no overlap"
            at += periods
        assert at == n_steps


@pytest.mark.parametrize("seed", range(5))
def test_merged_equals_stepped(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n_units, n_steps, spec = 5, 60, leaky()
    script = {
        step: {unit: [float(rng.uniform(-1, 1.9))] for unit in range(n_units) if rng.random() < 0.08}
        for step in range(n_steps)
    }
    ends, energies, events = [], [], []
    for merge in (True, False):
        bank = FakeBank(spec, np.ones((n_units, 1)))
        done = execute(bank, calls_of(tracker(spec, n_units, merge), script, n_steps))
        ends.append(bank._v.copy())
        energy, seen = np.zeros((2, n_units)), set()
        for call, result in done:
            np.add.at(energy, (slice(None), call.request.units), [result.supply_j, result.input_j])
            hit = np.flatnonzero(result.fired)
            seen |= set(zip(call.request.units[hit].tolist(), call.start[hit].tolist(), strict=True))
        energies.append(energy)
        events.append(seen)
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(energies[0], energies[1], rtol=1e-12)
    assert events[0] == events[1]
    assert events[0]


def test_event_in_a_merged_step_is_marked() -> None:
    # 20 fires in the driven step, 9.5 and 4.25 in the tails, 1.625 in the merged step.
    bank = FakeBank(leaky(), np.ones((1, 1)))
    done = execute(bank, calls_of(tracker(leaky()), {0: {0: [20.0]}}, 8))
    late = [(call.start[0], bool(result.fired[0])) for call, result in done if call.merged[0]]
    assert late == [(3, True)]
    assert sum(int(result.fired[0]) for _, result in done) == 4


def test_level_is_held_and_then_gated() -> None:
    calls = calls_of(tracker(follower(), hold=2), {1: {0: [0.5, 0.5]}}, 8)
    assert rows(calls) == [
        ("merged", 0, 1), ("driven", 1, 1), ("idle", 2, 1), ("gated", 3, 1), ("idle", 4, 1), ("merged", 5, 3),
    ]  # fmt: skip
    held = [call.request.inputs[0].tolist() for call in calls]
    assert held == [[0, 0], [0.5, 0.5], [0.5, 0.5], [0, 0], [0, 0], [0, 0]]


def test_level_without_power_gate_is_held_to_the_end() -> None:
    calls = calls_of(tracker(follower(), gate=False), {0: {0: [0.5, 0.25]}}, 6)
    assert rows(calls) == [("driven", 0, 1), ("idle", 1, 1), ("merged", 2, 4)]
    assert calls[-1].request.inputs.tolist() == [[0.5, 0.25]]


def test_unchanged_level_is_idle_and_prolongs_its_hold() -> None:
    calls = calls_of(tracker(follower()), {0: {0: [0.5, 0.5]}, 1: {0: [0.5, 0.5]}}, 4)
    assert rows(calls) == [("driven", 0, 1), ("idle", 1, 1), ("gated", 2, 1), ("idle", 3, 1)]


def test_changed_level_is_driven_instead_of_gated() -> None:
    calls = calls_of(tracker(follower()), {0: {0: [0.5, 0.5]}, 1: {0: [0.5, 0.25]}}, 3)
    assert rows(calls) == [("driven", 0, 1), ("driven", 1, 1), ("gated", 2, 1)]


def test_reset_level_delivered_to_a_resting_unit_is_idle() -> None:
    assert rows(calls_of(tracker(follower()), {1: {0: [0.0, 0.0]}}, 3)) == [("merged", 0, 3)]


def test_gated_and_driven_units_share_one_ascending_call() -> None:
    idle = tracker(follower(), n_units=3)
    plan(idle, 0, {1: [0.5, 0.5]})
    driven = plan(idle, 1, {0: [0.25, 0.0], 2: [0.75, 0.0]})[-1]
    assert driven.request.units.tolist() == [0, 1, 2]
    assert driven.gated.tolist() == [False, True, False]
    assert driven.request.inputs[:, 0].tolist() == [0.25, 0.0, 0.75]


def test_energy_of_a_gated_layer_does_not_depend_on_the_length_of_the_run() -> None:
    energies = []
    for n_steps in (6, 40):
        bank = FakeBank(follower(), np.ones((1, 2)))
        done = execute(bank, calls_of(tracker(follower()), {0: {0: [0.5, 0.5]}}, n_steps))
        energies.append(sum(result.input_j.sum() for _, result in done))
    assert energies[0] == energies[1] > 0


def test_driving_a_unit_twice_in_a_period_is_an_error() -> None:
    idle = tracker(leaky(), n_units=2)
    plan(idle, 3, {1: [1.0]})
    with pytest.raises(ContractError, match="driven twice in period 3"):
        plan(idle, 3, {1: [1.0]})

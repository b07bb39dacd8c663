"""The bank contract (docs/bank-contract.md): every back end and every circuit, from the spec alone.

A new back end or circuit is covered by its entry point. What cannot be opened here (no ngspice, no bundle) is
skipped with its reason.
"""

import json
import resource
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simcore import registry
from simcore.bank import AnalogBank, BankRequest, Floats, OpenLoop, Raster, StepInput, StepResult
from simcore.errors import UserError
from simcore.manifest import load_circuit
from simcore.spec import CircuitSpec, PortKind
from tests import divider

N_UNITS, N_STEPS = 3, 4
STATIC = {"spice": (str(divider.FOLDER),)}
"""No shipped circuit is static: the test circuit stands for all, where a back end has it."""
OPTIONS = {"spice": {"workers": 2, "cache": "off"}}
"""Options that keep the tests small; no back end needs any."""
SHIPPED = {
    *(
        (backend, circuit)
        for backend in ("ideal", "surrogate", "annotate")
        for circuit in ("lif_neuron", "crossbar_row")
    ),
    *(("spice", circuit) for circuit in ("lif_neuron", "crossbar_row", "comparator")),
}
"""What must open; another circuit may have no bundle or closed form yet."""
MERGE_TOLERANCE = {
    "ideal": (1e-9, 1e-9), "spice": (0.02, 0.02), "surrogate": (0.1, 0.2), "annotate": (0.1, 0.2)
}  # fmt: skip
"""Back end -> share of the port's range, share of the idle energy: its own error, see 'Merging'."""
MERGED_PERIODS = 4


@dataclass(frozen=True)
class Case:
    """One back end on one circuit."""

    backend: str
    spec: CircuitSpec
    open: Callable[..., AnalogBank]
    """open(rows of the case's parameters) -> bank, closed at the end of the module"""
    bank: AnalogBank
    """A bank of all units, shared by the tests: each resets it first."""


def cases() -> list[Any]:
    marks = {"spice": [pytest.mark.spice]}
    return [
        pytest.param((backend, circuit), id=f"{backend}-{Path(circuit).name}", marks=marks.get(backend, []))
        for backend in registry.names("backends")
        for circuit in (*registry.names("circuits"), *STATIC.get(backend, ()))
    ]


@pytest.fixture(scope="module", params=cases())
def case(request: pytest.FixtureRequest) -> Iterator[Case]:
    backend, circuit = request.param
    spec = load_circuit(circuit)
    params = random_params(spec)
    opened: list[AnalogBank] = []
    options = OPTIONS.get(backend, {})
    if (backend, circuit) == ("annotate", "lif_neuron"):
        options = {"family": str(request.getfixturevalue("neuron_bundle"))}

    def open_bank(rows: Any = slice(None)) -> AnalogBank:
        bank = registry.load("backends", backend)(BankRequest(spec, params[rows], options))
        opened.append(bank)
        return bank

    try:
        bank = open_bank()
    except UserError as error:
        if (backend, circuit) in SHIPPED:
            raise
        pytest.skip(f"{backend} has nothing for {circuit}: {str(error)[:80]}")
    yield Case(backend, spec, open_bank, bank)
    for bank in opened:
        bank.close()


@pytest.fixture
def bank(case: Case) -> AnalogBank:
    return case.bank


def random_params(spec: CircuitSpec, n_units: int = N_UNITS) -> Floats:
    """Defaults for unit 0, values from the middle of the range for the others."""
    low, high = spec.low(PortKind.PARAM), spec.high(PortKind.PARAM)
    share = np.random.default_rng(1).uniform(0.3, 0.7, (n_units, len(low)))
    share[0] = (spec.default_params - low) / (high - low)
    return low + share * (high - low)


def drive(spec: CircuitSpec, units: list[int], seed: int) -> StepInput:
    """A driven step with inputs from the declared range, the same for a unit whoever else is driven."""
    low, high = spec.low(PortKind.INPUT), spec.high(PortKind.INPUT)
    rows = [np.random.default_rng([seed, unit]).uniform(low, high) for unit in units]
    inputs = np.array(rows).reshape(len(units), len(low))
    return StepInput(np.array(units, dtype=np.int64), np.full(len(units), spec.period_ps), inputs, idle=False)


def idle_after(spec: CircuitSpec, before: StepInput, periods: int | list[int] = 1) -> StepInput:
    """An idle step of the units of `before`: levels held, pulses at rest."""
    held = np.where(spec.holds_level, before.inputs, spec.reset_inputs)
    duration = np.broadcast_to(np.asarray(periods) * spec.period_ps, len(before.units)).astype(np.int64)
    return StepInput(before.units, duration, held, idle=True)


def play(bank: AnalogBank, seed: int = 0) -> list[StepResult]:
    """Reset, then drive all units a few times with an idle step between."""
    bank.reset()
    everyone = list(range(bank.n_units))
    results = []
    for step in range(N_STEPS):
        request = drive(bank.spec, everyone, seed + step // 2)
        results.append(bank.step(idle_after(bank.spec, request) if step % 2 else request))
    return results


def assert_same(left: StepResult, right: StepResult) -> None:
    """Bit for bit."""
    for field in fields(StepResult):
        a, b = getattr(left, field.name), getattr(right, field.name)
        np.testing.assert_array_equal(a, b, err_msg=field.name)


def rows_of(result: StepResult, rows: Any) -> StepResult:
    return StepResult(**{field.name: getattr(result, field.name)[rows] for field in fields(StepResult)})


def test_bank_shows_what_it_is(case: Case, bank: AnalogBank) -> None:
    assert isinstance(bank, AnalogBank)
    assert bank.spec == case.spec
    assert bank.n_units == N_UNITS
    np.testing.assert_array_equal(bank.params, random_params(case.spec))


def test_results_have_the_declared_shapes_and_types(bank: AnalogBank) -> None:
    n_out, n_state = bank.spec.width(PortKind.OUTPUT), bank.spec.width(PortKind.STATE)
    outputs = bank.reset()
    assert outputs.shape == (N_UNITS, n_out)
    assert outputs.dtype == np.float64
    for k in (N_UNITS, 1):
        result = bank.step(drive(bank.spec, list(range(k)), 0))
        assert result.outputs.shape == (k, n_out)
        assert result.state.shape == (k, n_state)
        for name in ("fired", "supply_j", "input_j", "latency_s"):
            assert getattr(result, name).shape == (k,), name
        assert result.fired.dtype == np.bool_
        for name in ("outputs", "state", "supply_j", "input_j", "latency_s"):
            assert getattr(result, name).dtype == np.float64, name
        for name in ("outputs", "state", "supply_j", "input_j"):
            assert np.isfinite(getattr(result, name)).all(), name


def test_latency_is_nan_exactly_where_nothing_fired_and_positive_elsewhere(bank: AnalogBank) -> None:
    """In a static circuit it may be NaN elsewhere too."""
    for result in play(bank):
        timed = ~np.isnan(result.latency_s)
        assert not (timed & ~result.fired).any()
        if bank.spec.kind == "dynamic":
            np.testing.assert_array_equal(timed, result.fired)
        assert (result.latency_s[timed] > 0).all()
        assert (result.latency_s[timed] <= bank.spec.period_ps * 1e-12).all()


def test_strong_inputs_make_events_and_cost_energy(bank: AnalogBank) -> None:
    """Guards the other tests against a bank that answers nothing."""
    bank.reset()
    high = np.tile(bank.spec.high(PortKind.INPUT), (N_UNITS, 1))
    everyone = np.arange(N_UNITS)
    request = StepInput(everyone, np.full(N_UNITS, bank.spec.period_ps), high, idle=False)
    result = bank.step(request)
    assert result.fired.any()
    assert (result.supply_j + result.input_j > 0).all()


def test_reset_twice_gives_the_same(bank: AnalogBank) -> None:
    first = bank.reset().copy()
    np.testing.assert_array_equal(bank.reset(), first)


def test_reset_outputs_are_not_the_banks_own_memory(bank: AnalogBank) -> None:
    first = bank.reset()
    kept = first.copy()
    first += 1.0
    np.testing.assert_array_equal(bank.reset(), kept)


def test_steps_after_reset_repeat_bit_for_bit(bank: AnalogBank) -> None:
    first, second = play(bank), play(bank)
    for left, right in zip(first, second, strict=True):
        assert_same(left, right)


def test_results_are_not_changed_by_later_steps(bank: AnalogBank) -> None:
    bank.reset()
    result = bank.step(drive(bank.spec, [0, 1, 2], 0))
    kept = rows_of(result, slice(None))
    kept = StepResult(**{field.name: getattr(kept, field.name).copy() for field in fields(StepResult)})
    bank.step(drive(bank.spec, [0, 1, 2], 1))
    assert_same(result, kept)


def test_request_is_not_changed(bank: AnalogBank) -> None:
    bank.reset()
    request = drive(bank.spec, [0, 2], 0)
    kept = [getattr(request, name).copy() for name in ("units", "duration_ps", "inputs")]
    bank.step(request)
    for name, values in zip(("units", "duration_ps", "inputs"), kept, strict=True):
        np.testing.assert_array_equal(getattr(request, name), values)


def test_units_that_are_not_addressed_do_not_move(bank: AnalogBank) -> None:
    bank.reset()
    bank.step(drive(bank.spec, [0, 1, 2], 0))
    bank.step(drive(bank.spec, [0, 2], 1))
    after = bank.step(drive(bank.spec, [1], 2))
    bank.reset()
    bank.step(drive(bank.spec, [0, 1, 2], 0))
    assert_same(after, bank.step(drive(bank.spec, [1], 2)))


def test_batch_equals_single_units(case: Case, bank: AnalogBank) -> None:
    together = play(bank)
    for unit in range(N_UNITS):
        alone = case.open([unit])
        alone.reset()
        for step, result in enumerate(together):
            request = drive(case.spec, [unit], step // 2)
            request = idle_after(case.spec, request) if step % 2 else request
            request = StepInput(np.array([0]), request.duration_ps, request.inputs, request.idle)
            assert_same(alone.step(request), rows_of(result, [unit]))


def test_call_split_in_two_gives_the_same(bank: AnalogBank) -> None:
    bank.reset()
    whole = bank.step(drive(bank.spec, [0, 1, 2], 0))
    bank.reset()
    for units in ([0, 2], [1]):
        assert_same(bank.step(drive(bank.spec, units, 0)), rows_of(whole, units))


def test_idle_call_of_different_durations_equals_single_calls(bank: AnalogBank) -> None:
    bank.reset()
    driven = drive(bank.spec, [0, 1, 2], 0)
    bank.step(driven)
    whole = bank.step(idle_after(bank.spec, driven, [1, 3, 2]))
    bank.reset()
    bank.step(driven)
    for unit, periods in enumerate([1, 3, 2]):
        alone = idle_after(bank.spec, drive(bank.spec, [unit], 0), periods)
        assert_same(bank.step(alone), rows_of(whole, [unit]))


def test_merged_idle_step_equals_single_ones(case: Case, bank: AnalogBank) -> None:
    """After the tail, one idle step of n periods is n of one period, within the back end's own error."""
    if case.backend not in MERGE_TOLERANCE:
        pytest.skip(f"no tolerance is stated for back end {case.backend}")
    spec = case.spec
    of_range, of_energy = MERGE_TOLERANCE[case.backend]

    def after(pieces: list[int]) -> tuple[StepResult, Floats]:
        bank.reset()
        driven = drive(spec, [0, 1, 2], 0)
        bank.step(driven)
        for _ in range(spec.tail_periods):
            bank.step(idle_after(spec, driven))
        steps = [bank.step(idle_after(spec, driven, periods)) for periods in pieces]
        return steps[-1], np.sum([step.supply_j + step.input_j for step in steps], axis=0)

    merged, merged_j = after([MERGED_PERIODS])
    stepped, stepped_j = after([1] * MERGED_PERIODS)
    for kind, name in ((PortKind.STATE, "state"), (PortKind.OUTPUT, "outputs")):
        difference = np.abs(getattr(merged, name) - getattr(stepped, name))
        assert (difference <= of_range * (spec.high(kind) - spec.low(kind))).all(), name
    assert np.abs(merged_j - stepped_j).sum() <= of_energy * np.abs(stepped_j).sum()
    assert not merged.fired.any()


def test_longest_idle_step_is_answered(bank: AnalogBank) -> None:
    bank.reset()
    driven = drive(bank.spec, [0], 0)
    bank.step(driven)
    result = bank.step(idle_after(bank.spec, driven, bank.spec.max_idle_periods))
    assert np.isfinite(result.supply_j).all()


def test_counters_are_per_unit_and_start_at_zero(bank: AnalogBank) -> None:
    bank.reset()
    for values in bank.counters().values():
        np.testing.assert_array_equal(values, np.zeros(N_UNITS))
    play(bank)
    counters = bank.counters()
    assert set(counters) >= {"out_of_range", "rail_excursions"}
    for values in counters.values():
        assert values.shape == (N_UNITS,)
        assert np.issubdtype(values.dtype, np.integer)
        assert (values >= 0).all()
    bank.reset()
    assert all((values == 0).all() for values in bank.counters().values())


def test_input_out_of_range_is_counted_for_its_unit(bank: AnalogBank) -> None:
    bank.reset()
    request = drive(bank.spec, [1], 0)
    span = bank.spec.high(PortKind.INPUT) - bank.spec.low(PortKind.INPUT)
    before = bank.counters()["out_of_range"].copy()
    outside = bank.spec.high(PortKind.INPUT) + 0.05 * span
    bank.step(StepInput(request.units, request.duration_ps, outside[None], idle=False))
    assert (bank.counters()["out_of_range"] - before).tolist() == [0, 1, 0]


def test_counters_do_not_change_what_was_read(bank: AnalogBank) -> None:
    bank.reset()
    before = bank.counters()["out_of_range"]
    kept = before.copy()
    outside = np.tile(bank.spec.high(PortKind.INPUT) * 1.1 + 0.1, (N_UNITS, 1))
    bank.step(StepInput(np.arange(N_UNITS), np.full(N_UNITS, bank.spec.period_ps), outside, idle=False))
    np.testing.assert_array_equal(before, kept)


def test_provenance_is_json_and_counts_worker_time_only(case: Case) -> None:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    bank = case.open([0])
    play(bank)
    provenance = json.loads(json.dumps(dict(bank.provenance()), allow_nan=False))
    bank.close()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    workers_s = after.ru_utime + after.ru_stime - children.ru_utime - children.ru_stime
    assert provenance["backend"] == case.backend
    assert 0 <= provenance["cpu_s"] <= workers_s + 1e-6, "the run adds its own process's time itself"


def test_close_twice(case: Case) -> None:
    bank = case.open([0])
    bank.reset()
    bank.close()
    bank.close()


def test_unknown_option_is_a_user_error(case: Case) -> None:
    request = BankRequest(case.spec, random_params(case.spec), {"no_such_option": 1})
    with pytest.raises(UserError, match="no_such_option"):
        registry.load("backends", case.backend)(request)


def test_replay_answers_a_raster_as_steps_do(case: Case, bank: AnalogBank) -> None:
    """Optional: where a bank can replay, events and energies agree with its own steps."""
    if not isinstance(bank, OpenLoop):
        pytest.skip(f"{case.backend} has no replay")
    requests = [drive(case.spec, [0], 0), drive(case.spec, [0], 1)]
    requests.append(idle_after(case.spec, requests[-1], case.spec.tail_periods + 1))
    raster = Raster(
        bank.params[0],
        np.concatenate([request.duration_ps for request in requests]),
        np.vstack([request.inputs for request in requests]),
        np.array([request.idle for request in requests]),
    )
    (replayed,) = bank.replay([raster])
    outputs = bank.reset()
    steps = [bank.step(request) for request in requests]
    np.testing.assert_allclose(replayed.reset_outputs, outputs[0], atol=1e-3)
    np.testing.assert_array_equal(replayed.steps.fired, [step.fired[0] for step in steps])
    energy = np.array([step.supply_j[0] + step.input_j[0] for step in steps])
    np.testing.assert_allclose(
        replayed.steps.supply_j + replayed.steps.input_j, energy, atol=0.01 * np.abs(energy).sum()
    )

"""Static circuits, answered by operating points: the divider against its closed form.

The divider is linear, so that ngspice solves each point to rounding, 7e-14 in 100 points: the tolerance of
voltages and energies is 1e-9. Latencies come from a transient with steps of at most 20 ps.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from simcore.bank import Floats, Raster, StepInput, StepResult
from simcore.recording import read_recording
from simcore.spec import CircuitSpec
from spice_ref.bank import SpiceBank
from spice_ref.record import record
from spice_ref.static import StaticReplay
from spice_ref.stimuli import draw_raster
from tests import divider
from tests.spice_ref.drive import step_one

pytestmark = pytest.mark.spice

OpenBank = Callable[..., SpiceBank]
RTOL = 1e-9
ZERO_J = 1e-24
"""Rounding of an energy that is zero: far below the smallest others, 1e-16 J."""
LATENCY_RTOL = 1e-3


def assert_exact(result: StepResult, expected: StepResult) -> None:
    """All but latencies."""
    np.testing.assert_allclose(result.outputs, expected.outputs, rtol=RTOL)
    np.testing.assert_allclose(result.supply_j, expected.supply_j, rtol=RTOL)
    np.testing.assert_allclose(result.input_j, expected.input_j, rtol=RTOL, atol=ZERO_J)
    np.testing.assert_array_equal(result.fired, expected.fired)
    assert result.state.shape == (len(result.fired), 0)


def assert_same(left: StepResult, right: StepResult) -> None:
    for name in StepResult.__slots__:
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)


def held(inputs: Floats, periods: list[int], idle: bool) -> StepInput:
    return StepInput(np.arange(len(inputs)), np.array(periods) * 5000, inputs, idle)


@pytest.fixture(scope="module")
def spec() -> CircuitSpec:
    """A loaded node, fed by two inputs, a supply and a bias current."""
    return divider.divider()


def drawn(spec: CircuitSpec, n: int, steps: int) -> list[Raster]:
    return [draw_raster(spec, run, steps, 1)[1] for run in range(n)]


def test_steps_have_the_closed_form(spec: CircuitSpec, opened: OpenBank) -> None:
    loads = np.array([20e3, 7e3, 50e3])
    bank = opened(spec, loads[:, None])
    rest = np.zeros((3, 2))
    out = divider.out_v(rest, loads)
    np.testing.assert_allclose(bank.reset(), np.column_stack([out, out / 2]), rtol=RTOL)
    first = np.array([[0.7, 1.0], [0.2, 0.0], [0.04, 0.0]])
    result = bank.step(held(first, [1, 1, 1], False))
    assert_exact(result, divider.steps(first, rest, loads, np.full(3, 5000)))
    assert result.fired.tolist() == [True, True, True]
    second = np.array([[0.7, 1.0], [0.21, 0.0], [0.0, 1.0]])
    result = bank.step(held(second, [1, 1, 1], False))
    assert_exact(result, divider.steps(second, first, loads, np.full(3, 5000)))
    assert result.fired.tolist() == [False, False, True]
    assert np.isnan(result.latency_s).all(), "no step of a closed loop is measured"


def test_long_idle_steps_hold_their_inputs_and_cost_their_time(spec: CircuitSpec, opened: OpenBank) -> None:
    loads = np.array([20e3, 7e3])
    bank = opened(spec, loads[:, None])
    bank.reset()
    inputs = np.array([[0.7, 1.0], [1.0, 0.0]])
    bank.step(held(inputs, [1, 1], False))
    result = bank.step(held(inputs, [64, 3], True))
    assert_exact(result, divider.steps(inputs, inputs, loads, np.array([64, 3]) * 5000))
    assert not result.fired.any()


@pytest.mark.parametrize("steps", [1, 2, 100])
def test_rasters_of_any_length_have_the_closed_form(steps: int, spec: CircuitSpec, opened: OpenBank) -> None:
    rasters = drawn(spec, 5, steps)
    shares: list[float] = []
    results = opened(spec).replay(rasters, shares.append)
    total = len(StaticReplay(spec, rasters).sweeps) + 2
    assert shares == pytest.approx(np.arange(1, total + 1) / total), "sweeps, and two transients"
    for place, (raster, result) in enumerate(zip(rasters, results, strict=True)):
        expected = divider.replayed(spec, raster, timed=place % spec.latency_every == 0)
        assert_exact(result.steps, expected.steps)
        np.testing.assert_allclose(result.reset_outputs, expected.reset_outputs, rtol=RTOL)
        assert result.reset_state.shape == (0,)
        np.testing.assert_allclose(result.steps.latency_s, expected.steps.latency_s, rtol=LATENCY_RTOL)
        assert (result.rail_excursions, result.out_of_range) == (0, 0)


def test_each_distinct_point_is_solved_once(spec: CircuitSpec, opened: OpenBank) -> None:
    load, other = np.array([20e3]), np.array([7e3])
    rows = np.array([[0.7, 1.0], [0.0, 0.0], [0.7, 1.0], [0.2, 0.0]])
    idle = np.array([False, False, False, False])
    duration = np.array([5000, 5000, 15000, 5000])
    rasters = [Raster(params, duration, rows, idle) for params in (load, other, load)]
    plan = StaticReplay(spec, rasters)
    assert [len(sweep.inputs) for sweep in plan.sweeps] == [3, 3], "reset is one of the rows"
    results = opened(spec, np.stack([load, other, load])).replay(rasters)
    for raster, result in zip(rasters, results, strict=True):
        expected = divider.replayed(spec, raster, timed=False)
        expected.steps.latency_s[:] = result.steps.latency_s
        assert_exact(result.steps, expected.steps)
    many = Raster(load, np.full(100, 5000), np.linspace(0, 1, 200).reshape(100, 2), np.zeros(100, np.bool_))
    assert [len(sweep.inputs) for sweep in StaticReplay(spec, [many]).sweeps] == [51, 50]


def test_no_latency_is_measured_where_none_is_asked_for(spec: CircuitSpec, opened: OpenBank) -> None:
    bank = opened(spec.model_copy(update={"latency_every": 0}))
    before = bank.provenance()["n_jobs"]
    results = bank.replay(drawn(spec, 2, 5))
    assert bank.provenance()["n_jobs"] == before + len(
        {raster.params.tobytes() for raster in drawn(spec, 2, 5)}
    )
    for result in results:
        assert np.isnan(result.steps.latency_s).all()


def test_batch_equals_single_units(spec: CircuitSpec, opened: OpenBank) -> None:
    loads = np.array([[20e3], [7e3], [50e3]])
    first, second = np.array([[[0.7, 1.0], [0.2, 0.0], [0.9, 1.0]], [[0.1, 1.0], [0.2, 1.0], [0.5, 0.0]]])

    def steps(rows: list[int]) -> list[StepResult]:
        bank = opened(spec, loads[rows])
        bank.reset()
        n = len(rows)
        return [
            bank.step(held(first[rows], [1] * n, False)),
            bank.step(held(first[rows], [5] * n, True)),
            bank.step(held(second[rows], [1] * n, False)),
        ]

    together = steps([0, 1, 2])
    for unit in range(3):
        for alone, all_of_them in zip(steps([unit]), together, strict=True):
            row = {name: getattr(all_of_them, name)[[unit]] for name in StepResult.__slots__}
            assert_same(alone, StepResult(**row))


def test_closed_loop_equals_replay(spec: CircuitSpec, opened: OpenBank) -> None:
    (_, raster) = drawn(spec, 2, 20)
    bank = opened(spec, raster.params[None])
    (result,) = bank.replay([raster])
    closed = step_one(bank, raster)
    assert raster.idle.any()
    for name in ("outputs", "supply_j"):
        np.testing.assert_allclose(getattr(closed, name), getattr(result.steps, name), rtol=RTOL)
    np.testing.assert_allclose(closed.input_j, result.steps.input_j, rtol=RTOL, atol=ZERO_J)
    np.testing.assert_array_equal(closed.fired, result.steps.fired)


def test_equal_rasters_are_swept_once_and_those_around_do_not_matter(
    spec: CircuitSpec, opened: OpenBank
) -> None:
    bank = opened(spec)
    one, other = drawn(spec, 2, 6)
    before = bank.provenance()["n_jobs"]
    first, _, third, timed = bank.replay([one, other, one, one])
    assert bank.provenance()["n_jobs"] == before + 3, "two sweeps, one transient"
    assert_same(first.steps, timed.steps)
    assert np.isnan(third.steps.latency_s).all()
    assert first.steps.fired.any()
    np.testing.assert_array_equal(first.steps.outputs, third.steps.outputs)


@pytest.mark.parametrize(
    ("inputs", "outside"),
    [((1.6, 1.0), 0), ((2.2, 1.0), 1), ((5.0, 1.0), 2),
     ((0.1, -1.0), 0), ((-0.6, 0.0), 1), ((-1, -1), 2)],
)  # fmt: skip
def test_rail_excursions_and_inputs_out_of_range_are_counted(
    inputs: tuple[float, float], outside: int, spec: CircuitSpec, opened: OpenBank
) -> None:
    """`out` and `half` are the nodes that no source fixes; they may be from -0.1 V to 1.1 V."""
    row = np.array([inputs], np.float64)
    out = divider.out_v(row, spec.default_params)[0]
    assert sum(not -0.1 <= volts <= 1.1 for volts in (out, out / 2)) == outside
    bank = opened(spec)
    bank.reset()
    result = bank.step(held(row, [1], False))
    assert result.outputs[0, 0] == pytest.approx(out, rel=RTOL)
    bank.step(held(row, [2], True))
    assert bank.counters()["rail_excursions"].tolist() == [2 * outside]
    assert bank.counters()["out_of_range"].tolist() == [2]
    raster = Raster(spec.default_params, np.full(3, 5000), np.vstack([row, 0 * row, row]), np.zeros(3, bool))
    (replayed,) = bank.replay([raster])
    assert (replayed.rail_excursions, replayed.out_of_range) == (2 * outside, 2)


def test_recording_has_latencies_in_each_third_run(spec: CircuitSpec, tmp_path: Path) -> None:
    record(spec, tmp_path / "a.h5", runs=7, steps=8, workers=2, cache="off")
    _, steps, runs = read_recording(tmp_path / "a.h5")
    assert np.bincount(steps.run).tolist() == [8] * 7
    assert steps.state.shape == (56, 0)
    for run in range(7):
        rows = steps.take(steps.run == run)
        raster = Raster(runs.params[run], rows.duration_ps, rows.inputs.astype(np.float64), rows.idle)
        expected = divider.replayed(spec, raster, timed=run % 3 == 0).steps
        # Inputs are stored as float32.
        np.testing.assert_allclose(rows.outputs, expected.outputs, rtol=1e-6)
        np.testing.assert_array_equal(rows.fired, expected.fired)
        np.testing.assert_allclose(rows.latency_s, expected.latency_s, rtol=LATENCY_RTOL)
    assert np.isfinite(steps.latency_s).sum() > 10


def test_recording_is_the_same_for_any_workers_and_interruption(spec: CircuitSpec, tmp_path: Path) -> None:
    record(spec, tmp_path / "a.h5", runs=7, steps=8, workers=2, cache="off")
    for runs in (2, 7):
        record(spec, tmp_path / "b.h5", runs=runs, steps=8, workers=1, cache="off")
    _, a, runs_a = read_recording(tmp_path / "a.h5")
    _, b, runs_b = read_recording(tmp_path / "b.h5")
    for name in a.__slots__:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    np.testing.assert_array_equal(runs_a.params, runs_b.params)


def test_cached_sweeps_are_the_same_and_are_told_apart_by_duration(
    spec: CircuitSpec, opened: OpenBank, tmp_path: Path
) -> None:
    (raster,) = drawn(spec, 1, 6)
    longer = replace(raster, duration_ps=2 * raster.duration_ps)
    solved, stored = (opened(spec, cache=str(tmp_path / "store")) for _ in range(2))
    (first,) = solved.replay([raster])
    before = stored.provenance()["n_cached"]
    (second, twice) = stored.replay([raster, longer])
    assert stored.provenance()["n_cached"] == before + 2, "the sweep and the transient of the first"
    assert_same(first.steps, second.steps)
    np.testing.assert_array_equal(first.reset_outputs, second.reset_outputs)
    np.testing.assert_allclose(twice.steps.supply_j, 2 * first.steps.supply_j, rtol=RTOL)

"""The ngspice bank against closed forms, against itself open loop, and against an integrator in the deck."""

from collections.abc import Callable

import numpy as np
import pytest

from simcore.bank import AnalogBank, OpenLoop, Raster, StepInput
from simcore.errors import ContractError, ScenarioError
from simcore.spec import CircuitSpec
from spice_ref.bank import SpiceBank
from spice_ref.deck import Decks
from spice_ref.queue import open_queue
from spice_ref.stimuli import draw_raster
from tests.spice_ref.drive import driven, step_one
from tests.spice_ref.tasks import LastValue

pytestmark = pytest.mark.spice

OpenBank = Callable[..., SpiceBank]


def test_bank_is_an_analog_bank_with_open_loop(rc: CircuitSpec, opened: OpenBank) -> None:
    bank = opened(rc)
    assert isinstance(bank, AnalogBank)
    assert isinstance(bank, OpenLoop)


def test_charging_an_rc_agrees_with_its_closed_form(rc: CircuitSpec, opened: OpenBank) -> None:
    bank = opened(rc, np.array([[10e3], [20e3]]))
    assert np.abs(bank.reset()).max() < 1e-9
    result = bank.step(driven(bank, [1.0, 1.0]))
    c, rise, time, tau = 100e-15, 0.1e-9, 5e-9, np.array([1e-9, 2e-9])
    decay = np.exp(-rise / tau)
    v_rise = 1 - tau / rise * (1 - decay)
    v_end = 1 - (1 - v_rise) * np.exp(-(time - rise) / tau)
    ramp_j = c / rise**2 * (rise**2 / 2 - tau**2 + (tau**2 + tau * rise) * decay)
    np.testing.assert_allclose(result.state[:, 0], v_end, atol=5e-5)
    np.testing.assert_allclose(result.supply_j, 1e-6 * time, rtol=1e-6)
    np.testing.assert_allclose(result.input_j, c * (v_end - v_rise) + ramp_j, rtol=2e-3)
    settled = rise - tau * np.log((1 - 0.9 * result.outputs[:, 0]) / (1 - v_rise))
    np.testing.assert_allclose(result.latency_s, settled, rtol=1e-3)


def test_small_swing_is_no_event(rc: CircuitSpec, opened: OpenBank) -> None:
    bank = opened(rc)
    bank.reset()
    result = bank.step(driven(bank, [0.019]))
    assert not result.fired[0]
    assert np.isnan(result.latency_s[0])


def test_equal_jobs_run_once(rc: CircuitSpec, opened: OpenBank) -> None:
    bank = opened(rc, np.full((5, 1), 10e3))
    bank.reset()
    bank.reset()
    jobs = bank.provenance()["n_jobs"]
    assert jobs == 2, "one listing, one operating point for all equal units"
    result = bank.step(driven(bank, [1.0, 1.0, 0.5, 1.0, 0.5]))
    assert bank.provenance()["n_jobs"] == jobs + 2
    assert result.state[0] == result.state[3]
    assert result.state[0] != result.state[2]


def test_units_that_are_not_stepped_stay(rc: CircuitSpec, opened: OpenBank) -> None:
    bank = opened(rc, np.full((2, 1), 10e3))
    bank.reset()
    first = bank.step(driven(bank, [1.0], units=[0]))
    second = bank.step(driven(bank, [1.0], units=[1]))
    np.testing.assert_array_equal(first.state, second.state)


def test_reset_repeats_bit_for_bit(rc: CircuitSpec, opened: OpenBank) -> None:
    bank = opened(rc)
    _, raster = draw_raster(rc, 0, 10, 1)
    first, second = step_one(bank, raster), step_one(bank, raster)
    np.testing.assert_array_equal(first.state, second.state)
    np.testing.assert_array_equal(first.supply_j, second.supply_j)


def test_merged_idle_step_holds_a_level(rc: CircuitSpec, opened: OpenBank) -> None:
    bank = opened(rc)
    bank.reset()
    bank.step(driven(bank, [0.8]))
    held = bank.step(StepInput(np.array([0]), np.array([40_000]), np.array([[0.8]]), True))
    np.testing.assert_allclose(held.outputs, 0.8, atol=1e-4)
    np.testing.assert_allclose(held.supply_j, 40e-15, rtol=1e-6)


def test_closed_loop_equals_open_loop_on_the_neuron(lif: CircuitSpec, opened: OpenBank) -> None:
    bank = opened(lif)
    _, drawn = draw_raster(lif, 0, 25, 5, "dense")
    raster = Raster(lif.default_params, drawn.duration_ps, drawn.inputs, drawn.idle)
    closed, (whole,) = step_one(bank, raster), bank.replay([raster])
    opened_loop = whole.steps
    assert opened_loop.fired.sum() >= 5
    np.testing.assert_array_equal(closed.fired, opened_loop.fired)
    energies = (
        (closed.supply_j, opened_loop.supply_j),
        (closed.input_j, opened_loop.input_j),
    )
    for ours, theirs in energies:
        assert np.abs(ours - theirs).sum() < 0.005 * np.abs(theirs).sum()
    np.testing.assert_array_equal(bank.counters()["rail_excursions"], 0)


def test_replay_agrees_with_an_integrator_in_the_deck(lif: CircuitSpec, opened: OpenBank) -> None:
    """The supply's power into 1 pF, by the solver itself; 1 V is 1 pJ."""
    bank = opened(lif)
    _, drawn = draw_raster(lif, 0, 25, 5, "dense")
    raster = Raster(lif.default_params, drawn.duration_ps, drawn.inputs, drawn.idle)
    (result,) = bank.replay([raster])
    integrator = (
        "bint 0 joule i=-v(x0.vdd)*i(v.x0.vdd)-v(x0.vrx)*i(v.x0.vrx)\ncint joule 0 1p\n.ic v(joule)=0\n"
    )
    deck = Decks(lif, "std").raster(raster).replace("\n.tran", f"\n{integrator}.tran")
    with open_queue(1, cache="off") as queue:
        (picojoule,) = queue.map([LastValue(deck, int(raster.duration_ps.sum()), "joule")])
    assert picojoule * 1e-12 == pytest.approx(result.steps.supply_j.sum(), rel=0.005)


def test_equal_rasters_are_replayed_once(rc: CircuitSpec, opened: OpenBank) -> None:
    bank = opened(rc)
    one, other = (draw_raster(rc, run, 6, 1, "dense")[1] for run in (0, 1))
    before = bank.provenance()["n_jobs"]
    first, second, third = bank.replay([one, other, one])
    assert bank.provenance()["n_jobs"] == before + 2
    np.testing.assert_array_equal(first.steps.state, third.steps.state)
    assert not np.array_equal(first.steps.state, second.steps.state)


def test_inputs_out_of_range_are_counted(rc: CircuitSpec, opened: OpenBank) -> None:
    bank = opened(rc, np.full((2, 1), 10e3))
    bank.reset()
    bank.step(driven(bank, [1.2, 0.2]))
    assert bank.counters()["out_of_range"].tolist() == [1, 0]


def test_rail_excursions_are_counted(rc: CircuitSpec, opened: OpenBank) -> None:
    bank = opened(rc)
    bank.reset()
    bank.step(driven(bank, [1.3]))
    assert bank.counters()["rail_excursions"].tolist() == [2], "v_c and out rise above the supply of 1 V"


def test_requests_that_no_engine_makes_are_refused(rc: CircuitSpec, opened: OpenBank) -> None:
    bank = opened(rc, np.full((2, 1), 10e3))
    with pytest.raises(ContractError, match="step before reset"):
        bank.step(driven(bank, [1.0, 1.0]))
    bank.reset()
    with pytest.raises(ContractError, match="ascend"):
        bank.step(driven(bank, [1.0, 1.0], units=[1, 0]))
    with pytest.raises(ContractError, match="finite"):
        bank.step(driven(bank, [np.nan, 1.0]))
    with pytest.raises(ContractError, match="whole periods"):
        bank.step(StepInput(np.array([0]), np.array([5001]), np.array([[1.0]]), False))
    with pytest.raises(ContractError, match="hold the levels"):
        bank.step(StepInput(np.array([0]), np.array([5000]), np.array([[1.0]]), True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"accuracy": "best"}, "accuracy 'best' is unknown .* std, gold"),
        ({"workers": -1}, "workers: .* got -1"),
        ({"timeout": 3}, "timeout: Extra inputs"),
    ],
)
def test_wrong_options_are_refused(
    rc: CircuitSpec, opened: OpenBank, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ScenarioError, match=message):
        opened(rc, **options)

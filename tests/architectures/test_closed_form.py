"""The `ideal` back end: bank contract, formulas against small cases worked out by hand, refusals."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from simcore.bank import AnalogBank, BankRequest, Floats, StepInput, StepResult
from simcore.closed_form import load_constants, open_bank
from simcore.errors import CircuitError, ScenarioError
from simcore.lif import LifState, lif_period, threshold
from simcore.manifest import load_circuit
from simcore.spec import PortKind

CIRCUITS = ("lif_neuron", "crossbar_row")


def bank_of(circuit: str, n_units: int) -> AnalogBank:
    """Open a bank with random ternary weights where the circuit has weights."""
    spec = load_circuit(circuit)
    params = np.tile(spec.default_params, (n_units, 1))
    weights = [i for i, name in enumerate(spec.columns(PortKind.PARAM)) if name.startswith("w")]
    params[:, weights] = np.random.default_rng(0).integers(-1, 2, (n_units, len(weights)))
    return open_bank(BankRequest(spec, params))


def request(bank: AnalogBank, inputs: Floats, periods: int = 1, idle: bool = False) -> StepInput:
    """Step all units alike."""
    duration_ps = np.full(bank.n_units, periods * bank.spec.period_ps)
    return StepInput(np.arange(bank.n_units), duration_ps, inputs, idle)


def random_inputs(bank: AnalogBank, seed: int) -> Floats:
    """Return inputs over the whole range of the ports."""
    low, high = bank.spec.low(PortKind.INPUT), bank.spec.high(PortKind.INPUT)
    inputs: Floats = np.random.default_rng(seed).uniform(low, high, (bank.n_units, len(low)))
    return inputs


def idle_inputs(bank: AnalogBank, inputs: Floats) -> Floats:
    """Return what an idle step holds."""
    return np.where(bank.spec.holds_level, inputs, 0.0)


def assert_same_end(one: StepResult, other: StepResult) -> None:
    """Both results end at the same state and outputs."""
    assert np.array_equal(one.state, other.state)
    assert np.array_equal(one.outputs, other.outputs)


@pytest.mark.parametrize("circuit", CIRCUITS)
def test_merged_idle_equals_stepped_idle(circuit: str) -> None:
    merged, stepped = bank_of(circuit, 20), bank_of(circuit, 20)
    inputs = random_inputs(merged, 1) * 0.3
    for bank in (merged, stepped):
        bank.reset()
        bank.step(request(bank, inputs))
    held = idle_inputs(merged, inputs)
    whole = merged.step(request(merged, held, periods=7, idle=True))
    parts = [stepped.step(request(stepped, held, idle=True)) for _ in range(7)]
    assert_same_end(whole, parts[-1])
    assert np.allclose(whole.supply_j, sum(part.supply_j for part in parts), rtol=1e-12)
    assert np.allclose(whole.input_j, sum(part.input_j for part in parts), rtol=1e-12)
    assert not whole.fired.any()


@pytest.mark.parametrize("circuit", CIRCUITS)
def test_durations_may_differ_within_a_call(circuit: str) -> None:
    mixed, alone = bank_of(circuit, 3), bank_of(circuit, 3)
    mixed.reset(), alone.reset()
    inputs = idle_inputs(mixed, random_inputs(mixed, 1))
    durations = np.array([1, 5, 3]) * mixed.spec.period_ps
    together = mixed.step(StepInput(np.arange(3), durations, inputs, True))
    for unit in range(3):
        one = alone.step(StepInput(np.array([unit]), durations[[unit]], inputs[[unit]], True))
        assert one.supply_j[0] == together.supply_j[unit]
        assert np.array_equal(one.state[0], together.state[unit])


@pytest.mark.parametrize("circuit", CIRCUITS)
def test_reset_repeats_and_other_units_stay(circuit: str) -> None:
    bank = bank_of(circuit, 4)
    outputs = bank.reset()
    inputs = random_inputs(bank, 2)
    first = bank.step(request(bank, inputs))
    assert np.array_equal(np.isnan(first.latency_s), ~first.fired)
    assert np.array_equal(bank.reset(), outputs)
    half = StepInput(np.array([1, 3]), np.full(2, bank.spec.period_ps), inputs[[1, 3]], False)
    assert np.array_equal(bank.step(half).state, first.state[[1, 3]])
    rest = StepInput(np.array([0, 2]), np.full(2, bank.spec.period_ps), inputs[[0, 2]], False)
    assert np.array_equal(bank.step(rest).state, first.state[[0, 2]])


def test_inputs_out_of_range_are_counted() -> None:
    bank = bank_of("lif_neuron", 2)
    bank.reset()
    bank.step(request(bank, np.array([[15.0], [1.0]])))
    assert bank.counters()["out_of_range"].tolist() == [1, 0]


def test_neuron_integrates_leaks_fires_and_resets() -> None:
    c = load_constants(Path(load_circuit("lif_neuron").folder))[1].model_copy(
        update={
            "gain_v": 0.5,
            "v_th_v": 1.0,
            "v_reset_v": 0.1,
            "leak_v": 0.1,
            "leak_rate": 0.5,
            "adapt_v": 0.05,
        }
    )
    before = LifState(v=np.array([0.0, 0.6, 0.1, 0.4]), a=np.array([0.0, 0.0, 0.0, 1.0]))
    (v, a), fired, overdrive = lif_period(c, before, np.array([1.0, 1.0, -4.0, 0.0]), threshold)
    assert fired.tolist() == [0, 1, 0, 0]
    assert np.allclose(v, [0.5 * 0.5 - 0.1, 0.1, 0.0, 0.5 * 0.4 - 0.1 - 0.05])
    assert a.tolist() == [0, 1, 0, 1]
    assert np.allclose(overdrive, [-0.5, 0.1, -2.9, -0.6])


def test_row_settles_at_the_divider_times_gain() -> None:
    spec = load_circuit("crossbar_row")
    params = spec.default_params.copy()
    params[[spec.columns(PortKind.PARAM).index(name) for name in ("w0", "w1")]] = 1.0, -1.0
    bank = open_bank(BankRequest(spec, params[None]))
    assert bank.reset() == pytest.approx(0.0)
    inputs = np.zeros((1, spec.width(PortKind.INPUT)))
    inputs[0, :2] = 0.8, 0.2
    _, c = load_constants(Path(spec.folder))
    column = c.g_sense_s + c.g_on_s + 32 * c.g_off_s
    bias = c.bias_v * c.g_off_s
    up, down = (0.8 * g0 + 0.2 * g1 + bias for g0, g1 in ((c.g_on_s, c.g_off_s), (c.g_off_s, c.g_on_s)))
    result = bank.step(request(bank, inputs))
    assert result.outputs[0, 0] == pytest.approx(30 * (up - down) / column / (1 + 30 / c.loop_gain), rel=1e-6)
    power = sum(
        0.8 * g0 * (0.8 - v / column) + 0.2 * g1 * (0.2 - v / column)
        for v, g0, g1 in ((up, c.g_on_s, c.g_off_s), (down, c.g_off_s, c.g_on_s))
    )
    assert result.input_j[0] == pytest.approx(power * 4e-9)
    assert result.fired[0]


def test_row_stays_between_its_rails() -> None:
    bank = bank_of("crossbar_row", 50)
    bank.reset()
    outputs = bank.step(request(bank, random_inputs(bank, 3))).outputs
    assert np.abs(outputs).max() < 0.8


def test_options_and_bad_constants_are_refused(tmp_path: Path) -> None:
    spec = load_circuit("lif_neuron")
    with pytest.raises(ScenarioError, match=r"backend.ideal: got speed, expected no options"):
        open_bank(BankRequest(spec, spec.default_params[None], {"speed": 1}))
    folder = tmp_path / "lif_neuron"
    shutil.copytree(spec.folder, folder)
    file = folder / "closed_form.toml"
    good = file.read_text()
    for text, message in [
        (good.replace('"lif"', '"spice"'), "model: got 'spice', expected one of: lif, mac"),
        (good.replace("leak_rate", "leek_rate"), "leek_rate"),
        ("model = ", "not valid TOML"),
    ]:
        file.write_text(text)
        with pytest.raises(CircuitError, match=message):
            load_constants(folder)
    file.unlink()
    with pytest.raises(CircuitError, match=r"back end 'ideal' needs .*closed_form.toml"):
        load_constants(folder)

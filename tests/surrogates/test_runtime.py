"""The surrogate bank: batches equal single runs, ranges are counted, options are checked."""

from pathlib import Path

import numpy as np
import pytest

from simcore.bank import AnalogBank, BankRequest, OpenLoop, SettableState, StepInput
from simcore.errors import BundleError, ContractError, ScenarioError
from simcore.spec import CircuitSpec
from surrogates.bundle import load_bundle
from surrogates.dataset import load_dataset
from surrogates.runtime import SurrogateBank, open_bank
from surrogates.train import Trained
from tests.surrogates.fakes import crossbar_spec, lif_spec

Recordings = dict[str, tuple[CircuitSpec, Path]]
Bundles = dict[tuple[str, str], Trained]
SPECS = {"fake_lif": lif_spec(), "fake_crossbar": crossbar_spec()}
FIELDS = ("outputs", "state", "fired", "supply_j", "input_j", "latency_s")


def _bank(bundle: Trained, params: np.ndarray) -> SurrogateBank:
    spec = SPECS[bundle.info.spec.name]
    return open_bank(BankRequest(spec, params, {"family": str(bundle.path)}))


def _params(spec: CircuitSpec, n: int) -> np.ndarray:
    rng = np.random.default_rng(7)
    if spec.name == "fake_lif":
        return rng.uniform(0.4, 0.8, (n, 1))
    return np.column_stack([rng.uniform(10, 40, n), rng.integers(-1, 2, (n, 6))])


def _inputs(spec: CircuitSpec, n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 3, (n, 1)) if spec.name == "fake_lif" else rng.uniform(0, 0.8, (n, 6))


@pytest.mark.parametrize("circuit", SPECS)
def test_a_batch_equals_single_runs_bit_for_bit(circuit: str, family: str, trained: Bundles) -> None:
    spec, n = SPECS[circuit], 37
    params = _params(spec, n)
    together = _bank(trained[circuit, family], params)
    bundle = load_bundle(trained[circuit, family].path, spec)
    alone = [SurrogateBank(bundle, spec, params[i : i + 1]) for i in range(n)]
    rng = np.random.default_rng(1)
    for step in range(12):
        units = np.flatnonzero(rng.random(n) < 0.7)
        idle, inputs = step % 4 == 3, _inputs(spec, n, step)
        periods = rng.integers(1, 100, n) if idle else np.ones(n, dtype=np.int64)
        duration = periods * spec.period_ps
        result = together.step(StepInput(units, duration[units], inputs[units], idle))
        for row, unit in enumerate(units):
            zero, own = np.zeros(1, dtype=np.int64), slice(unit, unit + 1)
            single = alone[unit].step(StepInput(zero, duration[own], inputs[own], idle))
            for name in FIELDS:
                np.testing.assert_array_equal(getattr(result, name)[row], getattr(single, name)[0], name)


@pytest.mark.parametrize("circuit", SPECS)
def test_graphs_do_not_care_where_a_row_lies(circuit: str, family: str, trained: Bundles) -> None:
    bank = _bank(trained[circuit, family], _params(SPECS[circuit], 1))
    width = bank._layout.width
    x = np.random.default_rng(2).uniform(0.01, 0.8, (300, width)).astype(np.float32)
    x[:, -1] = 1
    whole = bank._bundle.run("driven", x)
    for k in (16, 32, 48, 112, 256):
        for start in (0, 1, 7, 30):
            part = bank._bundle.run("driven", x[start : start + k])
            for name, values in part.items():
                np.testing.assert_array_equal(values, whole[name][start : start + k], name)


@pytest.mark.parametrize("circuit", SPECS)
def test_bank_keeps_the_contract(circuit: str, trained: Bundles) -> None:
    spec = SPECS[circuit]
    bank = _bank(trained[circuit, "mlp"], _params(spec, 20))
    assert isinstance(bank, AnalogBank)
    assert isinstance(bank, SettableState)
    assert isinstance(bank, OpenLoop)
    first = bank.reset()
    units = np.arange(20)
    request = StepInput(units, np.full(20, spec.period_ps), _inputs(spec, 20, 1), False)
    one = bank.step(request)
    np.testing.assert_array_equal(np.isnan(one.latency_s), ~one.fired)
    np.testing.assert_array_equal(bank.reset(), first)
    np.testing.assert_array_equal(bank.step(request).state, one.state)
    assert bank.provenance()["bundle_hash"] == trained[circuit, "mlp"].info.digest
    assert bank.provenance()["cpu_s"] >= 0
    bank.close()
    bank.close()


@pytest.mark.parametrize("circuit", SPECS)
def test_replay_equals_steps(circuit: str, trained: Bundles, recordings: Recordings) -> None:
    spec, path = recordings[circuit]
    rasters, _ = load_dataset(path, spec, 1).replays("selection")
    bank = _bank(trained[circuit, "mlp"], rasters[0].params[None])
    replayed = bank.replay(rasters)[0].steps
    for step, (duration, inputs, idle) in enumerate(
        zip(rasters[0].duration_ps, rasters[0].inputs, rasters[0].idle, strict=True)
    ):
        one = bank.step(StepInput(np.zeros(1, dtype=np.int64), duration[None], inputs[None], bool(idle)))
        for name in FIELDS:
            np.testing.assert_array_equal(getattr(replayed, name)[step], getattr(one, name)[0])


def test_steps_outside_the_training_range_are_counted(trained: Bundles) -> None:
    bank = _bank(trained["fake_lif", "mlp"], np.array([[0.5], [0.5], [0.95]]))
    units, one = np.arange(3), np.full(3, SPECS["fake_lif"].period_ps)
    bank.step(StepInput(units, one, np.array([[1.0], [30.0], [1.0]]), False))
    assert bank.counters()["out_of_range"].tolist() == [0, 1, 1]
    bank.set_state(units, np.array([[0.2, 0.0], [0.2, 0.0], [0.2, np.nan]]))
    bank.step(StepInput(units, one, np.array([[1.0], [1.0], [1.0]]), False))
    assert bank.counters()["out_of_range"].tolist() == [0, 1, 2]
    bank.reset()
    assert bank.counters()["out_of_range"].tolist() == [0, 0, 0]


def test_a_long_driven_step_breaks_the_contract(trained: Bundles) -> None:
    bank = _bank(trained["fake_lif", "mlp"], np.array([[0.5]]))
    with pytest.raises(ContractError, match="a driven step lasts one period"):
        bank.step(StepInput(np.zeros(1, dtype=np.int64), np.array([10_000]), np.ones((1, 1)), False))


def test_wrong_options_are_named(trained: Bundles) -> None:
    spec, params = SPECS["fake_lif"], np.array([[0.5]])
    with pytest.raises(ScenarioError, match=r"\[backend\] surrogate: famly: Extra inputs"):
        open_bank(BankRequest(spec, params, {"famly": "mlp"}))
    with pytest.raises(BundleError, match=r"no bundle at .*nowhere.*simcore surrogate train fake_lif"):
        open_bank(BankRequest(spec, params, {"family": "./nowhere"}))
    with pytest.raises(BundleError, match="no bundle of family 'best' for circuit 'fake_lif'"):
        open_bank(BankRequest(spec, params))


def test_best_is_the_bundle_with_the_lowest_closed_loop_error(
    recordings: Recordings, trained: Bundles, tmp_path: Path
) -> None:
    root = tmp_path / "bundles" / "fake_crossbar-6"
    root.mkdir(parents=True)
    scores = {}
    for family in ("lightgbm", "mlp"):
        source = trained["fake_crossbar", family]
        (root / family).symlink_to(source.path)
        scores[family] = source.info.metrics["closed_loop"]["selection"]["score"]
    spec = crossbar_spec(folder=str(tmp_path))
    bank = open_bank(BankRequest(spec, _params(spec, 1)))
    assert bank.provenance()["family"] == min(scores, key=lambda name: scores[name])

"""Static circuits, trained on the divider's closed form: no state, few latencies, two outputs."""

from pathlib import Path

import numpy as np
import pytest

from simcore.bank import BankRequest, StepInput
from simcore.errors import DatasetError
from simcore.recording import Recording
from simcore.spec import CircuitSpec
from spice_ref.stimuli import draw_raster
from surrogates.runtime import SurrogateBank, open_bank
from surrogates.train import Trained, train
from tests import divider

RUNS, STEPS = 90, 40
LOADS = np.array([[12e3], [20e3], [40e3]])


def recorded(path: Path, spec: CircuitSpec, timed: range) -> Path:
    """Record random runs of the closed form, latencies in the `timed` ones."""
    with Recording(path, spec, {"made_by": "closed form"}) as recording:
        for run in range(RUNS):
            kind, raster = draw_raster(spec, run, STEPS, 1)
            result = divider.replayed(spec, raster, timed=run in timed)
            recording.append(run, kind, raster, result, 0.0)
    return path


@pytest.fixture(scope="module")
def spec() -> CircuitSpec:
    """The divider."""
    return divider.divider()


@pytest.fixture(scope="module", params=["lightgbm", "mlp"])
def trained(
    request: pytest.FixtureRequest, spec: CircuitSpec, tmp_path_factory: pytest.TempPathFactory
) -> Trained:
    """A bundle of each family."""
    folder = tmp_path_factory.mktemp("static")
    path = recorded(folder / "divider.h5", spec, range(0, RUNS, spec.latency_every))
    return train(spec, path, request.param, folder, epochs=40)[0]


def opened(trained: Trained, spec: CircuitSpec) -> SurrogateBank:
    return open_bank(BankRequest(spec, LOADS, {"family": str(trained.path)}))


def driven(inputs: np.ndarray) -> StepInput:
    return StepInput(np.arange(len(inputs)), np.full(len(inputs), 5000), inputs, False)


def test_hold_out_figures_are_numbers_and_small(trained: Trained) -> None:
    for part in ("selection", "test"):
        figures = trained.info.metrics["closed_loop"][part]
        assert all(value is None or np.isfinite(value) for value in figures.values())
        assert figures["output"] < 0.02
        assert figures["event"] < 0.1
        assert figures["energy_total"] < 0.1
        assert figures["latency"] < 0.05
    assert not any(name.startswith("state_") for name in trained.info.metrics["one_step"]["test"])
    gaps = [gap for graph in trained.info.metrics["parity"].values() for gap in graph.values()]
    assert max(gaps) <= 1e-5


def test_bundle_answers_steps_as_the_circuit_does(trained: Trained, spec: CircuitSpec) -> None:
    bank = opened(trained, spec)
    rest = divider.out_v(np.zeros((3, 2)), LOADS[:, 0])
    np.testing.assert_allclose(bank.reset(), np.column_stack([rest, rest / 2]), atol=5e-3)
    inputs = np.array([[0.7, 1.0], [0.3, 0.0], [0.9, 1.0]])
    result = bank.step(driven(inputs))
    expected = divider.steps(inputs, np.zeros((3, 2)), LOADS[:, 0], np.full(3, 5000))
    assert result.state.shape == (3, 0)
    assert result.fired.all()
    np.testing.assert_allclose(result.outputs, expected.outputs, atol=0.03)
    np.testing.assert_allclose(result.supply_j, expected.supply_j, rtol=0.1)
    np.testing.assert_allclose(result.latency_s, expected.latency_s, rtol=0.1)
    idle = bank.step(StepInput(np.arange(3), np.array([1, 7, 64]) * 5000, inputs, True))
    assert not idle.fired.any()
    np.testing.assert_array_equal(idle.outputs, result.outputs)
    np.testing.assert_allclose(idle.supply_j, expected.supply_j * [1, 7, 64], rtol=0.1)


def test_the_swing_of_any_output_is_an_event(trained: Trained, spec: CircuitSpec) -> None:
    """`half` has an event at half the change of `out` that is one of its own."""
    bank = opened(trained, spec)
    bank.reset()
    result = bank.step(driven(np.tile([0.5, 1.0], (3, 1))))
    bank.set_outputs(np.arange(3), result.outputs - [[0.0, 0.006], [0.019, 0.0], [0.021, 0.0]])
    again = bank.step(driven(np.tile([0.5, 1.0], (3, 1))))
    assert again.fired.tolist() == [True, False, True]


def test_a_circuit_without_latencies_trains_and_tells_none(tmp_path: Path, spec: CircuitSpec) -> None:
    silent = spec.model_copy(update={"latency_every": 0})
    path = recorded(tmp_path / "silent.h5", silent, range(0))
    trained = train(silent, path, "lightgbm", tmp_path, epochs=3)[0]
    assert trained.info.metrics["closed_loop"]["test"]["latency"] is None
    bank = opened(trained, silent)
    bank.reset()
    result = bank.step(driven(np.ones((3, 2))))
    assert result.fired.all()
    assert np.isnan(result.latency_s).all()


def test_training_without_any_measured_latency_is_refused(tmp_path: Path, spec: CircuitSpec) -> None:
    path = recorded(tmp_path / "untimed.h5", spec, range(0))
    with pytest.raises(DatasetError, match=r"'divider' has no latency among \d+ events of its training runs"):
        train(spec, path, "lightgbm", tmp_path, epochs=3)

"""The MAC block on ngspice: what cells, stages and wires do, and a surrogate from 1,000 samples."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from simcore.bank import BankRequest, Raster
from simcore.manifest import load_circuit
from simcore.recording import read_recording
from simcore.spec import CircuitSpec
from spice_ref.bank import SpiceBank, open_bank
from spice_ref.record import record

pytestmark = pytest.mark.spice
LEVELS = 12


def block(**sizes: int) -> CircuitSpec:
    return load_circuit("rram_mac", sizes={"tiles": 1, "rows": 4, "columns": 4, **sizes})


def answered(spec: CircuitSpec, params: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """Return outputs, (n, pairs), of one block."""
    bank = open_bank(BankRequest(spec, params[None], {"workers": 1}))
    assert isinstance(bank, SpiceBank)
    duration = np.full(len(inputs), spec.period_ps)
    try:
        (found,) = bank.replay([Raster(params, duration, inputs, np.zeros(len(inputs), np.bool_))])
    finally:
        bank.close()
    return found.steps.outputs


def params_of(spec: CircuitSpec, g_pos: np.ndarray, g_neg: np.ndarray, r_f: float = 10e3) -> np.ndarray:
    return np.concatenate([[r_f, 0.0], g_pos.ravel(), g_neg.ravel()])


def test_output_is_the_difference_of_the_columns_currents() -> None:
    spec = block()
    rng = np.random.default_rng(1)
    g_pos, g_neg = (rng.uniform(1e-6, 20e-6, (2, 4)) for _ in range(2))
    v = rng.uniform(0.0, 0.3, (LEVELS, 4))
    out = answered(spec, params_of(spec, g_pos, g_neg), v)
    # In series with 2.3 kOhm; the columns are near ground.
    current = np.sinh(4 * v) / 4
    ideal = 10e3 * (current @ (g_pos - g_neg).T)
    assert out.shape == (LEVELS, 2)
    assert np.ptp(ideal) > 0.02
    np.testing.assert_allclose(out, ideal, atol=0.1 * np.ptp(ideal))
    swapped = answered(spec, params_of(spec, g_neg, g_pos), v)
    np.testing.assert_allclose(swapped, -out, atol=0.01 * np.ptp(ideal))


def test_output_stays_within_the_rails() -> None:
    spec = block(rows=8)
    g = np.full((2, 8), 20e-6), np.full((2, 8), 1e-6)
    out = answered(spec, params_of(spec, *g, r_f=20e3), np.array([np.full(8, 0.3), np.zeros(8)]))
    assert out[0].min() > 0.6
    assert out[0].max() < 0.8
    np.testing.assert_allclose(out[1], 0.0, atol=1e-3)


def test_wires_take_something_from_far_cells() -> None:
    plain, wired = block(rows=16), block(rows=16, wires=1)
    assert plain.hash != wired.hash
    g = np.full((2, 16), 20e-6), np.full((2, 16), 1e-6)
    v = np.array([np.full(16, 0.2), np.full(16, 0.1)])
    without, with_wires = (answered(spec, params_of(spec, *g), v) for spec in (plain, wired))
    lost = 1 - with_wires / without
    assert (lost > 1e-4).all()
    assert (lost < 0.02).all()


@pytest.mark.slow
def test_a_thousand_samples_make_a_surrogate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of 64 rows; the figure is printed."""
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed: networks cannot be trained here")
    from surrogates.train import train

    spec, path = block(rows=64, columns=2), tmp_path / "mac.h5"
    record(spec, path, runs=50, steps=20, kind="uniform")
    _, steps, _ = read_recording(path)
    assert len(steps) == 1000
    assert not steps.idle.any()
    trained = train(spec, path, "cellsum", tmp_path / "bundles", epochs=400)[0]
    figures = trained.info.metrics["one_step"]["test"]
    told = f"1,000 samples: output {1.6e3 * figures['output']:.2f} mV RMS, energy {figures['energy']:.2%}"
    with capsys.disabled():
        sys.stdout.write(f"{told}\n")
    assert figures["output"] < 0.2e-3 / 1.6, told
    assert figures["energy"] < 0.01, told

"""The neuron on its own device card, frozen, and on another card that a scenario may name."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from simcore.bank import BankRequest, Floats, Raster, StepResult
from simcore.errors import CircuitError
from simcore.manifest import load_circuit
from spice_ref.bank import open_bank
from spice_ref.check import check_circuit

PTM = Path(os.environ.get("SIMCORE_DATA", "")) / "ptm" / "45nm_LP.pm"
CARDS = [
    pytest.param(None, id="own"),
    pytest.param(
        str(PTM),
        id="ptm",
        marks=pytest.mark.skipif(not PTM.is_file(), reason="no $SIMCORE_DATA/ptm/45nm_LP.pm"),
    ),
]


def drive(card: str | None, weights: Floats) -> StepResult:
    """Drive one neuron with one weight per period; NaN is a period without event."""
    spec = load_circuit("lif_neuron", device_models=card)
    idle = np.isnan(weights)
    raster = Raster(
        spec.default_params, np.full(len(weights), spec.period_ps), np.nan_to_num(weights)[:, None], idle
    )
    bank = open_bank(BankRequest(spec, spec.default_params[None], {"workers": 1}))
    try:
        return bank.replay([raster])[0].steps
    finally:
        bank.close()


def test_circuit_of_a_users_own_finds_a_card_that_ships(tmp_path: Path) -> None:
    """The same text makes the same circuit; a card beside the manifest goes first."""
    shipped = load_circuit("lif_neuron")
    own = Path(shutil.copytree(shipped.folder, tmp_path / "lif_neuron"))
    assert load_circuit(str(own)).device_models == shipped.device_models
    assert load_circuit(str(own)).hash == shipped.hash
    (own / "cmos45_lp.pm").write_text(".model nmos nmos level=1\n.model pmos pmos level=1\n")
    other = load_circuit(str(own))
    assert other.device_models.startswith(".model nmos nmos level=1")
    assert other.hash != shipped.hash


def test_card_that_is_nowhere_is_told_with_its_place_beside_the_manifest(tmp_path: Path) -> None:
    own = Path(shutil.copytree(load_circuit("lif_neuron").folder, tmp_path / "lif_neuron"))
    manifest = own / "circuit.toml"
    manifest.write_text(manifest.read_text().replace("cmos45_lp.pm", "cmos46_lp.pm"))
    with pytest.raises(CircuitError, match=f"cannot read the device models {own}/cmos46_lp.pm: .*No such"):
        load_circuit(str(own))


@pytest.mark.spice
@pytest.mark.parametrize("card", CARDS)
def test_card_keeps_threshold_idle_energy_and_swing(card: str | None) -> None:
    """One packet of 1.4 does not fire, one of 1.65 does; rest costs less than 1 fJ; spikes reset to 0 V."""
    rest = [np.nan] * 12
    steps = drive(card, np.array([*rest[:3], 1.4, *rest, 1.65, *rest]))
    assert np.flatnonzero(steps.fired).tolist() == [16]
    assert 0.2e-12 < steps.supply_j[16] < 0.6e-12
    assert 0.5e-12 < steps.input_j[16] < 1.2e-12
    assert 0.5e-9 < steps.latency_s[16] < 3.5e-9
    assert (np.abs(steps.supply_j[[1, 2]]) < 1e-15).all()
    assert steps.state[3, 0] > 0.6
    assert abs(steps.state[17, 0]) < 0.02


@pytest.mark.spice
def test_shipped_neuron_passes_its_check() -> None:
    report = check_circuit(load_circuit("lif_neuron"), runs=3, steps=40, seed=3, workers=2)
    assert report.problems == ()
    assert {row[1] for row in report.sources.rows} == {"supply", "bias", "input", "load"}


@pytest.mark.spice
def test_source_without_a_class_is_a_problem_that_names_it() -> None:
    spec = load_circuit("lif_neuron")
    classes = {name: kind for name, kind in spec.sources.items() if name != "vrx"}
    report = check_circuit(spec.model_copy(update={"sources": classes}), runs=1, steps=20, seed=3, workers=2)
    assert any("vrx" in problem and "J" in problem for problem in report.problems)

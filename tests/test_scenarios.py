"""The shipped scenarios on the shipped bundles: as accurate as the trained networks are in software."""

from pathlib import Path

import h5py
import pytest

from architectures.weights import SHIPPED
from simcore import load_scenario, run

SCENARIOS = Path(__file__).parents[1] / "scenarios"


@pytest.mark.parametrize("name", ["digits_crossbar", "digits_spiking"])
def test_surrogate_is_as_accurate_as_the_trained_network(tmp_path: Path, name: str) -> None:
    scenario = load_scenario(SCENARIOS / f"{name}.toml", ["samples=200"])
    with h5py.File(SHIPPED / f"{scenario.architecture.weights}.h5") as file:
        software = float(file.attrs["software_accuracy"])
    result = run(scenario.with_backend("surrogate"), tmp_path)
    assert abs(result.accuracy - software) < 0.03
    assert (result.layers()["energy_j"] > 0).all()

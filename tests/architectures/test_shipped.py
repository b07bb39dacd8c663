"""Shipped scenarios and weights: they fit each other, and their stored accuracies are good enough."""

import json
from pathlib import Path

import h5py
import pytest

from architectures.weights import SHIPPED
from simcore import registry
from simcore.scenario import load_scenario

SCENARIOS = Path(__file__).parents[2] / "scenarios"
LEAST_ACCURACY = {
    "digits_crossbar": 0.95,
    "digits_spiking": 0.92,
    "crossbar_mnist": 0.92,
    "spiking_mnist": 0.95,
}


@pytest.mark.parametrize("name", LEAST_ACCURACY)
def test_scenario_runs_the_options_that_its_weights_were_trained_with(name: str) -> None:
    config = load_scenario(SCENARIOS / f"{name}.toml").architecture
    options = registry.load("architectures", config.name).options_type
    with h5py.File(SHIPPED / f"{config.weights}.h5") as file:
        trained = options.model_validate_json(file.attrs["options"])
    assert options.model_validate_json(json.dumps(config.options)) == trained


@pytest.mark.parametrize(("name", "least"), LEAST_ACCURACY.items())
def test_stored_software_accuracy_is_good_enough(name: str, least: float) -> None:
    weights = load_scenario(SCENARIOS / f"{name}.toml").architecture.weights
    with h5py.File(SHIPPED / f"{weights}.h5") as file:
        assert file.attrs["software_accuracy"] >= least

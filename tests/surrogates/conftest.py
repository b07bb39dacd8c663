"""Trained bundles of the two fake circuits, made once per session."""

import importlib.util
from pathlib import Path

import pytest

from simcore.spec import CircuitSpec
from surrogates.train import Trained, train
from tests.surrogates.fakes import crossbar_spec, lif_spec, record_fake

FAMILIES = ("lightgbm", "mlp", "trunk")
EPOCHS = 40


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[CircuitSpec, Path]]:
    """Circuit -> (spec, recording)."""
    folder = tmp_path_factory.mktemp("recordings")
    return {
        spec.name: (spec, record_fake(folder / f"{spec.name}.h5", spec, runs, 60))
        for spec, runs in ((lif_spec(), 60), (crossbar_spec(), 30))
    }


@pytest.fixture(scope="session")
def trained(
    recordings: dict[str, tuple[CircuitSpec, Path]], tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], Trained]:
    """(circuit, family) -> bundle; `trunk` only where torch is installed."""
    folder = tmp_path_factory.mktemp("bundles")
    has_torch = importlib.util.find_spec("torch") is not None
    return {
        (name, family): train(spec, path, family, folder / name, epochs=EPOCHS)[0]
        for name, (spec, path) in recordings.items()
        for family in FAMILIES
        if has_torch or family != "trunk"
    }


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    """Each family in turn; `trunk` is skipped where torch is missing."""
    if request.param == "trunk" and importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed: the family 'trunk' cannot be trained here")
    return str(request.param)

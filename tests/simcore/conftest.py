"""Fixtures of the tests of simcore."""

import sys
from pathlib import Path

import pytest

from simcore.scenario import Scenario, parse_scenario
from tests.simcore.fakes import ENTRY_POINTS

SCENARIO = """
name = "dots_chain"
samples = 4
[dataset]
name = "dots"
[architecture]
name = "chain"
weights = "none"
[backend]
default = "exact"
"""


@pytest.fixture(autouse=True)
def plugins(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Register the fakes by the entry points of a distribution on the path."""
    site = tmp_path_factory.mktemp("site")
    info = site / "simcore_fakes-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: simcore-fakes\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.setattr(sys, "path", [*sys.path, str(site)])


@pytest.fixture
def scenario_file(tmp_path: Path) -> Path:
    """A scenario of the fakes on disk."""
    file = tmp_path / "dots.toml"
    file.write_text(SCENARIO)
    return file


@pytest.fixture
def scenario() -> Scenario:
    """The same scenario in memory: four samples, spiking chain, back end `exact`."""
    return scenario_with()


def scenario_with(
    samples: int = 4, backend: str = "exact", merge_idle: bool = True, **options: object
) -> Scenario:
    """Return the scenario of the fakes with some settings changed."""
    data = {
        "name": "dots_chain",
        "samples": samples,
        "merge_idle": merge_idle,
        "dataset": {"name": "dots"},
        "architecture": {"name": "chain", "weights": "none", "options": options},
        "backend": {"default": backend},
    }
    return parse_scenario(data, "test")

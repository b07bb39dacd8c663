"""Intervals of layers: calibrated on compared runs, stated by the next run, counted by the next one."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from simcore.compare import Comparison, compare_scenario
from simcore.errors import BundleError
from simcore.scenario import load_scenario
from surrogates.bundle import read_info, write_bundle
from surrogates.calibrate import calibrate
from surrogates.shipped import SHIPPED
from tests.conftest import Outcome

SCENARIO = Path(__file__).parents[2] / "scenarios" / "digits_spiking.toml"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of a bundle of the neuron, without the intervals of layers that it ships with."""
    path = Path(shutil.copytree(SHIPPED / "lif_neuron" / "trunk", tmp_path_factory.mktemp("bundle") / "lif"))
    info = read_info(path)
    units = tuple(each for each in info.intervals if each.of == "unit")
    graphs = {name: (path / f"{name}.onnx").read_bytes() for name in ("driven", "idle", "reset")}
    write_bundle(path, info.model_copy(update={"intervals": units}), graphs)
    return path


def compared(bundle: Path, out: Path, samples: int) -> Comparison:
    """Compare the bundle with the closed form, which is quick."""
    overrides = [f"backend.surrogate.family={bundle}", f"samples={samples}"]
    return compare_scenario(load_scenario(SCENARIO, overrides), "ideal", "surrogate", out)


def test_calibrated_intervals_are_stated_and_cover_what_they_came_from(bundle: Path, tmp_path: Path) -> None:
    before = compared(bundle, tmp_path / "before", 4)
    assert before.figures["coverage"] == {"energy": None, "latency": None}
    assert before.candidate.summary()["layers"][0]["energy_interval_pct"] is None
    (found,) = calibrate([tmp_path / "before"])
    assert found.path == bundle
    assert {each.n for each in found.info.intervals if each.of == "layer"} == {12}
    with pytest.raises(BundleError, match=r"not the bundle that .*before was run with; compare again"):
        calibrate([tmp_path / "before"])

    after = compared(bundle, tmp_path / "after", 4)
    widths = {layer["energy_interval_pct"] for layer in after.candidate.summary()["layers"]}
    assert len(widths) == 1
    assert widths.pop() > 0
    coverage = after.figures["coverage"]["energy"]
    assert (coverage["covered"], coverage["n"]) == (12.0, 12.0)
    assert 0.7 < coverage["low"] < coverage["high"] == pytest.approx(1.0)


def test_the_command_shows_the_intervals(
    bundle: Path, tmp_path: Path, simcore: Callable[..., Outcome]
) -> None:
    compared(bundle, tmp_path, 3)
    told = simcore("surrogate", "calibrate", tmp_path, width=200)
    assert told.code == 0, told.err
    assert re.search(r"trunk +energy +90 % +[\d.]+ % +9 ", told.out), told.out


def test_intervals_of_units_stay(bundle: Path, tmp_path: Path) -> None:
    units = [each for each in read_info(bundle).intervals if each.of == "unit"]
    compared(bundle, tmp_path, 3)
    (found,) = calibrate([tmp_path])
    assert [each for each in found.info.intervals if each.of == "unit"] == units


def test_a_comparison_without_a_surrogate_is_refused(tmp_path: Path) -> None:
    compare_scenario(load_scenario(SCENARIO, ["samples=1"]), "ideal", "ideal", tmp_path)
    with pytest.raises(BundleError, match="no layer of these comparisons ran on a surrogate"):
        calibrate([tmp_path])

"""Training: parity, accuracy far beyond a constant predictor, splits, and refusals."""

import json
from pathlib import Path

import numpy as np
import pytest

from simcore.errors import DatasetError, RegistryError, UserError
from simcore.spec import CircuitSpec
from surrogates import train as training
from surrogates.dataset import load_dataset, split_runs
from surrogates.train import Trained, train
from tests.surrogates.fakes import lif_spec, record_fake

Recordings = dict[str, tuple[CircuitSpec, Path]]
Bundles = dict[tuple[str, str], Trained]
CIRCUITS = ("fake_lif", "fake_crossbar")


def _constant_energy_error(spec: CircuitSpec, path: Path) -> float:
    """Energy error of predicting the training mean for every step."""
    dataset = load_dataset(path, spec, seed=1)
    mean, test = dataset.part_steps("train"), dataset.part_steps("test")
    energy = test.supply_j + test.input_j
    return float(np.abs(energy - (mean.supply_j + mean.input_j).mean()).sum() / np.abs(energy).sum())


@pytest.mark.parametrize("circuit", CIRCUITS)
def test_closed_loop_is_far_better_than_a_constant(
    circuit: str, family: str, trained: Bundles, recordings: Recordings
) -> None:
    figures = trained[circuit, family].info.metrics["closed_loop"]["test"]
    assert figures["energy"] < 0.15 * _constant_energy_error(*recordings[circuit])
    assert figures["energy_total"] < 0.03
    assert figures["event"] < 0.08
    assert figures["latency"] < 0.12


@pytest.mark.parametrize("circuit", CIRCUITS)
def test_graphs_equal_the_native_models(circuit: str, family: str, trained: Bundles) -> None:
    for gaps in trained[circuit, family].info.metrics["parity"].values():
        assert all(gap <= 1e-5 for gap in gaps.values())


def test_crossbar_output_follows_from_the_features(trained: Bundles) -> None:
    assert trained["fake_crossbar", "mlp"].info.metrics["closed_loop"]["test"]["output"] < 1e-3


def test_the_same_seed_gives_the_same_graph(recordings: Recordings, trained: Bundles, tmp_path: Path) -> None:
    spec, path = recordings["fake_crossbar"]
    again = train(spec, path, "lightgbm", tmp_path, epochs=3)[0]
    assert again.info.files == trained["fake_crossbar", "lightgbm"].info.files


def test_no_run_is_in_two_parts_and_every_kind_is_in_all() -> None:
    runs, kinds = np.arange(60), np.array(["sparse", "dense", "random"] * 20)
    split = split_runs(runs, kinds, seed=5)
    assert sorted(np.concatenate(list(split.values()))) == list(runs)
    for part in split.values():
        assert set(kinds[part]) == {"sparse", "dense", "random"}
    again = split_runs(runs, kinds, seed=5)
    assert all(np.array_equal(split[part], again[part]) for part in split)


def test_a_recording_of_another_circuit_is_refused(recordings: Recordings, tmp_path: Path) -> None:
    other = lif_spec(hash="f" * 64)
    with pytest.raises(DatasetError, match="records fake_lif fake_lif-000, expected fake_lif ffffffffffff"):
        train(other, recordings["fake_lif"][1], "mlp", tmp_path)


def test_too_few_runs_are_refused(tmp_path: Path) -> None:
    path = record_fake(tmp_path / "few.h5", lif_spec(), runs=4, steps=5)
    with pytest.raises(DatasetError, match="holds 4 runs; training needs at least 10"):
        train(lif_spec(), path, "mlp", tmp_path)


def test_an_unknown_family_is_refused(recordings: Recordings, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="unknown surrogate family 'mlpp', did you mean 'mlp'"):
        train(*recordings["fake_lif"], "mlpp", tmp_path)


def test_a_missing_library_is_named(
    recordings: Recordings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "_missing", lambda family: ["torch"])
    with pytest.raises(UserError, match="family 'trunk' needs torch to train; install with"):
        train(*recordings["fake_lif"], "trunk", tmp_path)


def test_bundle_tells_its_split_and_hold_out_figures(trained: Bundles) -> None:
    bundle = trained["fake_lif", "mlp"]
    data = json.loads((bundle.path / "bundle.json").read_text())
    assert set(data["split"]) == {"train", "selection", "test"}
    assert set(data["metrics"]) == {"one_step", "closed_loop", "parity", "train_s"}
    assert data["columns"] == ["w", "V_leak", "v_mem", "v_ca", "duration"]
    assert data["spec"]["folder"] == ""

"""Training: parity, accuracy far beyond a constant predictor, splits, and refusals."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simcore import registry
from simcore.errors import BundleError, ContractError, DatasetError, RegistryError, UserError
from simcore.spec import CircuitSpec
from surrogates import train as training
from surrogates.bundle import BundleInfo, read_info
from surrogates.dataset import load_dataset, split_runs
from surrogates.learning import selection_error
from surrogates.shipped import BEST, find_bundle, pareto_front, ranked
from surrogates.train import Trained, train
from tests.surrogates.fakes import crossbar_spec, lif_spec, record_fake

Recordings = dict[str, tuple[CircuitSpec, Path]]
Bundles = dict[tuple[str, str], Trained]
CIRCUITS = ("fake_lif", "fake_crossbar")


def _constant_energy_error(spec: CircuitSpec, path: Path) -> float:
    """Energy error of predicting the training mean for every step."""
    dataset = load_dataset(path, spec, seed=1)
    dataset.open_test("a test")
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


def test_the_test_part_is_read_only_when_that_is_noted(recordings: Recordings) -> None:
    spec, path = recordings["fake_crossbar"]
    dataset = load_dataset(path, spec, seed=7)
    with pytest.raises(ContractError, match="test part is read before open_test"):
        dataset.replays("test")
    first = dataset.open_test("a test")
    assert load_dataset(path, spec, seed=7).open_test("another look") == first + 1
    assert load_dataset(path, spec, seed=8).open_test("another split") == 1
    assert dataset.replays("test")[0]
    lines = path.with_suffix(".test-reads.jsonl").read_text().splitlines()
    assert json.loads(lines[-2])["purpose"] == "another look"


def test_a_run_in_two_parts_is_refused(recordings: Recordings) -> None:
    spec, path = recordings["fake_crossbar"]
    dataset = load_dataset(path, spec, seed=1)
    leaky = {**dataset.split, "test": dataset.split["train"][:1]}
    with pytest.raises(DatasetError, match="is in two parts of the split"):
        replace(dataset, split=leaky)


def test_recordings_are_joined_and_a_stimulus_counts_once(recordings: Recordings, tmp_path: Path) -> None:
    spec, path = recordings["fake_crossbar"]
    more = record_fake(tmp_path / "more.h5", spec, runs=15, steps=60, seed=3)
    both = load_dataset([path, more], spec, seed=1)
    assert both.runs.run.tolist() == list(range(45))
    np.testing.assert_array_equal(both.steps.run, np.repeat(np.arange(45), 60))
    alone = load_dataset(more, spec, seed=1)
    np.testing.assert_array_equal(both.steps.supply_j[30 * 60 :], alone.steps.supply_j)
    twice = load_dataset([path, more, path], spec, seed=1)
    assert twice.runs.run.tolist() == both.runs.run.tolist()


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
    with pytest.raises(UserError, match="needs torch to train; install with: pip install torch"):
        train(*recordings["fake_lif"], "trunk", tmp_path)


def test_the_default_is_the_cheapest_of_the_good_ones(trained: Bundles) -> None:
    info = trained["fake_lif", "mlp"].info

    def bundle(score: float, us: float) -> tuple[Path, BundleInfo]:
        metrics = {"closed_loop": {"selection": {"score": score}}, "us_per_event": {"driven": us}}
        return Path(f"{score}-{us}"), info.model_copy(update={"metrics": metrics})

    best, quick, cheap, beaten = bundle(1.0, 3.0), bundle(1.2, 0.5), bundle(2.0, 0.1), bundle(2.5, 4.0)
    assert [path.name for path, _ in ranked([beaten, cheap, best, quick])] == [
        quick[0].name, best[0].name, cheap[0].name, beaten[0].name
    ]  # fmt: skip
    small = [bundle(0.004, 2.0), bundle(0.015, 0.5), bundle(0.021, 0.1)]
    assert ranked(small)[0] == small[1]
    front = pareto_front([found[1] for found in (beaten, cheap, best, quick)])
    assert front == [best[1], quick[1], cheap[1]]


def test_intervals_cover_the_runs_that_they_were_made_for(trained: Bundles) -> None:
    for family in ("mlp", "lightgbm"):
        intervals = trained["fake_lif", family].info.intervals
        widths = [each.half_width for each in intervals if each.quantity == "energy"]
        assert [each.level for each in intervals if each.quantity == "energy"] == [0.8]
        assert 0 < widths[0] < 0.1


@pytest.fixture
def without_trunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """`linear` and `mean` are all that is installed, and the parity gate refuses the first of them."""
    families = {name: registry.load("surrogate_families", name) for name in ("linear", "mean")}
    monkeypatch.setattr(training, "available_families", lambda spec: families)
    gate = training._gate
    answers = iter([False, True, True])

    def picky(*args: Any) -> Any:
        if not next(answers):
            raise BundleError("graph 'driven': state differs")
        return gate(*args)

    monkeypatch.setattr(training, "_gate", picky)


def test_a_family_that_is_refused_stops_no_other(
    recordings: Recordings, tmp_path: Path, without_trunk: None
) -> None:
    with pytest.raises(BundleError, match="linear: graph 'driven': state differs; written: mean"):
        train(*recordings["fake_lif"], "all", tmp_path)
    assert not (tmp_path / "linear").exists()
    assert read_info(tmp_path / "mean").metrics["closed_loop"]["test"]["event"] == 1.0


def test_a_bundle_of_an_interrupted_training_can_be_used(
    recordings: Recordings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, path = recordings["fake_lif"]

    def interrupted(*args: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(training.Training, "read_test", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(spec, path, "linear", tmp_path)
    info = read_info(tmp_path / "linear")
    assert set(info.metrics["closed_loop"]) == {"selection"}
    own = spec.model_copy(update={"folder": str(tmp_path)})
    (tmp_path / "bundles" / spec.name).mkdir(parents=True)
    (tmp_path / "linear").rename(tmp_path / "bundles" / spec.name / "linear")
    assert find_bundle(own, BEST, tmp_path).name == "linear"


def test_the_student_is_trained_after_its_teacher(recordings: Recordings, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed: networks cannot be trained here")
    found = train(*recordings["fake_lif"], "distilled", tmp_path, epochs=15)
    by_name = {each.info.family: each.info.metrics for each in found}
    assert set(by_name) == {"trunk", "distilled"}
    student = by_name["distilled"]["closed_loop"]["test"]
    assert student["event"] < 0.15
    assert student["energy_total"] < 0.05
    hidden = {
        each.info.family: {name: part["hidden"] for name, part in each.info.model.items() if name != "reset"}
        for each in found
    }
    assert hidden["distilled"] == {"driven": [64] * 3, "idle": [32] * 2}
    assert hidden["trunk"] == {"driven": [160] * 3, "idle": [32] * 2}


def test_an_old_torch_is_refused(
    recordings: Recordings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: networks cannot be trained here")
    monkeypatch.delattr(torch.optim, "Muon")
    with pytest.raises(UserError, match=r"needs torch 2\.9 or later, found .*: pip install -U torch"):
        train(*recordings["fake_lif"], "trunk", tmp_path, epochs=1)
    assert not (tmp_path / "trunk").exists()


def test_bundle_tells_its_split_and_hold_out_figures(trained: Bundles) -> None:
    bundle = trained["fake_lif", "mlp"]
    data = json.loads((bundle.path / "bundle.json").read_text())
    assert set(data["split"]) == {"train", "selection", "calibration", "test"}
    assert set(data["metrics"]) == {
        "one_step", "closed_loop", "parity", "train_s", "test_reads", "us_per_event"
    }  # fmt: skip
    assert data["columns"] == ["w", "V_leak", "v_mem", "v_ca", "duration"]
    assert data["spec"]["folder"] == ""


def test_a_learning_curve_falls_and_is_judged_on_the_same_runs(tmp_path: Path) -> None:
    path = record_fake(tmp_path / "long.h5", crossbar_spec(), runs=60, steps=40)
    few, many = (selection_error(crossbar_spec(), path, runs) for runs in (8, 60))
    assert many < few
    with pytest.raises(DatasetError, match="4 runs are too few to hold some out"):
        selection_error(crossbar_spec(), path, 4)

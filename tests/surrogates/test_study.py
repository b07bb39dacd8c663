"""The evaluation: its figures on cases worked out by hand, its files, and what it refuses."""

import csv
import json
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from benchmarks import accuracy
from simcore.bank import Raster, StepResult
from simcore.errors import BundleError, ResultError
from simcore.recording import Steps
from simcore.spec import CircuitSpec
from simcore.units import DASH
from surrogates.bundle import load_bundle
from surrogates.intervals import Interval
from surrogates.shipped import ALL
from surrogates.study import run as study
from surrogates.study.clouds import clouds, sampled
from surrogates.study.covered import interval_rows
from surrogates.study.drift import drift, large_layer
from surrogates.study.gaps import gap_errors, split_gaps
from surrogates.study.heads import head_errors
from surrogates.study.page import summary_rows, write_evaluation_page
from surrogates.study.rows import csv_tables, write_csv
from surrogates.study.run import Evaluation, evaluate, load, save
from surrogates.study.subject import Subject, Truth, examine, find_bundles, load_data, read_truth
from surrogates.train import Trained
from tests.simcore.synthetic_runs import make_comparison
from tests.surrogates.fakes import PERIOD_PS, lif_spec, record_fake

Recordings = dict[str, tuple[CircuitSpec, Path]]
Bundles = dict[tuple[str, str], Trained]
NAN = np.nan
CIRCUITS = ("fake_lif", "fake_crossbar")
FILES = {
    "evaluation.json", "evaluation.html", "costs.csv", "heads.csv", "closed_loop.csv", "drift.csv",
    "gaps.csv", "lasana_heads.csv",
}  # fmt: skip
KEYS = {
    "schema", "circuit", "sizes", "spec_hash", "is_level", "period_ps", "recordings", "dataset_sha256",
    "runs", "train_rows", "test_rows", "test_reads", "left_out", "made", "machine", "python", "families",
    "networks",
}  # fmt: skip
FAMILY_KEYS = {
    "family", "bundle_hash", "on_front", "score", "train_s", "us_per_event", "size_bytes", "trained_with",
    "one_step", "closed_loop", "drift", "large_layer", "gaps", "split_gaps", "intervals", "lasana_compat",
}  # fmt: skip


def answer(fired: list[int], energy: list[float], latency: list[float], state: list[float]) -> StepResult:
    """Return rows of a neuron with two states, the second one zero."""
    n = len(fired)
    return StepResult(
        np.zeros((n, 1)), np.column_stack([state, np.zeros(n)]), np.array(fired, dtype=np.bool_),
        np.array(energy), np.zeros(n), np.array(latency),
    )  # fmt: skip


# Two runs: a driven step with an event, a gap of 1 or 4 periods, a driven step.
TRUE = answer([1, 0, 0, 1, 0, 1], [4, 1, 2, 4, 2, 4], [2, NAN, NAN, 2, NAN, 2], [0, 1, 0, 0, 1, 0])
SAID = answer([1, 0, 1, 1, 0, 1], [5, 1, 3, 4, 3, 4], [3, NAN, 1, 2, NAN, 2], [0, 1, 0, 0, 0, 0])
IDLE = np.array([0, 1, 0, 0, 1, 0], dtype=np.bool_)


@pytest.fixture
def truth() -> Truth:
    """The two runs as a test part."""
    duration = np.array([1, 1, 1, 1, 4, 1]) * PERIOD_PS
    zeros = np.zeros((6, 1))
    steps = Steps(
        np.repeat([7, 9], 3), IDLE, duration, zeros, np.full((6, 1), 0.5), np.zeros((6, 2)), zeros,
        TRUE.outputs, TRUE.state, TRUE.fired, TRUE.supply_j, TRUE.input_j, TRUE.latency_s,
    )  # fmt: skip
    rasters = [
        Raster(np.array([0.5]), duration[rows], zeros[rows], IDLE[rows])
        for rows in (slice(0, 3), slice(3, 6))
    ]
    return Truth(lif_spec(), steps, rasters, parts(TRUE), np.tile([0, 1, 2], 2), 1)


def parts(result: StepResult) -> list[StepResult]:
    return [
        StepResult(**{name: getattr(result, name)[rows] for name in StepResult.__slots__})
        for rows in (slice(0, 3), slice(3, 6))
    ]


def test_errors_by_head(truth: Truth) -> None:
    found = {name: figure.value_pct for name, figure in head_errors(truth, SAID).items()}
    assert found["event"] == pytest.approx(100 / 7)
    assert found["energy"] == pytest.approx(100 * 3 / 17)
    assert found["energy active"] == pytest.approx(100 * 1 / 12)
    assert found["energy quiet"] == pytest.approx(50)
    assert found["energy idle"] == pytest.approx(100 * 1 / 3)
    assert found["latency"] == pytest.approx(100 * 1 / 6)
    assert found["state v_mem"] == pytest.approx(100 / np.sqrt(6))


def test_errors_by_step_of_the_run(truth: Truth) -> None:
    found = drift(truth, SAID)
    assert found["event"] == [0, None, pytest.approx(1 / 3)]
    assert found["energy"] == pytest.approx([1 / 8, 1 / 3, 1 / 6])
    assert found["latency"] == [pytest.approx(1 / 4), None, 0]
    assert found["state"] == pytest.approx([0, 1 / 2, 0])  # one of two runs, one of two states


def test_errors_by_length_of_the_gap(truth: Truth) -> None:
    short, long = gap_errors(truth, SAID)
    assert (short.low, short.high, short.n, short.energy, short.state) == (1, 1, 1, 0, 0)
    assert (long.low, long.high, long.n, long.energy) == (3, 4, 1, 0.5)
    assert long.state == pytest.approx(np.sqrt(0.5))


def test_clouds_have_the_rows_of_each_head(truth: Truth) -> None:
    found = {cloud.name: cloud for cloud in clouds(truth, SAID)}
    assert list(found) == ["energy active", "energy quiet", "energy idle", "latency", "v_mem", "v_ca"]
    assert found["energy idle"].r2 == pytest.approx(1 - 1 / 0.5)
    assert found["energy active"].r2 is None  # the reference is the same everywhere
    assert len(sampled(found["v_mem"], 4).reference) == 4


def test_intervals_are_counted_on_the_test_runs(truth: Truth, trained: Bundles) -> None:
    bundle = load_bundle(trained["fake_lif", "mlp"].path, lif_spec())
    wide = Interval(of="unit", quantity="energy", level=0.9, half_width=0.12, n=20, source="")
    layer = wide.model_copy(update={"of": "layer"})
    bundle = replace(bundle, info=bundle.info.model_copy(update={"intervals": (layer, wide)}))
    first, second = interval_rows(Subject(bundle, SAID, parts(SAID)), truth)
    assert (first["of"], first["covered"], first["test_n"]) == ("unit", 0.5, 2)  # 7 of 9, 10 of 11
    assert first["low"] < 0.1
    assert first["high"] > 0.9
    assert (second["of"], second["covered"]) == ("layer", None)


@pytest.fixture(scope="module")
def evaluations(
    trained: Bundles, recordings: Recordings, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Evaluation, Path]]:
    """Both circuits with all their bundles: (evaluation, directory), a layer of 200 units only."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "large_layer", partial(large_layer, n_units=200))
        for name in CIRCUITS:
            spec, path = recordings[name]
            evaluation = evaluate(spec, [path], trained[name, "mlp"].path.parent)
            directory = tmp_path_factory.mktemp(name)
            save(evaluation.content, directory)
            write_csv(evaluation.content, directory)
            write_evaluation_page(evaluation, directory)
            found[name] = evaluation, directory
    return found


@pytest.mark.parametrize("circuit", CIRCUITS)
def test_files_have_the_documented_content(
    circuit: str, evaluations: dict[str, tuple[Evaluation, Path]]
) -> None:
    _, directory = evaluations[circuit]
    intervals = {"intervals.csv"} if circuit == "fake_lif" else set()  # the other has two calibration runs
    assert {path.name for path in directory.iterdir()} == FILES | intervals
    content = load(directory)
    assert set(content) == KEYS
    assert all(set(entry) == FAMILY_KEYS for entry in content["families"])
    assert {"mlp", "lightgbm"} <= {entry["family"] for entry in content["families"]}
    with (directory / "heads.csv").open() as file:
        rows = list(csv.DictReader(file))
    first = content["families"][0]
    assert {row["head"] for row in rows} == set(first["one_step"])
    assert float(rows[0]["value_pct"]) == first["one_step"][rows[0]["head"]]["value_pct"]


@pytest.mark.parametrize("circuit", CIRCUITS)
def test_figures_are_those_of_the_training(
    circuit: str, evaluations: dict[str, tuple[Evaluation, Path]], trained: Bundles
) -> None:
    """The closed loop on the same test part, computed again, is what is in the bundle."""
    for entry in evaluations[circuit][0].content["families"]:
        metrics = trained[circuit, entry["family"]].info.metrics
        assert entry["closed_loop"] == pytest.approx(metrics["closed_loop"]["test"])
        energy = entry["one_step"]["energy"]["value_pct"]
        assert energy == pytest.approx(100 * metrics["one_step"]["test"]["energy"])
        assert energy < 0.2 * entry["one_step"]["energy"]["baseline_pct"]


@pytest.mark.parametrize("circuit", CIRCUITS)
def test_the_own_state_is_the_reference_state_in_the_first_step(
    circuit: str, evaluations: dict[str, tuple[Evaluation, Path]]
) -> None:
    for entry in evaluations[circuit][0].content["families"]:
        oracle, own = (entry["drift"][view]["energy"] for view in ("oracle", "own"))
        assert own[0] == pytest.approx(oracle[0], abs=0.03)
        assert len(own) == 60
        layer = entry["large_layer"]
        assert (layer["n_units"], layer["n_steps"], layer["estimated"]) == (200, 60, False)
        assert 0.5 < layer["driven_share"] < 0.8


@pytest.mark.parametrize("circuit", CIRCUITS)
def test_the_page_has_every_section_and_needs_no_network(
    circuit: str, evaluations: dict[str, tuple[Evaluation, Path]]
) -> None:
    text = (evaluations[circuit][1] / "evaluation.html").read_text(encoding="utf-8")
    own = re.sub(r"<script[^>]*>/\*.*?</script>", "", text, count=1, flags=re.DOTALL)
    assert len(text) - len(own) > 1_000_000  # Plotly itself
    assert not re.search(r"""(src|href)=["'](?!data:)""", own)
    assert "http" not in re.sub(r"www\.w3\.org", "", own)
    for heading in (
        "I. Cost", "I. Families", "II. Error of one step", "II. Error in closed loop",
        "II. Predicted against reference: mlp", "III. Oracle state against predicted state", "III. Run time",
        "III. Error against time", "Idle gaps", "Idle energy by length",
        "Recording, as LASANA", "Provenance",
    ):  # fmt: skip
        assert f"<h2>{heading}" in own, heading


def test_the_command_line_shows_a_row_per_family(evaluations: dict[str, tuple[Evaluation, Path]]) -> None:
    columns, rows = summary_rows(evaluations["fake_lif"][0].content)
    assert columns == ["family", "event", "energy", "latency", "per event", "trivial"]
    assert any(row[0].endswith("*") for row in rows)


def test_a_family_mean_is_the_baseline_where_it_is_better(
    evaluations: dict[str, tuple[Evaluation, Path]], truth: Truth
) -> None:
    figures = head_errors(truth, SAID)
    entries = [
        {"family": "mean", "one_step": figures},
        {"family": "mlp", "one_step": head_errors(truth, TRUE)},
    ]
    before = {name: figure.baseline_pct for name, figure in entries[1]["one_step"].items()}
    study._set_baselines(entries)
    after = {name: figure.baseline_pct for name, figure in entries[1]["one_step"].items()}
    assert before["energy"] == pytest.approx(100 * 7 / 17)
    assert after["energy"] == figures["energy"].value_pct


def test_a_gap_may_be_cut_where_the_model_is_a_clock(trained: Bundles, recordings: Recordings) -> None:
    spec, path = recordings["fake_lif"]
    found = find_bundles(spec, trained["fake_lif", "mlp"].path, ALL)
    dataset, kept, _ = load_data(spec, [path], found)
    truth = read_truth(dataset, ["mlp"])
    subject = examine(load_bundle(kept[0][0], spec), truth)
    gaps = split_gaps(subject.bundle, truth)
    assert [gap.high for gap in gaps] == [2, 4, 8, 16, 32, 64, 128]
    assert sum(gap.n for gap in gaps) == 4096
    assert all(gap.energy is not None and gap.energy < 0.2 for gap in gaps)


def test_bundles_of_other_data_are_refused(trained: Bundles, tmp_path: Path) -> None:
    spec = lif_spec()
    other = record_fake(tmp_path / "other.h5", spec, runs=12, steps=20, seed=9)
    with pytest.raises(BundleError, match=r"trained on other data than .*other\.h5"):
        evaluate(spec, [other], trained["fake_lif", "mlp"].path)
    with pytest.raises(BundleError, match="no bundle of family 'trunkk' of fake_lif"):
        evaluate(spec, [other], trained["fake_lif", "mlp"].path.parent, "trunkk")


def test_a_damaged_or_newer_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="cannot read"):
        load(tmp_path)
    (tmp_path / "evaluation.json").write_text(json.dumps({"schema": 99}))
    with pytest.raises(ResultError, match="schema 99 is newer"):
        load(tmp_path)


def test_the_accuracy_page_is_made_from_stored_figures(
    evaluations: dict[str, tuple[Evaluation, Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [str(directory) for _, directory in evaluations.values()]
    monkeypatch.setattr("sys.argv", ["accuracy", *runs, "--out", str(tmp_path / "accuracy.md")])
    accuracy.main()
    text = (tmp_path / "accuracy.md").read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if line.startswith("## ")][2:] == [
        "## fake_lif",
        "## fake_crossbar-6",
    ]
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", text)
    assert len(pictures) == 6
    assert all((tmp_path / path).stat().st_size > 5000 for path in pictures)
    widths = {line.count(" | ") for line in text.splitlines() if line.startswith("| head |")}
    assert widths == {len(evaluations["fake_lif"][0].content["families"]) + 1}


def test_an_old_comparison_gets_the_published_figures(
    evaluations: dict[str, tuple[Evaluation, Path]], tmp_path: Path
) -> None:
    comparison = make_comparison(tmp_path)
    known = comparison.figures.pop("lasana_compat")
    network = study._network(comparison, tmp_path / "digits")
    assert network["lasana_compat"] == known
    assert network["name"] == "digits"
    content = evaluations["fake_lif"][0].content | {"networks": [network]}
    rows = csv_tables(content)
    assert {row["layer"] for row in rows["network_layers"]} == {"input", "hidden", "tile", "output"}
    assert [row["view"] for row in rows["lasana_networks"]] == ["cascade", "aligned"]
    page = write_evaluation_page(Evaluation(content, evaluations["fake_lif"][0].clouds), tmp_path)
    text = page.read_text(encoding="utf-8")
    assert "<h2>Networks, as LASANA" in text
    assert "<h2>Errors of surrogate against spice: digits_fake, 4 samples" in text


def test_a_compared_network_is_a_table_of_layers() -> None:
    figure = {
        "value_pct": 2.0,
        "bias_pct": 1.0,
        "n": 40,
        "ci95_pct": None,
        "baseline_pct": 2.2,
        "noise_pct": 0.1,
    }
    none = dict.fromkeys(figure) | {"n": 0}
    aligned = {"energy": figure, "latency": none, "event": none, "output": none}
    layer = {"name": "hidden", "aligned": aligned, "cascade": {"energy": figure, "behaviour": none}}
    network = {
        "scenario": "digits", "n_samples": 3, "candidate": "surrogate", "reference": "spice",
        "layers": [layer],
    }  # fmt: skip
    lines = accuracy.markdown(accuracy.layer_table(network)).splitlines()
    assert lines[0] == "### digits, 3 samples: surrogate against spice"
    assert lines[-2] == f"| hidden | energy, aligned | 2 % | {DASH} | 2.2 % | 0.1 % | 40 | trivial |"
    assert lines[-1].startswith("|  | energy, cascade |")

"""The command line on the fake back ends: files, options, exit codes, what is shown."""

import csv
import json
import re
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from simcore import RunResult, doctor, run, terminal
from simcore.errors import BundleError
from simcore.report import write_report
from simcore.summary_tables import layer_tables
from tests.conftest import Outcome
from tests.simcore import fakes

Command = Callable[..., Outcome]
run_module = import_module("simcore.run")

SUMMARY = {
    "scenario", "architecture", "backend", "dataset", "n_samples", "accuracy", "energy_j", "latency_s",
    "wall_s", "cpu_s", "seed", "layers",
}  # fmt: skip
LAYER = {
    "name", "backend", "n_units", "energy_j", "supply_j", "input_j", "digital_j", "active_j", "quiet_j",
    "idle_j", "event_latency_s", "energy_interval_pct", "latency_interval_pct", "critical_path_s", "wait_s",
    "missed",
    "events_active", "events_quiet", "events_idle",
    "events_late", "out_of_range", "rail_excursions", "guarded",
}  # fmt: skip
COMPARISON = {
    "scenario", "reference", "candidate", "n_samples", "energy_error_pct", "latency_error_pct",
    "behaviour_error_pct", "prediction_agreement", "accuracy_reference", "accuracy_candidate",
    "wall_reference_s", "wall_candidate_s", "cpu_reference_s", "cpu_candidate_s", "reference_cached",
    "speedup", "noise", "coverage", "lasana_compat", "layers",
}  # fmt: skip
JUDGE = ("--reference", "exact", "--candidate", "biased")
RUN_FILES = {"result.h5", "summary.json", "layers.csv", "report.html"}


@pytest.fixture(autouse=True)
def quick_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write no charts: the page has tests of its own, and takes most of the time."""

    def write(result: object, directory: Path) -> Path:
        (directory / "report.html").write_text(type(result).__name__)
        return directory / "report.html"

    monkeypatch.setattr("simcore.report.write_report", write)


@pytest.fixture
def good(simcore: Command) -> Command:
    """Run a command that must succeed."""

    def call(*args: object, **options: int) -> Outcome:
        outcome = simcore(*args, **options)
        assert outcome.code == 0, outcome.err
        return outcome

    return call


@pytest.mark.parametrize(
    "command",
    [
        "", "run", "compare", "explore", "report", "doctor", "circuit", "circuit list",
        "circuit show", "circuit check", "circuit record", "cache", "cache info", "cache prune", "surrogate",
        "surrogate train", "surrogate list", "surrogate evaluate", "surrogate export",
    ],
)  # fmt: skip
def test_every_command_explains_itself(good: Command, command: str) -> None:
    shown = good(*command.split(), "--help").out
    assert re.search(rf"Usage: simcore {command}".rstrip(), shown)


def test_run_writes_the_files_of_the_design(good: Command, scenario_file: Path, tmp_path: Path) -> None:
    shown = good("run", scenario_file, "--out", tmp_path / "run").out
    assert {file.name for file in (tmp_path / "run").iterdir()} == RUN_FILES
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert set(summary) == SUMMARY
    assert all(set(layer) == LAYER for layer in summary["layers"])
    with (tmp_path / "run" / "layers.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert set(rows[0]) == LAYER
    assert [row["name"] for row in rows] == ["first", "second"]
    assert "4 samples, accuracy" in shown
    assert f"report: {tmp_path / 'run' / 'report.html'}" in shown


def test_results_go_to_runs_where_nobody_says_otherwise(
    good: Command, scenario_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    good("run", scenario_file, "--backend", "biased")
    assert (tmp_path / "runs" / "dots_chain-biased" / "summary.json").exists()


def test_options_override_the_scenario(good: Command, scenario_file: Path, tmp_path: Path) -> None:
    options = ["--set", "seed=7", "--set", "architecture.options.steps=6", "--set", "name=an other"]
    good("run", scenario_file, "--samples", 2, "--backend", "biased", *options, "--out", tmp_path / "run")
    result = RunResult(tmp_path / "run")
    assert result.summary() | {"layers": 0} == result.summary() | {
        "scenario": "an other", "seed": 7, "n_samples": 2, "backend": "biased", "layers": 0,
    }  # fmt: skip
    assert result.provenance["settings"]["architecture"]["options"] == {"steps": 6}
    assert not result.is_traced


def test_trace_keeps_the_events(good: Command, scenario_file: Path, tmp_path: Path) -> None:
    good("run", scenario_file, "--trace", "--out", tmp_path / "run")
    assert len(RunResult(tmp_path / "run").trace("second").unit)


def test_dry_run_shows_the_layers_and_writes_nothing(
    good: Command, scenario_file: Path, tmp_path: Path
) -> None:
    shown = good("run", scenario_file, "--dry-run", "--out", tmp_path / "run").out
    assert re.search(r"first +leaky +exact +4 +16", shown)
    assert not (tmp_path / "run").exists()


def test_dry_run_finds_what_the_run_would_refuse(simcore: Command, scenario_file: Path) -> None:
    outcome = simcore("run", scenario_file, "--dry-run", "--set", "layers.frist.backend=exact")
    assert outcome.code == 2
    assert "layers.frist: the network has no such layer; it has: first, second" in outcome.err


def test_compare_writes_the_files_of_the_design(good: Command, scenario_file: Path, tmp_path: Path) -> None:
    shown = good("compare", scenario_file, *JUDGE, "--out", tmp_path / "both").out
    assert {file.name for file in (tmp_path / "both").iterdir()} == {
        "reference", "candidate", "aligned", "comparison.json", "report.html",
    }  # fmt: skip
    figures = json.loads((tmp_path / "both" / "comparison.json").read_text())
    assert set(figures) == COMPARISON
    assert (figures["reference"], figures["candidate"]) == ("exact", "biased")
    assert "speed-up" in shown
    assert "errors of biased against exact" in shown


@pytest.mark.parametrize(
    ("limits", "code", "message"),
    [
        ("energy=90,behaviour=0", 0, ""),
        ("energy=2", 4, r"energy error \d+\.?\d* % is above 2 %"),
        ("energy=90, latency=3", 4, "latency error 50 % is above 3 %"),
        ("energi=2", 2, "unknown error 'energi', known: energy, latency, behaviour"),
        ("energy=two", 2, "--fail-above energy=two: expected a number in percent"),
        ("energy=nan", 2, "--fail-above energy=nan: expected a number in percent"),
        ("energy", 2, "--fail-above energy: expected a number in percent"),
    ],
)
def test_fail_above_is_an_exit_code(
    simcore: Command, scenario_file: Path, tmp_path: Path, limits: str, code: int, message: str
) -> None:
    outcome = simcore("compare", scenario_file, *JUDGE, "--fail-above", limits, "--out", tmp_path / "both")
    assert outcome.code == code
    assert re.search(message, outcome.err)


def test_an_undefined_error_fails_its_limit(simcore: Command, scenario_file: Path, tmp_path: Path) -> None:
    silent = ("--set", "architecture.options.steps=1", "--samples", 1)
    outcome = simcore(
        "compare", scenario_file, *JUDGE, *silent, "--fail-above", "latency=3", "--out", tmp_path / "both"
    )
    assert outcome.code == 4
    assert "latency error is undefined, its limit is 3 %" in outcome.err


def test_stored_runs_are_compared_and_reported_again(
    good: Command, scenario_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for backend in ("exact", "biased"):
        good("run", scenario_file, "--backend", backend, "--trace", "--out", tmp_path / backend)
    both = tmp_path / "both"
    good("compare", tmp_path / "exact", tmp_path / "biased", "--out", both)
    monkeypatch.setattr("simcore.report.write_report", write_report)
    good("report", tmp_path / "exact", both)
    assert "<title>dots_chain" in (tmp_path / "exact" / "report.html").read_text()
    assert "Errors of biased against exact" in (both / "report.html").read_text()


def test_runs_that_cannot_be_compared_are_refused(
    simcore: Command, scenario_file: Path, tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    assert simcore("run", scenario_file, "--out", run_dir).code == 0
    for args, message in (
        ((run_dir, run_dir), "was not traced; run again with --trace"),
        ((run_dir, tmp_path / "none"), r"none/result.h5 does not exist"),
        ((run_dir, run_dir, run_dir), "compare takes one scenario or two runs, got 3 paths"),
        ((run_dir, run_dir, "--samples", 2), "--samples and --set change a scenario"),
    ):
        outcome = simcore("compare", *args, "--out", tmp_path / "both")
        assert outcome.code == 2
        assert re.search(message, outcome.err)
    assert simcore("report", tmp_path / "none").code == 2


def test_the_candidate_is_checked_before_the_reference_runs(
    simcore: Command, scenario_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(request: object) -> None:
        raise BundleError("no bundle")

    monkeypatch.setattr(fakes, "open_biased", refuse)
    outcome = simcore("compare", scenario_file, *JUDGE, "--out", tmp_path / "both")
    assert outcome.code == 2
    assert "no bundle" in outcome.err
    assert not (tmp_path / "both").exists()


def test_ctrl_c_says_that_finished_samples_are_kept(
    simcore: Command, scenario_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[object] = []

    def press(*args: object) -> object:
        done.append(args)
        if len(done) == 2:
            raise KeyboardInterrupt
        return run_shard(*args)

    run_shard = run_module.run_shard
    monkeypatch.setattr(run_module, "LANES", 3)
    monkeypatch.setattr(run_module, "run_shard", press)
    outcome = simcore("run", scenario_file, "--out", tmp_path)
    assert outcome.code == 130
    assert "stopped; what was finished is kept" in outcome.err
    assert RunResult(tmp_path).samples.tolist() == [0, 1, 2]


def test_brackets_and_colons_in_names_are_shown(good: Command, scenario_file: Path, tmp_path: Path) -> None:
    name = "a[b]:smile:"
    shown = good("run", scenario_file, "--set", f"name='{name}'", "--out", tmp_path / "[run]")
    assert f"{name}: means per sample" in shown.out
    assert f"{name} on exact" in shown.err
    assert "[run]/report.html" in shown.out


@pytest.mark.parametrize("width", [80, 160])
def test_tables_fit_the_terminal(good: Command, scenario_file: Path, tmp_path: Path, width: int) -> None:
    shown = good("compare", scenario_file, *JUDGE, "--out", tmp_path / "both", width=width).out
    tables = shown.partition("report:")[0].splitlines()
    assert max(map(len, tables)) <= width
    assert "…" not in shown
    assert re.search(r"first +first +second +second\n +exact +biased +exact +biased", shown)
    for label in ("energy", "supply", "event latency", "critical path", "exact units", "cascade behaviour"):
        assert re.search(rf"^ *{label} ", shown, re.MULTILINE), label


def test_a_deep_network_is_broken_over_several_tables(
    scenario: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = run(scenario, tmp_path).summary()  # type: ignore[arg-type]
    layer = summary["layers"][0]
    deep = summary | {"layers": [layer | {"name": f"layer{i}", "backend": "surrogate"} for i in range(7)]}
    monkeypatch.setattr(terminal.console, "width", 80)
    tables = layer_tables([deep, deep])
    terminal.show(*tables)
    shown = capsys.readouterr().out
    assert len(tables) == 3
    assert max(map(len, shown.splitlines())) <= 80
    assert [shown.count(f"layer{i}") for i in range(7)] == [2] * 7


def test_doctor_names_what_is_missing_and_the_remedy(
    simcore: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = simcore("doctor", width=200)
    assert shown.code == 0, shown.out
    assert re.search(r"abacus +missing +two beads are lost: buy new ones", shown.out), "a plug-in says so"
    assert re.search(r"broken +missing +it cannot be loaded: doctor 'broken'.* No module named", shown.out)
    assert re.search(r"backends +ok +.*biased, .*exact", shown.out)

    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(doctor, "version", absent)
    shown = simcore("doctor", width=200)
    assert shown.code == 2
    assert re.search(r"PySpice +missing +not installed: pip install 'simcore-ams\[spice\]'", shown.out)


def test_doctor_finds_mnist_in_the_named_folder(
    good: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIMCORE_DATA", str(tmp_path))
    monkeypatch.setattr(doctor, "user_cache_path", lambda name: tmp_path / "cache")
    assert re.search(r"MNIST +missing", good("doctor").out)
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "t10k-images-idx3-ubyte.gz").touch()
    assert re.search(r"MNIST +ok", good("doctor").out)


def test_circuits_are_listed_and_shown(good: Command) -> None:
    assert re.search(r"follower +1000 ps +2 +2 +0 +1", good("circuit", "list").out)
    shown = good("circuit", "show", "follower").out
    assert re.search(r"in\[2\] +input +0 +1 +level", shown)
    assert re.search(r"vdd +supply", shown)
    shown = good("circuit", "show", fakes.CIRCUITS / "leaky").out
    assert f"folder: {fakes.CIRCUITS / 'leaky'}" in shown


def test_bundles_are_listed_with_their_errors(good: Command) -> None:
    assert re.search(r"crossbar_row +\w+\* +[\d.]+ %", good("surrogate", "list", "crossbar_row").out)


def test_training_refuses_an_unknown_family_before_it_records(
    simcore: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = simcore("surrogate", "train", "leaky", "--family", "mpl")
    assert outcome.code == 2
    assert "unknown surrogate family 'mpl', did you mean 'mlp'? known:" in outcome.err
    assert not list(tmp_path.iterdir())

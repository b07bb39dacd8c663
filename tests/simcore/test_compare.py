"""Comparisons: equal runs, candidates with a known error, and the aligned view."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simcore import Comparison, RunResult, compare, compare_scenario, run
from simcore.compare import matched
from simcore.errors import ResultError
from simcore.scenario import Scenario, parse_scenario
from tests.simcore import fakes
from tests.simcore.conftest import scenario_with

SPIKES, LEVELS, TWICE = {"steps": 24}, {"kind": "levels"}, {"kind": "levels", "twice": True}
OPTIONS = [SPIKES, SPIKES | {"feedback": True}, LEVELS, TWICE]


def judge(scenario: Scenario, candidate: str, out: Path) -> Comparison:
    return compare_scenario(scenario, "exact", candidate, out)


def layer(comparison: Comparison, name: str) -> dict[str, Any]:
    return next(entry for entry in comparison.figures["layers"] if entry["name"] == name)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("merge", [True, False])
def test_equal_back_ends_have_no_error(tmp_path: Path, options: dict[str, Any], merge: bool) -> None:
    figures = judge(scenario_with(merge_idle=merge, **options), "exact", tmp_path).figures
    assert figures["energy_error_pct"] == figures["latency_error_pct"] == figures["behaviour_error_pct"] == 0
    assert figures["prediction_agreement"] == 1
    assert figures["speedup"] == figures["cpu_reference_s"] / figures["cpu_candidate_s"]
    for entry in figures["layers"]:
        for view in ("cascade", "aligned"):
            for name, figure in entry[view].items():
                if name != "exact_units_pct":
                    assert figure["value_pct"] in (0, None), (entry["name"], view, name)
        assert entry["aligned"]["exact_units_pct"] == 100
        assert entry["aligned"]["latency"]["matched_pct"] == 100


@pytest.mark.parametrize("options", OPTIONS)
def test_known_perturbation_gives_the_known_error(tmp_path: Path, options: dict[str, Any]) -> None:
    """`biased` has 1.25 times the supply energy and 1.5 times the latency, and the same events."""
    comparison = judge(scenario_with(**options), "biased", tmp_path)
    supply = charge = 0.0
    for name, columns in comparison.reference.layer_columns.items():
        ours, theirs = columns["supply_j"].sum(), columns["input_j"].sum()
        supply, charge = supply + ours, charge + theirs
        for view in ("cascade", "aligned"):
            figure = layer(comparison, name)[view]["energy"]
            assert figure["value_pct"] == pytest.approx(25 * ours / (ours + theirs), rel=1e-9)
            assert figure["bias_pct"] == pytest.approx(figure["value_pct"], rel=1e-9)
        traces = comparison.reference.trace(name), comparison.aligned.trace(name)
        rows, biased = matched(*traces, inner=False)
        driven = rows.fired & ~rows.idle
        assert biased.latency_s[driven] == pytest.approx(1.5 * rows.latency_s[driven])
        # Events of tail steps count from the last driven edge: the bias is on the last period's part only.
        latency = layer(comparison, name)["aligned"]["latency"]["value_pct"]
        assert 0 < latency <= 50 + 1e-9
        assert latency == pytest.approx(50) or (rows.fired & rows.idle).any()
        assert layer(comparison, name)["aligned"]["event"]["value_pct"] == 0
    figures = comparison.figures
    assert figures["energy_error_pct"] == pytest.approx(25 * supply / (supply + charge), rel=1e-9)
    worst = max(entry["aligned"]["latency"]["value_pct"] for entry in figures["layers"])
    assert figures["latency_error_pct"] == worst
    assert figures["behaviour_error_pct"] == 0


def test_flipped_spike_does_not_count_again_downstream_when_aligned(tmp_path: Path) -> None:
    """`deaf` swallows one event of unit 1 of its bank, which is a unit of `first` only."""
    scenario = parse_scenario(scenario_with(samples=3).model_dump() | {"layers": {}}, "test")
    comparison = judge(scenario, "deaf", tmp_path)
    first, second = layer(comparison, "first"), layer(comparison, "second")
    n_events = comparison.reference.layer_columns["first"]["fired"].sum()
    assert first["aligned"]["event"]["value_pct"] == pytest.approx(100 / (2 * n_events - 1))
    assert first["aligned"]["exact_units_pct"] < 100
    assert first["aligned"]["latency"]["matched_pct"] == pytest.approx(100 * (1 - 1 / n_events))
    assert second["cascade"]["energy"]["value_pct"] > 0
    for name, figure in second["aligned"].items():
        if name != "exact_units_pct":
            assert figure["value_pct"] in (0, None), name
    assert second["aligned"]["exact_units_pct"] == 100


def test_aligned_layers_receive_the_rasters_of_the_reference(tmp_path: Path) -> None:
    comparison = judge(scenario_with(), "deaf", tmp_path)
    for name in ("first", "second"):
        ours, theirs = comparison.reference.trace(name), comparison.aligned.trace(name)
        for column in ("lane", "unit", "step", "periods", "idle", "merged", "inputs"):
            np.testing.assert_array_equal(getattr(ours, column), getattr(theirs, column))
    cascade = comparison.candidate.trace("second")
    assert len(cascade.step) != len(comparison.reference.trace("second").step)


def test_encoder_is_left_out_of_the_worst_layer(tmp_path: Path) -> None:
    """All latency error sits in `first`, which is an encoder."""
    data = scenario_with().model_dump() | {"layers": {"first": {"backend": "biased"}}}
    reference = run(scenario_with(), tmp_path / "a", trace=True)
    candidate = run(parse_scenario(data, "test"), tmp_path / "b", trace=True)
    comparison = compare(reference, candidate, tmp_path)
    assert layer(comparison, "first")["aligned"]["latency"]["value_pct"] > 20
    assert comparison.figures["latency_error_pct"] == 0


def test_comparison_file_has_the_keys_of_the_design(tmp_path: Path) -> None:
    judge(scenario_with(), "biased", tmp_path)
    figures = json.loads((tmp_path / "comparison.json").read_text())
    assert set(figures) >= {
        "scenario", "reference", "candidate", "n_samples", "energy_error_pct", "latency_error_pct",
        "behaviour_error_pct", "prediction_agreement", "accuracy_reference", "accuracy_candidate",
        "wall_reference_s", "wall_candidate_s", "cpu_reference_s", "cpu_candidate_s", "reference_cached",
        "speedup", "noise", "layers",
    }  # fmt: skip
    entry = figures["layers"][0]
    assert set(entry["cascade"]) == {"energy", "behaviour"}
    assert set(entry["aligned"]) == {
        "energy", "energy_active", "energy_quiet", "energy_idle", "latency", "event", "output",
        "exact_units_pct",
    }  # fmt: skip
    assert {"value_pct", "bias_pct", "n", "ci95_pct", "baseline_pct", "noise_pct"} <= set(
        entry["aligned"]["energy"]
    )


def test_single_sample_has_no_interval_and_undefined_is_null(tmp_path: Path) -> None:
    judge(scenario_with(samples=1), "biased", tmp_path)
    aligned = json.loads((tmp_path / "comparison.json").read_text())["layers"][1]["aligned"]
    assert aligned["energy"]["ci95_pct"] is None
    assert aligned["output"]["value_pct"] is None


def test_stored_runs_are_compared_without_running_the_reference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("exact", "biased"):
        run(scenario_with(backend=name), tmp_path / name, trace=True)
    opened: list[object] = []
    monkeypatch.setattr(fakes, "open_exact", lambda request: opened.append(request))
    first, second = RunResult(tmp_path / "exact"), RunResult(tmp_path / "biased")
    assert compare(first, second, tmp_path / "out").figures["latency_error_pct"] == pytest.approx(50)
    assert opened == []


@pytest.mark.parametrize("named", [None, "tcp://now:8786"])
def test_cluster_of_a_stored_run_is_not_used(tmp_path: Path, named: str | None) -> None:
    """It may be gone; the one that is named now counts."""
    then = scenario_with().with_options("spice", {"cluster": "tcp://then:8786"})
    first, second = (run(then, tmp_path / name, trace=True) for name in "ab")
    comparison = compare(first, second, tmp_path / "out", cluster=named)
    assert comparison.aligned.provenance["settings"]["backend"]["spice"]["cluster"] == named


def test_cluster_of_a_scenario_serves_its_whole_comparison(tmp_path: Path) -> None:
    scenario = scenario_with().with_options("spice", {"cluster": "tcp://now:8786"})
    comparison = judge(scenario, "biased", tmp_path)
    for result in (comparison.reference, comparison.candidate, comparison.aligned):
        assert result.provenance["settings"]["backend"]["spice"]["cluster"] == "tcp://now:8786"


def test_batches_do_not_change_a_comparison(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import import_module

    whole = judge(scenario_with(), "biased", tmp_path / "a").figures
    monkeypatch.setattr(import_module("simcore.run"), "LANES", 3)
    parts = judge(scenario_with(), "biased", tmp_path / "b").figures
    assert whole["layers"] == parts["layers"]


def test_untraced_runs_are_refused(tmp_path: Path) -> None:
    first, second = (run(scenario_with(), tmp_path / name) for name in "ab")
    with pytest.raises(ResultError, match="not traced; run again with --trace"):
        compare(first, second, tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"samples": 3}, "differ in samples"),
        ({"seed": 2}, "differ in seed: 1 against 2"),
        ({"merge_idle": False}, "differ in setting merge_idle: True against False"),
        ({"dataset": {"name": "dots", "split": "train"}}, "differ in dataset: dots/test against dots/train"),
        ({"circuits": {"leaky": {"params": {"gain": 0.5}}}}, "differ in setting circuits"),
        ({"layers": {"second": {"params": {"gain": 0.5}}}}, "differ in layer parameters"),
        (
            {"architecture": {"name": "chain", "weights": "other"}},
            "differ in setting architecture: .*'none'.* against .*'other'",
        ),
    ],
)
def test_runs_that_do_not_fit_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    first = run(scenario_with(), tmp_path / "a", trace=True)
    second = run(parse_scenario(scenario_with().model_dump() | changes, "test"), tmp_path / "b", trace=True)
    with pytest.raises(ResultError, match=message):
        compare(first, second, tmp_path)


def test_runs_of_different_circuits_are_refused(tmp_path: Path) -> None:
    first, second = (run(scenario_with(), tmp_path / name, trace=True) for name in "ab")
    second.provenance["layers"]["first"]["spec"]["hash"] = "0"
    with pytest.raises(ResultError, match="differ in the circuit of layer first"):
        compare(first, second, tmp_path)


def test_fake_candidates_differ_as_they_say() -> None:
    """The oracle of this file: `biased` and `deaf` against `exact`, one step."""
    from simcore.bank import BankRequest, StepInput

    request = BankRequest(fakes.leaky(), np.ones((2, 1)))
    step = StepInput(np.array([1]), np.array([1000]), np.array([[2.0]]), False)
    exact, biased, deaf = (
        opened(request).step(step) for opened in (fakes.open_exact, fakes.open_biased, fakes.open_deaf)
    )
    assert biased.supply_j == 1.25 * exact.supply_j
    assert biased.latency_s == 1.5 * exact.latency_s
    assert exact.fired.all()
    assert not deaf.fired.any()
    assert np.isnan(deaf.latency_s).all()
    assert replace(exact, fired=deaf.fired).supply_j == deaf.supply_j

"""Audits of real runs: units of the digit networks on the surrogate, once more on ngspice."""

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simcore import audit, load_scenario, metrics, run
from simcore.audit import Goal, draw_pairs
from simcore.compare import matched, replaying
from simcore.errors import ResultError, UserError
from simcore.rasters import Recorded
from simcore.result import RunResult
from simcore.scenario import Scenario
from simcore.shard import rehearse
from tests.conftest import Outcome
from tests.test_scenarios import SCENARIOS

pytestmark = [pytest.mark.spice]
Command = Callable[..., Outcome]
SETTINGS = ["samples=2", "architecture.options.steps=3", "backend.spice.workers=2"]
"""Twice 64 + 32 + 10 neurons for some steps."""


def digits(*settings: str, name: str = "digits_spiking") -> Scenario:
    return load_scenario(SCENARIOS / f"{name}.toml", [*SETTINGS, *settings])


def chosen_run(scenario: Scenario, out: Path, n: int) -> RunResult:
    layers = rehearse(scenario.with_backend("ideal"))
    return run(scenario, out, trace=draw_pairs(scenario, layers, n))


@pytest.mark.slow
def test_audit_of_all_pairs_is_the_aligned_error(tmp_path: Path) -> None:
    """Every figure against the definitions of a comparison, on rows of ngspice on the run's own inputs."""
    scenario = digits("samples=1")
    result = run(scenario, tmp_path / "run", trace=True)
    rasters = {name: result.trace(name) for name in result.layer_columns}
    truth = run(scenario.with_backend("spice"), tmp_path / "t", trace=True, rewire=replaying(rasters))
    figures = audit(result, pairs=1000).figures
    assert (figures["reached"], figures["n_pairs"]) == ("all", 106)
    for layer in figures["layers"]:
        ours, theirs = matched(truth.trace(layer["name"]), result.trace(layer["name"]), inner=False)
        reference, candidate = ours.supply_j + ours.input_j, theirs.supply_j + theirs.input_j
        energy = metrics.relative_error(reference, candidate, ours.lane)
        event = metrics.event_error(ours.fired, theirs.fired, ~ours.idle, ours.lane)
        both = ours.fired & theirs.fired
        latency = metrics.relative_error(ours.latency_s[both], theirs.latency_s[both], ours.lane[both])
        expected = {
            "energy": energy.value_pct, "energy_bias": energy.bias_pct, "latency": latency.value_pct,
            "event": event.value_pct, "event_count": event.bias_pct,
        }  # fmt: skip
        for name, value in expected.items():
            assert value is not None
            assert layer[name]["value_pct"] == pytest.approx(value, rel=1e-6, abs=1e-9), name
            assert layer[name]["ci95_pct"] == pytest.approx([value, value], rel=1e-6, abs=1e-9), name
        assert layer["output"]["value_pct"] is None
        assert layer["energy_reference_j"] == pytest.approx(reference.sum(), rel=1e-9)
    assert figures["layers"][0]["latency"]["value_pct"] > 0
    totals = [np.concatenate([r.trace(n).supply_j + r.trace(n).input_j for n in rasters])
              for r in (truth, result)]  # fmt: skip
    assert figures["energy_bias"]["value_pct"] == pytest.approx(
        100 * (totals[1].sum() / totals[0].sum() - 1), rel=1e-6
    )


def test_chosen_pairs_are_random_and_keep_the_rows_of_a_full_trace(tmp_path: Path) -> None:
    scenario = digits("samples=3").with_backend("ideal")
    whole = run(scenario, tmp_path / "whole", trace=True)
    some = chosen_run(scenario, tmp_path / "some", 25)
    assert not some.is_traced
    with pytest.raises(ResultError, match="layer hidden was not traced; run again with --trace"):
        some.trace("hidden")
    all_of_them, few = Recorded(whole), Recorded(some)
    for layer in whole.layer_columns:
        pairs = few.pairs(layer)
        assert len(pairs) == 25
        assert len(all_of_them.pairs(layer)) == 3 * all_of_them.layers[layer].n_units
        for ours, theirs in zip(few.rows(layer, pairs), all_of_them.rows(layer, pairs), strict=True):
            for name in ours.__slots__:
                np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), err_msg=name)
    assert len(np.unique(few.pairs("inputs")[:, 0])) == 3
    with pytest.raises(ResultError, match="layer output: unit 99 was not traced in sample 0"):
        few.rows("output", np.array([[0, 99]]))


def test_every_pair_of_a_layer_has_the_same_chance() -> None:
    scenario = digits("samples=2").with_backend("ideal")
    layers = rehearse(scenario)
    counts = np.zeros((2, 10))
    for seed in range(300):
        pairs = draw_pairs(scenario.model_copy(update={"seed": seed}), layers, 5)["output"]
        assert len(np.unique(pairs, axis=0)) == 5
        np.add.at(counts, (pairs[:, 0], pairs[:, 1]), 1)
    expected = 300 * 5 / 20
    assert np.abs(counts - expected).max() < 4.5 * np.sqrt(expected * 15 / 20)


def test_same_seed_draws_the_same_pairs_on_any_number_of_workers_and_lanes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for workers, lanes in ((1, 64), (2, 1)):
        monkeypatch.setattr(import_module("simcore.run"), "LANES", lanes)
        scenario = digits(f"backend.spice.workers={workers}")
        found.append(audit(chosen_run(scenario, tmp_path / str(lanes), 40), pairs=14).figures)
    one, other = ({k: v for k, v in each.items() if "_s" not in k and "jobs" not in k} for each in found)
    assert one == other
    assert found[1]["solver_jobs_cached"] > 5, "the second audit asks for what the first has stored"
    again = audit(RunResult(tmp_path / "1"), pairs=14, seed=7).figures
    assert again["energy_bias"] != one["energy_bias"]


def test_audit_stops_where_the_interval_is_narrow_enough(tmp_path: Path) -> None:
    result = chosen_run(digits(), tmp_path, 60)
    shares: list[float] = []
    figures = audit(result, ci_pct=20.0, progress=shares.append).figures
    assert figures["reached"] == "ci"
    assert figures["n_pairs"] < figures["n_traced"] == 60 + 60 + 20
    low, high = figures["energy_bias"]["ci95_pct"]
    assert high - low <= 2 * 20.0
    assert shares == sorted(shares)
    assert audit(result, minutes=1e-6).figures["reached"] == "minutes"
    assert audit(result, pairs=12, ci_pct=1e-9).figures["reached"] == "pairs"
    assert 2 * 3 <= audit(result, pairs=1).figures["n_pairs"] < 12, "two of each stratum in any case"


def test_level_outputs_have_an_output_error(tmp_path: Path) -> None:
    scenario = load_scenario(SCENARIOS / "digits_crossbar.toml", ["samples=1", "backend.spice.workers=2"])
    figures = audit(run(scenario, tmp_path, trace=True), pairs=8).figures
    for layer in figures["layers"]:
        low, high = layer["output"]["ci95_pct"]
        assert 0 < low < layer["output"]["value_pct"] < high
        assert layer["output"]["value_pct"] < 1.0


def test_command_line_writes_and_shows_the_audit(simcore: Command, tmp_path: Path) -> None:
    settings = [part for text in SETTINGS for part in ("--set", text)]
    path = SCENARIOS / "digits_spiking.toml"
    outcome = simcore("run", path, *settings, "--audit-pairs", 14, "--out", tmp_path)
    assert outcome.code == 0, outcome.err
    assert "audit: 14 of 212 pairs replayed on ngspice" in outcome.out
    figures = json.loads((tmp_path / "audit.json").read_text())
    assert figures["n_pairs"] == sum(layer["n_pairs"] for layer in figures["layers"]) == 14
    assert "Audit: surrogate against spice, estimated" in (tmp_path / "report.html").read_text()
    outcome = simcore("run", path, *settings, "--out", tmp_path)
    assert outcome.code == 0
    assert not (tmp_path / "audit.json").exists(), "an audit of an earlier run is no audit of this one"
    assert "Audit:" not in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--audit", "--backend", "spice"], "nothing to audit, ngspice answers every layer"),
        (["--audit-ci", "narrow"], "--audit-ci narrow: expected a percentage, such as 1%"),
        (["--audit-ci", "0%"], "audit: ci must be above 0, got 0"),
    ],
)
def test_audits_that_cannot_be_are_refused(
    simcore: Command, tmp_path: Path, options: list[Any], message: str
) -> None:
    settings = [part for text in SETTINGS for part in ("--set", text)]
    outcome = simcore(
        "run", SCENARIOS / "digits_spiking.toml", *settings, *options, "--out", tmp_path, width=300
    )
    assert outcome.code == 2
    assert message in outcome.err


def test_audit_needs_recorded_inputs_and_an_unchanged_circuit(tmp_path: Path) -> None:
    result = run(digits("samples=1").with_backend("ideal"), tmp_path)
    with pytest.raises(ResultError, match="layer inputs was not traced; run again with --trace or --audit"):
        audit(result)
    result.provenance["layers"]["inputs"]["spec"]["hash"] = "0" * 64
    with pytest.raises(ResultError, match=r"layer inputs ran on circuit lif_neuron 0000.*run again"):
        Recorded(result).spec("inputs")
    for goal in ({"pairs": 0}, {"minutes": -1.0}):
        with pytest.raises(UserError, match="must be above 0"):
            Goal(**goal)

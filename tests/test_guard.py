"""The guard: units out of the trained range are on ngspice, all others on the surrogate; it counts them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from simcore import load_scenario, run
from simcore.errors import ScenarioError
from simcore.ledger import TraceRows
from simcore.rasters import Recorded
from simcore.result import RunResult
from simcore.scenario import Scenario
from simcore.shard import rehearse
from tests.conftest import Outcome
from tests.simcore.test_run_ahead import looped
from tests.test_scenarios import SCENARIOS

pytestmark = [pytest.mark.spice]
Command = Callable[..., Outcome]
WITHIN, BEYOND = 2.0, 15.0
"""Weights of an input packet; the bundle was trained on up to 14."""


def digits(weight: float = BEYOND, *settings: str, guard: bool = True) -> Scenario:
    """One image for some steps, with input packets of some weight."""
    options = ["samples=1", "architecture.options.steps=3", f"architecture.options.input_weight={weight}",
               "backend.spice.workers=2", *settings]  # fmt: skip
    scenario = load_scenario(SCENARIOS / "digits_spiking.toml", options)
    return scenario.with_options("surrogate", {"guard": True}) if guard else scenario


def unit_rows(result: RunResult, layer: str) -> list[TraceRows]:
    recorded = Recorded(result)
    return recorded.rows(layer, recorded.pairs(layer))


def assert_same(ours: TraceRows, theirs: TraceRows) -> None:
    for name in ours.__slots__:
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), err_msg=name)


def test_units_out_of_range_are_on_ngspice_from_reset_to_the_end(tmp_path: Path) -> None:
    guarded = run(digits(), tmp_path / "guarded", trace=True)
    plain = run(digits(guard=False), tmp_path / "plain", trace=True)
    spice = run(digits(guard=False).with_backend("spice"), tmp_path / "spice", trace=True)
    n_beyond = 0
    for ours, model, circuit in zip(*(unit_rows(x, "inputs") for x in (guarded, plain, spice)), strict=True):
        beyond = bool((ours.inputs > 14.2).any())
        n_beyond += beyond
        assert_same(ours, circuit if beyond else model)
    assert 0 < n_beyond < 64
    columns = guarded.layer_columns["inputs"]
    assert columns["guarded"].tolist() == [n_beyond]
    assert plain.layer_columns["inputs"]["guarded"].tolist() == [0]
    made = guarded.provenance["banks"][0]["guard"]
    assert made["units"] == 106
    assert n_beyond <= made["guarded"] < 106
    assert made["solver"]["backend"] == "spice"
    assert guarded.provenance["solver_jobs"] > 0


def test_next_layer_sees_what_ngspice_said(tmp_path: Path) -> None:
    """Of one that ngspice alone drives: its inputs are the same in both runs."""
    guarded = run(digits(), tmp_path / "guarded", trace=True)
    spice = run(digits(guard=False).with_backend("spice"), tmp_path / "spice", trace=True)
    ours, theirs = (result.trace("hidden") for result in (guarded, spice))
    driven = [rows.take(np.flatnonzero(~rows.idle)) for rows in (ours, theirs)]
    np.testing.assert_array_equal(*[rows.inputs for rows in driven])


def test_without_a_unit_out_of_range_nothing_changes_and_ngspice_is_not_started(tmp_path: Path) -> None:
    guarded, plain = (run(digits(WITHIN, guard=guard), tmp_path / str(guard)) for guard in (True, False))
    assert guarded.provenance["banks"][0]["guard"] == {"units": 106, "guarded": 0}
    assert guarded.provenance["solver_jobs"] == 0
    for name, columns in plain.layer_columns.items():
        for column, values in columns.items():
            np.testing.assert_array_equal(values, guarded.layer_columns[name][column], err_msg=column)


def test_command_line_shows_how_many_units_were_guarded(simcore: Command, tmp_path: Path) -> None:
    options = ("--set", "samples=1", "--set", "architecture.options.steps=3",
               "--set", f"architecture.options.input_weight={BEYOND}")  # fmt: skip
    path = SCENARIOS / "digits_spiking.toml"
    outcome = simcore("run", path, *options, "--guard", "--out", tmp_path)
    assert outcome.code == 0, outcome.err
    (line,) = (line for line in outcome.out.splitlines() if line.startswith("units guarded"))
    assert int(line.split()[2]) == RunResult(tmp_path).summary()["layers"][0]["guarded"] > 0
    refused = simcore("run", path, *options, "--guard", "--backend", "ideal", "--out", tmp_path)
    assert refused.code == 2
    assert "--guard watches the back end 'surrogate'" in refused.err


def test_guard_needs_whole_inputs(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="needs schedule = 'run_ahead' or 'auto', got 'lock_step'"):
        rehearse(digits(BEYOND, "schedule=lock_step"))
    with pytest.raises(ScenarioError, match=r"form a loop: .*inputs.*; go without the guard"):
        run(digits(), tmp_path, rewire=looped)

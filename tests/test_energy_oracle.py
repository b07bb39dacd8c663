"""Issue 2, item 6: the ledger of a closed-loop run against one independent open-loop transient per unit.

The oracle (`benchmarks.open_loop`) shares nothing with the bank but the solver processes: it renders the
netlist, writes the stimulus and finds the events by itself, and ngspice integrates the energy in the deck.
"""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.open_loop import steps_of
from benchmarks.oracle import ENERGY, check_run, figures
from simcore.scenario import load_scenario
from tests.simcore.synthetic_runs import trace_rows

SCENARIOS = Path(__file__).parent.parent / "scenarios"


@pytest.mark.spice
@pytest.mark.slow
def test_ledger_of_a_spiking_run_agrees_with_continuous_transients(tmp_path: Path) -> None:
    options = ["architecture.options.steps=10", "architecture.options.analog_inputs=false"]
    scenario = load_scenario(
        SCENARIOS / "digits_spiking.toml", [*options, "samples=1", "backend.spice.workers=1"]
    )
    result, units = check_run(scenario, tmp_path, n_units=14, accuracy="std")
    found = figures(units)
    assert found["events"] >= 15
    assert found["missed"] == found["extra"] == 0
    assert result.layer_columns["hidden"]["late"].sum() == 0
    for part in ("supply", "input", "total"):
        assert found[f"{part}_error_pct"] < 100 * ENERGY, part
    assert found["event_shift_max_ps"] < 50


@pytest.mark.spice
def test_ledger_of_a_crossbar_run_agrees_with_continuous_transients(tmp_path: Path) -> None:
    scenario = load_scenario(
        SCENARIOS / "digits_crossbar.toml", ["samples=1", "backend.spice.workers=1"]
    )
    _, units = check_run(scenario, tmp_path, n_units=10, accuracy="std")
    found = figures(units)
    assert {unit.layer for unit in units} == {"fc1", "fc2"}
    assert found["events"] >= 10
    assert found["missed"] == found["extra"] == 0
    for part in ("supply", "input", "total"):
        assert found[f"{part}_error_pct"] < 100 * ENERGY, part

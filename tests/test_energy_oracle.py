"""The ledger of a closed-loop run against one independent open-loop transient per unit.

The oracle (`benchmarks.open_loop`) shares nothing with the bank but the solver processes: it renders the
netlist, writes the stimulus and finds the events by itself, and ngspice integrates the energy in the deck.
"""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.open_loop import Observed, steps_of
from benchmarks.oracle import ENERGY, against, check_run, figures
from simcore.ledger import TraceRows
from simcore.scenario import load_scenario

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
    assert found["event_shift_median_ps"] < 10


@pytest.mark.spice
@pytest.mark.slow
def test_ledger_of_a_crossbar_run_agrees_with_continuous_transients(tmp_path: Path) -> None:
    scenario = load_scenario(SCENARIOS / "digits_crossbar.toml", ["samples=1", "backend.spice.workers=1"])
    _, units = check_run(scenario, tmp_path, n_units=10, accuracy="std")
    found = figures(units)
    assert {unit.layer for unit in units} == {"fc1", "fc2"}
    assert found["events"] >= 10
    assert found["missed"] == found["extra"] == 0
    for part in ("supply", "input", "total"):
        assert found[f"{part}_error_pct"] < 100 * ENERGY, part


def test_a_hole_in_the_steps_of_a_unit_is_found() -> None:
    whole = _rows(step=[0, 1, 3], periods=[1, 2, 4])
    assert steps_of(whole, 0, 5, np.zeros(0), n_steps=7).step.tolist() == [0, 1, 3, 7]
    for broken, end in ((whole, 8), (_rows([0, 3], [1, 4]), 7), (_rows([0, 0, 1], [1, 1, 6]), 7)):
        with pytest.raises(ValueError, match="unit 5 do not cover periods 0"):
            steps_of(broken, 0, 5, np.zeros(0), end)


def test_a_lost_event_and_a_double_one_are_missed_and_lost_energy_shows() -> None:
    rows = _rows(step=[0, 1, 2], periods=[1, 1, 1], fired=[False, True, True])
    seen = Observed(np.array([3e-12, 0.0]), np.array([1, 2, 0]), np.array([1e-9, 6e-9, np.nan]))
    unit = against("hidden", 0, 5, rows, seen, period_ps=5000)
    assert (unit.events, unit.missed, unit.extra) == (3, 2, 1)
    np.testing.assert_allclose(unit.shift_s, [0.0], atol=1e-15)
    assert figures([unit])["total_bias_pct"] == pytest.approx(-100 / 3)


def _rows(step: list[int], periods: list[int], fired: list[bool] | None = None) -> TraceRows:
    """Rows of unit 5 in sample 0, each driven and of 1 pJ; events come 1 ns after the edge."""
    n, none = len(step), np.zeros(len(step))
    who = np.array(fired or [False] * n)
    return TraceRows(
        lane=np.zeros(n, np.int64), unit=np.full(n, 5), step=np.array(step), periods=np.array(periods),
        idle=who & False, merged=who & False, gated=who & False, fired=who,
        supply_j=np.array([1e-12, 0.5e-12, 0.5e-12])[:n], input_j=none,
        latency_s=np.where(who, 1e-9, np.nan), inputs=np.ones((n, 1)), outputs=none[:, None],
    )  # fmt: skip

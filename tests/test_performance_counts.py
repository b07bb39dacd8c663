"""What a run costs, by counts and not by seconds: model calls, rows, SimPy events, objects per unit."""

from collections import Counter
from typing import Any

import pytest
import simpy

from simcore import load_scenario, run
from simcore.bank import Raster
from simcore.result import RunResult
from surrogates.bundle import SurrogateBundle
from tests.test_scenarios import SCENARIOS

STEPS = 12


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts what is called while a scenario runs."""
    found: Counter[str] = Counter()
    model, schedule, raster = SurrogateBundle.run, simpy.Environment.schedule, Raster.__init__

    def counted_model(self: SurrogateBundle, graph: str, x: Any, *args: Any) -> Any:
        found["calls"] += 1
        found["rows"] += len(x)
        return model(self, graph, x, *args)

    def counted_schedule(self: simpy.Environment, *args: Any, **options: Any) -> None:
        found["events"] += 1
        schedule(self, *args, **options)

    def counted_raster(self: Raster, *args: Any, **options: Any) -> None:
        found["rasters"] += 1
        raster(self, *args, **options)

    monkeypatch.setattr(SurrogateBundle, "run", counted_model)
    monkeypatch.setattr(simpy.Environment, "schedule", counted_schedule)
    monkeypatch.setattr(Raster, "__init__", counted_raster)
    return found


def simulate(samples: int, schedule: str) -> RunResult:
    return run(
        load_scenario(
            SCENARIOS / "digits_spiking.toml",
            [f"samples={samples}", f"architecture.options.steps={STEPS}", f"schedule={schedule}"],
        )
    )


def rows_of(result: RunResult) -> int:
    return int(sum(columns["steps"].sum() for columns in result.layer_columns.values()))


@pytest.mark.parametrize("schedule", ["run_ahead", "lock_step"])
def test_rows_are_those_of_the_ledger(counts: Counter[str], schedule: str) -> None:
    rows = rows_of(simulate(8, schedule))
    resets = 106 if schedule == "run_ahead" else 8 * 106  # a replay resets the units of one lane, for all
    padding = 15 * counts["calls"]
    assert rows + resets <= counts["rows"] <= rows + resets + padding


def test_layer_after_layer_takes_calls_by_steps_not_by_units(counts: Counter[str]) -> None:
    simulate(1, "run_ahead")
    alone = counts["calls"]
    counts.clear()
    simulate(16, "run_ahead")
    longest = STEPS + 3  # rows of a unit at most: one a period, and a settling one
    assert counts["calls"] <= 3 * (2 * longest + 2)
    assert counts["calls"] < 2 * alone
    assert counts["rasters"] == 0
    assert counts["events"] == 0


def test_edge_by_edge_takes_calls_and_events_by_steps_not_by_samples(counts: Counter[str]) -> None:
    simulate(1, "lock_step")
    alone = counts.copy()
    counts.clear()
    simulate(16, "lock_step")
    assert counts["events"] == alone["events"] > STEPS
    assert counts["calls"] <= 3 * (STEPS + 4)  # driven, tail and merged steps of all layers together
    assert counts["rasters"] == 0

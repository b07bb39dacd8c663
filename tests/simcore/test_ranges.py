"""Inputs out of range: summed over the batches of a run, the worst named in tables and report."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from simcore import RunResult, run, terminal
from simcore.ranges import added, report, worst_in_words
from simcore.report.sides import sides_of
from simcore.report.tables import event_table
from simcore.summary_tables import layer_tables
from tests.simcore.conftest import scenario_with
from tests.simcore.fakes import FakeBank

run_module = import_module("simcore.run")


def _entry(column: str, rows: int, value: float | None, graph: str = "driven") -> dict[str, Any]:
    """A column of range -1 to 14."""
    excess = None if value is None else 100 * max(-1 - value, value - 14) / 15
    return {
        "column": column, "graph": graph, "rows": rows, "value": value, "low": -1.0, "high": 14.0,
        "excess_pct": excess,
    }  # fmt: skip


def test_reports_add_up_by_column_and_graph() -> None:
    first = report(100, 5, [_entry("w", 3, 20.0), _entry("v", 4, 15.0)])
    second = report(50, 9, [_entry("w", 2, -30.0), _entry("w", 7, 14.5, "idle"), _entry("v", 1, None)])
    total = added(added(None, first), second)
    assert (total["rows"], total["outside"]) == (150, 14)
    assert total["columns"] == [_entry("w", 7, 14.5, "idle"), _entry("v", 5, None), _entry("w", 5, -30.0)]
    assert total["worst"] == total["columns"][0]
    assert added(second, first) == total, "in either order"


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (_entry("w", 1, 20.0), "w above 14"),
        (_entry("w", 1, -2.0), "w below -1"),
        (_entry("v", 1, None), "v not a number"),
        (_entry("duration", 1, 129.0, "idle"), "duration above 14, idle"),
        (_entry("v", 1, -0.09) | {"low": -1.56e-7, "high": 1.3128}, "v below 0"),
        (_entry("v", 1, 1.4) | {"low": -1.56e-7, "high": 1.3128}, "v above 1.31"),
        (_entry("v", 1, 1.4) | {"low": 0.57, "high": 0.57}, "v above 0.57"),
    ],
)
def test_the_worst_is_told_in_words(entry: dict[str, Any], words: str) -> None:
    assert worst_in_words(report(10, 1, [entry])) == words
    assert worst_in_words(report(10, 0, [])) is None
    assert worst_in_words(None) is None


@pytest.fixture
def telling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the fake banks count every step as out of range, by the input w."""

    def counters(self: FakeBank) -> dict[str, Any]:
        steps = sum((_unit_counts(self, call.units) for call in self.calls), start=0 * self._out_of_range)
        return {"out_of_range": steps, "rail_excursions": 0 * self._out_of_range}

    def provenance(self: FakeBank) -> dict[str, Any]:
        rows = sum(len(call.units) for call in self.calls)
        return {"backend": "exact", "out_of_range": report(rows, rows, [_entry("w", rows, 14.0 + rows)])}

    monkeypatch.setattr(FakeBank, "counters", counters)
    monkeypatch.setattr(FakeBank, "provenance", provenance)


def _unit_counts(bank: FakeBank, units: Any) -> Any:
    counts = 0 * bank._out_of_range
    counts[units] = 1
    return counts


def _ranges(result: RunResult) -> dict[str, Any]:
    (bank,) = result.provenance["banks"]
    assert bank["layers"] == ["first", "second"]
    return dict(bank["out_of_range"])


@pytest.mark.usefixtures("telling")
def test_a_run_keeps_the_counts_of_all_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = _ranges(run(scenario_with(samples=7), tmp_path / "whole"))
    assert whole["rows"] > 50
    for lanes in (1, 3):
        monkeypatch.setattr(run_module, "LANES", lanes)
        parts = _ranges(run(scenario_with(samples=7), tmp_path / str(lanes)))
        assert (parts["rows"], parts["outside"]) == (whole["rows"], whole["outside"])
        assert parts["worst"]["rows"] == whole["rows"]


@pytest.mark.usefixtures("telling")
def test_share_and_worst_input_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(scenario_with(), tmp_path)
    text = "100 % (w above 14)"
    assert result.outside() == {"first": text, "second": text}
    terminal.show(*layer_tables([result.summary()], [result.outside()]))
    shown = capsys.readouterr().out
    assert f"of all steps  {text}  {text}" in shown
    rows = event_table(sides_of(result)).rows
    assert [(cell.text, cell.notes) for cell in rows[0].cells if cell.notes] == [("100 %", ("w above 14",))]
    assert not any(cell.notes for cell in rows[-1].cells), "none below the total"


def test_nothing_more_is_shown_where_all_stays_in_range(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run(scenario_with(), tmp_path)
    assert result.outside() == {}
    terminal.show(*layer_tables([result.summary()], [result.outside()]))
    assert "of all steps" not in capsys.readouterr().out

"""The glossary: one definition per column, the page up to date, unknown names answered with what is known."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from simcore.cli import app
from simcore.errors import UserError
from simcore.frames import events_frame
from simcore.glossary import chapters, define, find, markdown
from tests.simcore.synthetic_runs import make_comparison, make_run

PAGE = Path(__file__).parents[2] / "docs" / "glossary.md"


def test_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == markdown(), "python -m simcore.glossary docs/glossary.md"


def test_each_key_is_defined_once_in_a_sentence() -> None:
    keys = [key for chapter in chapters().values() for key in chapter.columns]
    assert len(keys) == len(set(keys))
    assert all(define(key).what.endswith(".") for key in keys)


def test_every_column_of_a_run_and_of_a_comparison_is_defined(tmp_path: Path) -> None:
    comparison = make_comparison(tmp_path)
    summary = comparison.reference.summary()
    keys = {*summary["layers"][0], *summary} - {"layers", "scenario", "architecture", "dataset"}
    layer = comparison.figures["layers"][0]
    keys |= {f"{view}.{key}" for view in ("aligned", "cascade") for key in layer[view]}
    keys |= set(layer["aligned"]["latency"])
    assert all(find(key) for key in keys)


def test_every_column_of_the_frame_of_events_is_defined(tmp_path: Path) -> None:
    frame = events_frame(make_run(tmp_path, "ideal"), None, every_step=True)
    assert all(find(column) for column in frame.columns if "." not in column)


def test_columns_are_found_by_key_end_of_key_and_name() -> None:
    assert [key for key, _, _ in find("critical path")] == ["critical_path_s"]
    assert [key for key, _, _ in find("Latency_S")] == ["latency_s", "event.latency_s"]
    assert "aligned.energy" in [key for key, _, _ in find("energy")]


def test_unknown_column_is_answered_with_what_is_like_it() -> None:
    with pytest.raises(UserError, match=r"no column 'suply_j'; did you mean supply_j.*\nknown: .*cpu_s"):
        find("suply_j")


def test_explain_says_meaning_unit_and_formula() -> None:
    shown = CliRunner().invoke(app, ["explain", "baseline_pct", "supply_j"])
    assert shown.exit_code == 0
    assert "baseline_pct (%): The same figure for the best constant predictor" in shown.output
    assert "= sum over sources of class supply and bias of the integral of v i dt" in shown.output


def test_explain_without_a_column_lists_all() -> None:
    shown = CliRunner().invoke(app, ["explain"]).output
    assert all(chapter.title in shown for chapter in chapters().values())

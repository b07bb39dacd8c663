"""Pictures and tables as files, plots from Python, runs in notebooks, frames of events."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest

import simcore.figures as figures
from simcore.compare import Comparison
from simcore.errors import ResultError, UserError
from simcore.frames import event_times_s
from simcore.ledger import TraceRows
from simcore.report.draw_mpl import save
from simcore.report.files import csv_rows, latex, write_figures, write_tables
from simcore.report.sides import sides_of
from simcore.report.subject import subject_of
from simcore.report.tables import Cell, Heading, Row, Table, energy_table
from simcore.report.topics import parts
from simcore.report.totals_plots import energy_stack
from simcore.result import RunResult
from tests.simcore.synthetic_runs import LAYERS, make_comparison, make_run

pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install 'simcore-ams[figures]'")


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return make_comparison(tmp_path_factory.mktemp("comparison"))


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    return make_run(tmp_path_factory.mktemp("run"), "ideal")


@pytest.mark.slow
def test_each_picture_of_the_page_is_a_png_and_a_pdf(result: RunResult, tmp_path: Path) -> None:
    paths = write_figures(result, tmp_path)
    keys = {plot.key for part in parts(subject_of(result)) for plot in part.plots}
    assert {path.name for path in paths} == {f"{key}.{kind}" for key in keys for kind in ("png", "pdf")}


def test_a_picture_has_the_same_bytes_each_time(result: RunResult, tmp_path: Path) -> None:
    plot = energy_stack(subject_of(result))
    first, second = (save(plot, tmp_path / folder) for folder in ("a", "b"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    starts = {".png": b"\x89PNG", ".pdf": b"%PDF"}
    assert all(path.read_bytes().startswith(starts[path.suffix]) for path in first)


def test_csv_holds_si_values_under_the_keys_of_the_glossary(comparison: Comparison, tmp_path: Path) -> None:
    write_tables(comparison, tmp_path)
    with (tmp_path / "tables" / "energy-per-layer.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["backend"] for row in rows[:3]] == ["spice", "surrogate", "spice"], "no rows of changes"
    side = sides_of(comparison)[1]
    mine = [row for row in rows if (row["name"], row["backend"]) == ("hidden", "surrogate")]
    assert [float(row["supply_j"]) for row in mine] == [side.layer("hidden")["supply_j"]]
    assert mine[0]["energy_interval_pct"] == "", "undefined is empty"


def test_latex_has_every_cell_and_escapes_what_it_must(comparison: Comparison) -> None:
    table = energy_table(sides_of(comparison))
    text = latex(table)
    body = re.findall(r"^(?!\\|%)(.*) \\\\$", text, re.MULTILINE)
    assert len(body) == 1 + len(table.rows)
    assert all(line.count(" & ") == len(table.headings) - 1 for line in body)
    odd = Table("t", "", (Heading("a_b", ""), Heading("5 %", "")), (Row((Cell("x & y"), Cell("3 µJ")))
                ,))  # fmt: skip
    assert r"a\_b & 5 \% \\" in latex(odd)
    assert r"x \& y & 3 \textmu{}J \\" in latex(odd)


def test_names_stand_in_each_row_of_a_csv(comparison: Comparison) -> None:
    rows = list(csv_rows(energy_table(sides_of(comparison))))
    assert [row[0] for row in rows[1:5]] == ["input", "input", "hidden", "hidden"]


def test_tables_that_cannot_be_written_are_a_result_error(result: RunResult, tmp_path: Path) -> None:
    (tmp_path / "tables").write_text("")
    with pytest.raises(ResultError, match="cannot write"):
        write_tables(result, tmp_path)


RUN_PLOTS = (
    figures.energy, figures.latency, figures.units, figures.spikes, figures.outputs, figures.confusions,
)  # fmt: skip


@pytest.mark.parametrize("draw", RUN_PLOTS)
def test_plots_return_figure_and_axes(draw: object, result: RunResult) -> None:
    fig, ax = draw(result)  # type: ignore[operator]
    assert list(np.atleast_1d(ax)) == fig.axes[: len(np.atleast_1d(ax))]
    assert all(axes.has_data() for axes in np.atleast_1d(ax))


@pytest.mark.parametrize("draw", [figures.errors, figures.parity, figures.error_distribution, figures.worst])
def test_plots_of_a_comparison_return_figure_and_axes(draw: object, comparison: Comparison) -> None:
    _, ax = draw(comparison)  # type: ignore[operator]
    assert all(axes.has_data() for axes in np.atleast_1d(ax))


def test_plot_of_what_was_not_stored_says_what_to_do(tmp_path: Path) -> None:
    untraced = make_run(tmp_path, "ideal", traced=False)
    with pytest.raises(ResultError, match=r"no traced spikes; run again with --trace"):
        figures.spikes(untraced)


def test_run_shows_itself_in_a_notebook(result: RunResult) -> None:
    html = result._repr_html_()
    assert "digits_fake" in html
    assert "<script" not in html
    assert all(layer.name in html for layer in LAYERS)
    assert len(html) < 20_000


def test_events_are_those_that_the_totals_count(result: RunResult) -> None:
    frame = result.events()
    in_time = frame[~frame.late].groupby("layer").size().to_dict()
    assert in_time == {name: int(columns["fired"].sum()) for name, columns in result.layer_columns.items()}
    steps = result.events("hidden", every_step=True)
    assert len(steps) == int(result.layer_columns["hidden"]["steps"].sum())
    assert steps.supply_j.sum() == pytest.approx(result.layer_columns["hidden"]["supply_j"].sum())
    assert {"in.in", "out.out"} < set(steps.columns)


def test_unknown_layer_is_answered_with_the_known_ones(result: RunResult) -> None:
    with pytest.raises(UserError, match="no layer 'hiden'; known: input, hidden, tile, output"):
        result.events("hiden")


def test_event_in_a_tail_step_counts_from_the_driven_edge() -> None:
    n = 4
    zeros, none = np.zeros(n), np.zeros(n, np.bool_)
    rows = TraceRows(
        lane=np.array([0, 0, 0, 1]), unit=np.array([5, 5, 6, 5]), step=np.array([2, 3, 1, 4]),
        periods=np.ones(n, np.int64), idle=np.array([False, True, True, False]), merged=none, gated=none,
        fired=np.array([False, True, True, True]), supply_j=zeros, input_j=zeros,
        latency_s=np.array([np.nan, 6e-9, 7e-9, 1e-9]), inputs=zeros[:, None], outputs=zeros[:, None],
    )  # fmt: skip
    np.testing.assert_allclose(event_times_s(rows, 5000), [np.nan, 16e-9, 7e-9, 21e-9])

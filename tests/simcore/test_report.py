"""The report: one file, no network, every figure with its unit, verdicts, undefined shown as a dash."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from simcore.compare import Comparison
from simcore.errors import ResultError
from simcore.glossary import define
from simcore.report import write_report
from simcore.report.errors_table import error_table, verdict
from simcore.report.sides import sides_of
from simcore.report.tables import energy_table, event_table, timing_table
from simcore.units import DASH, number, percent, scale_for, si
from tests.simcore.synthetic_runs import LAYERS, make_comparison, make_run


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return make_comparison(tmp_path_factory.mktemp("comparison"))


@pytest.fixture(scope="module")
def page(comparison: Comparison, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(comparison, tmp_path_factory.mktemp("page"))


def text_of(page: Path) -> str:
    """Return the page without Plotly itself."""
    return re.sub(
        r"<script[^>]*>/\*.*?</script>", "", page.read_text(encoding="utf-8"), count=1, flags=re.DOTALL
    )


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (3.2e-13, "J", "320 fJ"),
        (9.99996e-13, "J", "1 pJ"),
        (1.2345e-9, "s", "1.234 ns"),
        (0.0, "J", "0 J"),
        (-4.5e-12, "J", "-4.5 pJ"),
        (2500.0, "s", "2.5 ks"),
        (None, "J", DASH),
        (float("nan"), "J", DASH),
    ],
)
def test_values_carry_the_prefix_that_suits_them(value: float | None, unit: str, text: str) -> None:
    assert si(value, unit) == text


def test_an_axis_has_one_unit_for_all_values() -> None:
    scale = scale_for(np.array([2e-15, np.nan, 4.2e-12]), "J")
    assert scale.unit == "pJ"
    assert scale.factor == pytest.approx(1e12)
    assert scale_for(np.array([]), "J").unit == "J"


def test_numbers_and_percentages_are_short() -> None:
    assert [number(123456), number(2.5), number(1e-7), number(None)] == ["123,456", "2.5", "1.00e-07", DASH]
    assert [percent(1.23456), percent(0.5, sign=True), percent(None)] == ["1.23 %", "+0.5 %", DASH]


def test_report_is_one_file_without_network_below_8_mb(page: Path) -> None:
    assert [path.name for path in page.parent.iterdir()] == ["report.html"]
    assert page.stat().st_size < 8_000_000
    assert page.read_text(encoding="utf-8").count("plotly.js v") == 1
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=[\"']?(?:https?:)?//", text_of(page))


def test_comparison_shows_both_back_ends_errors_and_provenance(page: Path) -> None:
    text = text_of(page)
    for heading in (
        "Energy boundary", "The whole run", "Energy per layer", "Digital energy by component",
        "Energy per unit, side by side", "Latency per layer", "Errors of surrogate against spice",
        "Errors beside baseline and noise floor", "Latency per event, side by side", "Energy error per step",
        "How energy errors are distributed", "The worst units", "Steps and events per layer",
        "Spikes, first sample", "Output levels, first sample", "Confusion matrix",
    ):  # fmt: skip
        assert f"<h3>{heading}</h3>" in text
    assert "<h2>Provenance</h2>" in text
    assert all(layer.name in text for layer in LAYERS)
    assert "&#34;merge_idle&#34;: true" in text
    assert "280 x" in text


def test_text_from_the_run_is_escaped(page: Path) -> None:
    assert "name=&#39;&lt;b&gt;&amp;&#39;" in text_of(page)
    assert "<b>&'" not in text_of(page)


def test_every_column_is_explained_on_hover(comparison: Comparison) -> None:
    sides = sides_of(comparison)
    tables = (energy_table(sides), timing_table(sides), event_table(sides), error_table(comparison.figures))
    for table in tables:
        assert all(heading.hover.endswith(".") for heading in table.headings)
        assert all(heading.key and define(heading.key).hover == heading.hover for heading in table.headings)
        assert all(len(row.cells) == len(table.headings) for row in table.rows)


def test_layers_and_total_of_the_energy_table_agree_with_the_summary(comparison: Comparison) -> None:
    sides = sides_of(comparison)
    rows = [[cell.text for cell in row.cells] for row in energy_table(sides).rows]
    assert [row[1] for row in rows] == ["spice", "surrogate", "change"] * (len(LAYERS) + 1)
    assert rows[-3][3] == si(sides[0].summary["energy_j"], "J")
    assert rows[0][3] == si(sides[0].layer("input")["energy_j"], "J")


@pytest.mark.parametrize(
    ("value", "baseline", "noise", "word"),
    [
        (8.0, 10.0, None, "trivial"),
        (7.9, 10.0, None, "clear"),
        (0.0, 0.0, None, "clear"),
        (0.1, 10.0, 0.2, "at the floor"),
        (1.0, None, None, ""),
        (None, 10.0, None, ""),
    ],
)
def test_verdict_compares_a_figure_with_its_baseline(
    value: float | None, baseline: float | None, noise: float | None, word: str
) -> None:
    assert verdict({"value_pct": value, "baseline_pct": baseline, "noise_pct": noise}) == word


def test_layer_that_a_constant_would_do_is_called_trivial(comparison: Comparison) -> None:
    words = {row.cells[0].text: row.cells[1] for row in error_table(comparison.figures).rows}
    assert (words["hidden"].tag, words["hidden"].notes) == ("trivial", ("idle",))
    assert words["tile"].tag == "informative"


def test_undefined_errors_are_a_dash(comparison: Comparison) -> None:
    table = error_table(comparison.figures)
    output = [heading.text for heading in table.headings].index("output")
    shown = {row.cells[0].text: row.cells[output].text for row in table.rows}
    assert shown["hidden"] == DASH
    assert shown["tile"] != DASH


def test_single_sample_has_no_interval(tmp_path: Path) -> None:
    single = make_comparison(tmp_path, n_samples=1)
    notes = [note for row in error_table(single.figures).rows for cell in row.cells for note in cell.notes]
    assert notes
    assert not any(note.startswith("CI") for note in notes)
    assert write_report(single, tmp_path).exists()


def test_run_without_trace_leaves_out_the_event_charts(tmp_path: Path) -> None:
    text = text_of(write_report(make_run(tmp_path, "ideal", traced=False), tmp_path))
    assert "<h3>Energy per unit</h3>" in text
    assert "They are empty for ideal: a run keeps single events only with --trace" in text
    assert "Single events and levels are not shown: a run keeps them only with --trace" in text
    assert "Spikes, first sample" not in text
    assert "Errors of" not in text


def test_traced_run_shows_spikes_and_output_levels(tmp_path: Path) -> None:
    text = text_of(write_report(make_run(tmp_path, "ideal"), tmp_path))
    assert "<h3>Spikes, first sample</h3>" in text
    assert "<h3>Output levels, first sample</h3>" in text


def test_same_run_gives_the_same_page(comparison: Comparison, page: Path, tmp_path: Path) -> None:
    assert write_report(comparison, tmp_path).read_bytes() == page.read_bytes()


def test_unwritable_directory_is_a_result_error(comparison: Comparison, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultError, match="cannot write"):
        write_report(comparison, tmp_path / "file")


def test_quantiles_of_latency_are_those_of_the_events(tmp_path: Path) -> None:
    result = make_run(tmp_path, "ideal")
    (side,) = sides_of(result)
    rows = result.trace("hidden")
    latency = rows.latency_s[rows.fired & ~rows.merged]
    found = side.layer("hidden")
    assert found["latency_p50_s"] == pytest.approx(np.median(latency))
    assert found["latency_p95_s"] == pytest.approx(np.percentile(latency, 95))
    assert found["latency_max_s"] == latency.max()


def test_shares_of_the_layers_add_up(comparison: Comparison) -> None:
    side = sides_of(comparison)[0]
    assert sum(side.layer(layer.name)["share_pct"] for layer in LAYERS) == pytest.approx(100)


def test_failed_write_leaves_the_report_that_was_there(
    comparison: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "report.html").write_text("earlier")
    monkeypatch.setattr(Path, "replace", _no_room)
    with pytest.raises(ResultError, match=r"cannot write .*report\.html: .*No space left"):
        write_report(comparison, tmp_path)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("report.html", "earlier")]


def _no_room(self: Path, target: Path) -> Path:
    raise OSError(28, "No space left on device")


def test_figures_of_the_page_are_json(page: Path) -> None:
    body = re.search(r"const figures = \{\n(.*?)\n\};", text_of(page), re.DOTALL)
    assert body
    figures = json.loads("{" + body[1].rstrip().rstrip(",") + "}")
    assert next(iter(figures)) == "energy-stack"
    assert all(figure["data"] for figure in figures.values())

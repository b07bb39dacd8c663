"""The page of a study: charts for any number of objectives, the truth beside its twin, errors."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from simcore.explore import Sweep, load_sweep
from simcore.explore.charts import charts, front_chart, history_chart, short_names
from simcore.explore.page import write_explore_page
from simcore.explore.record import FEWEST, Record, fronts
from simcore.explore.study import explore
from tests.simcore.explored import GRID, Spot, sweep_file

SHARES = {
    "energy": {"architecture.options.steps": 0.9, "seed": 0.1},
    "accuracy": {"architecture.options.steps": 0.5, "seed": 0.5},
}


def swept(folder: Path, objectives: str) -> Sweep:
    return load_sweep(sweep_file(folder, GRID, ('["energy:min", "accuracy:max"]', objectives)))


def records() -> list[Record]:
    """Return a trial on the front that ngspice ran too, one behind, one that breaks a bound, a failed one."""
    point = {"architecture.options.steps": 8, "seed": 1}
    figures = {"energy": 2e-9, "latency": 1e-8, "accuracy": 0.9, "edp": 2e-17}
    true = {"energy": 2.5e-9, "latency": 1e-8, "accuracy": 0.9, "edp": 2.5e-17}
    said = {"n_samples": 2, "true": true, "twin": figures, "corrected": true, "same_label": 0.5}
    costs = {"wall_s": 1.0, "cpu_s": 1.0, "n_samples": 2, "outside": 0.25}
    behind = {**figures, "energy": 3e-9}
    return [
        Record(0, point, figures, costs, "", True, 0, 0, said),
        Record(1, {**point, "seed": 2}, behind, costs, "", True, 1, 1),
        Record(2, {**point, "architecture.options.steps": 12}, behind, costs, "", False),
        Record(3, {**point, "architecture.options.steps": 16}, {}, {}, "<b>no convergence</b>", False),
    ]


def test_the_page_is_one_file_with_all_there_is(tmp_path: Path) -> None:
    sweep = swept(tmp_path, '["energy:min", "accuracy:max"]')
    page = write_explore_page(records(), sweep, SHARES, tmp_path / "out", "sqlite:///x.db")
    text = page.read_text(encoding="utf-8")
    assert text.count("plotly.js v") == 1
    own = text.replace(
        text[text.index('<script type="text/plain" id="plotly">') : text.index("const figures")], ""
    )
    assert not re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=[\"']?(?:https?:)?//", own)
    for words in (
        "Pareto front", "Knobs and figures", "Importance of each knob", "The best on ngspice", "Trials",
        "2.5 nJ", "-20 %", "25 %", "&lt;b&gt;no convergence", 'data-key="2e-09"', "1 failed", "sqlite:///x.db",
    ):  # fmt: skip
        assert words in own, words


@pytest.mark.parametrize(
    ("objectives", "panels"),
    [('["energy:min", "accuracy:max"]', 1), ('["energy", "latency", "edp"]', 3)],
)
def test_each_pair_of_objectives_has_a_picture_with_the_truth_joined_to_its_twin(
    tmp_path: Path, objectives: str, panels: int
) -> None:
    figure = front_chart(records()[:3], swept(tmp_path, objectives)).figure
    diamonds = [trace for trace in figure.data if trace.name == "ngspice"]
    assert len(diamonds) == panels
    assert np.allclose(diamonds[0].x, [2.5])
    lines = [trace for trace in figure.data if trace.mode == "lines" and None in trace.x]
    assert lines[0].x[:2] == (pytest.approx(2.0), pytest.approx(2.5))


def test_one_objective_is_shown_trial_by_trial(tmp_path: Path) -> None:
    figure = history_chart(records()[:3], swept(tmp_path, '["accuracy"]')).figure
    (best,) = [trace for trace in figure.data if trace.name == "best so far"]
    assert np.allclose(best.y, [90, 90])


def test_a_study_without_figures_has_a_page(tmp_path: Path) -> None:
    sweep = swept(tmp_path, '["energy"]')
    assert charts(records()[3:], sweep, "0 trials have figures") == []
    page = write_explore_page(records()[3:], sweep, "0 trials have figures", tmp_path, "x")
    assert "Not known: 0 trials have figures" in page.read_text()


def test_fronts_are_peeled_one_behind_the_other() -> None:
    costs = np.array([[1.0, 4.0], [2.0, 2.0], [2.0, 3.0], [4.0, 1.0], [4.0, 4.0], [2.0, 2.0]])
    assert fronts(costs) == [0, 0, 1, 0, 2, 0]


def test_importance_finds_the_knob_that_matters_and_wants_enough_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simcore.explore.page.charts", lambda *_: [])
    wide = ("[8, 12, 16]", "[4, 8, 12, 16]")
    sweep = load_sweep(sweep_file(tmp_path, GRID, wide))
    few = explore(replace(sweep, trials=4), tmp_path / "few", pool=Spot())
    assert few.shares == f"4 trials have figures, {FEWEST} are needed"
    found = explore(sweep, tmp_path / "all", pool=Spot())
    assert not isinstance(found.shares, str)
    assert found.shares["energy"]["architecture.options.steps"] > 0.8


def test_short_names_stay_unique(tmp_path: Path) -> None:
    keys = (
        "seed = [1, 2]",
        "seed = [1, 2]\nlayers.first.params.gain = [1.0]\nlayers.second.params.gain = [1.0]",
    )
    axes = load_sweep(sweep_file(tmp_path, GRID, keys)).axes
    assert list(short_names(axes).values()) == [
        "steps", "seed", "layers.first.params.gain", "layers.second.params.gain",
    ]  # fmt: skip

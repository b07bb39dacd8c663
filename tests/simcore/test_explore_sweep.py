"""Sweep files: what an axis may be, and that wrong ones are refused with place, value and known names."""

from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

from simcore.errors import UserError
from simcore.explore import load_sweep
from simcore.explore.axes import n_points, points, read_axes
from simcore.explore.figures import QUANTITIES, Constraint, figures_of, read_constraints, read_objectives
from simcore.explore.files import to_toml
from simcore.scenario import load_scenario
from tests.conftest import Outcome
from tests.simcore.explored import GRID, RANGE, sweep_file

SHIPPED = Path(__file__).parents[2] / "scenarios"
OBJECTIVES = '["energy:min", "accuracy:max"]'
STEPS = "architecture.options.steps = [8, 12, 16]"


def bounded(line: str) -> tuple[str, str]:
    """Return the change that adds a constraint."""
    return "[axes]", f"[constraints]\n{line}\n[axes]"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([(OBJECTIVES, '["enregy:min"]')], "study.objectives: unknown figure 'enregy', known: energy"),
        ([(OBJECTIVES, '["energy:least"]')], "'energy:least': expected energy:min or energy:max"),
        ([(OBJECTIVES, '["energy", "energy:max"]')], "expected each once, at least one"),
        ([(OBJECTIVES, "[]")], "got \\[\\], expected each once"),
        ([("[8, 12, 16]", "[]")], "axes.architecture.options.steps: the axis is empty"),
        ([("[8, 12, 16]", "[8, 8]")], "the value 8 stands twice"),
        ([("[8, 12, 16]", "8")], "axes.architecture.options.steps: got 8, expected a list, { low, high"),
        ([("[8, 12, 16]", "{ low = 8 }")], "options.steps: high is missing"),
        ([("[8, 12, 16]", "{ low = 8, high = 8 }")], "low 8 must be below high 8, the axis is empty"),
        ([("[8, 12, 16]", "{ low = 0, high = 8, log = true }")], "log needs low above 0, got 0"),
        ([("[8, 12, 16]", "{ low = 1, high = 8, step = 9 }")], "step 9 must be above 0 and at most 7"),
        ([("[8, 12, 16]", "{ low = 1, high = 8, lgo = true }")], "lgo: .*known: keys, values, choices, low"),
        ([("[8, 12, 16]", "{ low = 1, choices = [2] }")], "expected one of a list"),
        ([("[8, 12, 16]", '{ low = 1, high = 2, optuna = "Int" }')], "unknown distribution 'Int', known: "),
        ([(STEPS, "x = { keys = ['seed'], values = [3] }")], "two axes set the key 'seed'"),
        ([(STEPS, "x = { keys = ['a', 'b'], values = [[1]] }")], "expected one value for each of a, b"),
        ([("options.steps", "options.stpes")], "no point can be run: .*stpes"),
        ([("architecture.options.steps", "nmae")], "no point can be run: .*nmae.*did you mean 'name'"),
        ([("options.steps", "name.x")], "'name' in 'architecture.name.x' is a value"),
        ([("[study]", "[study]\nsampler = 'tpo'")], "study.sampler: unknown sampler 'tpo', known: auto"),
        ([("[study]", "[study]\ntrails = 3")], "study.trails: .*did you mean 'trials'"),
        ([("[study]", "[study]\ntrials = 0")], "study.trials"),
        ([("dots.toml", "dot.toml")], "cannot read the scenario .*dot.toml"),
        ([("[study]", "[study")], "not valid TOML"),
        ([bounded("energi = '> 1'")], "constraints: unknown figure 'energi', known"),
        ([bounded("energy = '1'")], "constraints.energy: got '1', expected a bound in J"),
        ([bounded("accuracy = '>= 1.2'")], "contradicts itself: accuracy is 0 to 1"),
        ([bounded("energy = ['>= 2', '< 2']")], "'>= 2 and < 2' contradicts itself"),
    ],
)  # fmt: skip
def test_a_wrong_sweep_is_refused_with_its_place(
    simcore: Callable[..., Outcome], tmp_path: Path, changes: list[tuple[str, str]], message: str
) -> None:
    file = sweep_file(tmp_path, GRID, *changes)
    with pytest.raises(UserError, match=message):
        load_sweep(file)
    refused = simcore("explore", file, "--out", tmp_path / "out")
    assert refused.code == 2
    assert str(file.parent) in refused.err
    assert not (tmp_path / "out").exists()


def test_ranges_need_a_number_of_trials(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"study\.trials is missing"):
        load_sweep(sweep_file(tmp_path, RANGE, ("trials = 8", "")))
    with pytest.raises(UserError, match=r"'grid' needs lists, axes\.layers\.first\.params\.gain is a range"):
        load_sweep(sweep_file(tmp_path, RANGE, ("trials = 8", "sampler = 'grid'")))


def test_a_grid_has_no_more_trials_than_points(tmp_path: Path) -> None:
    file = sweep_file(tmp_path)
    assert load_sweep(file).trials == load_sweep(file, trials=100).trials == 6
    few = load_sweep(file, trials=4)
    assert few.trials == 4
    assert not few.is_grid


def test_every_form_of_an_axis_becomes_a_distribution() -> None:
    axes = read_axes(
        {
            "a": {"b": [1, 2], "c": {"low": 1, "high": 9, "step": 4}},
            "d": {"low": 0.5, "high": 2.0, "log": True},
            "e": {"choices": ["x", "y"]},
            "f": {"optuna": "FloatDistribution", "low": 0, "high": 1},
            "g": {"keys": ["p.q", "p.r"], "values": [[1, "u"], [2, "v"]]},
            "h": {"optuna": "CategoricalDistribution", "choices": [True, 3]},
        },
        "here",
    )
    known = optuna.distributions
    assert {axis.name: axis.distribution() for axis in axes} == {
        "a.b": known.CategoricalDistribution((1, 2)),
        "a.c": known.IntDistribution(1, 9, step=4),
        "d": known.FloatDistribution(0.5, 2.0, log=True),
        "e": known.CategoricalDistribution(("x", "y")),
        "f": known.FloatDistribution(0.0, 1.0),
        "g": known.CategoricalDistribution(('[1, "u"]', '[2, "v"]')),
        "h": known.CategoricalDistribution((True, 3)),
    }
    assert [axis.values() for axis in axes[:3]] == [(1, 2), (1, 5, 9), None]
    assert n_points(axes) is None
    assert n_points(axes[:2]) == len(list(points(axes[:2]))) == 6
    assert dict(axes[5].settings('[2, "v"]')) == {"p.q": 2, "p.r": "v"}


def test_keys_that_move_together_get_the_same_value() -> None:
    (axis,) = read_axes({"rows": {"keys": ["a.rows", "b.rows"], "values": [16, 32]}}, "here")
    assert dict(axis.settings(32)) == {"a.rows": 32, "b.rows": 32}


@pytest.mark.parametrize(
    ("text", "value", "is_kept"),
    [(">= 2", 2, True), ("> 2", 2, False), ("<= 2", 2.5, False), ("< 2", 1, True), ("<= 2e-9", 1e-9, True)],
)
def test_a_constraint_is_kept_where_its_excess_is_not_above_zero(
    text: str, value: float, is_kept: bool
) -> None:
    (bound,) = read_constraints({"energy": text}, "here")
    assert (bound.excess({"energy": value}) <= 0) is is_kept


def test_directions_follow_the_figure_unless_given() -> None:
    found = read_objectives(["energy", "accuracy", "latency:max"], "here")
    assert [o.direction for o in found] == ["min", "max", "max"]
    assert [o.cost({"accuracy": 0.5, "energy": 1, "latency": 2}) for o in found] == [1, -0.5, -2]


def test_figures_that_are_undefined_are_left_out() -> None:
    assert figures_of({"energy_j": 2.0, "latency_s": None, "accuracy": 0.5}) == {
        "energy": 2.0,
        "accuracy": 0.5,
    }
    full = figures_of({"energy_j": 2.0, "latency_s": 3.0, "accuracy": 0.5, "area_m2": 1e-6})
    assert full["edp"] == 6.0
    assert full["area"] == 1e-6


@pytest.mark.parametrize("name", ["crossbar", "spiking"])
def test_shipped_studies_can_be_run(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = []
    monkeypatch.setattr("simcore.explore.sweep.rehearse", checked.append)  # MNIST may not be there
    sweep = load_sweep(SHIPPED / "explore" / f"{name}.toml")
    assert (sweep.trials, sweep.base.samples) == (60, 200)
    assert len(checked) == 2


def test_written_scenarios_read_as_they_were(tmp_path: Path) -> None:
    for file in SHIPPED.glob("*.toml"):
        scenario = load_scenario(file, ["layers.hidden.params.V_leak=0.6", 'backend.spice={a=[1,"x y"]}'])
        copy = tmp_path / file.name
        copy.write_text(to_toml(scenario))
        assert load_scenario(copy) == scenario


def test_a_bound_says_what_it_is() -> None:
    assert Constraint(QUANTITIES["accuracy"], ">=", 0.9).text == "accuracy >= 0.9"

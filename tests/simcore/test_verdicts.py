"""Verdicts on layers: what decides, the strictest word first; the energy boundary adds up."""

import copy
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from simcore.compare import Comparison
from simcore.report.boundary import OUTSIDE, boundary
from simcore.report.subject import Subject, subject_of
from simcore.report.verdicts import JUDGED, verdicts
from simcore.units import si
from tests.simcore.synthetic_runs import make_comparison, make_run


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return make_comparison(tmp_path_factory.mktemp("comparison"))


def judged(comparison: Comparison, layer: str, **figure: Any) -> Subject:
    """Return the comparison with every deciding figure of a layer replaced."""
    figures = copy.deepcopy(comparison.figures)
    entry = next(each for each in figures["layers"] if each["name"] == layer)
    for column in JUDGED:
        view, key = column.split(".")
        entry[view][key] = entry[view][key] | {"noise_pct": None} | figure
    return subject_of(replace(comparison, figures=figures))


def word_of(subject: Subject, layer: str) -> str:
    return next(each.word for each in verdicts(subject) if each.layer == layer)


@pytest.mark.parametrize(
    ("figure", "word"),
    [
        ({"value_pct": 1.0, "baseline_pct": 50.0}, "trusted"),
        ({"value_pct": 12.0, "baseline_pct": 50.0}, "coarse"),
        ({"value_pct": 45.0, "baseline_pct": 50.0}, "trivial"),
        ({"value_pct": 0.1, "baseline_pct": 50.0, "noise_pct": 0.2}, "at the noise floor"),
        ({"value_pct": None, "baseline_pct": None}, "not judged"),
    ],
)
def test_figures_decide(comparison: Comparison, figure: Mapping[str, Any], word: str) -> None:
    assert word_of(judged(comparison, "input", **figure), "input") == word


def test_steps_out_of_range_overrule_small_errors(tmp_path: Path) -> None:
    comparison = make_comparison(tmp_path)
    column = comparison.candidate.layer_columns["output"]["out_of_range"]
    column[:] = 0
    assert word_of(judged(comparison, "output", value_pct=1.0, baseline_pct=50.0), "output") == "trusted"
    column[:] = 4  # of 300 steps a sample
    found = verdicts(judged(comparison, "output", value_pct=1.0, baseline_pct=50.0))[-1]
    assert found.word == "out of range"
    assert any("of the steps out of range" in reason for reason in found.reasons)


def test_idle_energy_alone_makes_no_layer_trivial(comparison: Comparison) -> None:
    found = {each.layer: each for each in verdicts(subject_of(comparison))}
    assert found["hidden"].word != "trivial"
    assert "trivial in idle steps alone" in found["hidden"].reasons


def test_run_alone_is_judged_only_by_an_audit(tmp_path: Path) -> None:
    subject = subject_of(make_run(tmp_path, "surrogate"))
    assert word_of(subject, "hidden") == "not judged"
    energy = {"value_pct": 2.0, "ci95_pct": [1.0, 3.0]}
    audited = replace(subject, audit={"layers": [{"name": "hidden", "energy": energy}]})
    assert word_of(audited, "hidden") == "trusted"
    assert word_of(audited, "tile") == "not judged"


def test_layers_on_ngspice_are_the_reference(tmp_path: Path) -> None:
    assert {each.word for each in verdicts(subject_of(make_run(tmp_path, "spice")))} <= {
        "reference", "out of range"
    }  # fmt: skip


def test_boundary_shows_all_of_the_energy_and_what_it_leaves_out(comparison: Comparison) -> None:
    subject = subject_of(comparison)
    picture = boundary(subject.sides)
    layers = subject.sides[-1].summary["layers"]
    for part in ("supply", "input", "digital"):
        assert f"{part} {si(sum(layer[f'{part}_j'] for layer in layers), 'J')}" in picture
    assert f"accounted: {si(subject.sides[-1].summary['energy_j'], 'J')}" in picture
    assert all(what in picture for what in OUTSIDE)
    bars = re.findall(r'y="262" width="([\d.]+)"', picture)
    assert sum(map(float, bars)) == pytest.approx(664, abs=0.3)

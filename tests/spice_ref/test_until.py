"""A recording ends when more data no longer help."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from simcore.recording import read_recording
from spice_ref.until import FIRST_RUNS, Round, record_until
from tests.conftest import Outcome


def curve(errors: list[float], most: int) -> tuple[list[Round], list[int]]:
    """Record against a learning curve; return the rounds and what was recorded."""
    recorded: list[int] = []
    answers = iter(errors)
    rounds = record_until(most, recorded.append, lambda runs: next(answers), lambda each: None)
    return rounds, recorded


def test_it_goes_on_while_the_error_falls() -> None:
    rounds, recorded = curve([0.4, 0.3, 0.2, 0.1, 0.05], most=1800)
    assert recorded == [FIRST_RUNS, 600, 900, 1350, 1800]
    assert rounds[-1] == Round(1800, 0.05)


def test_two_rounds_without_a_fall_end_it() -> None:
    rounds, recorded = curve([0.4, 0.3, 0.31, 0.2, 0.196, 0.194, 0.1], most=10**6)
    assert [each.error for each in rounds] == [0.4, 0.3, 0.31, 0.2, 0.196, 0.194]
    assert recorded[-1] == rounds[-1].runs


def test_few_runs_are_one_round() -> None:
    assert curve([0.5], most=30)[1] == [30]


@pytest.mark.spice
@pytest.mark.slow
def test_the_command_records_and_tells_the_error(simcore: Callable[..., Outcome], tmp_path: Path) -> None:
    circuit = Path(__file__).parents[1] / "circuits" / "rc"
    out = tmp_path / "a.h5"
    told = simcore("circuit", "record", circuit, "--runs", 40, "--steps", 20, "--until", "--out", out)
    assert told.code == 0, told.err
    assert re.search(r"40 runs: error [\d.]+ %", told.out)
    assert len(read_recording(out)[2].run) == 40

"""Simulated time."""

import pytest

from simcore.clock import periods, seconds


def test_seconds_of_picoseconds() -> None:
    assert seconds(5000) == 5e-9


def test_periods_of_a_duration() -> None:
    assert periods(15_000, 5000) == 3


def test_inexact_time_is_an_error() -> None:
    with pytest.raises(ValueError, match="5001 ps is not a whole number of periods of 5000 ps"):
        periods(5001, 5000)

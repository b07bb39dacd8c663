"""Records until more data no longer help: rounds of runs, after each the error of a quick surrogate."""

from collections.abc import Callable
from dataclasses import dataclass

FIRST_RUNS = 400
GROWTH = 1.5
"""Runs of a round over those of the one before."""
GAIN = 0.95
"""An error that is not below this share of the best one so far has not fallen."""
PATIENCE = 2
"""Rounds without a fall, in a row, that end the recording."""


@dataclass(frozen=True, slots=True)
class Round:
    """One point of the learning curve."""

    runs: int
    error: float


def record_until(
    most_runs: int,
    record: Callable[[int], None],
    judge: Callable[[int], float],
    report: Callable[[Round], None],
) -> list[Round]:
    """Extend a recording by `record(runs)` round by round; return the learning curve.

    `judge(runs)` is the error of a quick surrogate that learned the first `runs` runs, on runs held out.
    Ends after PATIENCE rounds in which the error did not fall, or at `most_runs`.
    """
    rounds: list[Round] = []
    best, idle = float("inf"), 0
    runs = min(FIRST_RUNS, most_runs)
    while True:
        record(runs)
        rounds.append(Round(runs, judge(runs)))
        report(rounds[-1])
        idle = 0 if rounds[-1].error < GAIN * best else idle + 1
        best = min(best, rounds[-1].error)
        if idle == PATIENCE or runs == most_runs:
            return rounds
        runs = min(int(runs * GROWTH), most_runs)

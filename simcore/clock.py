"""Simulated time: integer picoseconds, converted only where text or figures enter or leave."""

PS_PER_S = 1_000_000_000_000


def seconds(time_ps: int) -> float:
    """Convert integer picoseconds to seconds."""
    return time_ps / PS_PER_S


def periods(duration_ps: int, period_ps: int) -> int:
    """Return how many whole periods a duration holds; an inexact duration raises ValueError."""
    count, rest = divmod(duration_ps, period_ps)
    if rest:
        raise ValueError(f"duration {duration_ps} ps is not a whole number of periods of {period_ps} ps")
    return count

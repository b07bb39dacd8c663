"""Progress of a work that consists of parts."""

from collections.abc import Callable


def scaled(progress: Callable[[float], None], start: float, share: float) -> Callable[[float], None]:
    """Return the callback of a part of the work that begins at `start` and makes up `share` of it."""
    return lambda done: progress(start + share * done)

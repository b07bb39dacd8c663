"""Exploration: searches the knobs of a scenario for its best points; `explore` is all that callers need."""

from simcore.explore.study import Exploration, explore
from simcore.explore.sweep import Sweep, load_sweep

__all__ = ["Exploration", "Sweep", "explore", "load_sweep"]

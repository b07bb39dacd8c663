"""What the tests of exploration share: sweeps over the fakes, and a pool that runs trials on the spot."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from simcore.explore.trial import Outcome, run_trial

BASE = """
name = "dots_chain"
samples = 2
[dataset]
name = "dots"
[architecture]
name = "chain"
weights = "none"
[backend]
default = "biased"
"""
GRID = """
base = "dots.toml"
[study]
objectives = ["energy:min", "accuracy:max"]
[axes]
architecture.options.steps = [8, 12, 16]
seed = [1, 2]
"""
RANGE = """
base = "dots.toml"
[study]
objectives = ["energy"]
trials = 8
[axes]
architecture.options.steps = { low = 4, high = 40 }
layers.first.params.gain = { low = 0.25, high = 2.0, log = true }
"""


def sweep_file(folder: Path, text: str = GRID, *changes: tuple[str, str]) -> Path:
    """Write a sweep with some text replaced, and its base beside it."""
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "dots.toml").write_text(BASE)
    file = folder / "sweep.toml"
    file.write_text(text)
    return file


class Spot:
    """A pool that runs each trial when it is submitted, and remembers which."""

    def __init__(self, n: int = 1, answer: Callable[[Mapping[str, Any]], Outcome] = run_trial) -> None:
        self.n = n
        self.ran: list[Mapping[str, Any]] = []
        self._answer = answer
        self._done: list[tuple[str, Outcome]] = []

    def submit(self, key: str, settings: Mapping[str, Any]) -> None:
        """Run a trial."""
        self.ran.append(settings)
        self._done.append((key, self._answer(settings)))

    def finished(self) -> list[tuple[str, Outcome]]:
        """Return what was run since the last call."""
        done, self._done = self._done, []
        return done

"""Tasks for the solver processes that no bank would send."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from simcore.clock import PS_PER_S
from spice_ref.tasks import Solver


@dataclass(frozen=True, slots=True)
class LastValue:
    """Run a transient; the answer is the last value of one vector."""

    deck: str
    duration_ps: int
    vector: str
    label: str = "last value"
    params: str = ""

    def run(self, solver: Solver) -> float:
        return float(solver.run(self.deck, self.duration_ps / PS_PER_S)[self.vector][-1])


@dataclass(frozen=True, slots=True)
class Die:
    """Kill the process; with a `mark`, only while that file does not exist."""

    mark: Path | None = None
    deck: str = "* a deck"
    label: str = "a task that kills its worker"
    params: str = ""
    duration_ps: int = 0

    def run(self, solver: Solver) -> str:
        if self.mark is None or not self.mark.exists():
            if self.mark is not None:
                self.mark.touch()
            os.abort()
        return "survived"


@dataclass(frozen=True, slots=True)
class Announce:
    """Append the process id to the file `mark`, sleep; the answer is the process id."""

    mark: Path
    seconds: float
    deck: str = "* a deck"
    label: str = "a task that tells where it runs"
    params: str = ""
    duration_ps: int = 0

    def run(self, solver: Solver) -> int:
        with self.mark.open("a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(self.seconds)
        return os.getpid()


@dataclass(frozen=True, slots=True)
class Sleep:
    """Do nothing for a while; the answer is the process id."""

    seconds: float
    deck: str = "* a deck"
    label: str = "a task that hangs"
    params: str = ""
    duration_ps: int = 0

    def run(self, solver: Solver) -> int:
        time.sleep(self.seconds)
        return os.getpid()

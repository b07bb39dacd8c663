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


@dataclass(frozen=True, slots=True)
class Endless:
    """Write the process id into the FIFO `mark` and keep it open in a transient that never ends."""

    mark: Path
    deck: str = "* rc\nv1 a 0 sin(0 1 1g)\nr1 a b 1k\nc1 b 0 1p\n.save b\n.tran 1p 1\n.end"
    label: str = "a task that never ends"
    params: str = ""
    duration_ps: int = 0

    def run(self, solver: Solver) -> None:
        with self.mark.open("w") as pipe:
            pipe.write(f"{os.getpid()}\n")
            pipe.flush()
            solver.run(self.deck)


@dataclass(frozen=True, slots=True)
class Read:
    """Read a text file as the process sees it."""

    path: Path
    deck: str = "* a deck"
    label: str = "a task that reads a file"
    params: str = ""
    duration_ps: int = 0

    def run(self, solver: Solver) -> str:
        return self.path.read_text()

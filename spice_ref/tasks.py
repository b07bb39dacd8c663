"""Pure jobs for the solver: a deck and what to read off it. Equal tasks have equal answers, bit for bit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from simcore.bank import Floats
from simcore.clock import PS_PER_S
from simcore.errors import SolverError
from spice_ref.measure import Measured, Probe, is_node, measure


class Solver(Protocol):
    """What a task needs of `spice_ref.ngspice.Solver`, which only worker processes import."""

    version: str

    def run(self, deck: str, stop_s: float | None = None) -> dict[str, Floats]: ...

    def listing(self, deck: str) -> list[str]: ...


class Task(Protocol):
    """One job: told by its label, answered by its `run` in a worker process."""

    @property
    def deck(self) -> str: ...

    @property
    def label(self) -> str: ...

    @property
    def duration_ps(self) -> int: ...

    def run(self, solver: Solver) -> Any: ...


@dataclass(frozen=True, slots=True)
class Listing:
    """Expand a deck's subcircuits: the answer is a list of lines, or why the deck does not parse."""

    deck: str
    label: str
    duration_ps: int = 0

    def run(self, solver: Solver) -> list[str] | str:
        """Return the lines of the flattened netlist, or the reason why there are none."""
        try:
            return solver.listing(self.deck)
        except SolverError as error:
            return str(error)


@dataclass(frozen=True, slots=True)
class Point:
    """Find an operating point: the answer is the voltage of each node."""

    deck: str
    label: str
    duration_ps: int = 0

    def run(self, solver: Solver) -> Mapping[str, float]:
        """Return node voltages by name, in the solver's order."""
        return {name: float(v[-1]) for name, v in solver.run(self.deck).items() if is_node(name)}


@dataclass(frozen=True, slots=True)
class Transient:
    """Run a transient over one or more steps: the answer is a Trace."""

    deck: str
    label: str
    edges_ps: NDArray[np.int64]
    """Clock edges, (n + 1,)."""
    probe: Probe
    nodes: tuple[str, ...] = ()
    """Nodes whose end voltages carry the state to the next step."""

    @property
    def duration_ps(self) -> int:
        """End of the transient."""
        return int(self.edges_ps[-1])

    def run(self, solver: Solver) -> "Trace":
        """Run and measure."""
        vectors = solver.run(self.deck, self.duration_ps / PS_PER_S)
        return Trace(
            measure(self.probe, vectors, self.edges_ps),
            np.array([vectors[node][0] for node in self.probe.outputs]),
            np.array([vectors[node][0] for node in self.probe.states]),
            np.array([vectors[node][-1] for node in self.nodes]),
        )


@dataclass(frozen=True, slots=True)
class Trace:
    """What a transient left behind."""

    measured: Measured
    start_outputs: Floats
    """(n_out,)"""
    start_state: Floats
    """(n_state,)"""
    voltages: Floats
    """(n_nodes,) of the task's nodes at the end."""

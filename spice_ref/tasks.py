"""Pure jobs for the solver: a deck and what to read off it. Equal tasks have equal answers, bit for bit."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from simcore.bank import Floats
from simcore.clock import PS_PER_S
from simcore.errors import SolverError
from spice_ref.measure import Measured, Probe, is_node, measure

Arrays = Mapping[str, NDArray[Any]]
"""An answer as it is stored: arrays by name."""


class Solver(Protocol):
    """What a task needs of `spice_ref.ngspice.Solver`, which only worker processes import."""

    version: str

    def run(self, deck: str, stop_s: float | None = None) -> dict[str, Floats]: ...

    def listing(self, deck: str) -> list[str]: ...


class Task(Protocol):
    """One job: told by `label` and `params`, answered by its `run` in a worker process.

    Two of one class with the same deck, and the same `reads` if they have it, are one job.
    """

    @property
    def deck(self) -> str: ...

    @property
    def label(self) -> str: ...

    @property
    def params(self) -> str: ...

    @property
    def duration_ps(self) -> int: ...

    def run(self, solver: Solver) -> Any: ...


@runtime_checkable
class Storable(Task, Protocol):
    """A task whose answer may come from the cache."""

    @property
    def reads(self) -> str:
        """All that the answer depends on beside deck and solver, as text."""
        ...

    def pack(self, answer: Any) -> Arrays: ...

    def unpack(self, arrays: Arrays) -> Any: ...


@dataclass(frozen=True, slots=True)
class Listing:
    """Expand a deck's subcircuits: the answer is a list of lines, or why the deck does not parse."""

    deck: str
    label: str
    params: str = ""
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
    params: str = ""
    duration_ps: int = 0
    reads: str = "operating point"

    def run(self, solver: Solver) -> Mapping[str, float]:
        """Return node voltages by name, in the solver's order."""
        return {name: float(v[-1]) for name, v in solver.run(self.deck).items() if is_node(name)}

    def pack(self, answer: Mapping[str, float]) -> Arrays:
        """Return names and voltages."""
        return {"names": np.array(list(answer), "S"), "voltages": np.array(list(answer.values()))}

    def unpack(self, arrays: Arrays) -> Mapping[str, float]:
        """Return node voltages by name."""
        names = (name.decode() for name in arrays["names"].tolist())
        return dict(zip(names, arrays["voltages"].tolist(), strict=True))


@dataclass(frozen=True, slots=True)
class Trace:
    """What a transient, or a sweep of operating points, left behind."""

    measured: Measured
    start_outputs: Floats
    """(n_out,)"""
    start_state: Floats
    """(n_state,)"""
    voltages: Floats
    """(n_nodes,) of the task's nodes at the end."""

    def pack(self) -> Arrays:
        """Return the answer as arrays."""
        parts = {field.name: getattr(self.measured, field.name) for field in fields(Measured)}
        rest = ("start_outputs", "start_state", "voltages")
        return parts | {name: getattr(self, name) for name in rest}

    @staticmethod
    def unpack(arrays: Arrays) -> "Trace":
        """Return the answer that was packed."""
        measured = Measured(**{field.name: arrays[field.name] for field in fields(Measured)})
        return Trace(measured, arrays["start_outputs"], arrays["start_state"], arrays["voltages"])


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
    params: str = ""

    @property
    def duration_ps(self) -> int:
        """End of the transient."""
        return int(self.edges_ps[-1])

    @property
    def reads(self) -> str:
        """Edges, probe and nodes."""
        return json.dumps([self.edges_ps.tolist(), self.probe.text, self.nodes])

    def run(self, solver: Solver) -> Trace:
        """Run and measure."""
        vectors = solver.run(self.deck, self.duration_ps / PS_PER_S)
        start_s = self.edges_ps[0] / PS_PER_S
        return Trace(
            measure(self.probe, vectors, self.edges_ps),
            np.array([np.interp(start_s, vectors["time"], vectors[node]) for node in self.probe.outputs]),
            np.array([np.interp(start_s, vectors["time"], vectors[node]) for node in self.probe.states]),
            np.array([vectors[node][-1] for node in self.nodes]),
        )

    def pack(self, answer: Trace) -> Arrays:
        """Return the trace as arrays."""
        return answer.pack()

    def unpack(self, arrays: Arrays) -> Trace:
        """Return the trace that was packed."""
        return Trace.unpack(arrays)


@dataclass(frozen=True, slots=True)
class Waveforms:
    """Run a transient and keep all that ngspice saves: the answer is its vectors."""

    deck: str
    label: str
    duration_ps: int
    params: str = ""

    def run(self, solver: Solver) -> Mapping[str, Floats]:
        """Return the vectors by name."""
        return solver.run(self.deck, self.duration_ps / PS_PER_S)

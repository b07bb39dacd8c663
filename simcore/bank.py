"""The seam of the simulator: a bank of identical analog circuits that is stepped in time.

Implementations: ngspice (`spice_ref.bank`), ONNX surrogates (`surrogates.runtime`), closed forms
(`simcore.closed_form`), behaviour of one with figures of the other (`surrogates.annotate`). The contract is
written down in docs/bank-contract.md and held by tests/contract.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from simcore.spec import CircuitSpec

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class StepInput:
    """What one call drives: k units, each for its own duration, all driven or all idle."""

    units: NDArray[np.int64]
    """(k,) ascending and unique."""
    duration_ps: NDArray[np.int64]
    """(k,) one period for a driven or tail step, any whole number of periods for a merged idle one."""
    inputs: Floats
    """(k, n_in) packet or level of each input; in an idle step the held level (zero for packets)."""
    idle: bool
    """True if no unit of the call is driven."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """What the k units of a StepInput did, in the same order."""

    outputs: Floats
    """(k, n_out) at the end of the step."""
    state: Floats
    """(k, n_state) at the end of the step."""
    fired: NDArray[np.bool_]
    """(k,) whether the output's detector saw an event."""
    supply_j: Floats
    """(k,) energy delivered by supply and bias sources."""
    input_j: Floats
    """(k,) energy delivered by input sources; may be negative."""
    latency_s: Floats
    """(k,) from the start of the step to the event; NaN exactly where nothing fired, and in static circuits
    also where it was not measured."""


@dataclass(frozen=True, slots=True)
class BankRequest:
    """What a back end needs to open a bank."""

    spec: CircuitSpec
    params: Floats
    """(n_units, n_param)"""
    options: Mapping[str, Any] = field(default_factory=dict)
    """The scenario's table for the back end, checked by the back end itself."""
    base: Path = Path()
    """Folder that relative paths in the options start from."""
    solver: Mapping[str, Any] = field(default_factory=dict)
    """The scenario's table for ngspice, for a back end that falls back on it."""


@runtime_checkable
class AnalogBank(Protocol):
    """A bank of `n_units` copies of one circuit, each with its own parameters and state."""

    spec: CircuitSpec
    n_units: int
    params: Floats
    """(n_units, n_param)"""

    def reset(self) -> Floats:
        """Put every unit into its operating point; return the outputs there, (n_units, n_out)."""
        ...

    def step(self, request: StepInput) -> StepResult:
        """Advance the units of the request; all others stay where they are."""
        ...

    def counters(self) -> Mapping[str, NDArray[np.int64]]:
        """Return counts per unit since reset, each (n_units,): `out_of_range`, `rail_excursions`."""
        ...

    def provenance(self) -> Mapping[str, Any]:
        """Return what made the figures, JSON-able: `backend`, versions, hashes, options, `cpu_s`."""
        ...

    def close(self) -> None:
        """Stop workers and free what is held; may be called twice."""
        ...


@dataclass(frozen=True, slots=True)
class Raster:
    """The whole input of one unit, known beforehand: n consecutive steps that start from reset."""

    params: Floats
    """(n_param,)"""
    duration_ps: NDArray[np.int64]
    """(n,)"""
    inputs: Floats
    """(n, n_in), for an idle step the held levels (zero for packets)."""
    idle: NDArray[np.bool_]
    """(n,)"""

    def take(self, rows: slice) -> "Raster":
        """Return some steps in a row; from reset, if they are not the first."""
        return Raster(self.params, self.duration_ps[rows], self.inputs[rows], self.idle[rows])


@dataclass(frozen=True, slots=True)
class RasterResult:
    """What a unit did with its raster: one row per step, and the reset point."""

    reset_state: Floats
    """(n_state,)"""
    reset_outputs: Floats
    """(n_out,)"""
    steps: StepResult
    """n rows."""
    out_of_range: int = 0
    """Steps with an input outside the declared range."""
    rail_excursions: int = 0
    """Nodes that left the rails, summed over steps."""
    guarded: bool = False
    """Whether ngspice answered because the bank had left its range."""


@dataclass(frozen=True, slots=True)
class Repeated:
    """The rows of an array of which many are equal."""

    distinct: Floats
    """(m, width)"""
    index: NDArray[np.int64]
    """(n,) which of them each row is."""

    @staticmethod
    def once(rows: Floats) -> "Repeated":
        """Return rows (n, width) of which each stands for itself."""
        return Repeated(rows, np.arange(len(rows)))

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_] | slice = slice(None)) -> Floats:
        """Return some rows, or all of them."""
        return self.distinct.take(self.index[rows], axis=0)


@dataclass(frozen=True, slots=True)
class RasterBatch:
    """The whole inputs of n_units units as a struct of arrays; unit i has rows `starts[i]:starts[i + 1]`."""

    params: Repeated
    """(n_units, n_param)"""
    starts: NDArray[np.int64]
    """(n_units + 1,)"""
    duration_ps: NDArray[np.int64]
    """(n,) of all units, one behind the other; so are the next two."""
    inputs: Repeated
    """(n, n_in)"""
    idle: NDArray[np.bool_]
    """(n,)"""


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    """What the units of a RasterBatch did, struct of arrays too."""

    reset_state: Floats
    """(n_units, n_state)"""
    reset_outputs: Floats
    """(n_units, n_out)"""
    steps: StepResult
    """n rows, in the order of the batch."""
    counters: Mapping[str, NDArray[np.int64]]
    """As `AnalogBank.counters`; `guarded` too where some unit was."""


@runtime_checkable
class OpenLoop(Protocol):
    """Optional: answer whole rasters at once (one continuous transient per unit on ngspice)."""

    def replay(
        self, rasters: list[Raster], progress: Callable[[float], None] = lambda _: None
    ) -> list[RasterResult]:
        """Return one result per raster, in order; `progress` is called with the share done, 0..1."""
        ...


@runtime_checkable
class BatchOpenLoop(OpenLoop, Protocol):
    """Optional: the same without an object per unit, for banks whose answer is cheaper than an object."""

    def replay_batch(
        self,
        batch: RasterBatch,
        progress: Callable[[float], None] = lambda _: None,
        *,
        states: bool = True,
    ) -> BatchAnswer:
        """Answer every unit's whole input from reset; `progress` is called with the share done, 0..1.

        Without `states` the state after each step may be left out, (n, 0): who adds up has no use for it.
        """
        ...


@runtime_checkable
class SettableState(Protocol):
    """Optional: start units from given values of the STATE columns."""

    def set_state(self, units: NDArray[np.int64], state: Floats) -> None:
        """Overwrite the state of some units, state (k, n_state)."""
        ...

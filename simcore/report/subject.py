"""What a report is about: a run or a comparison, with all that is stored beside it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simcore.audit import load_audit
from simcore.compare import NOISE, Comparison
from simcore.ledger import TraceRows
from simcore.report.sides import LayerKind, Side, layer_kinds, sides_of
from simcore.report.stored_waves import Wave, stored_waves
from simcore.result import RunResult


@dataclass(frozen=True, slots=True)
class Subject:
    """A run or a comparison and what its directory holds."""

    result: RunResult | Comparison
    sides: tuple[Side, ...]
    kinds: tuple[LayerKind, ...]
    audit: dict[str, Any] | None = None
    """Content of `audit.json` of a run."""
    noise: RunResult | None = None
    """The reference at tighter tolerance, on the inputs of the reference."""
    waves: tuple[Wave, ...] = ()
    """Waveforms of chosen units, from ngspice."""

    @property
    def comparison(self) -> Comparison | None:
        """Return the comparison, if it is one."""
        return self.result if isinstance(self.result, Comparison) else None

    @property
    def figures(self) -> dict[str, Any] | None:
        """Return the content of `comparison.json`."""
        return self.comparison.figures if self.comparison else None

    @property
    def names(self) -> list[str]:
        """Return what the sides are called."""
        return [side.name for side in self.sides]

    @property
    def judged(self) -> list[LayerKind]:
        """Return the layers that are no input encoders; all where there are only those."""
        return [kind for kind in self.kinds if not kind.is_encoder] or list(self.kinds)

    @property
    def sample(self) -> int:
        """Return the first sample, which is shown as an example."""
        return int(self.sides[0].result.samples[0])

    def first_sample(self, layer: str) -> list[TraceRows]:
        """Return the rows of the first sample, side by side; empty unless all sides were traced."""
        found = [rows_of(side.result, layer) for side in self.sides]
        return [rows.take(rows.lane == self.sample) for rows in found if rows is not None] * all(
            rows is not None for rows in found
        )


def subject_of(result: RunResult | Comparison, folder: Path | None = None) -> Subject:
    """Return what a report of `result` is about; `folder` is where it is stored. Raises ResultError."""
    sides = sides_of(result)
    first = result.reference if isinstance(result, Comparison) else result
    audit = load_audit(folder) if folder and isinstance(result, RunResult) else None
    noise = folder / NOISE / "aligned" if folder and isinstance(result, Comparison) else None
    return Subject(
        result=result,
        sides=sides,
        kinds=tuple(layer_kinds(first)),
        audit=audit,
        noise=RunResult(noise) if noise and noise.exists() else None,
        waves=stored_waves(first),
    )


def rows_of(result: RunResult, layer: str) -> TraceRows | None:
    """Return the trace of a layer; None if nothing of it was traced. Raises ResultError if it is damaged."""
    if not result.is_traced or layer not in result.traced_layers():
        return None
    return result.trace(layer)


def of_samples(rows: TraceRows, result: RunResult) -> TraceRows:
    """Return the rows of the samples that a run has."""
    return rows.take(np.isin(rows.lane, result.samples))

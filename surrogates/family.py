"""The seam of model families: one file, one entry point `simcore.surrogate_families`, one object `FAMILY`.

A family learns t from z as `frame` defines them: z standardised, t of unit spread around a linear model (or
around the mean, see `residual`), the fired column a label 0/1 in training and a logit in the answer. Physics
features, units and branches are not its business.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from surrogates.features import Rows
from surrogates.frame import Frame, Table
from surrogates.graph import GraphBuilder

Progress = Callable[[float, str], None]


class StepModel(Protocol):
    """A fitted model of one graph."""

    def predict(self, z: Rows) -> Rows:
        """Return t, (k, c), computed without onnxruntime: what the graph is checked against."""
        ...

    def emit(self, builder: GraphBuilder, z: str) -> str:
        """Add the nodes that compute t from the tensor z; return their tensor."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """Return sizes and training figures, JSON-able."""
        ...


@dataclass(frozen=True, slots=True)
class Effort:
    """How hard and how reproducibly to try."""

    seed: int
    budget_s: float
    """Wall-clock time for this fit; fewer epochs where a machine is too slow for all of them."""
    epochs: int | None
    """Passes over the data, whatever they take: the same model on every machine. None: by the budget."""
    progress: Progress
    """Called with the share done (0..1) and a message."""
    fitted: Mapping[str, StepModel]
    """Models that other families learned on the same rows, by family: teachers."""
    graph: str = "driven"
    """Whose steps are learned, `driven` or `idle`."""
    checkpoint: Path | None = None
    """Where a long training keeps what it has, to go on after a kill; deleted when the bundle is written."""


class Family(Protocol):
    """A kind of model."""

    name: str
    requires: tuple[str, ...]
    """Modules that training needs beyond a plain installation."""
    teacher: str
    """Family whose model it learns from and that is trained before it; empty for none."""
    residual: bool
    """Whether t is what a linear model leaves of a target; False: the target itself, standardised."""
    arrays: bool
    """Whether it sees the voltages and conductances of an array of cells whole, and nothing else will do."""

    def fit(self, frame: Frame, train: Table, selection: Table, effort: Effort) -> StepModel:
        """Learn the training rows; the selection rows may stop the training or be ignored."""
        ...

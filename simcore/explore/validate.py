"""The best trials once more on ngspice, beside the surrogate on the same samples."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simcore.errors import SolverError
from simcore.explore.figures import figures_of
from simcore.explore.record import VALIDATED, Record, best_first
from simcore.explore.store import Store
from simcore.explore.sweep import Sweep
from simcore.run import run

Progress = Callable[[float], None]
FOLDER = "validated"
TRUTH = "spice"
"""Back end that counts as the truth."""


@dataclass(frozen=True, slots=True)
class Validation:
    """What ngspice and the trial's own back end say of the same samples."""

    n_samples: int
    true: dict[str, float]
    """Figures on ngspice."""
    twin: dict[str, float]
    """Figures of the trial's back end on these samples."""
    same_label: float
    """Share of the samples that get the same label."""
    corrected: dict[str, float]
    """The trial's figures on all its samples, times the ratio of the two; accuracy by their difference."""


def validate(
    records: Sequence[Record], k: int, sweep: Sweep, store: Store, out: Path, show: Callable[[str], Progress]
) -> list[str]:
    """Run the k best trials on ngspice, unless that was done; return what went wrong, trial by trial.

    The runs stay in `out/validated`, and what they say in the store.
    """
    problems = []
    for record in best_first(records)[:k]:
        if record.validated.get("n_samples") == sweep.config.spice_samples:
            continue
        try:
            found = _one(record, sweep, out / FOLDER, show(f"trial {record.number} on ngspice"))
        except SolverError as error:
            problems.append(f"trial {record.number} on ngspice: {error}")
            continue
        store.note(VALIDATED, record.number, asdict(found))
    return problems


def _one(record: Record, sweep: Sweep, folder: Path, progress: Progress) -> Validation:
    n = sweep.config.spice_samples
    scenario = sweep.scenario(record.point).model_copy(update={"samples": n})
    name = f"trial-{record.number}"
    twin = run(scenario, folder / f"{name}-{scenario.backend.default}")
    true = run(scenario.with_backend(TRUTH), folder / f"{name}-{TRUTH}", progress=progress)
    figures = figures_of(true.summary()), figures_of(twin.summary())
    same = float(np.mean(true.predictions == twin.predictions))
    return Validation(n, *figures, same, _corrected(record.figures, *figures))


def _corrected(all_: Any, true: dict[str, float], twin: dict[str, float]) -> dict[str, float]:
    shared = [name for name in all_ if name in true and name in twin and name not in ("accuracy", "edp")]
    found = {name: all_[name] * true[name] / twin[name] if twin[name] else true[name] for name in shared}
    if "accuracy" in all_:
        found["accuracy"] = min(1.0, max(0.0, all_["accuracy"] + true["accuracy"] - twin["accuracy"]))
    if "energy" in found and "latency" in found:
        found["edp"] = found["energy"] * found["latency"]
    return found

"""Audits a run: a random share of its units is replayed on ngspice and tells how wrong the whole run is.

Drawn are pairs of sample and unit. What is estimated is the aligned error: each unit on the input that it
received in this run, from reset. Strata are layers and, within a layer, units of about the same energy in
the run. See docs/trust.md.
"""

import json
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simcore.architecture import Layer
from simcore.assembly import backend_of
from simcore.errors import ResultError, UserError
from simcore.estimate import FEWEST
from simcore.progress import scaled
from simcore.rasters import Pairs, Recorded
from simcore.result import RunResult
from simcore.scenario import Scenario
from simcore.shard import Progress, rehearse
from simcore.survey import SOLVER, Solver, Survey

FILE = "audit.json"
PAIRS = 64
"""Pairs that are replayed if nothing else is asked for."""
TRACED = 2048
"""Pairs per layer whose inputs a run keeps for its audit."""
STRATA = 5
"""Most strata of a layer, beside that of its quiet units."""
FIRST = 4
"""Pairs of each stratum in the first round, where there are enough."""
ENOUGH = 8
"""Pairs of each stratum, on average, from which on a narrow interval ends the audit."""
SMALLEST_ROUND = 32
CHOICE = 101
"""Purpose of the random stream."""


@dataclass(frozen=True, slots=True)
class Goal:
    """When an audit has seen enough: whatever comes first."""

    pairs: int | None = None
    """Pairs to replay at most; two of each stratum are replayed in any case."""
    ci_pct: float | None = None
    """Half width of the 95 % interval of the energy of the whole run, in percent."""
    minutes: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("pairs", self.pairs), ("ci", self.ci_pct), ("minutes", self.minutes)):
            if value is not None and not value > 0:
                raise UserError(f"audit: {name} must be above 0, got {value:g}")

    @property
    def most(self) -> int | None:
        """Pairs that are replayed at most; None for all there are."""
        return PAIRS if self.pairs is self.ci_pct is self.minutes is None else self.pairs


@dataclass(frozen=True, slots=True)
class Audit:
    """A run and what its audit found."""

    result: RunResult
    figures: dict[str, Any]
    """Content of `audit.json`."""

    def save(self, directory: Path) -> None:
        """Write `audit.json`; raises ResultError."""
        text = json.dumps(self.figures, indent=2, allow_nan=False)
        try:
            (directory / FILE).write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise ResultError(f"cannot write {directory / FILE}: {error}") from error


def choose_pairs(scenario: Scenario, n: int = TRACED) -> dict[str, Pairs]:
    """Return `n` pairs of each layer at random, those whose rows a run must keep (`run(..., trace=...)`).

    Raises what the audit would raise after the run where ngspice or a circuit is missing.
    """
    return draw_pairs(scenario, rehearse(scenario.with_backend(SOLVER)), n)


def draw_pairs(scenario: Scenario, layers: Sequence[Layer], n: int) -> dict[str, Pairs]:
    """Return `n` pairs of each layer that ngspice does not answer, all pairs with the same chance."""
    judged = [layer for layer in layers if backend_of(scenario, layer.name) != SOLVER]
    if not judged:
        raise UserError(f"{scenario.name}: nothing to audit, ngspice answers every layer")
    chosen = {}
    for index, layer in enumerate(judged):
        total = scenario.samples * layer.n_units
        rng = np.random.default_rng([scenario.seed, CHOICE, index])
        place = np.sort(rng.choice(total, min(n, total), replace=False))
        sample, unit = np.divmod(place, layer.n_units)
        chosen[layer.name] = np.stack([sample + scenario.dataset.start, unit], axis=1)
    return chosen


def audit(
    result: RunResult,
    *,
    pairs: int | None = None,
    ci_pct: float | None = None,
    minutes: float | None = None,
    seed: int | None = None,
    progress: Progress = lambda _: None,
) -> Audit:
    """Replay units of a run on ngspice until one of the limits is met, and write `audit.json` beside it.

    The run must have kept their rows: `run(..., trace=choose_pairs(...))`, or all with `trace=True`. Without
    a limit 64 pairs are replayed. `seed` is the run's if None; the same one draws the same pairs on any
    number of workers. Raises ResultError where nothing was traced, SolverError if ngspice fails.
    """
    start, goal = time.perf_counter(), Goal(pairs, ci_pct, minutes)
    recorded = Recorded(result)
    layers = [name for name, info in result.provenance["layers"].items() if info["backend"] != SOLVER]
    if not layers:
        raise UserError(f"{result.path}: nothing to audit, ngspice answered every layer")
    seed = result.provenance["seed"] if seed is None else seed
    survey = Survey(recorded, layers, seed, strata_per_layer(goal, len(layers)))
    with ExitStack() as stack:
        solver = Solver(recorded, stack)
        reached = replay_rounds(survey, solver, goal, progress)
        figures = {
            **{key: result.provenance[key] for key in ("scenario", "architecture", "dataset")},
            "candidate": result.provenance["backend"],
            "reference": SOLVER,
            "n_samples": len(result.samples),
            "seed": seed,
            "reached": reached,
            "rounds": survey.round_sizes,
            "wall_s": time.perf_counter() - start,
            **solver.costs(),
            **survey.figures(),
        }
    found = Audit(result, figures)
    found.save(result.path.parent)
    return found


def load_audit(directory: Path) -> dict[str, Any] | None:
    """Return the content of a run's `audit.json`, None without one; raises ResultError."""
    try:
        text = (directory / FILE).read_text(encoding="utf-8")
        return dict(json.loads(text))
    except FileNotFoundError:
        return None
    except (OSError, json.JSONDecodeError) as error:
        raise ResultError(f"cannot read {directory / FILE}: {error}") from error


def strata_per_layer(goal: Goal, n_layers: int) -> int:
    """Return how many strata of a layer the pairs suffice for."""
    enough = STRATA if goal.most is None else goal.most // (3 * FEWEST * n_layers)
    return min(max(enough, 1), STRATA)


def replay_rounds(survey: Survey, solver: Solver, goal: Goal, progress: Progress) -> str:
    """Replay round after round; return which limit was met.

    An interval is believed from ENOUGH pairs of each stratum on: before, no rare error may have been drawn.
    """
    start = time.perf_counter()
    total, least = int(survey.available.sum()), int(np.minimum(survey.available, FEWEST).sum())
    most = total if goal.most is None else min(max(goal.most, least), total)
    more, needed = max(least, min(FIRST * len(survey.size), most // 2)), most
    while True:
        more = min(more, most - survey.n_drawn)
        target = max(needed, survey.n_drawn + more)
        survey.extend(more, solver, scaled(progress, survey.n_drawn / target, more / target))
        width = survey.half_width_pct()
        is_known = survey.n_drawn >= ENOUGH * len(survey.size)
        if goal.ci_pct is not None and is_known and width <= goal.ci_pct:
            return "ci"
        if survey.n_drawn >= most:
            return "all" if most == total else "pairs"
        if goal.minutes is not None and time.perf_counter() - start >= 60 * goal.minutes:
            return "minutes"
        more = max(SMALLEST_ROUND, survey.n_drawn // 2)
        if goal.ci_pct is not None:
            needed = min(most, int(survey.n_drawn * (width / goal.ci_pct) ** 2))

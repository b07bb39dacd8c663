"""Records: the trials of a study as its page, table and files show them; ranks and importances."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from simcore.bank import Floats
from simcore.explore.figures import Objective
from simcore.explore.search import OUTCOME
from simcore.explore.store import Store, telling
from simcore.explore.sweep import Sweep

VALIDATED = "simcore_validated_"
"""Prefix of what is noted of trials that ngspice ran too."""
FEWEST = 8
"""Trials from which on importances say something."""


@dataclass(frozen=True, slots=True)
class Record:
    """One trial."""

    number: int
    point: Mapping[str, Any]
    figures: Mapping[str, float]
    costs: Mapping[str, float]
    error: str
    is_feasible: bool
    """It has its figures and keeps the constraints."""
    rank: int | None = None
    """0: on the Pareto front of the feasible ones, 1: on the front behind it; None: not feasible."""
    place: int | None = None
    """0: the best; the order in which trials are validated and written out."""
    validated: Mapping[str, Any] = field(default_factory=dict)
    """What ngspice said, see `validate.py`."""


def records_of(sweep: Sweep, store: Store) -> list[Record]:
    """Return the finished trials of a study by number, points that were named twice once."""
    with telling(store.url):
        # Claims first: another process may add a trial in between, but not take one back.
        claims = store.claims.all().values()
        trials = store.study.get_trials(deepcopy=False)
        validated = store.attributes(VALIDATED)
    found = [
        _record(trials[claim.trial], sweep, validated.get(claim.trial, {}))
        for claim in claims
        if claim.trial is not None and claim.trial < len(trials) and trials[claim.trial].state.is_finished()
    ]
    return _ranked(sorted(found, key=lambda record: record.number), sweep.objectives)


def best_first(records: Sequence[Record]) -> list[Record]:
    """Return the feasible records, the best one first."""
    return sorted((r for r in records if r.place is not None), key=lambda r: r.place or 0)


def fronts(costs: Floats) -> list[int]:
    """Return the rank of each row of `costs` (n, n_objectives): 0 where no row is better in all of them."""
    ranks = np.full(len(costs), -1)
    rank = 0
    while (ranks < 0).any():
        left = np.flatnonzero(ranks < 0)
        rest = costs[left]
        no_worse = (rest[:, None] <= rest[None]).all(axis=2)
        better = no_worse & (rest[:, None] < rest[None]).any(axis=2)
        ranks[left[~better.any(axis=0)]] = rank
        rank += 1
    return [int(value) for value in ranks]


def importances(records: Sequence[Record], sweep: Sweep, store: Store) -> dict[str, dict[str, float]] | str:
    """Return objective -> axis -> share of its variance (fANOVA), or why there is none."""
    good = [record for record in records if not record.error]
    if len(good) < FEWEST:
        return f"{len(good)} trials have figures, {FEWEST} are needed"
    trials = [store.study.get_trials(deepcopy=False)[record.number] for record in good]
    found: dict[str, dict[str, float]] = {}
    for objective in sweep.objectives:
        quantity = objective.quantity
        values = [record.figures[quantity.name] * quantity.per_si for record in good]
        varying = [axis for axis in sweep.axes if len({str(r.point[axis.name]) for r in good}) > 1]
        if math.isclose(min(values), max(values), rel_tol=1e-12) or not varying:
            found[objective.name] = {axis.name: 0.0 for axis in sweep.axes}
            continue
        shares = _fanova(trials, values)
        found[objective.name] = {axis.name: shares.get(axis.name, 0.0) for axis in sweep.axes}
    return found


def _fanova(trials: Sequence[FrozenTrial], values: Sequence[float]) -> dict[str, float]:
    study = optuna.create_study()
    spread = np.asarray(values) - np.mean(values)
    for trial, value in zip(trials, spread / np.std(spread), strict=True):
        study.add_trial(create_trial(params=trial.params, distributions=trial.distributions, value=value))
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    try:
        return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))
    except RuntimeError:  # no tree found a knob that matters
        return {}


def _record(trial: FrozenTrial, sweep: Sweep, validated: Mapping[str, Any]) -> Record:
    outcome = trial.user_attrs.get(OUTCOME, {"figures": {}, "costs": {}, "error": "it was stopped"})
    is_good = trial.state is TrialState.COMPLETE
    keeps = is_good and all(bound.excess(outcome["figures"]) <= 0 for bound in sweep.constraints)
    return Record(
        trial.number, trial.params, outcome["figures"], outcome["costs"], outcome["error"], keeps,
        validated=validated,
    )  # fmt: skip


def _ranked(records: Sequence[Record], objectives: Sequence[Objective]) -> list[Record]:
    """Order the feasible records: front by front, and in a front by the distance from the ideal point."""
    good = [record for record in records if record.is_feasible]
    costs = np.array([[o.cost(record.figures) for o in objectives] for record in good])
    if not good:
        return list(records)
    ranks = fronts(costs)
    front = costs[np.array(ranks) == 0]
    low, width = front.min(axis=0), np.ptp(front, axis=0)
    distance = np.linalg.norm((costs - low) / np.where(width > 0, width, 1.0), axis=1)
    order = sorted(range(len(good)), key=lambda i: (ranks[i], distance[i], good[i].number))
    places = {good[i].number: (ranks[i], place) for place, i in enumerate(order)}
    return [
        _placed(record, *places[record.number]) if record.number in places else record for record in records
    ]


def _placed(record: Record, rank: int, place: int) -> Record:
    return replace(record, rank=rank, place=place)

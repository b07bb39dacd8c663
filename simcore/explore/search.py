"""The search: claims points, has them run, and tells Optuna; the one owner of the trials in flight."""

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import optuna
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from simcore.errors import ResultError, ScenarioError
from simcore.explore.axes import Point, Value, points
from simcore.explore.claims import Answer, Claim, key_of
from simcore.explore.figures import check_given
from simcore.explore.interrupt import deferred
from simcore.explore.pool import Pool
from simcore.explore.store import Store, telling
from simcore.explore.sweep import Sweep
from simcore.explore.trial import Outcome

OUTCOME = "simcore_outcome"
"""Attribute of a trial that holds figures, costs and error."""
TRIES = 10
"""Points of the sampler in a row that were run before, until a free one is looked for."""
OTHERS_S = 1.0
"""Time between two looks at what other processes still run."""
Seen = Callable[[int, int], None]
"""Is told how many trials are finished, and of how many."""


class Search:
    """One process's part of a study."""

    def __init__(self, sweep: Sweep, store: Store, pool: Pool, seen: Seen = lambda done, of: None) -> None:
        self._sweep, self._store, self._pool, self._seen = sweep, store, pool, seen
        self._space = {axis.name: axis.distribution() for axis in sweep.axes}
        self._wanted = [objective.quantity for objective in sweep.objectives]
        self._running: dict[str, tuple[dict[str, Any], int]] = {}
        self._grid = _shuffled(sweep) if sweep.is_grid else None
        self._is_full = False

    def run(self) -> None:
        """Work until all trials of the study are finished, those of other processes too.

        What is in flight when this ends early, by Ctrl-C or an error, is free for the next one.
        """
        with telling(self._store.url), deferred() as check:
            try:
                while self._step():
                    check()
            finally:
                with suppress(SQLAlchemyError):  # a database that is gone; what it holds is an orphan then
                    self._store.claims.release()

    def _step(self) -> bool:
        """Start what there is room for and take in what is finished; False when nothing is left."""
        self._store.claims.beat()
        self._fill()
        claims = self._store.claims.all().values()
        self._seen(sum(claim.is_done for claim in claims), self._sweep.trials)
        if self._running:
            for key, outcome in self._pool.finished():
                self._settle(*self._running.pop(key), outcome)
        elif all(claim.is_done for claim in claims):
            return False
        else:
            time.sleep(OTHERS_S)
        return True

    def _fill(self) -> None:
        while len(self._running) < self._pool.n:
            found = self._next()
            if found is None:
                return
            point, number = found
            try:
                settings = json.loads(self._sweep.scenario(point).model_dump_json())
            except ScenarioError as error:
                self._settle(point, number, Outcome(error=str(error)))
                continue
            self._running[key_of(point)] = dict(point), number
            self._pool.submit(key_of(point), settings)

    def _next(self) -> tuple[dict[str, Any], int] | None:
        """Return a point that is this process's now, with its trial; None where there is none."""
        claims = self._store.claims
        for orphan in claims.orphans():
            if claims.adopt(orphan) and (found := self._adopted(orphan)):
                return found
        if self._is_full:
            return None
        if self._grid is not None:
            for point in self._grid:
                if (found := self._claimed(point)) or self._is_full:
                    return found
            return None
        for _ in range(TRIES):
            if (found := self._asked()) or self._is_full:
                return found
        return self._any()

    def _adopted(self, orphan: Claim) -> tuple[dict[str, Any], int] | None:
        """Return an orphan to be run again, unless its trial was finished before its process died."""
        study = self._store.study
        if orphan.trial is not None:
            before = study.get_trials(deepcopy=False)[orphan.trial]
            if before.state.is_finished():
                self._store.claims.finish(orphan.point)
                return None
            study.tell(orphan.trial, state=TrialState.FAIL)
        number = self._ask(orphan.point).number
        self._store.claims.attach(orphan.point, number)
        return orphan.point, number

    def _claimed(self, point: Point) -> tuple[dict[str, Any], int] | None:
        """Return a given point if it was free."""
        answer = self._store.claims.claim(point, self._sweep.trials)
        self._is_full |= answer is Answer.FULL
        if answer is not Answer.MINE:
            return None
        number = self._ask(point).number
        self._store.claims.attach(point, number)
        return dict(point), number

    def _asked(self) -> tuple[dict[str, Any], int] | None:
        """Return a point of the sampler's if it was free."""
        claims = self._store.claims
        if len(claims.all()) >= self._sweep.trials:
            self._is_full = True
            return None
        trial = self._ask(None)
        answer = claims.claim(trial.params, self._sweep.trials, trial.number)
        self._is_full |= answer is Answer.FULL
        if answer is Answer.MINE:
            return dict(trial.params), trial.number
        self._repeat(trial)
        return None

    def _any(self) -> tuple[dict[str, Any], int] | None:
        """Return a free point that the sampler does not name: the next one of a grid, else a random one."""
        if any(axis.values() is None for axis in self._sweep.axes):
            sampler = self._store.sampler
            learnt, sampler.inner = sampler.inner, optuna.samplers.RandomSampler()
            try:
                return self._asked()
            finally:
                sampler.inner = learnt
        found = (self._claimed(point) for point in _shuffled(self._sweep))
        return next(filter(None, found), None)

    def _ask(self, point: Point | None) -> optuna.Trial:
        self._store.sampler.point = point
        return self._store.study.ask(self._space)

    def _repeat(self, trial: optuna.Trial) -> None:
        """Tell the sampler what is known of a point that it named again, so that it goes elsewhere."""
        claim = self._store.claims.all().get(key_of(trial.params))
        first = None
        if claim is not None and claim.trial is not None:
            first = self._store.study.get_trials(deepcopy=False)[claim.trial]
        if first is None or first.state is not TrialState.COMPLETE:
            self._store.study.tell(trial, state=TrialState.FAIL)
            return
        for name, excess in first.constraints.items():
            trial.set_constraint(name, excess)
        self._store.study.tell(trial, first.values)

    def _settle(self, point: Mapping[str, Any], number: int, outcome: Outcome) -> None:
        """Store a finished trial; one that lacks a figure has failed."""
        study = self._store.study
        try:
            check_given({} if outcome.error else outcome.figures, self._sweep.quantities)
        except ResultError as error:
            outcome = Outcome(outcome.figures, outcome.costs, outcome.error or str(error))
        stored = study.get_trials(deepcopy=False)[number]
        if stored.state.is_finished():  # this process was taken for dead
            return
        trial = optuna.Trial(study, stored._trial_id)
        trial.set_user_attr(OUTCOME, asdict(outcome))
        if outcome.error:
            study.tell(number, state=TrialState.FAIL)
        else:
            for bound in self._sweep.constraints:
                trial.set_constraint(bound.text, bound.excess(outcome.figures) * bound.quantity.per_si)
            study.tell(number, [outcome.figures[q.name] * q.per_si for q in self._wanted])
        self._store.claims.finish(point)


def _shuffled(sweep: Sweep) -> Iterator[dict[str, Value]]:
    """Yield the points of a grid in an order that tells something of all axes early."""
    listed = list(points(sweep.axes))
    random.Random(sweep.config.seed).shuffle(listed)
    return iter(listed)

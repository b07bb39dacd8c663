"""The store of a study: Optuna's database, the study in it, and the claims beside it."""

import json
import logging
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, NSGAIISampler, QMCSampler, RandomSampler, TPESampler
from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from simcore.errors import ResultError, SweepError
from simcore.explore.axes import Point
from simcore.explore.claims import Claims
from simcore.explore.sweep import Sweep

SETTINGS = "simcore_settings"
"""Attribute of the study that holds what it was started with."""
WAIT_S = 60
"""How long a process waits for another one to let go of the database."""
ATTEMPTS = 5
_STARTUP = 10
"""Random trials before TPE learns."""


class Given(BaseSampler):
    """A sampler that can be told the next point; else it asks another one."""

    def __init__(self, inner: BaseSampler) -> None:
        self.inner = inner
        self.point: Point | None = None

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Ask the other sampler, unless the point is given."""
        return {} if self.point is not None else self.inner.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Ask the other sampler, unless the point is given."""
        return {} if self.point is not None else self.inner.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return the given value, or what the other sampler says."""
        if self.point is not None:
            return self.point[param_name]
        return self.inner.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Tell the other sampler."""
        self.inner.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        """Tell the other sampler."""
        self.inner.after_trial(study, trial, state, values)


@dataclass(frozen=True, slots=True)
class Store:
    """An open study."""

    url: str
    """Without its password."""
    study: Study
    claims: Claims
    sampler: Given

    def attributes(self, prefix: str) -> dict[int, dict[str, Any]]:
        """Return what was noted of finished trials under a name: number -> content."""
        found = self.study.user_attrs
        return {
            int(key.removeprefix(prefix)): value for key, value in found.items() if key.startswith(prefix)
        }

    def note(self, prefix: str, trial: int, content: Mapping[str, Any]) -> None:
        """Note something of a finished trial."""
        with telling(self.url):
            self.study.set_user_attr(f"{prefix}{trial}", dict(content))


def open_store(sweep: Sweep, url: str, *, must_exist: bool = False) -> Store:
    """Open the study of a sweep, or make it.

    Raises ResultError where the database cannot be reached, or holds a study of this name and other
    settings.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    shown = _shown(url)
    with telling(shown):
        storage = _storage(url)
        known = optuna.get_all_study_names(storage)
        if must_exist and sweep.name not in known:
            raise ResultError(
                f"--resume: {shown} has no study '{sweep.name}'; it has: {', '.join(known) or 'none'}"
            )
        sampler = Given(RandomSampler())
        study = optuna.create_study(
            storage=storage, study_name=sweep.name, load_if_exists=True, sampler=sampler,
            directions=["minimize" if o.direction == "min" else "maximize" for o in sweep.objectives],
        )  # fmt: skip
        _check_same(study, sweep, shown)
        claims = Claims(storage.engine, sweep.name)
        sampler.inner = _sampler(sweep, sweep.config.seed + claims.n_owners())
        claims.beat()
    return Store(shown, study, claims, sampler)


@contextmanager
def telling(shown: str) -> Iterator[None]:
    """Turn what a database says into a ResultError that names it."""
    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError, ImportError) as error:
        reason = str(getattr(error.__cause__, "orig", None) or getattr(error, "orig", None) or error)
        raise ResultError(f"cannot use the store {shown}: {reason.splitlines()[0]}") from error


def _shown(url: str) -> str:
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError as error:
        raise SweepError(
            f"store '{url}': expected a database URL, such as sqlite:///study.db or "
            "postgresql+psycopg://user@host/name"
        ) from error


def _storage(url: str) -> RDBStorage:
    """Open the database; two processes that make its tables at once disturb each other, so try again."""
    arguments = {"connect_args": {"timeout": WAIT_S}} if url.startswith("sqlite") else {}
    for attempt in range(ATTEMPTS):
        try:
            return RDBStorage(url, engine_kwargs=arguments)
        except SQLAlchemyError as error:
            if "already exists" not in str(error) or attempt == ATTEMPTS - 1:
                raise
            time.sleep(0.2 * (attempt + 1))
    raise AssertionError


def _check_same(study: Study, sweep: Sweep, shown: str) -> None:
    settings = json.loads(json.dumps(sweep.settings()))
    before = study.user_attrs.get(SETTINGS)
    if before is None and not study.get_trials(deepcopy=False):
        study.set_user_attr(SETTINGS, settings)
    elif before != settings:
        parts = [key for key in settings if (before or {}).get(key) != settings[key]]
        raise ResultError(
            f"{shown} holds a study '{sweep.name}' with other settings ({', '.join(parts)}); "
            "give this one another study.name, --store or --out"
        )


def _sampler(sweep: Sweep, seed: int) -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if sweep.is_grid or sweep.config.sampler == "random":
            return RandomSampler(seed=seed)
        if sweep.config.sampler == "nsga2":
            return NSGAIISampler(seed=seed, population_size=max(4, min(50, sweep.trials // 4)))
        if sweep.config.sampler == "qmc":
            return QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False)
        return TPESampler(seed=seed, n_startup_trials=_STARTUP, constant_liar=True, multivariate=True)

"""A study: opens the store, runs the trials, validates the best, writes what was found."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from simcore.errors import ResultError
from simcore.explore.files import write_best, write_table
from simcore.explore.page import shown, write_explore_page
from simcore.explore.pool import Pool, dask_pool
from simcore.explore.record import Record, best_first, importances, records_of
from simcore.explore.search import Search
from simcore.explore.store import Store, open_store, telling
from simcore.explore.sweep import Sweep
from simcore.explore.validate import validate

STORE = "study.db"


class Tell(Protocol):
    """A progress bar: the share done, and what to call it now."""

    def __call__(self, done: float, what: str | None = None, /) -> None: ...


class Show(Protocol):
    """Opens a progress bar."""

    def __call__(self, what: str, /) -> Tell: ...


@dataclass(frozen=True, slots=True)
class Exploration:
    """What a study found."""

    records: list[Record]
    """Its trials, by number."""
    shares: Mapping[str, Mapping[str, float]] | str
    """Objective -> axis -> importance, or why there is none."""
    page: Path
    table: Path
    scenarios: list[Path]
    """The best first."""
    problems: list[str]
    """Validations that ngspice could not finish."""

    @property
    def best(self) -> list[Record]:
        """The trials that keep the constraints, the best one first."""
        return best_first(self.records)


def explore(
    sweep: Sweep,
    out: Path,
    *,
    workers: int = 0,
    cluster: str | None = None,
    resume: bool = False,
    validate_best: int = 0,
    pool: Pool | None = None,
    show: Show = lambda what, /: lambda done, what=None, /: None,
) -> Exploration:
    """Run what is left of a study and write its page, table and best scenarios into `out`.

    Trials run on `workers` processes (0: all cores), on the Dask cluster at `cluster`, or on a `pool` of
    one's own. The study lies in the store that the sweep names, else in `out/study.db`; it goes on where it
    was stopped, and other processes may work on it at the same time. With `resume` it must be there.
    `validate_best` trials are run on ngspice too. Raises UserErrors before anything runs or is written,
    SolverError where the cluster is gone.
    """
    url = sweep.config.store
    if url is None:
        if resume and not (out / STORE).exists():
            raise ResultError(f"--resume: there is no study in {out}: {out / STORE} does not exist")
        _make(out)
        url = f"sqlite:///{(out / STORE).resolve()}"
    store = open_store(sweep, url, must_exist=resume)
    _search(sweep, store, workers, cluster, pool, show(sweep.name))
    records = records_of(sweep, store)
    problems: list[str] = []
    if validate_best:
        problems = validate(records, validate_best, sweep, store, out, show)
        records = records_of(sweep, store)
    return _written(sweep, store, records, out, problems)


def _search(
    sweep: Sweep, store: Store, workers: int, cluster: str | None, pool: Pool | None, tell: Tell
) -> None:
    """Run the trials that are left; without any no worker is started."""

    def seen(done: int, of: int) -> None:
        tell(done / of, f"{sweep.name}: {done} of {of} trials{_best_so_far(sweep, store)}")

    with telling(store.url):
        claims = store.claims.all().values()
    if len(claims) >= sweep.trials and all(claim.is_done for claim in claims):
        seen(len(claims), len(claims))
        return
    opened: AbstractContextManager[Pool] = nullcontext(pool) if pool else dask_pool(workers, cluster)
    with opened as ready:
        Search(sweep, store, ready, seen).run()


def _best_so_far(sweep: Sweep, store: Store) -> str:
    best = best_first(records_of(sweep, store))
    if not best:
        return ""
    figures = [shown(o.quantity, best[0].figures[o.name], 3) for o in sweep.objectives]
    return f", best {', '.join(figures)}"


def _written(
    sweep: Sweep, store: Store, records: list[Record], out: Path, problems: list[str]
) -> Exploration:
    shares = importances(records, sweep, store)
    return Exploration(
        records=records,
        shares=shares,
        page=write_explore_page(records, sweep, shares, out, store.url),
        table=write_table(records, sweep, out),
        scenarios=write_best(records, sweep, out),
        problems=problems,
    )


def _make(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResultError(f"cannot write into {out}: {error}") from error

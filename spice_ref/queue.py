"""The one queue of solver jobs: equal ones once, the cache first, then a pool; failures at the end.

Recordings, replays and closed-loop steps all go through it. A failed job stops no other one.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from platformdirs import user_cache_path

from simcore.errors import FailedJob, SolverError
from spice_ref.cache import Cache
from spice_ref.cluster import DaskPool
from spice_ref.farm import TIMEOUT_S, Farm, Outcome
from spice_ref.tasks import Storable, Task

HOPELESS = 8
"""So many failures without one success end a queue: the deck itself is wrong."""
AT_ONCE = 64
"""Stored answers that are read before the first is handed on."""


class Pool(Protocol):
    """Who solves: processes of this machine, or a Dask cluster."""

    @property
    def version(self) -> str: ...

    def as_completed(self, tasks: Iterable[Task]) -> Generator[Outcome]: ...

    def close(self) -> None: ...


class JobQueue:
    """Tasks in, answers out; owns its pool."""

    def __init__(self, pool: Pool, cache: Cache | None = None, failed: Path | None = None) -> None:
        """The deck of a failed task is saved in the folder `failed`."""
        self._pool = pool
        self._cache = cache
        self._failed = failed or user_cache_path("simcore") / "failed"
        self.cpu_s = 0.0
        """Solver CPU seconds of all answers so far; for one from the cache, those that it took then."""
        self.n_jobs = 0
        """Different jobs answered so far."""
        self.n_cached = 0
        """How many of them came from the cache."""

    @property
    def version(self) -> str:
        """ngspice's version."""
        return self._pool.version

    def map(self, tasks: Sequence[Task]) -> list[Any]:
        """Return the answers in the order of the tasks; raises SolverError, at the end, if one fails."""
        answers: dict[int, Any] = {}
        for place, value, _ in self.as_completed(tasks):
            answers[place] = value
        return [answers[place] for place in range(len(answers))]

    def as_completed(
        self, tasks: Iterable[Task], on_failure: Callable[[int], None] = lambda _: None
    ) -> Iterator[tuple[int, Any, float]]:
        """Yield (place in the order, answer, CPU s) as they come; tasks are taken as they can be run.

        `on_failure` is called with the place of each job that failed. Raises SolverError with the triage of
        all failed jobs when the others are done.
        """
        job = _Job(self, tasks, on_failure)
        while job.goes_on():
            with closing(self._pool.as_completed(job.missing())) as outcomes:  # no worker stays at a lost job
                for outcome in outcomes:
                    job.finish(outcome)
                    yield from job.ready()
            yield from job.ready()
        job.report()

    def close(self) -> None:
        """Stop the pool; may be called twice."""
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def known(self, task: Task) -> tuple[Any, float] | None:
        """Return a stored answer and its CPU seconds."""
        if self._cache is None or not isinstance(task, Storable):
            return None
        return self._cache.get(task)

    def keep(self, task: Task, answer: Any, cpu_s: float) -> None:
        """Store an answer."""
        if self._cache is not None and isinstance(task, Storable):
            self._cache.put(task, answer, cpu_s)

    def triage(self, task: Task, reason: str) -> FailedJob:
        """Save the deck of a failed task and describe it."""
        deck = self._failed / f"{hashlib.sha256(task.deck.encode()).hexdigest()[:16]}.cir"
        try:
            deck.parent.mkdir(parents=True, exist_ok=True)
            deck.write_text(task.deck, encoding="utf-8")
            where = f"deck saved as {deck}"
        except OSError as error:
            where = f"deck not saved: {error}"
        return FailedJob(task.label, task.params, reason, where)


class _Job:
    """One call of the queue: which tasks wait for which, what is ready, what failed."""

    def __init__(self, queue: JobQueue, tasks: Iterable[Task], on_failure: Callable[[int], None]) -> None:
        self._queue = queue
        self._on_failure = on_failure
        self._tasks = enumerate(tasks)
        self._ready: deque[tuple[int, Any, float]] = deque()
        self._places: dict[bytes, list[int]] = {}
        self._sent: dict[int, tuple[bytes, Task]] = {}
        self._answers: dict[bytes, tuple[Any, float]] = {}
        self._failures: list[FailedJob] = []
        self._n_good = 0
        self._has_more = True

    def goes_on(self) -> bool:
        """Tell whether there are tasks left, and hope for them."""
        return self._has_more and not self._is_hopeless

    @property
    def _is_hopeless(self) -> bool:
        return len(self._failures) >= HOPELESS and not self._n_good

    def missing(self) -> Iterator[Task]:
        """Yield the tasks that a pool must run, and counts from 0; what is known already gets ready."""
        n_sent = 0
        for place, task in self._tasks:
            parts = (type(task).__name__, getattr(task, "reads", ""), task.deck)
            key = hashlib.sha256("\0".join(parts).encode()).digest()
            if not self._is_known(key, place, task):
                self._sent[n_sent] = key, task
                n_sent += 1
                yield task
                if self._is_hopeless:
                    return  # what is under way is still waited for: one success, and the others are sent too
            elif len(self._ready) >= AT_ONCE and not self._sent:
                return  # no worker waits for more: answers are handed on before others are read
        self._has_more = False

    def _is_known(self, key: bytes, place: int, task: Task) -> bool:
        """Take a task that needs no pool: its answer is stored, or it equals an earlier one."""
        if key in self._places:
            self._places[key].append(place)
            answer = self._answers.get(key)
            if answer is not None:
                self._ready.append((place, *answer))
            return True
        self._places[key] = [place]
        stored = self._queue.known(task)
        if stored is not None:
            self._queue.n_cached += 1
            self._done(key, *stored)
        return stored is not None

    def finish(self, outcome: Outcome) -> None:
        """Take an outcome of the pool."""
        key, task = self._sent.pop(outcome.place)
        if outcome.failure is None:
            self._queue.keep(task, outcome.value, outcome.cpu_s)
            self._done(key, outcome.value, outcome.cpu_s)
            return
        self._queue.cpu_s += outcome.cpu_s
        self._failures.append(self._queue.triage(task, outcome.failure))
        for place in self._places[key]:
            self._on_failure(place)

    def ready(self) -> Iterator[tuple[int, Any, float]]:
        """Yield what is answered and was not yielded yet."""
        while self._ready:
            yield self._ready.popleft()

    def report(self) -> None:
        """Raise SolverError if a job failed."""
        if not self._failures:
            return
        first = self._failures[0]
        told = f"{first.job}{f' ({first.params})' if first.params else ''}: {first.reason}; {first.deck}"
        if len(self._failures) > 1:
            told = (
                f"{len(self._failures)} solver jobs failed, {self._n_good} were finished; the first: {told}"
            )
        error = SolverError(told)
        error.triage = tuple(self._failures)
        raise error

    def _done(self, key: bytes, value: Any, cpu_s: float) -> None:
        self._queue.cpu_s += cpu_s
        self._queue.n_jobs += 1
        self._n_good += 1
        self._answers[key] = value, cpu_s
        self._ready.extend((place, value, cpu_s) for place in self._places[key])


def open_queue(
    workers: int = 0,
    timeout_s: float = TIMEOUT_S,
    cluster: str | None = None,
    cache: str = "auto",
    failed: Path | None = None,
    base: Path = Path(),
) -> JobQueue:
    """Return a queue on this machine's cores, or on the Dask scheduler at `cluster`.

    `cache` is `auto`, `off` or a folder. Raises SolverError where no solver starts.
    """
    pool: Pool = DaskPool(cluster, timeout_s) if cluster else Farm(workers, timeout_s)
    try:
        return JobQueue(pool, Cache.at(cache, base, pool.version), failed)
    except BaseException:
        pool.close()
        raise

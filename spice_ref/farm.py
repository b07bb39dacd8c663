"""A farm of solver processes: tasks in, outcomes out; lost workers are replaced and their tasks retried."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from simcore.cores import n_cores
from simcore.errors import SolverError
from spice_ref.tasks import Task
from spice_ref.worker import Answer

RETRIES = 2
"""How often a task whose worker crashed or hung is tried again in another one."""
START_S = 120.0
"""How long a worker may take to load ngspice."""
FOLDER = Path(__file__).with_name("solver_folder")
"""Where solver processes start. ngspice reads the `.spiceinit` of its folder, else that of the user's home,
which it takes from the password database and not from $HOME: the empty one here keeps both out."""
TIMEOUT_S, TIMEOUT_PS = 120.0, 500_000
"""Wall time that a job may take if nobody says otherwise, and the simulated time that it covers: longer
transients get proportionally more."""

Job = tuple[int, Task, int]
"""Place in the order, task, tries so far."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one task: a value, or the reason why there is none."""

    place: int
    """Its place in the order of the tasks."""
    value: Any
    cpu_s: float = 0.0
    failure: str | None = None


class Farm:
    """Up to `workers` solver processes of this machine, started when there is work."""

    def __init__(self, workers: int = 0, timeout_s: float = TIMEOUT_S) -> None:
        """0 workers means all cores; `timeout_s` is the wall time of a job per 500 ns, 500 ns at least."""
        self._limit = workers or n_cores()
        self._timeout_s = timeout_s
        self._workers: list[_Worker] = []
        self._version: str | None = None

    @property
    def version(self) -> str:
        """ngspice's version, told by a worker; raises SolverError where none starts."""
        if self._version is None:
            self._idle_worker().greet(self)
        assert self._version is not None
        return self._version

    def as_completed(self, tasks: Iterable[Task]) -> Generator[Outcome]:
        """Yield outcomes as they come, failures among them; tasks are taken as workers get free."""
        source = iter(enumerate(tasks))
        retries: deque[Job] = deque()
        try:
            while True:
                while (job := self._next(source, retries)) is not None:
                    self._idle_worker().give(job, self._timeout_s)
                if not any(worker.job for worker in self._workers):
                    return
                yield from self._collect(retries)
        finally:
            for worker in [worker for worker in self._workers if worker.job]:
                self._discard(worker)

    def close(self) -> None:
        """Stop all workers; may be called twice."""
        for worker in list(self._workers):
            self._discard(worker)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _next(self, source: Iterator[tuple[int, Task]], retries: deque[Job]) -> Job | None:
        """Return the next job if a worker can take it."""
        if sum(1 for worker in self._workers if worker.job) >= self._limit:
            return None
        if retries:
            return retries.popleft()
        place, task = next(source, (-1, None))
        return None if task is None else (place, task, 0)

    def _idle_worker(self) -> "_Worker":
        for worker in self._workers:
            if worker.job is None:
                return worker
        self._workers.append(_Worker())
        return self._workers[-1]

    def _collect(self, retries: deque[Job]) -> Iterator[Outcome]:
        """Wait for answers, crashes or time-outs of the busy workers."""
        busy = {worker.pipe: worker for worker in self._workers if worker.job}
        first = min(worker.deadline for worker in busy.values())
        for pipe in wait(list(busy), max(0.0, first - time.monotonic())):
            worker = busy.pop(pipe)  # type: ignore[call-overload]
            answer = worker.take()
            if answer is None:
                yield from self._retry(worker, "its worker process crashed", retries)
            elif worker.version is None:
                self.started(worker, answer)
            else:
                yield self._finished(worker, answer)
        for worker in busy.values():
            is_late = time.monotonic() >= worker.deadline
            if is_late and not worker.pipe.poll():  # else it is the caller who took so long
                yield from self._retry(worker, f"no answer within {worker.allowed_s:.3g} s", retries)

    def started(self, worker: "_Worker", hello: Answer | None) -> None:
        """Take a worker's first answer; raises SolverError where it could not load ngspice."""
        if hello is None or hello.failure is not None:
            reason = (
                hello.failure if hello else "the solver process does not start; look with `simcore doctor`"
            )
            raise SolverError(str(reason))
        worker.version = self._version = hello.value
        worker.start_clock()

    def _finished(self, worker: "_Worker", answer: Answer) -> Outcome:
        assert worker.job is not None
        place = worker.job[0]
        worker.job = None
        if answer.failure is not None:
            self._discard(worker)
        return Outcome(place, answer.value, answer.cpu_s, answer.failure)

    def _retry(self, worker: "_Worker", reason: str, retries: deque[Job]) -> Iterator[Outcome]:
        """Give the job of a lost worker to another one; its failure where that was tried often enough."""
        assert worker.job is not None
        place, task, tries = worker.job
        self._discard(worker)
        if worker.version is None and tries == RETRIES:
            raise SolverError(f"the solver process does not start: {reason}; look with `simcore doctor`")
        if tries == RETRIES:
            yield Outcome(place, None, failure=f"{reason}, {tries + 1} times")
        else:
            retries.append((place, task, tries + 1))

    def _discard(self, worker: "_Worker") -> None:
        self._workers.remove(worker)
        worker.stop()


class _Worker:
    """One solver process, its pipe and the job that it is at."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        # OMP_THREAD_LIMIT counts when ngspice's OpenMP loads; without it a run takes up to 30 times longer.
        paths = os.pathsep.join(os.path.abspath(path) for path in sys.path)
        environment = os.environ | {"OMP_THREAD_LIMIT": "1", "PYTHONPATH": paths}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "spice_ref.worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()], env=environment, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=FOLDER,
                start_new_session=True,  # Ctrl-C reaches the farm, which stops its workers
            )  # fmt: skip
        self.pipe: Connection[Any, Answer] = Connection(ours.detach())
        self.version: str | None = None
        self.job: Job | None = None
        self.allowed_s = START_S
        self.deadline = time.monotonic() + START_S
        self._timeout_s = 0.0

    def give(self, job: Job, timeout_s: float) -> None:
        """Send a job; a crash shows when the answer is taken."""
        self.job = job
        self._timeout_s = timeout_s * max(1.0, job[1].duration_ps / TIMEOUT_PS)
        if self.version is not None:
            self.start_clock()
        with contextlib.suppress(OSError):
            self.pipe.send(job[1])

    def greet(self, farm: Farm) -> None:
        """Wait for the first answer of a worker that has no job yet."""
        if self.version is None:
            if not self.pipe.poll(START_S):
                raise SolverError(f"the solver process does not start within {START_S:g} s")
            farm.started(self, self.take())

    def start_clock(self) -> None:
        """Begin to count the time of the job."""
        self.allowed_s = self._timeout_s
        self.deadline = time.monotonic() + self.allowed_s

    def take(self) -> Answer | None:
        """Return what came, None if the process is gone."""
        try:
            return self.pipe.recv()
        except (EOFError, OSError):
            return None

    def stop(self) -> None:
        """Kill the process."""
        self.pipe.close()
        self._process.kill()
        self._process.wait()

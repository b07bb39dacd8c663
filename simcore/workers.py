"""Shards on worker processes of this machine, or on a Dask cluster; they come back in order.

A worker is `python -m simcore.workers`: it reads pickled jobs from its standard input and writes pickled
answers. It is not one of multiprocessing's, which would run the caller's script again.
"""

import contextlib
import os
import pickle
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

from simcore.errors import SimcoreError, SolverError, UserError
from simcore.scenario import Scenario
from simcore.shard import Chosen, Shard, remote_shard

AHEAD = 2
"""Shards per worker that may run or wait to be stored: it bounds the memory."""
CONNECT_S = 30
SINGLE = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables that hold libraries to one thread."""
Part = tuple[int, int]
"""First sample of a shard, and how many."""


def in_processes(
    workers: int, scenario: Scenario, parts: Sequence[Part], trace: bool | Chosen
) -> Iterator[Shard]:
    """Run shards on so many processes, 0 for all cores."""
    n = min(workers or len(os.sched_getaffinity(0)), len(parts))
    idle: SimpleQueue[_Process] = SimpleQueue()
    processes = [_Process() for _ in range(n)]
    for process in processes:
        idle.put(process)

    def solve(part: Part) -> Shard:
        process = idle.get()
        try:
            return process.ask((scenario, *part, trace))
        finally:
            idle.put(process)

    pool = ThreadPoolExecutor(n)
    try:
        yield from _in_order(lambda part: pool.submit(solve, part), parts, n * AHEAD)
    finally:
        for process in processes:
            process.stop()
        pool.shutdown(cancel_futures=True)


def on_cluster(
    address: str, scenario: Scenario, parts: Sequence[Part], trace: bool | Chosen
) -> Iterator[Shard]:
    """Run shards on the Dask cluster at `address`; a worker that dies loses nothing."""
    try:
        from distributed import Client
    except ImportError as error:
        raise UserError(
            f"dask.distributed is not installed ({error}): pip install 'simcore-ams[cluster]'"
        ) from error
    try:
        client: Client = Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise SolverError(f"no Dask scheduler answers at {address}: {error}") from error
    with client:
        try:
            client.wait_for_workers(1, timeout=CONNECT_S)
        except TimeoutError as error:
            raise SolverError(f"the Dask scheduler at {address} has no worker") from error
        n = sum(client.nthreads().values())

        def submit(part: Part) -> Any:
            return client.submit(remote_shard, scenario, *part, trace, pure=False, retries=2)

        yield from _in_order(submit, parts, n * AHEAD)


def _in_order(submit: Any, parts: Sequence[Part], ahead: int) -> Iterator[Shard]:
    """Keep so many shards in flight and yield them in order."""
    waiting: deque[Future[Shard]] = deque()
    for part in parts:
        if len(waiting) == ahead:
            yield waiting.popleft().result()
        waiting.append(submit(part))
    while waiting:
        yield waiting.popleft().result()


class _Process:
    """A worker; one job at a time."""

    def __init__(self) -> None:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "simcore.workers"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment | dict.fromkeys(SINGLE, "1"),
        )

    def ask(self, job: tuple[Scenario, int, int, bool | Chosen]) -> Shard:
        """Return the answer to a job; raises what the job raised, SimcoreError where the process died."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            pickle.dump(job, self._process.stdin)
            self._process.stdin.flush()
            answer = pickle.load(self._process.stdout)
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            code = self._process.wait()
            raise SimcoreError(
                f"a worker process died (exit code {code}) in samples {job[1]} to {job[1] + job[2] - 1}: "
                "out of memory? Run again, it goes on from here; fewer with --workers"
            ) from error
        if isinstance(answer, BaseException):
            raise answer
        assert isinstance(answer, Shard)
        return answer

    def stop(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None and not pipe.closed:
                with contextlib.suppress(OSError):
                    pipe.close()


def serve() -> None:
    """Answer jobs until there are no more."""
    jobs, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    while True:
        try:
            job = pickle.load(jobs)
        except EOFError:
            return
        try:
            answer: Shard | BaseException = remote_shard(*job)
        except Exception as error:  # noqa: BLE001 -- the other side raises it
            answer = error
        pickle.dump(answer, answers)
        answers.flush()


if __name__ == "__main__":
    from simcore.workers import serve as serve_

    serve_()

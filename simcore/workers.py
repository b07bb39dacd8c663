"""Shards on worker processes of this machine, or on a Dask cluster; they come back in order.

A worker is `python -m simcore.workers`: it reads pickled jobs from its standard input and writes pickled
answers. It is not one of multiprocessing's, which would run the caller's script again.
"""

import contextlib
import fcntl
import os
import pickle
import signal
import subprocess
import sys
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

from simcore.cores import n_cores
from simcore.errors import SimcoreError, SolverError, UserError
from simcore.scenario import Scenario
from simcore.shard import Chosen, Shard, remote_shard

AHEAD = 2
"""Shards per worker that may run or wait to be stored: it bounds the memory."""
CONNECT_S = 30
PIPE_BYTES = 2**20
"""An answer is some of these. With the system's 64 kB a worker waits fifty times, instead of three, for the
interpreter lock of this process, which stores another answer meanwhile."""
KEEP = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**30)}
"""Has glibc keep the memory of one shard's arrays for the next one's: to ask the system for it anew, page by
page, took some 7 % of the time."""
SINGLE = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables that hold libraries to one thread."""
Part = tuple[int, int]
"""First sample of a shard, and how many."""


def in_processes(
    workers: int, scenario: Scenario, parts: Sequence[Part], trace: bool | Chosen
) -> Iterator[Shard]:
    """Run shards on so many processes, 0 for all cores."""
    n = min(workers or n_cores(), len(parts))
    idle: SimpleQueue[_Process] = SimpleQueue()
    processes: list[_Process] = []

    def solve(part: Part) -> Shard:
        process = idle.get()
        try:
            return process.ask((scenario, *part, trace))
        finally:
            idle.put(process)

    pool = ThreadPoolExecutor(n)
    try:
        for _ in range(n):
            processes.append(_Process())
            idle.put(processes[-1])
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
        n = max(1, sum(client.nthreads().values()))

        def submit(part: Part) -> Any:
            return client.submit(remote_shard, scenario, *part, trace, pure=False, retries=2)

        try:
            yield from _in_order(submit, parts, n * AHEAD)
        except SimcoreError:
            raise
        except Exception as error:
            raise SolverError(f"the cluster at {address}: {type(error).__name__}: {error}") from error


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
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "simcore.workers"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=PIPE_BYTES,
                env=KEEP | os.environ | {"PYTHONPATH": path} | dict.fromkeys(SINGLE, "1"),
                start_new_session=True,
            )
        except OSError as error:
            raise SimcoreError(f"cannot start a worker process: {error}") from error
        assert self._process.stdout is not None
        with contextlib.suppress(OSError, AttributeError):  # Linux only, and what the system allows
            fcntl.fcntl(self._process.stdout, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

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
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    jobs, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    while True:
        try:
            job = pickle.load(jobs)
        except EOFError:
            return
        try:
            data = pickle.dumps(remote_shard(*job))
        except Exception as error:  # noqa: BLE001 -- the other side raises it
            data = _pickled(error)
        try:
            answers.write(data)
            answers.flush()
        except BrokenPipeError:
            return


def _pickled(error: Exception) -> bytes:
    """Return an error so that the other side can raise it, or its text where that is not possible."""
    if not isinstance(error, SimcoreError):
        error.add_note(f"in a worker process:\n{traceback.format_exc()}")
    try:
        data = pickle.dumps(error)
        pickle.loads(data)
    except Exception:  # noqa: BLE001 -- whatever an exception of somebody's does when it is pickled
        return pickle.dumps(SimcoreError(f"{type(error).__name__}: {error}"))
    return data


if __name__ == "__main__":
    from simcore.workers import serve as serve_

    serve_()

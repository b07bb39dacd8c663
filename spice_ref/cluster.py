"""Solver jobs on a Dask cluster: each Dask worker keeps solver processes of its own, sends outcomes back."""

import itertools
import threading
from collections.abc import Generator, Iterable
from concurrent.futures import CancelledError
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from simcore.errors import SolverError, UserError
from spice_ref.farm import RETRIES, TIMEOUT_S, Farm, Outcome
from spice_ref.tasks import Task

if TYPE_CHECKING:
    from distributed import Future

CONNECT_S = 30
"""How long to wait for the scheduler, and for its first worker."""
AHEAD = 2
"""Jobs in flight per thread of the cluster: one that runs and one that waits."""
_here = threading.local()
"""One farm per thread of a Dask worker; its solver process dies with the Dask worker."""


class DaskPool:
    """The jobs of one queue on a Dask scheduler."""

    def __init__(self, address: str, timeout_s: float = TIMEOUT_S) -> None:
        """Connect to the scheduler at `address`, such as `tcp://node1:8786`.

        Raises UserError without dask.distributed, SolverError where no scheduler or worker answers.
        """
        try:
            from distributed import Client
        except ImportError as error:
            raise UserError(
                f"dask.distributed is not installed ({error}); a cluster needs it: "
                "pip install 'simcore-ams[cluster]'"
            ) from error
        self._address = address
        self._timeout_s = timeout_s
        self._version: str | None = None
        try:
            self._client: Client = Client(address, timeout=CONNECT_S, set_as_default=False)
        except (OSError, ValueError) as error:
            raise SolverError(f"no Dask scheduler answers at {address}: {error}") from error
        try:
            self._client.wait_for_workers(1, timeout=CONNECT_S)
        except TimeoutError as error:
            self._client.close()
            raise SolverError(
                f"the Dask scheduler at {address} has no worker: start some, e.g. `dask worker {address}`"
            ) from error

    @property
    def version(self) -> str:
        """ngspice's version on the cluster."""
        if self._version is None:
            self._version = self._taken(self._client.submit(_version, self._timeout_s, pure=False))
        return self._version

    def as_completed(self, tasks: Iterable[Task]) -> Generator[Outcome]:
        """Yield outcomes as they come; tasks are sent as the cluster can take them."""
        from distributed import as_completed

        source = enumerate(tasks)
        places: dict[Future, int] = {}
        running = as_completed(loop=self._client.loop)

        def send() -> None:
            room = AHEAD * self._n_threads() - len(places)
            for place, task in itertools.islice(source, max(0, room)):
                future = self._client.submit(solve, task, self._timeout_s, pure=False, retries=RETRIES)
                places[future] = place
                running.add(future)

        try:
            send()
            while places:
                future = next(running)
                place = places.pop(future)
                yield replace(self._result(future), place=place)
                send()
        finally:
            for future in places:
                future.cancel()

    def close(self) -> None:
        """Leave the cluster; may be called twice."""
        self._client.close()

    def _result(self, future: "Future") -> Outcome:
        """Return what came; a job that killed its Dask workers is a failure."""
        from distributed import KilledWorker

        try:
            outcome: Outcome = self._taken(future)
        except KilledWorker as error:
            return Outcome(0, None, failure=f"its Dask worker died: {error}")
        return outcome

    def _n_threads(self) -> int:
        try:
            threads: dict[str, int] = self._client.nthreads()
        except OSError as error:
            raise self._gone(error) from error
        return max(1, sum(threads.values()))

    def _gone(self, error: BaseException) -> SolverError:
        return SolverError(f"the Dask scheduler at {self._address} is gone: {error}")

    def _taken(self, future: "Future") -> Any:
        """Return a result; raises SolverError where the cluster is gone or lacks this program."""
        try:
            return future.result()
        except CancelledError as error:
            raise self._gone(error) from error
        except ImportError as error:
            raise SolverError(
                f"a Dask worker of {self._address} cannot load this program ({error}): "
                "install it there, in the same version"
            ) from error


def solve(task: Task, timeout_s: float) -> Outcome:
    """Run a task in a solver process of this thread, on a Dask worker."""
    (outcome,) = _farm(timeout_s).as_completed([task])
    return outcome


def _version(timeout_s: float) -> str:
    return _farm(timeout_s).version


def _farm(timeout_s: float) -> Farm:
    farms: dict[float, Any] = _here.__dict__.setdefault("farms", {})
    farm: Farm = farms.setdefault(timeout_s, Farm(1, timeout_s))
    return farm

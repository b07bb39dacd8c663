"""Where trials run: Dask workers of this machine, one thread each, or a Dask cluster."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from simcore.cores import n_cores
from simcore.errors import SolverError
from simcore.explore.interrupt import ignored
from simcore.explore.trial import Outcome, run_trial

CONNECT_S = 30
POLL_S = 1.0
"""Longest wait for a trial before the search looks around."""
SINGLE = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class Pool(Protocol):
    """Runs trials, several at a time."""

    @property
    def n(self) -> int:
        """How many trials run at once."""
        ...

    def submit(self, key: str, settings: Mapping[str, Any]) -> None:
        """Start a trial."""
        ...

    def finished(self) -> list[tuple[str, Outcome]]:
        """Return what is finished, after a wait of POLL_S at most."""
        ...


class DaskPool:
    """Trials on a Dask client."""

    def __init__(self, client: Any, address: str) -> None:
        self._client, self._address = client, address
        self._futures: dict[Any, str] = {}

    @property
    def n(self) -> int:
        """Threads of the cluster."""
        threads: dict[str, int] = self._client.nthreads()
        return max(1, sum(threads.values()))

    def submit(self, key: str, settings: Mapping[str, Any]) -> None:
        """Send a trial."""
        future = self._client.submit(run_trial, dict(settings), pure=False, retries=1)
        self._futures[future] = key

    def finished(self) -> list[tuple[str, Outcome]]:
        """Return what has come; a trial that killed its worker is a failed one."""
        from distributed import wait

        try:
            with self._client.as_current():
                done = wait(list(self._futures), timeout=POLL_S, return_when="FIRST_COMPLETED").done
        except TimeoutError:
            return []
        return [(self._futures.pop(future), self._outcome(future)) for future in done]

    def _outcome(self, future: Any) -> Outcome:
        from distributed import KilledWorker

        if future.status == "cancelled" or future.status == "lost":
            raise SolverError(
                f"the Dask cluster at {self._address} is gone; the study goes on from its store"
            )
        error = future.exception()
        if error is None:
            outcome: Outcome = future.result()
            return outcome
        if isinstance(error, ImportError):
            raise SolverError(
                f"a Dask worker of {self._address} cannot load this program ({error}): install it there"
            ) from error
        if isinstance(error, KilledWorker):
            return Outcome(error="its worker process died: out of memory?")
        return Outcome(error=f"{type(error).__name__}: {error}")


@contextmanager
def dask_pool(workers: int, address: str | None) -> Iterator[DaskPool]:
    """Open a local cluster with so many workers (0: all cores), or connect to the one at `address`."""
    from distributed import Client, LocalCluster

    if address is None:
        with ignored():  # workers that would take a Ctrl-C for theirs
            cluster = LocalCluster(
                n_workers=workers or n_cores(), threads_per_worker=1, processes=True, silence_logs="CRITICAL",
                dashboard_address="127.0.0.1:0", env=SINGLE,
            )  # fmt: skip
        with cluster, Client(cluster, set_as_default=False) as client:
            yield DaskPool(client, "this machine")
        return
    try:
        connected: Any = Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise SolverError(f"no Dask scheduler answers at {address}: {error}") from error
    with connected as client:
        try:
            client.wait_for_workers(1, timeout=CONNECT_S)
        except TimeoutError as error:
            raise SolverError(f"the Dask scheduler at {address} has no worker") from error
        yield DaskPool(client, address)

"""Solver jobs on a Dask cluster of two worker processes on this machine."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from simcore.errors import SolverError, UserError
from simcore.recording import read_recording
from simcore.spec import CircuitSpec
from spice_ref import cluster
from spice_ref.queue import open_queue
from spice_ref.record import record
from tests.spice_ref.tasks import LastValue, Sleep

distributed = pytest.importorskip("distributed")

pytestmark = [pytest.mark.spice]

RUNS, STEPS = 10, 20


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Two worker processes of one thread each."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
    ) as running:
        yield running.scheduler_address


@pytest.fixture(scope="module")
def local(rc: CircuitSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recording that this machine makes by itself."""
    out = tmp_path_factory.mktemp("local") / "local.h5"
    record(rc, out, runs=RUNS, steps=STEPS, workers=2, cache="off")
    return out


def assert_same(first: Path, second: Path) -> None:
    """Compare what is read and what is stored, rows in their stored order."""
    (_, a, runs_a), (_, b, runs_b) = map(read_recording, (first, second))
    for mine, theirs in ((a, b), (runs_a, runs_b)):
        for name in mine.__slots__:
            np.testing.assert_array_equal(getattr(mine, name), getattr(theirs, name), err_msg=name)
    with h5py.File(first) as mine, h5py.File(second) as theirs:
        assert set(mine["steps"]) == set(theirs["steps"])
        for name, data in mine["steps"].items():
            assert data[:].tobytes() == theirs["steps"][name][:].tobytes(), name


def test_recording_on_a_cluster_equals_the_local_one(
    rc: CircuitSpec, address: str, local: Path, tmp_path: Path
) -> None:
    shares: list[float] = []
    out = tmp_path / "a.h5"
    record(rc, out, runs=RUNS, steps=STEPS, cluster=address, cache="off", progress=shares.append)
    assert_same(out, local)
    assert shares == pytest.approx(np.arange(RUNS + 1) / RUNS)


def test_failed_job_on_a_cluster_is_told_and_all_others_run(address: str, tmp_path: Path) -> None:
    deck = "* rc\nv1 a 0 1\nr1 a b 1k\nc1 b 0 1p\n{}\n.tran 1n 10n\n.end"
    lines = ["* 1", "r2 a 0", "* 2", "* 3"]
    answers: dict[int, Any] = {}
    with open_queue(cluster=address, cache="off", failed=tmp_path) as queue:
        found = queue.as_completed(LastValue(deck.format(x), 10_000, "b") for x in lines)
        with pytest.raises(SolverError, match="resistance to low") as caught:
            answers.update((place, answer) for place, answer, _ in found)
        assert answers == pytest.approx(dict.fromkeys((0, 2, 3), 1.0))
        assert [row.job for row in caught.value.triage] == ["last value"]
        assert next(tmp_path.iterdir()).read_text() == deck.format("r2 a 0")
        assert queue.map([LastValue(deck.format("* 4"), 10_000, "b")]) == pytest.approx([1.0])


def test_hanging_job_on_a_cluster_is_told(address: str, tmp_path: Path) -> None:
    with (
        open_queue(timeout_s=0.5, cluster=address, cache="off", failed=tmp_path) as queue,
        pytest.raises(SolverError, match=r"a task that hangs: no answer within 0\.5 s, 3 times"),
    ):
        queue.map([Sleep(60.0)])


def test_left_queue_cancels_its_jobs(address: str) -> None:
    with open_queue(cluster=address, cache="off") as queue:
        answers = queue.as_completed(Sleep(0.1, deck=f"* {k}") for k in range(100))
        next(answers)
        answers.close()  # type: ignore[attr-defined]
        assert queue.map([Sleep(0.0, deck="* at once")])


def test_caller_who_fails_leaves_the_cluster_in_order(address: str) -> None:
    def interrupted() -> None:
        with open_queue(cluster=address, cache="off") as queue:
            for _ in queue.as_completed(Sleep(0.1, deck=f"* {k}") for k in range(10)):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with open_queue(cluster=address, cache="off") as queue:
        assert queue.map([Sleep(0.0, deck="* at once")])


def test_killed_dask_worker_loses_nothing(rc: CircuitSpec, address: str, local: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.h5"
    with distributed.Client(address, set_as_default=False) as client:
        pids = list(client.run(os.getpid).values())
    assert len(pids) == 2
    killed = []

    def kill_one(done: float) -> None:
        if done >= 0.3 and not killed:
            os.kill(pids[0], signal.SIGKILL)
            killed.append(done)

    record(rc, out, runs=RUNS, steps=STEPS, cluster=address, cache="off", progress=kill_one)
    assert killed
    assert_same(out, local)


def test_no_scheduler_is_told_with_the_address(
    rc: CircuitSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "CONNECT_S", 0.5)
    with pytest.raises(SolverError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9: "):
        record(rc, tmp_path / "a.h5", runs=1, cluster="tcp://127.0.0.1:9")
    with pytest.raises(SolverError, match=r"no Dask scheduler answers at nonsense://x: "):
        open_queue(cluster="nonsense://x")
    assert not (tmp_path / "a.h5").exists()


def test_cluster_without_workers_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "CONNECT_S", 0.5)
    with (
        distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=":0") as empty,
        pytest.raises(
            SolverError, match=r"Dask scheduler at .* has no worker: start some, e\.g\. `dask worker"
        ),
    ):
        open_queue(cluster=empty.scheduler_address)


def test_lost_scheduler_is_told(rc: CircuitSpec, tmp_path: Path) -> None:
    """The scheduler is killed when two runs are recorded: they stay, and the address is told."""
    file, out = tmp_path / "scheduler.json", tmp_path / "a.h5"
    started = ["--scheduler-file", str(file)]
    scheduler = start("distributed.cli.dask_scheduler", *started, "--port", "0", "--dashboard-address", ":0")
    worker = start("distributed.cli.dask_worker", *started, "--nthreads", "1", "--death-timeout", "20")
    try:
        while not file.exists():
            time.sleep(0.05)
        address = json.loads(file.read_text())["address"]

        def kill_at_two(done: float) -> None:
            if done > 1.5 / RUNS:
                scheduler.kill()

        with pytest.raises(SolverError, match=f"the Dask scheduler at {address} is gone"):
            record(rc, out, runs=RUNS, steps=STEPS, cluster=address, cache="off", progress=kill_at_two)
    finally:
        for process in (scheduler, worker):
            process.kill()
            process.wait()
    assert read_recording(out)[2].run.tolist()[:2] == [0, 1]


def start(module: str, *arguments: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments], env=environment, stderr=subprocess.DEVNULL
    )


def test_missing_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UserError, match=r"pip install 'simcore-ams\[cluster\]'"):
        open_queue(cluster="tcp://127.0.0.1:9")

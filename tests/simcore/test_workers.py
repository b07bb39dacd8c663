"""Shards on worker processes: the same bytes, nothing lost when one dies or the run is stopped."""

import json
import pickle
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import h5py
import pytest

from simcore import load_scenario, run
from simcore.digital import DigitalConfig
from simcore.errors import SimcoreError, SolverError
from simcore.result import RunResult
from simcore.scenario import Scenario
from simcore.shard import Shard
from simcore.workers import _pickled, _Process, in_processes, on_cluster
from tests.test_scenarios import SCENARIOS

run_module = import_module("simcore.run")


def scenario(samples: int = 9) -> Scenario:
    return load_scenario(
        SCENARIOS / "digits_spiking.toml",
        [f"samples={samples}", "backend.default=ideal", "architecture.options.steps=8"],
    )


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "LANES", 2)
    monkeypatch.setattr(run_module, "MANY", 3)


def contents(path: Path) -> dict[str, bytes]:
    found = {}
    with h5py.File(path / "result.h5") as file:
        for name in ("results", "trace"):
            if name in file:
                file[name].visititems(
                    lambda key, x: (
                        found.update({key: x[()].tobytes()}) if isinstance(x, h5py.Dataset) else None
                    )
                )
    return found


@pytest.mark.parametrize("trace", [False, True])
def test_same_bytes_on_any_number_of_workers(tmp_path: Path, trace: bool) -> None:
    for workers in (1, 2, 3):
        run(scenario(), tmp_path / str(workers), workers=workers, trace=trace)
    one, two, three = (contents(tmp_path / str(workers)) for workers in (1, 2, 3))
    assert len(one) > 20
    assert one == two == three


@pytest.mark.parametrize(("share", "stored"), [(1.0, [0, 2, 4, 6, 8]), (0.0, [0, 2, 2, 2, 2])])
def test_shards_wait_where_storing_takes_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float, stored: list[int]
) -> None:
    """By what lies in the file when the next shard is finished; the result is the same."""
    monkeypatch.setattr(run_module, "STORING", share)
    found: dict[float, int] = {}

    def look(done: float) -> None:
        path = tmp_path / "result.h5"
        found[done] = len(RunResult(path).samples) if path.exists() else 0

    run(scenario(), tmp_path, workers=2, progress=look)
    assert list(found.values()) == stored
    monkeypatch.undo()
    run(scenario(), tmp_path / "plain", workers=1)
    assert contents(tmp_path) == contents(tmp_path / "plain")


def test_cpu_time_of_workers_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*args: Any) -> Iterator[Shard]:
        for shard in in_processes(*args):
            assert shard.remote_cpu_s > 0
            yield replace(shard, remote_cpu_s=100.0)

    monkeypatch.setattr(run_module, "in_processes", slow)
    result = run(scenario(), tmp_path, workers=2)  # 5 shards
    assert 500 < result.provenance["cpu_s"] < 600


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a scheduler with two worker processes of one thread each."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as found:
        yield found.scheduler_address


def test_same_bytes_on_a_cluster(tmp_path: Path, cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run(scenario(), tmp_path / "here", workers=1, trace=True)

    def not_here(*args: Any) -> Shard:
        raise AssertionError("a shard ran in this process")

    monkeypatch.setattr(run_module, "run_shard", not_here)
    spice = {"cluster": cluster}
    backend = scenario().backend.model_copy(update={"spice": spice})
    run(scenario().model_copy(update={"backend": backend}), tmp_path / "there", trace=True)
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


def test_error_on_a_cluster_and_no_cluster_are_told(cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = scenario().model_copy(update={"samples": 10**6})
    with pytest.raises(SimcoreError, match="samples 0 to 1000000 asked for"):
        list(on_cluster(cluster, bad, [(0, 2)], trace=False))
    monkeypatch.setattr(import_module("simcore.workers"), "CONNECT_S", 1)
    with pytest.raises(SolverError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        list(on_cluster("tcp://127.0.0.1:9", scenario(), [(0, 2)], trace=False))


class Stopped(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize("workers", [1, 2])
def test_stopped_run_goes_on(tmp_path: Path, workers: int) -> None:
    whole = run(scenario(), tmp_path / "whole", trace=True)

    def stop(share: float) -> None:
        if share > 0.7:
            raise Stopped

    with pytest.raises(Stopped):
        run(scenario(), tmp_path / "part", trace=True, workers=workers, progress=stop)
    with h5py.File(tmp_path / "part" / "result.h5", "r+") as file:
        assert 0 < len(file["results/sample"]) < 9
        # A kill within a batch leaves rows that belong to no finished sample.
        file["results/label"].resize(len(file["results/label"]) + 1, axis=0)
        lanes = file["trace/hidden/lane"]
        lanes.resize(len(lanes) + 5, axis=0)
        lanes[-5:] = 10**6
    shares: list[float] = []
    result = run(scenario(), tmp_path / "part", trace=True, workers=workers, progress=shares.append)
    assert min(shares) > 0.3
    assert contents(tmp_path / "part") == contents(tmp_path / "whole")
    assert result.summary()["accuracy"] == whole.summary()["accuracy"]


def test_finished_run_or_other_settings_start_again(tmp_path: Path) -> None:
    for samples in (4, 9, 9):
        shares: list[float] = []
        run(scenario(samples), tmp_path, workers=1, progress=shares.append)
        assert min(shares) < 0.5


def test_worker_that_dies_is_told_and_the_finished_samples_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = _Process.ask

    def dies(self: _Process, job: tuple) -> object:
        if job[1] == 6:
            self._process.kill()
        return asked(self, job)

    monkeypatch.setattr(_Process, "ask", dies)
    with pytest.raises(SimcoreError, match=r"worker process died .* samples 6 to 7") as caught:
        run(scenario(), tmp_path, workers=2)
    assert "6 samples finished before" in caught.value.__notes__[0]
    monkeypatch.undo()
    assert len(run(scenario(), tmp_path, workers=1).samples) == 9


def test_error_in_a_worker_is_the_same_error(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = scenario().model_copy(update={"samples": 10**6})
    with pytest.raises(SimcoreError, match="samples 0 to 1000000 asked for"):
        list(in_processes(1, bad, [(0, 2)], trace=False))


def test_large_networks_run_fewer_samples_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls = []
    alone = run_module.run_shard
    monkeypatch.setattr(run_module, "run_shard", lambda *args: calls.append(args[2]) or alone(*args))
    monkeypatch.setattr(run_module, "LANES", 64)
    monkeypatch.setattr(run_module, "ROWS", 3 * 106 * 10)
    run(scenario(), tmp_path, workers=1)
    assert calls == [3, 3, 3]


def stopped(directory: Path, config: Scenario | None = None, **options: object) -> None:
    """Leave a run with some of its samples."""

    def stop(share: float) -> None:
        if share > 0.5:
            raise Stopped

    with pytest.raises(Stopped):
        run(config or scenario(), directory, workers=1, progress=stop, **options)


def test_what_a_killed_run_left_does_not_replace_the_one_that_goes_on(tmp_path: Path) -> None:
    whole = run(scenario(), tmp_path / "whole")
    stopped(tmp_path / "part")
    with h5py.File(tmp_path / "part" / "result.h5.partial", "w") as file:
        file.attrs["schema"] = 1
    result = run(scenario(), tmp_path / "part")
    assert result.samples.tolist() == whole.samples.tolist()
    assert contents(tmp_path / "part") == contents(tmp_path / "whole")


def test_run_on_other_rasters_does_not_go_on(tmp_path: Path) -> None:
    stopped(tmp_path)
    shares: list[float] = []
    run(scenario(), tmp_path, rewire=lambda network, batch: network, progress=shares.append)
    assert min(shares) < 0.3


def test_finished_samples_without_a_summary_are_not_run_again(tmp_path: Path) -> None:
    whole = run(scenario(), tmp_path)
    (tmp_path / "summary.json").unlink()
    shares: list[float] = []
    again = run(scenario(), tmp_path, progress=shares.append)
    assert not shares
    assert again.scores.tolist() == whole.scores.tolist()
    assert (tmp_path / "summary.json").exists()


def test_unfinished_run_of_another_circuit_is_refused(tmp_path: Path) -> None:
    stopped(tmp_path)
    with h5py.File(tmp_path / "result.h5", "r+") as file:
        made = json.loads(file["provenance/json"][()])
        made["layers"]["hidden"]["spec"]["hash"] = "another"
        del file["provenance/json"]
        file["provenance/json"] = json.dumps(made)
    with pytest.raises(SimcoreError, match="unfinished run that another bundle or circuit answered"):
        run(scenario(), tmp_path)


def test_error_that_cannot_be_sent_is_told_by_its_text() -> None:
    class Odd(Exception):
        def __init__(self, one: str, two: str) -> None:
            super().__init__(f"{one} {two}")

    error = pickle.loads(_pickled(Odd("disk", "gone")))
    assert isinstance(error, SimcoreError)
    assert "Odd: disk gone" in str(error)
    assert "in a worker process" in pickle.loads(_pickled(ValueError("bad"))).__notes__[0]


def test_run_with_another_table_of_components_does_not_go_on(tmp_path: Path) -> None:
    """The scenario names a file; what is in it decides waiting and energy."""
    table = tmp_path / "parts.toml"
    config = scenario().model_copy(update={"digital": DigitalConfig(table=str(table))})
    table.write_text("[weight_read]\nlatency_s = 1e-9\n")
    stopped(tmp_path / "run", config)
    table.write_text("[weight_read]\nlatency_s = 9e-9\n")
    found, fresh = run(config, tmp_path / "run"), run(config, tmp_path / "fresh")
    assert found.duration_s.tolist() == fresh.duration_s.tolist()

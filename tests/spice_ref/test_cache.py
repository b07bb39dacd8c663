"""Stored results: who shares them, what makes them miss, how they are shown and pruned."""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from simcore.recording import read_recording
from simcore.spec import CircuitSpec
from spice_ref import cache
from spice_ref.bank import Bench, SpiceBank
from spice_ref.cache import Cache, entries, prune
from spice_ref.measure import Measured, Probe
from spice_ref.queue import open_queue
from spice_ref.record import record
from spice_ref.stimuli import draw_raster
from spice_ref.tasks import Point, Trace, Transient
from tests.conftest import Outcome
from tests.spice_ref.drive import driven

pytestmark = pytest.mark.spice

OpenBank = Callable[..., SpiceBank]
Simcore = Callable[..., Outcome]

PROBE = Probe((), ("out",), ("x0.v_c",), (), ())
TASK = Transient("* a deck", "a job", np.array([0, 5000, 10000]), PROBE)
TRACE = Trace(
    Measured(
        energy_j=np.array([[1e-15, -0.0], [2e-15, 3e-15]]),
        outputs=np.array([[0.1], [0.2]]),
        state=np.zeros((2, 0)),
        fired=np.array([[True, False]]),
        latency_s=np.array([[1e-9, np.nan]]),
        excursions=np.array([0, 1]),
    ),
    start_outputs=np.array([0.0]),
    start_state=np.zeros(0),
    voltages=np.array([1 / 3]),
)


@pytest.fixture
def stored(tmp_path: Path) -> Cache:
    """A cache with one entry."""
    made = Cache(tmp_path / "cache", "39")
    made.put(TASK, TRACE, 1.5)
    return made


def test_what_comes_back_is_what_was_stored_bit_for_bit(stored: Cache) -> None:
    found = stored.get(TASK)
    assert found is not None
    answer, cpu_s = found
    assert cpu_s == 1.5
    for name, array in TRACE.pack().items():
        got = answer.pack()[name]
        assert (got.dtype, got.shape, got.tobytes()) == (array.dtype, array.shape, array.tobytes()), name
        assert got.flags.aligned
        assert got.flags.writeable


def test_node_voltages_come_back_in_their_order(stored: Cache) -> None:
    point = Point("* a deck", "reset")
    for voltages in ({"b": 0.1, "a": 1 / 3, "x0.m1#gate": -0.0}, {}):
        stored.put(point, voltages, 0.1)
        found = stored.get(point)
        assert found is not None
        assert list(found[0].items()) == list(voltages.items())


def test_h5py_alone_can_show_an_entry(stored: Cache) -> None:
    (entry,) = entries(stored.folder)
    with h5py.File(entry.path) as file:
        record = file["answer"][()]
    assert record["label"] == b"a job"
    assert record["cpu_s"] == 1.5
    np.testing.assert_array_equal(record["outputs"], TRACE.measured.outputs)


@pytest.mark.parametrize(
    "other",
    [
        replace(TASK, deck="* another deck"),
        replace(TASK, edges_ps=np.array([0, 5000, 15000])),
        replace(TASK, probe=replace(PROBE, outputs=("v_c",))),
        replace(TASK, nodes=("a",)),
        Point(TASK.deck, TASK.label, reads=TASK.reads),
    ],
    ids=["deck", "edges", "probe", "nodes", "kind of job"],
)
def test_another_job_misses(stored: Cache, other: Transient | Point) -> None:
    assert stored.get(other) is None
    assert stored.get(replace(TASK, label="told otherwise", params="r=1")) is not None


def test_another_solver_or_format_misses(stored: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Cache(stored.folder, "40").get(TASK) is None
    monkeypatch.setattr(cache, "SCHEMA", cache.SCHEMA + 1)
    assert stored.get(TASK) is None


def test_entry_that_does_not_fit_its_job_is_dropped(stored: Cache, caplog: pytest.LogCaptureFixture) -> None:
    (entry,) = entries(stored.folder)
    stored.put(Point("* a deck", "reset"), {"a": 1.0}, 0.1)
    (other,) = (found for found in entries(stored.folder) if found.path != entry.path)
    other.path.replace(entry.path)
    assert stored.get(TASK) is None
    assert "damaged cached result" in caplog.text
    assert list(entries(stored.folder)) == []


def test_folder_that_others_own_is_read_without_a_word(
    stored: Cache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(f"not your file: {path}")

    monkeypatch.setattr(os, "utime", refuse)
    assert stored.get(TASK) is not None
    assert not caplog.records


def test_entry_pruned_while_it_is_written_stops_no_later_one(
    stored: Cache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    replace_file = Path.replace
    monkeypatch.setattr(Path, "replace", lambda old, new: (old.unlink(), replace_file(old, new)))
    stored.put(Point("* a deck", "lost"), {"a": 1.0}, 0.1)
    monkeypatch.undo()
    stored.put(Point("* another deck", "kept"), {"a": 1.0}, 0.1)
    assert len(list(entries(stored.folder))) == 2
    assert not caplog.records


@pytest.mark.parametrize(("where", "expected"), [("auto", "env"), ("own", "base/own"), ("off", None)])
def test_folder_is_named_by_option_or_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, expected: str | None
) -> None:
    monkeypatch.setenv(cache.CACHE_ENV, str(tmp_path / "env"))
    found = Cache.at(where, tmp_path / "base", "39")
    assert (found and found.folder) == (expected and tmp_path / expected)


def test_second_run_takes_all_from_the_cache(rc: CircuitSpec, tmp_path: Path) -> None:
    rasters = [draw_raster(rc, run, 12, 1, None)[1] for run in range(3)]
    seen = []
    for _ in range(2):
        with open_queue(1, cache=str(tmp_path / "c")) as queue:
            bench = Bench(rc, "std", queue)
            listing_s = queue.cpu_s
            answers = {place: (trace, cpu_s) for place, trace, cpu_s in bench.replay(rasters)}
            assert queue.n_jobs == 4
            assert queue.cpu_s - listing_s == pytest.approx(sum(cpu_s for _, cpu_s in answers.values()))
            seen.append((answers, queue.n_cached))
    (first, n_first), (second, n_second) = seen
    assert (n_first, n_second) == (0, 3)
    for place, (trace, cpu_s) in first.items():
        assert second[place][1] == cpu_s > 0, "the solver's seconds are kept"
        for name, array in trace.pack().items():
            assert second[place][0].pack()[name].tobytes() == array.tobytes()


def test_recordings_and_replays_share_it(rc: CircuitSpec, opened: OpenBank, tmp_path: Path) -> None:
    folder = str(tmp_path / "c")
    record(rc, tmp_path / "a.h5", runs=3, steps=12, workers=1, cache=folder)
    with open_queue(1, cache=folder) as queue:
        list(Bench(rc, "std", queue).replay([draw_raster(rc, run, 12, 1, None)[1] for run in range(4)]))
        assert queue.n_cached == 3
    record(rc, tmp_path / "b.h5", runs=3, steps=12, workers=1, cache=folder)
    (_, a, _), (_, b, _) = (read_recording(tmp_path / name) for name in ("a.h5", "b.h5"))
    for name in a.__slots__:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    gold = opened(rc, cache=folder, accuracy="gold")
    gold.replay([draw_raster(rc, 0, 12, 1, None)[1]])
    assert gold.provenance()["n_cached"] == 0, "another accuracy misses"


def test_closed_loop_steps_are_shared(rc: CircuitSpec, opened: OpenBank, tmp_path: Path) -> None:
    results, counts = [], []
    for _ in range(2):
        bank = opened(rc, np.array([[1e4], [2e4]]), cache=str(tmp_path / "c"))
        bank.reset()
        results.append([bank.step(driven(bank, [level, 0.5])) for level in (0.3, 0.9)])
        found = bank.provenance()
        counts.append((found["n_jobs"], found["n_cached"]))
    assert counts == [(7, 0), (7, 6)], "all but the listing: two resets, two steps of two units"
    for first, second in zip(*results, strict=True):
        for name in first.__slots__:
            np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_another_probe_misses(rc: CircuitSpec, tmp_path: Path) -> None:
    raster = draw_raster(rc, 0, 12, 1, None)[1]
    with open_queue(1, cache=str(tmp_path / "c")) as queue:
        bench = Bench(rc, "std", queue)
        list(bench.replay([raster]))
        list(bench.replay([raster], replace(bench.probe, outputs=("x0.v_c",))))
        assert queue.n_cached == 0
        list(bench.replay([raster]))
        assert queue.n_cached == 1


def filled(folder: Path, n: int) -> list[Path]:
    """Store entries of equal size, entry k last used k days ago."""
    made = Cache(folder, "39")
    for k in range(n):
        known = {entry.path for entry in entries(folder)}
        made.put(replace(TASK, deck=f"* {k}"), TRACE, 1.0)
        (path,) = {entry.path for entry in entries(folder)} - known
        used = time.time() - 86400 * k
        os.utime(path, (used, used))
    return [entry.path for entry in sorted(entries(folder), key=lambda entry: -entry.used)]


def test_least_recently_used_go_first(tmp_path: Path) -> None:
    paths = filled(tmp_path, 5)
    size = paths[0].stat().st_size
    assert prune(tmp_path, max_bytes=3 * size) == (2, 2 * size)
    assert [path.exists() for path in paths] == [True, True, True, False, False]
    assert Cache(tmp_path, "39").get(replace(TASK, deck="* 2")) is not None, "this uses it"
    assert prune(tmp_path, max_bytes=2 * size) == (1, size)
    assert [path.exists() for path in paths[:3]] == [True, False, True]


def test_old_ones_go(tmp_path: Path) -> None:
    paths = filled(tmp_path, 4)
    assert prune(tmp_path, max_age_s=1.5 * 86400)[0] == 2
    assert [path.exists() for path in paths] == [True, True, False, False]
    assert prune(tmp_path)[0] == 2, "without a limit all"


def test_other_files_in_the_folder_stay(tmp_path: Path) -> None:
    (tmp_path / "ab").mkdir()
    mine = [tmp_path / "ab" / "weights.h5", tmp_path / "ab" / "x.h5", tmp_path / "notes.h5"]
    for path in mine:
        path.touch()
    filled(tmp_path, 1)
    assert prune(tmp_path)[0] == 1
    assert all(path.exists() for path in mine)


def test_cache_info(simcore: Simcore, tmp_path: Path) -> None:
    assert "results 0\nsize    0 B" in simcore("cache", "info").out
    filled(tmp_path / "cache", 2)
    told = simcore("cache", "info").out
    assert f"folder  {tmp_path / 'cache'}\nresults 2\n" in told
    assert "on its disk" in told
    assert "results 0" in simcore("cache", "info", "--folder", tmp_path / "other").out


@pytest.mark.parametrize(
    ("options", "n_left"),
    [(["--max-size", "0"], 0), (["--max-size", "6kB"], 1), (["--max-size", "1G"], 4),
     (["--older-than", "1.5"], 2), (["--older-than", "0.5", "--max-size", "1T"], 1), (["--all"], 0)],
)  # fmt: skip
def test_cache_prune(simcore: Simcore, tmp_path: Path, options: list[str], n_left: int) -> None:
    filled(tmp_path / "cache", 4)
    left = simcore("cache", "prune", *options)
    assert left.code == 0
    assert left.out.startswith(f"{4 - n_left} results dropped, ")
    assert len(list(entries(tmp_path / "cache"))) == n_left


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "say how much, with --max-size 20G, --older-than 30 or --all"),
        (["--max-size", "lots"], "--max-size lots: expected a size such as 500M or 20G"),
        (["--max-size", "1.2.3G"], "--max-size 1.2.3G: expected a size"),
        (["--max-size", "-5M"], "--max-size -5M: expected a size"),
        (["--older-than", "-1"], "--older-than"),
    ],
)
def test_bad_limit_of_prune_drops_nothing(
    simcore: Simcore, tmp_path: Path, options: list[str], message: str
) -> None:
    filled(tmp_path / "cache", 1)
    left = simcore("cache", "prune", *options)
    assert left.code == 2
    assert message in left.err
    assert len(list(entries(tmp_path / "cache"))) == 1


KILLED = """
import os, signal, sys
from pathlib import Path
from spice_ref.cache import Cache
from spice_ref.tasks import Point
Path.replace = lambda old, new: os.kill(os.getpid(), signal.SIGKILL)
Cache(Path(sys.argv[1]), "39").put(Point("* a deck", "reset"), {"a": 1.0}, 0.1)
"""


def test_what_a_kill_left_half_written_is_seen_and_pruned(
    simcore: Simcore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "cache"
    assert subprocess.run([sys.executable, "-c", KILLED, str(folder)]).returncode == -9
    (left,) = entries(folder)
    assert left.path.name.endswith(".partial")
    assert Cache(folder, "39").get(Point("* a deck", "reset")) is None
    Cache(folder, "39").put(Point("* a deck", "reset"), {"a": 1.0}, 0.1)
    assert Cache(folder, "39").get(Point("* a deck", "reset")) == ({"a": 1.0}, 0.1)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "results 2" in simcore("cache", "info").out
    assert "2 results dropped" in simcore("cache", "prune", "--all").out
    assert list(entries(folder)) == []

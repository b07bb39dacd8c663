"""Recordings: resumable, and the same rows for any number of workers."""

import logging
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simcore.bank import Raster
from simcore.errors import DatasetError, SolverError, UserError
from simcore.manifest import load_circuit
from simcore.recording import read_recording
from simcore.spec import CircuitSpec
from spice_ref import record as recorder
from spice_ref.bank import Bench
from spice_ref.cache import entries
from spice_ref.check import check_circuit
from spice_ref.queue import JobQueue
from spice_ref.record import record
from spice_ref.stimuli import KINDS, draw_raster
from tests.spice_ref.conftest import RC

pytestmark = pytest.mark.spice


def test_recording_is_the_same_for_any_workers_and_interruption(rc: CircuitSpec, tmp_path: Path) -> None:
    shares: list[float] = []
    record(rc, tmp_path / "a.h5", runs=6, steps=12, workers=2, cache="off")
    record(rc, tmp_path / "b.h5", runs=2, steps=12, workers=1, cache="off")
    record(rc, tmp_path / "b.h5", runs=6, steps=12, workers=1, cache="off", progress=shares.append)
    assert shares == pytest.approx([2 / 6, 3 / 6, 4 / 6, 5 / 6, 1.0])
    _, a, runs_a = read_recording(tmp_path / "a.h5")
    _, b, runs_b = read_recording(tmp_path / "b.h5")
    assert len(a) == 72
    for name in a.__slots__:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    np.testing.assert_array_equal(runs_a.params, runs_b.params)
    np.testing.assert_array_equal(runs_a.kind, [*KINDS, *KINDS][:6])


def assert_same(first: Path, second: Path) -> None:
    for mine, theirs in zip(read_recording(first)[1:], read_recording(second)[1:], strict=True):
        for name in mine.__slots__:
            np.testing.assert_array_equal(getattr(mine, name), getattr(theirs, name), err_msg=name)


@pytest.fixture
def queues(monkeypatch: pytest.MonkeyPatch) -> list[JobQueue]:
    """All queues that recordings of this test open."""
    made: list[JobQueue] = []
    open_queue = recorder.open_queue

    def remember(*args: Any, **options: Any) -> JobQueue:
        made.append(open_queue(*args, **options))
        return made[-1]

    monkeypatch.setattr(recorder, "open_queue", remember)
    return made


def unsolvable(monkeypatch: pytest.MonkeyPatch, runs: list[int], steps: int) -> None:
    """Make the transients of some runs fail: two sources in parallel."""
    transient = Bench.transient

    def spoilt(bench: Bench, raster: Raster, *args: Any) -> Any:
        task = transient(bench, raster, *args)
        rasters = [draw_raster(bench.spec, run, steps, 1, None)[1] for run in runs]
        is_bad = any(np.array_equal(raster.inputs, bad.inputs) for bad in rasters)
        return replace(task, deck=task.deck.replace(".end", "v9 in 0 5\n.end")) if is_bad else task

    monkeypatch.setattr(Bench, "transient", spoilt)


KILLED = """
import sys
from pathlib import Path
from simcore.manifest import load_circuit
from spice_ref.record import record
record(load_circuit(sys.argv[1]), Path(sys.argv[2]), runs=60, steps=12, workers=1)
"""


def test_killed_recording_is_resumed_to_the_same_rows(
    rc: CircuitSpec, tmp_path: Path, queues: list[JobQueue]
) -> None:
    killed, cache = tmp_path / "killed.h5", tmp_path / "cache"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(RC), str(killed)])
    while len(list(entries(cache))) < 15:
        assert process.poll() is None
        time.sleep(0.002)
    process.kill()
    process.wait()
    n_kept, n_stored = len(read_recording(killed)[2].run), len(list(entries(cache)))
    assert 10 < n_kept < 60
    record(rc, killed, runs=60, steps=12, workers=1)
    (queue,) = queues
    assert queue.n_jobs == 1 + 60 - n_kept
    assert queue.n_cached == n_stored - n_kept, "runs in the file are skipped, finished ones not run again"
    record(rc, tmp_path / "whole.h5", runs=60, steps=12, workers=1, cache="off")
    assert_same(killed, tmp_path / "whole.h5")


def test_run_that_fails_leaves_all_others_in_the_file(
    rc: CircuitSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(rc, tmp_path / "whole.h5", runs=6, steps=12, workers=2)
    with monkeypatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path))
        unsolvable(patch, [1, 3], 12)
        message = (
            r"2 solver jobs failed, 4 were finished; the first: rc replay .*; ngspice says: .*deck saved"
        )
        with pytest.raises(SolverError, match=message) as caught:
            record(rc, tmp_path / "a.h5", runs=6, steps=12, workers=2)
    params = read_recording(tmp_path / "whole.h5")[2].params
    assert {row.params for row in caught.value.triage} == {f"r={params[run, 0]:g}" for run in (1, 3)}
    assert len(list((tmp_path / "simcore" / "failed").iterdir())) == 2
    assert read_recording(tmp_path / "a.h5")[2].run.tolist() == [0, 2, 4, 5]
    record(rc, tmp_path / "a.h5", runs=6, steps=12, workers=1)
    assert_same(tmp_path / "a.h5", tmp_path / "whole.h5")


def test_latency_that_fails_leaves_all_others_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = load_circuit(str(RC.parent / "divider"))
    assert spec.latency_every == 3
    record(spec, tmp_path / "whole.h5", runs=7, steps=6, workers=1)
    with monkeypatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path))
        unsolvable(patch, [3], 6)
        with pytest.raises(SolverError, match=r"divider replay .*; ngspice says: ") as caught:
            record(spec, tmp_path / "a.h5", runs=7, steps=6, workers=1)
    assert len(caught.value.triage) == 1
    assert read_recording(tmp_path / "a.h5")[2].run.tolist() == [0, 1, 2, 4, 5, 6]
    record(spec, tmp_path / "a.h5", runs=7, steps=6, workers=1)
    assert_same(tmp_path / "a.h5", tmp_path / "whole.h5")


@pytest.mark.parametrize("share", [0.1, 0.9])
def test_unreadable_recording_is_moved_aside_and_rebuilt(
    rc: CircuitSpec, tmp_path: Path, queues: list[JobQueue], caplog: pytest.LogCaptureFixture, share: float
) -> None:
    out = tmp_path / "a.h5"
    record(rc, out, runs=3, steps=12, workers=1)
    whole = out.read_bytes()
    rest = whole[: int(share * len(whole))]
    (tmp_path / "b.h5").write_bytes(rest)
    record(rc, tmp_path / "b.h5", runs=3, steps=12, workers=1)
    assert queues[-1].n_cached == 3, "its runs come from the cache"
    (warning,) = caplog.records
    assert (warning.name, warning.levelno) == ("simcore.recording", logging.WARNING)
    assert f"the recording {tmp_path / 'b.h5'} is damaged (" in warning.getMessage()
    assert f"it is kept as {tmp_path / 'b.h5.damaged'} and started anew" in warning.getMessage()
    assert (tmp_path / "b.h5.damaged").read_bytes() == rest
    assert_same(tmp_path / "b.h5", out)


def test_recording_of_no_run_is_refused(rc: CircuitSpec, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="recording of rc: at least one run is needed, got 0"):
        record(rc, tmp_path / "a.h5", runs=0)


def test_recording_of_another_circuit_is_refused(rc: CircuitSpec, tmp_path: Path) -> None:
    record(rc, tmp_path / "a.h5", runs=1, steps=5, workers=1)
    with pytest.raises(DatasetError, match="another circuit"):
        record(load_circuit("lif_neuron"), tmp_path / "a.h5", runs=1, steps=5, workers=1)


def test_check_of_a_sound_circuit_finds_no_problem(rc: CircuitSpec) -> None:
    report = check_circuit(rc, runs=1, steps=20, workers=2)
    assert report.problems == ()
    assert [row[:2] for row in report.sources.rows] == [("vdd", "supply"), ("in", "input")]
    assert report.reset.rows[0][0] == "v_c"


@pytest.mark.parametrize(
    ("sources", "message"),
    [("", r"element 'vdd' has no class in \[sources\] and delivers .* J"),
     ('vdd = "load"', "element 'vdd' is classed 'load' but delivers .* J")],
)  # fmt: skip
def test_check_names_an_element_that_delivers_unpaid(tmp_path: Path, sources: str, message: str) -> None:
    for name in ("rc.cir", "circuit.toml"):
        text = (RC / name).read_text().replace('vdd = "supply"', sources)
        (tmp_path / name).write_text(text)
    report = check_circuit(load_circuit(str(tmp_path)), runs=1, steps=20, workers=1)
    with pytest.raises(AssertionError, match=message):
        assert not report.problems, report.problems[0]


def test_check_reports_rail_excursions(tmp_path: Path) -> None:
    for name in ("rc.cir", "circuit.toml"):
        text = (RC / name).read_text().replace("Vdd  vdd  0    1", "Vdd  vdd  0  0.5")
        (tmp_path / name).write_text(text)
    report = check_circuit(load_circuit(str(tmp_path)), runs=1, steps=20, workers=1)
    assert any("rail excursions" in problem for problem in report.problems)


def test_check_names_an_output_that_never_moves(tmp_path: Path) -> None:
    for name in ("rc.cir", "circuit.toml"):
        text = (RC / name).read_text().replace("min_swing = 0.02", "min_swing = 0.99999")
        (tmp_path / name).write_text(text)
    report = check_circuit(load_circuit(str(tmp_path)), runs=1, steps=12, workers=2)
    assert any("output 'out': no event at all; it never changes" in text for text in report.problems)

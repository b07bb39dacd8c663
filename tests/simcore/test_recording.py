"""Data sets of bank steps: written, resumed after a kill, read back."""

import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from simcore.bank import Raster, RasterResult, StepResult
from simcore.errors import DatasetError
from simcore.recording import Recording, default_path, read_recording
from tests.full_disk import file_size_limit
from tests.simcore.fakes import follower, leaky

SPEC = follower()


def sample(run: int, n: int = 5) -> tuple[Raster, RasterResult]:
    """Random figures of one run; inputs are float32 numbers, as a recorder must draw them."""
    rng = np.random.default_rng(run)
    inputs = rng.random((n, 2)).astype(np.float32).astype(np.float64)
    raster = Raster(rng.random(2), rng.integers(1, 9, n) * 1000, inputs, rng.random(n) < 0.5)
    fired = rng.random(n) < 0.5
    steps = StepResult(
        rng.random((n, 1)),
        np.zeros((n, 0)),
        fired,
        rng.random(n),
        rng.random(n),
        np.where(fired, 1e-9, np.nan),
    )
    return raster, RasterResult(np.zeros(0), rng.random(1), steps)


def write(path: Path, runs: list[int], n: int = 5) -> Path:
    with Recording(path, SPEC, {"seed": 1}) as recording:
        for run in runs:
            recording.append(run, "dense" if run % 2 else "sparse", *sample(run, n), cpu_s=0.5)
    return path


def test_reread_equals_written(tmp_path: Path) -> None:
    spec, steps, runs = read_recording(write(tmp_path / "x.h5", [0, 1]))
    assert spec == SPEC
    assert runs.run.tolist() == [0, 1]
    assert runs.kind.tolist() == ["sparse", "dense"]
    for run in (0, 1):
        raster, result = sample(run)
        rows = steps.take(steps.run == run)
        assert len(rows) == 5
        np.testing.assert_array_equal(rows.inputs, raster.inputs)
        np.testing.assert_array_equal(rows.duration_ps, raster.duration_ps)
        np.testing.assert_array_equal(rows.idle, raster.idle)
        np.testing.assert_array_equal(rows.params, np.tile(raster.params, (5, 1)))
        for column in ("outputs", "state", "fired", "supply_j", "input_j", "latency_s"):
            np.testing.assert_array_equal(getattr(rows, column), getattr(result.steps, column))
        before = np.vstack([result.reset_outputs, result.steps.outputs[:-1]])
        np.testing.assert_array_equal(rows.outputs_before, before)
        np.testing.assert_array_equal(runs.params[run], raster.params)
        np.testing.assert_array_equal(runs.reset_outputs[run], result.reset_outputs)


def test_no_column_lies_in_a_heap(tmp_path: Path) -> None:
    """HDF5 writes its heap of strings when it likes; a kill then made the file impossible to append to."""
    path = tmp_path / "a.h5"
    write(path, [0, 1])
    with h5py.File(path) as file:
        for group in ("runs", "steps"):
            for name, data in file[group].items():
                assert data.dtype.kind != "O", name


def test_rows_come_in_run_order_whatever_the_order_of_recording(tmp_path: Path) -> None:
    _, steps, runs = read_recording(write(tmp_path / "x.h5", [2, 0, 1]))
    assert runs.run.tolist() == [0, 1, 2]
    assert steps.run.tolist() == [0] * 5 + [1] * 5 + [2] * 5
    np.testing.assert_array_equal(steps.take(steps.run == 2).inputs, sample(2)[0].inputs)
    np.testing.assert_array_equal(runs.params[1], sample(1)[0].params)


def test_recording_is_resumed(tmp_path: Path) -> None:
    path = write(tmp_path / "x.h5", [0, 1])
    with Recording(path, SPEC, {}) as recording:
        assert recording.done() == {0, 1}
    assert read_recording(write(path, [2]))[2].run.tolist() == [0, 1, 2]


def cut_rows(file: h5py.File) -> None:
    """Killed after the steps of run 2 were written, before its row in /runs."""
    for data in file["runs"].values():
        data.resize(2, axis=0)


def cut_one_column_of_runs(file: h5py.File) -> None:
    """Killed while the row in /runs was written."""
    file["runs/end"].resize(2, axis=0)


def cut_one_column_of_steps(file: h5py.File) -> None:
    """The row in /runs reached the disk, some column of its steps did not."""
    file["steps/supply_j"].resize(12, axis=0)


@pytest.mark.parametrize("cut", [cut_rows, cut_one_column_of_runs, cut_one_column_of_steps])
def test_what_a_kill_left_behind_is_cut_off(tmp_path: Path, cut: object) -> None:
    path = write(tmp_path / "x.h5", [0, 1, 2])
    with h5py.File(path, "a") as file:
        cut(file)  # type: ignore[operator]
    _, steps, runs = read_recording(path)
    assert runs.run.tolist() == [0, 1]
    assert len(steps) == 10
    with Recording(path, SPEC, {}) as recording:
        assert recording.done() == {0, 1}
    resumed, whole = (write(path, [2]), write(tmp_path / "y.h5", [0, 1, 2]))
    with h5py.File(resumed) as ours, h5py.File(whole) as theirs:
        for group in ("runs", "steps"):
            for name in theirs[group]:
                np.testing.assert_array_equal(ours[group][name][:], theirs[group][name][:])


APPEND = """
import sys
from pathlib import Path
from tests.simcore.test_recording import SPEC, sample
from simcore.recording import Recording
recording = Recording(Path(sys.argv[1]), SPEC, {"seed": 1})
for run in range(100_000):
    recording.append(run, "dense" if run % 2 else "sparse", *sample(run, 100), cpu_s=0.5)
    print(run, flush=True)
"""


@pytest.mark.parametrize("n_told", [3, 20])
def test_kill_in_the_middle_of_an_append_loses_that_run_only(tmp_path: Path, n_told: int) -> None:
    path = tmp_path / "x.h5"
    command = [sys.executable, "-c", APPEND, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(n_told):
            process.stdout.readline()
        time.sleep(0.003)
        process.kill()
        n_told += len(process.stdout.readlines())
    kept = read_recording(path)[2].run.tolist()
    assert kept == list(range(len(kept)))
    assert len(kept) - n_told in (0, 1)
    whole = write(tmp_path / "y.h5", kept, 100)
    for mine, theirs in zip(read_recording(path)[1:], read_recording(whole)[1:], strict=True):
        for name in mine.__slots__:
            np.testing.assert_array_equal(getattr(mine, name), getattr(theirs, name))


def test_full_disk_is_told_and_the_runs_before_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    message = r"cannot write to the recording .*x\.h5: .*File too large; \d+ runs are kept in it"
    with Recording(path, SPEC, {"seed": 1}) as recording:

        def append(run: int) -> None:
            recording.append(run, "sparse", *sample(run, 500), cpu_s=0.5)

        with file_size_limit(1_000_000), pytest.raises(DatasetError, match=message):
            list(map(append, range(1000)))
        kept = recording.done()
        run = len(kept)
        assert 2 < run < 1000
        assert read_recording(path)[2].run.tolist() == sorted(kept), "it can be read at once"
        append(run)
    _, steps, runs = read_recording(path)
    assert len(runs.run) == run + 1
    np.testing.assert_array_equal(steps.take(steps.run == run).inputs, sample(run, 500)[0].inputs)


def test_full_disk_at_the_start_is_told(tmp_path: Path) -> None:
    with (
        file_size_limit(10_000),
        pytest.raises(DatasetError, match=r"cannot write to the recording .*x\.h5: .*File too large"),
    ):
        Recording(tmp_path / "x.h5", SPEC, {"seed": 1})
    write(tmp_path / "x.h5", [0])


def test_append_that_was_interrupted_leaves_no_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while some columns have their rows and others have not: the next run goes where they were."""
    path, whole = tmp_path / "x.h5", write(tmp_path / "y.h5", [0, 2])
    resize, calls = h5py.Dataset.resize, []

    def interrupted(data: h5py.Dataset, *args: object, **options: object) -> None:
        calls.append(data)
        if len(calls) == 5:
            raise KeyboardInterrupt
        resize(data, *args, **options)

    with Recording(path, SPEC, {"seed": 1}) as recording:
        recording.append(0, "sparse", *sample(0), cpu_s=0.5)
        with monkeypatch.context() as patch:
            patch.setattr(h5py.Dataset, "resize", interrupted)
            with pytest.raises(KeyboardInterrupt):
                recording.append(1, "dense", *sample(1), cpu_s=0.5)
        recording.append(2, "sparse", *sample(2), cpu_s=0.5)
    for mine, theirs in zip(read_recording(path)[1:], read_recording(whole)[1:], strict=True):
        for name in mine.__slots__:
            np.testing.assert_array_equal(getattr(mine, name), getattr(theirs, name))


def test_locked_recording_is_not_moved_aside(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with (
        Recording(path, SPEC, {"seed": 1}),
        subprocess.Popen(
            [sys.executable, "-c", APPEND, str(path)], stderr=subprocess.PIPE, text=True
        ) as second,
    ):
        assert second.stderr is not None
        assert "cannot open the recording" in second.stderr.read()
    assert [found.name for found in tmp_path.iterdir()] == ["x.h5"]


def test_recording_of_another_circuit_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "x.h5", [0])
    with pytest.raises(DatasetError, match=r"x.h5 holds a recording of another circuit than leaky"):
        Recording(path, leaky(), {})


def test_file_that_is_no_recording_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    path.write_bytes(b"x" * 4000)
    with pytest.raises(DatasetError, match=r"cannot open the recording .*x.h5"):
        Recording(path, SPEC, {})
    with pytest.raises(DatasetError, match=r"x.h5: damaged recording"):
        read_recording(path)


def test_missing_recording_is_refused_with_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no recording at .*x.h5; make one with: simcore circuit record"):
        read_recording(tmp_path / "x.h5")


def test_newer_recording_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "x.h5", [0])
    with h5py.File(path, "a") as file:
        file.attrs["schema"] = 99
    with pytest.raises(DatasetError, match="schema 99 is newer than this program's 1"):
        read_recording(path)


@pytest.mark.parametrize("what", ["column", "spec"])
def test_damaged_recording_is_refused(tmp_path: Path, what: str) -> None:
    path = write(tmp_path / "x.h5", [0])
    with h5py.File(path, "a") as file:
        if what == "column":
            del file["steps/state"]
        else:
            file.attrs["spec"] = "{}"
    with pytest.raises(DatasetError, match=r"x.h5: damaged recording"):
        read_recording(path)


def test_empty_recording_has_no_rows(tmp_path: Path) -> None:
    _, steps, runs = read_recording(write(tmp_path / "x.h5", []))
    assert len(steps) == len(runs.run) == 0


def test_default_path_holds_the_sizes() -> None:
    assert default_path(SPEC) == Path("data/recordings/follower-2.h5")
    assert default_path(leaky()) == Path("data/recordings/leaky.h5")


def test_runs_of_other_settings_are_not_mixed_in(tmp_path: Path) -> None:
    path = write(tmp_path / "x.h5", [0])
    with pytest.raises(DatasetError, match=r"x.h5 was recorded with seed 1, got 2"):
        Recording(path, SPEC, {"seed": 2})
    with Recording(path, SPEC, {"seed": 1}) as recording:
        assert recording.done() == {0}

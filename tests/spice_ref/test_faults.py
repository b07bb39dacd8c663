"""What goes wrong, one by one: what is said, and that all other jobs of the call are finished."""

import logging
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simcore.errors import CircuitError, SolverError
from simcore.manifest import load_circuit
from simcore.recording import read_recording
from simcore.spec import CircuitSpec
from spice_ref.bank import Bench, SpiceBank
from spice_ref.cache import Cache, entries
from spice_ref.farm import Farm
from spice_ref.queue import JobQueue, open_queue
from spice_ref.record import record
from spice_ref.stimuli import draw_raster
from spice_ref.tasks import Point, Task
from tests.full_disk import file_size_limit
from tests.spice_ref.conftest import RC
from tests.spice_ref.tasks import Announce, Die, LastValue, Sleep

pytestmark = pytest.mark.spice

OpenBank = Callable[..., SpiceBank]

DECK = "* rc\nv1 a 0 1\nr1 a b 1k\nc1 b 0 1p\n"
TRAN = "\n.tran 1n 10n\n.end"
GOOD = [LastValue(f"{DECK}i1 0 b {k}m{TRAN}", 10_000, "b") for k in range(4)]
GOOD_ANSWERS = [1.0, 2.0, 3.0, 4.0]


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    """Two workers that go from test to test; those that a fault takes are replaced."""
    with Farm(2) as farm:
        yield farm


def bad(lines: str) -> LastValue:
    return LastValue(f"{DECK}{lines}{TRAN}", 10_000, "b", "a bad deck", "r=1, c=2")


def failed(farm: Farm, task: Task, folder: Path) -> SolverError:
    """Run a task that fails between good ones, all of which must be answered; the error."""
    answers: dict[int, Any] = {}
    queue = JobQueue(farm, failed=folder)
    found = queue.as_completed([*GOOD[:2], task, *GOOD[2:]])
    with pytest.raises(SolverError) as caught:
        answers.update((place, answer) for place, answer, _ in found)
    assert [answers[place] for place in (0, 1, 3, 4)] == pytest.approx(GOOD_ANSWERS)
    assert queue.n_jobs == 4
    return caught.value


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        pytest.param(
            "m1 a b 0 0 nosuch l=1u w=1u", r"does not parse; .*can't find model 'nosuch'", id="unknown model"
        ),
        pytest.param(
            "m1 a b 0 0 finfet l=1u\n.model finfet nmos level=72",
            r"of a level that this ngspice lacks, such as 72 \(BSIM-CMG\); .*m1 a b 0 0 finfet",
            id="level 72",
        ),
        pytest.param("v2 a 0 2", "no convergence.*Transient op failed", id="operating point of a transient"),
        pytest.param(
            "b1 b 0 i=time>5n?(v(b)>0?1e12:-1e12):0",
            'no convergence.*Timestep too small.*trouble with node "b"',
            id="time step too small",
        ),
        pytest.param("r2 a 0", "r2: resistance to low", id="resistor without value"),
        pytest.param("r2 a 0 {1k", r'does not parse; .*line no\. 5.*Closing "}" not found', id="braces"),
        pytest.param(".control\nquit\n.endc", "a command in the netlist quits ngspice", id="quit"),
    ],
)
def test_bad_deck_is_told_and_saved_and_all_others_run(
    farm: Farm, tmp_path: Path, lines: str, reason: str
) -> None:
    task = bad(lines)
    error = failed(farm, task, tmp_path)
    (row,) = error.triage
    assert (row.job, row.params) == ("a bad deck", "r=1, c=2")
    assert re.search(reason, row.reason), row.reason
    (saved,) = tmp_path.iterdir()
    assert saved.read_text() == task.deck
    assert row.deck == f"deck saved as {saved}"
    assert str(error) == f"a bad deck (r=1, c=2): {row.reason}; {row.deck}"


def test_failed_operating_point(farm: Farm, tmp_path: Path) -> None:
    error = failed(farm, Point(f"{DECK}v2 a 0 2\n.op\n.end", "rc reset"), tmp_path)
    assert re.match("rc reset: no convergence, or a device that ngspice refuses; .*failed", str(error))


def test_hanging_solver_is_told_after_its_time(tmp_path: Path) -> None:
    with Farm(2, timeout_s=0.7) as farm:
        error = failed(farm, Sleep(60.0, params="r=1"), tmp_path)
    (row,) = error.triage
    assert (row.job, row.params, row.reason) == (
        "a task that hangs", "r=1", "no answer within 0.7 s, 3 times",
    )  # fmt: skip


def test_crashing_worker_is_told_after_three_tries(farm: Farm, tmp_path: Path) -> None:
    error = failed(farm, Die(params="r=1"), tmp_path)
    (row,) = error.triage
    assert (row.job, row.params, row.reason) == (
        "a task that kills its worker", "r=1", "its worker process crashed, 3 times",
    )  # fmt: skip


def test_killed_worker_is_replaced_and_its_job_answered(farm: Farm, tmp_path: Path) -> None:
    mark = tmp_path / "pids"

    def kill_first() -> None:
        while not (mark.exists() and mark.read_text().endswith("\n")):
            time.sleep(0.02)
        os.kill(int(mark.read_text()), signal.SIGKILL)

    killer = threading.Thread(target=kill_first)
    killer.start()
    answers = JobQueue(farm).map([*GOOD, Announce(mark, 0.5)])
    killer.join()
    first, second = map(int, mark.read_text().split())
    assert answers[:4] == pytest.approx(GOOD_ANSWERS)
    assert answers[4] == second != first


def test_missing_include_is_told_with_file_and_line(folder: Callable[..., Path]) -> None:
    place = folder(("Vdd  vdd", '.include "nowhere.lib"\nVdd  vdd'))
    message = (
        rf'{place}/rc\.cir, line 3: \.include "nowhere\.lib": cannot read the include {place}/nowhere\.lib: '
    )
    with pytest.raises(CircuitError, match=message):
        load_circuit(str(place))


@pytest.mark.parametrize("command", ["quit", "set ngbehavior=hs\nset num_threads=8"])
def test_commands_in_a_netlist_are_refused(
    folder: Callable[..., Path], opened: OpenBank, command: str
) -> None:
    spec = load_circuit(str(folder((".ends rc", f".ends rc\n.control\n{command}\n.endc"))))
    with pytest.raises(CircuitError, match=r"rc: the netlist has a \.control block, .* take it out"):
        opened(spec)


def test_commands_that_break_a_deck_break_no_later_one(farm: Farm) -> None:
    queue = JobQueue(farm)
    commands = "run\nalter r1=2k\noption reltol=0.5\nset temp=100\ndestroy all\nremcirc"
    decks = [LastValue(f"{DECK}.control\n{commands}\n.endc\n* {k}{TRAN}", 10_000, "b") for k in range(2)]
    before = JobQueue(farm).map(GOOD)
    with pytest.raises(SolverError):
        queue.map(decks)
    assert queue.map(GOOD) == before


def test_jobs_of_two_kinds_on_one_deck_are_two(farm: Farm) -> None:
    pid, answer = JobQueue(farm).map([Sleep(0.0), Die(Path(__file__))])
    assert isinstance(pid, int)
    assert answer == "survived"


def test_slow_caller_makes_no_job_hang(tmp_path: Path) -> None:
    """An answer that waits to be taken is no time-out."""
    marks = [tmp_path / "1", tmp_path / "2"]
    with JobQueue(Farm(2, timeout_s=1.0)) as queue:
        queue.map([Sleep(0.0), Sleep(0.1, deck="* 2")])  # both workers are up
        for _ in queue.as_completed([Announce(marks[0], 0.0), Announce(marks[1], 0.3, deck="* 2")]):
            time.sleep(1.2)
    assert [len(mark.read_text().split()) for mark in marks] == [1, 1]


def replayed(spec: CircuitSpec, queue: JobQueue, runs: int = 3) -> list[bytes]:
    """The answers of some runs, as bytes."""
    bench = Bench(spec, "std", queue)
    rasters = [draw_raster(spec, run, 12, 1, None)[1] for run in range(runs)]
    traces = {place: trace for place, trace, _ in bench.replay(rasters)}
    return [b"".join(array.tobytes() for array in traces[k].pack().values()) for k in range(runs)]


@pytest.mark.parametrize("fault", ["below a file", "disk full"])
def test_cache_that_cannot_be_written_warns_once(
    rc: CircuitSpec, farm: Farm, tmp_path: Path, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    expected = replayed(rc, JobQueue(farm))
    (tmp_path / "file").touch()
    cache = Cache(tmp_path / ("file/cache" if fault == "below a file" else "cache"), farm.version)
    queue = JobQueue(farm, cache)
    with file_size_limit(100 if fault == "disk full" else resource.RLIM_INFINITY):
        assert replayed(rc, queue) == expected
    (warning,) = caplog.records
    assert (warning.name, warning.levelno) == ("simcore.cache", logging.WARNING)
    assert re.match(r"cannot write to the cache .*; results go on without it", warning.getMessage())
    assert list(entries(cache.folder)) == [], "nothing half written is left"


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty"])
def test_damaged_cache_entry_is_dropped_and_computed_again(
    rc: CircuitSpec, farm: Farm, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    cache = Cache(tmp_path / "cache", farm.version)
    expected = replayed(rc, JobQueue(farm, cache))
    path = next(entries(cache.folder)).path
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes({"flip": data, "truncate": data[:-9], "empty": b""}[damage])
    queue = JobQueue(farm, cache)
    assert replayed(rc, queue) == expected
    (warning,) = caplog.records
    why = r"its checksum does not fit" if damage == "flip" else r".+"
    dropped = rf"damaged cached result {re.escape(str(path))} dropped \({why}\); it is computed again"
    assert re.fullmatch(dropped, warning.getMessage())
    assert queue.n_cached == 2
    queue = JobQueue(farm, cache)
    assert replayed(rc, queue) == expected
    assert queue.n_cached == 3, "it was stored again"


RECORD = """
import sys
from pathlib import Path
from simcore.manifest import load_circuit
from spice_ref.record import record
record(load_circuit(sys.argv[1]), Path(sys.argv[2]), runs=4, steps=12, workers=1, cache=sys.argv[3])
"""


def test_two_processes_share_a_cache(rc: CircuitSpec, tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    outs = [tmp_path / "a.h5", tmp_path / "b.h5"]
    both = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", RECORD, str(RC), str(out), str(folder)])
        for out in outs
    ]
    assert [process.wait() for process in both] == [0, 0]
    (_, a, _), (_, b, _) = map(read_recording, outs)
    for name in a.__slots__:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert {entry.path.suffix for entry in entries(folder)} == {".h5"}
    with open_queue(1, cache=str(folder)) as queue:
        replayed(rc, queue, 4)
        assert queue.n_cached == 4, "all entries are whole"


FULL = """
import resource, sys
from pathlib import Path
from simcore import cli
out = Path(sys.argv[-1])
room = out.stat().st_size + 1000
resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
cli.main()
"""


def test_disk_full_while_recording_is_told_and_what_was_recorded_stays(
    rc: CircuitSpec, tmp_path: Path
) -> None:
    out = tmp_path / "a.h5"
    record(rc, out, runs=2, steps=12, workers=1)
    arguments = ["circuit", "record", str(RC), "--runs", "4", "--steps", "12", "--workers", "1", "--out", out]
    full = subprocess.run([sys.executable, "-c", FULL, *arguments], capture_output=True, text=True)
    assert full.returncode == 2, full.stderr
    message = rf"error: cannot write to the recording {out}: .*File too large; 2 runs are kept in it"
    assert re.search(message, full.stderr), full.stderr
    assert "Traceback" not in full.stderr
    assert read_recording(out)[2].run.tolist() == [0, 1]
    record(rc, out, runs=4, steps=12, workers=1)
    assert read_recording(out)[2].run.tolist() == [0, 1, 2, 3]

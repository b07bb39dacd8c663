"""A solver process and its surroundings: its parent is killed, the user has files that ngspice would read."""

import contextlib
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from spice_ref.farm import Farm
from spice_ref.queue import JobQueue
from tests.spice_ref.tasks import LastValue, Read

pytestmark = pytest.mark.spice

PARENT = """
import sys
from pathlib import Path
from spice_ref.farm import Farm
from spice_ref.queue import JobQueue
from tests.spice_ref.tasks import Endless
JobQueue(Farm(1)).map([Endless(Path(sys.argv[1]))])
"""
LEAVES_S = 20.0


def told(pipe: int, within_s: float) -> bytes:
    """What a FIFO gives next; nothing once no process has it open any more."""
    ready, _, _ = select.select([pipe], [], [], within_s)
    assert ready, f"nothing within {within_s} s"
    return os.read(pipe, 100)


def test_solver_whose_parent_is_killed_ends_by_itself(tmp_path: Path) -> None:
    """It sits in ngspice and never looks at its pipe again."""
    mark = tmp_path / "mark"
    os.mkfifo(mark)
    pipe = os.open(mark, os.O_RDONLY | os.O_NONBLOCK)
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(mark)])
    orphan = int(told(pipe, 60.0))
    try:
        parent.kill()
        parent.wait()
        assert told(pipe, LEAVES_S) == b"", "it is gone"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(orphan, signal.SIGKILL)
        os.close(pipe)


DIODE = LastValue(
    "* rc and diode\nv1 a 0 pulse(0 1 0 0.1n 0.1n 3n 7n)\nr1 a b 1k\nc1 b 0 1p\nd1 b 0 dd\n"
    ".model dd d is=1e-14\n.tran 0.1n 20n\n.end",
    20_000, "b",
)  # fmt: skip
SPICEINIT = "option temp=100\nset num_threads=8\n"
ALONE = f"""
from spice_ref.ngspice import Solver
print(Solver().run({DIODE.deck!r})["b"][-1])
"""


def test_spiceinit_of_the_user_changes_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with JobQueue(Farm(1)) as queue:
        expected = queue.map([DIODE])
    (tmp_path / ".spiceinit").write_text(SPICEINIT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    with JobQueue(Farm(1)) as queue:
        assert queue.map([DIODE]) == expected
    alone = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=True)
    assert abs(float(alone.stdout) - expected[0]) > 0.001, "without care it would have"


def test_solver_starts_beside_a_spiceinit_that_says_nothing() -> None:
    """ngspice then looks for none in the home folder, which is that of the password database."""
    with JobQueue(Farm(1)) as queue:
        (text,) = queue.map([Read(Path(".spiceinit"))])
    assert all(line.startswith("*") for line in text.splitlines())

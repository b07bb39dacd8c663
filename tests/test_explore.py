"""`simcore explore` as users call it: digits on closed forms, on real Dask workers; killed and resumed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.conftest import Outcome

SCENARIOS = Path(__file__).parents[1] / "scenarios"
SWEEP = """
base = "{base}"
[study]
objectives = ["energy:min", "accuracy:max"]
samples = 2
[axes]
backend.default = ["ideal"]
architecture.options.bits = [2, 3, 4, 5, 6, 7, 8, 9]
"""


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """A sweep over the converters of the digits' crossbar, on closed forms."""
    file = tmp_path / "bits.toml"
    file.write_text(SWEEP.format(base=SCENARIOS / "digits_crossbar.toml"))
    return file


@pytest.mark.slow
def test_explore_writes_what_it_found(simcore: Callable[..., Outcome], sweep: Path, tmp_path: Path) -> None:
    found = simcore("explore", sweep, "--workers", 1, "--out", tmp_path / "out")
    assert found.code == 0, found.err
    assert "8 trials, 8 keep the constraints, 0 failed" in found.out
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"study.db", "explore.html", "trials.csv", "best"}


@pytest.mark.slow
def test_a_killed_study_goes_on_with_two_processes_and_runs_nothing_twice(
    simcore: Callable[..., Outcome], sweep: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = start(sweep, out)
    while count(out) < 2:
        assert first.poll() is None, first.communicate()
        time.sleep(0.05)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    before = count(out)
    both = [start(sweep, out), start(sweep, out)]
    for process in both:
        _, said = process.communicate(timeout=240)
        assert process.returncode == 0, said
    with sa.create_engine(f"sqlite:///{out / 'study.db'}").connect() as link:
        points = link.execute(sa.text("select params, owner from simcore_claims where done")).all()
        finished = link.execute(
            sa.text("select count(*) from trials where state = 'COMPLETE'")
        ).scalar_one()  # one for each point: none was run twice
    assert before >= 2
    assert len(points) == len({row.params for row in points}) == finished == 8
    assert "8 trials" in simcore("explore", sweep, "--out", out).out


def start(sweep: Path, out: Path) -> "subprocess.Popen[str]":
    """Start `simcore explore` in a process of its own."""
    command = ["-c", "from simcore.cli import main; main()", "explore", str(sweep), "--workers", "1"]
    return subprocess.Popen(
        [sys.executable, *command, "--out", str(out)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def count(out: Path) -> int:
    """Return how many trials of a study are finished."""
    if not (out / "study.db").exists():
        return 0
    engine = sa.create_engine(f"sqlite:///{out / 'study.db'}")
    try:
        with engine.connect() as link:
            return int(link.execute(sa.text("select count(*) from simcore_claims where done")).scalar_one())
    except sa.exc.OperationalError:  # its tables are not there yet
        return 0
    finally:
        engine.dispose()

"""The queue on a farm of solver processes: order, crashes, time-outs, and what a user is told."""

from pathlib import Path

import pytest

from simcore.errors import SolverError
from spice_ref.farm import Farm
from spice_ref.queue import JobQueue
from tests.spice_ref.tasks import Die, LastValue, Sleep

pytestmark = pytest.mark.spice

RC = "* rc\nv1 a 0 1\nr1 a b 1k\nc1 b 0 1p\n"


def test_answers_come_in_the_order_of_the_tasks() -> None:
    decks = [f"{RC}i1 0 b {k}m\n.tran 1n 10n\n.end" for k in range(5)]
    with JobQueue(Farm(2)) as queue:
        answers = queue.map([LastValue(deck, 10_000, "b") for deck in decks])
        assert answers == pytest.approx([1.0, 2.0, 3.0, 4.0, 5.0])
        assert queue.n_jobs == 5
        assert queue.cpu_s > 0


def test_workers_share_the_work_and_persist() -> None:
    with JobQueue(Farm(2)) as queue:
        first = set(queue.map([Sleep(0.2, deck=f"* {i}") for i in range(4)]))
        assert len(first) == 2
        assert set(queue.map([Sleep(0.2, deck=f"* {i}") for i in range(4)])) == first


def test_crashed_worker_is_replaced_and_its_task_retried(tmp_path: Path) -> None:
    with JobQueue(Farm(2)) as queue:
        answers = queue.map([Sleep(0.0, deck="* 1"), Die(tmp_path / "died"), Sleep(0.0, deck="* 2")])
    assert answers[1] == "survived"


def test_task_that_always_crashes_is_reported_with_its_deck(tmp_path: Path) -> None:
    with JobQueue(Farm(1), failed=tmp_path) as queue:
        with pytest.raises(
            SolverError, match=r"kills its worker: .* crashed, 3 times; deck saved as .*\.cir"
        ):
            queue.map([Die()])
        assert [deck.read_text() for deck in tmp_path.iterdir()] == ["* a deck"]
        assert len(queue.map([Sleep(0.0)])) == 1, "the farm goes on"


def test_hung_task_is_reported_after_its_time(tmp_path: Path) -> None:
    with (
        JobQueue(Farm(1, timeout_s=0.3), failed=tmp_path) as queue,
        pytest.raises(SolverError, match=r"a task that hangs: no answer within 0\.3 s, 3 times"),
    ):
        queue.map([Sleep(60.0)])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("m1 a b 0 0 nosuch l=1u w=1u", "does not parse; .*can't find model 'nosuch'"),
        ("r2 a 0 {1k", 'does not parse; .*Closing "}" not found'),
        ("r2 a 0 {foo}", r"does not parse; .*Undefined parameter \[foo\]"),
        ("x1 a 0 nosuch", "does not parse; .*unknown subckt: x1 a 0 nosuch"),
        ("r2 a 0", "resistance to low"),
        ("v2 a 0 2", "no convergence, or a device that ngspice refuses"),
    ],
)
def test_deck_that_cannot_run_is_told_once_with_the_reason(lines: str, message: str, tmp_path: Path) -> None:
    with JobQueue(Farm(1), failed=tmp_path) as queue:
        with pytest.raises(SolverError, match=message):
            queue.map([LastValue(f"{RC}{lines}\n.tran 1n 10n\n.end", 10_000, "b")])
        good = LastValue(f"{RC}.tran 1n 10n\n.end", 10_000, "b")
        assert queue.map([good]) == pytest.approx([1.0], rel=1e-3), "a bad deck poisons no later one"


def test_transient_that_stops_early_is_reported(tmp_path: Path) -> None:
    deck = f"{RC}b1 b 0 i=time>5n?(v(b)>0?1e12:-1e12):0\n.tran 1n 10n\n.end"
    with (
        JobQueue(Farm(1), failed=tmp_path) as queue,
        pytest.raises(SolverError, match=r"no convergence, .*ngspice says: .*too small"),
    ):
        queue.map([LastValue(deck, 10_000, "b")])


def test_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NGSPICE_LIBRARY_PATH", "/nowhere/libngspice.so")
    message = "cannot load ngspice's library /nowhere/libngspice.so .*apt-get install libngspice0"
    with JobQueue(Farm(1)) as queue, pytest.raises(SolverError, match=message):
        queue.map([Sleep(0.0)])

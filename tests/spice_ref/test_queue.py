"""The queue's own rules, on pools that solve nothing: when it goes on, when it stops, what is told."""

import itertools
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from simcore.errors import SolverError
from spice_ref.cache import Cache
from spice_ref.farm import Outcome
from spice_ref.queue import AT_ONCE, HOPELESS, JobQueue
from spice_ref.tasks import Point, Task
from tests.spice_ref.tasks import LastValue


class Scripted:
    """A pool where jobs whose deck says `bad` fail; remembers whether it was left properly."""

    version = "39"
    left = False

    def as_completed(self, tasks: Iterable[Task]) -> Generator[Outcome]:
        try:
            for place, task in enumerate(tasks):
                yield Outcome(place, {"a": 1.0}, 0.5, "as always" if "bad" in task.deck else None)
        finally:
            self.left = True

    def close(self) -> None: ...


def test_failures_without_success_stop_the_queue(tmp_path: Path) -> None:
    pool = Scripted()
    asked: list[int] = []

    def tasks() -> Iterator[Task]:
        for k in range(100):
            asked.append(k)
            yield LastValue(f"bad {k}", 0, "b")

    message = rf"{HOPELESS} solver jobs failed, 0 were finished; the first: last value: as always; deck saved"
    with pytest.raises(SolverError, match=message) as caught:
        list(JobQueue(pool, failed=tmp_path).as_completed(tasks()))
    assert len(caught.value.triage) == len(asked) == len(list(tmp_path.iterdir())) == HOPELESS
    assert pool.left, "the workers are free though the error is still held"


def test_one_success_lets_all_failures_be_told(tmp_path: Path) -> None:
    tasks = [LastValue("good", 0, "b"), *(LastValue(f"bad {k}", 0, "b") for k in range(20))]
    queue = JobQueue(Scripted(), failed=tmp_path)
    with pytest.raises(SolverError, match="20 solver jobs failed, 1 were finished; the first: ") as caught:
        queue.map(tasks)
    assert len(caught.value.triage) == 20
    assert queue.cpu_s == pytest.approx(10.5)


class Ahead(Scripted):
    """The same with twelve jobs under way: a job is taken for each that is answered."""

    def as_completed(self, tasks: Iterable[Task]) -> Generator[Outcome]:
        source = enumerate(tasks)
        under_way = deque(itertools.islice(source, 12))
        while under_way:
            place, task = under_way.popleft()
            for outcome in super().as_completed([task]):
                yield replace(outcome, place=place)
            under_way.extend(itertools.islice(source, 1))


@pytest.mark.parametrize("good", [[0, 25], [8, 25], [11, 99], [11, *range(40, 99)]])
def test_success_among_the_jobs_under_way_lets_the_queue_go_on(tmp_path: Path, good: list[int]) -> None:
    """However late the first success comes, all other jobs are run."""
    tasks = [LastValue(f"{'good' if k in good else 'bad'} {k}", 0, "b") for k in range(100)]
    queue = JobQueue(Ahead(), failed=tmp_path)
    failed: list[int] = []
    answered: list[int] = []
    with pytest.raises(SolverError, match=f"{100 - len(good)} solver jobs failed, {len(good)} were finished"):
        answered += (place for place, _, _ in queue.as_completed(tasks, failed.append))
    assert answered == good
    assert failed == [k for k in range(100) if k not in good]


def test_no_success_among_the_jobs_under_way_ends_the_queue(tmp_path: Path) -> None:
    """Eleven are under way when the eighth has failed."""
    tasks = [LastValue(f"bad {k}", 0, "b") for k in range(100)]
    with pytest.raises(SolverError, match="19 solver jobs failed, 0 were finished"):
        JobQueue(Ahead(), failed=tmp_path).map(tasks)


@pytest.mark.parametrize("missing", [[], [0], [150], [*range(0, 250, 7)]])
def test_stored_answers_are_handed_on_before_all_are_read(tmp_path: Path, missing: list[int]) -> None:
    cache = Cache(tmp_path, "39")
    tasks = [Point(f"* {k % 250}", "reset") for k in range(300)]  # the last 50 are the first ones again
    for k in range(250):
        if k not in missing:
            cache.put(tasks[k], {"a": float(k)}, 0.5)
    asked: list[int] = []

    def asking() -> Iterator[Task]:
        for k, task in enumerate(tasks):
            asked.append(k)
            yield task

    queue = JobQueue(Ahead(), cache)
    found = queue.as_completed(asking())
    first = next(found)
    assert len(asked) <= AT_ONCE + 12 or 0 in missing
    answers = {place: answer for place, answer, _ in [first, *found]}
    assert sorted(answers) == [*range(300)]
    assert all(answers[k] == {"a": float(k % 250)} for k in range(300) if k % 250 not in missing)
    assert (queue.n_jobs, queue.n_cached) == (250, 250 - len(missing))


def test_deck_that_cannot_be_saved_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SolverError, match=r"as always; deck not saved: .*file"):
        JobQueue(Scripted(), failed=tmp_path / "file" / "below").map([LastValue("bad", 0, "b")])

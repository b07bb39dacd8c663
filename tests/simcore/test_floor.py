"""Shared digital parts: arrays of times against a SimPy model, turn by turn, and a schedule by hand."""

from collections.abc import Iterator

import numpy as np
import pytest
import simpy

from simcore.architecture import Work
from simcore.digital import Component
from simcore.floor import Floor

NS = 1e-9
PARTS = {
    "link": Component(what="", latency_s=1 * NS, source=""),
    "read": Component(what="", latency_s=2 * NS, source=""),
    "add": Component(what="", latency_s=0.5 * NS, source=""),
}
PATH = ("link", "read", "add")


def floor(n_lanes: int = 1, *, contention: bool = True, spans: bool = False) -> Floor:
    return Floor(PARTS, n_lanes, contention=contention, spans=spans)


def deliver(
    at: Floor, ready: list[float], links: list[list[float]], reads: list[list[float]], due: float = np.inf
) -> None:
    """Take in one delivery; lanes without a turn are not active."""
    work = (Work("link", np.array(links)), Work("read", np.array(reads)))
    active = (np.array(links) + np.array(reads).sum(axis=1, keepdims=True)).sum(axis=1) > 0
    at.take_in("a", PATH, work, np.array(ready) * NS, due * NS, active)


def test_a_schedule_drawn_by_hand() -> None:
    """One link of 1 ns, two memories of 2 ns a read; deliveries at 0 and 5 ns.

    0..3 link, 3..9 memory 0 (3 reads), 3..5 memory 1 (1 read), addition until 9.5.
    5..6 link, then memory 0 is taken until 9: 9..11; memory 1 is free: 6..10; addition until 11.5.
    """
    one = floor(spans=True)
    deliver(one, [0.0], [[3.0]], [[3.0, 1.0]], due=9.5)
    deliver(one, [5.0], [[1.0]], [[1.0, 2.0]], due=10.0)
    totals = one.totals()["a"]
    np.testing.assert_allclose(totals.done_s, [11.5 * NS], rtol=1e-12)
    np.testing.assert_allclose(totals.wait_s, [3 * NS], rtol=1e-12)
    np.testing.assert_allclose(totals.busy_s, [(3 + 6 + 2 + 1 + 2 + 4) * NS], rtol=1e-12)
    assert totals.missed.tolist() == [1]
    spans = [
        (x.component, x.part, *(round(t / NS, 6) for t in (x.asked_s, x.start_s, x.end_s))) for x in one.spans
    ]
    assert spans == [
        ("link", 0, 0, 0, 3), ("read", 0, 3, 3, 9), ("read", 1, 3, 3, 5),
        ("link", 0, 5, 5, 6), ("read", 0, 6, 9, 11), ("read", 1, 6, 6, 10),
    ]  # fmt: skip


def test_without_contention_nobody_waits_and_a_path_is_the_sum_of_its_latencies() -> None:
    one = floor(2, contention=False)
    deliver(one, [0.0, 4.0], [[30.0], [1.0]], [[9.0, 9.0], [1.0, 0.0]])
    totals = one.totals()["a"]
    assert one.series_s(PATH) == pytest.approx(3.5 * NS)
    np.testing.assert_allclose(totals.done_s, [3.5 * NS, 7.5 * NS], rtol=1e-12)
    assert not totals.wait_s.any()


def test_idle_lanes_take_no_part() -> None:
    one = floor(2)
    deliver(one, [0.0, 9.0], [[1.0], [0.0]], [[1.0], [0.0]])
    totals = one.totals()["a"]
    assert totals.done_s[1] == 0.0
    assert totals.busy_s[1] == 0.0


def action_by_action(ready: np.ndarray, links: np.ndarray, reads: np.ndarray) -> tuple[float, float]:
    """Return when the last delivery of one lane is done and how long requests waited, from SimPy resources.

    Time in picoseconds; each turn is an event of its own.
    """
    env = simpy.Environment()
    parts = {("link", 0): simpy.Resource(env)} | {
        ("read", i): simpy.Resource(env) for i in range(reads.shape[1])
    }
    turn_ps = {"link": 1000, "read": 2000}
    waits, ends = [], []

    def request(component: str, part: int, turns: int) -> Iterator[simpy.Event]:
        asked = env.now
        with parts[component, part].request() as mine:
            yield mine
            waits.append(env.now - asked)
            for _ in range(turns):
                yield env.timeout(turn_ps[component])

    def delivery(k: int) -> Iterator[simpy.Event]:
        yield env.timeout(int(ready[k]))
        yield env.process(request("link", 0, int(links[k])))
        yield env.all_of([env.process(request("read", i, int(n))) for i, n in enumerate(reads[k]) if n])
        yield env.timeout(500)
        ends.append(env.now)

    for k in range(len(ready)):
        env.process(delivery(k))
    env.run()
    return max(ends), sum(waits)


@pytest.mark.parametrize("seed", range(6))
def test_all_lanes_at_once_equal_a_simpy_model_of_each(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n_lanes, n_deliveries, n_parts = 4, 12, 3
    ready_ps = np.cumsum(rng.integers(0, 9000, (n_deliveries, n_lanes)), axis=0)
    links = rng.integers(1, 4, (n_deliveries, n_lanes, 1))
    reads = rng.integers(0, 4, (n_deliveries, n_lanes, n_parts))
    reads[:, :, 0] += 1
    one = floor(n_lanes)
    for k in range(n_deliveries):
        deliver(one, (ready_ps[k] / 1000).tolist(), links[k].tolist(), reads[k].tolist())
    totals = one.totals()["a"]
    for lane in range(n_lanes):
        done_ps, wait_ps = action_by_action(ready_ps[:, lane], links[:, lane, 0], reads[:, lane])
        assert totals.done_s[lane] == pytest.approx(done_ps * 1e-12, rel=1e-9)
        assert totals.wait_s[lane] == pytest.approx(wait_ps * 1e-12, rel=1e-9, abs=1e-18)

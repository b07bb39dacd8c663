"""RunAhead: layer after layer gives the ledger of LockStep, for banks that step and for banks that replay."""

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from simcore import load_scenario, run
from simcore.architecture import Batch, Network
from simcore.bank import BatchAnswer, OpenLoop, Raster, RasterBatch, RasterResult, StepInput
from simcore.engine import BankSlot, Engine
from simcore.errors import ScenarioError
from simcore.ledger import LayerTotals, Ledger, TraceRows
from simcore.replay import joined, split_answer, stepped, stepped_batch
from simcore.schedule import has_feedback, lock_step, run_ahead
from surrogates.runtime import SurrogateBank
from tests.simcore.fakes import FakeBank, Relay, Script, follower, leaky
from tests.simcore.test_schedule import PERIOD_PS, Watch, pulse
from tests.test_scenarios import SCENARIOS

N_STEPS = 24


class Replaying(FakeBank):
    """A bank that can also answer whole rasters; each starts from reset."""

    def replay(
        self, rasters: list[Raster], progress: Callable[[float], None] = lambda _: None
    ) -> list[RasterResult]:
        batch = joined(rasters)
        return split_answer(self.answer(batch, progress), batch.starts)

    def answer(self, batch: RasterBatch, progress: Callable[[float], None]) -> BatchAnswer:
        bank = FakeBank(self.spec, batch.params.take())
        reset = bank.reset()
        return BatchAnswer(
            np.zeros((len(reset), 1)), reset, stepped_batch(bank, batch, progress), bank.counters()
        )


class Batched(Replaying):
    """The same without an object per unit."""

    def replay_batch(
        self,
        batch: RasterBatch,
        progress: Callable[[float], None] = lambda _: None,
        *,
        states: bool = True,
    ) -> BatchAnswer:
        return self.answer(batch, progress)


class Sum:
    """A stage that drives both inputs of a follower with what the sources' units show."""

    path: tuple[str, ...] = ()

    def deliver(self, step: int, sources: tuple) -> object:
        script = Script({step: ([0], [[float(sources[0].fired.sum()), sources[0].outputs.sum()]])}, n_in=2)
        return script.deliver(step, sources)


def network(delay: int = 1) -> Network:
    """Two pulse layers that share a bank and a level layer behind them."""
    rng = np.random.default_rng(3)
    drive = {k: ([0, 1], rng.uniform(0, 3, (2, 1)).tolist()) for k in range(0, N_STEPS, 3)}
    drive[4] = ([1], [[99.0]])
    layers = (
        pulse("a", Script(drive), 2),
        pulse("b", Relay("b", 1.5), 2, sources=("a",), delay_periods=delay),
        replace(pulse("c", Sum()), circuit="follower", sources=("b",), hold_periods=2),
    )
    return Network(layers, Watch(), N_STEPS)


def simulate(
    kind: type[FakeBank], ahead: bool, merge: bool = True, delay: int = 1
) -> tuple[dict[str, LayerTotals], dict[str, TraceRows], list[int], dict[str, dict[str, int]]]:
    built = network(delay)
    slots = [
        BankSlot(kind(leaky(), np.ones((4, 1))), built.layers[:2]),
        BankSlot(kind(follower(), np.full((1, 2), 0.25)), built.layers[2:]),
    ]
    ledger = Ledger({x.name: x.n_units for x in built.layers}, 1, trace=True)
    engine = Engine(slots, 1, ledger, merge_idle=merge, by_layer=ahead)
    if ahead:
        run_ahead(built, engine, ledger, lambda _: None)
    else:
        lock_step(built, engine, ledger, PERIOD_PS, lambda: None)
    per_layer = engine.counters().items()
    counters = {layer: {name: int(n.sum()) for name, n in counts.items()} for layer, counts in per_layer}
    return ledger.totals(), ledger.trace(), built.readout.fired, counters


@pytest.mark.parametrize("kind", [FakeBank, Replaying, Batched])
@pytest.mark.parametrize(("merge", "delay"), [(True, 1), (True, 3), (False, 1)])
def test_run_ahead_gives_the_same_ledger(kind: type[FakeBank], merge: bool, delay: int) -> None:
    totals, rows, fired, counters = simulate(FakeBank, False, merge, delay)
    ahead, ahead_rows, ahead_fired, ahead_counters = simulate(kind, True, merge, delay)
    assert fired == ahead_fired
    assert counters == ahead_counters
    assert counters["a"]["out_of_range"] == 1
    assert totals["b"].fired.sum() > 0
    for name in totals:
        for field in fields(LayerTotals):
            np.testing.assert_equal(getattr(totals[name], field.name), getattr(ahead[name], field.name))
        for column in TraceRows.__slots__:
            np.testing.assert_array_equal(getattr(rows[name], column), getattr(ahead_rows[name], column))


def test_bank_that_can_replay_is_not_stepped() -> None:
    built = network()
    bank = Replaying(leaky(), np.ones((4, 1)))
    level = FakeBank(follower(), np.full((1, 2), 0.25))
    assert isinstance(bank, OpenLoop)
    slots = [BankSlot(bank, built.layers[:2]), BankSlot(level, built.layers[2:])]
    ledger = Ledger({x.name: x.n_units for x in built.layers}, 1)
    engine = Engine(slots, 1, ledger, merge_idle=True, by_layer=True)
    shares: list[float] = []
    run_ahead(built, engine, ledger, shares.append)
    assert bank.calls == []
    assert level.calls
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)


def test_layers_may_stand_in_any_order() -> None:
    built = network()
    turned = replace(built, layers=built.layers[::-1])
    assert not has_feedback(turned)


@pytest.mark.parametrize("backend", ["ideal", "surrogate", "annotate"])
@pytest.mark.parametrize("name", ["digits_spiking", "digits_crossbar"])
def test_whole_networks_agree_exactly(name: str, backend: str, neuron_bundle: Path) -> None:
    scenario = load_scenario(SCENARIOS / f"{name}.toml", ["samples=3"]).with_backend(backend)
    if (backend, name) == ("annotate", "digits_spiking"):
        scenario = scenario.with_options(backend, {"family": str(neuron_bundle)})
    lock, ahead = (
        run(scenario.model_copy(update={"schedule": schedule})) for schedule in ("lock_step", "run_ahead")
    )
    np.testing.assert_array_equal(lock.scores, ahead.scores)
    for layer, columns in lock.layer_columns.items():
        for column, values in columns.items():
            np.testing.assert_array_equal(values, ahead.layer_columns[layer][column], err_msg=column)


def looped(built: Network, _: Batch) -> Network:
    """Make the first layer read the last one."""
    first, *rest = built.layers
    closing = replace(first, stage=Deaf(first.stage), sources=(rest[-1].name,))
    return replace(built, layers=(closing, *rest))


class Deaf:
    """A stage that ignores the source which closes the loop."""

    def __init__(self, stage: object) -> None:
        self._stage = stage
        self.path: tuple[str, ...] = ()

    def deliver(self, step: int, sources: tuple) -> object:
        return self._stage.deliver(step, ())


def test_run_ahead_with_feedback_is_refused_with_the_loop() -> None:
    scenario = load_scenario(SCENARIOS / "digits_spiking.toml", ["samples=1", "schedule=run_ahead"])
    with pytest.raises(ScenarioError, match=r"needs a network without feedback.*loop: .*inputs.*lock_step"):
        run(scenario.with_backend("ideal"), rewire=looped)


def test_feedback_runs_in_lock_step_by_itself() -> None:
    scenario = load_scenario(SCENARIOS / "digits_spiking.toml", ["samples=1"]).with_backend("surrogate")
    plain, ring = run(scenario), run(scenario, rewire=looped)
    np.testing.assert_array_equal(plain.scores, ring.scores)


def test_row_j_of_all_rasters_is_stepped_together() -> None:
    bank = FakeBank(leaky(), np.ones((2, 1)))
    bank.reset()
    driven, idle = np.array([[1.5]]), np.array([[0.0]])
    rasters = [
        Raster(np.ones(1), np.array([1000, 3000]), np.vstack([driven, idle]), np.array([False, True])),
        Raster(np.ones(1), np.array([1000]), driven, np.array([False])),
    ]
    first, second = stepped(bank, rasters)
    assert [len(call.units) for call in bank.calls] == [2, 1]
    assert isinstance(bank.calls[0], StepInput)
    assert first.fired.tolist() == [True, False]
    assert second.fired.tolist() == [True]


@pytest.mark.parametrize(
    ("name", "bound", "most"),
    [
        ("digits_spiking", "ROWS", 200),
        ("digits_crossbar", "ROWS", 200),
        ("digits_crossbar", "VALUES", 14_000),
    ],
)
def test_units_a_few_at_a_time_are_the_same(
    name: str, bound: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever number of units of a layer is answered together: blocks end within lanes."""
    scenario = load_scenario(SCENARIOS / f"{name}.toml", ["samples=3"]).with_backend("surrogate")
    at_once = run(scenario)
    sizes: list[int] = []
    answer = SurrogateBank.replay_batch

    def counted(self: SurrogateBank, batch: RasterBatch, *args: object, **options: object) -> BatchAnswer:
        sizes.append(len(batch.starts) - 1)
        return answer(self, batch, *args, **options)

    monkeypatch.setattr(SurrogateBank, "replay_batch", counted)
    monkeypatch.setattr(f"simcore.engine.{bound}", most)
    few = run(scenario)
    assert len(sizes) >= 3 * len(few.layer_columns)
    np.testing.assert_array_equal(few.scores, at_once.scores)
    for layer, columns in at_once.layer_columns.items():
        for column, values in columns.items():
            np.testing.assert_array_equal(values, few.layer_columns[layer][column], err_msg=column)

"""Families beyond the networks: baselines and CatBoost, fitted to the fake circuits without the registry."""

import importlib
import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from surrogates import table as nearest_row
from surrogates.bundle import SurrogateBundle, load_bundle, open_session, run_graph
from surrogates.dataset import Dataset, load_dataset
from surrogates.evaluate import closed_loop, parity
from surrogates.family import Effort, Family, StepModel
from surrogates.frame import Frame, Group, Table, column_sets, fit_step_frame, step_table
from surrogates.onnx_file import check_onnx
from surrogates.step_graph import build_graph
from surrogates.train import MAX_FLIPS, MAX_PARITY_GAP, train
from surrogates.trees import affordable_rounds
from tests.surrogates.fakes import crossbar_spec, lif_spec, record_fake

CIRCUITS = ("fake_lif", "fake_crossbar")
FAMILIES = ("mean", "linear", "table", "catboost")
EFFORT = Effort(seed=3, budget_s=1.0, epochs=None, progress=lambda share, message: None, fitted={})


@dataclass(frozen=True)
class Fitted:
    """One graph's model and what it was fitted to."""

    frame: Frame
    train: Table
    model: StepModel
    graph: bytes


@dataclass(frozen=True)
class Ground:
    """A recorded fake circuit and a bundle whose step graphs are there to be replaced."""

    dataset: Dataset
    bundle: SurrogateBundle


Fits = Callable[[str, str, str], Fitted]


@pytest.fixture(scope="module")
def grounds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ground]:
    """Circuit -> recording and bundle."""
    folder, found = tmp_path_factory.mktemp("families"), {}
    for spec, runs in ((lif_spec(), 40), (crossbar_spec(), 20)):
        path = record_fake(folder / f"{spec.name}.h5", spec, runs, 60)
        bundle = train(spec, path, "mlp", folder / spec.name, epochs=1)[0]
        found[spec.name] = Ground(load_dataset(path, spec, seed=1), load_bundle(bundle.path, spec))
    return found


@pytest.fixture(scope="module")
def fitted(grounds: dict[str, Ground]) -> Fits:
    """Fit (circuit, family, graph) when first asked for."""
    kept: dict[tuple[str, str, str], Fitted] = {}

    def get(circuit: str, family: str, graph: str) -> Fitted:
        if (circuit, family, graph) not in kept:
            kept[circuit, family, graph] = fit(grounds[circuit].dataset, load(family), graph)
        return kept[circuit, family, graph]

    return get


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    """Each family in turn; `catboost` is skipped where it is not installed."""
    if request.param == "catboost" and importlib.util.find_spec("catboost") is None:
        pytest.skip("catboost is not installed: its family cannot be trained here")
    return str(request.param)


def load(name: str) -> Family:
    found: Family = importlib.import_module(f"surrogates.{name}").FAMILY
    assert found.name == name
    return found


def fit(dataset: Dataset, family: Family, graph: str) -> Fitted:
    spec, idle = dataset.spec, graph == "idle"
    steps, held_out = (dataset.part_steps(part) for part in ("train", "selection"))
    steps, held_out = (rows.take(rows.idle == idle) for rows in (steps, held_out))
    frame = fit_step_frame(spec, steps, idle=idle)
    tables = [step_table(spec, rows, frame.targets) for rows in (steps, held_out)]
    frame = frame if family.residual else frame.plain(tables[0])
    model = family.fit(frame, *tables, EFFORT)
    return Fitted(frame, tables[0], model, build_graph(graph, frame, model, {}))


def answers(graph: bytes, x: np.ndarray) -> dict[str, Any]:
    return run_graph(open_session(graph, "test"), x)


def loop(ground: Ground, fits: dict[str, Fitted]) -> dict[str, float | None]:
    """Return the closed-loop figures of the ground's bundle with these step graphs in it."""
    sessions = {name: open_session(fit.graph, name) for name, fit in fits.items()}
    bundle = replace(ground.bundle, sessions={**ground.bundle.sessions, **sessions})
    return closed_loop(bundle, ground.dataset.spec, *ground.dataset.replays("selection"))


@pytest.mark.parametrize("graph", ["driven", "idle"])
@pytest.mark.parametrize("circuit", CIRCUITS)
def test_the_graph_equals_the_native_model(circuit: str, family: str, graph: str, fitted: Fits) -> None:
    one = fitted(circuit, family, graph)
    check_onnx(one.graph, family)
    ours, z = answers(one.graph, one.train.x), one.frame.design.standardise(one.train.x)
    native = one.frame.decode(one.train.x, z, one.model.predict(z))
    expected = {head: getattr(native, head) for head in ours}
    spans = {
        head: np.maximum(np.ptp(values * 1.0, axis=0), 1e-2 * np.abs(values).max(axis=0)) + 1e-30
        for head, values in expected.items()
    }
    for head, gap in parity(ours, expected, spans).items():
        assert gap is not None
        assert gap <= (MAX_FLIPS if head == "flips" else MAX_PARITY_GAP), head


@pytest.mark.parametrize("circuit", CIRCUITS)
def test_a_row_is_answered_alike_wherever_it_lies(circuit: str, family: str, fitted: Fits) -> None:
    one = fitted(circuit, family, "driven")
    x = one.train.x[:300]
    whole = answers(one.graph, x)
    for k in (16, 48, 256):
        for start in (0, 7, 30):
            for name, values in answers(one.graph, x[start : start + k]).items():
                np.testing.assert_array_equal(values, whole[name][start : start + k], name)


@pytest.mark.parametrize("circuit", CIRCUITS)
def test_closed_loop_is_no_worse_than_the_mean(
    circuit: str, family: str, fitted: Fits, grounds: dict[str, Ground]
) -> None:
    score, baseline = (
        loop(grounds[circuit], {graph: fitted(circuit, name, graph) for graph in ("driven", "idle")})["score"]
        for name in (family, "mean")
    )
    assert score is not None
    assert baseline is not None
    assert score <= baseline if family == "mean" else score < 0.8 * baseline


def test_the_same_seed_gives_the_same_graph(family: str, fitted: Fits, grounds: dict[str, Ground]) -> None:
    again = fit(grounds["fake_lif"].dataset, load(family), "driven")
    assert again.graph == fitted("fake_lif", family, "driven").graph


def test_sizes_can_be_written_to_the_manifest(family: str, fitted: Fits) -> None:
    assert json.loads(json.dumps(dict(fitted("fake_lif", family, "driven").model.describe())))


def test_mean_answers_means_and_the_more_frequent_outcome(fitted: Fits, grounds: dict[str, Ground]) -> None:
    one, steps = fitted("fake_lif", "mean", "driven"), grounds["fake_lif"].dataset.part_steps("train")
    steps = steps.take(~steps.idle)
    often = bool(steps.fired.mean() > 0.5)
    same = steps.take(steps.fired == often)
    found = answers(one.graph, one.train.x)
    assert ((found["fired"] > 0) == often).all()
    for name in ("state", "outputs", "supply_j", "input_j"):
        mean = getattr(same, name).mean(axis=0)
        np.testing.assert_allclose(found[name], np.broadcast_to(mean, found[name].shape), rtol=1e-6)
    np.testing.assert_allclose(found["latency_s"], np.nanmean(steps.latency_s), rtol=1e-6)


@pytest.mark.parametrize(("share", "fires"), [(0.0, False), (0.2, False), (0.8, True), (1.0, True)])
@pytest.mark.parametrize("name", ["mean", "linear"])
def test_the_event_follows_the_majority(name: str, share: float, fires: bool, fitted: Fits) -> None:
    one = fitted("fake_lif", "mean", "driven")
    y = one.train.y.copy()
    y[:, 0] = np.arange(len(y)) < share * len(y)
    z = one.frame.design.standardise(one.train.x)
    t = load(name).fit(one.frame, replace(one.train, y=y), one.train, EFFORT).predict(z)
    assert np.mean((t[:, 0] > 0) == fires) > 0.75
    assert not t[:, 1:].any()


def test_linear_learns_where_the_neuron_fires(fitted: Fits) -> None:
    one = fitted("fake_lif", "linear", "driven")
    fired = answers(one.graph, one.train.x)["fired"] > 0
    assert np.mean(fired != (one.train.y[:, 0] > 0.5)) < 0.1


@pytest.mark.parametrize("graph", ["driven", "idle"])
@pytest.mark.parametrize("circuit", CIRCUITS)
def test_table_reproduces_its_rows(
    circuit: str, graph: str, fitted: Fits, grounds: dict[str, Ground]
) -> None:
    one, steps = fitted(circuit, "table", graph), grounds[circuit].dataset.part_steps("train")
    steps = steps.take(steps.idle == (graph == "idle"))
    kept = nearest_row._distinct(one.frame.design.standardise(one.train.x))
    assert kept.mean() > 0.8
    assert one.model.describe() == {"rows": kept.sum()}
    found, steps = answers(one.graph, one.train.x[kept]), steps.take(kept)
    for name in ("outputs", "state", "supply_j", "input_j"):
        recorded = getattr(steps, name)
        np.testing.assert_allclose(found[name], recorded, rtol=0, atol=1e-6 * np.abs(recorded).max() + 1e-30)
    timed = steps.fired & ~np.isnan(steps.latency_s)
    np.testing.assert_allclose(found["latency_s"][timed], steps.latency_s[timed], rtol=1e-5)
    if "fired" in found:
        np.testing.assert_array_equal(found["fired"] > 0, steps.fired)


def test_a_large_table_is_drawn_with_as_many_events_as_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    valid = np.ones((10_000, 2), dtype=np.bool_)
    valid[:, 1] = np.random.default_rng(0).random(10_000) < 0.1
    monkeypatch.setattr(nearest_row, "MAX_ROWS", 500)
    drawn, other = (nearest_row._draw(valid, seed) for seed in (1, 2))
    assert len(np.unique(drawn)) == 500
    assert abs(valid[drawn, 1].mean() - valid[:, 1].mean()) <= 1 / 500
    assert not np.array_equal(drawn, other)


def test_rows_that_differ_by_rounding_are_one() -> None:
    z = np.random.default_rng(0).standard_normal((300, 12), dtype=np.float32)
    twice = np.concatenate([z, z + np.float32(1e-6), z + np.float32(1e-3)])
    np.testing.assert_array_equal(nearest_row._distinct(twice), np.repeat([True, False, True], 300))


def test_a_row_without_latency_takes_the_nearest_one(fitted: Fits) -> None:
    one = fitted("fake_crossbar", "table", "driven")
    column = one.frame.targets.groups.index(Group.LATENCY)
    has = one.train.valid[:, column]
    assert not has.all()
    z, t = one.frame.encode(one.train)
    lacking = int(np.flatnonzero(~has)[0])
    near = np.flatnonzero(has)[((z[has] - z[lacking]) ** 2).sum(axis=1).argmin()]
    np.testing.assert_array_equal(one.model.predict(z[lacking : lacking + 1])[0, column], t[near, column])


def test_rounds_follow_the_budget_unless_epochs_are_given() -> None:
    for budget_s, rounds in ((0.1, 20), (30.0, 300), (1e9, 500)):
        assert affordable_rounds(replace(EFFORT, budget_s=budget_s), 500, 0.1) == rounds
    assert affordable_rounds(replace(EFFORT, budget_s=0.1, epochs=3), 500, 0.1) == 500


def test_columns_of_one_head_stay_together(fitted: Fits) -> None:
    one = fitted("fake_lif", "mean", "driven")
    groups = one.frame.targets.groups
    sets = column_sets(one.frame, one.train)
    assert [{groups[c] for c in columns} for columns in sets] == [
        {Group.FIRED},
        {Group.LATENCY, *one.frame.targets.y_groups},
        set(one.frame.targets.y_groups),
    ]
    per_head = column_sets(one.frame, one.train, per_head=True)
    assert all(len({groups[c] for c in columns}) == 1 for columns in per_head)
    assert sorted(c for columns in per_head for c in columns) == list(range(len(groups)))

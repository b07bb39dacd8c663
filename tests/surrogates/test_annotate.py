"""The back end `annotate`: the behaviour decides, the bundle follows and prices it; wrong ones are named."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from simcore import registry
from simcore.bank import AnalogBank, BankRequest, OpenLoop, Raster, StepInput
from simcore.closed_form import ClosedFormBank
from simcore.errors import BundleError, CircuitError, ScenarioError
from simcore.manifest import load_circuit
from simcore.spec import CircuitSpec
from surrogates import train as training
from surrogates.annotate import AnnotatedBank, open_bank
from surrogates.behaviour import UserModel, load_function
from surrogates.bundle import EVENT_BIAS, load_bundle, open_session, run_graph
from surrogates.dataset import load_dataset
from surrogates.evaluate import parity
from surrogates.family import Effort
from surrogates.runtime import FORCED, SurrogateBank
from surrogates.step_graph import build_graph
from surrogates.tables import step_tables
from surrogates.train import Trained
from tests.surrogates.fakes import crossbar_spec, lif_spec
from tests.surrogates.test_bundle import _reseal

Recordings = dict[str, tuple[CircuitSpec, Path]]
Bundles = dict[tuple[str, str], Trained]
FIELDS = ("outputs", "state", "fired", "supply_j", "input_j", "latency_s")
PAGE = Path(__file__).parents[2] / "docs" / "annotate.md"
THRESHOLD = """
import numpy as np

def period(spec, params, state, inputs, idle):
    fired = (inputs[:, 0] > params[:, 0]) & (not idle)
    return np.zeros((len(params), 0)), np.where(fired, 1.5, 0.25)[:, None], fired
"""
"""Fires where the input is above the first parameter; needs no state."""


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], str]:
    """Write a behaviour file and return what names its function `period`."""

    def write(source: str) -> str:
        (tmp_path / "behaviour.py").write_text(source)
        return f"{tmp_path / 'behaviour.py'}:period"

    return write


def _open(bundle: Path, spec: CircuitSpec, params: np.ndarray, behaviour: str) -> AnnotatedBank:
    return open_bank(BankRequest(spec, params, {"family": str(bundle), "behaviour": behaviour}))


def _driven(spec: CircuitSpec, inputs: np.ndarray) -> StepInput:
    k = len(inputs)
    return StepInput(np.arange(k), np.full(k, spec.period_ps), inputs, idle=False)


def _idle(spec: CircuitSpec, k: int, periods: int, held: float = 0.0) -> StepInput:
    n_in = len(spec.reset_inputs)
    return StepInput(np.arange(k), np.full(k, periods * spec.period_ps), np.full((k, n_in), held), idle=True)


def _weights(n: int = 40, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 3, (n, 1))


def test_a_forced_graph_takes_the_branch_that_the_native_model_takes(recordings: Recordings) -> None:
    dataset = load_dataset(recordings["fake_lif"][1], lif_spec(), seed=1)
    table = step_tables(dataset)["driven"]
    effort = Effort(1, 10.0, 5, lambda share, message: None, {})
    model = registry.load("surrogate_families", "mlp").fit(table.frame, table.train, table.selection, effort)
    session = open_session(build_graph("driven", table.frame, model, {}), "driven")
    x = table.train.x[:500]
    z = table.frame.design.standardise(x)
    answers = {}
    for bias in (0.0, FORCED, -FORCED):
        ours = run_graph(session, x, np.full((len(x), 1), bias, dtype=np.float32))
        native = table.frame.decode(x, z, model.predict(z), bias)
        expected = {head: getattr(native, head) for head in ours}
        figures = parity(ours, expected, {head: training._span(values) for head, values in expected.items()})
        assert figures.pop("flips") == 0
        assert max(figures.values()) < 1e-5
        answers[bias] = ours
    fired = answers[0.0]["fired"] > 0
    assert 0.1 < fired.mean() < 0.9
    assert (answers[FORCED]["fired"] > 0).all()
    assert not (answers[-FORCED]["fired"] > 0).any()
    for head in ("outputs", "state", "supply_j", "input_j"):
        own = fired.reshape(-1, *[1] * (answers[0.0][head].ndim - 1))
        chosen = np.where(own, answers[FORCED][head], answers[-FORCED][head])
        np.testing.assert_array_equal(chosen, answers[0.0][head], head)
    assert (answers[FORCED]["supply_j"] > answers[-FORCED]["supply_j"])[~fired].mean() > 0.9


def test_the_surrogate_told_its_own_decision_is_itself(trained: Bundles) -> None:
    spec = lif_spec()
    bundle = load_bundle(trained["fake_lif", "mlp"].path, spec)
    params = np.random.default_rng(0).uniform(0.4, 0.8, (40, 1))
    own, told = SurrogateBank(bundle, spec, params), SurrogateBank(bundle, spec, params)
    n_fired = 0
    for seed in range(6):
        for request in (_driven(spec, _weights(seed=seed)), _idle(spec, 40, 3)):
            expected = own.step(request)
            result = told.step(request, expected.fired)
            n_fired += expected.fired.sum()
            for name in FIELDS:
                np.testing.assert_array_equal(getattr(result, name), getattr(expected, name), name)
    assert n_fired > 20


def test_the_behaviour_decides_and_the_bundle_prices_it(
    trained: Bundles, written: Callable[[str], str]
) -> None:
    spec, params = lif_spec(), np.full((40, 1), 0.6)
    path = trained["fake_lif", "mlp"].path
    bank = _open(path, spec, params, written(THRESHOLD))
    alone = SurrogateBank(load_bundle(path, spec), spec, params)
    assert bank.reset().tolist() == [[0.25]] * 40
    differs = 0
    for seed in range(5):
        request = _driven(spec, _weights(seed=seed))
        decided = request.inputs[:, 0] > 0.6
        differs += (alone.step(request).fired != decided).sum()
        alone.set_state(request.units, bank._surrogate.state)
        expected = alone.step(request, decided)
        result = bank.step(request)
        np.testing.assert_array_equal(result.fired, decided)
        np.testing.assert_array_equal(result.outputs[:, 0], np.where(decided, 1.5, 0.25))
        for name in ("state", "supply_j", "input_j", "latency_s"):
            np.testing.assert_array_equal(getattr(result, name), getattr(expected, name), name)
        np.testing.assert_array_equal(np.isnan(result.latency_s), ~decided)
        assert result.supply_j[decided].mean() > 3 * result.supply_j[~decided].mean()
    assert differs > 10, "the behaviour shall not be what the bundle would have done anyway"


def test_a_settled_circuit_takes_outputs_and_events_from_the_behaviour(
    trained: Bundles, written: Callable[[str], str]
) -> None:
    spec = crossbar_spec()
    params = np.column_stack([np.full(5, 30.0), np.random.default_rng(1).integers(-1, 2, (5, 6))])
    path = trained["fake_crossbar", "mlp"].path
    source = THRESHOLD.replace("inputs[:, 0] > params[:, 0]", "inputs[:, 0] > 0.4")
    bank = _open(path, spec, params, written(source))
    alone = SurrogateBank(load_bundle(path, spec), spec, params)
    inputs = np.random.default_rng(2).uniform(0, 0.8, (5, 6))
    inputs[:, 0] = [0.1, 0.5, 0.2, 0.7, 0.3]
    result, own = bank.step(_driven(spec, inputs)), alone.step(_driven(spec, inputs))
    assert result.fired.tolist() == [False, True, False, True, False]
    assert result.outputs[:, 0].tolist() == [0.25, 1.5, 0.25, 1.5, 0.25]
    np.testing.assert_array_equal(result.supply_j, own.supply_j)
    np.testing.assert_array_equal(result.state, own.state)
    np.testing.assert_array_equal(np.isnan(result.latency_s), ~result.fired)
    assert (result.latency_s[result.fired] > 0).all()


def test_the_closed_form_of_the_neuron_is_annotated(neuron_bundle: Path) -> None:
    """The bundle was trained on the closed form: its energies are known."""
    spec = load_circuit("lif_neuron")
    params = np.tile(spec.default_params, (64, 1))
    bank = open_bank(BankRequest(spec, params, {"family": str(neuron_bundle)}))
    ideal = registry.load("backends", "ideal")(BankRequest(spec, params))
    rng = np.random.default_rng(5)
    ours, truth = [], []
    for _ in range(20):
        for request in (_driven(spec, rng.normal(0.6, 0.8, (64, 1))), _idle(spec, 64, 1), _idle(spec, 64, 9)):
            ours.append(bank.step(request))
            truth.append(ideal.step(request))
    for left, right in zip(ours, truth, strict=True):
        np.testing.assert_array_equal(left.fired, right.fired)
        np.testing.assert_array_equal(left.outputs, right.outputs)
    found, known = ([step.supply_j.sum() + step.input_j.sum() for step in steps] for steps in (ours, truth))
    assert sum(step.fired.sum() for step in truth) > 100
    assert np.sum(found) == pytest.approx(np.sum(known), rel=0.1)


def test_replay_equals_steps(trained: Bundles, recordings: Recordings, written: Callable[[str], str]) -> None:
    spec, path = recordings["fake_lif"]
    rasters, _ = load_dataset(path, spec, 1).replays("selection")
    raster = Raster(
        rasters[0].params, *(getattr(rasters[0], n)[:30] for n in ("duration_ps", "inputs", "idle"))
    )
    bank = _open(trained["fake_lif", "mlp"].path, spec, raster.params[None], written(THRESHOLD))
    assert isinstance(bank, OpenLoop)
    before = bank.provenance()["inference_cpu_s"]
    (replayed,) = bank.replay([raster])
    assert bank.provenance()["inference_cpu_s"] > before
    for step, (duration, inputs, idle) in enumerate(
        zip(raster.duration_ps, raster.inputs, raster.idle, strict=True)
    ):
        one = bank.step(StepInput(np.zeros(1, dtype=np.int64), duration[None], inputs[None], bool(idle)))
        for name in FIELDS:
            np.testing.assert_array_equal(getattr(replayed.steps, name)[step], getattr(one, name)[0], name)
    assert replayed.out_of_range == bank.counters()["out_of_range"][0]


def test_provenance_tells_bundle_and_behaviour(
    trained: Bundles, neuron_bundle: Path, written: Callable[[str], str]
) -> None:
    where = written(THRESHOLD)
    told = _open(trained["fake_lif", "mlp"].path, lif_spec(), np.full((2, 1), 0.5), where).provenance()
    assert told["backend"] == "annotate"
    assert told["bundle_hash"] == trained["fake_lif", "mlp"].info.digest
    assert told["behaviour"]["function"] == where
    assert len(told["behaviour"]["sha256"]) == 64
    assert told["intervals"] == []
    spec = load_circuit("lif_neuron")
    ideal = _open(neuron_bundle, spec, spec.default_params[None], "ideal").provenance()
    assert ideal["behaviour"]["model"] == "lif"
    assert ideal["behaviour"]["constants"]["v_th_v"] > 0
    json.dumps(dict(ideal), allow_nan=False)


def test_the_example_of_the_page_runs(neuron_bundle: Path, tmp_path: Path) -> None:
    source = re.search(r"^```python my_neuron.py\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "my_neuron.py").write_text(source[1])
    spec = load_circuit("lif_neuron")
    params = np.tile(spec.default_params, (3, 1))
    options = {"family": str(neuron_bundle), "behaviour": "my_neuron.py:period"}
    bank: AnalogBank = open_bank(BankRequest(spec, params, options, base=tmp_path))
    fired = [bank.step(_driven(spec, np.array([[0.0], [1.0], [2.0]]))).fired.tolist() for _ in range(3)]
    assert fired == [[False, False, True], [False, True, True], [False, False, True]]
    assert (bank.step(_idle(spec, 3, 40)).supply_j > 0).all()


def test_a_late_event_of_a_merged_idle_step_is_not_lost(written: Callable[[str], str]) -> None:
    """The function fires in its third period, whoever is driven."""
    where = written("""
import numpy as np

def period(spec, params, state, inputs, idle):
    count = np.zeros((len(params), 1)) if state is None else state + 1
    return count, count, count[:, 0] == 3
""")
    spec, function = lif_spec(), load_function(where, Path())
    params = np.full((2, 1), 0.5)
    bank = ClosedFormBank(spec, params, UserModel(spec, params, function), {})
    result = bank.step(_idle(spec, 2, 5))
    assert result.fired.tolist() == [True, True]
    assert result.outputs[:, 0].tolist() == [5.0, 5.0]
    assert not bank.step(_idle(spec, 2, 5)).fired.any()


def test_an_idle_event_that_the_bundle_never_saw_is_refused(
    neuron_bundle: Path, written: Callable[[str], str]
) -> None:
    spec = load_circuit("lif_neuron")
    source = THRESHOLD.replace("(inputs[:, 0] > params[:, 0]) & (not idle)", "np.full(len(params), idle)")
    bank = _open(neuron_bundle, spec, spec.default_params[None], written(source))
    bank.step(_driven(spec, np.ones((1, 1))))
    with pytest.raises(
        BundleError, match=r"fires in an idle step of 'lif_neuron', of which .* fewer than 50"
    ):
        bank.step(_idle(spec, 1, 1))


def _as_schema_1(path: Path) -> None:
    """Take the input away again: graphs as they were written before there was one."""
    for name in ("driven", "idle"):
        model = onnx.load(path / f"{name}.onnx")
        for port in [port for port in model.graph.input if port.name == EVENT_BIAS]:
            model.graph.input.remove(port)
            model.graph.initializer.append(numpy_helper.from_array(np.zeros((1, 1), np.float32), EVENT_BIAS))
        (path / f"{name}.onnx").write_bytes(model.SerializeToString())
    _reseal(path, lambda data: data.update(schema_version=1))


def test_an_older_bundle_still_answers_but_is_not_annotated(
    trained: Bundles, tmp_path: Path, written: Callable[[str], str]
) -> None:
    spec, params = lif_spec(), np.full((40, 1), 0.5)
    new = trained["fake_lif", "mlp"].path
    old = Path(shutil.copytree(new, tmp_path / "old"))
    _as_schema_1(old)
    request = _driven(spec, _weights())
    ours, theirs = (SurrogateBank(load_bundle(path, spec), spec, params).step(request) for path in (old, new))
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), name)
    expected = "older schema.*cannot be told which events.*again with: simcore surrogate train fake_lif"
    with pytest.raises(BundleError, match=expected):
        _open(old, spec, params, written(THRESHOLD))


def test_a_settled_bundle_of_the_older_schema_is_good_enough(
    trained: Bundles, tmp_path: Path, written: Callable[[str], str]
) -> None:
    old = Path(shutil.copytree(trained["fake_crossbar", "mlp"].path, tmp_path / "old"))
    _as_schema_1(old)
    params = np.array([[30.0, 1, 1, 1, 0, 0, -1]])
    assert _open(old, crossbar_spec(), params, written(THRESHOLD)).n_units == 1


def test_wrong_options_are_named(neuron_bundle: Path, trained: Bundles, tmp_path: Path) -> None:
    spec = load_circuit("lif_neuron")

    def opened(**options: Any) -> None:
        open_bank(BankRequest(spec, spec.default_params[None], options, base=tmp_path))

    with pytest.raises(ScenarioError, match=r"\[backend\] annotate: famly: Extra inputs"):
        opened(famly="mlp")
    with pytest.raises(ScenarioError, match=r"behaviour: got 'exact', expected 'ideal' or path/to/file.py"):
        opened(behaviour="exact")
    with pytest.raises(ScenarioError, match=r"cannot read .*nowhere.py: No such file"):
        opened(behaviour="nowhere.py:period")
    (tmp_path / "own.py").write_text("def step():\n    pass\n")
    with pytest.raises(ScenarioError, match=r"own.py: no function 'period', there: step"):
        opened(behaviour="own.py:period")
    (tmp_path / "own.py").write_text("a = 1\nb = a +\n")
    with pytest.raises(ScenarioError, match=r"own.py: SyntaxError: invalid syntax .*line 2"):
        opened(behaviour="own.py:period")
    with pytest.raises(CircuitError, match=r"needs closed_form\.toml") as refused:
        _open(trained["fake_lif", "mlp"].path, lif_spec(), np.full((1, 1), 0.5), "ideal")
    assert "behaviour = 'file.py:function'" in refused.value.__notes__[0]


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("None", "returned NoneType, expected \\(state, outputs, fired\\)"),
        ("(zero, zero)", "returned tuple, expected \\(state, outputs, fired\\)"),
        ("(zero[:, 0], zero, none)", r"state is float64 of shape \(3,\), expected numbers of shape \(3, m\)"),
        ("([[1], [2, 3], [4]], zero, none)", r"state is object of shape \(\), expected numbers"),
        ("(zero, zero[:2], none)", r"outputs is float64 of shape \(2, 1\), expected numbers .*\(3, 1\)"),
        ("(zero, zero + 1j, none)", r"outputs is complex128 of shape \(3, 1\), expected numbers"),
        ("(zero, zero / zero, none)", r"outputs\[0, 0\] is nan, expected finite numbers"),
        ("(zero, zero, zero[:, 0])", r"fired is float64 of shape \(3,\), expected bool of shape \(3,\)"),
        ("(zero, zero, zero > 0)", r"fired is bool of shape \(3, 1\), expected bool of shape \(3,\)"),
        ("(zero, zero, none[0])", r"fired is bool of shape \(\), expected bool of shape \(3,\)"),
        ("(zero if state is None else zero[:, :0], zero, none)", r"state .* expected numbers .*\(3, 1\)"),
        ("(zero, zero @ params, none)", "line 7: ValueError: matmul"),
    ],
)  # fmt: skip
def test_a_wrong_answer_names_file_function_and_what_was_expected(
    returned: str, message: str, trained: Bundles, written: Callable[[str], str]
) -> None:
    where = written(f"""
import numpy as np
np.seterr(all="ignore")

def period(spec, params, state, inputs, idle):
    zero, none = np.zeros((len(params), 1)), np.zeros(len(params), dtype=bool)
    return {returned}
""")
    with pytest.raises(ScenarioError, match=f"behaviour {re.escape(where)}: {message}"):
        _open(trained["fake_lif", "mlp"].path, lif_spec(), np.full((3, 1), 0.5), where).step(
            _driven(lif_spec(), np.ones((3, 1)))
        )

"""Exported C: compiled and run, it gives what onnxruntime gives; what is not row-wise is refused."""

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from simcore.bank import StepInput
from simcore.errors import BundleError
from surrogates.bundle import SurrogateBundle, load_bundle, open_session, read_info
from surrogates.c99.export import HELPERS, export_c, source
from surrogates.c99.graph import translate
from surrogates.c99.header import ARRAYS, NUMBERS, STEPS
from surrogates.c99.operators import OPERATIONS
from surrogates.c99.text import comment, identifier, literal
from surrogates.evaluate import parity
from surrogates.graph import GraphBuilder
from surrogates.onnx_shapes import OPERATORS
from surrogates.runtime import SurrogateBank
from surrogates.shipped import SHIPPED
from surrogates.train import MAX_FLIPS, MAX_PARITY_GAP, _span
from tests.conftest import Outcome

ROWS = 4096
NEURON = SHIPPED / "lif_neuron" / "trunk"
NETWORKS = {"lif_neuron": NEURON, "crossbar_row_32": SHIPPED / "crossbar_row-32" / "trunk"}
"""Name in C -> folder."""
FLAGS = ("-std=c99", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
PAGE = Path(__file__).parents[2] / "docs" / "surrogate-c.md"
Command = Callable[..., Outcome]
Neuron = tuple[SurrogateBundle, ctypes.CDLL, tuple[Path, Path]]
Answer = Mapping[str, NDArray[np.float32]]


@pytest.fixture(scope="module")
def compiler() -> str:
    """The system's compiler; without one the test is skipped."""
    found = shutil.which(os.environ.get("CC", "cc"))
    if found is None:
        pytest.skip("no C compiler here (cc, or the one that CC names)")
    return found


@pytest.fixture(scope="module")
def compiled(compiler: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], ctypes.CDLL]:
    """Return a function that compiles and loads a source."""
    folder = tmp_path_factory.mktemp("libraries")

    def load(path: Path) -> ctypes.CDLL:
        library = folder / f"{path.stem}.so"
        subprocess.run([compiler, *FLAGS, "-shared", "-fPIC", path, "-o", library, "-lm"], check=True)
        return ctypes.CDLL(str(library))

    return load


@pytest.fixture(scope="module")
def neuron(compiled: Callable[[Path], ctypes.CDLL], tmp_path_factory: pytest.TempPathFactory) -> Neuron:
    """The shipped neuron, its library and its files."""
    bundle = _opened(NEURON)
    files = export_c(bundle, tmp_path_factory.mktemp("neuron"))
    return bundle, compiled(files[1]), files


def _opened(path: Path) -> SurrogateBundle:
    return load_bundle(path, read_info(path).spec)


def _rows(bundle: SurrogateBundle, graph: str) -> NDArray[np.float32]:
    """Return rows drawn over the training range of a graph."""
    limits = bundle.info.ranges[graph]
    draw = np.random.default_rng(5).uniform(limits.low, limits.high, (ROWS, len(limits.low)))
    return draw.astype(np.float32)


def _called(library: ctypes.CDLL, function: str, x: NDArray[np.float32], like: Answer) -> Any:
    """Run the batch function; return an array of structs with the fields of `like`."""
    fields = [(name, "f4", like[name].shape[1:]) for name in (*ARRAYS, *NUMBERS) if name in like]
    y = np.full(len(x), np.nan, dtype=fields)
    getattr(library, f"{function}_batch")(
        x.ctypes.data_as(ctypes.c_void_p), ctypes.c_size_t(len(x)), y.ctypes.data_as(ctypes.c_void_p)
    )
    return y


@pytest.mark.parametrize("name", [*NETWORKS, "fake_lif", "fake_crossbar_6"])
def test_c_gives_what_onnxruntime_gives(
    name: str, request: pytest.FixtureRequest, compiled: Callable[[Path], ctypes.CDLL], tmp_path: Path
) -> None:
    if name in NETWORKS:
        bundle = _opened(NETWORKS[name])
    else:
        bundle = _opened(request.getfixturevalue("trained")[name.removesuffix("_6"), "lightgbm"].path)
    header, code = export_c(bundle, tmp_path)
    assert (header.name, code.name) == (f"{name}.h", f"{name}.c")
    library = compiled(code)
    for graph in STEPS:
        x = _rows(bundle, graph)
        answer = bundle.run(graph, x)
        ours = _called(library, f"{name}_{graph}", x, answer)
        native = {head: values > 0 if head == "fired" else values for head, values in answer.items()}
        figures = parity(ours, native, {head: _span(values) for head, values in native.items()})
        assert set(figures) == {"flips" if head == "fired" else head for head in answer}
        for head, gap in figures.items():
            assert gap <= (MAX_FLIPS if head == "flips" else MAX_PARITY_GAP), (graph, head, gap)
    x = _rows(bundle, "driven")
    answer = bundle.run("reset", x)
    ours = _called(library, f"{name}_reset", x, answer)
    for head, values in answer.items():
        np.testing.assert_allclose(ours[head], values, rtol=1e-6, atol=1e-6)


def test_one_row_alone_equals_the_row_in_a_batch(neuron: Neuron) -> None:
    bundle, library, _ = neuron
    x = _rows(bundle, "driven")[:20]
    whole = _called(library, "lif_neuron_driven", x, bundle.run("driven", x))
    for row, expected in zip(x, whole, strict=True):
        alone = np.zeros(1, dtype=whole.dtype)
        library.lif_neuron_driven(row.ctypes.data_as(ctypes.c_void_p), alone.ctypes.data_as(ctypes.c_void_p))
        assert alone[0] == expected


def test_what_is_not_a_number_stays_so(neuron: Neuron) -> None:
    bundle, library, _ = neuron
    x = np.full((1, 9), np.nan, dtype=np.float32)
    y = _called(library, "lif_neuron_driven", x, bundle.run("driven", x))
    assert np.isnan(y["state"]).all()


def test_the_ranges_are_those_of_the_bundle(neuron: Neuron) -> None:
    bundle, library, _ = neuron
    for graph in STEPS:
        for end in ("low", "high"):
            table = (ctypes.c_float * 9).in_dll(library, f"lif_neuron_{graph}_{end}")
            np.testing.assert_array_equal(table, np.float32(getattr(bundle.info.ranges[graph], end)))


def test_the_same_bundle_gives_the_same_bytes(neuron: Neuron, simcore: Command, tmp_path: Path) -> None:
    """Be it named by its circuit, its family or its folder."""
    _, _, files = neuron
    by_name = simcore("surrogate", "export", "lif_neuron", "--c", tmp_path / "a", "--family", "trunk")
    assert by_name.code == 0, by_name.err
    assert by_name.out.split() == ["C:", f"{tmp_path}/a/lif_neuron.h", "C:", f"{tmp_path}/a/lif_neuron.c"]
    by_path = simcore("surrogate", "export", NEURON, "--c", tmp_path / "b")
    assert by_path.code == 0, by_path.err
    for file in files:
        for folder in ("a", "b"):
            assert (tmp_path / folder / file.name).read_bytes() == file.read_bytes()


def _every_operator() -> bytes:
    """Return a graph of 9 inputs that holds each operator at least once."""
    build = GraphBuilder("all")
    rng = np.random.default_rng(0)
    row, table = build.tensor(rng.normal(size=(1, 4))), build.tensor(rng.normal(size=(7, 4)))
    a, b = build.columns("x", slice(0, 4)), build.gather("x", [8, 4, 7, 2])
    one = build.columns("x", slice(8, 9))
    flat = build.column("x", 3)
    square = build.add("Mul", a, a)
    parts = [build.add(op, a) for op in ("Abs", "Exp", "Neg", "Relu", "Sigmoid", "Tanh", "Identity")]
    parts += [build.add(op, square) for op in ("Log", "Sqrt")]
    parts += [build.add(op, a, one) for op in ("Add", "Sub", "Mul", "Div")]
    parts += [build.add(op, one, row, b) for op in ("Max", "Min")]
    parts += [build.add("Pow", square, row), build.add("Add", build.add("Neg", build.constant(-2.0)), a)]
    parts += [build.add("Where", build.add("Greater", a, b), one, row)]
    parts += [build.reduce(how, build.add("Sub", a, b), 4) for how in ("sum", "min", "max")]
    parts += [build.affine(a, rng.normal(size=(4, 3)), rng.normal(size=3))]
    parts += [build.add("Gemm", a, row, transB=1, alpha=0.5)]
    index = build.add("ArgMax", build.columns("x", slice(1, 8)), axis=1, keepdims=0)
    parts += [build.add("Gather", table, index, axis=0), _stumps(build, a)]
    numbers = build.add("Min", build.add("Mul", flat, flat), build.tensor(np.array([0.7])))
    outputs = {"outputs": (build.concat(parts), 85), "state": (one, 1), "supply_j": (numbers, None)}
    return build.finish({"x": 9}, outputs, {})


def _stumps(build: GraphBuilder, z: str) -> str:
    """Add a stump on column 2 for target 1, and a lone leaf for target 0."""
    nodes = {
        "treeids": [0, 0, 0, 1], "nodeids": [0, 1, 2, 0], "featureids": [2, 0, 0, 0],
        "modes": ["BRANCH_LEQ", "LEAF", "LEAF", "LEAF"], "values": [0.25, 0.0, 0.0, 0.0],
        "truenodeids": [1, 0, 0, 0], "falsenodeids": [2, 0, 0, 0],
    }  # fmt: skip
    leaves = {"treeids": [0, 0, 1], "nodeids": [1, 2, 0], "ids": [1, 1, 0], "weights": [-1.5, 2.5, 4.0]}
    return build.add(
        "TreeEnsembleRegressor", z, domain="ai.onnx.ml", n_targets=2, base_values=[0.5, 0.0],
        **{f"nodes_{name}": values for name, values in nodes.items()},
        **{f"target_{name}": values for name, values in leaves.items()},
    )  # fmt: skip


def test_each_operator_that_a_bundle_may_contain_gives_what_onnxruntime_gives(
    compiled: Callable[[Path], ctypes.CDLL], tmp_path: Path
) -> None:
    # Cast: float64 distances of the family `table`, a baseline that nobody exports; Elu and Reshape: tensors
    # of more than two axes, of the families on whole arrays.
    assert set(OPERATIONS) >= {op for _, op in OPERATORS} - {"Cast", "Elu", "Reshape"}
    graph = _every_operator()
    header, code = source("all", read_info(NEURON), {"driven": graph}, "test")
    assert {node.op_type for node in onnx.load_from_string(graph).graph.node} == set(OPERATIONS)
    assert all(f"{helper}(" in code for helper in HELPERS)
    (tmp_path / "all.h").write_text(header)
    (tmp_path / "all.c").write_text(code)
    x = np.random.default_rng(3).normal(size=(ROWS, 9)).astype(np.float32)
    names = ["outputs", "state", "supply_j"]
    answer = dict(zip(names, open_session(graph, "test").run(names, {"x": x}), strict=True))
    ours = _called(compiled(tmp_path / "all.c"), "all_driven", x, answer)
    for head, values in answer.items():
        np.testing.assert_allclose(ours[head], values, rtol=2e-5, atol=2e-6)


def test_the_example_of_the_page_does_what_a_bank_does(neuron: Neuron, compiler: str, tmp_path: Path) -> None:
    bundle, _, (header, code) = neuron
    (tmp_path / "run.c").write_text(PAGE.read_text().split("```c\n")[1].split("```")[0])
    program = tmp_path / "run"
    build = [compiler, *FLAGS, f"-I{header.parent}", tmp_path / "run.c", code, "-o", program, "-lm"]
    subprocess.run(build, check=True)
    events, _, energy_j, _ = subprocess.run(
        [program], check=True, capture_output=True, text=True
    ).stdout.split()
    bank = SurrogateBank(bundle, bundle.info.spec, np.array([[0.5, 0.5, 0.57, 0.5]]))
    steps = [
        bank.step(
            StepInput(
                np.arange(1), np.array([5000]), np.array([[0.0 if period % 3 else 1.2]]), period % 3 > 0
            )
        )
        for period in range(120)
    ]
    assert int(events) == sum(step.fired.sum() for step in steps) > 5
    assert float(energy_j) == pytest.approx(sum((s.supply_j + s.input_j).sum() for s in steps), rel=1e-4)


def test_the_header_tells_columns_units_ranges_and_hash(tmp_path: Path) -> None:
    bundle = _opened(NETWORKS["crossbar_row_32"])
    text = export_c(bundle, tmp_path)[0].read_text()
    assert bundle.info.digest in text
    assert "x[0 .. 31]   in0 .. in31  input  V        0 .. 0.8" in text
    assert "CROSSBAR_ROW_32_STATE = 66," in text
    assert "out by 0.02 V or more" in text
    assert "fired" not in text


def _one_node(op: str, inputs: list[str], **attributes: Any) -> bytes:
    """Return a graph of one node, unchecked; `flat` is column 0 as (k,)."""
    column = helper.make_node("Gather", ["x", "zero"], ["flat"], axis=1)
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["k", 3]) for name in ("x", "y")]
    zero = numpy_helper.from_array(np.array(0), "zero")
    nodes = [column, helper.make_node(op, inputs, ["y"], **attributes)]
    graph = helper.make_graph(nodes, "one", ports[:1], ports[1:], [zero])
    return bytes(helper.make_model(graph).SerializeToString())


@pytest.mark.parametrize(
    ("graph", "match"),
    [
        (_one_node("Softplus", ["x"]), "Softplus: expected one of Abs, Add"),
        (_one_node("Concat", ["x", "x"], axis=0), "Concat: axis 0, expected the columns"),
        (_one_node("ArgMax", ["x"], axis=0), "ArgMax: axis 0, expected the columns"),
        (_one_node("Gather", ["x", "zero"], axis=0), "Gather: axis 0, expected the columns"),
        (_one_node("Add", ["x", "flat"]), "Add: shapes do not meet row by row"),
        (_one_node("MatMul", ["x", "x"]), "MatMul: expected rows times a constant matrix"),
        (_one_node("Add", ["x", "zero"]), "Add: a constant of int64, expected float32"),
        (_one_node("Identity", ["flat"]), "output 'y' has 1 columns, expected 3"),
    ],
)
def test_what_has_no_meaning_for_one_row_is_refused(graph: bytes, match: str) -> None:
    with pytest.raises(BundleError, match=f"^here: {match}"):
        translate(graph, "p", "here")


def test_trees_that_branch_otherwise_are_refused() -> None:
    model = onnx.load_from_string(_every_operator())
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "nodes_modes":
                attribute.strings[0] = b"BRANCH_GT"
    with pytest.raises(
        BundleError, match=r"TreeEnsembleRegressor: node \(0, 0\) is b'BRANCH_GT' of column 2"
    ):
        translate(model.SerializeToString(), "p", "here")


def test_names_and_comments_are_safe() -> None:
    assert identifier("crossbar_row-32") == "crossbar_row_32"
    assert identifier("2 stages/é") == "c_2_stages__"
    assert "*/" not in comment(["a */ b"])[2:-2]
    assert literal(-0.1) == "-0.1f"
    assert [literal(value) for value in (1e-45, np.inf, -np.inf, np.nan)] == [
        "1e-45f",
        "INFINITY",
        "-INFINITY",
        "NAN",
    ]


def test_the_command_refuses_what_it_cannot_export(simcore: Command, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(NEURON, tmp_path / "bundle"))
    outcome = simcore("surrogate", "export", copy, "--c", tmp_path / "c", "--family", "mlp")
    assert (outcome.code, "is a bundle itself, got --family mlp too" in outcome.err) == (2, True)
    (copy / "idle.onnx").write_bytes(b"changed")
    outcome = simcore("surrogate", "export", copy, "--c", tmp_path / "c")
    assert (outcome.code, "idle.onnx: changed after training" in outcome.err) == (2, True)
    assert not (tmp_path / "c").exists()
    outcome = simcore("surrogate", "export", "lif_neuron", "--c", copy / "bundle.json")
    assert (outcome.code, f"cannot write C to {copy / 'bundle.json'}" in outcome.err) == (2, True)


def test_a_missing_onnx_is_named(simcore: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("onnx", *(name for name in sys.modules if name.startswith("surrogates.c99"))):
        monkeypatch.setitem(sys.modules, module, None) if module == "onnx" else monkeypatch.delitem(
            sys.modules, module
        )
    outcome = simcore("surrogate", "export", "lif_neuron", "--c", tmp_path)
    assert outcome.code == 2
    assert "export needs onnx; install with: pip install 'simcore-ams[train]'" in outcome.err

"""ONNX files made to mislead: refused before onnxruntime sees them."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper, shape_inference

from simcore.errors import BundleError
from surrogates import onnx_file, protobuf
from surrogates.bundle import GRAPHS, open_session
from surrogates.graph import GraphBuilder
from surrogates.onnx_file import check_onnx
from surrogates.onnx_schema import MODEL
from surrogates.shipped import SHIPPED
from tests.surrogates.tree_graph import tree_graph

WIDTH = 4


def _good() -> Any:
    """A model of three nodes: y = x @ w + b, one column of it."""
    builder = GraphBuilder("good")
    affine = builder.affine("x", np.ones((WIDTH, 3)), np.ones(3))
    column = builder.columns(builder.add("Relu", affine), slice(1, 2))
    return onnx.load_from_string(builder.finish({"x": WIDTH}, {"y": (column, 1)}, {"unit": "J"}))


def _refused(data: bytes, reason: str) -> None:
    with pytest.raises(BundleError, match=rf"^file: .*{reason}"):
        check_onnx(data, "file")


def _nodes(*nodes: Any, out: str = "y", **constants: Any) -> bytes:
    """A model of some nodes from x (k, 4) to y (k, 4)."""
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["k", WIDTH]) for name in ("x", out)]
    tensors = [numpy_helper.from_array(np.asarray(values), name) for name, values in constants.items()]
    graph = helper.make_graph(list(nodes), "g", ports[:1], ports[1:], tensors)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


def _node(op: str, *inputs: str, out: str = "y", **attributes: Any) -> Any:
    return helper.make_node(op, list(inputs), [out], **attributes)


def test_a_good_model_tells_its_ports() -> None:
    ports = check_onnx(_good().SerializeToString(), "file")
    assert (ports.inputs, ports.outputs) == ({"x": (None, WIDTH)}, {"y": (None, 1)})


@pytest.mark.parametrize("bundle", ["lif_neuron/trunk", "crossbar_row-32/trunk"])
@pytest.mark.parametrize("name", GRAPHS)
def test_shapes_are_those_of_the_onnx_package_and_of_onnxruntime(bundle: str, name: str) -> None:
    data = (SHIPPED / bundle / f"{name}.onnx").read_bytes()
    graph = onnx_file._Graph(protobuf.Reader().read(data, MODEL)["graph"])
    ports = graph.check()
    inferred = shape_inference.infer_shapes(onnx.load_from_string(data), strict_mode=True, data_prop=True)
    values = {value.name: value.type.tensor_type.shape.dim for value in inferred.graph.value_info}
    assert len(values) > 10
    for tensor, dims in values.items():
        assert graph._tensors[tensor].shape == tuple(d.dim_value or None for d in dims), tensor
    session = open_session(data, name)
    feeds = {name: np.ones((5, *shape[1:]), dtype=np.float32) for name, shape in ports.inputs.items()}
    names = [port.name for port in session.get_outputs()]
    for output, values in zip(names, session.run(names, feeds), strict=True):
        assert values.shape == tuple(size or 5 for size in ports.outputs[output])


# --- what protobuf lets through -------------------------------------------------------------------


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _written(node: bytes = b"", graph: bytes = b"", model: bytes = b"") -> bytes:
    """The good model, with bytes added to its first node, its graph and itself."""
    whole = _good()
    first = _field(1, whole.graph.node[0].SerializeToString() + node)
    del whole.graph.node[0]
    inner = _field(7, first + whole.graph.SerializeToString() + graph)
    whole.ClearField("graph")
    return bytes(inner + whole.SerializeToString() + model)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (_written(node=_field(4, b"Loop")), "op_type of a node given twice"),
        (_written(node=_field(7, b"") + _field(7, b"com.x")), "domain of a node given twice"),
        (_written(model=_field(7, b"")), "graph of a model given twice"),
        (_written(model=b"\x08\x08"), "ir_version of a model given twice"),
        (_written(graph=_field(2, b"other")), "name of a graph given twice"),
        (_written(graph=_field(13, b"")), "unknown field 13 in a graph"),
        (_written(graph=_field(15, b"")), "a sparse constant in a graph"),
        (_written(model=_field(26, b"")), "unknown field 26 in a model"),
        (_written(model=b"\x28\x80\x00"), "shortest coding"),
        (_written(model=b"\xa8\x00\x01"), "shortest coding"),
        (_written(model=b"\x28" + b"\xff" * 10 + b"\x01"), "more than ten bytes"),
        (_written(model=b"\x28" + b"\xff" * 9 + b"\x7f"), "too large"),
        (_written(model=b"\x82\x80\x80\x80\x80\x10\x00"), "unknown field"),
        (_written(model=b"\x13\x14"), "wire type 3"),
        (_written(model=b"\x2d\x00\x00\x00\x00"), "wire type 5 of model_version"),
        (_written(model=b"\x2a\x01\x00"), "several values of model_version"),
        (_written(model=_field(6, b"\xff\xfe")), "doc_string is no text"),
        (_written(model=_field(6, b"a" * 70_000)), "doc_string of 70000 bytes"),
        (_written(node=_field(5, _field(1, b"a") + _field(9, b"\xff"))), "attribute 'a' of Gemm"),
        (_written()[:-3], "ends inside"),
        (b"", "IR version 0"),
    ],
)
def test_what_two_readers_could_read_differently_is_refused(data: bytes, reason: str) -> None:
    _refused(data, reason)


def test_too_many_values_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protobuf, "MAX_FIELDS", 5000)
    one_by_one = b"".join(_field(14, b"") for _ in range(6000))
    packed = _field(7, _field(1, _field(5, _field(8, b"\x01" * 6000))))
    packed_floats = _field(7, _field(1, _field(5, _field(7, b"\x01" * 24_000))))
    for extra in (one_by_one, packed, packed_floats):
        _refused(extra, "more than 5000 values")


# --- what a model may not be ----------------------------------------------------------------------


def _big_constant(model: Any) -> None:
    model.graph.initializer[0].dims[:] = [2**62, 4]


def _typed(model: Any) -> None:
    model.graph.initializer[0].float_data[:] = [0.0] * 12


def _sparse(model: Any) -> None:
    model.graph.sparse_initializer.add()


def _function(model: Any) -> None:
    model.functions.add(name="f", domain="")


def _attribute(**fields: Any) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        model.graph.node[0].attribute.add(**fields)

    return change


def _with_tensor(model: Any) -> None:
    model.graph.node[0].attribute.append(helper.make_attribute("alpha", numpy_helper.from_array(np.ones(1))))


def _twice(model: Any) -> None:
    model.graph.node[0].attribute.extend([helper.make_attribute("alpha", 1.0)] * 2)


def _dim(**fields: Any) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        dim = model.graph.input[0].type.tensor_type.shape.dim[1]
        dim.Clear()
        for key, value in fields.items():
            setattr(dim, key, value)

    return change


def _sequence(model: Any) -> None:
    model.graph.output[0].type.Clear()
    model.graph.output[0].type.sequence_type.elem_type.tensor_type.elem_type = 1


CHANGES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "no version": (lambda m: m.ClearField("ir_version"), "IR version 0, this program reads 4 to 10"),
    "newer": (lambda m: setattr(m, "ir_version", 11), "IR version 11"),
    "no opset": (lambda m: m.ClearField("opset_import"), "expected each once"),
    "opset twice": (lambda m: m.opset_import.add(domain="", version=17), "expected each once"),
    "newer opset": (lambda m: setattr(m.opset_import[0], "version", 23), "opset of '', version 23"),
    "alias": (lambda m: m.opset_import.add(domain="ai.onnx", version=17), "operator domain 'ai.onnx'"),
    "training": (lambda m: m.training_info.add(), "training information"),
    "function": (_function, "functions"),
    "no graph": (lambda m: m.ClearField("graph"), "a graph with 0 of 'node'"),
    "many nodes": (lambda m: m.graph.node.extend([m.graph.node[0]] * 5000), "5004 of 'node'"),
    "overflow": (_big_constant, r"size \[4611686018427387904, 4\], expected"),
    "negative": (lambda m: m.graph.initializer[0].dims.__setitem__(0, -4), r"size \[-4, 3\], expected"),
    "empty": (lambda m: m.graph.initializer[0].dims.__setitem__(0, 0), "48 bytes, expected 0"),
    "many axes": (lambda m: m.graph.initializer[0].dims.extend([1] * 9), "constant 'c0' of type 1"),
    "short": (lambda m: m.graph.initializer[0].dims.__setitem__(0, 5), "48 bytes, expected 60"),
    "float16": (lambda m: setattr(m.graph.initializer[0], "data_type", 10), "of type 10"),
    "float64": (lambda m: setattr(m.graph.initializer[0], "data_type", 11), "48 bytes, expected 96"),
    "vast nothing": (lambda m: m.graph.initializer[0].dims.extend([0, 2**62]), "expected a float or int64"),
    "too big": (lambda m: m.graph.initializer[0].dims.append(2**40), "expected"),
    "typed data": (_typed, "data outside raw_data in a constant"),
    "sparse": (_sparse, "a sparse constant"),
    "one name": (lambda m: m.graph.initializer.append(m.graph.initializer[0]), "two constants of one name"),
    "value_info": (lambda m: m.graph.value_info.add(name="t"), "unknown field 13"),
    "double input": (lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", 11), "port 'x'"),
    "sequence": (_sequence, "a sequence in a type"),
    "two sizes": (_dim(dim_value=-1), "port 'x' with an axis"),
    "no size": (_dim(), "port 'x' with an axis"),
    "two rows": (_dim(dim_param="n"), r"tensor 'x' \(k, k\), expected rows on the first axis only"),
    "inputs": (lambda m: m.graph.input.append(m.graph.input[0]), "two inputs or two outputs of one name"),
    "output": (lambda m: setattr(m.graph.output[0], "name", "z"), "tensor 'z' used before it is made"),
    "order": (lambda m: m.graph.node.insert(0, m.graph.node.pop()), "used before it is made"),
    "same result": (lambda m: m.graph.node.append(m.graph.node[0]), "defined twice"),
    "shadow": (lambda m: m.graph.node[1].output.__setitem__(0, "c0"), "tensor 'c0' defined twice"),
    "two results": (lambda m: m.graph.node[0].output.append("z"), "3 inputs and 2 outputs"),
    "arity": (lambda m: m.graph.node[1].input.append("x"), "Relu with 2 inputs"),
    "attribute twice": (_twice, "attribute 'alpha' of Gemm"),
    "attribute": (_attribute(name="colour", i=1, type=2), "attribute 'colour' of Gemm"),
    "kind": (_attribute(name="alpha", i=1, type=2), "attribute 'alpha' of Gemm.*as i"),
    "two values": (_attribute(name="alpha", f=1, i=1, type=1), "attribute 'alpha' of Gemm"),
    "reference": (_attribute(name="alpha", ref_attr_name="a", type=1), "unknown field 21"),
    "tensor": (_with_tensor, "a tensor in a node attribute"),
    "metadata": (lambda m: m.metadata_props.add(key="k", value="v" * 10**7), "value of 10000000 bytes"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_what_a_bundle_never_contains_is_refused(name: str) -> None:
    change, reason = CHANGES[name]
    model = _good()
    change(model)
    _refused(model.SerializePartialToString(), reason)


def test_a_default_of_an_input_has_its_shape() -> None:
    model = _good()
    model.graph.input.append(helper.make_tensor_value_info("bias", TensorProto.FLOAT, [1]))
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(1, np.float32), "bias"))
    assert check_onnx(model.SerializeToString(), "file").inputs["bias"] == (1,)
    model.graph.initializer[-1].CopyFrom(numpy_helper.from_array(np.zeros(2, np.float32), "bias"))
    _refused(model.SerializeToString(), r"input 'bias' \(1\) with a default \(2\)")


# --- what a small file could ask for --------------------------------------------------------------


def _doubling() -> bytes:
    names = ["x", *(f"d{i}" for i in range(40)), "y"]
    return _nodes(*(_node("Concat", a, a, out=b, axis=1) for a, b in itertools.pairwise(names)))


def _outer() -> bytes:
    ones = {name: np.ones(shape, np.float32) for name, shape in
            (("a", (1000, 1, 1)), ("b", (1000, 1)), ("c", (1000,)))}  # fmt: skip
    return _nodes(_node("Add", "a", "b", out="ab"), _node("Mul", "ab", "c"), **ones)


def _busy() -> bytes:
    square = [_node("MatMul", f"h{i}", "w", out=f"h{i + 1}") for i in range(200)]
    return _nodes(_node("MatMul", "x", "v", out="h0"), *square, _node("Identity", "h200"),
                  v=np.ones((WIDTH, 512), np.float32), w=np.ones((512, 512), np.float32))  # fmt: skip


COLUMN = np.array([0])
GREEDY = {
    "doubling": (_doubling(), "a row needs 262136 values"),
    "outer product": (_outer(), "a row needs 1000000 values"),
    "products": (_busy(), "multiplications, expected at most"),
    "rows by rows": (
        _nodes(_node("Gather", "x", "i", out="a", axis=1), _node("Gather", "x", "j", out="b", axis=1),
               _node("Add", "a", "b"), i=np.array(0), j=COLUMN),
        r"\(k, k\), expected rows on the first axis only",
    ),
    "rows joined": (_nodes(_node("Concat", "x", "x", axis=0)), "cannot be joined along axis 0"),
    "rows picked": (_nodes(_node("Gather", "x", "i", axis=0), i=COLUMN), "mixes the rows"),
    "rows reduced": (_nodes(_node("ReduceMax", "x", axes=[0])), "mixes the rows"),
    "rows cut": (_nodes(_node("Slice", "x", "i", "j", "i"), i=COLUMN, j=np.array([1])), "mixes the rows"),
    "transposed": (_nodes(_node("Gemm", "x", "x", transA=1)), "transA"),
    "index": (_nodes(_node("Gather", "x", "i", axis=1), i=np.array([WIDTH])), "an index beyond axis 1"),
    "reshaped rows": (_nodes(_node("Reshape", "x", "i"), i=np.array([-1, 2])), "expected rows kept"),
    "reshaped values": (_nodes(_node("Reshape", "x", "i"), i=np.array([0, 2])), "rows of 4 values"),
    "reshaped to nothing": (_nodes(_node("Reshape", "x", "i"), i=np.array([0, 4, -1])), "sizes above 0"),
    "reshaped constant": (
        _nodes(_node("Reshape", "w", "i", out="r"), _node("Add", "x", "r"), i=np.array([0, 4]),
               w=np.ones((1, 4), np.float32)), "expected rows kept",
    ),
    "axis": (_nodes(_node("Gather", "x", "i", axis=2), i=COLUMN), "axis 2 of"),
    "axes": (_nodes(_node("ReduceMax", "x")), "0 axes, expected 1"),
    "backwards": (_nodes(_node("Slice", "x", "j", "i", "j", "m"), i=COLUMN, j=COLUMN + 1, m=COLUMN - 1),
                  "backwards"),
    "empty": (_nodes(_node("Slice", "x", "i", "i", "j", out="e"), _node("ReduceMax", "e", axes=[1]),
                     i=COLUMN, j=np.array([1])), "the largest or smallest of nothing"),
    "computed bounds": (_nodes(_node("Slice", "x", "x", "x", "x")), "expected constants"),
    "lengths": (_nodes(_node("Slice", "x", "i", "j", "i"), i=COLUMN, j=np.array([1, 2])), "of different"),
    "product": (_nodes(_node("MatMul", "x", "w"), w=np.ones((3, 3), np.float32)), "no matrix product"),
    "offset": (
        _nodes(_node("Gemm", "x", "w", "b"), w=np.ones((4, 4), np.float32), b=np.ones((2, 4), np.float32)),
        r"do not fit together|an offset",
    ),
    "widths": (_nodes(_node("Add", "x", "b"), b=np.ones(3, np.float32)), "do not fit together"),
    "declared": (_nodes(_node("ArgMax", "x", axis=1)), r"'y' declared \(k, 4\), computed \(k, 1\)"),
    "operator": (_nodes(_node("ConstantOfShape", "x")), "operator 'ConstantOfShape' is not one"),
    "cast": (_nodes(_node("Cast", "x", to=TensorProto.STRING)), "type 8, expected float32 or float64"),
}  # fmt: skip


@pytest.mark.parametrize("name", GREEDY)
def test_shapes_that_do_not_work_out_are_refused(name: str) -> None:
    _refused(*GREEDY[name])


# --- trees ----------------------------------------------------------------------------------------


def _trees(**changes: Callable[[Any], Any]) -> bytes:
    model = onnx.load_from_string(tree_graph(WIDTH))
    for attribute in model.graph.node[0].attribute:
        if attribute.name in changes:
            changes[attribute.name](attribute)
    return bytes(model.SerializeToString())


def _first(value: int) -> Callable[[Any], None]:
    return lambda attribute: attribute.ints.__setitem__(0, value)


def _mode(value: bytes) -> Callable[[Any], None]:
    return lambda attribute: attribute.strings.__setitem__(0, value)


TREES: dict[str, tuple[dict[str, Callable[[Any], Any]], str]] = {
    "ring": ({"nodes_truenodeids": _first(0)}, "with a ring"),
    "missing child": ({"nodes_truenodeids": _first(40)}, "a branch to a node that is not there"),
    "far child": ({"nodes_falsenodeids": _first(2**62)}, "nodes_falsenodeids of trees"),
    "feature": ({"nodes_featureids": _first(WIDTH)}, "nodes_featureids of trees.*of 0 to 3"),
    "negative feature": ({"nodes_featureids": _first(-1)}, "nodes_featureids of trees"),
    "target": ({"target_ids": _first(10)}, "target_ids of trees.*of 0 to 9"),
    "not a leaf": ({"target_nodeids": _first(0)}, "a value that is not at a leaf"),
    "same node": ({"nodes_nodeids": _first(1)}, "two nodes of one number"),
    "length": ({"nodes_values": lambda a: a.floats.pop()}, "nodes_values of trees: 89 values, expected 90"),
    "weights": ({"target_weights": lambda a: a.floats.pop()}, "target_weights of trees"),
    "mode": ({"nodes_modes": _mode(b"BRANCH_MEMBER")}, "nodes of kind"),
    "no nodes": ({"nodes_modes": lambda a: a.ClearField("strings")}, "trees with nodes of kind"),
    "targets": ({"n_targets": lambda a: setattr(a, "i", 2**40)}, "trees with 1099511627776 targets"),
    "sum": ({"aggregate_function": lambda a: setattr(a, "s", b"MAX")}, "expected a sum"),
    "transform": ({"post_transform": lambda a: setattr(a, "s", b"PROBIT")}, "expected nothing"),
    "type": ({"nodes_values": lambda a: setattr(a, "type", 7)}, "attribute 'nodes_values'"),
}


@pytest.mark.parametrize("name", TREES)
def test_unsound_trees_are_refused(name: str) -> None:
    changes, reason = TREES[name]
    _refused(_trees(**changes), reason)


def test_sound_trees_are_accepted() -> None:
    assert check_onnx(_trees(), "file").outputs["state"] == (None, 3)


def test_a_chain_of_branches_is_refused() -> None:
    n = 601
    ids = np.arange(n)
    leaf = (ids % 2 == 1) | (ids == n - 1)
    chain = _node(
        "TreeEnsembleRegressor", "x", domain="ai.onnx.ml", n_targets=WIDTH,
        nodes_treeids=[0] * n, nodes_nodeids=ids.tolist(), nodes_featureids=[0] * n,
        nodes_modes=np.where(leaf, "LEAF", "BRANCH_LT").tolist(), nodes_values=[0.0] * n,
        nodes_truenodeids=np.where(leaf, 0, ids + 1).tolist(),
        nodes_falsenodeids=np.where(leaf, 0, ids + 2).tolist(),
        target_treeids=[0], target_nodeids=[n - 1], target_ids=[0], target_weights=[1.0],
    )  # fmt: skip
    _refused(_nodes(chain), "deeper than 256 branches")


def test_names_in_a_message_are_cut(tmp_path: Path) -> None:
    model = _good()
    model.graph.node[0].op_type = "A" * 60_000
    with pytest.raises(BundleError) as caught:
        check_onnx(model.SerializeToString(), "file")
    assert len(str(caught.value)) < 600

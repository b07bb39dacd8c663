"""Checks an ONNX file before a session is made, without the `onnx` package: walks its protobuf fields."""

from collections.abc import Iterator

from simcore.errors import BundleError

MAX_BYTES = 32 * 1024 * 1024
MAX_IR_VERSION = 10
MAX_OPSET = {"": 22, "ai.onnx.ml": 3}
# fmt: off
ALLOWED_OPS = frozenset((
    "Abs", "Add", "ArgMax", "Cast", "Concat", "Div", "Exp", "Gather", "Gemm", "Greater", "Identity", "Log",
    "MatMul", "Max", "Min", "Mul", "Neg", "Pow", "ReduceMax", "ReduceMin", "Relu", "Sigmoid", "Slice",
    "Sqrt", "Sub", "Tanh", "TreeEnsembleRegressor", "Where",
))
# fmt: on

# Field numbers of onnx.proto3.
MODEL_IR_VERSION, MODEL_GRAPH, MODEL_OPSET, MODEL_TRAINING, MODEL_FUNCTIONS = 1, 7, 8, 20, 25
OPSET_DOMAIN, OPSET_VERSION = 1, 2
GRAPH_NODE, GRAPH_INITIALIZER = 1, 5
NODE_OP, NODE_ATTRIBUTE, NODE_DOMAIN = 4, 5, 7
ATTRIBUTE_TENSOR, ATTRIBUTE_GRAPH, ATTRIBUTE_GRAPHS = 5, 6, 11
TENSOR_EXTERNAL, TENSOR_LOCATION = 13, 14

Value = int | bytes


def check_onnx(data: bytes, where: str) -> None:
    """Refuse what a bundle never contains; raises BundleError that begins with `where`."""
    if len(data) > MAX_BYTES:
        raise BundleError(f"{where}: {len(data)} bytes, expected at most {MAX_BYTES}")
    try:
        _check_model(data, where)
    except (IndexError, ValueError) as error:
        raise BundleError(f"{where}: not an ONNX file: {error}") from error


def _check_model(data: bytes, where: str) -> None:
    graphs = 0
    for field, value in _fields(data):
        if field == MODEL_IR_VERSION and int(value) > MAX_IR_VERSION:
            raise BundleError(f"{where}: IR version {value!r}, expected at most {MAX_IR_VERSION}")
        if field in (MODEL_TRAINING, MODEL_FUNCTIONS):
            raise BundleError(f"{where}: contains training information or functions, expected a plain graph")
        if field == MODEL_OPSET:
            _check_opset(dict(_fields(_bytes(value))), where)
        if field == MODEL_GRAPH:
            graphs += 1
            _check_graph(_bytes(value), where)
    if graphs != 1:
        raise ValueError(f"{graphs} graphs")


def _check_opset(opset: dict[int, Value], where: str) -> None:
    domain, version = _bytes(opset.get(OPSET_DOMAIN, b"")).decode(), opset.get(OPSET_VERSION, 0)
    if domain not in MAX_OPSET:
        raise BundleError(f"{where}: operator domain '{domain}', expected one of {list(MAX_OPSET)}")
    if not isinstance(version, int) or version > MAX_OPSET[domain]:
        raise BundleError(f"{where}: opset {version!r} of '{domain}', expected at most {MAX_OPSET[domain]}")


def _check_graph(graph: bytes, where: str) -> None:
    for field, value in _fields(graph):
        if field == GRAPH_NODE:
            _check_node(_bytes(value), where)
        if field == GRAPH_INITIALIZER:
            _check_tensor(_bytes(value), where)


def _check_node(node: bytes, where: str) -> None:
    op, domain = "", ""
    for field, value in _fields(node):
        if field == NODE_OP:
            op = _bytes(value).decode()
        if field == NODE_DOMAIN:
            domain = _bytes(value).decode()
        if field == NODE_ATTRIBUTE:
            for inner, content in _fields(_bytes(value)):
                if inner in (ATTRIBUTE_GRAPH, ATTRIBUTE_GRAPHS):
                    raise BundleError(f"{where}: a node holds a graph of its own, expected none")
                if inner == ATTRIBUTE_TENSOR:
                    _check_tensor(_bytes(content), where)
    if domain not in MAX_OPSET or op not in ALLOWED_OPS:
        name = f"{domain}.{op}" if domain else op
        raise BundleError(f"{where}: operator '{name}' is not one that a bundle may contain")


def _check_tensor(tensor: bytes, where: str) -> None:
    for field, value in _fields(tensor):
        if field == TENSOR_EXTERNAL or (field == TENSOR_LOCATION and value != 0):
            raise BundleError(f"{where}: external data, expected all weights inside the file")


def _bytes(value: Value) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number where a message belongs")
    return value


def _fields(data: bytes) -> Iterator[tuple[int, Value]]:
    """Yield (field number, value) of a protobuf message; raises ValueError or IndexError if damaged."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        field, wire = key >> 3, key & 7
        if wire == 0:
            value, position = _varint(data, position)
            yield field, value
            continue
        if wire == 2:
            size, position = _varint(data, position)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if position + size > len(data):
            raise ValueError("the file ends inside a message")
        yield field, data[position : position + size]
        position += size


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position
    raise ValueError("a number of more than ten bytes")

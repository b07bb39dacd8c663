"""Checks an ONNX file before a session is made, without the `onnx` package: form, operators, sizes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from simcore.errors import BundleError
from surrogates.onnx_schema import ATTRIBUTE_TYPES, DOUBLE, FLOAT, INT64, MODEL
from surrogates.onnx_shapes import OPERATORS, Shape, Tensor, elements, shown
from surrogates.protobuf import Message, Reader

MAX_BYTES = 32 * 1024 * 1024
IR_VERSIONS = (4, 10)
OPSETS = {"": (13, 22), "ai.onnx.ml": (1, 3)}
MAX_NODES = 4096
MAX_PORTS = 64
MAX_AXES = 6
MAX_ROW = 1 << 17
"""Values that all nodes together return for one row of a call."""
MAX_WORK = 1 << 24
"""Multiplications of all matrix products for one row of a call."""
MAX_REASON = 500
"""Characters of a message: names in a file may be long."""
ITEM_BYTES = {FLOAT: 4, INT64: 8, DOUBLE: 8}


@dataclass(frozen=True, slots=True)
class Ports:
    """What goes into a graph and what comes out, by name; all of it float32."""

    inputs: Mapping[str, Shape]
    outputs: Mapping[str, Shape]


def check_onnx(data: bytes, where: str) -> Ports:
    """Return the ports of a graph; refuse what a bundle never contains: BundleError, begins with `where`."""
    if len(data) > MAX_BYTES:
        raise BundleError(f"{where}: {len(data)} bytes, expected at most {MAX_BYTES}")
    try:
        model = Reader().read(data, MODEL)
        _check_versions(model)
        return _Graph(model.get("graph", {})).check()
    except ValueError as error:
        raise BundleError(f"{where}: {str(error)[:MAX_REASON]}") from error


def _check_versions(model: Message) -> None:
    _check_version("IR", model.get("ir_version", 0), IR_VERSIONS)
    domains = [opset.get("domain", "") for opset in model.get("opset", [])]
    if len(set(domains)) < len(domains) or "" not in domains:
        raise ValueError(f"opsets of the operator domains {domains[:3]}, expected each once, and ''")
    for domain, opset in zip(domains, model["opset"], strict=True):
        if domain not in OPSETS:
            raise ValueError(f"operator domain {domain!r}, expected one of {list(OPSETS)}")
        _check_version(f"opset of '{domain}',", opset.get("version", 0), OPSETS[domain])


def _check_version(what: str, found: int, known: tuple[int, int]) -> None:
    if not known[0] <= found <= known[1]:
        raise ValueError(f"{what} version {found}, this program reads {known[0]} to {known[1]}")


class _Graph:
    """A graph and the tensors that are known so far."""

    def __init__(self, graph: Message) -> None:
        self._graph = graph
        self._tensors: dict[str, Tensor] = {}
        self._row = self._work = 0

    def check(self) -> Ports:
        """Go through the graph in order; raises ValueError."""
        nodes, constants = self._list("node", MAX_NODES), self._list("initializer", MAX_NODES)
        inputs = {port.get("name", ""): _port_shape(port) for port in self._list("input", MAX_PORTS)}
        outputs = {port.get("name", ""): _port_shape(port) for port in self._list("output", MAX_PORTS)}
        if len(inputs) < len(self._graph["input"]) or len(outputs) < len(self._graph["output"]):
            raise ValueError("two inputs or two outputs of one name")
        defaults = {constant.get("name", ""): _constant(constant) for constant in constants}
        if len(defaults) < len(constants):
            raise ValueError("two constants of one name")
        for name, tensor in defaults.items():
            if name not in inputs:
                self._define(name, tensor)
            elif tensor.shape != inputs[name]:
                raise ValueError(f"input '{name}' {shown(inputs[name])} with a default {shown(tensor.shape)}")
        for name, shape in inputs.items():
            self._define(name, Tensor(shape))
        for node in nodes:
            self._check_node(node)
        for name, shape in outputs.items():
            if self._tensor(name).shape != shape:
                raise ValueError(
                    f"output '{name}' declared {shown(shape)}, computed {shown(self._tensor(name).shape)}"
                )
        return Ports(inputs, outputs)

    def _list(self, what: str, most: int) -> list[Message]:
        found: list[Message] = self._graph.get(what, [])
        if len(found) > most or (not found and what != "initializer"):
            raise ValueError(f"a graph with {len(found)} of '{what}', expected 1 to {most}")
        return found

    def _check_node(self, node: Message) -> None:
        key = (node.get("domain", ""), node.get("op_type", ""))
        if key not in OPERATORS:
            raise ValueError(f"operator {'.'.join(filter(None, key))!r} is not one that a bundle may contain")
        operator, names, results = OPERATORS[key], node.get("input", []), node.get("output", [])
        if not operator.fewest <= len(names) <= operator.most or len(results) != 1:
            raise ValueError(
                f"{key[1]} with {len(names)} inputs and {len(results)} outputs, "
                f"expected {operator.fewest} to {operator.most} and 1"
            )
        inputs = [self._tensor(name) for name in names]
        attributes = _attributes(node, operator.attributes)
        try:
            shape = operator.shape(inputs, attributes)
        except ValueError as error:
            raise ValueError(f"{key[1]} that makes {results[0]!r}: {error}") from error
        self._define(results[0], Tensor(shape))
        self._row += elements(shape)
        self._work += elements(shape) * (inputs[0].shape[-1] or 1) if key[1] in ("Gemm", "MatMul") else 0
        if self._row > MAX_ROW or self._work > MAX_WORK:
            raise ValueError(
                f"at {results[0]!r} a row needs {self._row} values and {self._work} multiplications, "
                f"expected at most {MAX_ROW} and {MAX_WORK}"
            )

    def _define(self, name: str, tensor: Tensor) -> None:
        if not name or name in self._tensors:
            raise ValueError(f"tensor {name!r} defined twice, or without a name")
        if None in tensor.shape[1:] or len(tensor.shape) > MAX_AXES:
            raise ValueError(f"tensor {name!r} {shown(tensor.shape)}, expected rows on the first axis only")
        self._tensors[name] = tensor

    def _tensor(self, name: str) -> Tensor:
        if name not in self._tensors:
            raise ValueError(f"tensor {name!r} used before it is made")
        return self._tensors[name]


def _port_shape(port: Message) -> Shape:
    tensor = port.get("type", {}).get("tensor_type", {})
    if tensor.get("elem_type") != FLOAT or "shape" not in tensor:
        raise ValueError(f"port {port.get('name', '')!r}, expected float32 with a shape")
    shape: list[int | None] = []
    for dim in tensor["shape"].get("dim", []):
        if ("value" in dim) == ("symbol" in dim) or not 0 <= dim.get("value", 0) <= MAX_ROW:
            raise ValueError(f"port {port.get('name', '')!r} with an axis {dim}, expected one size")
        shape.append(dim.get("value"))
    return tuple(shape)


def _constant(constant: Message) -> Tensor:
    name, kind, dims = constant.get("name", ""), constant.get("data_type", 0), constant.get("dims", [])
    if kind not in ITEM_BYTES or len(dims) > MAX_AXES or any(not 0 <= size <= MAX_BYTES for size in dims):
        raise ValueError(f"constant {name!r} of type {kind} and size {dims[:9]}, expected a float or int64")
    raw, expected = constant.get("raw_data", b""), ITEM_BYTES[kind]
    for size in dims:
        expected *= size
    if len(raw) != expected:
        raise ValueError(f"constant {name!r} of size {dims} with {len(raw)} bytes, expected {expected}")
    values = np.frombuffer(raw, "<i8").reshape(dims) if kind == INT64 else None
    return Tensor(tuple(dims), values)


def _attributes(node: Message, expected: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for attribute in node.get("attribute", []):
        name, field = attribute.get("name", ""), ATTRIBUTE_TYPES.get(attribute.get("type", 0), "")
        extra = attribute.keys() - {"name", "type", field}
        if expected.get(name) != field or name in values or extra:
            raise ValueError(
                f"attribute {name!r} of {node['op_type']}: given twice, or not known as {field or 'such'}"
            )
        values[name] = attribute.get(field, {"i": 0, "f": 0.0, "s": b""}.get(field, []))
    return values

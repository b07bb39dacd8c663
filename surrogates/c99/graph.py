"""Translates an ONNX graph into statements of C; needs the `onnx` package to read the file.

A bundle's graph never mixes rows, so a function of one row is enough: a tensor (k, n) is an array of n.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from simcore.errors import BundleError
from surrogates.bundle import EVENT_BIAS
from surrogates.c99.body import Body, Operation, Value
from surrogates.c99.operators import OPERATIONS


def translate(data: bytes, prefix: str, where: str) -> tuple[Body, dict[str, Value]]:
    """Return the statements of a graph whose input is `x`, and its outputs by name, empty ones left out.

    Names of tables begin with `prefix`. Where a graph would let its caller decide on the event
    (`event_bias`), the model decides. An operator or a shape without a row-wise meaning raises BundleError,
    which begins with `where`.
    """
    graph = onnx.load_from_string(data).graph
    body = Body(prefix, where)
    values = {tensor.name: _constant(tensor) for tensor in graph.initializer}
    values["x"] = Value("x", next(_width(port) for port in graph.input if port.name == "x"))
    values[EVENT_BIAS] = Value("", 1, constant=np.zeros((1, 1), dtype=np.float32))
    widths = {output.name: _width(output) for output in graph.output if _width(output)}
    for node in _needed(graph.node, set(widths)):
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        operation = Operation(node.op_type, tuple(values[name] for name in node.input if name), attributes)
        if node.op_type not in OPERATIONS:
            raise body.refuse(operation, f"expected one of {', '.join(sorted(OPERATIONS))}")
        values[node.output[0]] = OPERATIONS[node.op_type](body, operation)
    outputs = {name: values[name] for name in widths}
    for name, value in outputs.items():
        if value.width != widths[name] or value.constant is not None:
            kind = "columns" if value.constant is None else "constant columns"
            raise BundleError(f"{where}: output '{name}' has {value.width} {kind}, expected {widths[name]}")
    return body, outputs


def _needed(nodes: Sequence[Any], wanted: set[str]) -> list[Any]:
    """Return the nodes that an output depends on, in order."""
    needed = []
    for node in reversed(nodes):
        if wanted & set(node.output):
            needed.append(node)
            wanted |= set(node.input)
    return needed[::-1]


def _constant(tensor: Any) -> Value:
    array = numpy_helper.to_array(tensor)
    return Value("", array.shape[-1] if array.ndim else 1, constant=array)


def _width(port: Any) -> int:
    dims = port.type.tensor_type.shape.dim
    return int(dims[1].dim_value) if len(dims) > 1 else 1

"""Physics features: named arithmetic over port names, evaluated in numpy and emitted as ONNX nodes."""

import ast
import keyword
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from simcore.errors import CircuitError
from simcore.spec import CircuitSpec, PortKind

Floats = NDArray[np.float64]
Rows = NDArray[np.float32]
Values = NDArray[np.floating[Any]]
T = TypeVar("T")

_BINARY: dict[type[ast.operator], str] = {
    ast.Add: "Add", ast.Sub: "Sub", ast.Mult: "Mul", ast.Div: "Div", ast.Pow: "Pow",
}  # fmt: skip
_MAPS = {"abs": "Abs", "exp": "Exp", "tanh": "Tanh", "sqrt": "Sqrt", "log": "Log"}
_ARGUMENTS = {
    **dict.fromkeys((*_MAPS, "square", "sum"), (1,)), "clip": (3,), "min": (1, 2), "max": (1, 2), "dot": (2,),
}  # fmt: skip

# A port may be named like a Python keyword (`in`): no keyword means anything here.
_WORD = re.compile(r"[A-Za-z_]\w*")
_ESCAPE = "__port"


@dataclass(frozen=True, slots=True)
class Node:
    """One operation: an elementwise ONNX operator, `Constant`, `Name`, `sum`, `min`, `max`, or `dot`."""

    op: str
    args: tuple["Node", ...] = ()
    width: int = 1
    value: float = 0.0
    name: str = ""


@dataclass(frozen=True, slots=True)
class Feature:
    """One named expression; its width is 1, or the size of the array that it is."""

    name: str
    tree: Node
    uses: frozenset[str]
    """Port names that it depends on, directly or through other features."""


class Arithmetic(Protocol[T]):
    """Where an expression is carried out: numpy arrays, or nodes of an ONNX graph."""

    def constant(self, value: float) -> T:
        """Return a (1, 1) constant."""
        ...

    def apply(self, op: str, *args: T) -> T:
        """Apply an elementwise ONNX operator by its name."""
        ...

    def reduce(self, how: str, arg: T, width: int) -> T:
        """Reduce (k, width) to (k, 1) by `sum`, `min` or `max`."""
        ...

    def dot(self, a: T, b: T, n: int, m: int) -> T:
        """Return the products (k, m) of a vector (k, n) with m vectors that follow each other, (k, m * n)."""
        ...


def parse_features(spec: CircuitSpec) -> tuple[Feature, ...]:
    """Parse the manifest's `[features]` in order; one may use those before it.

    An array-valued feature is an intermediate that a later feature must use, if it has not one value for each
    output. Raises CircuitError that names circuit, feature and the unknown name.
    """
    parser = _Parser(spec)
    features = tuple(parser.parse(name, text) for name, text in spec.features.items())
    widths = (1, spec.width(PortKind.OUTPUT))
    for feature in features:
        if feature.tree.width not in widths and feature.name not in parser.named:
            raise CircuitError(
                f"circuit '{spec.name}', feature '{feature.name}' is an array of {feature.tree.width}: "
                "reduce it with sum, min or max, or use it in a later feature"
            )
    return features


def carry_out(features: Sequence[Feature], ports: Mapping[str, T], arithmetic: Arithmetic[T]) -> dict[str, T]:
    """Return the value of each feature by name; `ports` are (k, size) values by name."""
    values = dict(ports)
    for feature in features:
        values[feature.name] = _value(feature.tree, values, arithmetic)
    return {feature.name: values[feature.name] for feature in features}


def _value(node: Node, values: Mapping[str, T], arithmetic: Arithmetic[T]) -> T:
    if node.op == "Constant":
        return arithmetic.constant(node.value)
    if node.op == "Name":
        return values[node.name]
    args = [_value(arg, values, arithmetic) for arg in node.args]
    if node.op == "dot":
        return arithmetic.dot(args[0], args[1], node.args[0].width, node.width)
    if node.op in ("sum", "min", "max"):
        return arithmetic.reduce(node.op, args[0], node.args[0].width)
    return arithmetic.apply(node.op, *args)


class NumpyArithmetic:
    """Arithmetic on arrays of shape (k, width); in float32 what the graph computes, but for the last bits."""

    def __init__(self, dtype: type[np.floating[Any]]) -> None:
        self._dtype = dtype

    _OPS: ClassVar[Mapping[str, Callable[..., Any]]] = {
        "Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide, "Pow": np.power,
        "Neg": np.negative, "Abs": np.abs, "Exp": np.exp, "Tanh": np.tanh, "Sqrt": np.sqrt, "Log": np.log,
        "Min": np.minimum, "Max": np.maximum,
    }  # fmt: skip

    _REDUCTIONS: ClassVar[Mapping[str, Callable[..., Any]]] = {"sum": np.sum, "min": np.min, "max": np.max}

    def constant(self, value: float) -> Values:
        """Return the constant as (1, 1)."""
        return np.full((1, 1), value, dtype=self._dtype)

    def apply(self, op: str, *args: Values) -> Values:
        """Apply the operator's numpy counterpart."""
        return np.asarray(self._OPS[op](*args), dtype=self._dtype)

    def reduce(self, how: str, arg: Values, width: int) -> Values:
        """Reduce over the columns."""
        return np.asarray(self._REDUCTIONS[how](arg, axis=1, keepdims=True), dtype=self._dtype)

    def dot(self, a: Values, b: Values, n: int, m: int) -> Values:
        """Multiply and add."""
        return np.asarray((b.reshape(-1, m, n) @ a[:, :, None])[:, :, 0], dtype=self._dtype)


class _Parser:
    """Turns Python expressions into Nodes and checks names, functions and widths on the way."""

    def __init__(self, spec: CircuitSpec) -> None:
        self._circuit = spec.name
        self._widths = {port.name: port.size or 1 for port in spec.ports if port.kind is not PortKind.OUTPUT}
        self._uses = {name: frozenset({name}) for name in self._widths}
        self._feature = ""
        self.named: set[str] = set()

    def parse(self, name: str, text: str) -> Feature:
        self._feature = name
        if name in self._widths:
            raise self._error("the name is taken by a port or an earlier feature")
        try:
            tree = self._node(ast.parse(_WORD.sub(_escape, text).strip(), mode="eval").body)
        except SyntaxError as error:
            raise self._error(f"'{text}' is not an expression: {error.msg}") from error
        uses = frozenset[str]().union(*(self._uses[found] for found in names_of(tree)))
        self._widths[name], self._uses[name] = tree.width, uses
        return Feature(name, tree, uses)

    def _error(self, what: str) -> CircuitError:
        return CircuitError(f"circuit '{self._circuit}', feature '{self._feature}': {what}")

    def _node(self, node: ast.expr) -> Node:
        match node:
            case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
                return Node("Constant", value=float(value))
            case ast.Name(id=name):
                return self._name(name.removesuffix(_ESCAPE))
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self._node(operand)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return self._elementwise("Neg", self._node(operand))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
                return self._binary(_BINARY[type(op)], self._node(left), self._node(right))
            case ast.Call(func=ast.Name(id=function), args=args, keywords=[]):
                return self._call(function, [self._node(arg) for arg in args])
        raise self._error(
            f"'{ast.unparse(node).replace(_ESCAPE, '')}' is not allowed; use numbers, names, + - * / ** and "
            + ", ".join(_ARGUMENTS)
        )

    def _name(self, name: str) -> Node:
        if name not in self._widths:
            raise self._error(f"unknown name '{name}'; known: {', '.join(self._widths)}")
        self.named.add(name)
        return Node("Name", width=self._widths[name], name=name)

    def _binary(self, op: str, left: Node, right: Node) -> Node:
        squares = op == "Pow" and right.op == "Constant" and right.value == 2
        return self._elementwise("Mul", left, left) if squares else self._elementwise(op, left, right)

    def _elementwise(self, op: str, *args: Node) -> Node:
        sizes = sorted({arg.width for arg in args if arg.width != 1})
        if len(sizes) > 1:
            raise self._error(f"arrays of different size meet: {', '.join(map(str, sizes))}")
        return Node(op, args, sizes[0] if sizes else 1)

    def _call(self, function: str, args: list[Node]) -> Node:
        if function not in _ARGUMENTS:
            raise self._error(f"unknown function '{function}'; known: {', '.join(_ARGUMENTS)}")
        if len(args) not in _ARGUMENTS[function]:
            wanted = " or ".join(map(str, _ARGUMENTS[function]))
            raise self._error(f"{function}() takes {wanted} argument(s), got {len(args)}")
        if function in _MAPS:
            return self._elementwise(_MAPS[function], args[0])
        if function == "square":
            return self._elementwise("Mul", args[0], args[0])
        if function == "clip":
            return self._elementwise("Min", self._elementwise("Max", args[0], args[1]), args[2])
        if function == "dot":
            vector, vectors = args
            if vectors.width % vector.width:
                raise self._error(f"dot() of {vector.width} and {vectors.width} values, expected a multiple")
            return Node("dot", tuple(args), vectors.width // vector.width)
        if len(args) == 2:
            return self._elementwise(function.capitalize(), *args)
        return Node(function, tuple(args))


def _escape(word: re.Match[str]) -> str:
    return word[0] + (_ESCAPE if keyword.iskeyword(word[0]) else "")


def names_of(node: Node) -> frozenset[str]:
    """Return the ports and features that an expression names."""
    own = frozenset({node.name} if node.op == "Name" else ())
    return own.union(*(names_of(arg) for arg in node.args))

"""The operators that a bundle may contain, and the shapes of what they return.

Shapes are worked out before onnxruntime sees a graph: a file of a few kilobytes could otherwise ask for any
amount of memory, by joining a tensor with itself again and again, say.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from surrogates.onnx_schema import DOUBLE, FLOAT
from surrogates.onnx_trees import TREE_ATTRIBUTES, check_ensemble

Shape = tuple[int | None, ...]
"""Sizes of the axes, 0 where a circuit has no state; None for the rows of a call, on the first axis only."""
Attributes = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Tensor:
    """What is known of a tensor of a graph."""

    shape: Shape
    integers: NDArray[np.int64] | None = None
    """Its values, where it is a constant of integers."""


@dataclass(frozen=True, slots=True)
class Operator:
    """How an operator may be used: fewest and most inputs, shape of its only output, attributes."""

    fewest: int
    most: int
    shape: Callable[[Sequence[Tensor], Attributes], Shape]
    attributes: Mapping[str, str]
    """Name -> field that holds the value, see `onnx_schema.ATTRIBUTE_TYPES`."""


def shown(shape: Shape) -> str:
    """Return a shape as text, k for the rows."""
    return f"({', '.join('k' if size is None else str(size) for size in shape)})"


def elements(shape: Shape) -> int:
    """Return the number of values, those of one row where the tensor has rows."""
    return math.prod(size for size in shape if size is not None)


def _broadcast(inputs: Sequence[Tensor], attributes: Attributes) -> Shape:
    return _joined(*(tensor.shape for tensor in inputs))


def _joined(*shapes: Shape) -> Shape:
    width = max(map(len, shapes))
    padded = [(1,) * (width - len(shape)) + shape for shape in shapes]
    result: list[int | None] = []
    for sizes in zip(*padded, strict=True):
        wide = set(sizes) - {1}
        if len(wide) > 1:
            raise ValueError(f"shapes {' and '.join(map(shown, shapes))} do not fit together")
        result.append(wide.pop() if wide else 1)
    return tuple(result)


def _concat(inputs: Sequence[Tensor], attributes: Attributes) -> Shape:
    shapes = [tensor.shape for tensor in inputs]
    axis = _axis(attributes.get("axis"), shapes[0])
    sizes = [shape[axis] if len(shape) == len(shapes[0]) else None for shape in shapes]
    rest = {shape[:axis] + shape[axis + 1 :] for shape in shapes}
    if None in sizes or len(rest) > 1:
        raise ValueError(f"shapes {' and '.join(map(shown, shapes))} cannot be joined along axis {axis}")
    return (*shapes[0][:axis], sum(size or 0 for size in sizes), *shapes[0][axis + 1 :])


def _gather(inputs: Sequence[Tensor], attributes: Attributes) -> Shape:
    data, indices = inputs
    axis = _axis(attributes.get("axis", 0), data.shape)
    size = _fixed(data.shape, axis)
    if indices.integers is not None and not ((indices.integers >= -size) & (indices.integers < size)).all():
        raise ValueError(f"an index beyond axis {axis} of {shown(data.shape)}")
    return (*data.shape[:axis], *indices.shape, *data.shape[axis + 1 :])


def _gemm(inputs: Sequence[Tensor], attributes: Attributes) -> Shape:
    if attributes.get("transA", 0) != 0:
        raise ValueError("transA, expected 0")
    a, b = inputs[0].shape, inputs[1].shape
    if len(a) != 2 or len(b) != 2:
        raise ValueError(f"{shown(a)} and {shown(b)}, expected two axes each")
    product = _product(a, b[::-1] if attributes.get("transB", 0) else b)
    if len(inputs) == 3 and _joined(inputs[2].shape, product) != product:
        raise ValueError(f"an offset {shown(inputs[2].shape)} for a product {shown(product)}")
    return product


def _matmul(inputs: Sequence[Tensor], attributes: Attributes) -> Shape:
    return _product(inputs[0].shape, inputs[1].shape)


def _product(a: Shape, b: Shape) -> Shape:
    if len(a) < 2 or len(b) < 2 or a[-1] != b[-2]:
        raise ValueError(f"no matrix product of {shown(a)} and {shown(b)}")
    return (*_joined(a[:-2], b[:-2]), a[-2], b[-1])


def _reduce(inputs: Sequence[Tensor], attributes: Attributes) -> Shape:
    axes = _integers(inputs[1], "axes") if len(inputs) > 1 else attributes.get("axes", [])
    shape = inputs[0].shape
    if len(axes) != 1:
        raise ValueError(f"{len(axes)} axes, expected 1")
    return _without(shape, _axis(axes[0], shape), attributes)


def _arg_max(inputs: Sequence[Tensor], attributes: Attributes) -> Shape:
    shape = inputs[0].shape
    return _without(shape, _axis(attributes.get("axis", 0), shape), attributes)


def _without(shape: Shape, axis: int, attributes: Attributes) -> Shape:
    if not _fixed(shape, axis):
        raise ValueError(f"the largest or smallest of nothing, {shown(shape)}")
    left = (1,) if attributes.get("keepdims", 1) else ()
    return (*shape[:axis], *left, *shape[axis + 1 :])


def _slice(inputs: Sequence[Tensor], attributes: Attributes) -> Shape:
    shape = list(inputs[0].shape)
    starts, stops, axes = (_integers(tensor, "bounds") for tensor in inputs[1:4])
    steps = _integers(inputs[4], "steps") if len(inputs) > 4 else [1] * len(starts)
    if not len(starts) == len(stops) == len(axes) == len(steps) or any(step < 1 for step in steps):
        raise ValueError("bounds of a slice of different lengths, or backwards")
    for start, stop, axis, step in zip(starts, stops, axes, steps, strict=True):
        place = _axis(axis, tuple(shape))
        bounds = slice(start, stop, step).indices(_fixed(tuple(shape), place))
        shape[place] = len(range(*bounds))
    return tuple(shape)


def _reshape(inputs: Sequence[Tensor], attributes: Attributes) -> Shape:
    shape, sizes = inputs[0].shape, _integers(inputs[1], "sizes")
    if shape[:1] != (None,) or sizes[:1] != [0] or min(sizes[1:], default=0) < 1:
        raise ValueError(f"{shown(shape)} into {sizes}, expected rows kept (0) and other sizes above 0")
    if math.prod(sizes[1:]) != elements(shape):
        raise ValueError(f"{shown(shape)} into {sizes}: rows of {elements(shape)} values")
    return (None, *sizes[1:])


def _cast(inputs: Sequence[Tensor], attributes: Attributes) -> Shape:
    if attributes.get("to") not in (FLOAT, DOUBLE):
        raise ValueError(f"type {attributes.get('to')}, expected float32 or float64")
    return inputs[0].shape


def _ensemble(inputs: Sequence[Tensor], attributes: Attributes) -> Shape:
    shape = inputs[0].shape
    if len(shape) != 2:
        raise ValueError(f"trees on {shown(shape)}, expected two axes")
    return (shape[0], check_ensemble(attributes, _fixed(shape, 1)))


def _axis(axis: Any, shape: Shape) -> int:
    if not isinstance(axis, int) or not -len(shape) <= axis < len(shape):
        raise ValueError(f"axis {axis} of {shown(shape)}")
    return axis % len(shape)


def _fixed(shape: Shape, axis: int) -> int:
    size = shape[axis]
    if size is None:
        raise ValueError(f"a result that mixes the rows of {shown(shape)}")
    return size


def _integers(tensor: Tensor, what: str) -> list[int]:
    if tensor.integers is None or tensor.integers.ndim != 1:
        raise ValueError(f"{what}, expected constants in a list")
    return [int(value) for value in tensor.integers]


def _operator(fewest: int, most: int, shape: Any, **attributes: str) -> Operator:
    return Operator(fewest, most, shape, attributes)


_ONE, _TWO, _MANY = _operator(1, 1, _broadcast), _operator(2, 2, _broadcast), _operator(1, 64, _broadcast)

OPERATORS: Mapping[tuple[str, str], Operator] = {
    **{("", op): _ONE for op in ("Abs", "Elu", "Exp", "Identity", "Log", "Neg", "Relu", "Sigmoid")},
    **{("", op): _ONE for op in ("Sqrt", "Tanh")},
    **{("", op): _TWO for op in ("Add", "Div", "Greater", "Mul", "Pow", "Sub")},
    **{("", op): _MANY for op in ("Max", "Min")},
    ("", "ArgMax"): _operator(1, 1, _arg_max, axis="i", keepdims="i", select_last_index="i"),
    ("", "Cast"): _operator(1, 1, _cast, to="i"),
    ("", "Concat"): _operator(1, 1024, _concat, axis="i"),
    ("", "Gather"): _operator(2, 2, _gather, axis="i"),
    ("", "Gemm"): _operator(2, 3, _gemm, alpha="f", beta="f", transA="i", transB="i"),
    ("", "MatMul"): _operator(2, 2, _matmul),
    ("", "ReduceMax"): _operator(1, 2, _reduce, axes="ints", keepdims="i"),
    ("", "ReduceMin"): _operator(1, 2, _reduce, axes="ints", keepdims="i"),
    ("", "Reshape"): _operator(2, 2, _reshape),
    ("", "Slice"): _operator(4, 5, _slice),
    ("", "Where"): _operator(3, 3, _broadcast),
    ("ai.onnx.ml", "TreeEnsembleRegressor"): _operator(1, 1, _ensemble, **TREE_ATTRIBUTES),
}
"""(domain, operator) -> how it may be used."""

"""GraphBuilder: builds an ONNX graph node by node (needs the `onnx` package; the run time does not).

Tensors are narrow, (k, 10) or so. An operation that repeats a row or a column over such a tensor takes
onnxruntime three to nine times as long as one of two equal shapes, hence `affine` takes in a standardisation,
`scaled` is taken in by the affine layer before it, and `choose` widens its condition by a product.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

# What onnxruntime 1.20 to 1.31 reads; the helper's own defaults are newer and refused.
IR_VERSION = 8
OPSET = 17
ML_OPSET = 3
LARGEST_SHIFT = 100.0
"""A column whose mean is so many times its spread is standardised apart: a product would round it away."""
MOST_SLICES = 3
"""Runs of columns up to which slices are faster than a gather."""


class GraphBuilder:
    """Collects nodes and constants; every method that adds a node returns the name of its tensor."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: list[Any] = []
        self._constants: dict[bytes, str] = {}
        self._initializers: list[Any] = []
        self._count = 0
        self._standardised: dict[str, tuple[str, NDArray[Any], NDArray[Any]]] = {}
        self._affine: dict[str, tuple[str, NDArray[Any], NDArray[Any]]] = {}

    def add(self, op: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output."""
        self._count += 1
        output = f"t{self._count}_{op.lower()}"
        self._nodes.append(helper.make_node(op, list(inputs), [output], domain=domain, **attributes))
        return output

    def tensor(self, values: NDArray[Any], *, exact: bool = False) -> str:
        """Add a constant; float64 becomes float32, if not `exact`."""
        narrow = values.dtype.kind == "f" and not exact
        array = np.array(values, dtype=np.float32 if narrow else values.dtype, order="C")
        key = str((array.dtype, array.shape)).encode() + array.tobytes()
        if key not in self._constants:
            self._constants[key] = f"c{len(self._constants)}"
            self._initializers.append(numpy_helper.from_array(array, self._constants[key]))
        return self._constants[key]

    def columns(self, source: str, columns: slice) -> str:
        """Slice columns of a (k, n) tensor."""
        bounds = (self.tensor(np.array([bound])) for bound in (columns.start, columns.stop, 1))
        start, stop, axis = bounds
        return self.add("Slice", source, start, stop, axis)

    def gather(self, source: str, indices: Sequence[int]) -> str:
        """Pick columns of a (k, n) tensor by index."""
        breaks = [i for i, (a, b) in enumerate(pairwise(indices), 1) if b != a + 1]
        ends = [0, *breaks, len(indices)]
        if len(breaks) < MOST_SLICES:
            runs = [slice(indices[start], indices[end - 1] + 1) for start, end in pairwise(ends)]
            return self.concat([self.columns(source, run) for run in runs])
        return self.add("Gather", source, self.tensor(np.array(indices, dtype=np.int64)), axis=1)

    def column(self, source: str, index: int) -> str:
        """Take one column as a (k,) tensor."""
        return self.add("Gather", source, self.tensor(np.array(index, dtype=np.int64)), axis=1)

    def concat(self, parts: Sequence[str]) -> str:
        """Join (k, n) tensors side by side."""
        return parts[0] if len(parts) == 1 else self.add("Concat", *parts, axis=1)

    def affine(self, source: str, weights: NDArray[Any], bias: NDArray[Any]) -> str:
        """Return source @ weights + bias."""
        if source in self._standardised:
            source, mean, factor = self._standardised[source]
            bias = bias - (mean * factor) @ weights
            weights = factor[:, None] * weights
        result = self.add("Gemm", source, self.tensor(weights), self.tensor(bias))
        self._affine[result] = source, weights, bias
        return result

    def standardise(self, source: str, mean: NDArray[Any], factor: NDArray[Any]) -> str:
        """Return (source - mean) * factor, column by column."""
        centred = self.add("Sub", source, self.tensor(mean[None]))
        result = self.add("Mul", centred, self.tensor(factor[None]))
        if np.abs(mean * factor).max() <= LARGEST_SHIFT:
            self._standardised[result] = source, mean.astype(np.float64), factor.astype(np.float64)
        return result

    def scaled(self, source: str, factor: NDArray[Any]) -> str:
        """Return source * factor, column by column."""
        if source in self._affine:
            source, weights, bias = self._affine[source]
            return self.affine(source, weights * factor, bias * factor)
        return self.add("Mul", source, self.tensor(factor[None]))

    def choose(self, condition: str, yes: str, no: str, width: int) -> str:
        """Return `yes` (k, width) in the rows where `condition` (k, 1) is above 0, else `no`."""
        wide = self.add("MatMul", condition, self.tensor(np.ones((1, width))))
        return self.add("Where", self.add("Greater", wide, self.constant(0.0)), yes, no)

    def double(self, source: str) -> str:
        """Turn float32 into float64."""
        return self.add("Cast", source, to=TensorProto.DOUBLE)

    def clip(self, source: str, low: NDArray[Any], high: NDArray[Any]) -> str:
        """Limit each column to its bounds, (1, n) or (n,)."""
        if len(set(low.flat)) == len(set(high.flat)) == 1:
            low, high = low[..., :1], high[..., :1]
        return self.add("Min", self.add("Max", source, self.tensor(low)), self.tensor(high))

    def constant(self, value: float) -> str:
        """Part of `features.Arithmetic`: a (1, 1) constant."""
        return self.tensor(np.full((1, 1), value))

    def apply(self, op: str, *args: str) -> str:
        """Part of `features.Arithmetic`."""
        return self.add(op, *args)

    def reduce(self, how: str, arg: str, width: int) -> str:
        """Part of `features.Arithmetic`.

        A sum is a product with ones: ReduceSum adds in an order that depends on where a row lies in memory,
        so that a unit's result would depend on its neighbours in the batch.
        """
        if how == "sum":
            return self.add("MatMul", arg, self.tensor(np.ones((width, 1))))
        return self.add(f"Reduce{how.capitalize()}", arg, axes=[1], keepdims=1)

    def dot(self, a: str, b: str, n: int, m: int) -> str:
        """Part of `features.Arithmetic`."""
        rows = self.add("Reshape", b, self.tensor(np.array([0, m, n])))
        vector = self.add("Reshape", a, self.tensor(np.array([0, n, 1])))
        return self.add("Reshape", self.add("MatMul", rows, vector), self.tensor(np.array([0, m])))

    def finish(
        self,
        inputs: Mapping[str, int | None],
        outputs: Mapping[str, tuple[str, int | None]],
        metadata: Mapping[str, str],
    ) -> bytes:
        """Return the checked model; a width None is a (k,) tensor. `outputs`: name -> (tensor, width).

        What no output depends on is left out.
        """
        for name, (tensor, _) in outputs.items():
            self._nodes.append(helper.make_node("Identity", [tensor], [name]))
        nodes, used = self._needed(set(outputs))
        graph = helper.make_graph(
            nodes,
            self._name,
            [_info(name, width) for name, width in inputs.items()],
            [_info(name, width) for name, (_, width) in outputs.items()],
            [constant for constant in self._initializers if constant.name in used],
        )
        domains = {node.domain for node in nodes}
        opsets = [helper.make_opsetid("", OPSET)]
        if "ai.onnx.ml" in domains:
            opsets.append(helper.make_opsetid("ai.onnx.ml", ML_OPSET))
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="simcore")
        helper.set_model_props(model, dict(metadata))
        onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString())

    def _needed(self, wanted: set[str]) -> tuple[list[Any], set[str]]:
        """Return the nodes that the tensors `wanted` depend on, in order, and all tensors they name."""
        nodes, names = [], set(wanted)
        for node in reversed(self._nodes):
            if names & set(node.output):
                nodes.append(node)
                names |= set(node.input)
        return nodes[::-1], names


def _info(name: str, width: int | None) -> Any:
    shape: list[int | str] = ["k"] if width is None else ["k", width]
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

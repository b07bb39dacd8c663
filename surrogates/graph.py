"""GraphBuilder: builds an ONNX graph node by node (needs the `onnx` package; the run time does not)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

# What onnxruntime 1.20 to 1.31 reads; the helper's own defaults are newer and refused.
IR_VERSION = 8
OPSET = 17
ML_OPSET = 3


class GraphBuilder:
    """Collects nodes and constants; every method that adds a node returns the name of its tensor."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: list[Any] = []
        self._constants: dict[bytes, str] = {}
        self._initializers: list[Any] = []
        self._count = 0

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
        return self.add("Gather", source, self.tensor(np.array(indices, dtype=np.int64)), axis=1)

    def column(self, source: str, index: int) -> str:
        """Take one column as a (k,) tensor."""
        return self.add("Gather", source, self.tensor(np.array(index, dtype=np.int64)), axis=1)

    def concat(self, parts: Sequence[str]) -> str:
        """Join (k, n) tensors side by side."""
        return parts[0] if len(parts) == 1 else self.add("Concat", *parts, axis=1)

    def affine(self, source: str, weights: NDArray[Any], bias: NDArray[Any]) -> str:
        """Return source @ weights + bias."""
        return self.add("Gemm", source, self.tensor(weights), self.tensor(bias))

    def double(self, source: str) -> str:
        """Turn float32 into float64."""
        return self.add("Cast", source, to=TensorProto.DOUBLE)

    def clip(self, source: str, low: NDArray[Any], high: NDArray[Any]) -> str:
        """Limit each column."""
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

    def finish(
        self,
        inputs: Mapping[str, int | None],
        outputs: Mapping[str, tuple[str, int | None]],
        metadata: Mapping[str, str],
    ) -> bytes:
        """Return the checked model; a width None is a (k,) tensor. `outputs`: name -> (tensor, width)."""
        for name, (tensor, _) in outputs.items():
            self._nodes.append(helper.make_node("Identity", [tensor], [name]))
        graph = helper.make_graph(
            self._nodes,
            self._name,
            [_info(name, width) for name, width in inputs.items()],
            [_info(name, width) for name, (_, width) in outputs.items()],
            self._initializers,
        )
        domains = {node.domain for node in self._nodes}
        opsets = [helper.make_opsetid("", OPSET)]
        if "ai.onnx.ml" in domains:
            opsets.append(helper.make_opsetid("ai.onnx.ml", ML_OPSET))
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="simcore")
        helper.set_model_props(model, dict(metadata))
        onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString())


def _info(name: str, width: int | None) -> Any:
    shape: list[int | str] = ["k"] if width is None else ["k", width]
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

"""GraphTensor: a tensor of an ONNX graph with the operators of a torch tensor: a network is written once.

In training its weights and input are torch tensors, in the graph GraphTensors; `Tensor` is either.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from surrogates.features import Rows
from surrogates.graph import GraphBuilder

Tensor = Any
Weights = Mapping[str, NDArray[np.float32]]


class GraphTensor:
    """A tensor whose first axis are the rows of a call, or a constant."""

    def __init__(self, builder: GraphBuilder, name: str) -> None:
        self._builder, self.name = builder, name

    def __add__(self, other: "GraphTensor | float") -> "GraphTensor":
        """Return self + other."""
        return self._node("Add", self, other)

    __radd__ = __add__

    def __mul__(self, other: "GraphTensor | float") -> "GraphTensor":
        """Return self * other."""
        return self._node("Mul", self, other)

    __rmul__ = __mul__

    def __sub__(self, other: "GraphTensor | float") -> "GraphTensor":
        """Return self - other."""
        return self._node("Sub", self, other)

    def __rsub__(self, other: float) -> "GraphTensor":
        """Return other - self."""
        return self._node("Sub", other, self)

    def __truediv__(self, other: "GraphTensor | float") -> "GraphTensor":
        """Return self / other."""
        return self._node("Div", self, other)

    def __rtruediv__(self, other: float) -> "GraphTensor":
        """Return other / self."""
        return self._node("Div", other, self)

    def __matmul__(self, other: "GraphTensor") -> "GraphTensor":
        """Return the matrix product."""
        return self._node("MatMul", self, other)

    def __getitem__(self, key: tuple[slice, slice]) -> "GraphTensor":
        """Return self[:, start:stop] of a (k, n) tensor."""
        columns = slice(key[1].start or 0, key[1].stop)
        return GraphTensor(self._builder, self._builder.columns(self.name, columns))

    def tanh(self) -> "GraphTensor":
        """Return tanh."""
        return self._node("Tanh", self)

    def sqrt(self) -> "GraphTensor":
        """Return the square root."""
        return self._node("Sqrt", self)

    def reshape(self, rows: int, *shape: int) -> "GraphTensor":
        """Return the tensor with its rows reshaped; `rows` is -1."""
        sizes = GraphTensor(self._builder, self._builder.tensor(np.array([0, *shape], dtype=np.int64)))
        return self._node("Reshape", self, sizes)

    def elu(self) -> "GraphTensor":
        """Return self where positive, else exp(self) - 1."""
        return self._node("Elu", self)

    def joined(self, parts: "Sequence[GraphTensor]", axis: int) -> "GraphTensor":
        """Return the parts joined along an axis."""
        names = [part.name for part in parts]
        return GraphTensor(self._builder, self._builder.add("Concat", *names, axis=axis))

    def _node(self, op: str, *parts: "GraphTensor | float") -> "GraphTensor":
        names = (
            part.name if isinstance(part, GraphTensor) else self._builder.constant(float(part))
            for part in parts
        )
        return GraphTensor(self._builder, self._builder.add(op, *names))


def concat(parts: Sequence[Tensor], axis: int) -> Tensor:
    """Return tensors joined along an axis."""
    if isinstance(parts[0], GraphTensor):
        return parts[0].joined(parts, axis)
    import torch

    return torch.cat(tuple(parts), dim=axis)


def elu(x: Tensor) -> Tensor:
    """Return CELU of slope 1, which is ELU: x where positive, else exp(x) - 1."""
    if isinstance(x, GraphTensor):
        return x.elu()
    import torch

    return torch.nn.functional.elu(x)


def constants(builder: GraphBuilder, weights: Weights) -> dict[str, Tensor]:
    """Add weights to a graph."""
    return {name: GraphTensor(builder, builder.tensor(value)) for name, value in weights.items()}


def parameters(weights: Weights) -> dict[str, Tensor]:
    """Return weights as torch tensors of float32 that can be trained."""
    import torch

    return {name: torch.nn.Parameter(torch.from_numpy(value.copy())) for name, value in weights.items()}


def glorot(rng: np.random.Generator, n_in: int, n_out: int) -> Rows:
    """Return initial weights (n_in, n_out) that keep the spread of what passes through them."""
    bound = math.sqrt(6.0 / (n_in + n_out))
    return rng.uniform(-bound, bound, (n_in, n_out)).astype(np.float32)

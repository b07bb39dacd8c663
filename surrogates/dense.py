"""DenseNet: a stack of fully connected layers, evaluated in numpy and emitted as ONNX nodes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from surrogates.features import Rows
from surrogates.graph import GraphBuilder

Weights = NDArray[np.float32]
ROWS = 2048
"""Rows that a network answers at a time."""


def _silu(a: Rows) -> Rows:
    return np.asarray(a * (0.5 * np.tanh(0.5 * a) + 0.5), dtype=np.float32)


def _relu(a: Rows) -> Rows:
    return np.maximum(a, np.float32(0))


ACTIVATIONS: Mapping[str, Callable[[Rows], Rows]] = {"silu": _silu, "relu": _relu, "tanh": np.tanh}


@dataclass(frozen=True, slots=True)
class DenseNet:
    """act(... act(z @ W0 + b0) ...) @ Wn + bn, in float32."""

    layers: tuple[tuple[Weights, Weights], ...]
    """(weights (in, out), bias (out,)) of each layer; the last one is linear."""
    activation: str

    def predict(self, z: Rows) -> Rows:
        """Return (k, out), some rows at a time: what lies between the layers stays in the cache."""
        parts = [self._predict(z[first : first + ROWS]) for first in range(0, len(z), ROWS)]
        return np.concatenate(parts) if parts else self._predict(z)

    def _predict(self, z: Rows) -> Rows:
        activation = ACTIVATIONS[self.activation]
        *hidden, (weights, bias) = self.layers
        for inner, shift in hidden:
            z = activation(z @ inner + shift)
        return z @ weights + bias

    def emit(self, builder: GraphBuilder, z: str) -> str:
        """Add the nodes; return the tensor of the last layer."""
        *hidden, (weights, bias) = self.layers
        for inner, shift in hidden:
            z = builder.affine(z, inner, shift)
            if self.activation == "silu":
                z = builder.add("Mul", z, builder.add("Sigmoid", z))
            else:
                z = builder.add(self.activation.capitalize(), z)
        return builder.affine(z, weights, bias)


@dataclass(frozen=True, slots=True)
class DenseModel:
    """A step model that is one DenseNet."""

    net: DenseNet
    notes: Mapping[str, Any]
    """What to tell of it beside its sizes."""

    def predict(self, z: Rows) -> Rows:
        """Return t, (k, c)."""
        return self.net.predict(z)

    def emit(self, builder: GraphBuilder, z: str) -> str:
        """Add the nodes; return t."""
        return self.net.emit(builder, z)

    def describe(self) -> Mapping[str, Any]:
        """Return the width of each hidden layer, and the notes."""
        return {"hidden": [len(bias) for _, bias in self.net.layers[:-1]], **self.notes}

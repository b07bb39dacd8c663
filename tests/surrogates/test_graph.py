"""GraphBuilder: what it folds together gives what the operations give one by one."""

import numpy as np
import onnx
import pytest

from surrogates.bundle import open_session
from surrogates.graph import LARGEST_SHIFT, GraphBuilder

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 5)).astype(np.float32)
WEIGHTS, BIAS = RNG.normal(size=(5, 3)), RNG.normal(size=3)


def answer(builder: GraphBuilder, tensor: str, without: str = "") -> np.ndarray:
    """Run the graph; `without` is an operation that it must not have."""
    data = builder.finish({"x": 5}, {"y": (tensor, 3)}, {})
    assert without not in {node.op_type for node in onnx.load_from_string(data).graph.node}
    return open_session(data, "y").run(["y"], {"x": X})[0]


@pytest.mark.parametrize(
    ("shift", "folded"), [(0.5, True), (0.9 * LARGEST_SHIFT, True), (2 * LARGEST_SHIFT, False)]
)
def test_a_standardisation_goes_into_the_layer_behind_it(shift: float, folded: bool) -> None:
    mean, factor = np.full(5, shift, np.float32), np.linspace(0.5, 1.0, 5).astype(np.float32)
    builder = GraphBuilder("g")
    tensor = builder.affine(builder.standardise("x", mean, factor), WEIGHTS, BIAS)
    expected = ((X - mean) * factor) @ WEIGHTS + BIAS
    found = answer(builder, tensor, without="Sub" if folded else "")
    np.testing.assert_allclose(found, expected, atol=1e-5 * max(1.0, shift))


def test_a_scale_goes_into_the_layer_before_it() -> None:
    builder, scale = GraphBuilder("g"), np.array([1e-15, 2.0, 30.0])
    tensor = builder.scaled(builder.affine("x", WEIGHTS, BIAS), scale)
    found = answer(builder, tensor, without="Mul")
    np.testing.assert_allclose(found / scale, X @ WEIGHTS + BIAS, atol=1e-5)


def test_a_row_is_chosen_by_its_condition() -> None:
    builder = GraphBuilder("g")
    yes, no = builder.affine("x", WEIGHTS, BIAS), builder.affine("x", -WEIGHTS, BIAS)
    tensor = builder.choose(builder.columns("x", slice(0, 1)), yes, no, 3)
    expected = np.where(X[:, :1] > 0, X @ WEIGHTS + BIAS, BIAS - X @ WEIGHTS)
    np.testing.assert_allclose(answer(builder, tensor), expected, atol=1e-5)


@pytest.mark.parametrize("indices", [[1, 2, 4], [4, 0, 1], [4, 2, 0], [0, 2, 4]])
def test_columns_are_picked_in_their_order(indices: list[int]) -> None:
    builder = GraphBuilder("g")
    np.testing.assert_array_equal(answer(builder, builder.gather("x", indices)), X[:, indices])


def test_bounds_may_differ_by_column() -> None:
    for low in (np.full((1, 3), -0.5), np.array([[-0.5, 0.0, 0.2]])):
        builder = GraphBuilder("g")
        tensor = builder.clip(builder.columns("x", slice(0, 3)), low, low + 0.4)
        np.testing.assert_allclose(answer(builder, tensor), X[:, :3].clip(low, low + 0.4), rtol=1e-6)

"""Assembles the ONNX graph of a step or reset model: features, family, branches, units."""

from collections.abc import Mapping

import numpy as np

from surrogates.bundle import EVENT_BIAS
from surrogates.family import StepModel
from surrogates.frame import Frame
from surrogates.graph import GraphBuilder

NO_EVENT = -1.0
"""Logit of a model that saw no events."""


def build_graph(name: str, frame: Frame, model: StepModel, metadata: Mapping[str, str]) -> bytes:
    """Return the ONNX file of one graph; it computes what `Frame.decode` does, from physical inputs.

    Where the model says what fired there is a second input `event_bias` (k, 1), added to its logit: 0 leaves
    the decision to the model, a large number takes it.
    """
    builder = GraphBuilder(name)
    z = frame.design.emit(builder, "x")
    linear = builder.affine(z, frame.weights, frame.offset)
    learned = builder.scaled(model.emit(builder, z), frame.scale)
    values = builder.add("Add", linear, learned)
    outputs = _heads(builder, frame, values)
    inputs: dict[str, int | None] = {"x": frame.design.layout.width}
    if frame.targets.fired:
        inputs[EVENT_BIAS] = 1
    return builder.finish(inputs, outputs, metadata)


def _heads(builder: GraphBuilder, frame: Frame, values: str) -> dict[str, tuple[str, int | None]]:
    targets = frame.targets
    heads: dict[str, tuple[str, int | None]] = {}
    y = builder.columns(values, targets.block(0))
    logit = builder.add("Add", builder.columns(values, slice(0, 1)), EVENT_BIAS) if targets.fired else ""
    if targets.branched:
        y = builder.choose(logit, builder.columns(values, targets.block(1)), y, len(targets.y_groups))
    zero = builder.add("Mul", builder.column("x", frame.design.layout.width - 1), builder.tensor(np.zeros(1)))
    if targets.detects:
        logits = builder.column(logit, 0) if targets.fired else _shift(builder, zero, NO_EVENT)
        heads["fired"] = (logits, None)
    heads["outputs"] = (builder.columns(y, slice(0, targets.n_out)), targets.n_out)
    state = builder.columns(y, slice(targets.n_out, targets.n_out + targets.n_state))
    heads["state"] = (builder.clip(state, frame.state_low[None], frame.state_high[None]), targets.n_state)
    if targets.duration_powers:
        periods = builder.column("x", frame.design.layout.width - 1)
        factors = {0.5: builder.add("Sqrt", periods), 1.0: periods}
        for offset, head in enumerate(("supply_j", "input_j")):
            column = builder.column(y, targets.n_out + targets.n_state + offset)
            power = targets.duration_powers[offset]
            heads[head] = (builder.add("Mul", column, factors[power]) if power else column, None)
        latency = builder.column(values, int(targets.fired)) if targets.latency else zero
        low, high = np.array([frame.latency_low]), np.array([frame.latency_high])
        heads["latency_s"] = (builder.clip(latency, low, high), None)
    return heads


def _shift(builder: GraphBuilder, tensor: str, value: float) -> str:
    return builder.add("Add", tensor, builder.tensor(np.array([value])))

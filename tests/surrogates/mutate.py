"""Damages bundles at random: bytes, fields of the ONNX messages, entries of `bundle.json`."""

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
from google.protobuf.descriptor import FieldDescriptor as Field

INTEGERS = (0, 1, -1, 2, 3, 7, 17, 255, 65_536, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63), 10**6)
FLOATS = (0.0, -1.0, 1e30, -1e30, 1e-45, float("nan"), float("inf"))
TEXTS = (
    "",
    "x",
    "ai.onnx",
    "ai.onnx.ml",
    "com.microsoft",
    "Loop",
    "Concat",
    "LEAF",
    "BRANCH_EQ",
    "a" * 70_000,
)
MODES = (b"LEAF", b"BRANCH_LEQ", b"BRANCH_LT", b"BRANCH_GTE", b"BRANCH_GT")
ALIKE = (
    ("Abs", "Exp", "Identity", "Log", "Neg", "Relu", "Sigmoid", "Sqrt", "Tanh"),
    ("Add", "Div", "Mul", "Pow", "Sub", "Max", "Min", "Greater"),
    ("Gemm", "MatMul"),
    ("ReduceMax", "ReduceMin"),
)
"""Operators that take the same inputs."""
BYTES = (b"\x00", b"\xff", b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", b"\x08\x01", b"\x3a\x00", b"\x0a\xff")


def damage_bytes(data: bytes, rng: random.Random) -> bytes:
    """Flip, cut, insert, repeat or overwrite."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 5, 20))):
        # Most of a file is weights, which any byte will do for: half of the hits go to its messages.
        at = rng.randrange(len(out)) if rng.random() < 0.5 else _near_text(out, rng)
        size = rng.choice((1, 1, 2, 4, 16, 200))
        kind = rng.randrange(6)
        if kind == 0:
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del out[at : at + size]
        elif kind == 2:
            out[at:at] = rng.choice(BYTES)
        elif kind == 3:
            out[at:at] = out[at : at + size]
        elif kind == 4:
            out[at : at + size] = rng.randbytes(size)
        elif rng.random() < 0.2:
            del out[at:]
        if not out:
            break
    return bytes(out)


def _near_text(data: bytearray, rng: random.Random) -> int:
    """Return a place that is likely to hold a name or a key rather than weights."""
    for _ in range(40):
        at = rng.randrange(len(data))
        if data[at : at + 4].isascii() and data[at : at + 4].isalnum():
            return at
    return rng.randrange(len(data))


def damage_model(data: bytes, rng: random.Random) -> bytes:
    """Change some fields of a model, and now and then append a field that is there already."""
    model = onnx.load_from_string(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        messages = list(_messages(model))
        # Types first: a graph has many nodes and constants, but only one graph.
        kind = rng.choice(sorted({message.DESCRIPTOR.name for message in messages}))
        _change(rng.choice([message for message in messages if message.DESCRIPTOR.name == kind]), rng)
    out: bytes = model.SerializePartialToString()
    if rng.random() < 0.1:
        part = onnx.ModelProto()
        part.CopyFrom(model)
        for field, _ in model.ListFields():
            if rng.random() < 0.6:
                part.ClearField(field.name)
        out += part.SerializePartialToString()
    return out


def rewire(data: bytes, rng: random.Random) -> bytes:
    """Change what a graph computes, in ways that may leave it sound: onnxruntime has to cope with them."""
    model = onnx.load_from_string(data)
    for _ in range(rng.choice((1, 2, 3))):
        rng.choice((_other_operator, _other_input, _other_weights, _other_attribute, _once_more))(
            model.graph, rng
        )
    return bytes(model.SerializeToString())


def _other_operator(graph: Any, rng: random.Random) -> None:
    node = rng.choice(graph.node)
    node.op_type = rng.choice(next((ops for ops in ALIKE if node.op_type in ops), ("Identity",)))


def _other_input(graph: Any, rng: random.Random) -> None:
    at = rng.randrange(len(graph.node))
    names = ["x", *(constant.name for constant in graph.initializer)]
    names += [name for before in graph.node[:at] for name in before.output] * 3
    inputs = graph.node[at].input
    inputs[rng.randrange(len(inputs))] = rng.choice(names)


def _other_weights(graph: Any, rng: random.Random) -> None:
    constant = rng.choice(graph.initializer)
    dtype, values = {1: ("<f4", FLOATS), 7: ("<i8", (0, 1, 2, 3, -1))}[constant.data_type]
    array = np.frombuffer(constant.raw_data, dtype).copy()
    if array.size:
        array[slice(None) if rng.random() < 0.3 else rng.randrange(array.size)] = rng.choice(values)
    constant.raw_data = array.tobytes()


def _other_attribute(graph: Any, rng: random.Random) -> None:
    nodes = [node for node in graph.node if node.attribute]
    if not nodes:
        return
    attribute = rng.choice(rng.choice(nodes).attribute)
    for name, values in (("floats", FLOATS), ("ints", attribute.ints), ("strings", MODES)):
        items = getattr(attribute, name)
        if items:
            items[rng.randrange(len(items))] = rng.choice(values)
    if attribute.type == onnx.AttributeProto.INT:
        attribute.i = rng.choice((0, 1, -1, 2))


def _once_more(graph: Any, rng: random.Random) -> None:
    copy = graph.node.add()
    copy.CopyFrom(rng.choice(graph.node[:-1]))
    copy.output[0] += "_again"


def _messages(message: Any) -> Iterator[Any]:
    yield message
    for field, value in message.ListFields():
        if field.type == Field.TYPE_MESSAGE:
            for inner in value if field.is_repeated else [value]:
                yield from _messages(inner)


def _change(message: Any, rng: random.Random) -> None:
    fields = [
        field for field in message.DESCRIPTOR.fields if field.name not in ("graphs", "g", "training_info")
    ]
    used = [field for field, _ in message.ListFields()]
    field = rng.choice(used) if used and rng.random() < 0.8 else rng.choice(fields)
    if not field.is_repeated:
        if field.type == Field.TYPE_MESSAGE:
            getattr(message, field.name).SetInParent() if rng.random() < 0.5 else message.ClearField(
                field.name
            )
        else:
            _set(lambda value: setattr(message, field.name, value), getattr(message, field.name), field, rng)
        return
    values = getattr(message, field.name)
    kind = rng.randrange(4)
    if not len(values) or kind == 0:
        _append(values, field, rng)
    elif kind == 1:
        del values[rng.randrange(len(values))]
    elif kind == 2:
        a, b = rng.randrange(len(values)), rng.randrange(len(values))
        if field.type == Field.TYPE_MESSAGE:
            values[a].CopyFrom(values[b])
        else:
            values[a] = values[b]
    elif field.type != Field.TYPE_MESSAGE:
        at = rng.randrange(len(values))
        _set(lambda value: values.__setitem__(at, value), values[at], field, rng)


def _append(values: Any, field: Any, rng: random.Random) -> None:
    times = rng.choice((1, 1, 2, 1000))
    for _ in range(times):
        if field.type == Field.TYPE_MESSAGE:
            source = rng.choice(values) if len(values) else None
            added = values.add()
            if source is not None:
                added.CopyFrom(source)
        else:
            _set(values.append, values[0] if len(values) else None, field, rng)


def _set(put: Callable[[Any], None], old: Any, field: Any, rng: random.Random) -> None:
    """Put another value of the field's type; one that does not fit leaves the old."""
    if field.type == Field.TYPE_STRING:
        value: Any = rng.choice(TEXTS)
    elif field.type == Field.TYPE_BYTES:
        value = damage_bytes(old, rng) if old else rng.choice(TEXTS).encode()
    elif field.type in (Field.TYPE_FLOAT, Field.TYPE_DOUBLE):
        value = rng.choice(FLOATS)
    else:
        value = rng.choice((*INTEGERS, (old or 0) + 1, (old or 0) - 1))
    try:
        put(value)
    except (ValueError, TypeError, OverflowError):
        return


def damage_json(text: str, rng: random.Random) -> str:
    """Change some entries of a JSON table, or its text."""
    if rng.random() < 0.3:
        return damage_bytes(text.encode(), rng).decode("latin-1")
    data = json.loads(text)
    for _ in range(rng.choice((1, 1, 2, 3))):
        table, key = _place(data, rng)
        kind = rng.randrange(4)
        if kind == 0 and isinstance(table, dict):
            table[rng.choice(TEXTS)] = table[key]
        elif kind == 1:
            del table[key]
        else:
            table[key] = rng.choice((
                None, True, 0, -1, 10**18 - 1, 10**30, 1e300, float("nan"), float("inf"), "", "\ud800",
                "../x", [], {}, [[[[0]]]], [0.0] * 1000, {"a": {}}, json.loads("[" * 900 + "]" * 900),
            ))  # fmt: skip
    return json.dumps(data)


def _place(data: Any, rng: random.Random) -> tuple[Any, Any]:
    """Walk down from the top, so that long lists get no more than their share."""
    key = rng.choice(list(data) if isinstance(data, dict) else range(len(data)))
    inner = data[key]
    if isinstance(inner, dict | list) and len(inner) and rng.random() < 0.7:
        return _place(inner, rng)
    return data, key

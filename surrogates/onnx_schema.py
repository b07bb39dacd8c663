"""The part of the ONNX format that bundles use, as protobuf schemas (field numbers of onnx.proto)."""

from surrogates.protobuf import Field, Kind, Schema

_INT, _FLOAT, _TEXT, _BYTES, _NEVER = Kind.INT, Kind.FLOAT, Kind.TEXT, Kind.BYTES, Kind.NEVER

DIMENSION = Schema("dimension", {1: Field("value", _INT), 2: Field("symbol", _TEXT)})
SHAPE = Schema("shape", {1: Field("dim", DIMENSION, repeated=True)})
TENSOR_TYPE = Schema("tensor type", {1: Field("elem_type", _INT), 2: Field("shape", SHAPE)})
TYPE = Schema(
    "type",
    {
        1: Field("tensor_type", TENSOR_TYPE),
        4: Field("a sequence", _NEVER),
        5: Field("a map", _NEVER),
        8: Field("a sparse tensor", _NEVER),
        9: Field("an optional value", _NEVER),
    },
)
PORT = Schema("graph input or output", {1: Field("name", _TEXT), 2: Field("type", TYPE)})
TENSOR = Schema(
    "constant",
    {
        1: Field("dims", _INT, repeated=True),
        2: Field("data_type", _INT),
        8: Field("name", _TEXT),
        9: Field("raw_data", _BYTES),
        **dict.fromkeys((4, 5, 6, 7, 10, 11), Field("data outside raw_data", _NEVER)),
        **dict.fromkeys((13, 14), Field("external data", _NEVER)),
    },
)
ATTRIBUTE = Schema(
    "node attribute",
    {
        1: Field("name", _TEXT),
        2: Field("f", _FLOAT),
        3: Field("i", _INT),
        4: Field("s", _BYTES),
        7: Field("floats", _FLOAT, repeated=True),
        8: Field("ints", _INT, repeated=True),
        9: Field("strings", _BYTES, repeated=True),
        20: Field("type", _INT),
        **dict.fromkeys((5, 10), Field("a tensor", _NEVER)),
        **dict.fromkeys((6, 11), Field("a graph of its own", _NEVER)),
        **dict.fromkeys((22, 23), Field("a sparse tensor", _NEVER)),
    },
)
NODE = Schema(
    "node",
    {
        1: Field("input", _TEXT, repeated=True),
        2: Field("output", _TEXT, repeated=True),
        3: Field("name", _TEXT),
        4: Field("op_type", _TEXT),
        5: Field("attribute", ATTRIBUTE, repeated=True),
        6: Field("doc_string", _TEXT),
        7: Field("domain", _TEXT),
    },
)
GRAPH = Schema(
    "graph",
    {
        1: Field("node", NODE, repeated=True),
        2: Field("name", _TEXT),
        5: Field("initializer", TENSOR, repeated=True),
        10: Field("doc_string", _TEXT),
        11: Field("input", PORT, repeated=True),
        12: Field("output", PORT, repeated=True),
        15: Field("a sparse constant", _NEVER),
    },
)
OPSET = Schema("opset", {1: Field("domain", _TEXT), 2: Field("version", _INT)})
METADATA = Schema("metadata entry", {1: Field("key", _TEXT), 2: Field("value", _TEXT)})
MODEL = Schema(
    "model",
    {
        1: Field("ir_version", _INT),
        2: Field("producer_name", _TEXT),
        3: Field("producer_version", _TEXT),
        4: Field("domain", _TEXT),
        5: Field("model_version", _INT),
        6: Field("doc_string", _TEXT),
        7: Field("graph", GRAPH),
        8: Field("opset", OPSET, repeated=True),
        14: Field("metadata", METADATA, repeated=True),
        20: Field("training information", _NEVER),
        25: Field("functions", _NEVER),
    },
)

ATTRIBUTE_TYPES = {1: "f", 2: "i", 3: "s", 6: "floats", 7: "ints", 8: "strings"}
"""AttributeProto.type -> field that holds the value."""
FLOAT, INT64, DOUBLE = 1, 7, 11
"""TensorProto.DataType"""

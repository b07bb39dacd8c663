"""Reads protobuf messages by a schema; what two readers might understand differently is refused.

Protobuf takes the last of a field that is given twice, skips fields that it does not know and accepts several
codings of a number. A check could then see another model than onnxruntime does: all of it is an error.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

MAX_FIELDS = 4_000_000
"""Values in one file: a reading takes seconds at the most."""
MAX_TEXT = 65_536
"""Bytes of a name or text."""
_FLOAT = struct.Struct("<f")

Message = dict[str, Any]
"""Field name -> value, or list of values of a repeated field; fields that are not given are missing."""


class Kind(Enum):
    """What a field holds, if not a message."""

    INT = auto()
    """int64, or an enumeration."""
    FLOAT = auto()
    TEXT = auto()
    BYTES = auto()
    NEVER = auto()
    """A known field that is refused; its name says what it is."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message."""

    name: str
    kind: "Kind | Schema"
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Schema:
    """The fields of a message that may occur, by number."""

    name: str
    fields: Mapping[int, Field]


class Reader:
    """Reads one file."""

    def __init__(self) -> None:
        self._left = MAX_FIELDS

    def read(self, data: bytes, schema: Schema) -> Message:
        """Return a message; raises ValueError, which says what is wrong, for anything out of order."""
        message: Message = {}
        position = 0
        while position < len(data):
            key, position = _varint(data, position)
            field = schema.fields.get(key >> 3)
            if field is None or key >= 1 << 32:
                raise ValueError(f"unknown field {key >> 3} in a {schema.name}")
            if field.kind is Kind.NEVER:
                raise ValueError(f"{field.name} in a {schema.name}, expected none")
            values, position = self._values(data, position, key, field)
            self._left -= len(values)
            if self._left < 0:
                raise ValueError(f"more than {MAX_FIELDS} values")
            if field.repeated:
                message.setdefault(field.name, []).extend(values)
            elif field.name in message:
                raise ValueError(f"{field.name} of a {schema.name} given twice")
            else:
                message[field.name] = values[0]
        return message

    def _values(self, data: bytes, position: int, key: int, field: Field) -> tuple[list[Any], int]:
        """Return the values that begin behind `key`, and the position behind them."""
        wire = key & 7
        if (wire, field.kind) in ((0, Kind.INT), (5, Kind.FLOAT)):
            return self._numbers(data, position, key, field)
        if wire != 2:
            raise ValueError(f"wire type {wire} of {field.name}")
        size, start = _varint(data, position)
        end = start + size
        if end > len(data):
            raise ValueError(f"the file ends inside {field.name}")
        content = data[start:end]
        if isinstance(field.kind, Schema):
            return [self.read(content, field.kind)], end
        if field.kind is Kind.BYTES:
            return [content], end
        if field.kind is Kind.TEXT:
            return [_text(content, field)], end
        if not field.repeated:
            raise ValueError(f"several values of {field.name}, expected one")
        return self._packed(content, field), end

    def _numbers(self, data: bytes, position: int, key: int, field: Field) -> tuple[list[Any], int]:
        """Return numbers one by one, all that follow each other: trees have a million of them."""
        values: list[Any] = []
        end = len(data)
        while position < end and len(values) <= self._left:
            if field.kind is Kind.FLOAT:
                if position + 4 > end:
                    break
                values += _FLOAT.unpack_from(data, position)
                position += 4
            elif data[position] < 0x80:
                values.append(data[position])
                position += 1
            else:
                number, position = _varint(data, position)
                values.append(_signed(number))
            if not field.repeated or position >= end or data[position] != key:
                return values, position
            position += 1
        raise ValueError(f"the file ends inside {field.name}, or has more than {MAX_FIELDS} values")

    def _packed(self, content: bytes, field: Field) -> list[Any]:
        if field.kind is Kind.FLOAT:
            if len(content) % 4:
                raise ValueError(f"{len(content)} bytes of {field.name}, expected a multiple of 4")
            if len(content) > 4 * self._left:
                raise ValueError(f"more than {MAX_FIELDS} values")
            return list(struct.unpack(f"<{len(content) // 4}f", content))
        numbers: list[int] = []
        position = 0
        while position < len(content) and len(numbers) <= self._left:
            number, position = _varint(content, position)
            numbers.append(_signed(number))
        return numbers


def _text(content: bytes, field: Field) -> str:
    if len(content) > MAX_TEXT:
        raise ValueError(f"{field.name} of {len(content)} bytes, expected at most {MAX_TEXT}")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{field.name} is no text: {error}") from error


def _signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """Return a number of up to 64 bits in its shortest coding, and the position behind it."""
    value = shift = 0
    while position < len(data):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if (byte == 0 and shift) or value >> 64:
                raise ValueError("a number that is not in its shortest coding, or too large")
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than ten bytes")
    raise ValueError("the file ends inside a number")

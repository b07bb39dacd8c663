"""Body: the statements of a C function of one row, and the constant tables that they use."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcore.errors import BundleError
from surrogates.c99.text import float_table, literal


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor (k, width) or (k,), of which C holds one row, or a constant."""

    code: str
    """Name of the array that holds it; empty for a constant, which has a table where one is needed."""
    width: int
    flat: bool = False
    """Whether it is (k,)."""
    constant: NDArray[Any] | None = None
    rows: int = 0
    """More than 0: an index below this."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A node of the graph."""

    op: str
    inputs: tuple[Value, ...]
    attributes: Mapping[str, Any]


class Body:
    """Collects statements and tables; every method that adds an array returns its Value."""

    def __init__(self, prefix: str, where: str) -> None:
        self.tables: list[str] = []
        self.lines: list[str] = []
        self._prefix, self._where = prefix, where
        self._names: dict[str | bytes, str] = {}
        self._count = 0

    def refuse(self, operation: Operation, what: str) -> BundleError:
        """Return the error of an operation that has no translation."""
        return BundleError(f"{self._where}: {operation.op}: {what}; it cannot be written as C")

    def assign(self, expression: str, width: int, flat: bool = False) -> Value:
        """Add an array whose elements are an expression of `i`."""
        name = self.fresh()
        if width == 1:
            self.lines.append(f"const float {name}[1] = {{{expression}}};")
        else:
            self.lines.append(f"float {name}[{width}];")
            self.loop(width, f"{name}[i] = {expression};")
        return Value(name, width, flat)

    def call(self, function: str, arguments: Sequence[str], width: int, flat: bool = False) -> Value:
        """Add an array that a helper fills; its address is the last argument."""
        name = self.fresh()
        self.lines += [f"float {name}[{width}];", f"{function}({', '.join([*arguments, name])});"]
        return Value(name, width, flat)

    def point(self, address: str, width: int, flat: bool = False) -> Value:
        """Add a name for numbers that are elsewhere."""
        name = self.fresh()
        self.lines.append(f"const float *const {name} = {address};")
        return Value(name, width, flat)

    def loop(self, width: int, statement: str, first: int = 0) -> None:
        """Add a statement for `i` from `first` to below `width`."""
        self.lines.append(f"for (int i = {first}; i < {width}; i++) {statement}")

    def fresh(self) -> str:
        """Return the name of a new array."""
        self._count += 1
        return f"v{self._count}"

    def at(self, value: Value, width: int) -> str:
        """Return the element of a value in a loop over `width`; a single one serves all."""
        if value.constant is not None and value.width == 1:
            number = literal(value.constant.ravel()[0])
            return f"({number})" if number.startswith("-") else number
        address = value.code if value.constant is None else self.floats(value.constant)
        return f"{address}[{'i' if value.width > 1 and width > 1 else 0}]"

    def floats(self, values: NDArray[Any]) -> str:
        """Return the name of a table of numbers."""
        array = np.ascontiguousarray(values, dtype=np.float32)
        return self.table(array.tobytes(), lambda name: float_table(name, array))

    def table(self, key: str | bytes, define: Callable[[str], str]) -> str:
        """Return the name of a table; `define` writes one that is new."""
        if key not in self._names:
            self._names[key] = f"{self._prefix}_c{len(self._names)}"
            self.tables.append(define(self._names[key]))
        return self._names[key]

"""C text: numbers, tables and names, as a C99 compiler reads them back bit for bit."""

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

PER_LINE = 8


def identifier(text: str) -> str:
    """Return a C identifier made of a name: `crossbar_row-32` -> `crossbar_row_32`."""
    word = re.sub(r"\W", "_", text, flags=re.ASCII)
    return f"c_{word}" if word[:1].isdigit() or word.startswith("_") else word


def literal(value: Any) -> str:
    """Return a float32 with as many digits as it takes."""
    number = np.float32(value)
    sign = "-" if np.signbit(number) else ""
    if math.isnan(number):
        return "NAN"
    return f"{sign}INFINITY" if math.isinf(number) else f"{sign}{abs(number)!s}f"


def initialiser(items: Sequence[str]) -> str:
    """Return a list of initialisers, in lines."""
    lines = (f"    {', '.join(items[start : start + PER_LINE])}," for start in range(0, len(items), PER_LINE))
    return "\n".join(["{", *lines, "}"])


def float_table(name: str, values: NDArray[np.float32]) -> str:
    """Return the definition of a constant array, row after row."""
    return f"static const float {name}[] = {initialiser([literal(value) for value in values.ravel()])};"


def comment(lines: Iterable[str]) -> str:
    """Return a block comment; nothing in the lines can end it."""
    safe = (line.replace("*/", "* /").replace("/*", "/ *") for line in lines)
    return "\n".join(["/*", *(f" * {line}".rstrip() for line in safe), " */"])

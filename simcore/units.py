"""Writes SI values with the prefix that suits them: 3.2e-13 J -> 320 fJ."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

DASH = "\N{EM DASH}"
_PREFIXES = {
    9: "G", 6: "M", 3: "k", 0: "", -3: "m", -6: "µ", -9: "n", -12: "p", -15: "f", -18: "a",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scale:
    """One unit for many values, such as the axis of a chart: multiply by `factor`, label with `unit`."""

    factor: float
    unit: str


def scale_for(values: NDArray[Any], unit: str) -> Scale:
    """Return the unit in which the largest magnitude of `values` lies between 1 and 1000."""
    exponent = _exponent(_largest(values))
    return Scale(10.0**-exponent, f"{_PREFIXES[exponent]}{unit}")


def si(value: float | None, unit: str, digits: int = 4) -> str:
    """Write a value with its prefix and unit; None and NaN -> em dash."""
    if value is None or not math.isfinite(value):
        return DASH
    exponent = _exponent(float(f"{value:.{digits - 1}e}"))
    return f"{_plain(value * 10.0**-exponent, digits)} {_PREFIXES[exponent]}{unit}"


def number(value: float | None, digits: int = 4) -> str:
    """Write a pure number, thousands apart; None and NaN -> em dash."""
    if value is None or not math.isfinite(value):
        return DASH
    return f"{value:,.0f}" if abs(value) >= 10**digits else _plain(value, digits)


def percent(value: float | None, digits: int = 3, *, sign: bool = False) -> str:
    """Write a percentage; None and NaN -> em dash."""
    if value is None or not math.isfinite(value):
        return DASH
    prefix = "+" if sign and value > 0 else ""
    return f"{prefix}{number(value, digits)} %"


def _largest(values: NDArray[Any]) -> float:
    """Return the largest finite magnitude, 0 without one; millions of values are not copied for it."""
    ends = (float(end.reduce(values, axis=None, initial=0.0)) for end in (np.fmax, np.fmin))
    size = max(map(abs, ends))
    return size if math.isfinite(size) else _largest(values[np.isfinite(values)])


def _exponent(value: float) -> int:
    """Return the largest known power of 1000 that is not above the magnitude, as a power of ten."""
    if value == 0:
        return 0
    exponent = 3 * math.floor(math.log10(abs(value)) / 3 + 1e-12)
    return min(max(exponent, min(_PREFIXES)), max(_PREFIXES))


def _plain(value: float, digits: int) -> str:
    """Write with `digits` significant digits and no exponent; what is tiny keeps one."""
    if value == 0:
        return "0"
    if abs(value) < 1e-4:
        return f"{value:.{max(digits - 2, 0)}e}"
    decimals = digits - 1 - math.floor(math.log10(abs(float(f"{value:.{digits - 1}e}"))))
    text = f"{value:.{max(decimals, 0)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text

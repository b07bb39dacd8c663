"""The parity panel: candidate over reference, with the line on which they are equal."""

from collections.abc import Sequence

import numpy as np

from simcore.report.plot import INK, Array, Axis, Line, Panel, Points, span, subset
from simcore.report.sides import REFERENCE_COLOUR
from simcore.units import scale_for


def parity(title: str, x: Array, y: Array, quantity: tuple[str, str], names: Sequence[str]) -> Panel:
    """Return candidate `y` over reference `x` (n,); `quantity` is its name and SI unit."""
    what, unit = quantity
    x, y = subset(x, y)
    scale = scale_for(np.concatenate([x, y]), unit)
    x, y = x * scale.factor, y * scale.factor
    low, high = span(np.concatenate([x, y]))
    ends = np.array([low, high])
    shown = f" ({scale.unit})" if scale.unit else ""
    marks = (
        Line("", ends, ends, INK, 1, dash=True),
        Points("", x, y, REFERENCE_COLOUR, 4, opacity=0.45),
    )
    axes = [Axis(f"{what}, {name}{shown}", low, high) for name in names]
    return Panel(title, axes[0], axes[1], marks)

"""Prediction intervals of energy and latency totals: split conformal, from totals kept for nothing else.

The half-width is a quantile of |surrogate - reference| / max(|surrogate|, floor) over n calibration
totals: a further total of the same kind then lies inside with probability `level` at least, whatever the
errors look like (V. Vovk et al., Algorithmic Learning in a Random World, 2005).
"""

from typing import Literal

import numpy as np

from simcore.bank import Floats
from simcore.spec import Record

Of = Literal["unit", "layer"]
Quantity = Literal["energy", "latency"]
LEVELS = (0.8, 0.9, 0.95)


class Interval(Record):
    """Half-width of an interval around a total that the surrogate states."""

    of: Of
    """`unit`: all of one unit under the recording's stimuli; `layer`: a layer in one sample of a network."""
    quantity: Quantity
    level: float
    """Probability that the reference's total lies inside, if it is drawn like the calibration totals."""
    half_width: float
    """Share of the surrogate's total, or of the floor where the total is smaller."""
    floor: float = 0.0
    """In J or s: a unit that is almost silent has a small error and no meaningful relative one."""
    n: int
    """Calibration totals."""
    source: str
    """Where they come from."""


def conformal(
    of: Of,
    quantity: Quantity,
    predicted: Floats,
    reference: Floats,
    source: str,
) -> tuple[Interval, ...]:
    """Return the intervals of each level that n totals can give, (n,) each; n >= level / (1 - level).

    The floor is the median total for units and 0 for layers.
    """
    known = (predicted != 0) & np.isfinite(predicted) & np.isfinite(reference)
    size = np.abs(predicted)[known]
    floor = float(np.median(size)) if of == "unit" and len(size) else 0.0
    scores = np.sort(np.abs(predicted - reference)[known] / np.maximum(size, floor))
    n = len(scores)
    ranks = {level: int(np.ceil(level * (n + 1) - 1e-9)) for level in LEVELS}
    return tuple(
        Interval(
            of=of,
            quantity=quantity,
            level=level,
            half_width=float(scores[rank - 1]),
            floor=floor,
            n=n,
            source=source,
        )
        for level, rank in ranks.items()
        if rank <= n
    )

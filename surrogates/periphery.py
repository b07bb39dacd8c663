"""The periphery of a cell array as circuit equations with learned constants.

Units are those of CellArray. A stage whose amplifier turns x into omega(x) and whose node draws x * y_node
from the current `drive`, fed back through y, settles where

    x * y_node + omega(x) * y = drive

omega is odd and bends into the rails; Newton's method from the straight line comes to it from one side.
"""

import numpy as np

from surrogates.cellarray import CellArray
from surrogates.features import Rows
from surrogates.tensors import Tensor

STEPS = 4
"""Newton steps: of 5,800 outputs of the MAC block 99.9 % are within 1.5 uV of eight steps, all in 22 uV."""
KNEE = 0.2
"""Width of the bend into the rails at the start of training, as a share of the largest output."""
GAIN = 1000.0
"""Unit of the learned loop gains, STAGE of the learned conductance: all weights are near 1."""
STAGE = 100.0


def nominal(cells: CellArray) -> dict[str, Rows]:
    """Return the constants as the manifest has them, (1, 1) each."""
    array = cells.array
    values = {
        "stage": 1 / (array.stage_ohm * cells.g_scale) / STAGE,
        "gain": array.loop_gain / GAIN,
        "gain_inverting": array.loop_gain / GAIN,
        "limit": array.limit_v / cells.v_scale,
        "knee": KNEE * array.limit_v / cells.v_scale,
    }
    return {name: np.full((1, 1), value, dtype=np.float32) for name, value in values.items()}


def stage(w: dict[str, Tensor]) -> Tensor:
    """Return the conductance between the inverting stage and its columns."""
    return w["stage"] * STAGE


def omega(w: dict[str, Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """Return an amplifier's output for what it would be without limits, and the slope of it."""
    above, below = x + w["limit"], x - w["limit"]
    knee = w["knee"] * w["knee"]
    far, near = (above * above + knee).sqrt(), (below * below + knee).sqrt()
    return (far - near) * 0.5, (above / far - below / near) * 0.5


def settled(
    w: dict[str, Tensor], gain: Tensor, drive: Tensor, y_node: Tensor, y: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the node's voltage x, the output omega(x), and the slope of the output over the drive."""
    x = drive / (y_node + gain * y)
    for _ in range(STEPS):
        out, slope = omega(w, gain * x)
        x = x + (drive - x * y_node - out * y) / (y_node + gain * slope * y)
    out, slope = omega(w, gain * x)
    return x, out, gain * slope / (y_node + gain * slope * y)

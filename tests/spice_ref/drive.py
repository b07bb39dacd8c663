"""Ways to drive a bank in a test."""

import numpy as np

from simcore.bank import Raster, StepInput, StepResult
from spice_ref.bank import SpiceBank


def driven(bank: SpiceBank, inputs: list[float], units: list[int] | None = None) -> StepInput:
    """Return one driven step of the given units, all of a bank by default, one input column."""
    who = np.arange(bank.n_units) if units is None else np.array(units)
    return StepInput(who, np.full(len(who), bank.spec.period_ps), np.array(inputs)[:, None], False)


def step_one(bank: SpiceBank, raster: Raster) -> StepResult:
    """Step a bank of one unit through a raster from reset; the rows of all steps."""
    bank.reset()
    rows = [
        bank.step(
            StepInput(
                np.array([0]), raster.duration_ps[k : k + 1], raster.inputs[k : k + 1], bool(raster.idle[k])
            )
        )
        for k in range(len(raster.idle))
    ]
    names = StepResult.__slots__
    return StepResult(**{name: np.concatenate([getattr(row, name) for row in rows]) for name in names})

"""Calibrates a bundle's intervals: on single units of a recording, and on layers of compared runs."""

from collections.abc import Sequence

import numpy as np

from simcore.bank import Raster, RasterResult, StepResult
from simcore.spec import CircuitSpec
from surrogates.bundle import SurrogateBundle
from surrogates.intervals import Interval, conformal
from surrogates.runtime import SurrogateBank


def unit_intervals(
    bundle: SurrogateBundle, spec: CircuitSpec, rasters: list[Raster], reference: Sequence[RasterResult]
) -> tuple[Interval, ...]:
    """Return the intervals of a unit's total energy and of its mean event latency over a whole run."""
    bank = SurrogateBank(bundle, spec, np.stack([raster.params for raster in rasters]))
    pairs = list(zip(bank.replay(rasters), reference, strict=True))
    totals = np.array([[_totals(side.steps) for side in pair] for pair in pairs])
    source = f"{len(pairs)} calibration runs of the recording"
    energy, latency = totals[..., 0], totals[..., 1]
    return (
        *conformal("unit", "energy", energy[:, 0], energy[:, 1], source),
        *conformal("unit", "latency", latency[:, 0], latency[:, 1], source),
    )


def _totals(steps: StepResult) -> tuple[float, float]:
    timed = steps.latency_s[~np.isnan(steps.latency_s)]
    return float((steps.supply_j + steps.input_j).sum()), float(timed.mean()) if len(timed) else np.nan

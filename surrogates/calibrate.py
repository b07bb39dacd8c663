"""Calibrates a bundle's intervals: on single units of a recording, and on layers of compared runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simcore.bank import Raster, RasterResult, StepResult
from simcore.compare import load_comparison
from simcore.coverage import layer_totals
from simcore.errors import BundleError
from simcore.spec import CircuitSpec
from surrogates.bundle import GRAPHS, BundleInfo, SurrogateBundle, read_info, write_bundle
from surrogates.features import Floats
from surrogates.intervals import Interval, conformal
from surrogates.runtime import SurrogateBank


def unit_intervals(
    bundle: SurrogateBundle, spec: CircuitSpec, rasters: list[Raster], reference: Sequence[RasterResult]
) -> tuple[Interval, ...]:
    """Return the intervals of a unit's total energy and of its mean event latency over a whole run."""
    if not rasters:
        return ()
    bank = SurrogateBank(bundle, spec, np.stack([raster.params for raster in rasters]))
    pairs = list(zip(bank.replay(rasters), reference, strict=True))
    totals = np.array([[run_totals(side.steps) for side in pair] for pair in pairs])
    source = f"{len(pairs)} calibration runs of the recording"
    energy, latency = totals[..., 0], totals[..., 1]
    return (
        *conformal("unit", "energy", energy[:, 0], energy[:, 1], source),
        *conformal("unit", "latency", latency[:, 0], latency[:, 1], source),
    )


def run_totals(steps: StepResult) -> tuple[float, float]:
    """Return the energy in J and the mean event latency in s of a run, NaN where it has none."""
    timed = steps.latency_s[~np.isnan(steps.latency_s)]
    return float((steps.supply_j + steps.input_j).sum()), float(timed.mean()) if len(timed) else np.nan


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A bundle that was given new intervals."""

    path: Path
    info: BundleInfo


def calibrate(comparisons: Sequence[Path]) -> list[Calibrated]:
    """Give every bundle that answered the compared candidates the intervals of their (sample, layer) totals.

    Totals of all layers with a bundle's circuit count together. Raises BundleError where a bundle was changed
    since, or where no layer ran on one.
    """
    totals: dict[Path, list[tuple[Floats, Floats]]] = {}
    for directory in comparisons:
        found = load_comparison(directory)
        banks = {
            bank["spec_hash"]: bank
            for bank in found.candidate.provenance["banks"]
            if bank["backend"] == "surrogate"
        }
        for name, layer in found.candidate.provenance["layers"].items():
            bank = banks.get(layer["spec"]["hash"])
            if bank is None:
                continue
            path = Path(bank["bundle"])
            if read_info(path).digest != bank["bundle_hash"]:
                raise BundleError(f"{path}: not the bundle that {directory} was run with; compare again")
            sides = [
                np.stack([layer_totals(side, name, quantity) for quantity in ("energy", "latency")])
                for side in (found.candidate, found.reference)
            ]
            totals.setdefault(path, []).append((sides[0], sides[1]))
    if not totals:
        raise BundleError("no layer of these comparisons ran on a surrogate bundle")
    source = f"{len(comparisons)} comparisons: {', '.join(map(str, comparisons))}"
    return [_with_intervals(path, parts, source) for path, parts in totals.items()]


def _with_intervals(path: Path, parts: list[tuple[Floats, Floats]], source: str) -> Calibrated:
    predicted, reference = (np.concatenate(side, axis=1) for side in zip(*parts, strict=True))
    info = read_info(path)
    intervals = (
        *(each for each in info.intervals if each.of == "unit"),
        *conformal("layer", "energy", predicted[0], reference[0], source),
        *conformal("layer", "latency", predicted[1], reference[1], source),
    )
    graphs = {name: (path / f"{name}.onnx").read_bytes() for name in GRAPHS}
    return Calibrated(path, write_bundle(path, info.model_copy(update={"intervals": intervals}), graphs))

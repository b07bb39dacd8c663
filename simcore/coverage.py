"""How often the intervals that a candidate states hold: (sample, layer) totals of a reference inside them."""

import numpy as np

from simcore.bank import Floats
from simcore.result import LEVEL, RunResult, half_width_pct

Z = 1.96
"""Of the coverage's own interval, 95 %."""


def coverage(reference: RunResult, candidate: RunResult) -> dict[str, dict[str, float] | None]:
    """Return by quantity `level`, `covered`, `n` and the 95 % interval of the share (E. B. Wilson, 1927).

    None where the candidate states no interval. Latency is a layer's mean over its events in a sample.
    """
    return {quantity: _covered(reference, candidate, quantity) for quantity in ("energy", "latency")}


def layer_totals(result: RunResult, layer: str, quantity: str) -> Floats:
    """Return the energy in J, or the mean event latency in s, of a layer in each sample, (n_samples,)."""
    columns = result.layer_columns[layer]
    if quantity == "energy":
        return np.asarray(columns["unit_energy_j"].sum(axis=1))
    timed = columns.get("timed", columns["fired"])
    return np.where(timed > 0, columns["latency_sum_s"] / np.maximum(timed, 1), np.nan)


def _covered(reference: RunResult, candidate: RunResult, quantity: str) -> dict[str, float] | None:
    inside: list[bool] = []
    for name in reference.layer_columns:
        width = half_width_pct(candidate.provenance["layers"][name], quantity)
        if width is not None:
            ours, theirs = (layer_totals(each, name, quantity) for each in (reference, candidate))
            known = np.isfinite(ours) & np.isfinite(theirs)
            inside += (np.abs(theirs - ours) <= width / 100 * np.abs(theirs))[known].tolist()
    if not inside:
        return None
    low, high = wilson(sum(inside), len(inside))
    return {"level": LEVEL, "covered": float(sum(inside)), "n": float(len(inside)), "low": low, "high": high}


def wilson(hits: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share of which `hits` of `n` were seen."""
    share, z2 = hits / n, Z * Z / n
    half = Z * np.sqrt(share * (1 - share) / n + z2 / (4 * n))
    return float((share + z2 / 2 - half) / (1 + z2)), float((share + z2 / 2 + half) / (1 + z2))

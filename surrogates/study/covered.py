"""How often a bundle's intervals of a unit's totals hold on the test runs."""

from typing import Any

import numpy as np

from simcore.coverage import wilson
from surrogates.bundle import BundleInfo
from surrogates.calibrate import run_totals
from surrogates.intervals import Interval
from surrogates.study.subject import Subject, Truth


def interval_rows(subject: Subject, truth: Truth) -> list[dict[str, Any]]:
    """Return every interval of the bundle; those of a unit with the share of test runs inside.

    `covered` is a share with `low` and `high` of its 95 % interval, over `test_n` runs.
    """
    predicted, reference = (
        np.array([run_totals(run) for run in side]).T for side in (subject.own, truth.runs)
    )
    totals = {quantity: (predicted[i], reference[i]) for i, quantity in enumerate(("energy", "latency"))}
    return [
        each.model_dump() | (_coverage(*totals[each.quantity], each) if each.of == "unit" else _UNKNOWN)
        for each in _intervals(subject.bundle.info)
    ]


_UNKNOWN = {"covered": None, "low": None, "high": None, "test_n": 0}


def _intervals(info: BundleInfo) -> Any:
    return sorted(info.intervals, key=lambda each: (each.of != "unit", each.quantity, each.level))


def _coverage(predicted: Any, reference: Any, interval: Interval) -> dict[str, float | int | None]:
    known = np.isfinite(predicted) & np.isfinite(reference)
    if not known.any():
        return dict(_UNKNOWN)
    size = np.maximum(np.abs(predicted)[known], interval.floor)
    inside = np.abs(reference - predicted)[known] <= interval.half_width * size
    low, high = wilson(int(inside.sum()), len(inside))
    return {"covered": float(inside.mean()), "low": low, "high": high, "test_n": len(inside)}

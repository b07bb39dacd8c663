"""Error figures with their baselines and confidence intervals; the reference is always the denominator."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcore.bank import Floats

RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Figure:
    """One error figure in percent; None where it is undefined."""

    value_pct: float | None
    bias_pct: float | None = None
    """The same with its sign kept."""
    n: int = 0
    """Rows that it was taken over."""
    ci95_pct: tuple[float, float] | None = None
    """Bootstrap over samples; None for a single sample."""
    baseline_pct: float | None = None
    """The same figure for the best constant predictor."""
    noise_pct: float | None = None
    """The reference against itself at tighter tolerance."""

    def as_dict(self) -> dict[str, Any]:
        """Return the figure as it stands in `comparison.json`."""
        return asdict(self)


UNDEFINED = Figure(None)


def relative_error(reference: Floats, candidate: Floats, sample: NDArray[np.int64]) -> Figure:
    """Sum of |difference| over sum of |reference|; rows (n,), `sample` says whose each row is.

    100 % where the reference is nothing and the candidate is not.
    """
    scale = float(np.abs(reference).sum())
    if scale == 0:
        return UNDEFINED if not np.any(candidate) else Figure(100.0, n=len(reference))
    difference = candidate - reference
    constant = np.abs(np.median(reference) - reference).sum()
    return _figure(
        np.abs(difference), np.abs(reference), sample,
        bias=difference.sum() / scale, baseline=constant / scale,
    )  # fmt: skip


def event_error(
    reference: NDArray[np.bool_],
    candidate: NDArray[np.bool_],
    driven: NDArray[np.bool_],
    sample: NDArray[np.int64],
) -> Figure:
    """1 - F1 of events, row by row; the constant predictor fires in every driven row."""
    if not (reference.any() or candidate.any()):
        return UNDEFINED
    n_events = int(reference.sum())
    ours = reference.astype(np.float64)
    constant = _ratio((reference != driven).astype(np.float64), ours + driven) if n_events else 1.0
    bias = (candidate.sum() - n_events) / n_events if n_events else None
    return _figure(
        (reference != candidate).astype(np.float64), ours + candidate, sample, bias=bias, baseline=constant
    )


def output_error(reference: Floats, candidate: Floats, span: float, sample: NDArray[np.int64]) -> Figure:
    """RMS difference over the range of the port; rows (n,)."""
    if not len(reference):
        return UNDEFINED
    difference = (candidate - reference) / span
    return _figure(
        difference**2, np.ones_like(difference), sample,
        bias=difference.mean(), baseline=reference.std() / span, root=True,
    )  # fmt: skip


def _figure(
    part: Floats,
    whole: Floats,
    sample: NDArray[np.int64],
    *,
    bias: float | None,
    baseline: float,
    root: bool = False,
) -> Figure:
    ids, place = np.unique(sample, return_inverse=True)
    sums = np.stack([np.bincount(place, part), np.bincount(place, whole)]).astype(np.float64)
    power = 0.5 if root else 1.0
    return Figure(
        value_pct=100 * float(_ratio(part, whole) ** power),
        bias_pct=None if bias is None else 100 * float(bias),
        n=len(part),
        ci95_pct=_bootstrap(sums, power) if len(ids) > 1 else None,
        baseline_pct=100 * float(baseline),
    )


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> float:
    return float(part.sum() / whole.sum())


def _bootstrap(sums: Floats, power: float) -> tuple[float, float] | None:
    n = sums.shape[1]
    picks = np.random.default_rng(0).integers(n, size=(RESAMPLES, n))
    part, whole = sums[:, picks].sum(axis=2)
    if np.any(whole == 0):
        return None
    low, high = np.percentile(100 * (part / whole) ** power, [2.5, 97.5])
    return float(low), float(high)

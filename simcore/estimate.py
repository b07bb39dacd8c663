"""Survey statistics: strata, allocation, and totals of a population estimated from a stratified sample.

Stratified sampling, Neyman allocation, difference estimator, combined ratio estimator with linearised
variance, Satterthwaite's degrees of freedom: Cochran, Sampling Techniques (1977), chapters 5 to 7.

The members of a stratum fall into two halves at random, and how many of one half are drawn follows from what
the other half showed. If a stratum's own large values made it be drawn more often, they would be diluted and
every total would come out too small.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CONFIDENCE = 0.95
WIDEST = 5.0
"""Half width of the interval of a logarithm at most: a factor of 150 either way, nothing is known."""
FEWEST = 2
"""Members of each stratum that are drawn at least."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its interval of 95 % confidence."""

    value: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half of the interval."""
        return (self.high - self.low) / 2


@dataclass(frozen=True, slots=True)
class Sample:
    """A stratified random sample without replacement, each stratum in two random halves.

    Each stratum has two members drawn at least, or all that it has.
    """

    size: Ints
    """(H,) members of the population in each stratum."""
    stratum: Ints
    """(n,) stratum of each drawn member."""
    half: Ints
    """(n,) half that it belongs to, 0 or 1."""

    @property
    def n(self) -> Ints:
        """(H,) members drawn of each stratum."""
        return np.bincount(self.stratum, minlength=len(self.size))

    def only(self, strata: NDArray[np.bool_]) -> "Sample":
        """Return the part of the sample in some strata, a mask (H,)."""
        rows = strata[self.stratum]
        place = np.cumsum(strata) - 1
        return Sample(self.size[strata], place[self.stratum[rows]], self.half[rows])

    def weights(self) -> Floats:
        """Return how many members of the population each drawn one stands for, (n,).

        Both halves of a stratum count the same, however many were drawn of each; a stratum that was drawn
        whole needs no weights.
        """
        drawn = np.zeros((2, len(self.size)))
        np.add.at(drawn, (self.half, self.stratum), 1)
        share = 1 / np.maximum(np.count_nonzero(drawn, axis=0), 1)
        weights = (self.size * share / np.maximum(drawn, 1))[self.half, self.stratum]
        return np.where((self.n == self.size)[self.stratum], 1.0, weights)

    def total(self, values: Floats) -> float:
        """Return the estimated total of the population, values (n,) of the drawn members."""
        return float(self.weights() @ values)

    def spread(self, values: Floats) -> Floats:
        """Return the standard deviation within each stratum, (H,); 0 where one member alone was drawn."""
        n = self.n
        squares = np.bincount(self.stratum, (values - self._means(values)[self.stratum]) ** 2, len(n))
        return np.asarray(np.sqrt(squares / np.maximum(n - 1, 1)))

    def sum(self, values: Floats, known: float = 0.0) -> Estimate:
        """Return the total of the population on top of a known total, with its interval."""
        value, half = known + self.total(values), self._half_width(values)
        return Estimate(value, value - half, value + half)

    def ratio(
        self, part: Floats, whole: Floats, known_whole: float = 0.0, *, positive: bool = False
    ) -> Estimate | None:
        """Return the total of `part` over the total of `whole` on top of a known one; None if undefined.

        With y known of every member and x of the drawn ones, `whole` = x - y and `known_whole` = the total
        of y make the difference estimator of the total of x: it spreads like the differences, not like x.
        The interval of a `positive` figure is symmetric in its logarithm: few members make most of it.
        """
        total = known_whole + self.total(whole)
        if not total > 0:
            return None
        value = self.total(part) / total
        half = self._half_width(part - value * whole) / total
        if positive and value > 0:
            factor = float(np.exp(min(half / value, WIDEST)))
            return Estimate(value, value / factor, value * factor)
        return Estimate(value, value - half, value + half)

    def _half_width(self, values: Floats) -> float:
        """Return half of the interval of a total: standard error times Student's t."""
        from scipy.special import stdtrit

        n = self.n
        squares = np.bincount(self.stratum, self.weights() ** 2, len(n))
        parts = squares * (1 - n / np.maximum(self.size, 1)) * self.spread(values) ** 2
        variance = float(parts.sum())
        if variance == 0:
            return 0.0
        freedom = variance**2 / float((parts**2 / np.maximum(n - 1, 1)).sum())
        return float(stdtrit(freedom, (1 + CONFIDENCE) / 2) * np.sqrt(variance))

    def _means(self, values: Floats) -> Floats:
        """Return the mean of the drawn members of each stratum, (H,)."""
        return np.asarray(np.bincount(self.stratum, values, len(self.size)) / np.maximum(self.n, 1))


def never_seen(n: int, population: int) -> float:
    """Return the largest share of a population that has a property which none of n drawn members has.

    At 95 %, two-sided like all intervals here: (1 - share)^n = 2.5 %.
    """
    return 0.0 if n >= population else float(1 - ((1 - CONFIDENCE) / 2) ** (1 / max(n, 1)))


def strata_by_size(size: Floats, n_strata: int) -> Ints:
    """Return the stratum of each member, (N,): ascending in size, about equal in their sums of it.

    Members of equal size lie together, so that there may be fewer strata.
    """
    order = np.argsort(size, kind="stable")
    grown = np.cumsum(size[order])
    if not len(size) or grown[-1] <= 0:
        return np.zeros(len(size), np.int64)
    places = np.searchsorted(grown, grown[-1] * np.arange(1, n_strata) / n_strata)
    cuts = np.unique(size[order][np.minimum(places, len(size) - 1)])
    return np.searchsorted(cuts, size, side="left")


def merged(stratum: Ints, counts: Ints, fewest: int) -> Ints:
    """Join neighbouring strata until each has `fewest`, where there are so many; counts (H,), as known."""
    label, held, joined = 0, 0, np.zeros(len(counts), np.int64)
    for index, count in enumerate(counts.tolist()):
        if held >= fewest and counts[index:].sum() >= fewest:
            label, held = label + 1, 0
        joined[index] = label
        held += count
    return joined[stratum]


def allocate(more: int, weight: Floats, n: Ints, available: Ints, fewest: int) -> Ints:
    """Return how many more members to draw of each stratum, (H,), as far as there are any.

    `fewest` of each, then what minimises the sum of weight^2 / n; `n` were drawn before, `available` in all.
    """
    added = np.zeros_like(n)
    for _ in range(more):
        now = n + added
        gain = np.where(added < fewest, np.inf, weight**2 / np.maximum(now * (now + 1), 1))
        gain[now >= available] = -1.0
        best = int(np.argmax(gain))
        if gain[best] < 0:
            break
        added[best] += 1
    return added


def neyman(size: Ints, scale: Floats, group: Ints, stratum: Ints, values: Floats) -> Floats:
    """Return size x expected spread of each stratum, (H,), from some drawn members.

    Rare large values make most of a spread, and few members of one stratum do not tell it. So it is taken
    to be in proportion to `scale` (H,) among the strata of a `group` (H,), and the factor of each group is
    estimated from all of its drawn members: `stratum` and `values` (n,).
    """
    drawn = np.bincount(stratum, minlength=len(size))
    weight = (size / np.maximum(drawn, 1))[stratum]
    squares = np.bincount(group[stratum], weight * values**2, 1 + group.max())
    expected = np.bincount(group[stratum], weight * scale[stratum] ** 2, 1 + group.max())
    factor = np.sqrt(squares / np.maximum(expected, np.finfo(float).tiny))
    return np.asarray(size * scale * factor[group])

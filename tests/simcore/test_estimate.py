"""Survey statistics: unbiased over many draws, intervals that cover, allocations that are the best ones."""

import itertools

import numpy as np
import pytest

from simcore.estimate import Sample, allocate, merged, never_seen, neyman, strata_by_size

N_DRAWS = 400


def population(rng: np.random.Generator, n: int = 1500) -> tuple[np.ndarray, np.ndarray]:
    """Energies of a run, about one unit per event, and its errors: a small share, and rarely an event."""
    events = np.where(rng.random(n) < 0.3, 0, rng.poisson(rng.gamma(2.0, 2.0, n)))
    energy = 0.05 + events * (1 + 0.1 * rng.normal(size=n))
    flips = rng.binomial(events, 0.05)
    return energy, 0.02 * energy * (0.3 + rng.normal(size=n)) + 0.7 * np.sqrt(flips) * rng.normal(size=n)


def drawn(
    rng: np.random.Generator, energy: np.ndarray, error: np.ndarray, rounds: tuple[int, ...]
) -> tuple[Sample, np.ndarray]:
    """Draw round after round as an audit does, two layers; return the sample and its members' places."""
    layer = np.arange(len(energy)) % 2
    part = [strata_by_size(np.sqrt(energy[layer == i]), 3) for i in (0, 1)]
    stratum = np.empty(len(energy), int)
    for i in (0, 1):
        stratum[layer == i] = part[i] + i * (1 + part[0].max())
    size = np.bincount(stratum)
    scale = np.bincount(stratum, np.sqrt(energy)) / size
    group = np.array([layer[stratum == h][0] for h in range(len(size))])
    waiting = [rng.permutation(np.flatnonzero(stratum == h)) for h in range(len(size))]
    n, place, half = np.zeros((2, len(size)), int), np.zeros(0, int), np.zeros(0, int)
    for more in rounds:
        before, last = place, half
        for mine in (0, 1):
            seen = before[last != mine]
            weight = neyman(size, scale, group, stratum[seen], error[seen]) if len(before) else size * scale
            queue = [members[mine::2] for members in waiting]
            available = np.array([len(members) for members in queue])
            added = allocate(more // 2, weight, n[mine], available, 0 if len(before) else 1)
            new = [queue[h][n[mine][h] : n[mine][h] + added[h]] for h in range(len(size))]
            n[mine] += added
            place = np.concatenate([place, *new])
            half = np.concatenate([half, np.full(added.sum(), mine)])
    return Sample(size, stratum[place], half), place


@pytest.mark.parametrize("rounds", [(48,), (24, 24), (24, 24, 48)])
def test_figures_are_unbiased_and_their_intervals_cover_the_truth(rounds: tuple[int, ...]) -> None:
    rng = np.random.default_rng(5)
    energy, error = population(rng)
    truth, wrong = error.sum() / (energy + error).sum(), np.abs(error).sum() / (energy + error).sum()
    found = []
    for _ in range(N_DRAWS):
        sample, place = drawn(rng, energy, error, rounds)
        assert len(place) == sum(rounds)
        assert sample.weights().sum() == pytest.approx(len(energy))
        signed = sample.ratio(error[place], error[place], energy.sum())
        absolute = sample.ratio(np.abs(error[place]), error[place], energy.sum(), positive=True)
        assert signed is not None
        assert absolute is not None
        found.append([signed.value, signed.low <= truth <= signed.high,
                      absolute.value, absolute.low <= wrong <= absolute.high])  # fmt: skip
    values = np.array(found, float)
    mean, deviation = values.mean(axis=0), values.std(axis=0) / np.sqrt(N_DRAWS)
    assert mean[0] == pytest.approx(truth, abs=4 * deviation[0])
    assert mean[2] == pytest.approx(wrong, abs=4 * deviation[2])
    assert 0.91 < mean[1] <= 0.99
    assert 0.85 < mean[3] <= 0.99


def test_the_interval_is_that_of_the_differences_not_of_the_energies() -> None:
    rng = np.random.default_rng(1)
    energy, error = population(rng)
    sample, place = drawn(rng, energy, error, (60,))
    plain = sample.sum(energy[place] + error[place])
    known = sample.sum(error[place], energy.sum())
    assert known.half_width < plain.half_width / 2
    assert plain.low <= (energy + error).sum() <= plain.high


def test_all_members_give_the_truth_without_an_interval() -> None:
    rng = np.random.default_rng(2)
    energy, error = population(rng, 60)
    sample, place = drawn(rng, energy, error, (20, 60))
    figure = sample.ratio(error[place], error[place], energy.sum())
    assert figure is not None
    assert (figure.value, figure.half_width) == (pytest.approx(error.sum() / (energy + error).sum()), 0)


def test_a_stratum_alone_agrees_with_the_textbook() -> None:
    values = np.array([1.0, 4.0, 4.0, 7.0, 9.0])
    zeros = np.zeros(5, int)
    total = Sample(np.array([20]), zeros, zeros).sum(values)
    error = 20 * np.sqrt((1 - 5 / 20) * values.var(ddof=1) / 5)
    assert total.value == pytest.approx(20 * values.mean())
    assert total.half_width == pytest.approx(2.776445 * error, rel=1e-6), "Student's t, 4 degrees of freedom"


def test_halves_count_the_same_however_many_were_drawn_of_each() -> None:
    sample = Sample(
        size=np.array([100, 50]),
        stratum=np.array([0, 0, 0, 1, 1, 1]),
        half=np.array([0, 0, 1, 1, 1, 1]),
    )
    np.testing.assert_allclose(sample.weights(), [25, 25, 50, 50 / 3, 50 / 3, 50 / 3])


def test_a_part_of_a_sample_keeps_its_weights() -> None:
    rng = np.random.default_rng(3)
    energy, error = population(rng)
    sample, _ = drawn(rng, energy, error, (24, 24))
    mask = np.arange(len(sample.size)) % 2 == 1
    part = sample.only(mask)
    assert part.size.tolist() == sample.size[mask].tolist()
    np.testing.assert_array_equal(part.weights(), sample.weights()[mask[sample.stratum]])


def test_strata_have_equal_sums_and_equal_sizes_lie_together() -> None:
    size = np.concatenate([np.zeros(50), np.arange(1, 101)])
    stratum = strata_by_size(size, 4)
    sums = np.bincount(stratum, size)
    np.testing.assert_allclose(sums, size.sum() / 4, atol=100)
    assert len(np.unique(stratum[:50])) == 1
    assert (np.diff(stratum[np.argsort(size, kind="stable")]) >= 0).all()
    assert strata_by_size(np.full(9, 3.0), 4).tolist() == [0] * 9
    assert strata_by_size(np.zeros(3), 4).tolist() == [0] * 3


def test_small_strata_are_joined_with_their_neighbours() -> None:
    stratum = np.repeat([0, 1, 2, 3, 4], [3, 20, 2, 9, 1])
    joined = merged(stratum, np.bincount(stratum), 8)
    assert np.bincount(joined).tolist() == [23, 12]
    assert merged(stratum[:3], np.array([3]), 8).tolist() == [0, 0, 0]


def test_allocation_is_the_best_one() -> None:
    weight, size = np.array([5.0, 1.0, 3.0]), np.array([6, 50, 50])
    nothing = np.zeros(3, int)

    def variance(n: tuple[int, ...]) -> float:
        return float((weight**2 / np.array(n)).sum())

    best = min(
        (n for n in itertools.product(range(2, 17), repeat=3) if sum(n) == 18 and n[0] <= 6), key=variance
    )
    assert tuple(allocate(18, weight, nothing, size, 2)) == best
    assert allocate(99, weight, nothing, np.array([3, 4, 0]), 2).tolist() == [3, 4, 0]
    assert allocate(3, weight, np.array([9, 9, 9]), size * 10, 1).tolist() == [1, 1, 1]


def test_spreads_follow_the_scale_within_a_group_and_the_errors_between_groups() -> None:
    size, scale, group = np.array([10, 10, 10]), np.array([1.0, 2.0, 1.0]), np.array([0, 0, 1])
    weight = neyman(size, scale, group, np.array([0, 1, 2, 2]), np.array([0.1, -0.2, 0.5, -0.5]))
    np.testing.assert_allclose(weight, [10 * 0.1, 10 * 0.2, 10 * 0.5])


def test_what_was_never_seen_may_still_be_there() -> None:
    assert never_seen(64, 10_000) == pytest.approx(0.056, abs=1e-3)
    assert (1 - never_seen(64, 10_000)) ** 64 == pytest.approx(0.025)
    assert never_seen(64, 64) == 0.0

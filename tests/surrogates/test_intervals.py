"""Conformal intervals cover as often as they say."""

import numpy as np

from surrogates.intervals import conformal


def test_coverage_is_the_level_on_totals_of_the_same_kind() -> None:
    rng = np.random.default_rng(0)
    hits = []
    for _ in range(400):
        predicted = rng.uniform(1, 2, 80)
        reference = predicted * (1 + 0.01 * rng.standard_t(3, 80))
        (low, mid, high) = conformal("layer", "energy", predicted[:40], reference[:40], "drawn")
        score = np.abs(reference / predicted - 1)[40:]
        hits.append([(score <= each.half_width).mean() for each in (low, mid, high)])
    coverage = np.mean(hits, axis=0)
    np.testing.assert_allclose(coverage, [33 / 41, 37 / 41, 39 / 41], atol=0.01)


def test_few_totals_give_no_high_level() -> None:
    ones = np.ones(5)
    assert [each.level for each in conformal("unit", "latency", ones, ones * 1.1, "five")] == [0.8]
    assert conformal("unit", "latency", ones[:3], ones[:3], "three") == ()


def test_what_is_undefined_is_left_out() -> None:
    predicted = np.array([1.0, np.nan, 0.0, 2.0, 1.0, 1.0, 1.0])
    reference = np.array([1.1, 1.0, 1.0, np.nan, 1.0, 1.0, 1.0])
    found = conformal("unit", "latency", predicted, reference, "some")
    assert [each.n for each in found] == [4]
    assert found[0].half_width == np.abs(1.0 - 1.1)

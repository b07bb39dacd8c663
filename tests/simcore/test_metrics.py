"""Error figures against numbers worked out by hand."""

import numpy as np
import pytest

from simcore.metrics import UNDEFINED, event_error, output_error, relative_error


def bools(text: str) -> np.ndarray:
    return np.array([c == "1" for c in text])


def test_relative_error_by_hand() -> None:
    figure = relative_error(np.array([1.0, 2.0, 5.0]), np.array([1.5, 2.0, 4.0]), np.array([0, 0, 1]))
    assert figure.value_pct == pytest.approx(100 * 1.5 / 8)
    assert figure.bias_pct == pytest.approx(100 * -0.5 / 8)
    assert figure.n == 3
    assert figure.baseline_pct == pytest.approx(100 * (1 + 0 + 3) / 8)  # the median, 2, for every row


def test_relative_error_takes_sizes_where_the_reference_changes_sign() -> None:
    figure = relative_error(np.array([-1.0, 3.0]), np.array([1.0, 3.0]), np.array([0, 0]))
    assert figure.value_pct == pytest.approx(50)
    assert figure.bias_pct == pytest.approx(50)


def test_something_where_the_reference_is_nothing_is_wholly_wrong() -> None:
    figure = relative_error(np.zeros(3), np.array([0.0, 2.0, 0.0]), np.zeros(3, dtype=int))
    assert figure.value_pct == 100


@pytest.mark.parametrize("reference", [np.zeros(3), np.zeros(0)])
def test_relative_error_of_nothing_is_undefined(reference: np.ndarray) -> None:
    sample = np.zeros(len(reference), dtype=int)
    assert relative_error(reference, reference, sample) is UNDEFINED
    assert UNDEFINED.as_dict()["value_pct"] is None


def test_event_error_is_one_minus_f1() -> None:
    reference, candidate = bools("110010"), bools("101011")
    figure = event_error(reference, candidate, bools("111111"), np.zeros(6, dtype=int))
    assert figure.value_pct == pytest.approx(100 * (1 - 2 * 2 / (2 * 2 + 2 + 1)))
    assert figure.bias_pct == pytest.approx(100 * (4 - 3) / 3)


def test_event_baseline_fires_in_every_driven_row() -> None:
    reference, driven = bools("1100"), bools("1110")
    figure = event_error(reference, reference, driven, np.zeros(4, dtype=int))
    assert figure.value_pct == 0
    assert figure.baseline_pct == pytest.approx(100 * (1 - 2 * 2 / (2 * 2 + 1)))


def test_events_of_a_silent_reference_are_all_wrong() -> None:
    silent = bools("000")
    figure = event_error(silent, bools("010"), bools("111"), np.zeros(3, dtype=int))
    assert (figure.value_pct, figure.bias_pct) == (100, None)
    assert event_error(silent, silent, bools("111"), np.zeros(3, dtype=int)) is UNDEFINED


def test_output_error_is_rms_over_range() -> None:
    reference, candidate = np.array([0.0, 0.4, -0.4]), np.array([0.3, 0.4, -0.8])
    figure = output_error(reference, candidate, 1.6, np.array([0, 1, 1]))
    assert figure.value_pct == pytest.approx(100 * np.sqrt((0.09 + 0.16) / 3) / 1.6)
    assert figure.bias_pct == pytest.approx(100 * (0.3 - 0.4) / 3 / 1.6)
    assert figure.baseline_pct == pytest.approx(100 * reference.std() / 1.6)


def test_output_error_of_no_rows_is_undefined() -> None:
    assert output_error(np.zeros(0), np.zeros(0), 1.0, np.zeros(0, dtype=int)) is UNDEFINED


def test_single_sample_has_no_interval() -> None:
    assert relative_error(np.ones(5), np.ones(5), np.zeros(5, dtype=int)).ci95_pct is None


def test_equal_samples_have_an_interval_of_no_width() -> None:
    reference = np.ones(6)
    figure = relative_error(reference, reference * 1.1, np.array([0, 0, 1, 1, 2, 2]))
    assert figure.ci95_pct == pytest.approx((10, 10))


def test_interval_is_the_bootstrap_over_samples() -> None:
    # Two samples of equal weight, errors 0 and 20 %: a resample is 0, 10 or 20 % at 1/4, 1/2, 1/4.
    figure = relative_error(np.ones(2), np.array([1.0, 1.2]), np.array([3, 8]))
    assert figure.value_pct == pytest.approx(10)
    assert figure.ci95_pct == pytest.approx((0, 20))


def test_interval_covers_the_true_error() -> None:
    """Oracle: normal theory. 400 samples, relative error 0.1 +- 0.05 each, so 10 +- 0.49 %."""
    error = np.random.default_rng(1).normal(0.1, 0.05, 400).clip(0)
    figure = relative_error(np.ones(400), 1 + error, np.arange(400))
    assert figure.value_pct is not None
    assert figure.ci95_pct is not None
    low, high = figure.ci95_pct
    half = 196 * error.std() / 20
    assert low == pytest.approx(figure.value_pct - half, abs=0.15)
    assert high == pytest.approx(figure.value_pct + half, abs=0.15)


def test_interval_is_undefined_where_a_resample_has_nothing() -> None:
    reference = bools("1100")
    figure = event_error(reference, reference, bools("1111"), np.array([0, 0, 1, 1]))
    assert figure.value_pct == 0
    assert figure.ci95_pct is None


def test_interval_repeats() -> None:
    rng = np.random.default_rng(0)
    reference, sample = rng.random(50), rng.integers(0, 7, 50)
    first, second = (relative_error(reference, reference**2, sample) for _ in range(2))
    assert first == second

"""The published figures on cases small enough to be worked out by hand."""

from dataclasses import dataclass

import numpy as np
import pytest

from simcore.lasana import Sums, head_figures, layer_sums, network_figures, regression
from simcore.ledger import TraceRows

NAN = np.nan


@dataclass(frozen=True)
class Rows:
    outputs: np.ndarray
    state: np.ndarray
    fired: np.ndarray
    supply_j: np.ndarray
    latency_s: np.ndarray


def rows(fired: list[int], supply_pj: list[float], latency_ns: list[float], state: list[float]) -> Rows:
    return Rows(
        outputs=np.array(state)[:, None] * 2,
        state=np.array(state)[:, None],
        fired=np.array(fired, dtype=np.bool_),
        supply_j=np.array(supply_pj) * 1e-12,
        latency_s=np.array(latency_ns) * 1e-9,
    )


# Two events, a driven step without one, an idle step. The surrogate misses the second event.
IDLE = np.array([False, False, False, True])
REFERENCE = rows([1, 1, 0, 0], [2.0, 4.0, 1.0, 0.5], [1.0, 2.0, NAN, NAN], [0.0, 0.1, 0.2, 0.3])
SURROGATE = rows([1, 0, 0, 0], [2.5, 1.0, 1.2, 0.4], [1.1, NAN, NAN, NAN], [0.0, 0.1, 0.2, 0.5])


def test_regression_is_what_a_hand_computes() -> None:
    found = regression(np.array([1.0, 2.0, 0.0]), np.array([1.5, 1.0, 0.0]), "V", 1.0)
    assert found == {
        "unit": "V",
        "mse": pytest.approx((0.25 + 1.0) / 3),
        "mape_pct": pytest.approx(50.0),  # the row without reference is left out
        "r2": pytest.approx(1 - 1.25 / 2.0),
        "total_error_pct": pytest.approx(100 * 0.5 / 3),
        "n": 3,
    }


def test_regression_of_nothing_is_undefined() -> None:
    found = regression(np.zeros(0), np.zeros(0), "pJ", 1e12)
    assert found == {"unit": "pJ", "mse": None, "mape_pct": None, "r2": None, "total_error_pct": None, "n": 0}


def test_heads_of_a_spiking_circuit() -> None:
    heads = head_figures(IDLE, REFERENCE, SURROGATE, is_level=False, swing_v=1.5)
    assert heads["dynamic_energy"]["mse"] == pytest.approx((0.5**2 + 3.0**2) / 2)
    assert heads["dynamic_energy"]["mape_pct"] == pytest.approx(100 * (0.25 + 0.75) / 2)
    assert heads["dynamic_energy"]["total_error_pct"] == pytest.approx(100 * 2.5 / 6)
    assert heads["static_energy"]["mse"] == pytest.approx((0.2**2 + 0.1**2) / 2)
    assert heads["latency"]["mape_pct"] == pytest.approx(100 * (0.1 + 1.0) / 2)  # missed: latency 0
    assert heads["latency_matched"]["mape_pct"] == pytest.approx(10.0)
    assert heads["state"]["mse"] == pytest.approx(0.2**2 / 4)
    assert heads["output"] == {
        "unit": "V", "mse": pytest.approx(1.5**2 / 3), "accuracy_pct": pytest.approx(200 / 3), "n": 3,
    }  # fmt: skip


def test_heads_of_level_outputs_count_static_energy_in_idle_steps_alone() -> None:
    heads = head_figures(IDLE, REFERENCE, SURROGATE, is_level=True, swing_v=1.6)
    assert heads["static_energy"]["n"] == 1
    assert heads["static_energy"]["mse"] == pytest.approx(0.1**2)
    assert heads["output"]["mse"] == pytest.approx(0.4**2 / 4)


def trace(lane: list[int], unit: list[int], step: list[int], of: Rows, idle: np.ndarray) -> TraceRows:
    n, none = len(lane), np.zeros(len(lane), np.bool_)
    return TraceRows(
        np.array(lane), np.array(unit), np.array(step), np.ones(n, np.int64), idle, none, none, of.fired,
        of.supply_j, np.full(n, 1.0), of.latency_s, np.zeros((n, 1)), of.outputs,
    )  # fmt: skip


def sums(is_level: bool) -> Sums:
    """Samples 3 and 5: the rows above belong to the first but for the second event."""
    ours, theirs = (
        trace([3, 5, 3, 3], [0, 0, 1, 0], [0, 0, 0, 1], side, IDLE) for side in (REFERENCE, SURROGATE)
    )
    pair = ours, theirs
    return layer_sums(pair, pair, np.array([3, 5]), is_level=is_level)


def test_a_spiking_network_is_divided_by_the_surrogate() -> None:
    found = network_figures([sums(False)], is_level=False, accuracy=(0.9, 0.7))
    assert found["energy_error_pct"] == pytest.approx(100 * (abs(3.5 - 4.1) / 4.1 + 3.0 / 1.0) / 2)
    assert found["latency_error_pct"] == pytest.approx(100 * 0.1 / 1.1)  # sample 5: no latency to divide by
    assert found["energy_mape_pct"] == pytest.approx(100 * (0.5 / 2.5 + 3.0 / 1.0) / 2)
    assert found["latency_mape_pct"] == pytest.approx(100 * 0.1 / 1.1)
    assert found["event_error_pct"] == pytest.approx(100 / 3)
    assert found["accuracy_difference_pct"] == pytest.approx(20.0)


def test_a_level_network_is_divided_by_the_reference() -> None:
    found = network_figures([sums(True)], is_level=True, accuracy=None)
    assert found["energy_error_pct"] == pytest.approx(100 * (0.6 / 3.5 + 3.0 / 4.0) / 2)
    assert found["latency_error_pct"] == pytest.approx(10.0)
    assert found["energy_mape_pct"] == pytest.approx(100 * (0.25 + 0.75) / 2)
    assert found["accuracy_difference_pct"] is None


def test_layers_add_up_before_they_are_divided() -> None:
    one = network_figures([sums(False)], is_level=False, accuracy=None)
    two = network_figures([sums(False), sums(False)], is_level=False, accuracy=None)
    assert two == pytest.approx(one)

"""Random rasters keep the ports' ranges and the engine's idle merging."""

import hashlib

import numpy as np
import pytest

from simcore.manifest import load_circuit
from simcore.spec import CircuitSpec, PortKind
from spice_ref.stimuli import DEFAULT_KNOBS, KINDS, draw_params, draw_raster


@pytest.fixture(scope="module", params=["lif_neuron", "crossbar_row", "comparator"])
def spec(request: pytest.FixtureRequest) -> CircuitSpec:
    return load_circuit(request.param)


@pytest.mark.parametrize("kind", KINDS)
def test_inputs_and_durations_are_in_range(spec: CircuitSpec, kind: str) -> None:
    for run in range(20):
        _, raster = draw_raster(spec, run, 60, 1, kind)
        assert len(raster.idle) == len(raster.inputs) == len(raster.duration_ps) == 60
        assert (raster.inputs >= spec.low(PortKind.INPUT)).all()
        assert (raster.inputs <= spec.high(PortKind.INPUT)).all()
        assert (raster.duration_ps[~raster.idle] == spec.period_ps).all()
        assert raster.duration_ps.max() <= spec.max_idle_periods * spec.period_ps


@pytest.mark.parametrize("kind", KINDS)
def test_idle_gaps_begin_with_the_tail(spec: CircuitSpec, kind: str) -> None:
    for run in range(20):
        _, raster = draw_raster(spec, run, 60, 1, kind)
        tail = 0
        for idle, duration in zip(raster.idle, raster.duration_ps, strict=True):
            if not idle:
                tail = spec.tail_periods
            elif tail:
                assert duration == spec.period_ps
                tail -= 1


def test_gaps_are_merged_cut_in_two_and_stepped(spec: CircuitSpec) -> None:
    """Behind the tail: one merged row for most gaps, two or more for some, single periods for a few."""
    gaps: list[list[int]] = []
    for run in range(60):
        _, raster = draw_raster(spec, run, 100, 1, "sparse")
        periods = raster.duration_ps // spec.period_ps
        for row in np.flatnonzero(~raster.idle):
            behind = np.flatnonzero(~raster.idle[row + 1 :])
            gap = periods[row + 1 : row + 1 + behind[0]] if len(behind) else []
            if len(gap) > spec.tail_periods:
                gaps.append(list(gap[spec.tail_periods :]))
    n_rows = np.array([len(gap) for gap in gaps])
    singly = np.mean([len(gap) > 2 and max(gap[:3]) == 1 for gap in gaps])
    assert 0.5 < (n_rows == 1).mean() < 0.95
    assert (n_rows == 2).mean() > 0.05
    assert 0.01 < singly < 0.15


def test_idle_steps_hold_levels_and_packets_are_zero(spec: CircuitSpec) -> None:
    _, raster = draw_raster(spec, 2, 200, 1, "sparse")
    before = np.vstack([spec.reset_inputs, raster.inputs[:-1]])
    held = np.where(spec.holds_level, before, 0.0)
    np.testing.assert_array_equal(raster.inputs[raster.idle], held[raster.idle])


def test_a_run_depends_on_seed_and_run_alone(spec: CircuitSpec) -> None:
    for first, second in ((3, 3), (3, 4)):
        a, b = draw_raster(spec, first, 50, 1)[1], draw_raster(spec, second, 50, 1)[1]
        assert np.array_equal(a.inputs, b.inputs) == (first == second)
    assert not np.array_equal(draw_raster(spec, 3, 50, 1)[1].inputs, draw_raster(spec, 3, 50, 2)[1].inputs)


def test_weights_are_ternary_and_knobs_often_default(spec: CircuitSpec) -> None:
    drawn = np.array([draw_params(spec, np.random.default_rng(k)) for k in range(300)])
    weights = [name[0] == "w" for name in spec.columns(PortKind.PARAM)]
    assert set(np.unique(drawn[:, weights])) <= {-1.0, 0.0, 1.0}
    knobs = drawn[:, ~np.array(weights)]
    at_default = (knobs == spec.default_params[~np.array(weights)]).all(axis=1)
    assert abs(at_default.mean() - DEFAULT_KNOBS) < 0.1
    assert (drawn >= spec.low(PortKind.PARAM)).all()
    assert (drawn <= spec.high(PortKind.PARAM)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_digital_input_takes_its_values_only_and_is_often_active(kind: str) -> None:
    """`clk` of the comparator: a run without a pulse would decide nothing."""
    comparator = load_circuit("comparator")
    clk = comparator.columns(PortKind.INPUT).index("clk")
    active = []
    for run in range(40):
        _, raster = draw_raster(comparator, run, 60, 1, kind)
        assert set(np.unique(raster.inputs[:, clk])) == {0.0, 1.5}
        active.append(float((raster.inputs[~raster.idle, clk] == 1.5).mean()))
    assert min(active) > 0.15
    assert 0.3 < np.mean(active) < 0.7


@pytest.mark.parametrize("kind", KINDS)
def test_digital_input_takes_all_of_its_values(kind: str) -> None:
    comparator = load_circuit("comparator")
    ports = [
        port.model_copy(update={"values": (0.0, 0.5, 1.0, 1.5)} if port.name == "clk" else {})
        for port in comparator.ports
    ]
    four = comparator.model_copy(update={"ports": tuple(ports)})
    clk = four.columns(PortKind.INPUT).index("clk")
    rasters = [draw_raster(four, run, 60, 1, kind)[1] for run in range(10)]
    drawn = np.concatenate([raster.inputs[~raster.idle, clk] for raster in rasters])
    values, counts = np.unique(drawn, return_counts=True)
    assert values.tolist() == [0.0, 0.5, 1.0, 1.5]
    assert counts[1:].min() > 0.8 * counts[1:].mean()


def test_dense_drive_of_the_neuron_reaches_network_sums() -> None:
    lif = load_circuit("lif_neuron")
    values = np.concatenate(
        [r.inputs[~r.idle, 0] for r in (draw_raster(lif, run, 100, 1, "dense")[1] for run in range(50))]
    )
    assert np.percentile(values, 2) < -4
    assert np.percentile(values, 98) > 4


PINNED = {
    "lif_neuron": "87381c0cf370237d",
    "crossbar_row": "6a7e0a368f4c4501",
    "comparator": "531ed2489558f0bc",
}
"""SHA-256 of the first 12 runs: recordings that ship were drawn so, and go on so."""


@pytest.mark.parametrize("circuit", PINNED)
def test_runs_are_drawn_as_ever(circuit: str) -> None:
    digest = hashlib.sha256()
    for run in range(12):
        raster = draw_raster(load_circuit(circuit), run, 40, 1)[1]
        for values in (raster.params, raster.duration_ps, raster.inputs, raster.idle):
            digest.update(values.astype(np.float64).round(9).tobytes())
    assert digest.hexdigest()[:16] == PINNED[circuit]


def test_uniform_runs_are_driven_in_each_period_and_even() -> None:
    spec = load_circuit("rram_mac", sizes={"tiles": 1, "rows": 8, "columns": 2})
    rasters = [draw_raster(spec, run, 20, 1, "uniform")[1] for run in range(40)]
    assert not any(raster.idle.any() for raster in rasters)
    v = np.concatenate([raster.inputs for raster in rasters]) / 0.3
    g = (np.array([raster.params[2:] for raster in rasters]) - 1e-6) / 19e-6
    for values in (v, g):
        shares = [0.0, 0.25, 0.5, 0.75, 1.0]
        np.testing.assert_allclose(np.quantile(values, shares), shares, atol=0.06)
    mixed = np.array([draw_raster(spec, run, 2, 1)[1].params[2:] for run in range(40)])
    assert (mixed == 1e-6).mean() > 0.15
    assert (mixed == 20e-6).mean() > 0.15
    assert ((mixed > 1e-6) & (mixed < 20e-6)).mean() > 0.3

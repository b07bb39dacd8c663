"""Crossbar network: mapping, converters and stages against small cases worked out by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from architectures.converters import Converters, dac
from architectures.crossbar_mlp import CrossbarMlp, CrossbarOptions
from architectures.dense_stages import centre
from architectures.mapping import Tiles
from simcore import load_scenario, run
from simcore.architecture import Batch, LayerOutput, Network
from simcore.bank import Floats
from simcore.digital import COMPONENTS
from simcore.errors import ScenarioError
from simcore.scenario import parse_scenario
from tests.test_scenarios import SCENARIOS


def output(volts: Floats) -> LayerOutput:
    """Return what a layer of one-output units shows, volts (n_lanes, n_units)."""
    return LayerOutput(np.ones(volts.shape, np.bool_), volts[:, :, None], np.zeros(len(volts)))


def network_of(tmp_path: Path, batch: Batch, options: CrossbarOptions) -> Network:
    """Return the network 3-2-2 with two rows per tile on 1 x 3 images."""
    arrays: dict[str, Any] = {"fc1.weight": [[1, -1, 1], [0, 1, 1]], "fc2.weight": [[1, 1], [-1, 1]]}
    np.savez(tmp_path / "w.npz", **arrays)
    return CrossbarMlp(str(tmp_path / "w.npz"), options, (1, 3)).network(batch)


def test_tiles_reproduce_the_matrix_product() -> None:
    generator = np.random.default_rng(0)
    tiles = Tiles(70, 5, 32)
    weight, values = generator.integers(-1, 2, (5, 70)).astype(float), generator.random((3, 70))
    assert (tiles.count, tiles.n_units) == (3, 15)
    dots = (tiles.levels(values) * tiles.cells(weight)).sum(axis=2)
    assert np.allclose(tiles.partial_sums(dots).sum(axis=1), values @ weight.T)


def test_padding_is_weight_and_level_zero() -> None:
    tiles = Tiles(3, 2, 2)
    assert tiles.cells(np.ones((2, 3))).tolist() == [[1, 1], [1, 1], [1, 0], [1, 0]]
    assert tiles.levels(np.ones((1, 3)))[0, 2:].tolist() == [[1, 0], [1, 0]]


def test_bias_is_spread_over_the_tiles() -> None:
    cells = Tiles(70, 3, 32).bias_cells(np.array([2.0, -3.0, 0.0]))
    assert cells.reshape(3, 3).tolist() == [[1, -1, 0], [1, -1, 0], [0, -1, 0]]


def test_dac_has_its_ends_and_its_resolution() -> None:
    levels = dac(np.array([0.0, 1.0, 0.5, 0.5 / 255 - 1e-9]), 8, 0.8)
    assert np.allclose(levels, [0.0, 0.8, 0.8 * 128 / 255, 0.0])


@pytest.mark.parametrize(
    ("mode", "expected", "n_adc", "clipped"), [("before", 0.0, 4, 0), ("after", 0.00625, 2, 1)]
)
def test_converters_round_before_or_after_the_addition(
    mode: str, expected: float, n_adc: int, clipped: int
) -> None:
    reader = Converters("fc1", Tiles(4, 2, 2), 8, 0.8, mode)  # type: ignore[arg-type]
    volts = np.array([[0.003, 0.7, 0.003, 0.7]])  # 0.48 lsb twice; 1.4 V clips when added first
    sums, actions = reader.read(volts)
    assert sums[0, 0] == pytest.approx(expected)
    assert {key[1]: value.tolist() for key, value in actions.items()} == {
        "adc": [n_adc], "adder": [2], "clip": [clipped],
        "register": [n_adc], "sample_hold": [0],
    }  # fmt: skip
    assert sums[0, 1] == pytest.approx(1.4 if mode == "before" else 127 * 0.00625)


def test_layers_are_driven_once_and_in_turn(tmp_path: Path) -> None:
    images = np.array([[[0.0, 0.4, 1.0]], [[1.0, 0.0, 0.0]]])
    batch = Batch(images=images, labels=np.zeros(2, np.int64), samples=np.arange(2), seed=1)
    net = network_of(tmp_path, batch, CrossbarOptions(rows=2, delay_periods=3))
    first, second = net.layers
    assert (first.n_units, second.n_units, net.n_steps) == (4, 2, 5)
    assert first.params["gain"].tolist() == [30.0] * 4
    assert second.params["gain"].tolist() == [10.0] * 2
    delivery = first.stage.deliver(0, ())
    assert delivery.units.tolist() == list(range(8))
    assert np.allclose(delivery.inputs[:4], [[0, 0.32], [0, 0.32], [0.8, 0], [0.8, 0]])
    hidden = output(np.array([[0.1, -0.2, 0.1, 0.0], [0.0, 0.0, 0.0, 0.0]]))
    for step in range(5):
        assert len(first.stage.deliver(step, ()).units) == (8 if step == 0 else 0)
        assert len(second.stage.deliver(step, (hidden,)).units) == (4 if step == 3 else 0)
    delivery = second.stage.deliver(3, (hidden,))
    sums = np.array([[0.2, -0.2], [0.0, 0.0]])
    expected = 0.8 / (1.0 + np.exp(-11.0 * sums))
    assert np.allclose(delivery.inputs, np.repeat(expected, 2, axis=0), atol=0.02)
    assert delivery.actions[("fc2", "sigmoid")].tolist() == [2.0, 2.0]
    assert delivery.actions[("fc1", "adc")].tolist() == [4.0, 4.0]


def test_readout_scores_the_summed_voltages_of_the_due_step(tmp_path: Path) -> None:
    batch = Batch(images=np.zeros((1, 1, 3)), labels=np.zeros(1, np.int64), samples=np.arange(1), seed=1)
    readout = network_of(tmp_path, batch, CrossbarOptions(rows=2)).readout
    assert readout.observe(0, output(np.array([[0.5, 0.0]]))).active is None
    readout.observe(2, output(np.array([[0.1, 0.3]])))
    readout.observe(3, output(np.array([[0.5, 0.0]])))
    assert np.allclose(readout.scores(), [[0.1, 0.3]])


def test_crop_takes_the_centre_and_refuses_more_than_there_is() -> None:
    images = np.arange(16.0).reshape(1, 4, 4)
    assert centre(images, 2).tolist() == [[[5, 6], [9, 10]]]
    with pytest.raises(ScenarioError, match=r"crop: got 20, expected at most 8"):
        CrossbarMlp("digits_64_48_10", CrossbarOptions(crop=20), (8, 8))


@pytest.mark.parametrize(("shared", "n_adc", "turns"), [(1, 6, [1] * 6), (4, 2, [4, 2]), (16, 1, [6])])
def test_rows_share_converters(shared: int, n_adc: int, turns: list[int]) -> None:
    reader = Converters("fc1", Tiles(6, 2, 2), 8, 0.8, "before", shared)
    assert reader.parts == {"adc": n_adc, "register": 6}
    assert reader.work.turns.tolist() == [turns]
    _, actions = reader.read(np.zeros((2, 6)))
    held = [6.0, 6.0] if shared > 1 else [0.0, 0.0]
    assert actions[("fc1", "sample_hold")].tolist() == held
    assert actions[("fc1", "adc")].tolist() == [6.0, 6.0]


def test_digital_totals_by_hand(tmp_path: Path) -> None:
    """One layer of 2 tiles and 3 outputs and one of 1 tile and 2, without contention; static power too."""
    np.savez(tmp_path / "w.npz", **{
        "fc1.weight": np.ones((3, 4)), "fc1.bias": np.zeros(3), "fc2.weight": np.ones((2, 3)),
        "fc2.bias": np.zeros(2),
    })  # fmt: skip
    scenario = parse_scenario(
        {
            "name": "hand", "samples": 1, "dataset": {"name": "digits"}, "base": str(tmp_path),
            "architecture": {"name": "crossbar_mlp", "weights": "./w.npz", "options": {"crop": 2, "rows": 3}},
            "circuits": {"crossbar_row": {"sizes": {"rows": 3}}},
            "backend": {"default": "ideal"}, "digital": {"contention": False},
        },
        "hand",
    )  # fmt: skip
    result = run(scenario)
    table, duration_s = (
        result.components,
        4 * 4e-9,
    )  # fc2 is driven in the third period, and back in the fourth
    assert result.duration_s.tolist() == pytest.approx([duration_s], rel=1e-12)

    def joules(**actions: float) -> dict[str, float]:
        return {name: count * table[name].energy_j for name, count in actions.items()}

    static_j = table["register"].static_w * duration_s
    fc1 = joules(dac=4, adc=6, adder=3, register=4 + 6)
    fc1["register"] += (4 + 6) * static_j
    fc2 = joules(sigmoid=3, dac=3, adc=2, register=3 + 2)
    fc2["register"] += (3 + 2) * static_j
    assert result.digital("fc1") == pytest.approx(fc1, rel=1e-12)
    assert result.digital("fc2") == pytest.approx(fc2, rel=1e-12)
    layers = result.summary()["layers"]
    assert sum(layer["energy_j"] for layer in layers) == pytest.approx(result.summary()["energy_j"], rel=1e-9)
    assert layers[0]["wait_s"] == 0.0


def test_shared_converters_lengthen_the_critical_path(tmp_path: Path) -> None:
    def ends_s(shared: int) -> list[float]:
        scenario = load_scenario(
            SCENARIOS / "digits_crossbar.toml", ["samples=2", f"architecture.options.rows_per_adc={shared}"]
        )
        return [layer["critical_path_s"] for layer in run(scenario.with_backend("ideal")).summary()["layers"]]

    alone, four = ends_s(1), ends_s(4)
    adc_s = COMPONENTS["adc"].latency_s
    assert four == pytest.approx([each + 3 * adc_s for each in alone], rel=1e-9)

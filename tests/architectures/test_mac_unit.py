"""MLP on MAC blocks: mapping, conductances, biases, digital sums; and the shipped bundle on real images."""

from pathlib import Path

import numpy as np
import pytest

from architectures.converters import Converters
from architectures.mac_unit import MacUnit, MacUnitOptions
from architectures.mapping import Tiles
from architectures.weights import load_weights
from simcore import load_scenario, run
from simcore.architecture import Batch, LayerOutput, Network
from simcore.errors import ContractError, ScenarioError, WeightsError

SCENARIOS = Path(__file__).parents[2] / "scenarios"
RNG = np.random.default_rng(3)


def network(options: MacUnitOptions, n: int = 2) -> Network:
    return MacUnit("mnist_400_120_84_10", options, (28, 28)).network(
        Batch(RNG.random((n, 28, 28)), np.zeros(n, np.int64), np.arange(n), 1)
    )


@pytest.mark.parametrize("pairs", [1, 3, 4])
def test_blocks_compute_a_dense_layer(pairs: int) -> None:
    blocks = Tiles(n_inputs=50, n_outputs=10, rows=16, pairs=pairs)
    weight, x = RNG.normal(size=(10, 50)), RNG.random((3, 50))
    cells = blocks.cells(weight).reshape(blocks.n_units, pairs, 16)
    outputs = np.einsum("lui,upi->lup", blocks.levels(x), cells)
    assert outputs.shape == (3, 4 * -(-10 // pairs), pairs)
    np.testing.assert_allclose(blocks.partial_sums(outputs).sum(axis=1), x @ weight.T)


def test_converters_count_outputs_and_not_blocks() -> None:
    blocks = Tiles(n_inputs=50, n_outputs=10, rows=16, pairs=4)
    reader = Converters("fc1", blocks, 16, 0.8, "before", 4)
    assert reader.parts == {"adc": 10, "register": 40}
    sums, actions = reader.read(np.full((2, blocks.n_units, 4), 0.1))
    np.testing.assert_allclose(sums, np.full((2, 10), 0.4), atol=1e-4)
    assert actions["fc1", "adc"].tolist() == [40.0, 40.0]
    assert actions["fc1", "adder"].tolist() == [30.0, 30.0]


def test_weights_are_differences_of_conductances() -> None:
    layers = network(MacUnitOptions(crop=20)).layers
    assert [layer.n_units for layer in layers] == [240, 84, 10]
    params = layers[1].params
    weight = (params["g_pos"] - params["g_neg"]) / 8e-6
    assert set(np.unique(np.round(weight, 6))) <= {-1.0, 0.0, 1.0}
    assert np.minimum(params["g_pos"], params["g_neg"]).max() == pytest.approx(1e-6)
    np.testing.assert_array_equal(weight[:, 120:], 0.0)


def test_blocks_of_more_columns_are_fewer() -> None:
    layers = network(MacUnitOptions(crop=20, tiles=2, columns=8)).layers
    assert [layer.n_units for layer in layers] == [4 * 30, 21, 3]


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"options\.crop: got 40, expected at most 28"):
        MacUnit("mnist_400_120_84_10", MacUnitOptions(crop=40), (28, 28))
    path = tmp_path / "w.npz"
    np.savez(path, **{"fc1.weight": np.full((3, 4), -2.5)})
    with pytest.raises(WeightsError, match=r"fc1\.weight: got 2\.5, expected -1 to 1"):
        MacUnit(str(path), MacUnitOptions(), (2, 2))


def test_biases_are_added_to_the_sums() -> None:
    layers = network(MacUnitOptions(crop=20, unit_v=0.05)).layers
    dense = load_weights("mnist_400_120_84_10", 400)
    outputs = np.zeros((2, layers[0].n_units, 1))
    delivery = layers[1].stage.deliver(2, (LayerOutput(np.zeros((2, 240), np.bool_), outputs, np.zeros(2)),))
    level = delivery.inputs.reshape(2, 84, 256)[:, :, :120]
    expected = 1 / (1 + np.exp(-16.0 * 0.05 * dense[0].bias))
    np.testing.assert_allclose(level, np.broadcast_to(expected * 0.3, level.shape), atol=0.3 / 255)
    assert dense[0].bias.any()


def test_unit_of_biases_follows_the_block() -> None:
    assert MacUnitOptions(r_f=20e3).volts_per_unit == pytest.approx(2 * MacUnitOptions().volts_per_unit)
    assert MacUnitOptions().volts_per_unit == pytest.approx(0.030, rel=0.02)


def test_digits_on_the_shipped_blocks(tmp_path: Path) -> None:
    scenario = load_scenario(
        SCENARIOS / "mac_mnist.toml",
        [
            "samples=100",
            "dataset.name=digits",
            "architecture.weights=digits_64_48_10",
            "architecture.options.crop=8",
        ],
    )
    result = run(scenario, tmp_path)
    layers = result.layers()
    assert result.accuracy > 0.85
    assert layers["out_of_range"].sum() == 0
    total_j = layers[["supply_j", "input_j", "digital_j"]].to_numpy().sum()
    assert layers["energy_j"].sum() == pytest.approx(total_j, rel=1e-9)


def test_options_that_disagree_with_the_circuit_are_named(tmp_path: Path) -> None:
    scenario = load_scenario(
        SCENARIOS / "mac_mnist.toml",
        ["dataset.name=digits", "architecture.weights=digits_64_48_10", "architecture.options.crop=8",
         "architecture.options.rows=32"],
    )  # fmt: skip
    with pytest.raises(
        ContractError, match=r"do the architecture's options agree with rram_mac:tiles=4, rows=64"
    ):
        run(scenario, tmp_path)

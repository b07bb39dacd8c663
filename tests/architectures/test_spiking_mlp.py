"""Spiking network: stages against small cases worked out by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from architectures.spiking_mlp import (
    EncoderStage,
    RasterStage,
    SpikeCount,
    SpikeStage,
    SpikingMlp,
    SpikingOptions,
    Synapses,
    layer_names,
)
from simcore.architecture import Batch, LayerOutput, Network

WEIGHT = np.array([[1.0, -2.0, 0.0], [0.5, 0.25, 20.0]])


def spikes(*lanes: list[int]) -> LayerOutput:
    """Return what a layer of neurons shows."""
    fired = np.array(lanes, dtype=np.bool_)
    return LayerOutput(fired=fired, outputs=np.zeros((*fired.shape, 1)))


def test_spikes_become_summed_weights_of_the_connected_neurons() -> None:
    stage = SpikeStage(Synapses("hidden", WEIGHT, 14.0))
    delivery = stage.deliver(0, (spikes([1, 1, 0], [0, 0, 0], [0, 0, 1]),))
    assert delivery.units.tolist() == [0, 1, 5]
    assert delivery.inputs.tolist() == [[-1.0], [0.75], [14.0]]
    assert delivery.actions[("hidden", "weight_read")].tolist() == [4.0, 0.0, 1.0]
    assert delivery.actions[("hidden", "accumulate")].tolist() == [4.0, 0.0, 1.0]
    assert delivery.actions[("hidden", "clip")].tolist() == [0.0, 0.0, 1.0]


def test_weights_that_cancel_are_an_event_of_weight_zero() -> None:
    delivery = SpikeStage(Synapses("hidden", np.array([[1.0, -1.0]]), 14.0)).deliver(0, (spikes([1, 1]),))
    assert delivery.units.tolist() == [0]
    assert delivery.inputs.tolist() == [[0.0]]


def test_summed_weights_do_not_depend_on_the_batch() -> None:
    generator = np.random.default_rng(0)
    synapses = Synapses("hidden", generator.normal(size=(32, 784)), 14.0)
    fired = generator.random((50, 784)) < 0.3
    together = synapses.deliver(fired).inputs.reshape(50, 32)
    alone = [synapses.deliver(lane[None]).inputs[:, 0] for lane in fired]
    assert np.array_equal(together, alone)


def test_encoder_drives_each_event_into_its_own_neuron() -> None:
    raster = np.array([[[True, False], [False, False]], [[True, True], [False, True]]])
    stage = EncoderStage("inputs", raster, 2.0)
    deliveries = [stage.deliver(step, ()) for step in range(3)]
    assert [delivery.units.tolist() for delivery in deliveries] == [[0, 2, 3], [3], []]
    assert deliveries[0].inputs.tolist() == [[2.0]] * 3
    assert [d.actions[("inputs", "poisson")].tolist() for d in deliveries] == [[2, 2], [2, 2], [0, 0]]


def test_raster_drives_the_synapses_without_input_neurons() -> None:
    raster = np.array([[[True, True, False]]])
    stage = RasterStage(Synapses("hidden", WEIGHT, 14.0), raster)
    delivery = stage.deliver(0, ())
    assert delivery.inputs.tolist() == [[-1.0], [0.75]]
    assert delivery.actions[("hidden", "poisson")].tolist() == [3.0]
    assert len(stage.deliver(1, ()).units) == 0


def test_readout_counts_spikes_and_gives_a_tie_to_the_lowest_class() -> None:
    readout = SpikeCount("output", 2, 3)
    actions = readout.observe(0, spikes([0, 1, 1], [0, 0, 0]))
    readout.observe(1, spikes([0, 1, 1], [0, 0, 1]))
    assert actions[("output", "spike_count")].tolist() == [2.0, 0.0]
    assert readout.scores().tolist() == [[0, 2, 2], [0, 0, 1]]
    assert readout.scores().argmax(axis=1).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("analog", "names", "n_steps"),
    [(True, ["inputs", "hidden", "output"], 12), (False, ["hidden", "output"], 11)],
)
def test_layers_follow_the_options(tmp_path: Path, analog: bool, names: list[str], n_steps: int) -> None:
    arrays: dict[str, Any] = {"fc1.weight": np.ones((3, 4)), "fc2.weight": np.ones((2, 3))}
    np.savez(tmp_path / "w.npz", **arrays)
    architecture = SpikingMlp(str(tmp_path / "w.npz"), SpikingOptions(steps=10, analog_inputs=analog), (2, 2))
    images = np.full((1, 2, 2), 0.5)
    network: Network = architecture.network(Batch(images, np.zeros(1, np.int64), np.arange(1), seed=1))
    assert [layer.name for layer in network.layers] == names
    assert [layer.sources for layer in network.layers] == [(), *((name,) for name in names[:-1])]
    assert network.n_steps == n_steps
    assert [layer.is_encoder for layer in network.layers] == [name == "inputs" for name in names]


def test_deeper_networks_number_their_hidden_layers() -> None:
    assert layer_names(1) == ("output",)
    assert layer_names(3) == ("hidden1", "hidden2", "output")

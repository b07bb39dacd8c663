"""Spiking network: stages against small cases worked out by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from architectures.mesh import Cores, Route
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


def synapses(weight: np.ndarray, size: int = 256, source_size: int | None = None, word: int = 2) -> Synapses:
    """All neurons on one core; with `source_size` the sources sit on cores of it, before that one."""
    source = None if source_size is None else Cores(0, weight.shape[1], source_size)
    cores = Cores(source.count if source else 0, len(weight), size)
    route = Route(source, cores, columns=2) if source else None
    return Synapses("hidden", weight, 14.0, cores, word, route)


def spikes(*lanes: list[int]) -> LayerOutput:
    """Return what a layer of neurons shows."""
    fired = np.array(lanes, dtype=np.bool_)
    return LayerOutput(fired, np.zeros((*fired.shape, 1)), np.zeros(len(fired)))


def test_spikes_become_summed_weights_of_the_connected_neurons() -> None:
    stage = SpikeStage(synapses(WEIGHT))
    delivery = stage.deliver(0, (spikes([1, 1, 0], [0, 0, 0], [0, 0, 1]),))
    assert delivery.units.tolist() == [0, 1, 5]
    assert delivery.inputs.tolist() == [[-1.0], [0.75], [14.0]]
    assert delivery.actions[("hidden", "weight_read")].tolist() == [4.0, 0.0, 1.0]
    assert delivery.actions[("hidden", "accumulate")].tolist() == [4.0, 0.0, 1.0]
    assert delivery.actions[("hidden", "clip")].tolist() == [0.0, 0.0, 1.0]


def test_cores_read_a_word_per_spike_and_spikes_take_links_of_the_mesh() -> None:
    """Three sources on cores (0,0) (1,0) (0,1), two neurons on (1,1) and (0,2) of a mesh two wide."""
    delivery = synapses(WEIGHT, size=1, source_size=1).deliver(np.array([[True, True, True]]))
    router, read = delivery.work
    assert (router.component, read.component) == ("router", "weight_read")
    # Weight 0 of the third source keeps its spike from the first neuron's core.
    assert read.turns.tolist() == [[2.0, 3.0]]
    hops = 2 + 1 + (2 + 3 + 1)
    assert delivery.actions[("hidden", "router")].tolist() == [hops]
    assert router.turns.sum() == hops
    assert delivery.actions[("hidden", "register")].tolist() == [4.0]


def test_a_word_holds_some_weights() -> None:
    one = synapses(np.ones((5, 1)), size=4, word=2).deliver(np.array([[True]]))
    assert one.work[1].turns.tolist() == [[2.0, 1.0]]
    assert one.actions[("hidden", "weight_read")].tolist() == [5.0]


def test_weights_that_cancel_are_an_event_of_weight_zero() -> None:
    delivery = SpikeStage(synapses(np.array([[1.0, -1.0]]))).deliver(0, (spikes([1, 1]),))
    assert delivery.units.tolist() == [0]
    assert delivery.inputs.tolist() == [[0.0]]


def test_summed_weights_do_not_depend_on_the_batch() -> None:
    generator = np.random.default_rng(0)
    many = synapses(generator.normal(size=(32, 784)))
    fired = generator.random((50, 784)) < 0.3
    together = many.deliver(fired).inputs.reshape(50, 32)
    alone = [many.deliver(lane[None]).inputs[:, 0] for lane in fired]
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
    stage = RasterStage(synapses(WEIGHT), raster)
    delivery = stage.deliver(0, ())
    assert delivery.inputs.tolist() == [[-1.0], [0.75]]
    assert delivery.actions[("hidden", "poisson")].tolist() == [3.0]
    assert len(stage.deliver(1, ()).units) == 0


def test_readout_counts_spikes_and_gives_a_tie_to_the_lowest_class() -> None:
    readout = SpikeCount("output", 2, 3)
    seen = readout.observe(0, spikes([0, 1, 1], [0, 0, 0]))
    readout.observe(1, spikes([0, 1, 1], [0, 0, 1]))
    assert seen.actions[("output", "spike_count")].tolist() == [2.0, 0.0]
    assert seen.active.tolist() == [True, False]
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

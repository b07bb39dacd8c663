"""A compiled event-driven simulator without analog circuits, for context: SANA-FE (GPLv3), if installed.

The spiking-MNIST network on its Loihi with digital neurons: the same weights, the same Poisson events of one
image, a threshold and a leak like the analog neuron's at its default knobs. Only the simulation is timed.
"""

import importlib.util
import time
from typing import Any

from architectures.datasets.encoding import poisson_raster
from architectures.weights import load_weights
from benchmarks.speed.networks import SCENARIOS
from simcore import load_scenario
from simcore.assembly import assemble

NEURON = {"threshold": 1.52, "leak_decay": 0.85}
PER_CORE = 256
REPEATS = 3


def image_seconds() -> float | None:
    """Return the CPU seconds of one image on one thread, the least of REPEATS; None without SANA-FE."""
    if importlib.util.find_spec("sanafe") is None:
        return None
    import sanafe

    chip_of, network = sanafe.load_loihi(), _network(sanafe)
    cores = chip_of.cores()
    for group, first in ((network["input"], 0), (network["hidden"], 4), (network["output"], 5)):
        for place, neuron in enumerate(group.neurons):
            neuron.map_to_core(cores[first + place // PER_CORE])
    return min(_seconds(sanafe, chip_of, network["net"]) for _ in range(REPEATS))


def _seconds(sanafe: Any, architecture: Any, network: Any) -> float:
    chip = sanafe.SpikingChip(architecture)
    chip.load(network)
    start = time.process_time()
    found = chip.sim(100, timing_model="simple", processing_threads=1)
    seconds = time.process_time() - start
    if not found["spikes"]:
        raise RuntimeError("the network on SANA-FE was silent")
    return seconds


def _network(sanafe: Any) -> dict[str, Any]:
    scenario = load_scenario(SCENARIOS / "spiking_mnist.toml", ["samples=1"])
    (raster,) = poisson_raster(assemble(scenario).batch(0, 1), 100, 0.25)
    first, second = load_weights(scenario.architecture.weights, raster.shape[1])
    net = sanafe.Network()
    inputs = net.create_neuron_group("input", raster.shape[1])
    for i, neuron in enumerate(inputs.neurons):
        spikes = [int(event) for event in raster[:, i]]
        neuron.set_attributes(soma_hw_name=f"loihi_inputs[{i}]", model_attributes={"spikes": spikes})
    groups = [inputs]
    for name, dense in (("hidden", first), ("output", second)):
        group = net.create_neuron_group(
            name, len(dense.weight), model_attributes=NEURON, soma_hw_name="loihi_lif"
        )
        groups[-1].connect_neurons_dense(group, {"weight": dense.weight.T.ravel().tolist()})
        groups.append(group)
    return {"net": net, **dict(zip(("input", "hidden", "output"), groups, strict=True))}

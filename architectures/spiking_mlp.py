"""Multilayer perceptron of spiking neurons: digital synapses between layers of analog LIF neurons.

Pixels become Poisson events; each drives an analog input neuron (or, without those, the first layer's
synapses); the spikes of a step are summed over the weights and delivered as one charge packet per neuron in
the next step; the label is the class with the most output spikes. Set-up after LASANA, arXiv 2507.10748.
"""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from architectures.datasets.encoding import poisson_raster
from architectures.mesh import Cores, Route
from architectures.weights import load_weights
from simcore.architecture import (
    Batch,
    Delivery,
    DigitalStage,
    Layer,
    LayerOutput,
    Network,
    Observation,
    Options,
    Work,
)
from simcore.bank import Floats
from simcore.errors import WeightsError

CIRCUIT = "lif_neuron"
ACCUMULATOR_BYTES = 2
"""Registers of 8 bits that hold the sum of a neuron."""
WEIGHT_GRID = 2.0**-20
"""Weights are rounded to it: sums of them are exact, so that no sum depends on the size of the batch."""


class SpikingOptions(Options):
    """Options of `spiking_mlp`."""

    steps: int = Field(default=100, ge=1)
    """Steps in which pixels make events; one more per layer lets the last of them reach the output."""
    analog_inputs: bool = True
    """One analog neuron per pixel turns Poisson events into spikes; else they go straight to the synapses."""
    input_weight: float = Field(default=2.0, gt=0)
    """Event weight that a Poisson event drives into its input neuron."""
    max_rate: float = Field(default=0.25, gt=0, le=1)
    """Probability of an event in a step of a pixel of value 1."""
    weight_limit: float = Field(default=14.0, gt=0)
    """Summed weights are clipped to -weight_limit..weight_limit, the range of the neuron's input."""
    core_neurons: int = Field(default=256, ge=1)
    """Neurons that share a core: its weight memory, its adders, its place on the mesh."""
    core_word: int = Field(default=128, ge=1)
    """Weights that a core reads and adds in one turn."""
    mesh_columns: int = Field(default=4, ge=1)
    """Cores in a row of the mesh; layers fill it core by core."""


class SpikingMlp:
    """Architecture `spiking_mlp`."""

    options_type: ClassVar[type[Options]] = SpikingOptions

    def __init__(self, weights: str, options: SpikingOptions, image_shape: tuple[int, int]) -> None:
        self._options = options
        self._dense = load_weights(weights, image_shape[0] * image_shape[1])
        for i, dense in enumerate(self._dense):
            if dense.bias.any():
                raise WeightsError(
                    f"{weights}: fc{i + 1}.bias: got values other than 0, expected none: events have no bias"
                )

    def network(self, batch: Batch) -> Network:
        """Return the input layer (if analog), the hidden layers and the output layer."""
        options, n_lanes = self._options, len(batch.images)
        raster = poisson_raster(batch, options.steps, options.max_rate)
        layers: list[Layer] = []
        placed: Cores | None = None
        if options.analog_inputs:
            placed = Cores(0, raster.shape[2], options.core_neurons)
            stage: DigitalStage = EncoderStage("inputs", raster, options.input_weight)
            layers.append(_layer(stage, "inputs", raster.shape[2], (), {"register": raster.shape[2]}))
        for name, dense in zip(layer_names(len(self._dense)), self._dense, strict=True):
            n_units, n_sources = dense.weight.shape
            cores = Cores(placed.first + placed.count if placed else 0, n_units, options.core_neurons)
            route = Route(placed, cores, options.mesh_columns) if placed else None
            synapses = Synapses(name, dense.weight, options.weight_limit, cores, options.core_word, route)
            source = (layers[-1].name,) if layers else ()
            stage = SpikeStage(synapses) if source else RasterStage(synapses, raster)
            parts = {"sram_kb": -(-n_units * n_sources // 1024), "register": ACCUMULATOR_BYTES * n_units}
            layers.append(_layer(stage, name, n_units, source, parts))
            placed = cores
        return Network(
            layers=tuple(layers),
            readout=SpikeCount(layers[-1].name, n_lanes, layers[-1].n_units),
            n_steps=options.steps + len(layers) - 1,
        )


class Synapses:
    """Weights of one layer: sums those of the sources that fired into one event per neuron."""

    def __init__(
        self, layer: str, weight: Floats, limit: float, cores: Cores, word: int, route: Route | None
    ) -> None:
        """`word`: weights that a core reads and adds at once; without `route` spikes come from nowhere."""
        self.layer = layer
        self._weight = (np.rint(weight / WEIGHT_GRID) * WEIGHT_GRID).T.copy()
        self._connected = np.ascontiguousarray(self._weight.T != 0.0).astype(np.float64)
        self._fan_out = self._connected.sum(axis=0)
        self._limit = limit
        bounds = np.arange(0, cores.n_units, cores.size)
        in_core = np.add.reduceat(self._connected, bounds, axis=0).T
        self._turns = np.ceil(in_core / word)
        self._hops, self._links = np.zeros(len(in_core)), np.zeros((len(in_core), 1))
        if route is not None:
            self._hops, self._links = route.loads(in_core > 0)
        self.path: tuple[str, ...] = ("router",) * (route.most_hops if route else 0) + (
            "weight_read",
            "accumulate",
        )

    def deliver(self, fired: NDArray[np.bool_]) -> Delivery:
        """Return the events that `fired` (n_lanes, n_sources) causes; no event where no source fired."""
        spikes = fired.astype(np.float64)
        sums = spikes @ self._weight
        lanes_units = self._reached(spikes, sums)
        clipped = (np.abs(sums) > self._limit) & lanes_units
        reads = spikes @ self._fan_out
        return Delivery(
            units=np.flatnonzero(lanes_units),
            inputs=sums.clip(-self._limit, self._limit)[lanes_units][:, None],
            actions={
                (self.layer, "weight_read"): reads,
                (self.layer, "accumulate"): reads,
                (self.layer, "router"): spikes @ self._hops,
                (self.layer, "register"): lanes_units.sum(axis=1) * ACCUMULATOR_BYTES,
                (self.layer, "clip"): clipped.sum(axis=1).astype(np.float64),
            },
            work=(Work("router", spikes @ self._links), Work("weight_read", spikes @ self._turns)),
        )

    def _reached(self, spikes: Floats, sums: Floats) -> NDArray[np.bool_]:
        """Return which units are connected to a source that fired, (n_lanes, n_units).

        A sum other than 0 tells so; the others, few, are looked at one by one.
        """
        reached: NDArray[np.bool_] = np.asarray(sums != 0.0)
        lane, unit = np.nonzero(~reached & np.asarray(spikes.any(axis=1))[:, None])
        reached[lane, unit] = np.einsum("ij,ij->i", spikes[lane], self._connected[unit]) > 0.0
        return reached


class SpikeStage:
    """Drives a layer with the spikes of the layer before it."""

    def __init__(self, synapses: Synapses) -> None:
        self.path: tuple[str, ...] = synapses.path
        self._synapses = synapses

    def deliver(self, step: int, sources: tuple[LayerOutput, ...]) -> Delivery:
        """Deliver the weighted spikes of the source layer."""
        return self._synapses.deliver(sources[0].fired)


class RasterStage:
    """Drives a layer with Poisson events, without analog input neurons."""

    def __init__(self, synapses: Synapses, raster: NDArray[np.bool_]) -> None:
        self.path: tuple[str, ...] = ("poisson", *synapses.path)
        self._synapses, self._raster = synapses, raster

    def deliver(self, step: int, sources: tuple[LayerOutput, ...]) -> Delivery:
        """Deliver the weighted events of this step."""
        delivery = self._synapses.deliver(events(self._raster, step))
        return Delivery(
            units=delivery.units,
            inputs=delivery.inputs,
            actions={**delivery.actions, **draws(self._synapses.layer, self._raster, step)},
            work=delivery.work,
        )


class EncoderStage:
    """Drives each input neuron with the Poisson events of its pixel."""

    def __init__(self, layer: str, raster: NDArray[np.bool_], weight: float) -> None:
        self.path: tuple[str, ...] = ("poisson",)
        self._layer, self._raster, self._weight = layer, raster, weight

    def deliver(self, step: int, sources: tuple[LayerOutput, ...]) -> Delivery:
        """Deliver one event of fixed weight per event of this step."""
        units = np.flatnonzero(events(self._raster, step))
        return Delivery(
            units=units,
            inputs=np.full((len(units), 1), self._weight),
            actions=draws(self._layer, self._raster, step),
        )


class SpikeCount:
    """Readout: counts the spikes of each output neuron; a tie goes to the lowest class."""

    def __init__(self, layer: str, n_lanes: int, n_classes: int) -> None:
        self.path: tuple[str, ...] = ("spike_count",)
        self._layer = layer
        self._counts = np.zeros((n_lanes, n_classes))

    def observe(self, step: int, source: LayerOutput) -> Observation:
        """Count the spikes of one step."""
        self._counts += source.fired
        spikes = source.fired.sum(axis=1).astype(np.float64)
        return Observation({(self._layer, "spike_count"): spikes}, active=spikes > 0)

    def scores(self) -> Floats:
        """Return the spike counts, (n_lanes, n_classes)."""
        return self._counts


def layer_names(n_dense: int) -> tuple[str, ...]:
    """Return `hidden`, `output`; with more hidden layers `hidden1`, `hidden2`, ..., `output`."""
    if n_dense <= 2:
        return ("hidden", "output")[2 - n_dense :]
    return (*(f"hidden{i + 1}" for i in range(n_dense - 1)), "output")


def events(raster: NDArray[np.bool_], step: int) -> NDArray[np.bool_]:
    """Return the events of one step, (n_lanes, n_pixels); none after the last."""
    if step >= raster.shape[1]:
        return np.zeros((raster.shape[0], raster.shape[2]), dtype=np.bool_)
    return raster[:, step]


def draws(layer: str, raster: NDArray[np.bool_], step: int) -> Mapping[tuple[str, str], Floats]:
    """Return the random numbers drawn in one step: one per pixel while pixels make events."""
    n_draws = raster.shape[2] if step < raster.shape[1] else 0
    return {(layer, "poisson"): np.full(len(raster), float(n_draws))}


def _layer(
    stage: DigitalStage, name: str, n_units: int, sources: tuple[str, ...], parts: Mapping[str, int]
) -> Layer:
    encodes = isinstance(stage, EncoderStage)
    return Layer(
        name=name,
        circuit=CIRCUIT,
        n_units=n_units,
        params={},
        stage=stage,
        sources=sources,
        parts=parts,
        is_encoder=encodes,
    )

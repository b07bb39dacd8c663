"""Multilayer perceptron on crossbar rows: analog dot products, digital addition and sigmoid between layers.

Pixels become levels of 0..0.8 V; each unit (a row of 32 cells and a bias cell) answers with a voltage that
grows with the dot product of its tile; the partial sums of an output are converted and added, pass a sigmoid
0.8 / (1 + exp(-slope x)) and a DAC into the next layer. Set-up after LASANA, arXiv 2507.10748.
"""

from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from architectures.converters import Converters, dac
from architectures.mapping import Tiles, all_units
from architectures.weights import Dense, load_weights
from simcore.architecture import (
    Batch,
    Delivery,
    DigitalStage,
    Layer,
    LayerOutput,
    Network,
    Observation,
    Options,
)
from simcore.bank import Floats
from simcore.errors import ScenarioError, WeightsError

CIRCUIT = "crossbar_row"


class CrossbarOptions(Options):
    """Options of `crossbar_mlp`."""

    crop: int | None = Field(default=None, ge=1)
    """Side of the centre crop of the image; none: the whole image."""
    rows: int = Field(default=32, ge=1)
    """Inputs of one crossbar row; must be the size `rows` of the circuit."""
    gain: float = Field(default=30.0, gt=0)
    """Amplifier gain of all layers but the last (LASANA: 30)."""
    last_gain: float = Field(default=10.0, gt=0)
    """Amplifier gain of the last layer (LASANA: 10)."""
    slope: float = Field(default=11.0, gt=0)
    """Slope of the sigmoid in 1/V (LASANA: 11)."""
    converters: Literal["before", "after"] = "before"
    """Convert each partial sum, then add; or add the analog partial sums, then convert once."""
    rows_per_adc: int = Field(default=1, ge=1)
    """Crossbar rows (with `after`: outputs) that share one converter; it takes them one behind the other."""
    bits: int = Field(default=8, ge=2, le=16)
    """Resolution of the DACs and ADCs."""
    full_scale_v: float = Field(default=0.8, gt=0)
    """Levels are 0..full_scale_v, converters take -full_scale_v..full_scale_v (the rails of the row)."""
    delay_periods: int = Field(default=2, ge=1)
    """Periods from one layer's edge to the next one's; 2: settle, then 3.8 ns of digital logic."""


class CrossbarMlp:
    """Architecture `crossbar_mlp`; weights -1, 0, +1, biases whole numbers up to the number of tiles."""

    options_type: ClassVar[type[Options]] = CrossbarOptions

    def __init__(self, weights: str, options: CrossbarOptions, image_shape: tuple[int, int]) -> None:
        crop = options.crop
        if crop is not None and crop > min(image_shape):
            raise ScenarioError(f"architecture.options.crop: got {crop}, expected at most {min(image_shape)}")
        n_pixels = image_shape[0] * image_shape[1] if crop is None else crop * crop
        self._options = options
        self._dense = load_weights(weights, n_pixels)
        self._tiles = tuple(
            Tiles(dense.weight.shape[1], dense.weight.shape[0], options.rows) for dense in self._dense
        )
        for i, (dense, tiles) in enumerate(zip(self._dense, self._tiles, strict=True)):
            _check_values(dense, tiles, f"{weights}: fc{i + 1}")

    def network(self, batch: Batch) -> Network:
        """Return one layer of crossbar rows per dense layer."""
        options, last = self._options, len(self._dense) - 1
        names = tuple(f"fc{i + 1}" for i in range(last + 1))
        readers = tuple(
            Converters(
                name, tiles, options.bits, options.full_scale_v, options.converters, options.rows_per_adc
            )
            for name, tiles in zip(names, self._tiles, strict=True)
        )
        stages: list[DigitalStage] = [
            ImageStage(names[0], self._tiles[0], centre(batch.images, options.crop), options)
        ]
        for i in range(1, last + 1):
            due = i * options.delay_periods
            stages.append(SigmoidStage(names[i], readers[i - 1], self._tiles[i], due, options))
        layers = tuple(
            Layer(
                name=names[i],
                circuit=CIRCUIT,
                n_units=self._tiles[i].n_units,
                params=self._params(i),
                stage=stages[i],
                sources=names[i - 1 : i] if i else (),
                delay_periods=options.delay_periods if i else 1,
                parts=_parts(readers[i], self._tiles[i].n_inputs),
            )
            for i in range(last + 1)
        )
        due = last * options.delay_periods
        readout = VoltageReadout(readers[last], due, len(batch.images))
        return Network(layers=layers, readout=readout, n_steps=due + 2)

    def _params(self, i: int) -> dict[str, Floats]:
        dense, tiles, options = self._dense[i], self._tiles[i], self._options
        gain = options.last_gain if i == len(self._dense) - 1 else options.gain
        return {
            "w": tiles.cells(dense.weight),
            "wb": tiles.bias_cells(dense.bias),
            "gain": np.full(tiles.n_units, gain),
        }


class ImageStage:
    """Drives the pixels into the first layer at step 0."""

    def __init__(self, layer: str, tiles: Tiles, images: Floats, options: CrossbarOptions) -> None:
        self.path: tuple[str, ...] = ("dac",)
        self._layer, self._tiles, self._options = layer, tiles, options
        self._values = images.reshape(len(images), -1)

    def deliver(self, step: int, sources: tuple[LayerOutput, ...]) -> Delivery:
        """Deliver at step 0 only; the engine gates the levels afterwards."""
        if step != 0:
            return nothing(self._tiles.rows)
        return drive(self._layer, self._tiles, self._values, self._options, {})


class SigmoidStage:
    """Converts and adds the partial sums of the layer before, and drives their sigmoid into this layer."""

    def __init__(
        self, layer: str, reader: Converters, tiles: Tiles, due: int, options: CrossbarOptions
    ) -> None:
        self.path: tuple[str, ...] = (*reader.path, "sigmoid", "dac")
        self._layer, self._reader, self._tiles, self._due, self._options = layer, reader, tiles, due, options

    def deliver(self, step: int, sources: tuple[LayerOutput, ...]) -> Delivery:
        """Deliver once, `delay_periods` after the source layer was driven."""
        if step != self._due:
            return nothing(self._tiles.rows)
        sums_v, actions = self._reader.read(sources[0].outputs[:, :, 0])
        actions |= {(self._layer, "sigmoid"): np.full(len(sums_v), float(self._tiles.n_inputs))}
        activity = 1.0 / (1.0 + np.exp(-self._options.slope * sums_v))
        delivery = drive(self._layer, self._tiles, activity, self._options, actions)
        return replace(delivery, work=(self._reader.work,))


class VoltageReadout:
    """Scores are the summed output voltages of the last layer in the period in which it is driven."""

    def __init__(self, reader: Converters, due: int, n_lanes: int) -> None:
        self.path = reader.path
        self._reader, self._due = reader, due
        self._scores = np.zeros((n_lanes, reader.tiles.n_outputs))

    def observe(self, step: int, source: LayerOutput) -> Observation:
        """Read the last layer once."""
        if step != self._due:
            return Observation()
        self._scores, actions = self._reader.read(source.outputs[:, :, 0])
        return Observation(actions, np.ones(len(self._scores), np.bool_), (self._reader.work,))

    def scores(self) -> Floats:
        """Return the summed voltages, (n_lanes, n_classes)."""
        return self._scores


def drive(
    layer: str,
    tiles: Tiles,
    activity: Floats,
    options: CrossbarOptions,
    actions: dict[tuple[str, str], Floats],
) -> Delivery:
    """Deliver `activity` (n_lanes, n_inputs) in 0..1 as DAC levels to all units of a layer."""
    n_lanes = len(activity)
    levels_v = tiles.levels(dac(activity, options.bits, options.full_scale_v))
    return Delivery(
        units=all_units(n_lanes, tiles.n_units),
        inputs=levels_v.reshape(n_lanes * tiles.n_units, tiles.rows),
        actions=actions
        | {
            (layer, "dac"): np.full(n_lanes, float(tiles.n_inputs)),
            (layer, "register"): np.full(n_lanes, float(tiles.n_inputs)),
        },
    )


def _parts(reader: Converters, n_inputs: int) -> dict[str, int]:
    """Return the converters of a layer, and the registers on both sides of it."""
    parts = reader.parts
    return parts | {"dac": n_inputs, "register": parts["register"] + n_inputs}


def nothing(n_in: int) -> Delivery:
    """Return a delivery to no unit."""
    return Delivery(units=np.empty(0, dtype=np.int64), inputs=np.empty((0, n_in)))


def centre(images: NDArray[np.float64], side: int | None) -> Floats:
    """Return the centre crop of `side` x `side` pixels of images (n, height, width); None: all of them."""
    if side is None:
        return images
    top, left = ((size - side) // 2 for size in images.shape[1:])
    return images[:, top : top + side, left : left + side]


def _check_values(dense: Dense, tiles: Tiles, where: str) -> None:
    wrong = dense.weight[~np.isin(dense.weight, (-1.0, 0.0, 1.0))]
    if wrong.size:
        raise WeightsError(
            f"{where}.weight: got {wrong[0]:g}, expected -1, 0 or +1 (the cells of a crossbar row)"
        )
    wrong = dense.bias[(dense.bias != np.rint(dense.bias)) | (np.abs(dense.bias) > tiles.count)]
    if wrong.size:
        raise WeightsError(
            f"{where}.bias: got {wrong[0]:g}, expected a whole number in -{tiles.count}..{tiles.count} "
            "(one bias cell per tile)"
        )

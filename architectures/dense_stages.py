"""Stages of a dense network on analog dot products: pixels in, sums through a sigmoid, scores out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from architectures.converters import Converters, dac
from architectures.mapping import Tiles, all_units
from simcore.architecture import Delivery, DigitalStage, Layer, LayerOutput, Network, Observation
from simcore.bank import Floats
from simcore.errors import ScenarioError


@dataclass(frozen=True, slots=True)
class Digital:
    """What lies between two layers of analog dot products."""

    levels: "Levels"
    adc_v: float
    """Converters take -adc_v..adc_v."""
    converters: Literal["before", "after"]
    per_adc: int
    """Values that share one converter."""
    slope: float
    """Of the sigmoid, in 1/V."""
    delay_periods: int
    """From one layer's edge to the next one's."""


@dataclass(frozen=True, slots=True)
class Levels:
    """What the DACs drive: `bits` over 0..full_scale_v."""

    bits: int
    full_scale_v: float


def dense_network(
    circuit: str,
    tiles: Sequence[Tiles],
    params: Sequence[dict[str, Floats]],
    biases_v: Sequence[Floats | float],
    images: Floats,
    digital: Digital,
) -> Network:
    """Return one layer of units of `circuit` per dense layer, sigmoids between them and scores at the end.

    `biases_v` are added to the sums of each layer, `images` (n_lanes, height, width) are driven at step 0.
    """
    last, delay = len(tiles) - 1, digital.delay_periods
    names = tuple(f"fc{i + 1}" for i in range(last + 1))
    readers = tuple(
        Converters(name, each, digital.levels.bits, digital.adc_v, digital.converters, digital.per_adc)
        for name, each in zip(names, tiles, strict=True)
    )
    stages: list[DigitalStage] = [ImageStage(names[0], tiles[0], images, digital.levels)]
    stages += [
        SigmoidStage(
            names[i], readers[i - 1], tiles[i], i * delay, digital.levels, digital.slope, biases_v[i - 1]
        )
        for i in range(1, last + 1)
    ]
    layers = tuple(
        Layer(
            name=names[i],
            circuit=circuit,
            n_units=tiles[i].n_units,
            params=params[i],
            stage=stages[i],
            sources=names[i - 1 : i] if i else (),
            delay_periods=delay if i else 1,
            parts=_parts(readers[i], tiles[i].n_inputs),
        )
        for i in range(last + 1)
    )
    readout = VoltageReadout(readers[last], last * delay, len(images), biases_v[last])
    return Network(layers=layers, readout=readout, n_steps=last * delay + 2)


class ImageStage:
    """Drives the pixels into the first layer at step 0."""

    def __init__(self, layer: str, tiles: Tiles, images: Floats, levels: Levels) -> None:
        self.path: tuple[str, ...] = ("dac",)
        self._layer, self._tiles, self._levels = layer, tiles, levels
        self._values = images.reshape(len(images), -1)

    def deliver(self, step: int, sources: tuple[LayerOutput, ...]) -> Delivery:
        """Deliver at step 0 only; the engine gates the levels afterwards."""
        if step != 0:
            return nothing(self._tiles.rows)
        return drive(self._layer, self._tiles, self._values, self._levels, {})


class SigmoidStage:
    """Converts and adds the partial sums of the layer before, and drives their sigmoid into this layer."""

    def __init__(
        self,
        layer: str,
        reader: Converters,
        tiles: Tiles,
        due: int,
        levels: Levels,
        slope: float,
        bias_v: Floats | float = 0.0,
    ) -> None:
        """`slope` of the sigmoid in 1/V; `bias_v` (n_inputs,) is added to the sums."""
        self.path: tuple[str, ...] = (*reader.path, "sigmoid", "dac")
        self._layer, self._reader, self._tiles, self._due, self._levels = layer, reader, tiles, due, levels
        self._slope, self._bias_v = slope, bias_v

    def deliver(self, step: int, sources: tuple[LayerOutput, ...]) -> Delivery:
        """Deliver once, `delay_periods` after the source layer was driven."""
        if step != self._due:
            return nothing(self._tiles.rows)
        sums_v, actions = self._reader.read(sources[0].outputs)
        actions |= {(self._layer, "sigmoid"): np.full(len(sums_v), float(self._tiles.n_inputs))}
        activity = 1.0 / (1.0 + np.exp(-self._slope * (sums_v + self._bias_v)))
        delivery = drive(self._layer, self._tiles, activity, self._levels, actions)
        return replace(delivery, work=(self._reader.work,))


class VoltageReadout:
    """Scores are the summed output voltages of the last layer in the period in which it is driven."""

    def __init__(self, reader: Converters, due: int, n_lanes: int, bias_v: Floats | float = 0.0) -> None:
        """`bias_v` (n_classes,) is added to the sums."""
        self.path = reader.path
        self._reader, self._due, self._bias_v = reader, due, bias_v
        self._scores = np.zeros((n_lanes, reader.tiles.n_outputs))

    def observe(self, step: int, source: LayerOutput) -> Observation:
        """Read the last layer once."""
        if step != self._due:
            return Observation()
        sums_v, actions = self._reader.read(source.outputs)
        self._scores = sums_v + self._bias_v
        return Observation(actions, np.ones(len(self._scores), np.bool_), (self._reader.work,))

    def scores(self) -> Floats:
        """Return the summed voltages, (n_lanes, n_classes)."""
        return self._scores


def drive(
    layer: str,
    tiles: Tiles,
    activity: Floats,
    levels: Levels,
    actions: dict[tuple[str, str], Floats],
) -> Delivery:
    """Deliver `activity` (n_lanes, n_inputs) in 0..1 as DAC levels to all units of a layer."""
    n_lanes = len(activity)
    levels_v = tiles.levels(dac(activity, levels.bits, levels.full_scale_v))
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


def n_pixels(crop: int | None, image_shape: tuple[int, int]) -> int:
    """Return the pixels of a centre crop, None for all; raises ScenarioError for a crop beyond the image."""
    if crop is None:
        return image_shape[0] * image_shape[1]
    if crop > min(image_shape):
        raise ScenarioError(f"architecture.options.crop: got {crop}, expected at most {min(image_shape)}")
    return crop * crop


def centre(images: NDArray[np.float64], side: int | None) -> Floats:
    """Return the centre crop of `side` x `side` pixels of images (n, height, width); None: all of them."""
    if side is None:
        return images
    top, left = ((size - side) // 2 for size in images.shape[1:])
    return images[:, top : top + side, left : left + side]

"""What a network is: layers of analog units, digital stages between them, a readout."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from simcore.bank import Floats
from simcore.errors import ContractError


class LayerOutput:
    """What one layer shows at the end of a period, over all lanes."""

    __slots__ = ("_outputs", "fired", "ready_s")

    def __init__(
        self, fired: NDArray[np.bool_], outputs: Floats | Callable[[], Floats], ready_s: Floats
    ) -> None:
        """`outputs` may be a function that is called when someone looks at them."""
        self.fired = fired
        """(n_lanes, n_units) events of this period."""
        self.ready_s = ready_s
        """(n_lanes,) from the start of this period to its last event, 0 without one."""
        self._outputs = outputs

    @property
    def outputs(self) -> Floats:
        """Latest known output values, (n_lanes, n_units, n_out)."""
        if callable(self._outputs):
            self._outputs = self._outputs()
        return self._outputs


@dataclass(frozen=True, slots=True)
class Work:
    """What the parts of one component that several users share have to do for one delivery."""

    component: str
    turns: Floats
    """(n_lanes, n_parts) times that each part is taken for the component's latency; (1, n_parts) where all
    lanes do the same. A part may carry out several actions in a turn."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a digital stage sends into a layer at one clock edge."""

    units: NDArray[np.int64]
    """(m,) flat indices `lane * n_units + unit`, ascending and unique."""
    inputs: Floats
    """(m, n_in)"""
    actions: Mapping[tuple[str, str], Floats] = field(default_factory=dict)
    """(layer that pays, digital component) -> number of actions per lane, (n_lanes,)."""
    work: tuple[Work, ...] = ()
    """Of components in the stage's path whose parts are shared."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What the readout did in one period; as in Delivery."""

    actions: Mapping[tuple[str, str], Floats] = field(default_factory=dict)
    active: NDArray[np.bool_] | None = None
    """(n_lanes,) lanes in which it read something; none where it is None."""
    work: tuple[Work, ...] = ()


class DigitalStage(Protocol):
    """Digital logic in front of a layer: a function of arrays that owns its state."""

    path: tuple[str, ...]
    """Digital components in series from the source's output to the input edge."""

    def deliver(self, step: int, sources: tuple[LayerOutput, ...]) -> Delivery:
        """Return the inputs of the layer at edge `step`.

        `sources` are the outputs of the layer's source layers in period `step - delay_periods`
        (before the first period: nothing fired, outputs at reset).
        """
        ...


class Readout(Protocol):
    """Digital logic behind the last layer that decides the label."""

    path: tuple[str, ...]
    """Digital components in series behind the last layer's output."""

    def observe(self, step: int, source: LayerOutput) -> Observation:
        """Take in what the last layer did in period `step`."""
        ...

    def scores(self) -> Floats:
        """Return the score of each class, (n_lanes, n_classes); the label is the largest."""
        ...


@dataclass(frozen=True, slots=True)
class Layer:
    """A group of units of one circuit that share a digital stage."""

    name: str
    circuit: str
    """Key under `[circuits]` of the scenario; also the name of the circuit where none is given."""
    n_units: int
    """Units per lane."""
    params: Mapping[str, Floats]
    """Parameter ports set by the network, (n_units,) or (n_units, size); the scenario sets the others."""
    stage: DigitalStage
    sources: tuple[str, ...] = ()
    """Names of the layers whose outputs the stage reads."""
    delay_periods: int = 1
    """Periods between a source's output and its delivery, at least 1."""
    hold_periods: int = 1
    """Level inputs: periods that a level is held before it is driven back to reset."""
    power_gate: bool = True
    """Level inputs: drive back to reset after `hold_periods`."""
    parts: Mapping[str, int] = field(default_factory=dict)
    """Digital component -> how many of it the layer has, for what they draw all the time."""
    is_encoder: bool = False
    """True for a layer that only turns digital data into analog events; left out of summary errors."""


@dataclass(frozen=True, slots=True)
class Network:
    """An architecture filled with weights and the samples of one batch."""

    layers: tuple[Layer, ...]
    readout: Readout
    n_steps: int
    """Periods from the first input edge to the end of the sample."""


def check_network(network: Network) -> None:
    """Raise ContractError where layers do not fit together."""
    names = [layer.name for layer in network.layers]
    if not names or len(set(names)) < len(names):
        raise ContractError(f"a network needs layers of different names, got: {', '.join(names) or 'none'}")
    for layer in network.layers:
        for source in layer.sources:
            if source not in names:
                raise ContractError(
                    f"layer {layer.name}: unknown source '{source}', known: {', '.join(names)}"
                )
        for what in ("n_units", "delay_periods", "hold_periods"):
            if getattr(layer, what) < 1:
                raise ContractError(
                    f"layer {layer.name}: {what} is {getattr(layer, what)}, expected 1 or more"
                )


@dataclass(frozen=True, slots=True)
class Batch:
    """The samples of one engine run, one lane each."""

    images: Floats
    """(n_lanes, height, width), 0..1"""
    labels: NDArray[np.int64]
    """(n_lanes,)"""
    samples: NDArray[np.int64]
    """(n_lanes,) index of each sample in its data set, the key of its random stream."""
    seed: int

    def generator(self, lane: int, purpose: int) -> np.random.Generator:
        """Return the random stream of one lane for one purpose; independent of the batch."""
        return np.random.default_rng([self.seed, int(self.samples[lane]), purpose])


class Options(BaseModel):
    """Base of an architecture's typed options (`[architecture] options = {...}`)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Architecture(Protocol):
    """A registered architecture: `cls(weights, options, image_shape)` then one network per batch."""

    options_type: ClassVar[type[Options]]

    def __init__(self, weights: str, options: Any, image_shape: tuple[int, int]) -> None: ...

    def network(self, batch: Batch) -> Network:
        """Return the layers and stages that run this batch."""
        ...


@dataclass(frozen=True, slots=True)
class ImageSet:
    """A labelled image data set, as returned by a registered `load(split)`."""

    images: Floats
    """(n, height, width), 0..1"""
    labels: NDArray[np.int64]
    """(n,)"""
    n_classes: int
    source: str

"""The case that all ways simulate: one layer whose input raster is known, on a trained bundle."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from simcore.architecture import Delivery, Layer, LayerOutput, Network, Observation
from simcore.bank import Floats
from simcore.idle import Call, IdleTracker
from simcore.manifest import load_circuit
from simcore.spec import CircuitSpec, PortKind

ACTIVITY = 0.2
STEPS = 100


@dataclass(frozen=True)
class Case:
    """`n_units` units of a circuit, each driven in a random fifth of the steps."""

    circuit: str
    n_units: int
    n_steps: int = STEPS
    seed: int = 1

    @cached_property
    def spec(self) -> CircuitSpec:
        """The circuit."""
        return load_circuit(self.circuit)

    @cached_property
    def params(self) -> Floats:
        """(n_units, n_param), the defaults."""
        return np.tile(self.spec.default_params, (self.n_units, 1))

    @cached_property
    def driven(self) -> NDArray[np.bool_]:
        """(n_steps, n_units)"""
        return np.random.default_rng(self.seed).random((self.n_steps, self.n_units)) < ACTIVITY

    def inputs(self, step: int, n: int) -> Floats:
        """Return the inputs of the n driven units of a step, (n, n_in)."""
        rng = np.random.default_rng([self.seed, step])
        width = self.spec.width(PortKind.INPUT)
        if self.spec.holds_level.any():
            low, high = self.spec.low(PortKind.INPUT), self.spec.high(PortKind.INPUT)
            return rng.uniform(low, high, (n, width))
        return rng.normal(0.5, 1.2, (n, width))

    def deliveries(self) -> list[Delivery]:
        """Return what each step delivers."""
        units = [np.flatnonzero(driven) for driven in self.driven]
        return [Delivery(each, self.inputs(step, len(each))) for step, each in enumerate(units)]

    def network(self) -> Network:
        """Return the layer as a network of one sample."""
        layer = Layer(name="layer", circuit=self.circuit, n_units=self.n_units, params={}, stage=_Stage(self))
        return Network((layer,), _NoReadout(), self.n_steps)

    def calls(self) -> list[Call]:
        """Return the bank calls that the engine makes, in order: the event list of all other ways."""
        tracker = IdleTracker(
            self.spec, np.ones(self.n_units, np.int64), np.ones(self.n_units, np.bool_), merge_idle=True
        )
        found = []
        for step, part in enumerate(self.deliveries()):
            found += tracker.plan(step, part.units, part.inputs)
        return found + tracker.settle(self.n_steps)


class _Stage:
    """A raster that is known: what it costs to draw it is not counted."""

    path: tuple[str, ...] = ()

    def __init__(self, case: Case) -> None:
        self._deliveries = case.deliveries()

    def deliver(self, step: int, sources: tuple[LayerOutput, ...]) -> Delivery:
        """Deliver to the driven units."""
        return self._deliveries[step]


class _NoReadout:
    path: tuple[str, ...] = ()

    def observe(self, step: int, source: LayerOutput) -> Observation:
        """Read nothing."""
        return Observation()

    def scores(self) -> Floats:
        """Return no classes."""
        return np.zeros((1, 1))

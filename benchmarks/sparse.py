"""Sparse stimuli for a layer of any circuit: bursts between idle gaps beyond the longest merged step."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simcore.architecture import Batch, Delivery, Layer, LayerOutput, Network, Observation
from simcore.assembly import circuit_of
from simcore.bank import Floats
from simcore.scenario import Scenario
from simcore.spec import CircuitSpec, PortKind

LONGEST = 1.5
"""Longest gap, in longest merged idle steps: some gaps are split."""
BURST = 4
"""Most driven steps between two gaps."""
MEAN, SPREAD = 0.14, 0.14
"""Pulse inputs, in shares of the upper end of the range: a neuron's weights around 2."""


@dataclass(frozen=True, slots=True)
class SparseLayers:
    """Rewires a network into small layers of its first circuit, each unit with a sparse raster of its own.

    A circuit with level inputs gets two layers: `gated`, whose levels go back to reset after a period, and
    `held`, whose levels stay through the gaps.
    """

    scenario: Scenario
    n_units: int
    """Units per layer."""
    n_steps: int
    seed: int = 1

    def __call__(self, network: Network, batch: Batch) -> Network:
        """Return the network of sparse layers; one lane."""
        if len(batch.samples) > 1:
            raise ValueError(f"sparse layers have one lane, got {len(batch.samples)} samples")
        first = network.layers[0]
        spec = circuit_of(self.scenario, first.circuit)
        names = ("gated", "held") if spec.holds_level.any() else ("sparse",)
        layers = tuple(
            Layer(
                name=name,
                circuit=first.circuit,
                n_units=self.n_units,
                params={key: values[: self.n_units] for key, values in first.params.items()},
                stage=_SparseStage(*self._raster(spec, place)),
                power_gate=name != "held",
            )
            for place, name in enumerate(names)
        )
        return Network(layers, _NoReadout(), self.n_steps)

    def _raster(self, spec: CircuitSpec, layer: int) -> tuple[NDArray[np.bool_], Floats]:
        """Return who is driven when, (n_steps, n_units), and with what, (n_steps, n_units, n_in)."""
        rng = np.random.default_rng([self.seed, layer])
        driven = np.zeros((self.n_steps, self.n_units), dtype=np.bool_)
        longest = LONGEST * spec.max_idle_periods
        for unit in range(self.n_units):
            step = int(rng.integers(0, 3))
            while step < self.n_steps:
                burst = int(rng.integers(1, BURST + 1))
                driven[step : step + burst, unit] = True
                step += burst + int(np.exp(rng.uniform(0.0, np.log(longest))))
        low, high = spec.low(PortKind.INPUT), spec.high(PortKind.INPUT)
        shape = (*driven.shape, len(low))
        pulses = np.clip(high * rng.normal(MEAN, SPREAD, shape), low, high)
        return driven, np.where(spec.holds_level, rng.uniform(low, high, shape), pulses)


class _SparseStage:
    """Delivers a raster."""

    path: tuple[str, ...] = ()

    def __init__(self, driven: NDArray[np.bool_], inputs: Floats) -> None:
        self._driven, self._inputs = driven, inputs

    def deliver(self, step: int, sources: tuple[LayerOutput, ...]) -> Delivery:
        """Return the inputs of one period."""
        units = np.flatnonzero(self._driven[step])
        return Delivery(units, self._inputs[step, units])


class _NoReadout:
    """Decides nothing."""

    path: tuple[str, ...] = ()

    def observe(self, step: int, source: LayerOutput) -> dict[tuple[str, str], Floats]:
        """Take in nothing."""
        return Observation()

    def scores(self) -> Floats:
        """Return one class."""
        return np.zeros((1, 1))

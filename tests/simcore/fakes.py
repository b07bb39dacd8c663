"""Plug-ins for the tests of simcore: two circuits, their banks, an architecture and data sets.

Constants are dyadic, so that energies add up exactly in float64 whatever the order. `plugins` of conftest.py
registers all of it through entry points of a distribution that is written for the test.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from simcore.architecture import Batch, Delivery, ImageSet, Layer, LayerOutput, Network, Observation, Options
from simcore.bank import BankRequest, Floats, StepInput, StepResult
from simcore.doctor import Finding
from simcore.manifest import load_circuit
from simcore.spec import CircuitSpec, PortKind

CIRCUITS = Path(__file__).parent / "circuits"
ENTRY_POINTS = """
[simcore.backends]
exact = tests.simcore.fakes:open_exact
biased = tests.simcore.fakes:open_biased
deaf = tests.simcore.fakes:open_deaf
broken = tests.simcore.no_such_module:open_bank
[simcore.circuits]
leaky = tests.simcore.circuits.leaky
follower = tests.simcore.circuits.follower
[simcore.architectures]
chain = tests.simcore.fakes:Chain
[simcore.datasets]
dots = tests.simcore.fakes:load_dots
holey = tests.simcore.fakes:load_holey
[simcore.doctors]
abacus = tests.simcore.fakes:count_beads
broken = tests.simcore.no_such_module:examine
"""

DECAY = 0.5
SUPPLY_J, PULSE_J, INPUT_J, SWING_J = 2.0**-40, 2.0**-38, 2.0**-39, 2.0**-37
LATENCY_S = 2.0**-33
"""About 0.1 ns; a period is 1 ns."""


def leaky() -> CircuitSpec:
    """Pulse circuit: period 1000 ps, 2 tail periods, at most 8 idle ones in a step."""
    return load_circuit(str(CIRCUITS / "leaky"))


def follower() -> CircuitSpec:
    """Level circuit: period 1000 ps, 1 tail period, 2 inputs."""
    return load_circuit(str(CIRCUITS / "follower"))


class FakeBank:
    """Leaky or follower units in closed form, stepped period by period; remembers its calls.

    leaky: v += gain * w at the edge; fires once per step if v > 1, then v -= 1; v *= 0.5 at the end of a
    period. So v = 3 fires in the driven step and again while idle. follower: out = sum(k * in).
    """

    def __init__(self, spec: CircuitSpec, params: Floats) -> None:
        self.spec = spec
        self.params = params
        self.n_units = len(params)
        self.calls: list[StepInput] = []
        self.closed = 0
        self._is_leaky = spec.name == "leaky"
        self.reset()

    def reset(self) -> Floats:
        """Everything to zero."""
        self._v = np.zeros(self.n_units)
        self._out_of_range = np.zeros(self.n_units, dtype=np.int64)
        return np.zeros((self.n_units, 1))

    def step(self, request: StepInput) -> StepResult:
        """Advance row by row and period by period."""
        self.calls.append(request)
        low, high = self.spec.low(PortKind.INPUT), self.spec.high(PortKind.INPUT)
        self._out_of_range[request.units] += ((request.inputs < low) | (request.inputs > high)).any(axis=1)
        one = self._leaky if self._is_leaky else self._follower
        rows = [
            one(unit, inputs, int(duration) // self.spec.period_ps, request.idle)
            for unit, inputs, duration in zip(request.units, request.inputs, request.duration_ps, strict=True)
        ]
        outputs, fired, supply, charge, latency = np.array(rows, dtype=float).reshape(-1, 5).T
        n_state = self.spec.width(PortKind.STATE)
        state = self._v[request.units, None][:, :n_state].copy()
        return StepResult(outputs[:, None], state, fired.astype(bool), supply, charge, latency)

    def counters(self) -> Mapping[str, NDArray[np.int64]]:
        """No rails."""
        return {"out_of_range": self._out_of_range, "rail_excursions": np.zeros_like(self._out_of_range)}

    def provenance(self) -> Mapping[str, Any]:
        """Nothing but the name."""
        return {"backend": "exact", "cpu_s": 0.0}

    def close(self) -> None:
        """Count."""
        self.closed += 1

    def _leaky(self, unit: int, inputs: Floats, periods: int, idle: bool) -> tuple[float, ...]:
        fired, latency = 0.0, np.nan
        for period in range(periods):
            if not idle:
                self._v[unit] += self.params[unit, 0] * inputs[0]
            if self._v[unit] > 1.0 and not fired:
                fired, latency = 1.0, LATENCY_S + period * 1e-9
                self._v[unit] -= 1.0
            self._v[unit] *= DECAY
        supply = SUPPLY_J * periods + (0.0 if idle else PULSE_J)
        charge = 0.0 if idle else INPUT_J * abs(float(inputs[0]))
        return 0.0, fired, supply, charge, latency

    def _follower(self, unit: int, inputs: Floats, periods: int, idle: bool) -> tuple[float, ...]:
        out = float((self.params[unit] * inputs).sum())
        swing, self._v[unit] = abs(out - self._v[unit]), out
        fired = swing >= 0.125
        latency = LATENCY_S if fired else np.nan
        return out, fired, SUPPLY_J * periods + SWING_J * swing, INPUT_J * inputs.sum() * periods, latency


class Biased(FakeBank):
    """A candidate with 1.25 times the supply energy and 1.5 times the latency."""

    def step(self, request: StepInput) -> StepResult:
        """Perturb the exact answer."""
        exact = super().step(request)
        return replace(exact, supply_j=1.25 * exact.supply_j, latency_s=1.5 * exact.latency_s)


class Deaf(FakeBank):
    """A candidate whose unit 1 of the bank never reports its first event."""

    def reset(self) -> Floats:
        """Forget that an event was swallowed."""
        self._swallowed = False
        return super().reset()

    def step(self, request: StepInput) -> StepResult:
        """Swallow the first event of unit 1."""
        exact = super().step(request)
        hit = np.flatnonzero((request.units == 1) & exact.fired)
        if len(hit) and not self._swallowed:
            self._swallowed = True
            exact.fired[hit] = False
            exact.latency_s[hit] = np.nan
        return exact


def open_exact(request: BankRequest) -> FakeBank:
    """Back end `exact`."""
    return FakeBank(request.spec, request.params)


def open_biased(request: BankRequest) -> FakeBank:
    """Back end `biased`."""
    return Biased(request.spec, request.params)


def open_deaf(request: BankRequest) -> FakeBank:
    """Back end `deaf`."""
    return Deaf(request.spec, request.params)


def load_dots(split: str) -> ImageSet:
    """Twelve images of 2 x 2 dots, two classes; `test` is all of it."""
    images = (np.arange(48).reshape(12, 2, 2) * 5 % 16) / 16.0
    return ImageSet(images, np.arange(12) % 2, 2, "made up")


def load_holey(split: str) -> ImageSet:
    """The same with a NaN in sample 3."""
    dots = load_dots(split)
    dots.images[3, 1, 0] = np.nan
    return dots


@dataclass
class Script:
    """A stage that delivers a given script: step -> (units, inputs); ignores its sources."""

    script: Mapping[int, tuple[Sequence[int], Sequence[Sequence[float]]]]
    n_in: int = 1
    path: tuple[str, ...] = ()
    actions: Mapping[tuple[str, str], Floats] | None = None

    def deliver(self, step: int, sources: tuple[LayerOutput, ...]) -> Delivery:
        """Deliver what the script says."""
        units, inputs = self.script.get(step, ((), ()))
        return Delivery(
            np.array(units, dtype=np.int64),
            np.array(inputs, dtype=float).reshape(-1, self.n_in),
            self.actions or {},
        )


class Relay:
    """A stage that drives `weight` into unit i where any source's unit i fired; remembers what it saw."""

    path: tuple[str, ...] = ("accumulate",)

    def __init__(self, layer: str, weight: float) -> None:
        self._layer, self._weight = layer, weight
        self.seen: list[NDArray[np.bool_]] = []

    def deliver(self, step: int, sources: tuple[LayerOutput, ...]) -> Delivery:
        """One packet per unit, one `accumulate` per spike."""
        fired = np.any([source.fired for source in sources], axis=0)
        self.seen.append(fired)
        units = np.flatnonzero(fired)
        counts = fired.sum(axis=1).astype(float)
        return Delivery(units, np.full((len(units), 1), self._weight), {(self._layer, "accumulate"): counts})


class LevelRelay:
    """A stage that drives half of |output| of its source into both inputs of each unit, at given steps."""

    path: tuple[str, ...] = ("adc", "dac")

    def __init__(self, steps: Sequence[int]) -> None:
        self._steps = steps

    def deliver(self, step: int, sources: tuple[LayerOutput, ...]) -> Delivery:
        """All units at the given steps, nothing at others."""
        if step not in self._steps:
            return Delivery(np.empty(0, dtype=np.int64), np.empty((0, 2)))
        levels = np.minimum(np.abs(sources[0].outputs.reshape(-1, 1)), 2.0) / 2.0
        return Delivery(np.arange(len(levels)), np.repeat(levels, 2, axis=1))


class Pixels:
    """A stage that drives random packets, or levels at given steps, from the pixels of each lane."""

    path: tuple[str, ...] = ("poisson",)

    def __init__(self, batch: Batch, n_steps: int, level_steps: Sequence[int] | None) -> None:
        pixels = batch.images.reshape(len(batch.images), -1)
        draws = np.stack(
            [batch.generator(i, 0).random((n_steps, pixels.shape[1])) for i in range(len(pixels))]
        )
        self._raster = draws < pixels[:, None, :]
        self._pixels, self._level_steps = pixels, level_steps

    def deliver(self, step: int, sources: tuple[LayerOutput, ...]) -> Delivery:
        """Packets of 2.5 where the raster is set; or the pixel as level of both inputs."""
        if self._level_steps is None:
            units = np.flatnonzero(self._raster[:, step])
            return Delivery(units, np.full((len(units), 1), 2.5))
        if step not in self._level_steps:
            return Delivery(np.empty(0, dtype=np.int64), np.empty((0, 2)))
        levels = self._pixels.reshape(-1, 1)
        return Delivery(np.arange(len(levels)), np.repeat(levels, 2, axis=1))


class Count:
    """Readout: events per class, unit i counts for class i % 2."""

    path: tuple[str, ...] = ("spike_count",)

    def __init__(self, n_lanes: int, layer: str) -> None:
        self._scores, self._layer = np.zeros((n_lanes, 2)), layer

    def observe(self, step: int, source: LayerOutput) -> Observation:
        """Add the events of this step."""
        even, odd = source.fired[:, 0::2].sum(axis=1), source.fired[:, 1::2].sum(axis=1)
        self._scores += np.stack([even, odd], axis=1)
        return Observation({(self._layer, "spike_count"): (even + odd).astype(float)}, even + odd > 0)

    def scores(self) -> Floats:
        """(n_lanes, 2)"""
        return self._scores


class ChainOptions(Options):
    """Options of the fake architecture."""

    kind: Literal["spikes", "levels"] = "spikes"
    steps: int = 24
    feedback: bool = False
    twice: bool = False
    """Levels: deliver the same level in two steps, one after the other."""
    typo: str | None = None
    """Name of a parameter port that the network sets."""


class Chain:
    """Two layers of four units; `first` sees the pixels, `second` what `first` does."""

    options_type: ClassVar[type[Options]] = ChainOptions

    def __init__(self, weights: str, options: ChainOptions, image_shape: tuple[int, int]) -> None:
        self._options = options
        self._n_units = image_shape[0] * image_shape[1]

    def network(self, batch: Batch) -> Network:
        """Return both layers."""
        options, n = self._options, self._n_units
        levels = options.kind == "levels"
        first = Layer(
            name="first",
            circuit="follower" if levels else "leaky",
            n_units=n,
            params={options.typo: np.ones(n)} if options.typo else {},
            stage=Pixels(batch, options.steps, ([0, 1] if options.twice else [0]) if levels else None),
            is_encoder=True,
        )
        second = Layer(
            name="second",
            circuit=first.circuit,
            n_units=n,
            params={} if levels else {"gain": np.full(n, 0.75)},
            stage=LevelRelay([2]) if levels else Relay("second", 2.0),
            sources=("first", "second") if options.feedback else ("first",),
            delay_periods=2 if levels else 1,
        )
        return Network((first, second), Count(len(batch.images), "second"), options.steps)


def count_beads() -> list[Finding]:
    """Say what is wrong with a plug-in's own parts."""
    return [Finding("abacus", False, "two beads are lost", "buy new ones", optional=True)]

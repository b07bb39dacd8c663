"""Random rasters of a circuit, drawn from its ports: over the range, and network-like dense and sparse.

A raster is built as the engine would drive a unit: after a driven step `tail_periods` single idle steps, then
merged idle steps, split at `max_idle_periods`. Some gaps are cut in two or begin period by period, so that a
model of them is the same however a gap is cut. Each run depends on (seed, run) alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from simcore.bank import Floats, Raster
from simcore.errors import UserError
from simcore.recording import RANDOM
from simcore.spec import CircuitSpec, PortKind, PortSpec

PARAMS, STYLE, DRIVE = 1, 2, 3
"""Purposes of the random streams of a run."""
DEFAULT_KNOBS = 0.6
"""Share of runs whose knobs are the manifest's defaults."""
IN_TWO, SINGLY = 0.2, 0.1
"""Share of idle gaps that are cut in two, and of those whose first periods are not merged."""
SINGLE_PERIODS = 8
"""Longest gap, and start of a longer one, that is stepped period by period where it is not merged."""
Draw = Callable[[np.random.Generator], Floats]
"""Draws one driven input vector, (n_in,)."""


class Source(Protocol):
    """Where the runs of a recording come from."""

    @property
    def most(self) -> int | None:
        """How many runs there are; None for any number."""
        ...

    def draw(self, run: int) -> tuple[str, Raster]:
        """Return kind and raster of a run, the same ones each time."""
        ...

    def provenance(self) -> dict[str, Any]:
        """Return what decides the rasters, JSON-able: `source` and its settings."""
        ...


@dataclass(frozen=True, slots=True)
class Stimuli:
    """Random rasters of `steps` rows; kinds take turns unless one is named."""

    spec: CircuitSpec
    steps: int
    seed: int
    kind: str | None = None
    most: int | None = None

    def draw(self, run: int) -> tuple[str, Raster]:
        """Return kind and raster of a run."""
        return draw_raster(self.spec, run, self.steps, self.seed, self.kind)

    def provenance(self) -> dict[str, Any]:
        """Return what the rasters are."""
        return {"source": RANDOM, "steps": self.steps}


@dataclass(frozen=True, slots=True)
class Style:
    """How a run is driven."""

    gap_probability: float
    """Chance that a driven step is followed by an idle gap."""
    release_probability: float
    """Level inputs: chance that a level is driven back to reset after it was held."""
    draw: Draw
    wait_probability: float = 0.3
    """Chance that the run begins with an idle gap."""


def draw_raster(
    spec: CircuitSpec, run: int, steps: int, seed: int, kind: str | None = None
) -> tuple[str, Raster]:
    """Return kind and raster of a run with `steps` rows; kinds take turns unless one is named."""
    name = kind or tuple(KINDS)[run % len(KINDS)]
    if name not in KINDS | ON_DEMAND:
        raise UserError(f"unknown kind of stimulus '{name}'; known: {', '.join(KINDS | ON_DEMAND)}")
    params = draw_params(spec, np.random.default_rng([seed, run, PARAMS]), even=name in ON_DEMAND)
    style = (KINDS | ON_DEMAND)[name](spec, np.random.default_rng([seed, run, STYLE]))
    rows = _drive(spec, style, steps, np.random.default_rng([seed, run, DRIVE]))
    return name, rows.raster(params, steps)


def draw_params(spec: CircuitSpec, rng: np.random.Generator, *, even: bool = False) -> Floats:
    """Return one row of params: weights, and knobs at their defaults or anywhere in their range.

    Weights from -1 to 1 are -1, 0 or 1; others, such as conductances, are anywhere in their range, `even`
    evenly so, else often at its ends.
    """
    low, high = spec.low(PortKind.PARAM), spec.high(PortKind.PARAM)
    values = spec.default_params.copy()
    if rng.random() >= DEFAULT_KNOBS:
        values = rng.uniform(low, high)
    weights = weight_columns(spec) & ~_level_columns(spec)
    zeros = rng.choice([0.0, rng.uniform(0.0, 0.95)])
    positive = rng.choice([0.0, 0.5, 1.0, rng.uniform()])
    signs = np.where(rng.random(len(values)) < positive, 1.0, -1.0)
    ternary = np.where(rng.random(len(values)) < zeros, 0.0, signs)
    drawn = np.where(weights, ternary, values)
    levels = _level_columns(spec)
    return np.where(levels, _levels(low, high, rng, even=even), drawn) if levels.any() else drawn


def _levels(low: Floats, high: Floats, rng: np.random.Generator, *, even: bool) -> Floats:
    """Return weights from `low` to `high`; not `even`: some at `low`, the others at `high` or between."""
    spread = rng.random(len(low))
    if not even:
        lowest, power = rng.choice([0.0, rng.uniform()]), rng.choice([0.0, 1.0, 3.0])
        spread = np.where(rng.random(len(low)) < lowest, 0.0, spread**power)
    return low + (high - low) * spread


def weight_columns(spec: CircuitSpec) -> NDArray[np.bool_]:
    """Return which parameters are weights (the others are knobs), (n_param,)."""
    return _of_params(spec, lambda port: _is_ternary(port) or port.size is not None)


def _level_columns(spec: CircuitSpec) -> NDArray[np.bool_]:
    """Return which parameters are weights anywhere in their range, (n_param,)."""
    return _of_params(spec, lambda port: not _is_ternary(port) and port.size is not None)


def _of_params(spec: CircuitSpec, test: Callable[[PortSpec], bool]) -> NDArray[np.bool_]:
    return np.array([test(port) for port in spec.of(PortKind.PARAM) for _ in port.columns], np.bool_)


def _is_ternary(port: PortSpec) -> bool:
    return port.unit == "" and port.low == -1.0 and port.high == 1.0 and port.default == 0.0


def _random(spec: CircuitSpec, rng: np.random.Generator) -> Style:
    """Values anywhere in the range, at magnitudes from 1.4 % of it to all of it."""
    scale = rng.choice([1.0, np.exp(rng.uniform(np.log(1 / 70), 0.0))])
    return Style(0.2, 0.5, _sparsely(spec, rng.uniform(0.1, 1.0), lambda r: _uniform(spec, scale, r)))


def _dense(spec: CircuitSpec, rng: np.random.Generator) -> Style:
    """Driven nearly every period: noise around a mean, constant, of one sign, or saturated."""
    ends = np.maximum(np.abs(spec.low(PortKind.INPUT)), np.abs(spec.high(PortKind.INPUT)))
    mean = ends * rng.normal(0.08, 0.15)
    spread = ends * np.exp(rng.uniform(np.log(0.015), np.log(0.4)))
    sign = rng.choice([0.0, 0.0, 1.0, -1.0])
    constant = rng.normal(mean, spread)

    def noisy(r: np.random.Generator) -> Floats:
        values = r.normal(mean, spread)
        return np.abs(values) * sign if sign else values

    def saturated(r: np.random.Generator) -> Floats:
        return _saturated(spec, r)

    draws: list[Draw] = [noisy, noisy, noisy, noisy, lambda r: constant, saturated]
    if spec.holds_level.all():
        draws = [saturated, lambda r: _uniform(spec, 1.0, r), lambda r: _sigmoid(spec, r)]
    draw = _sparsely(spec, rng.uniform(0.5, 1.0), draws[rng.integers(len(draws))])
    return Style(rng.choice([0.0, 0.05, 0.2]), rng.choice([0.2, 0.9]), draw)


def _sparse(spec: CircuitSpec, rng: np.random.Generator) -> Style:
    """Rare events and bursts: single weights, a few of them at once, few active columns."""
    unit = np.clip(np.ones(spec.width(PortKind.INPUT)), None, spec.high(PortKind.INPUT))
    largest = int(rng.choice([1, 1, 2, 4]))
    sign = rng.choice([1.0, 1.0, -1.0])

    def events(r: np.random.Generator) -> Floats:
        values: Floats = sign * unit * r.integers(1, largest + 1, len(unit))
        return values

    draw = (lambda r: _saturated(spec, r)) if spec.holds_level.all() else events
    return Style(rng.uniform(0.3, 0.9), 0.9, _sparsely(spec, rng.uniform(0.02, 0.3), draw))


def _network(spec: CircuitSpec, rng: np.random.Generator) -> Style:
    """What trained layers send: sums of many weights, a tenth of the range, nearly every period."""
    ends = np.maximum(np.abs(spec.low(PortKind.INPUT)), np.abs(spec.high(PortKind.INPUT)))
    mean = ends * rng.normal(0.02, 0.04)
    spread = ends * np.exp(rng.uniform(np.log(0.02), np.log(0.15)))
    draw: Draw = lambda r: r.normal(mean, spread)  # noqa: E731
    if spec.holds_level.all():
        draw = [lambda r: _saturated(spec, r), lambda r: _sigmoid(spec, r)][rng.integers(2)]
    return Style(rng.choice([0.0, 0.1]), 0.9, _sparsely(spec, rng.uniform(0.6, 1.0), draw))


def _even(spec: CircuitSpec, rng: np.random.Generator) -> Style:
    """Each input anywhere in its range in each period, as published data sets of MAC blocks have it."""
    return Style(0.0, 0.0, lambda r: _uniform(spec, 1.0, r), wait_probability=0.0)


KINDS: dict[str, Callable[[CircuitSpec, np.random.Generator], Style]] = {
    "network": _network,
    "random": _random,
    "dense": _dense,
    "sparse": _sparse,
}
ON_DEMAND: dict[str, Callable[[CircuitSpec, np.random.Generator], Style]] = {"uniform": _even}
"""Kinds that take no turn."""


def _uniform(spec: CircuitSpec, scale: float, rng: np.random.Generator) -> Floats:
    rest = spec.reset_inputs
    return rest + scale * (rng.uniform(spec.low(PortKind.INPUT), spec.high(PortKind.INPUT)) - rest)


def _saturated(spec: CircuitSpec, rng: np.random.Generator) -> Floats:
    low, high = spec.low(PortKind.INPUT), spec.high(PortKind.INPUT)
    return np.where(rng.random(len(low)) < 0.5, low, high)


def _sigmoid(spec: CircuitSpec, rng: np.random.Generator) -> Floats:
    low, high = spec.low(PortKind.INPUT), spec.high(PortKind.INPUT)
    return low + (high - low) / (1.0 + np.exp(rng.normal(0.0, 3.0, len(low))))


def _sparsely(spec: CircuitSpec, density: float, draw: Draw) -> Draw:
    """Keep the columns that are not drawn active at reset (one at least is active), and all in range.

    An active digital column takes one of its values other than the one at reset.
    """
    ports = [port for port in spec.of(PortKind.INPUT) for _ in port.columns]
    digital = [
        (i, [value for value in port.values if value != port.reset] or list(port.values))
        for i, port in enumerate(ports)
        if port.values
    ]
    low, high, rest = spec.low(PortKind.INPUT), spec.high(PortKind.INPUT), spec.reset_inputs

    def drawn(rng: np.random.Generator) -> Floats:
        active = rng.random(len(low)) < density
        active[rng.integers(len(low))] = True
        values = np.where(active, np.clip(draw(rng), low, high), rest)
        for i, others in digital:
            if active[i]:
                values[i] = rng.choice(others)
        return values

    return drawn


class _Rows:
    """Rows of a raster as the engine makes them."""

    def __init__(self, spec: CircuitSpec) -> None:
        self._spec = spec
        self._held = spec.reset_inputs
        self._tail = 0
        self._inputs: list[Floats] = []
        self._idle: list[bool] = []
        self._periods: list[int] = []

    def __len__(self) -> int:
        return len(self._idle)

    def drive(self, inputs: Floats) -> None:
        """Add a driven step."""
        self._add(inputs, False, 1)
        self._held = np.where(self._spec.holds_level, inputs, self._spec.reset_inputs)
        self._tail = self._spec.tail_periods

    def wait(self, periods: int, *, singly: bool = False) -> None:
        """Add a gap: what is left of the tail in single steps, then merged ones; `singly` merges none."""
        while periods:
            merged = 1 if self._tail or singly else min(periods, self._spec.max_idle_periods)
            self._tail = max(self._tail - 1, 0)
            self._add(np.where(self._spec.holds_level, self._held, self._spec.reset_inputs), True, merged)
            periods -= merged

    def release(self) -> None:
        """Drive held levels back to reset, an ordinary step."""
        if (self._held != self._spec.reset_inputs).any():
            self.drive(self._spec.reset_inputs)

    def raster(self, params: Floats, steps: int) -> Raster:
        """Return the first `steps` rows."""
        duration = np.array(self._periods[:steps], np.int64) * self._spec.period_ps
        idle: NDArray[np.bool_] = np.array(self._idle[:steps])
        return Raster(params, duration, np.array(self._inputs[:steps]), idle)

    def _add(self, inputs: Floats, idle: bool, periods: int) -> None:
        self._inputs.append(inputs)
        self._idle.append(idle)
        self._periods.append(periods)


def _drive(spec: CircuitSpec, style: Style, steps: int, rng: np.random.Generator) -> _Rows:
    rows = _Rows(spec)
    if style.wait_probability and rng.random() < style.wait_probability:
        _wait(rows, spec, rng)
    while len(rows) < steps:
        rows.drive(style.draw(rng))
        if spec.holds_level.any() and rng.random() < style.release_probability:
            if rng.random() < 0.2:
                _wait(rows, spec, rng)
            rows.release()
        if rng.random() < style.gap_probability:
            _wait(rows, spec, rng)
    return rows


def _wait(rows: _Rows, spec: CircuitSpec, rng: np.random.Generator) -> None:
    """Add an idle gap: one merged step for most, others in parts, as without idle merging."""
    periods, way = _gap(spec, rng), rng.random()
    if way < SINGLY:
        rows.wait(min(periods, SINGLE_PERIODS), singly=True)
        rows.wait(max(periods - SINGLE_PERIODS, 0))
    elif way < SINGLY + IN_TWO:
        cut = int(rng.integers(1, periods + 1))
        rows.wait(cut)
        rows.wait(periods - cut)
    else:
        rows.wait(periods)


def _gap(spec: CircuitSpec, rng: np.random.Generator) -> int:
    """Return a gap in periods, log-uniform from 1 to the longest merged step after the tail."""
    longest = spec.max_idle_periods + spec.tail_periods
    return int(np.exp(rng.uniform(0.0, np.log(longest + 1))))

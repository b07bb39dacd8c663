"""Frame: the targets of a step model, and their normalisation around a linear model.

A family learns only what a ridge regression on the same columns leaves, scaled to unit spread; one that wants
the targets themselves gets them standardised, all weights zero. Its matrix has the columns [fired logit]
[latency] [y without event] [y with event], y being outputs, state and the two energies, these divided by a
power of the duration (see `_duration_powers`). Joules as targets make losses vanish, hence the scale; it goes
into the graph.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from simcore.errors import DatasetError
from simcore.recording import Steps
from simcore.spec import CircuitSpec, PortKind
from surrogates.design import Design, fit_design, whole_design
from surrogates.features import Floats, Rows
from surrogates.layout import Layout

Mask = NDArray[np.bool_]

MIN_EVENTS = 50
"""Fewer events than this in the training data teach nothing about them."""
RIDGE = 1e-6
SMALLEST_SCALE = 1e-30
STATE_MARGIN = 0.05
"""A predicted state stays in the port's range or, where wider, the training range and this share of it."""
STATE_NOISE = 1e-3
"""Standard deviation of the noise on a state in training, as a share of its range in the training data."""


class Group(StrEnum):
    """What a target column is; families weigh their losses by it."""

    FIRED = "fired"
    LATENCY = "latency"
    OUTPUT = "output"
    STATE = "state"
    ENERGY = "energy"


@dataclass(frozen=True, slots=True)
class Targets:
    """Which target columns a model has."""

    n_out: int
    n_state: int
    detects: bool
    """True where the model says whether an event happened; False for a `settled` detector."""
    fired: bool
    """Has a fired logit."""
    latency: bool
    """Has a latency."""
    branched: bool
    """Has separate y with and without an event."""
    duration_powers: tuple[float, ...] = ()
    """What power of the duration (in periods) the supply and the input energy are divided by; the reset model
    has no energies."""

    @property
    def y_groups(self) -> tuple[Group, ...]:
        """Groups of one block of y."""
        energies = (Group.ENERGY,) * len(self.duration_powers)
        return (*(Group.OUTPUT,) * self.n_out, *(Group.STATE,) * self.n_state, *energies)

    @property
    def groups(self) -> tuple[Group, ...]:
        """Group of each column."""
        heads = (*(Group.FIRED,) * self.fired, *(Group.LATENCY,) * self.latency)
        return (*heads, *self.y_groups * (2 if self.branched else 1))

    def block(self, branch: int) -> slice:
        """Columns of y: branch 0 without and 1 with an event."""
        start = self.fired + self.latency + branch * len(self.y_groups)
        return slice(start, start + len(self.y_groups))


@dataclass(frozen=True, slots=True)
class Table:
    """Rows to learn from: graph inputs, physical targets (NaN-free), and which of them are defined."""

    x: Rows
    y: Floats
    """(n, c)"""
    valid: Mask
    """(n, c)"""


@dataclass(frozen=True, slots=True)
class Answer:
    """A model's answer in physical units; n rows."""

    fired: Mask
    latency_s: Floats
    """Also where nothing fired."""
    outputs: Floats
    state: Floats
    supply_j: Floats
    input_j: Floats


@dataclass(frozen=True, slots=True)
class Frame:
    """Design, target columns and normalisation: y = z @ weights + offset + scale * model(z)."""

    design: Design
    targets: Targets
    weights: Floats
    """(m, c)"""
    offset: Floats
    """(c,)"""
    scale: Floats
    """(c,)"""
    state_low: Floats
    state_high: Floats
    latency_low: float
    latency_high: float

    def encode(self, table: Table, x: Rows | None = None) -> tuple[Rows, Rows]:
        """Return (z, t): what a family sees and what it has to say. `x` replaces the table's, row by row."""
        z = self.design.standardise(table.x if x is None else x)
        t = (table.y - z @ self.weights - self.offset) / self.scale
        return z, np.where(table.valid, t, 0.0).astype(np.float32)

    def plain(self, table: Table) -> "Frame":
        """Return the frame of the same targets without the linear model: t is a target, standardised."""
        offset, scale = self.offset.copy(), self.scale.copy()
        for column, group in enumerate(self.targets.groups):
            y = table.y[table.valid[:, column], column]
            if group is not Group.FIRED and len(y):
                offset[column] = y.mean()
                scale[column] = max(float(y.std()), 1e-6 * abs(offset[column]), SMALLEST_SCALE)
        return replace(self, weights=np.zeros_like(self.weights), offset=offset, scale=scale)

    def whole(self, table: Table, arrays: Sequence[str]) -> "Frame":
        """Return the plain frame whose design has the array ports whole, for families that want them."""
        plain, design = self.plain(table), whole_design(self.design.layout.spec, arrays)
        n_columns = plain.weights.shape[1]
        return replace(plain, design=design, weights=np.zeros((len(design.names), n_columns)))

    def decode(self, x: Rows, z: Rows, t: Rows, event_bias: float = 0.0) -> Answer:
        """Turn a family's matrix into physical values; `event_bias` is added to the logit of the event."""
        targets = self.targets
        values = z.astype(np.float64) @ self.weights + self.offset + self.scale * t
        fired = values[:, 0] + event_bias > 0 if targets.fired else np.zeros(len(z), dtype=np.bool_)
        y = values[:, targets.block(0)]
        if targets.branched:
            y = np.where(fired[:, None], values[:, targets.block(1)], y)
        state = y[:, targets.n_out : targets.n_out + targets.n_state]
        latency = values[:, int(targets.fired)] if targets.latency else np.zeros(len(z))
        energies = np.zeros((len(z), 2))
        if targets.duration_powers:
            energies = y[:, -2:] * x[:, -1:].astype(np.float64) ** targets.duration_powers
        return Answer(
            fired,
            np.clip(latency, self.latency_low, self.latency_high),
            y[:, : targets.n_out],
            np.clip(state, self.state_low, self.state_high),
            energies[:, 0],
            energies[:, 1],
        )


def detects_events(spec: CircuitSpec) -> bool:
    """Whether the model must say if an event happened; the run time sees the swing of a settled output."""
    detector = spec.of(PortKind.OUTPUT)[0].detector
    return detector is None or detector.kind != "settled"


def fit_step_frame(spec: CircuitSpec, steps: Steps, *, idle: bool) -> Frame:
    """Fit design, linear model and scales on the training rows of driven or of idle steps."""
    events, timed = int(steps.fired.sum()), is_timed(steps)
    if spec.has_latencies and events >= MIN_EVENTS and not timed.any():
        raise DatasetError(
            f"the recording of '{spec.name}' has no latency among {events} events of its training runs: "
            "record more runs"
        )
    branched = detects_events(spec) and events >= MIN_EVENTS
    targets = Targets(
        n_out=spec.width(PortKind.OUTPUT),
        n_state=spec.width(PortKind.STATE),
        detects=detects_events(spec),
        fired=branched,
        latency=int(timed.sum()) >= MIN_EVENTS,
        branched=branched,
        duration_powers=(1.0, 1.0) if spec.kind == "static" else (0.0, 0.0),
    )
    kinds = (PortKind.INPUT, PortKind.PARAM, PortKind.STATE)
    table = step_table(spec, steps, targets)
    design = fit_design(spec, table.x, kinds=kinds, idle=idle)
    if idle:
        targets = replace(targets, duration_powers=_duration_powers(design, table.x, steps))
        table = step_table(spec, steps, targets)
    return _fit(design, targets, table, steps.state, steps.latency_s[timed])


def fit_reset_frame(spec: CircuitSpec, table: Table) -> Frame:
    """Fit the frame of the reset model: outputs and state from parameters and reset inputs."""
    n_out, n_state = spec.width(PortKind.OUTPUT), spec.width(PortKind.STATE)
    targets = Targets(n_out, n_state, False, False, False, False)
    design = fit_design(spec, table.x, kinds=(PortKind.INPUT, PortKind.PARAM), idle=False)
    return _fit(design, targets, table, table.y[:, n_out:], np.zeros(0))


def is_timed(steps: Steps) -> Mask:
    """Whether there was an event whose latency is known: all are but in static circuits."""
    return steps.fired & ~np.isnan(steps.latency_s)


def step_table(spec: CircuitSpec, steps: Steps, targets: Targets) -> Table:
    """Return the rows as graph inputs and targets."""
    x = Layout(spec).rows(steps.inputs, steps.params, steps.state_before, steps.duration_ps)
    energies = np.column_stack([steps.supply_j, steps.input_j])
    energies /= (steps.duration_ps / spec.period_ps)[:, None] ** targets.duration_powers
    y = np.column_stack([steps.outputs, steps.state, energies])
    fired = steps.fired[:, None]
    columns, valid = [], []
    if targets.fired:
        columns.append(fired.astype(np.float64))
        valid.append(np.ones_like(fired))
    if targets.latency:
        timed = is_timed(steps)
        columns.append(np.where(timed, steps.latency_s, 0.0)[:, None])
        valid.append(timed[:, None])
    for branch in (~fired, fired) if targets.branched else (np.ones_like(fired),):
        columns.append(y)
        valid.append(np.broadcast_to(branch, y.shape))
    return Table(x, np.concatenate(columns, axis=1), np.concatenate(valid, axis=1))


def column_sets(frame: Frame, table: Table, *, per_head: bool = False) -> list[list[int]]:
    """Group columns that are defined on the same rows, `per_head` by group too; the event stands alone."""
    sets: dict[tuple[Group | None, bytes], list[int]] = {}
    for column, group in enumerate(frame.targets.groups):
        apart = per_head or group is Group.FIRED
        key = group if apart else None, table.valid[:, column].tobytes()
        sets.setdefault(key, []).append(column)
    return list(sets.values())


def _duration_powers(design: Design, x: Rows, steps: Steps) -> tuple[float, ...]:
    """Return the power of the duration that each energy is best divided by: 0, 1/2 or 1.

    A static current costs the same in each period (1), the discharge of a node the same however long the step
    is (0). What leaves a linear model the smallest error in joules is taken.
    """
    z = design.standardise(x).astype(np.float64)
    periods = x[:, -1].astype(np.float64)

    def error_j(energy_j: Floats, power: float) -> float:
        y = energy_j / periods**power
        w, b, _ = _ridge(z, y)
        return float((np.abs(y - z @ w - b) * periods**power).sum())

    return tuple(
        min((0.0, 0.5, 1.0), key=lambda power: error_j(energy_j, power))
        for energy_j in (steps.supply_j, steps.input_j)
    )


def state_noise(layout: Layout, x: Rows) -> Rows:
    """Return the standard deviation of the noise on each graph input, zero but for states, (width,)."""
    columns = layout.of(PortKind.STATE)
    noise = np.zeros(layout.width, dtype=np.float32)
    noise[columns] = STATE_NOISE * np.ptp(x[:, columns], axis=0)
    return noise


def _fit(design: Design, targets: Targets, table: Table, state: Floats, latency_s: Floats) -> Frame:
    z = design.standardise(table.x).astype(np.float64)
    shake = np.random.default_rng(0).standard_normal(table.x.shape, dtype=np.float32)
    noisy = design.standardise(table.x + shake * state_noise(design.layout, table.x)).astype(np.float64)
    n_columns = len(targets.groups)
    weights, offset, scale = np.zeros((z.shape[1], n_columns)), np.zeros(n_columns), np.ones(n_columns)
    for column, group in enumerate(targets.groups):
        rows = table.valid[:, column]
        if group is Group.FIRED or not rows.any():
            continue
        w, b, floor = _ridge(z[rows], table.y[rows, column])
        # What noise on the state does to the linear part is as large as what the family can learn.
        left = float((table.y[rows, column] - noisy[rows] @ w - b).std())
        weights[:, column], offset[column], scale[column] = w, b, max(left, floor)
    margin, spec = STATE_MARGIN * np.ptp(state, axis=0), design.layout.spec
    return Frame(
        design, targets, weights, offset, scale,
        np.minimum(state.min(axis=0) - margin, spec.low(PortKind.STATE)),
        np.maximum(state.max(axis=0) + margin, spec.high(PortKind.STATE)),
        float(latency_s.min(initial=np.inf)) if len(latency_s) else 0.0,
        float(latency_s.max(initial=0.0)),
    )  # fmt: skip


def _ridge(z: Floats, y: Floats) -> tuple[Floats, float, float]:
    """Fit y = z @ w + b; return w, b and the smallest spread that the rest is scaled by (never zero)."""
    centre, mean = z.mean(axis=0), float(y.mean())
    spread = float(y.std())
    if spread <= 1e-9 * abs(mean) or spread == 0.0:
        return np.zeros(z.shape[1]), mean, max(1e-6 * abs(mean), SMALLEST_SCALE)
    gram = (z - centre).T @ (z - centre) + RIDGE * len(z) * np.eye(z.shape[1])
    w = np.linalg.solve(gram, (z - centre).T @ ((y - mean) / spread)) * spread
    return w, mean - float(centre @ w), 1e-6 * spread

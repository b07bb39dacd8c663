"""Family `cellsum`: one cell model for all cells, summed along each column, then the periphery's equations.

A cell's current from a row at voltage v into a column at ground, and the conductance by which the column's
own voltage takes from it, are polynomials in v and in its conductance g. Summed along the columns of a tile,
a current S and a load L give what flows through the tile's switch r into a node at voltage x:

    (S (1 + curve u^2) - L x) / (1 + r L),  u = (x + r S) / (1 + r L) the voltage of the tile's column

The periphery turns both columns into the output; v times the cells' currents is the energy of the inputs.
These constants, some fifty, are fitted by least squares to a small part of the steps: their problem is far
too stiff for gradient descent. Two small networks then learn from all steps what they leave: one of the
output, one of the supply's energy beside what the stages' loads draw, and the latency.
"""

import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.polynomial import Legendre, Polynomial
from numpy.typing import NDArray
from scipy.optimize import least_squares

from surrogates.array_fit import ArrayModel, Schedule, fit_array, one_thread
from surrogates.cellarray import CellArray, Cells, cell_array
from surrogates.family import Effort, StepModel
from surrogates.features import Floats, Rows
from surrogates.frame import Frame, Table
from surrogates.periphery import GAIN, nominal, settled, stage
from surrogates.tensors import Tensor, concat, glorot

CURRENT = (4, 6)
"""Terms of a cell's current: powers 1, 2, ... of its conductance, and of the row's voltage."""
LOAD = (4, 5)
"""Terms of its conductance towards the column: powers 1, 2, ... and 0, 1, ... of the same."""
SWITCH = 1e-3
"""Unit of the learned resistance of a tile's switch."""
FITTED_STEPS = 1500
"""Steps of the least squares; their residuals are taken in parts of PART."""
PART = 128
ENERGY_WEIGHT = 0.3
PRIOR = 0.01
"""How much the manifest's values weigh: constants that the steps say nothing of keep them."""
HIDDEN = 20
HEADS = {"rest": ("current", "output"), "cost": ("supply", "latency")}
"""What each of the two small networks says of each pair."""
SMALL = 0.05
"""Unit of the current that it adds to a drive, and of what it adds to an output."""
SCHEDULE = Schedule(batch=256, rate=3e-3, epochs=60, halve_at=(0.5, 0.6, 0.7, 0.8, 0.9))
SEEN = ("out", "inverted", "load", "node", "feedback", "offset", "slope", "loads")
"""What the small networks see of a pair."""
QUIESCENT, LOADS = 3.0, 0.003
"""Units of a stage's quiescent current, and of what its load makes it draw."""
LEARNED = ("stage", "gain", "gain_inverting", "limit", "knee", "curve", "switch")
"""Constants of the least squares, beside those of the cells."""


class CellSum:
    """The network; its weights are `cells`, the constants LEARNED, and those of the networks of HEADS."""

    def __init__(self, cells: CellArray, frame: Frame) -> None:
        self.cells, self._frame = cells, frame
        self._latency = frame.targets.latency
        self._outputs = slice(int(self._latency), int(self._latency) + cells.pairs)
        period_s = frame.design.layout.spec.period_ps * 1e-12
        self._joule = cells.v_scale**2 * cells.g_scale * period_s
        """Energy of a power of one unit over a period."""

    def initial(self, rng: np.random.Generator) -> dict[str, Rows]:
        """Return cells and periphery as the manifest has them, and a rest of nearly nothing."""
        array, cells = self.cells.array, self.cells
        table = np.zeros((CURRENT[0] + LOAD[0], max(CURRENT[1] + 1, LOAD[1])))
        table[0, 1] = table[CURRENT[0], 0] = 1.0
        table[0, 3], table[CURRENT[0], 2] = cells.bend
        offset, scale = self._frame.offset, self._frame.scale
        w = nominal(cells) | {
            "cells": table,
            "curve": np.zeros((1, 1)),
            "switch": np.full((1, 1), array.tile_ohm * cells.g_scale / SWITCH),
            "over_rows": np.ones((cells.rows, 1)),
            "over_tiles": np.ones((cells.tiles, 1)),
            "over_pairs": np.ones((cells.pairs, 1)),
            "volt_offset": offset[self._outputs][None],
            "volt_scale": scale[self._outputs][None],
            "joule_offset": np.full((1, 1), offset[-1]),
            "joule_scale": np.full((1, 1), scale[-1]),
            "cost_quiescent": np.ones((1, 1)),
            "cost_loads": np.ones((1, 1)),
            "joule_loads": np.full((1, 1), self._joule * array.limit_v / cells.v_scale / scale[-2] / LOADS),
            "cost_supply.b": np.zeros((1, 1)),
            "cost_latency.b": np.zeros((1, 1)),
        }
        for name, heads in HEADS.items():
            for layer, n_in in enumerate((len(SEEN), HIDDEN)):
                w[f"{name}{layer}.w"] = glorot(rng, n_in, HIDDEN)
                w[f"{name}{layer}.b"] = np.zeros((1, HIDDEN))
            for head in heads:
                w[f"{name}_{head}.w"] = 0.1 * glorot(rng, HIDDEN, 1)
        return {name: np.asarray(value, dtype=np.float32) for name, value in w.items()}

    def measured(self, y: Floats) -> tuple[Floats, Floats]:
        """Return outputs in V (n, pairs) and input power in units (n, 1) of targets y."""
        return y[:, self._outputs], y[:, -1:] / self._joule

    def tiles(self, w: dict[str, Tensor], cells: Cells) -> list[Tensor]:
        """Return sums over the rows of each tile's columns, (k, 2 * pairs, tiles).

        They are: currents, loads, and both times the rows' voltages.
        """
        lines, columns = self.cells.lines, 2 * self.cells.pairs
        v = cells.v.reshape(-1, 1, lines)
        powers = [v * 0.0 + 1.0, v]
        while len(powers) < max(CURRENT[1] + 1, LOAD[1]):
            powers.append(powers[-1] * v)
        terms = w["cells"] @ concat(powers, 1)
        g = cells.g.reshape(-1, columns, lines)
        current, load = (
            _horner([terms[:, i : i + 1] for i in range(first, last)], g)
            for first, last in ((0, CURRENT[0]), (CURRENT[0], CURRENT[0] + LOAD[0]))
        )
        sums = []
        for each in (current, load, current * v, load * v):
            rows = each.reshape(-1, columns * self.cells.tiles, self.cells.rows)
            sums.append((rows @ w["over_rows"]).reshape(-1, columns, self.cells.tiles))
        return sums

    def physics(self, w: dict[str, Tensor], z: Tensor) -> tuple[Tensor, Tensor, Tensor, dict[str, Tensor]]:
        """Return outputs (k, pairs), their slopes over the drive, input power (k, 1), what the heads see."""
        pairs, cells = self.cells.pairs, self.cells.split(z)
        sums = self.tiles(w, cells)
        pos, neg = ([each[:, start : start + pairs] for each in sums] for start in (0, pairs))
        switch, y, feedback = w["switch"] * SWITCH, stage(w), 1.0 / cells.r_f

        def column(side: list[Tensor], x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            """Return current and load (k, pairs), and the tiles' voltages, of columns whose node is at x."""
            part = 1.0 / (switch * side[1] + 1.0)
            u = (x.reshape(-1, pairs, 1) + switch * side[0]) * part
            through = side[0] * (w["curve"] * u * u + 1.0) * part
            over = w["over_tiles"]
            return (through @ over).reshape(-1, pairs), ((side[1] * part) @ over).reshape(-1, pairs), u

        ground = (neg[0] @ w["over_tiles"]).reshape(-1, pairs) * 0.0
        offset, gain = ground + cells.v_os, w["gain"] * GAIN
        current, load, _ = column(pos, ground)
        x_pos, inverted, _ = settled(w, w["gain_inverting"] * GAIN, current, load + y, y)

        def drive_at(x: Tensor) -> tuple[Tensor, Tensor]:
            """Return drive and load of the output stage, its node at x."""
            current, load, _ = column(neg, x)
            node = load + y + feedback
            return offset * node - current + inverted * y, node

        drive, node = drive_at(offset)
        drive, node = drive_at(offset - drive / (node + gain * feedback))
        x, out, slope = settled(w, gain, drive, node, feedback)
        power = pos[2] - column(pos, x_pos)[2] * pos[3] + neg[2] - column(neg, offset - x)[2] * neg[3]
        power = (power @ w["over_tiles"]).reshape(-1, pairs) @ w["over_pairs"]
        inverting, output = inverted * y * 2.0, (out - offset) * feedback
        quiet = w["cost_quiescent"] * w["cost_quiescent"] * QUIESCENT**2
        loads = (inverting * inverting + quiet).sqrt() + (output * output + quiet).sqrt()
        usual = self.cells.lines / 2
        seen = {
            "out": out / w["limit"], "inverted": inverted, "load": load / usual - 1.0,
            "node": node / usual - 1.0, "feedback": ground + feedback * 0.1,
            "offset": offset * 50.0, "slope": slope * 4.0, "loads": loads * LOADS,
        }  # fmt: skip
        return out, slope, power, seen

    def forward(self, w: dict[str, Tensor], z: Tensor) -> Tensor:
        """Return t, (k, c), of the array's columns z."""
        pairs = self.cells.pairs
        out, slope, power, seen = self.physics(w, z)
        loads = seen["loads"] * (w["cost_loads"] * w["joule_loads"])
        x = concat([seen[name].reshape(-1, pairs, 1) for name in SEEN], 2)
        said: dict[str, Tensor] = {}
        for name, heads in HEADS.items():
            hidden = x
            for layer in range(2):
                hidden = (hidden @ w[f"{name}{layer}.w"] + w[f"{name}{layer}.b"]).tanh()
            said |= {head: (hidden @ w[f"{name}_{head}.w"]).reshape(-1, pairs) for head in heads}
        out = out + said["current"] * slope * SMALL + said["output"] * SMALL
        volts = out * self.cells.v_scale
        parts = [
            (volts - w["volt_offset"]) / w["volt_scale"],
            (said["supply"] + loads) @ w["over_pairs"] + w["cost_supply.b"],
            (power * self._joule - w["joule_offset"]) / w["joule_scale"],
        ]
        if self._latency:
            parts.insert(0, (said["latency"] @ w["over_pairs"]) * (1 / pairs) + w["cost_latency.b"])
        return concat(parts, 1)


def _horner(terms: list[Tensor], g: Tensor) -> Tensor:
    """Return terms[0] g + terms[1] g^2 + ..."""
    total = terms[-1] * g
    for term in reversed(terms[:-1]):
        total = (total + term) * g
    return total


class _LeastSquares:
    """The constants as one vector; cells as coefficients of Legendre polynomials, which can be told apart."""

    def __init__(self, net: CellSum, w: dict[str, Rows], z: Rows, volts: Floats, power: Floats) -> None:
        import torch

        self._torch, self._net = torch, net
        self._w = {name: torch.from_numpy(value.astype(np.float64)) for name, value in w.items()}
        self._to_powers = [_to_powers(shape) for shape in (CURRENT, LOAD)]
        self._parts = [
            tuple(torch.from_numpy(each.astype(np.float64)) for each in part)
            for part in zip(*(np.array_split(a, -(-len(z) // PART)) for a in (z, volts, power)), strict=True)
        ]
        self._spread = float(volts.std()), float(power.std()) / ENERGY_WEIGHT
        self._start = self.start()

    def start(self) -> Floats:
        """Return the vector that makes the initial weights."""
        blocks = self._blocks(self._w["cells"].numpy())
        cells = [
            np.linalg.solve(g.T, block) @ np.linalg.inv(v)
            for (g, v), block in zip(self._to_powers, blocks, strict=True)
        ]
        constants = [self._w[name].numpy().ravel() for name in LEARNED]
        return np.concatenate([*(each.ravel() for each in cells), *constants])

    def weights(self, vector: Tensor) -> dict[str, Tensor]:
        """Return all weights, those of the vector in the place of their initial values."""
        torch, w, place, blocks = self._torch, dict(self._w), 0, []
        width = w["cells"].shape[1]
        for (g, v), (n_g, n_v), first in zip(self._to_powers, (CURRENT, LOAD), (1, 0), strict=True):
            block = vector[place : place + n_g * n_v].reshape(n_g, n_v)
            block = torch.from_numpy(g).T @ block @ torch.from_numpy(v)
            blocks.append(torch.nn.functional.pad(block, (first, width - first - n_v)))
            place += n_g * n_v
        w["cells"] = torch.cat(blocks)
        for name in LEARNED:
            w[name] = vector[place : place + 1].reshape(1, 1)
            place += 1
        return w

    def weights_of(self, vector: Floats) -> dict[str, Floats]:
        """Return the weights that a vector makes."""
        w = self.weights(self._torch.from_numpy(vector))
        return {name: w[name].numpy() for name in ("cells", *LEARNED)}

    def residuals(self, vector: Floats) -> Floats:
        """Return errors of outputs and input power, in spreads, and of the vector against its start."""
        with self._torch.no_grad():
            at = self._torch.from_numpy(vector)
            errors = [self._residual(at, *part).numpy() for part in self._parts]
        return np.concatenate([*errors, PRIOR * (vector - self._start)])

    def jacobian(self, vector: Floats) -> Floats:
        """Return the derivatives of the residuals."""
        at = self._torch.from_numpy(vector)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torch warns of its own use of torch.jit
            forward: Callable[..., Any] = self._torch.func.jacfwd(self._residual)
            slopes = [forward(at, *part).numpy() for part in self._parts]
        return np.concatenate([*slopes, PRIOR * np.eye(len(vector))])

    def _residual(self, vector: Tensor, z: Tensor, volts: Tensor, power: Tensor) -> Tensor:
        out, _, spent, _ = self._net.physics(self.weights(vector), z)
        off = (out * self._net.cells.v_scale - volts) / self._spread[0], (spent - power) / self._spread[1]
        return self._torch.cat([each.reshape(-1) for each in off])

    def _blocks(self, table: Floats) -> list[Floats]:
        """Return the tables of current and load without their empty columns."""
        return [table[: CURRENT[0], 1 : CURRENT[1] + 1], table[CURRENT[0] :, : LOAD[1]]]


def _to_powers(shape: tuple[int, int]) -> list[Floats]:
    """Return, for each axis, the coefficients of the powers of x in each Legendre polynomial of 2 x - 1."""
    tables: list[NDArray[np.float64]] = []
    for n in shape:
        table = np.zeros((n, n))
        for degree in range(n):
            series = Legendre.basis(degree, domain=[0, 1]).convert(kind=Polynomial).coef
            table[degree, : len(series)] = series
        tables.append(table)
    return tables


class CellSumFamily:
    """The physical one; needs the extra `torch` to train."""

    name: ClassVar[str] = "cellsum"
    requires: ClassVar[tuple[str, ...]] = ("torch", "onnx")
    teacher: ClassVar[str] = ""
    residual: ClassVar[bool] = False
    arrays: ClassVar[bool] = True

    def fit(self, frame: Frame, train: Table, selection: Table, effort: Effort) -> StepModel:
        """Fit the constants to some steps, then the small networks to all."""
        with one_thread():
            return self._fitted(frame, train, effort)

    def _fitted(self, frame: Frame, train: Table, effort: Effort) -> StepModel:
        start = time.monotonic()
        net = CellSum(cell_array(frame.design.layout.spec), frame)
        rng = np.random.default_rng(effort.seed)
        w = net.initial(rng)
        some = np.sort(rng.permutation(len(train.x))[:FITTED_STEPS])
        effort.progress(0.0, f"least squares on {len(some)} steps")
        z = frame.design.standardise(train.x[some])
        problem = _LeastSquares(net, w, z, *net.measured(train.y[some]))
        found = least_squares(
            problem.residuals, problem.start(), problem.jacobian, x_scale="jac", ftol=1e-3, max_nfev=15
        )
        w |= {name: np.asarray(value, np.float32) for name, value in problem.weights_of(found.x).items()}
        fixed = [name for name in w if not name.startswith(tuple(HEADS))]
        left = replace(effort, budget_s=effort.budget_s - (time.monotonic() - start))
        trained, notes = fit_array(net.forward, w, frame, train, left, SCHEDULE, fixed)
        return ArrayModel(net.forward, trained, {"constants": len(found.x), **notes})


FAMILY = CellSumFamily()

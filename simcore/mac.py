"""Closed form of a crossbar row: an ideal multiply-accumulate that settles within its period.

Cells of conductance g+ = g_off + (g_on - g_off) max(w, 0) and g- likewise for -w connect the inputs u to two
columns that end in resistors; the bias cell is driven by `bias_v`. With sums over inputs and bias:

    v+- = sum(g+- u) / (g_sense + sum(g+-)),  t = gain (v+ - v-) / (1 + gain / loop_gain)
    out = clip(t, -v_sat, v_sat) (1 - (bend + bend_gain gain) exp(-d / (knee_v + knee_gain_v gain)))

with d = ||t| - v_sat|, the distance from the rail.
"""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from simcore import clock
from simcore.bank import Floats, StepResult
from simcore.spec import CircuitSpec, PortKind, Record


class MacConstants(Record):
    """Constants of `model = "mac"`."""

    source: str
    """Where the constants come from."""
    g_on_s: float
    """Conductance of a cell of weight 1, access transistor included."""
    g_off_s: float
    """Conductance of a cell of weight 0, and of the other column's cell of weight 1."""
    g_sense_s: float
    """Conductance of the resistor at the end of a column."""
    bias_v: float
    """Level that drives the bias cell."""
    loop_gain: float
    """Open-loop gain of the amplifier."""
    v_sat_v: float
    """Largest output voltage."""
    bend: float = 0.0
    """Share of the output that is missing where the line meets the rail, at gain 0."""
    bend_gain: float = 0.0
    """The same, per unit of gain."""
    knee_v: float = 1.0
    """Distance from the rail over which the bend fades, at gain 0."""
    knee_gain_v: float = 0.0
    """The same, per unit of gain."""
    static_w: float
    """Supply power of a row at rest."""
    output_c_f: float
    """Capacitance behind `output_c_f x v_sat x |swing|`, the supply energy of an output change."""
    latency_s: float
    """Time to the event where the output changes."""


class MacModel:
    """`model = "mac"`: ports `in`, `w`, `wb`, `gain`, states `v_amp`, `v_pos`, `v_neg`, one output."""

    constants_type: ClassVar[type[Record]] = MacConstants

    def __init__(self, spec: CircuitSpec, params: Floats, constants: MacConstants) -> None:
        c = self._c = constants
        names = {port.name: port for port in spec.of(PortKind.PARAM)}
        columns = spec.columns(PortKind.PARAM)
        w = params[:, [columns.index(name) for name in names["w"].columns]]
        wb = params[:, columns.index("wb"), None]
        self._gain = params[:, columns.index("gain")]
        cells = np.concatenate([w, wb], axis=1)
        self._g = tuple(
            c.g_off_s + (c.g_on_s - c.g_off_s) * np.maximum(sign * cells, 0.0) for sign in (1, -1)
        )
        self._reset_inputs = spec.reset_inputs
        detector = spec.of(PortKind.OUTPUT)[0].detector
        self._min_swing_v = (detector and detector.min_swing) or 0.0
        self._period_s = clock.seconds(spec.period_ps)
        self._states = spec.columns(PortKind.STATE)
        self.reset()

    def reset(self) -> Floats:
        """Settle every row with its inputs at their reset level."""
        everyone = np.arange(len(self._gain))
        inputs = np.broadcast_to(self._reset_inputs, (len(everyone), len(self._reset_inputs)))
        self._out_v = self._settle(everyone, inputs)[0]
        return self._out_v[:, None].copy()

    def period(self, units: NDArray[np.int64], inputs: Floats, idle: bool) -> StepResult:
        """Settle some rows at their new levels."""
        c = self._c
        out_v, columns_v, input_w = self._settle(units, inputs)
        known = {"v_amp": out_v, "v_pos": columns_v[0], "v_neg": columns_v[1]}
        swing_v = np.abs(out_v - self._out_v[units])
        self._out_v[units] = out_v
        fired = swing_v >= self._min_swing_v
        return StepResult(
            outputs=out_v[:, None],
            state=np.stack([known[name] for name in self._states], axis=1),
            fired=fired,
            supply_j=c.static_w * self._period_s + c.output_c_f * c.v_sat_v * swing_v,
            input_j=input_w * self._period_s,
            latency_s=np.where(fired, c.latency_s, np.nan),
        )

    def _settle(self, units: NDArray[np.int64], inputs: Floats) -> tuple[Floats, list[Floats], Floats]:
        """Return the settled output, both column voltages and the power of the inputs, each (k,)."""
        c = self._c
        levels_v = np.concatenate([inputs, np.full((len(units), 1), c.bias_v)], axis=1)
        columns_v, power_w = [], np.zeros(len(units))
        for conductance in self._g:
            g = conductance[units]
            column_v = (g * levels_v).sum(axis=1) / (c.g_sense_s + g.sum(axis=1))
            power_w += (g[:, :-1] * inputs * (inputs - column_v[:, None])).sum(axis=1)
            columns_v.append(column_v)
        return self._amplify(columns_v[0] - columns_v[1], self._gain[units]), columns_v, power_w

    def _amplify(self, difference_v: Floats, gain: Floats) -> Floats:
        """Return the output: a line that bends into the rails."""
        c = self._c
        line_v = gain * difference_v / (1.0 + gain / c.loop_gain)
        distance_v = np.abs(np.abs(line_v) - c.v_sat_v)
        bend = (c.bend + c.bend_gain * gain) * np.exp(-distance_v / (c.knee_v + c.knee_gain_v * gain))
        out_v: Floats = line_v.clip(-c.v_sat_v, c.v_sat_v) * (1.0 - bend)
        return out_v

"""Closed form of a leaky integrate-and-fire neuron, one clock period at a time.

At the start of a period a unit of membrane voltage v and adaptation a gets the weight w (0 where none):

    q     = v + gain w
    fired = q > v_th
    v'    = v_reset if fired, else clip((1 - leak_rate) clip(q, v_min, v_max) - leak - adapt a, v_min, v_max)
    a'    = 1 if fired, else a     (nothing discharges the adaptation capacitor; one spike fills it)

The same function serves numpy arrays and torch tensors, so that networks are trained on this very neuron.
"""

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from simcore.bank import Floats, StepResult
from simcore.spec import CircuitSpec, PortKind, Record


class LifConstants(Record):
    """Constants of `model = "lif"`, fitted on a recording of the circuit."""

    source: str
    """Where the constants come from."""
    gain_v: float
    """Membrane step per unit of event weight."""
    v_th_v: float
    """Firing threshold."""
    v_reset_v: float
    """Membrane voltage at the end of a step with a spike."""
    v_min_v: float
    v_max_v: float
    leak_v: float
    """Fall of the membrane voltage per period, constant part."""
    leak_rate: float = Field(ge=0, lt=1)
    """Share of the membrane voltage that is lost per period."""
    adapt_v: float
    """Extra fall per period once the neuron has fired."""
    active_j: float
    """Supply energy of a step with a spike, at weight 0."""
    active_weight_j: float
    """The same, per unit of positive weight."""
    quiet_j: float
    """Supply energy of a step with an event that does not fire."""
    idle_j: float
    """Supply energy of a period without event."""
    charge_j: float
    """Input energy per volt by which a positive event lifts the membrane."""
    excess_j: float
    """Input energy per volt by which it would lift the membrane beyond v_max."""
    latency_s: float
    """Latency at an overdrive of 1 V."""
    latency_log_s: float
    """Latency is `latency_s - latency_log_s x ln(overdrive / 1 V)`, within the two bounds below."""
    latency_min_s: float
    latency_max_s: float


class LifState(NamedTuple):
    """Membrane voltage and adaptation; arrays or tensors of one shape."""

    v: Any
    a: Any


def lif_period(
    c: LifConstants, state: LifState, weight: Any, spike: Callable[[Any], Any]
) -> tuple[LifState, Any, Any]:
    """Advance by one period; return the new state, what fired (0.0 or 1.0) and the overdrive q - v_th.

    `spike` turns the overdrive into 0.0 or 1.0 (in training with a surrogate gradient).
    """
    lifted = state.v + c.gain_v * weight
    overdrive = lifted - c.v_th_v
    fired = spike(overdrive)
    rest = (1.0 - c.leak_rate) * lifted.clip(c.v_min_v, c.v_max_v) - c.leak_v - c.adapt_v * state.a
    v = rest.clip(c.v_min_v, c.v_max_v) * (1.0 - fired) + c.v_reset_v * fired
    return LifState(v, state.a + (1.0 - state.a) * fired), fired, overdrive


class LifModel:
    """`model = "lif"`: state column `v_mem` is the membrane voltage, the others stay at 0."""

    constants_type: ClassVar[type[Record]] = LifConstants

    def __init__(self, spec: CircuitSpec, params: Floats, constants: LifConstants) -> None:
        self._c = constants
        self._n = len(params)
        columns = spec.columns(PortKind.STATE)
        self._n_state, self._n_out = len(columns), spec.width(PortKind.OUTPUT)
        self._v_column = columns.index("v_mem") if "v_mem" in columns else None
        self.reset()

    def reset(self) -> Floats:
        """Put every membrane at 0 V, without adaptation."""
        self._state = LifState(np.zeros(self._n), np.zeros(self._n))
        return np.zeros((self._n, self._n_out))

    def period(self, units: NDArray[np.int64], inputs: Floats, idle: bool) -> StepResult:
        """Advance some units by one period; an idle unit gets weight 0 and cannot fire."""
        c, weight = self._c, inputs[:, 0] * (not idle)
        before = LifState(*(column[units] for column in self._state))
        after, spikes, overdrive = lif_period(c, before, weight, threshold)
        for column, values in zip(self._state, after, strict=True):
            column[units] = values
        fired = spikes > 0.0
        state = np.zeros((len(units), self._n_state))
        if self._v_column is not None:
            state[:, self._v_column] = after.v
        return StepResult(
            outputs=np.zeros((len(units), self._n_out)),
            state=state,
            fired=fired,
            supply_j=np.full(len(units), c.idle_j) if idle else self._driven_j(weight, fired),
            input_j=self._input_j(before.v, weight),
            latency_s=self._latency_s(overdrive, fired),
        )

    def _driven_j(self, weight: Floats, fired: NDArray[np.bool_]) -> Floats:
        active_j = self._c.active_j + self._c.active_weight_j * np.maximum(weight, 0.0)
        return np.where(fired, active_j, self._c.quiet_j)

    def _input_j(self, before: Floats, weight: Floats) -> Floats:
        c = self._c
        rise_v, excess_v = rises(c, before, weight)
        return c.charge_j * rise_v + c.excess_j * excess_v

    def _latency_s(self, overdrive: Floats, fired: NDArray[np.bool_]) -> Floats:
        c = self._c
        latency_s = c.latency_s - c.latency_log_s * np.log(np.where(fired, overdrive, 1.0))
        return np.where(fired, latency_s.clip(c.latency_min_s, c.latency_max_s), np.nan)


def rises(c: LifConstants, before: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Return by how much positive events lift the membrane, and would lift it beyond v_max, in V."""
    lift_v = c.gain_v * np.maximum(weight, 0.0)
    rise_v = np.minimum(lift_v, np.maximum(c.v_max_v - before, 0.0))
    return rise_v, lift_v - rise_v


def threshold(overdrive: Floats) -> Floats:
    """Return 1.0 where the overdrive is positive, else 0.0."""
    return (overdrive > 0.0).astype(np.float64)

"""Closed form of a leaky integrate-and-fire neuron, one clock period at a time.

In each period a unit with membrane voltage v, refractory state r and adaptation a gets the event weight w:

    peak  = clip(v + gain w (1 - refractory r), v_min, v_max)
    fired = peak > v_th
    v'    = v_reset if fired, else clip(peak - leak - a, v_min, v_max)
    r'    = 1 if fired, else 0
    a'    = decay (a + jump fired)

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
    """Fall of the membrane voltage per period."""
    refractory: float = 0.0
    """Share of an event that is lost in the step after a spike."""
    adapt_jump_v: float = 0.0
    """Extra leak per period that each spike adds."""
    adapt_decay: float = Field(default=0.0, ge=0, lt=1)
    """Share of the extra leak that is left after a period."""
    active_j: float
    """Supply energy of a step with event and spike."""
    quiet_j: float
    """Supply energy of a step with an event that does not fire."""
    idle_j: float
    """Supply energy of a period without event."""
    active_weight_j: float = 0.0
    """Supply energy per unit of positive weight, on top, where a spike is fired."""
    quiet_weight_j: float = 0.0
    """The same where none is fired."""
    input_weight_j: float
    """Energy of the input source per unit of positive weight."""
    latency_s: float
    """Latency of a spike far above threshold."""
    latency_v_s: float = 0.0
    """Latency x overdrive: the latency is `latency_s + latency_v_s / (peak - v_th)` or `latency_max_s`."""
    latency_max_s: float


class LifState(NamedTuple):
    """Membrane voltage, refractory state and adaptation; arrays or tensors of one shape."""

    v: Any
    r: Any
    a: Any


def lif_period(
    c: LifConstants, state: LifState, weight: Any, spike: Callable[[Any], Any]
) -> tuple[LifState, Any, Any]:
    """Advance by one period; return the new state, what fired (0.0 or 1.0) and the overdrive peak - v_th.

    `spike` turns the overdrive into 0.0 or 1.0 (in training with a surrogate gradient).
    """
    peak = (state.v + c.gain_v * weight * (1.0 - c.refractory * state.r)).clip(c.v_min_v, c.v_max_v)
    overdrive = peak - c.v_th_v
    fired = spike(overdrive)
    rest = (peak - c.leak_v - state.a).clip(c.v_min_v, c.v_max_v)
    v = rest * (1.0 - fired) + c.v_reset_v * fired
    return LifState(v, fired, c.adapt_decay * (state.a + c.adapt_jump_v * fired)), fired, overdrive


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
        self._state = LifState(*(np.zeros(self._n) for _ in LifState._fields))
        return np.zeros((self._n, self._n_out))

    def period(self, units: NDArray[np.int64], inputs: Floats, idle: bool) -> StepResult:
        """Advance some units by one period; an idle unit gets weight 0 and cannot fire."""
        c, weight = self._c, inputs[:, 0] * (not idle)
        before = LifState(*(column[units] for column in self._state))
        after, _, overdrive = lif_period(c, before, weight, _threshold)
        fired = after.r > 0.0
        for column, values in zip(self._state, after, strict=True):
            column[units] = values
        drive = np.maximum(weight, 0.0)
        driven_j = np.where(
            fired, c.active_j + c.active_weight_j * drive, c.quiet_j + c.quiet_weight_j * drive
        )
        latency_s = c.latency_s + c.latency_v_s / np.where(fired, overdrive, 1.0)
        state = np.zeros((len(units), self._n_state))
        if self._v_column is not None:
            state[:, self._v_column] = after.v
        return StepResult(
            outputs=np.zeros((len(units), self._n_out)),
            state=state,
            fired=fired,
            supply_j=np.full(len(units), c.idle_j) if idle else driven_j,
            input_j=c.input_weight_j * drive,
            latency_s=np.where(fired, np.minimum(latency_s, c.latency_max_s), np.nan),
        )


def _threshold(overdrive: Floats) -> Floats:
    return (overdrive > 0.0).astype(np.float64)

"""The static test circuit `divider` in closed form: an oracle for ngspice, and data without it."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simcore.bank import Floats, Raster, RasterResult, StepResult
from simcore.manifest import load_circuit
from simcore.spec import CircuitSpec

FOLDER = Path(__file__).parent / "circuits" / "divider"
R_IN, R_BIT, R_VDD, R_SUPPLY, BIAS_A, C_F = 10e3, 20e3, 50e3, 1e6, 2e-6, 50e-15
RISE_S, SAMPLE_BEFORE_END_S = 100e-12, 1e-12
SMALLEST_CHANGE_V = 0.01
"""Of `out`, that makes an event: `half` then changes by its min_swing of 0.005 V."""


def divider() -> CircuitSpec:
    """A loaded node, fed by two inputs, a supply and a bias current."""
    return load_circuit(str(FOLDER))


def out_v(inputs: Floats, load: Floats) -> Floats:
    """Return the voltage of `out`, (n,), for inputs (n, 2)."""
    into_a = inputs[:, 0] / R_IN + inputs[:, 1] / R_BIT + 1 / R_VDD + BIAS_A
    return np.asarray(into_a / _conductance(load))


def steps(inputs: Floats, before: Floats, load: Floats, duration_ps: NDArray[np.int64]) -> StepResult:
    """Return what n steps do, each settled at the inputs `before` at its start; the inputs ramp together."""
    out, duration_s = out_v(inputs, load), duration_ps * 1e-12
    supply_w = (1 - out) / R_VDD + 1 / R_SUPPLY + out * BIAS_A
    input_w = inputs[:, 0] * (inputs[:, 0] - out) / R_IN + inputs[:, 1] * (inputs[:, 1] - out) / R_BIT
    fired = np.abs(out - out_v(before, load)) >= SMALLEST_CHANGE_V
    return StepResult(
        outputs=np.column_stack([out, out / 2]),
        state=np.zeros((len(out), 0)),
        fired=fired,
        supply_j=supply_w * duration_s,
        input_j=input_w * duration_s,
        latency_s=np.where(fired, _settled_s(load, duration_s), np.nan),
    )


def replayed(spec: CircuitSpec, raster: Raster, *, timed: bool) -> RasterResult:
    """Return what a raster does; latencies only where they are measured."""
    before = np.vstack([spec.reset_inputs, raster.inputs[:-1]])
    result = steps(raster.inputs, before, raster.params, raster.duration_ps)
    if not timed:
        result.latency_s[:] = np.nan
    rest = out_v(spec.reset_inputs[None], raster.params)
    return RasterResult(np.zeros(0), np.concatenate([rest, rest / 2]), result)


def _conductance(load: Floats) -> Floats:
    return 1 / R_IN + 1 / R_BIT + 1 / R_VDD + 1 / load


def _settled_s(load: Floats, duration_s: Floats) -> Floats:
    """Return when 90 % of the change until the sample has passed: a ramp into an RC."""
    tau = C_F / _conductance(load)
    risen = 1 - tau / RISE_S * (1 - np.exp(-RISE_S / tau))
    at_sample = 1 - (1 - risen) * np.exp(-(duration_s - SAMPLE_BEFORE_END_S - RISE_S) / tau)
    return np.asarray(RISE_S + tau * np.log((1 - risen) / (1 - 0.9 * at_sample)))

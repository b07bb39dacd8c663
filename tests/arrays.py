"""The MAC block in closed form: cells of sinh(4 v), an ideal inverting stage, a real output stage."""

from pathlib import Path

import numpy as np

from simcore.bank import Floats, Raster, RasterResult, StepResult
from simcore.manifest import load_circuit
from simcore.recording import Recording
from simcore.spec import CircuitSpec
from spice_ref.stimuli import draw_raster

STAGE_S, GAIN, LIMIT_V, KNEE_V = 2e-3, 1000.0, 0.78, 0.1
VDD_V, QUIESCENT_W = 0.8, 1.6e-4


def block(tiles: int, rows: int, columns: int) -> CircuitSpec:
    """The shipped circuit in a size."""
    return load_circuit("rram_mac", sizes={"tiles": tiles, "rows": rows, "columns": columns})


def replayed(spec: CircuitSpec, raster: Raster, *, timed: bool) -> RasterResult:
    """Return what a raster does; latencies only where they are measured."""
    lines, pairs = len(spec.reset_inputs), spec.sizes["columns"] // 2
    r_f, v_os = raster.params[:2]
    g = raster.params[2:].reshape(2, pairs, lines)
    out, watts, inverting = _settled(raster.inputs, g, r_f, v_os)
    rest, _, _ = _settled(spec.reset_inputs[None], g, r_f, v_os)
    change = np.abs(np.diff(out, axis=0, prepend=rest)).max(axis=1)
    fired = change >= 0.02
    duration_s = raster.duration_ps * 1e-12
    supply_w = QUIESCENT_W + VDD_V * (2 * inverting + np.abs(out) / r_f).sum(axis=1)
    latency_s = np.where(fired & timed, 1e-9, np.nan)
    none = np.zeros((len(out), 0))
    steps = StepResult(out, none, fired, supply_w * duration_s, watts * duration_s, latency_s)
    return RasterResult(np.zeros(0), rest[0], steps)


def _settled(v: Floats, g: Floats, r_f: float, v_os: float) -> tuple[Floats, Floats, Floats]:
    """Return outputs (n, pairs), power of the inputs (n,), currents of the inverting stages (n, pairs)."""
    bent = np.sinh(4 * v) / 4
    current = np.einsum("nl,spl->spn", bent, g)
    node = np.einsum("nl,pl->pn", np.cosh(4 * v), g[1]) + STAGE_S + 1 / r_f
    line = (v_os * node + current[0] - current[1]) / (node / GAIN + 1 / r_f)
    out = 0.5 * (np.hypot(line + LIMIT_V, KNEE_V) - np.hypot(line - LIMIT_V, KNEE_V))
    return out.T, np.einsum("nl,nl,spl->n", v, bent, g), current[0].T


def record(path: Path, spec: CircuitSpec, runs: int, steps: int) -> Path:
    """Record uniform runs."""
    with Recording(path, spec, {"made_by": "the closed form"}) as recording:
        for run in range(runs):
            kind, raster = draw_raster(spec, run, steps, 1, "uniform")
            recording.append(run, kind, raster, replayed(spec, raster, timed=run % 4 == 0), 0.0)
    return path

"""Two small circuits in closed form, and recordings of them: fast data for the surrogate tests."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcore.bank import Raster, RasterResult, StepResult
from simcore.recording import Recording
from simcore.spec import CircuitSpec

Floats = NDArray[np.float64]
PERIOD_PS = 5000
SOLVER = {"std": {"tmax_ps": 500, "tstep_ps": 100}}


def fake_spec(name: str, ports: list[dict[str, Any]], **changes: Any) -> CircuitSpec:
    """Return a spec without netlist; `changes` replace fields."""
    fields: dict[str, Any] = {
        "name": name, "subckt": name, "period_ps": PERIOD_PS, "tail_periods": 2, "max_idle_periods": 128,
        "source": "closed form", "ports": ports, "sources": {}, "solver": SOLVER,
        "netlist": "", "folder": "", "hash": f"{name}-{'0' * 60}",
    }  # fmt: skip
    return CircuitSpec.model_validate(fields | changes, strict=False)


def lif_spec(**changes: Any) -> CircuitSpec:
    """A leaky integrate-and-fire neuron with a spike-driven adaptation."""
    ports = [
        {"name": "w", "kind": "input", "unit": "V", "low": -2.0, "high": 4.0, "stimulus": "pulse",
         "width_ps": 900, "rise_ps": 100, "reset": 0.0},
        {"name": "V_leak", "kind": "param", "unit": "V", "low": 0.4, "high": 0.8, "default": 0.5},
        {"name": "v_mem", "kind": "state", "unit": "V", "low": -0.1, "high": 1.5},
        {"name": "v_ca", "kind": "state", "unit": "V", "low": 0.0, "high": 1.0},
        {"name": "spike", "kind": "output", "unit": "V", "low": 0.0, "high": 1.5,
         "detector": {"kind": "crossing", "threshold": 0.75}},
    ]  # fmt: skip
    return fake_spec("fake_lif", ports, **{"features": {"v_peak": "v_mem + 0.5 * w"}} | changes)


def crossbar_spec(rows: int = 6, **changes: Any) -> CircuitSpec:
    """A row of ternary weights with a bounded output."""
    ports = [
        {"name": "in", "kind": "input", "unit": "V", "low": 0.0, "high": 0.8, "stimulus": "level",
         "rise_ps": 100, "reset": 0.0, "size": rows},
        {"name": "gain", "kind": "param", "low": 10.0, "high": 40.0, "default": 30.0},
        {"name": "w", "kind": "param", "low": -1.0, "high": 1.0, "default": 0.0, "size": rows},
        {"name": "v_out", "kind": "state", "unit": "V", "low": -0.8, "high": 0.8},
        {"name": "out", "kind": "output", "unit": "V", "low": -0.8, "high": 0.8,
         "detector": {"kind": "settled", "min_swing": 0.02}},
    ]  # fmt: skip
    features = {
        "g": "4.9e-6 + 7.8e-6 * max(w, 0)",
        "i_sum": "sum(g * in)",
        "power": "sum(g * square(in))",
        "drive": "0.4 * gain * sum(w * in) / 30",
        "bent": "tanh(drive)",
    }
    return fake_spec("fake_crossbar", ports, **{"features": features, "sizes": {"rows": rows}} | changes)


@dataclass
class FakeLif:
    """Equations of the neuron, one unit."""

    v_leak: float
    v_mem: float = 0.0
    v_ca: float = 0.0

    def reset(self) -> tuple[Floats, Floats]:
        self.v_mem, self.v_ca = self._rest(), 0.0
        return np.array([self.v_mem, self.v_ca]), np.zeros(1)

    def step(self, w: float, periods: float, idle: bool) -> tuple[Any, ...]:
        fired, latency, supply, charge = False, np.nan, 0.4e-15 * periods, 0.0
        if not idle:
            before = self.v_mem
            peak = self.v_mem + 0.5 * w
            self.v_mem = 1.45 * np.tanh(peak / 1.45) if peak > 0 else max(0.2 * peak, -0.1)
            charge = 1e-12 * max(w, 0.0) * (1.5 - before) * 0.4
            fired = self.v_mem > 0.8 + 0.4 * self.v_ca
            supply += 20e-15 + 30e-15 * abs(w)
            if fired:
                over = self.v_mem - 0.8 - 0.4 * self.v_ca
                latency = 0.7e-9 + 0.3e-9 / (0.2 + over)
                supply += 300e-15 + 40e-15 * over
                self.v_mem, self.v_ca = 0.02 * self.v_mem, self.v_ca + 0.25 * (1 - self.v_ca)
        rest = self._rest()
        self.v_mem = rest + (self.v_mem - rest) * np.exp(-periods * 0.25 * (self.v_leak / 0.5) ** 2)
        self.v_ca *= np.exp(-periods / 8)
        return np.zeros(1), np.array([self.v_mem, self.v_ca]), fired, supply, charge, latency

    def _rest(self) -> float:
        return 0.02 + 0.1 * (0.8 - self.v_leak)


@dataclass
class FakeCrossbar:
    """Equations of the row, one unit."""

    gain: float
    w: Floats
    v_out: float = 0.0

    def reset(self) -> tuple[Floats, Floats]:
        self.v_out = 0.0
        return np.zeros(1), np.zeros(1)

    def step(self, inputs: Floats, periods: float, idle: bool) -> tuple[Any, ...]:
        before, duration_s = self.v_out, periods * PERIOD_PS * 1e-12
        self.v_out = 0.8 * float(np.tanh(0.4 * self.gain * np.sum(self.w * inputs) / 30))
        swing = abs(self.v_out - before)
        g = 4.9e-6 + 7.8e-6 * np.maximum(self.w, 0)
        supply = 35e-6 * duration_s + 150e-15 * swing
        charge = float(np.sum(g * inputs**2)) * duration_s
        fired = swing >= 0.02
        latency = (0.3e-9 + 1e-9 * swing + 5e-12 * self.gain) if fired else np.nan
        out = np.array([self.v_out])
        return out, out, fired, supply, charge, latency


def record_fake(path: Path, spec: CircuitSpec, runs: int, steps: int, seed: int = 0) -> Path:
    """Record random runs of a fake circuit."""
    with Recording(path, spec, {"made_by": "fakes"}) as recording:
        for run in range(runs):
            rng = np.random.default_rng([seed, run])
            raster = _raster(spec, steps, rng)
            recording.append(run, "random", raster, _respond(spec, raster), 0.0)
    return path


def _raster(spec: CircuitSpec, steps: int, rng: np.random.Generator) -> Raster:
    is_lif = spec.name == "fake_lif"
    rows = 1 if is_lif else spec.sizes["rows"]
    idle = rng.random(steps) < 0.35
    periods = np.where(idle & (rng.random(steps) < 0.5), np.exp(rng.uniform(0, np.log(128), steps)), 1)
    inputs = rng.uniform(-1, 3, (steps, 1)) if is_lif else rng.uniform(0, 0.8, (steps, rows))
    held = np.zeros(rows)
    for step in range(steps):
        inputs[step] = held if idle[step] else inputs[step]
        held = held if is_lif else inputs[step]
    if is_lif:
        params = rng.uniform(0.4, 0.8, 1)
    else:
        params = np.concatenate([rng.uniform(10, 40, 1), rng.integers(-1, 2, rows)])
    return Raster(params, periods.astype(np.int64) * spec.period_ps, inputs, idle)


def _respond(spec: CircuitSpec, raster: Raster) -> RasterResult:
    is_lif = spec.name == "fake_lif"
    unit: Any = FakeLif(raster.params[0]) if is_lif else FakeCrossbar(raster.params[0], raster.params[1:])
    state, outputs = unit.reset()
    rows = []
    for inputs, duration, idle in zip(raster.inputs, raster.duration_ps, raster.idle, strict=True):
        rows.append(unit.step(inputs[0] if is_lif else inputs, duration / spec.period_ps, bool(idle)))
    out, after, fired, supply, charge, latency = (np.array(column) for column in zip(*rows, strict=True))
    return RasterResult(state, outputs, StepResult(out, after, fired, supply, charge, latency))

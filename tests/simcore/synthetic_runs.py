"""Runs made of random numbers, stored through the real ledger and writer: no bank, no solver."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from simcore.bank import StepInput, StepResult
from simcore.compare import Comparison, _figures
from simcore.digital import COMPONENTS
from simcore.idle import Call, Rows
from simcore.ledger import Ledger
from simcore.result import RunResult
from simcore.result_writer import BatchResult, ResultWriter

PERIOD_PS = 5000
N_STEPS = 30


@dataclass(frozen=True)
class FakeLayer:
    name: str
    n_units: int
    is_level: bool = False
    is_encoder: bool = False
    scale_j: float = 1e-12
    idle_noise: float = 1.0
    """Relative error of idle energies, in units of the run's own error."""


LAYERS = (
    FakeLayer("input", 64, is_encoder=True, scale_j=3e-14),
    FakeLayer("hidden", 32, scale_j=2e-12, idle_noise=40.0),
    FakeLayer("tile", 24, is_level=True, scale_j=8e-12),
    FakeLayer("output", 10, scale_j=1e-12),
)


def make_run(
    directory: Path,
    backend: str,
    *,
    error: float = 0.0,
    n_samples: int = 4,
    traced: bool = True,
    cpu_s: float = 1.5,
) -> RunResult:
    """Write a run whose energies and latencies are off by `error` (relative, random)."""
    ledger = Ledger({layer.name: layer.n_units for layer in LAYERS}, n_samples, traced)
    truth, noise = np.random.default_rng(1), np.random.default_rng(3 if error else 2)
    for step in range(N_STEPS):
        for layer in LAYERS:
            driven = truth.random(n_samples * layer.n_units) < 0.4
            for idle in (False, True):
                rows = np.flatnonzero(driven != idle)
                call, result = _step(truth, layer, len(rows), step, idle)
                at = ledger.places(layer.name)[rows]
                ledger.record(at, Rows.of([call]), _blurred(result, noise, error, layer, idle), PERIOD_PS)
    ledger.digital(
        {
            ("hidden", "accumulate"): np.full(n_samples, 900.0),
            ("hidden", "weight_read"): np.full(n_samples, 900.0),
        }
    )
    ledger.digital({("tile", "adc"): np.full(n_samples, 24.0 * N_STEPS)})
    labels = np.arange(n_samples) % 10
    scores = np.eye(10)[labels] + 0.1 * truth.random((n_samples, 10))
    counters = {layer.name: {"out_of_range": np.full(n_samples, index)} for index, layer in enumerate(LAYERS)}
    writer = ResultWriter(directory, provenance(backend, cpu_s))
    totals = ledger.totals()
    behind = {
        name: {
            "taken_in_s": each.last_event_s + 2e-9,
            "wait_s": np.zeros(n_samples),
            "missed": np.zeros(n_samples, np.int64),
        }
        for name, each in totals.items()
    }
    samples, duration_s = np.arange(7, 7 + n_samples), np.full(n_samples, 30e-9)
    writer.append(BatchResult(samples, labels, scores, totals, behind, duration_s, counters, ledger.trace()))
    writer.close()
    return RunResult(directory)


def make_comparison(directory: Path, **options: Any) -> Comparison:
    """Return a comparison of synthetic runs, its figures computed by simcore.compare."""
    reference = make_run(directory / "reference", "spice", cpu_s=420.0, **options)
    candidate = make_run(directory / "candidate", "surrogate", error=0.03, **options)
    aligned = make_run(directory / "aligned", "surrogate", error=0.03, **options)
    return Comparison(reference, candidate, aligned, _figures(reference, candidate, aligned))


def _step(
    rng: np.random.Generator, layer: FakeLayer, k: int, step: int, idle: bool
) -> tuple[Call, StepResult]:
    inputs = rng.random((k, 1))
    fired = np.zeros(k, dtype=bool) if idle else inputs[:, 0] > 0.7
    request = StepInput(np.arange(k), np.full(k, PERIOD_PS), inputs, idle)
    none = np.zeros(k, dtype=bool)
    energy = layer.scale_j * (
        0.03 + 0.04 * rng.random(k) + (0 if idle else 1) * inputs[:, 0] + fired * (1 + 0.5 * rng.random(k))
    )
    latency = np.where(fired, 1e-9 + 1e-9 * rng.random(k), np.nan)
    outputs = 0.8 * (2 * inputs - 1)
    result = StepResult(outputs, np.zeros((k, 0)), fired, energy, 0.1 * energy, latency)
    return Call(request, np.full(k, step), none, none, np.zeros(k, dtype=np.int64)), result


def _blurred(
    result: StepResult, rng: np.random.Generator, error: float, layer: FakeLayer, idle: bool
) -> StepResult:
    def off(factor: float = 1.0) -> np.ndarray:
        return 1 + error * factor * rng.standard_normal(len(result.fired))

    flipped = rng.random(len(result.fired)) < error / 10 * (not idle)
    fired = result.fired & ~flipped
    return replace(
        result,
        outputs=result.outputs + 0.5 * error * rng.standard_normal(result.outputs.shape),
        fired=fired,
        supply_j=result.supply_j * off(layer.idle_noise if idle else 1.0),
        latency_s=np.where(fired, result.latency_s * off(), np.nan),
    )


def provenance(backend: str, cpu_s: float) -> dict[str, Any]:
    """Return provenance as simcore.run writes it."""
    return {
        "scenario": "digits_fake",
        "architecture": "fake_mlp",
        "backend": backend,
        "dataset": "digits/test",
        "seed": 1,
        "settings": {"name": "digits_fake", "merge_idle": True, "circuits": {}},
        "started": "2025-01-01T00:00:00+00:00",
        "command": "simcore compare digits_fake.toml --set name='<b>&'",
        "python": "3.11.9",
        "machine": "x86_64",
        "versions": {"numpy": "2.0", "simpy": "4.1"},
        "wall_s": cpu_s / 2,
        "cpu_s": cpu_s,
        "layers": {layer.name: _layer_info(layer, backend) for layer in LAYERS},
        "components": {name: each.model_dump() for name, each in COMPONENTS.items()},
        "banks": [{"backend": backend, "bundle_hash": "ab12" * 16, "cpu_s": cpu_s}],
    }


def _layer_info(layer: FakeLayer, backend: str) -> dict[str, Any]:
    detector = (
        {"kind": "settled", "min_swing": 0.01} if layer.is_level else {"kind": "crossing", "threshold": 0.7}
    )
    ports = [
        {"name": "in", "kind": "input", "unit": "V", "low": 0.0, "high": 1.0},
        {"name": "out", "kind": "output", "unit": "V", "low": -0.8, "high": 0.8, "detector": detector},
    ]
    return {
        "backend": backend,
        "circuit": "crossbar_row" if layer.is_level else "lif_neuron",
        "spec": {
            "period_ps": PERIOD_PS,
            "ports": ports,
            "hash": "cd34" * 16,
            "solver": {"std": {"tmax_ps": 50}},
        },
        "n_units": layer.n_units,
        "is_encoder": layer.is_encoder,
        "parts": {"register": layer.n_units},
    }

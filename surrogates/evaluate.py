"""Hold-out figures of a bundle: one step from the reference's state, and closed loop over whole runs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcore.bank import Raster, RasterResult, StepInput, StepResult
from simcore.recording import Steps
from simcore.spec import CircuitSpec, PortKind
from surrogates.bundle import SurrogateBundle
from surrogates.features import Floats
from surrogates.runtime import SurrogateBank

Figures = dict[str, float | None]


def answered(bundle: SurrogateBundle, spec: CircuitSpec, steps: Steps) -> StepResult:
    """Return what the model says of each step when it starts from the reference's state, n rows."""
    bank = SurrogateBank(bundle, spec, steps.params)
    units = np.arange(len(steps))
    bank.set_state(units, steps.state_before)
    bank.set_outputs(units, steps.outputs_before)
    parts = []
    for idle in (False, True):
        rows = units[steps.idle == idle]
        if len(rows):
            parts.append(
                (rows, bank.step(StepInput(rows, steps.duration_ps[rows], steps.inputs[rows], idle)))
            )
    order = np.argsort(np.concatenate([rows for rows, _ in parts]))
    return StepResult(**{
        name: np.concatenate([getattr(part, name) for _, part in parts])[order]
        for name in StepResult.__slots__
    })  # fmt: skip


def one_step(bundle: SurrogateBundle, spec: CircuitSpec, steps: Steps) -> Figures:
    """Return errors of single steps that start from the reference's state."""
    result = answered(bundle, spec, steps)
    figures = step_figures(spec, steps.idle, steps, result)
    span = np.ptp(steps.state, axis=0)
    error = np.sqrt(((result.state - steps.state) ** 2).mean(axis=0)) / np.where(span > 0, span, 1.0)
    return figures | {
        f"state_{name}": float(e) for name, e in zip(spec.columns(PortKind.STATE), error, strict=True)
    }


def closed_loop(
    bundle: SurrogateBundle, spec: CircuitSpec, rasters: list[Raster], reference: Sequence[RasterResult]
) -> Figures:
    """Return errors of whole runs that the model carries on its own state from reset."""
    bank = SurrogateBank(bundle, spec, np.stack([raster.params for raster in rasters]))
    results = [answer.steps for answer in bank.replay(rasters)]
    return run_figures(
        spec, np.concatenate([r.idle for r in rasters]), results, [answer.steps for answer in reference]
    )


def run_figures(
    spec: CircuitSpec, idle: NDArray[np.bool_], results: Sequence[StepResult], expected: Sequence[StepResult]
) -> Figures:
    """Return errors of whole runs; `idle` (n,) is that of all their steps in a row."""
    joined, joined_ref = (joined_steps(parts) for parts in (results, expected))
    figures = step_figures(spec, idle, joined_ref, joined)
    pairs = list(zip(results, expected, strict=True))
    energy = np.array([[_energy(a).sum(), _energy(b).sum()] for a, b in pairs])
    figures["energy_total"] = _share(np.abs(energy[:, 0] - energy[:, 1]), energy[:, 1])
    figures["energy_bias"] = _share(energy[:, 0] - energy[:, 1], energy[:, 1])
    counts = np.array([[a.fired.sum(), b.fired.sum()] for a, b in pairs], dtype=np.float64)
    figures["behaviour"] = _share(np.abs(counts[:, 0] - counts[:, 1]), counts[:, 1])
    active = [(a, b) for a, b in pairs if a.fired.any() or b.fired.any()]
    exact = [np.array_equal(a.fired, b.fired) for a, b in active]
    figures["exact_runs"] = float(np.mean(exact)) if exact else None
    figures["score"] = _score(spec, figures)
    return figures


def step_figures(
    spec: CircuitSpec, idle: NDArray[np.bool_], reference: StepResult | Steps, result: StepResult
) -> Figures:
    """Return event, energy (by the reference's step kind), latency and output errors, as shares."""
    timed = result.fired & reference.fired & ~np.isnan(result.latency_s + reference.latency_s)
    wrong = result.fired != reference.fired
    events = int(result.fired.sum() + reference.fired.sum())
    error, energy = np.abs(_energy(result) - _energy(reference)), _energy(reference)
    kinds = {
        "active": reference.fired & ~idle, "quiet": ~reference.fired & ~idle, "idle": idle,
    }  # fmt: skip
    span = spec.high(PortKind.OUTPUT) - spec.low(PortKind.OUTPUT)
    figures: Figures = {
        "event": float(wrong.sum() / events) if events else None,
        "fired_mismatch": float(wrong.mean()),
        "latency": _share(np.abs(result.latency_s - reference.latency_s)[timed], reference.latency_s[timed]),
        "output": float(np.sqrt((((result.outputs - reference.outputs) / span) ** 2).mean())),
        "energy": _share(error, energy),
    }
    for kind, rows in kinds.items():
        figures[f"energy_{kind}"] = _share(error[rows], energy[rows])
        figures[f"energy_{kind}_of_all"] = _share(error[rows], energy)
    return figures


def parity(ours: Mapping[str, Any], native: Mapping[str, Any], span: Mapping[str, Floats]) -> Figures:
    """Compare graph and native model: 99.9th percentile of |difference| over the range, flipped events."""
    figures: Figures = {}
    for name, native_values in native.items():
        if name == "fired":
            figures["flips"] = float(np.mean((ours["fired"] > 0) != native_values))
            continue
        both = np.ones(len(native_values), dtype=np.bool_)
        if "fired" in native:
            both = (ours["fired"] > 0) == native["fired"]
        gap = np.abs(ours[name] - native_values)[both] / span[name]
        figures[name] = float(np.quantile(gap, 0.999, method="lower")) if gap.size else 0.0
    return figures


def _score(spec: CircuitSpec, figures: Figures) -> float:
    """Sum of the errors that a user sees; the family with the smallest is `best`."""
    detector = spec.of(PortKind.OUTPUT)[0].detector
    settled = detector is not None and detector.kind == "settled"
    names = ("output" if settled else "event", "energy_total", "latency")
    return float(sum(figures[name] or 0.0 for name in names))


def _energy(result: StepResult | Steps) -> Floats:
    return result.supply_j + result.input_j


def _share(error: Floats, reference: Floats) -> float | None:
    total = float(np.abs(reference).sum())
    return float(error.sum()) / total if total else None


def joined_steps(parts: Sequence[StepResult]) -> StepResult:
    """Return several results as one, row after row."""
    return StepResult(**{n: np.concatenate([getattr(p, n) for p in parts]) for n in StepResult.__slots__})

"""Fits the closed-form neuron to a recording: python -m architectures.training.calibrate_lif RECORDING.

Uses the single steps of the runs whose knobs are at the circuit's defaults, which networks run with, and
writes `closed_form.toml` into the circuit's folder.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from architectures.spiking_mlp import CIRCUIT
from simcore.bank import Floats
from simcore.closed_form import FILE
from simcore.lif import LifConstants, rises
from simcore.manifest import circuit_folder
from simcore.recording import Steps, read_recording
from simcore.spec import CircuitSpec, PortKind

V_MIN_V, V_MAX_V = 0.0, 1.5
"""The rails, between which the driver's compliance keeps the membrane."""
MIN_ROWS = 1000


def rows_at_defaults(path: Path) -> tuple[Steps, Floats, Floats]:
    """Return the single steps at default knobs, and v_mem before and after each."""
    spec, steps, _ = read_recording(path)
    at_default = (np.abs(steps.params - spec.default_params) < 1e-6).all(axis=1)
    steps = steps.take(at_default & (steps.duration_ps == spec.period_ps))
    if len(steps) < MIN_ROWS:
        raise SystemExit(
            f"{path}: {len(steps)} single steps at the default knobs, expected at least {MIN_ROWS}"
        )
    column = v_mem(spec)
    return steps, steps.state_before[:, column], steps.state[:, column]


def v_mem(spec: CircuitSpec) -> int:
    """Return the state column of the membrane."""
    return spec.columns(PortKind.STATE).index("v_mem")


def best_threshold(lifted: Floats, fired: NDArray[np.bool_]) -> float:
    """Return the threshold on the lifted membrane that mislabels the fewest steps."""
    order = np.argsort(lifted)
    wrong = np.concatenate([[0], np.cumsum(fired[order])]) + np.concatenate(
        [np.cumsum(~fired[order][::-1])[::-1], [0]]
    )
    at = int(np.argmin(wrong))
    return float(lifted[order][max(at - 1, 0) : at + 1].mean())


def has_fired(steps: Steps) -> Floats:
    """Return 1.0 for the steps before which their run has had a spike."""
    earlier = np.zeros(len(steps))
    for run in np.unique(steps.run):
        rows = np.flatnonzero(steps.run == run)
        earlier[rows[1:]] = np.maximum.accumulate(steps.fired[rows])[:-1]
    return earlier


def solve(columns: list[Floats], target: Floats) -> list[float]:
    """Return least-squares coefficients of the columns."""
    return [float(x) for x in np.linalg.lstsq(np.stack(columns, axis=1), target, rcond=None)[0]]


def fit(steps: Steps, before: Floats, after: Floats) -> LifConstants:
    """Return the constants; each part is a least-squares fit over the steps that it describes."""
    weight, fired, driven = steps.inputs[:, 0].astype(np.float64), steps.fired, ~steps.idle
    linear = ~fired & (after > 0.03) & (np.abs(weight) < 2.0) & (before + 0.8 * weight < 1.0)
    adapted = has_fired(steps)
    keep, keep_gain, leak, adapt = solve(
        [before[linear], weight[linear], -np.ones(linear.sum()), -adapted[linear]], after[linear]
    )
    gain = keep_gain / keep
    lifted = before + gain * weight
    v_th = best_threshold(lifted[driven], fired[driven])
    active, quiet, over = fired & driven, driven & ~fired, fired & driven & (lifted - v_th > 0.02)
    drive = np.maximum(weight, 0.0)
    active_j, active_weight_j = solve([np.ones(active.sum()), drive[active]], steps.supply_j[active])
    latency, minus_log = solve([np.ones(over.sum()), np.log(lifted[over] - v_th)], steps.latency_s[over])
    rise = LifConstants.model_construct(gain_v=gain, v_max_v=V_MAX_V)
    charge_j, excess_j = solve(list(rises(rise, before[driven], weight[driven])), steps.input_j[driven])
    low, high = np.quantile(steps.latency_s[active], (0.001, 0.999))
    return LifConstants(
        source=f"fit over {len(steps)} steps at the default knobs by architectures/training/calibrate_lif.py",
        gain_v=gain, v_th_v=v_th, v_reset_v=float(np.median(after[active])), v_min_v=V_MIN_V, v_max_v=V_MAX_V,
        leak_v=leak, leak_rate=1.0 - keep, adapt_v=adapt, active_j=active_j, active_weight_j=active_weight_j,
        quiet_j=float(steps.supply_j[quiet].mean()), idle_j=float(steps.supply_j[~driven].mean()),
        charge_j=charge_j, excess_j=excess_j, latency_s=latency, latency_log_s=-minus_log,
        latency_min_s=float(low), latency_max_s=float(high),
    )  # fmt: skip


def main() -> None:
    """Fit, write and report how many steps the threshold mislabels."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recording", type=Path)
    steps, before, after = rows_at_defaults(parser.parse_args().recording)
    constants = fit(steps, before, after)
    lines = ["# Closed form of the neuron (back end 'ideal').", 'model = "lif"']
    for name, value in constants.model_dump().items():
        lines.append(f'{name} = "{value}"' if isinstance(value, str) else f"{name} = {value:.5g}")
    (circuit_folder(CIRCUIT) / FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))
    lifted = before + constants.gain_v * steps.inputs[:, 0]
    driven = ~steps.idle
    wrong = (lifted > constants.v_th_v)[driven] != steps.fired[driven]
    print(f"mislabelled: {wrong.sum()} of {driven.sum()} driven steps, {steps.fired.sum()} spikes")


if __name__ == "__main__":
    main()

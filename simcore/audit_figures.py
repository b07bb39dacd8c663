"""The figures of an audit: errors per layer and of the whole run, each with its interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcore.bank import Floats
from simcore.estimate import Estimate, Sample, never_seen
from simcore.result import RunResult


@dataclass(frozen=True, slots=True)
class Layers:
    """The audited layers of a run and their strata."""

    result: RunResult
    names: Sequence[str]
    group: NDArray[np.int64]
    """(H,) layer of each stratum."""
    traced: NDArray[np.int64]
    """(H,) pairs of each stratum that could be replayed."""


def estimated(layers: Layers, sample: Sample, values: Mapping[str, Floats]) -> dict[str, Any]:
    """Return the figures of the run and of each layer, `values` (n,) by name of `Difference`.

    The energy of the whole run is that of all its layers: those that ngspice answered count without error.
    """
    columns = layers.result.layer_columns
    run_j = sum(float(columns[name]["unit_energy_j"].sum()) for name in columns)
    n_samples = len(layers.result.samples)
    return {
        "n_pairs": len(sample.stratum),
        "n_traced": int(layers.traced.sum()),
        "n_population": int(sample.size.sum()),
        **_energy(sample, values, run_j, n_samples),
        "layers": [_layer(layers, index, sample, values) for index in range(len(layers.names))],
    }


def _layer(layers: Layers, index: int, sample: Sample, values: Mapping[str, Floats]) -> dict[str, Any]:
    mine = layers.group == index
    rows = mine[sample.stratum]
    part = sample.only(mine)
    values = {name: column[rows] for name, column in values.items()}
    name = layers.names[index]
    columns, info = layers.result.layer_columns[name], layers.result.provenance["layers"][name]
    output = next(port for port in info["spec"]["ports"] if port["kind"] == "output")
    is_level = output["detector"]["kind"] == "settled"
    return {
        "name": name,
        "n_pairs": len(part.stratum),
        "n_traced": int(layers.traced[mine].sum()),
        "n_population": int(part.size.sum()),
        **_energy(part, values, float(columns["unit_energy_j"].sum()), len(layers.result.samples)),
        "latency": _latency(part, values, float(columns["latency_sum_s"].sum())),
        **_events(part, values, float(columns["unit_fired"].sum())),
        "output": _output(part, values, output["high"] - output["low"]) if is_level else _figure(None),
    }


def _energy(sample: Sample, values: Mapping[str, Floats], run_j: float, n_samples: int) -> dict[str, Any]:
    """Return energy of run and reference per sample, and the errors; `run_j` is known of all units."""
    missed = values["reference_j"] - values["run_j"]
    truth = sample.sum(missed, run_j)
    scale = values["scale_j"] - values["run_j"]
    return {
        "energy_run_j": run_j / n_samples,
        "energy_reference_j": truth.value / n_samples,
        "energy_reference_ci95_j": [truth.low / n_samples, truth.high / n_samples],
        "energy_bias": _figure(sample.ratio(-missed, scale, run_j)),
        "energy": _figure(sample.ratio(values["wrong_j"], scale, run_j, positive=True)),
    }


def _latency(sample: Sample, values: Mapping[str, Floats], run_s: float) -> dict[str, Any]:
    shared = values["reference_latency_s"] - values["run_latency_s"]
    return _figure(sample.ratio(values["wrong_latency_s"], shared, run_s, positive=True))


def _events(sample: Sample, values: Mapping[str, Floats], in_time: float) -> dict[str, Any]:
    """Return the error of the number of events, and 1 - F1 of events by step.

    Where no drawn unit is wrong, the interval allows for as many wrong ones as may have been missed.
    """
    ours, theirs = values["run_events"], values["reference_events"]
    wrong = values["wrong_steps"]
    both = ours + theirs - 2 * values["in_time"]
    event = sample.ratio(wrong, both, 2 * in_time, positive=True)
    event = event and Estimate(event.value, event.low, min(event.high, 1.0))
    count = sample.ratio(ours - theirs, theirs - values["in_time"], in_time)
    rare = never_seen(len(wrong), int(sample.size.sum()))
    if not wrong.any():
        event = event and Estimate(0.0, 0.0, rare)
    if not (ours != theirs).any():
        count = count and Estimate(0.0, -rare, rare)
    return {"event_count": _figure(count), "event": _figure(event)}


def _output(sample: Sample, values: Mapping[str, Floats], span: float) -> dict[str, Any]:
    """Return the RMS difference of the output level over the range of its port."""
    squared = sample.ratio(values["squared"] / span**2, values["levels"], positive=True)
    if squared is None:
        return _figure(None)
    return _figure(Estimate(*np.sqrt([squared.value, squared.low, squared.high]).tolist()))


def _figure(estimate: Estimate | None) -> dict[str, Any]:
    if estimate is None:
        return {"value_pct": None, "ci95_pct": None}
    return {"value_pct": 100 * estimate.value, "ci95_pct": [100 * estimate.low, 100 * estimate.high]}

"""What the study measures: errors on the test part, learning curves, one cell's surface, time per block."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy import special, stats

from simcore import registry
from simcore.bank import Floats, Raster
from simcore.recording import Steps
from simcore.spec import CircuitSpec, PortKind
from surrogates.bundle import SurrogateBundle
from surrogates.dataset import TEST, Dataset
from surrogates.evaluate import answered
from surrogates.family import Effort
from surrogates.frame import Table
from surrogates.layout import Layout
from surrogates.tables import StepTables, step_tables
from surrogates.train import frame_for

DIGIT, SHARE = 3, 0.3
"""The published bound: errors below half of this decimal (of a volt) with this probability."""
BATCHES = (1, 256)
LEAST = 5_000
"""Samples of a learning curve whose number of training steps smaller ones have too."""
SURFACE = 13
"""Voltages and conductances of a cell's surface."""


def held_out_steps(dataset: Dataset, kinds: Callable[[str], bool]) -> Steps:
    """Return the driven rows of the test runs of some kinds; `dataset.open_test` was called."""
    steps, runs = dataset.part_steps(TEST), dataset.part_runs(TEST)
    wanted = runs.run[[kinds(str(kind)) for kind in runs.kind]]
    return steps.take(np.isin(steps.run, wanted) & ~steps.idle)


def output_errors(found: Floats, expected: Floats) -> dict[str, Any]:
    """Return the errors of outputs (n, m) in V, as shares of spread and range too, and their distribution."""
    off = (found - expected).ravel()
    absolute, spread = np.abs(off), float(expected.std())
    span = float(np.ptp(expected))
    half_digit = 0.5 * 10.0**-DIGIT
    rms_v = float(np.sqrt((off**2).mean()))
    widest = 5 * rms_v
    counts, edges = np.histogram(off, bins=81, range=(-widest, widest))
    return {
        "n": len(off), "mae_v": float(absolute.mean()), "rms_v": rms_v,
        "bias_v": float(off.mean()), "max_v": float(absolute.max()),
        "p99_v": float(np.quantile(absolute, 0.99)), "spread_v": spread, "range_v": span,
        "mae_of_spread": float(absolute.mean()) / spread, "mae_of_range": float(absolute.mean()) / span,
        "kurtosis": float(stats.kurtosis(off)), "skew": float(stats.skew(off)),
        "normal_p": float(stats.normaltest(off).pvalue),
        "histogram": {"edges_v": edges.tolist(), "counts": counts.tolist()},
        "share_below": float((absolute < half_digit).mean()),
        "share_if_normal": float(special.erf(half_digit / (np.sqrt(2) * rms_v))),
    }  # fmt: skip


def bound_v2(share: float = SHARE, digit: int = DIGIT) -> float:
    """Return the mean squared error at which a normal error is below half of a decimal with a probability."""
    return float((10.0**-digit / special.erfinv(share)) ** 2 / 8)


def ideal_outputs(spec: CircuitSpec, steps: Steps) -> Floats:
    """Return r_f times the difference of ohmic column currents, within the limits, (n, pairs)."""
    array = spec.array
    assert array is not None
    x = Layout(spec).rows(steps.inputs, steps.params, steps.state_before, steps.duration_ps)
    ports = {name: port.astype(np.float64) for name, port in Layout(spec).ports(x).items()}
    v = ports[array.voltage][:, None, :]
    pos, neg = (
        (v * ports[name].reshape(len(x), -1, v.shape[2])).sum(axis=2)
        for name in (array.positive, array.negative)
    )
    return np.clip(ports[array.feedback] * (pos - neg), -array.limit_v, array.limit_v)


def bundle_errors(bundle: SurrogateBundle, spec: CircuitSpec, steps: Steps) -> dict[str, Any]:
    """Return the errors of a bundle on driven rows: outputs, supply and input energy."""
    found = answered(bundle, spec, steps)
    energies = {
        name: float(np.abs(ours - theirs).sum() / np.abs(theirs).sum())
        for name, ours, theirs in (
            ("supply_j", found.supply_j, steps.supply_j),
            ("input_j", found.input_j, steps.input_j),
        )
    }
    return output_errors(found.outputs, steps.outputs) | energies


def learning_curve(
    dataset: Dataset, family_name: str, sizes: Sequence[int], epochs: int, told: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Train on uniform runs of the training part; return errors on those of the selection part by samples."""
    family = registry.load("surrogate_families", family_name)
    tables = step_tables(dataset)["driven"]
    mine, held_out = (_uniform(dataset, part) for part in ("train", "selection"))
    train = _rows(tables.train, np.flatnonzero(mine))
    x, expected = tables.selection.x[held_out], _outputs(tables)[held_out]
    points = []
    for size in sizes:
        start = time.process_time()
        passes = epochs * max(1, LEAST // size)
        effort = Effort(1, 1e9, passes, lambda *_: None, {})
        some = _rows(train, np.arange(size))
        frame = frame_for(family, replace(tables, train=some))
        model = family.fit(frame, some, tables.selection, effort)
        cpu_s = time.process_time() - start
        found = frame.decode(x, (z := frame.design.standardise(x)), model.predict(z)).outputs
        mae_v = float(np.abs(found - expected).mean())
        points.append({"samples": size, "mae_v": mae_v, "cpu_s": cpu_s})
        told(f"{family_name}, {size} samples: {1e3 * mae_v:.3f} mV, {cpu_s:.0f} s")
    return points


def bundle_point(dataset: Dataset, bundle: SurrogateBundle) -> dict[str, Any]:
    """Return the same of a bundle that was trained on all of the training part."""
    tables, held_out = step_tables(dataset)["driven"], _uniform(dataset, "selection")
    x = tables.selection.x[held_out]
    found = np.concatenate(
        [bundle.run("driven", part)["outputs"] for part in np.array_split(x, len(x) // 256)]
    )
    mae_v = float(np.abs(found - _outputs(tables)[held_out]).mean())
    return {"samples": len(tables.train.x), "mae_v": mae_v, "cpu_s": bundle.info.metrics["train_s"]}


def _uniform(dataset: Dataset, part: str) -> Any:
    """Return which rows of a part belong to uniform runs, (n,)."""
    runs = dataset.part_runs(part)
    return np.isin(dataset.part_steps(part).run, runs.run[runs.kind == "uniform"])


def _rows(table: Table, rows: Any) -> Table:
    return replace(table, x=table.x[rows], y=table.y[rows], valid=table.valid[rows])


def _outputs(tables: StepTables) -> Floats:
    first = int(tables.frame.targets.latency)
    return tables.selection.y[:, first : first + tables.frame.targets.n_out]


def surface(spec: CircuitSpec, bundle: SurrogateBundle, accuracy: str = "std") -> dict[str, Any]:
    """Return the first output over voltage and conductance of one cell of either column, both ways."""
    from spice_ref.bank import Bench
    from spice_ref.queue import open_queue

    array = spec.array
    assert array is not None
    layout, found = Layout(spec), {}
    n_in = spec.width(PortKind.INPUT)
    v = np.linspace(spec.low(PortKind.INPUT)[0], spec.high(PortKind.INPUT)[0], SURFACE)
    low, high = spec.low(PortKind.PARAM), spec.high(PortKind.PARAM)
    with open_queue(0, 120.0, None, "auto") as queue:
        bench = Bench(spec, accuracy, queue)
        for side in (array.positive, array.negative):
            column = layout.slices[side].start - n_in
            g = np.linspace(low[column], high[column], SURFACE)
            rasters = [_cell_raster(spec, column, v, value) for value in g]
            spice = np.zeros((SURFACE, SURFACE))
            for place, trace, _ in bench.replay(rasters):
                spice[place] = trace.measured.outputs[:, 0]
            none = np.zeros((SURFACE, 0))
            rows = [
                layout.rows(r.inputs, np.tile(r.params, (SURFACE, 1)), none, r.duration_ps) for r in rasters
            ]
            model = [bundle.run("driven", each)["outputs"][:, 0] for each in rows]
            found[side] = {"v": v.tolist(), "g": g.tolist(), "spice_v": spice.tolist(),
                           "model_v": np.array(model, np.float64).tolist()}  # fmt: skip
    return found


def _cell_raster(spec: CircuitSpec, column: int, v: Floats, g: float) -> Raster:
    """Return a raster over the first line's voltage, all others in the middle of their range."""
    low, high = spec.low(PortKind.INPUT), spec.high(PortKind.INPUT)
    inputs = np.tile((low + high) / 2, (len(v), 1))
    inputs[:, 0] = v
    low, high = spec.low(PortKind.PARAM), spec.high(PortKind.PARAM)
    ports = [port for port in spec.of(PortKind.PARAM) for _ in port.columns]
    params = np.where([port.size is None for port in ports], spec.default_params, (low + high) / 2)
    params[column] = g
    return Raster(params, np.full(len(v), spec.period_ps), inputs, np.zeros(len(v), np.bool_))


def spice_seconds(spec: CircuitSpec, rasters: Sequence[Raster]) -> dict[str, float]:
    """Return the CPU seconds that ngspice takes for a block in chunks of a `.dc` sweep, in this process."""
    from spice_ref.deck import Decks

    decks, solver = Decks(spec, "std"), _solver()
    seconds, n_points = [], []
    for raster in rasters:
        start = time.process_time()
        solver.run(decks.sweep(raster.params, np.vstack([spec.reset_inputs, raster.inputs])))
        seconds.append(time.process_time() - start)
        n_points.append(len(raster.inputs))
    return {"s": sum(seconds) / sum(n_points), "points": float(np.mean(n_points)), "chunks": len(seconds)}


@cache
def _solver() -> Any:
    """Return this process's ngspice: its library cannot be opened twice."""
    from spice_ref.ngspice import Solver

    return Solver()


def bundle_seconds(bundle: SurrogateBundle, x: Any, batch: int, least_s: float = 1.0) -> float:
    """Return the CPU seconds of a block in calls of `batch` rows, the best of three."""
    rows = np.ascontiguousarray(np.resize(x, (batch, x.shape[1])))
    best = np.inf
    for _ in range(3):
        calls, start = 0, time.process_time()
        while time.process_time() - start < least_s / 3:
            bundle.run("driven", rows)
            calls += 1
        best = min(best, (time.process_time() - start) / (calls * batch))
    return best


def workload_errors(bundle: SurrogateBundle, spec: CircuitSpec, recording: Path) -> dict[str, Any]:
    """Return the errors on a recording of what a network sent, none of which was trained on."""
    from simcore.recording import read_recording

    _, steps, _ = read_recording(recording)
    return bundle_errors(bundle, spec, steps.take(~steps.idle))

"""The ways to simulate a case, each with the CPU seconds that it took."""

import ctypes
import gc
import subprocess
import tempfile
import time
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.speed.cases import Case
from simcore.bank import Raster
from simcore.engine import BankSlot, Engine
from simcore.ledger import Ledger
from simcore.schedule import lock_step, run_ahead
from spice_ref.bank import Bench
from spice_ref.queue import open_queue
from surrogates.bundle import SurrogateBundle, load_bundle
from surrogates.c99.export import export_c
from surrogates.runtime import SurrogateBank
from surrogates.shipped import find_bundle

FIT_ROWS = 512
"""Rows that the published predictors are fitted on: enough for the shape of the networks, whose values do
not change what they cost."""
AGREE = 1e-3
"""Relative; C rounds otherwise than onnxruntime, and an event at the threshold may flip."""


class Measured(NamedTuple):
    """What a way took, and the energy that it found: ways on the same bundle must agree."""

    cpu_s: float
    energy_j: float


def check_agreement(*found: Measured) -> None:
    """Raise RuntimeError where ways on one bundle found energies that differ by more than AGREE."""
    energies = [each.energy_j for each in found]
    if max(energies) - min(energies) > AGREE * abs(energies[0]):
        raise RuntimeError(f"the ways do not simulate the same: {energies} J")


def bundle_of(case: Case, family: str) -> SurrogateBundle:
    """Return a shipped bundle."""
    return load_bundle(find_bundle(case.spec, family, Path()), case.spec)


def engine(case: Case, bundle: SurrogateBundle, *, ahead: bool) -> Measured:
    """Run the engine; the opening of the bundle is not counted."""
    network = case.network()
    bank = SurrogateBank(bundle, case.spec, case.params)
    start = time.process_time()
    ledger = Ledger({"layer": case.n_units}, 1)
    run = Engine([BankSlot(bank, network.layers)], 1, ledger, merge_idle=True, by_layer=ahead)
    if ahead:
        run_ahead(network, run, ledger, lambda _: None)
    else:
        lock_step(network, run, ledger, case.spec.period_ps, lambda: None)
    energy_j = float(ledger.totals()["layer"].unit_energy_j.sum())
    return Measured(time.process_time() - start, energy_j)


class Published:
    """Five scikit-learn predictors (100, 50), called per layer and step, as LASANA describes its loop.

    Each step: idle gaps of the units that are driven now are caught up by two of them, static energy and
    state; then all five answer the driven units: output, state, dynamic energy, static energy, latency.
    """

    def __init__(self, case: Case, bundle: SurrogateBundle) -> None:
        self._case = case
        bank = SurrogateBank(bundle, case.spec, np.tile(case.spec.default_params, (FIT_ROWS, 1)))
        rng = np.random.default_rng(0)
        self._n_state = bank.state.shape[1]
        n_in = len(case.spec.reset_inputs)
        x = rng.normal(size=(FIT_ROWS, n_in + self._n_state + bank.params.shape[1] + 1))
        small = {"hidden_layer_sizes": (100, 50), "max_iter": 2}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            self._heads: dict[str, Any] = {
                name: make_pipeline(StandardScaler(), MLPRegressor(**small)).fit(
                    x, rng.normal(size=(FIT_ROWS, width)).squeeze()
                )
                for name, width in (
                    ("output", 1), ("state", self._n_state), ("dynamic", 1), ("static", 1), ("latency", 1),
                )
            }  # fmt: skip

    def run(self) -> float:
        """Return the CPU seconds of the loop."""
        case, calls = self._case, self._case.calls()
        state = np.zeros((case.n_units, self._n_state))
        energy = np.zeros(case.n_units)
        start = time.process_time()
        for call in calls:
            request = call.request
            units = request.units
            periods = request.duration_ps / case.spec.period_ps
            x = np.concatenate([request.inputs, state[units], case.params[units], periods[:, None]], axis=1)
            names = ("static", "state") if request.idle else tuple(self._heads)
            answers = {name: self._heads[name].predict(x) for name in names}
            state[units] = answers["state"].reshape(len(units), -1)
            energy[units] += answers["static" if request.idle else "dynamic"]
        return time.process_time() - start


LOOP = """
#include <time.h>
#include "NAME.h"
double run_loop(int n_rows, const int *unit, const float *input, const float *params, const float *periods,
                const unsigned char *idle, float *state, double *energy, int *events)
{
    clock_t start = clock();
    NAME_step step;
    float x[UPPER_WIDTH];
    for (int row = 0; row < n_rows; row++) {
        int u = unit[row];
        for (int i = 0; i < N_IN; i++) x[UPPER_INPUT + i] = input[row * N_IN + i];
        for (int i = 0; i < N_PARAM; i++) x[UPPER_PARAM + i] = params[u * N_PARAM + i];
        for (int i = 0; i < N_STATE; i++) x[UPPER_STATE + i] = state[u * N_STATE + i];
        x[UPPER_DURATION] = periods[row];
        if (idle[row]) NAME_idle(x, &step); else NAME_driven(x, &step);
        for (int i = 0; i < N_STATE; i++) state[u * N_STATE + i] = step.state[i];
        energy[u] += step.supply_j + step.input_j;
        events[u] += FIRED;
    }
    return (double)(clock() - start) / CLOCKS_PER_SEC;
}
"""


def compiled(case: Case, bundle: SurrogateBundle) -> Measured:
    """Run a loop in C over the same rows, built with -O3 for this machine."""
    with tempfile.TemporaryDirectory(prefix="simcore-loop-") as folder:
        header, source = export_c(bundle, Path(folder))
        name, spec = header.stem, case.spec
        fired = "step.fired > 0.0f" if "fired" in header.read_text().split("typedef")[-1] else "0"
        n_state = SurrogateBank(bundle, spec, case.params[:1]).state.shape[1]
        text = LOOP.replace("FIRED", fired)
        for key, value in (
            ("N_IN", len(spec.reset_inputs)), ("N_PARAM", case.params.shape[1]), ("N_STATE", n_state),
            ("UPPER", name.upper()), ("NAME", name),
        ):  # fmt: skip
            text = text.replace(key, str(value))
        loop = Path(folder) / "loop.c"
        loop.write_text(text)
        library = Path(folder) / "loop.so"
        subprocess.run(
            ["cc", "-std=c99", "-O3", "-march=native", "-shared", "-fPIC", "-I", folder, str(loop),
             str(source), "-o", str(library), "-lm"],
            check=True,
        )  # fmt: skip
        function = ctypes.CDLL(str(library)).run_loop
        function.restype = ctypes.c_double
        requests = [call.request for call in case.calls()]
        columns = [
            np.concatenate([r.units for r in requests]).astype(np.int32),
            np.concatenate([r.inputs for r in requests]).astype(np.float32),
            case.params.astype(np.float32),
            (np.concatenate([r.duration_ps for r in requests]) / spec.period_ps).astype(np.float32),
            np.repeat([r.idle for r in requests], [len(r.units) for r in requests]).astype(np.uint8),
            SurrogateBank(bundle, spec, case.params).state.astype(np.float32),
            np.zeros(case.n_units),
            np.zeros(case.n_units, np.int32),
        ]
        pointers = [ctypes.c_void_p(np.ascontiguousarray(column).ctypes.data) for column in columns]
        seconds = float(function(len(columns[0]), *pointers))
        return Measured(seconds, float(columns[-2].sum()))


def flop_limit(case: Case, bundle: SurrogateBundle) -> float:
    """Return the seconds that the multiplications of all rows take at the rate of a measured sgemm."""
    rows = {False: 0, True: 0}
    for call in case.calls():
        rows[call.request.idle] += len(call.request.units)
    total = sum(2 * _weights(bundle.path / f"{name}.onnx") * rows[idle] for name, idle in
                (("driven", False), ("idle", True)))  # fmt: skip
    return total / _sgemm_flops()


def _weights(path: Path) -> int:
    """Return the number of weights of a graph's matrix products."""
    graph = onnx.load(str(path)).graph
    sizes = {x.name: int(np.prod(x.dims)) for x in graph.initializer}
    used = {name for node in graph.node if node.op_type in ("Gemm", "MatMul") for name in node.input[1:2]}
    return sum(sizes.get(name, 0) for name in used)


def _sgemm_flops() -> float:
    rng = np.random.default_rng(0)
    a, b = (rng.random(shape, dtype=np.float32) for shape in ((2048, 160), (160, 160)))
    best = min(_timed(lambda: [a @ b for _ in range(50)]) for _ in range(5))
    return 50 * 2 * 2048 * 160 * 160 / best


def _timed(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def ngspice(case: Case, n_sample: int) -> tuple[float, float]:
    """Return the solver CPU seconds of all units, from a few of them open loop, and the standard error."""
    sample = Case(case.circuit, n_sample, case.n_steps, case.seed)
    rows: list[list[tuple[int, Any, bool]]] = [[] for _ in range(n_sample)]
    for call in sample.calls():
        r = call.request
        for unit, duration, inputs in zip(r.units, r.duration_ps, r.inputs, strict=True):
            rows[unit].append((duration, inputs, r.idle))
    rasters = [
        Raster(params, *(np.array(column) for column in zip(*unit, strict=True)))
        for params, unit in zip(sample.params, rows, strict=True)
    ]
    with open_queue(0, cache="off") as queue:
        seconds = [cpu for _, _, cpu in Bench(case.spec, "std", queue).replay(rasters)]
    error = float(np.std(seconds, ddof=1) / np.sqrt(n_sample))
    return float(np.mean(seconds)) * case.n_units, error * case.n_units


def bytes_per_unit(case: Case, bundle: SurrogateBundle) -> float:
    """Return what a unit holds of memory between two edges: bank with parameters, idle tracker, ledger."""
    network, params = case.network(), case.params.copy()
    tracemalloc.start()
    try:
        bank = SurrogateBank(bundle, case.spec, params)
        ledger = Ledger({"layer": case.n_units}, 1)
        run = Engine([BankSlot(bank, network.layers)], 1, ledger, merge_idle=True)
        run.edge(0, {"layer": network.layers[0].stage.deliver(0, ())})
        gc.collect()
        return (tracemalloc.get_traced_memory()[0] + params.nbytes) / case.n_units
    finally:
        tracemalloc.stop()

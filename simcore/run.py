"""Runs a scenario: batches of samples through the engine into a RunResult."""

import json
import platform
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from simcore import ranges
from simcore.assembly import Assembly, assemble
from simcore.errors import ResultError, SimcoreError
from simcore.progress import scaled
from simcore.result import RunResult
from simcore.result_writer import BatchResult, ResultWriter
from simcore.scenario import Scenario
from simcore.shard import Chosen, Progress, Rewire, Shard, rows_per_sample, run_shard
from simcore.timeline import write_timeline
from simcore.workers import in_processes, on_cluster

SPICE_LANES = 8
"""Samples per engine run where ngspice answers: few, so that a failure loses little."""
LANES = 64
"""Samples per engine run elsewhere."""
ROWS = 8_000_000
"""Steps of units per engine run at most, if all were driven in each period: it bounds the memory."""
SUMMARY = "summary.json"
"""Written when a run is finished."""
SAME = ("settings", "inputs_sha256", "versions", "components")
"""What must agree for a run to go on where it was stopped."""
STORING = 0.05
"""Share of a run's time that may go into storing: HDF5 takes as long over a shard as over many. Above it
finished shards wait and are stored together."""
MANY = 256
"""Samples from which on worker processes are worth their start."""


def run(
    scenario: Scenario,
    out: Path | None = None,
    *,
    trace: bool | Chosen = False,
    progress: Progress = lambda _: None,
    rewire: Rewire | None = None,
    workers: int = 0,
) -> RunResult:
    """Run a scenario and return its result; `out` gets `result.h5`, `summary.json` and `layers.csv`.

    `trace` keeps the rows of all units, or of some pairs of sample and unit, such as an audit chooses.
    `workers` processes share many samples (0: all cores), or a Dask cluster does where the scenario names
    one; the results have the same bytes for any number of them. An unfinished run of the same settings in
    `out` goes on where it was stopped.
    Raises a UserError before anything runs if the scenario is wrong, a SolverError if ngspice fails; the
    samples finished before that stay in the file.
    """
    clock = time.perf_counter(), time.process_time()
    assembly = assemble(scenario)
    directory = out or Path(tempfile.mkdtemp(prefix="simcore-"))
    provenance = _provenance(assembly)
    before = _unfinished(directory, provenance, trace) if rewire is None else None
    if before is not None and len(before.samples) == scenario.samples:
        return _finish(directory)
    store = _Store(directory, _Log(provenance, before, clock))
    try:
        with closing(store):
            for shard in _shards(assembly, store.n_stored, trace, progress, rewire, workers):
                store.add(shard)
    except SimcoreError as error:
        if store.n_stored:
            error.add_note(
                f"the {store.n_stored} samples finished before that are kept: simcore report {directory}"
            )
        raise
    return _finish(directory)


def _shards(
    assembly: Assembly,
    done: int,
    trace: bool | Chosen,
    progress: Progress,
    rewire: Rewire | None,
    workers: int,
) -> Iterator[Shard]:
    """Yield the shards of the samples behind the first `done`, in order."""
    scenario = assembly.scenario
    lanes = _lanes(assembly)
    parts = [(first, min(lanes, scenario.samples - first)) for first in range(done, scenario.samples, lanes)]
    total = scenario.samples

    def alone(first: int, n: int) -> Shard:
        return run_shard(assembly, first, n, trace, scaled(progress, first / total, n / total), rewire)

    cluster = scenario.backend.spice.get("cluster")
    if rewire is not None or _solves(scenario) or total - done < MANY or (workers == 1 and not cluster):
        return (alone(*part) for part in parts)
    if cluster:
        found = on_cluster(str(cluster), scenario, parts, trace)
    else:
        found = in_processes(workers, scenario, parts, trace)
    return _told(found, [(first + n) / total for first, n in parts], progress)


def _told(found: Iterator[Shard], shares: Sequence[float], progress: Progress) -> Iterator[Shard]:
    for shard, share in zip(found, shares, strict=True):
        progress(share)
        yield shard


def _lanes(assembly: Assembly) -> int:
    """Return the samples of one engine run; it depends on the scenario alone, as the results must."""
    if _solves(assembly.scenario):
        return SPICE_LANES
    return max(1, min(LANES, ROWS // rows_per_sample(assembly)))


def _solves(scenario: Scenario) -> bool:
    """Return whether ngspice may be needed, which has workers of its own."""
    backends = {scenario.backend.default, *(layer.backend for layer in scenario.layers.values())}
    return "spice" in backends or bool(scenario.backend.surrogate.get("guard"))


def _unfinished(directory: Path, provenance: Mapping[str, Any], trace: bool | Chosen) -> RunResult | None:
    """Return the run in `directory` if it is the same one and was stopped before its end.

    A run that kept the rows of chosen units, as an audit wants them, is not gone on with.
    """
    try:
        found = RunResult(directory)
    except ResultError:
        return None
    start = provenance["settings"]["dataset"]["start"]
    is_part = np.array_equal(found.samples, np.arange(start, start + len(found.samples)))
    is_same = all(found.provenance.get(key) == provenance[key] for key in SAME)
    keeps_alike = isinstance(trace, bool) and found.is_traced == trace and not found.has_chosen
    n = len(found.samples)
    is_finished = n == provenance["settings"]["samples"] and (found.path.parent / SUMMARY).exists()
    return found if is_part and is_same and keeps_alike and n and not is_finished else None


class _Log:
    """Provenance of a run so far: times, banks, what left its range."""

    def __init__(
        self, provenance: dict[str, Any], before: RunResult | None, clock: tuple[float, float]
    ) -> None:
        self.n_kept = len(before.samples) if before else 0
        self._before = before.provenance if before else {}
        self.provenance = provenance
        self._wall, self._cpu = clock
        self._added = {"cpu_s": 0.0, "solver_cpu_s": 0.0, "solver_jobs": 0, "solver_jobs_cached": 0}

    def begin(self, shard: Shard, directory: Path) -> None:
        """Take in what the first shard tells; raises ResultError where it is another model than before."""
        self.provenance["layers"] = dict(shard.layers)
        if self._before:
            before = _made_by(self._before["banks"], self._before["layers"])
            if before != _made_by(shard.banks, shard.layers):
                raise ResultError(
                    f"{directory} holds an unfinished run that another bundle or circuit answered; "
                    "delete it or name another --out"
                )
            self.provenance["banks"] = self._before["banks"]

    def count(self, shard: Shard) -> None:
        """Add a shard; results from a cache count with the solver time that they took when they were made."""
        earlier = self.provenance.get("banks") or [{}] * len(shard.banks)
        banks = [_added(*pair) for pair in zip(earlier, shard.banks, strict=True)]
        self.provenance["banks"] = banks
        added = self._added
        added["cpu_s"] += shard.remote_cpu_s
        for bank in shard.banks:
            added["solver_cpu_s"] += float(bank.get("cpu_s", 0.0))
            added["solver_jobs"] += int(bank.get("n_jobs", 0))
            added["solver_jobs_cached"] += int(bank.get("n_cached", 0))

    def so_far(self) -> dict[str, Any]:
        """Return the provenance, times up to now."""
        added = self._added
        times = {key: value + (self._before.get(key) or 0) for key, value in added.items()}
        times["cpu_s"] += time.process_time() - self._cpu + added["solver_cpu_s"]
        times["wall_s"] = time.perf_counter() - self._wall + (self._before.get("wall_s") or 0.0)
        return self.provenance | times


class _Store:
    """Finished shards on their way into the file; they wait for each other where storing takes long."""

    def __init__(self, directory: Path, log: _Log) -> None:
        self._directory, self._log = directory, log
        self._writer: ResultWriter | None = None
        self._waiting: list[BatchResult] = []
        self._begun, self._spent_s = time.perf_counter(), 0.0
        self.n_stored = log.n_kept
        """Samples in the file."""

    def add(self, shard: Shard) -> None:
        """Take a shard in; raises ResultError where it cannot be stored."""
        if self._writer is None:
            self._log.begin(shard, self._directory)
            self._writer = ResultWriter(self._directory, self._log.provenance, n_kept=self._log.n_kept)
        self._log.count(shard)
        self._waiting.append(shard.result)
        is_cheap = self._spent_s <= STORING * (time.perf_counter() - self._begun)
        if is_cheap or shard.result.trace:  # traces are too large to wait
            self._store(self._writer)

    def close(self) -> None:
        """Store what waits."""
        if self._writer is not None:
            with closing(self._writer):
                self._store(self._writer)

    def _store(self, writer: ResultWriter) -> None:
        start = time.perf_counter()
        waiting, self._waiting = self._waiting, []
        if waiting:
            writer.append(*waiting)
            self.n_stored += sum(len(batch.samples) for batch in waiting)
            writer.describe(self._log.so_far())
        self._spent_s += time.perf_counter() - start


def _made_by(banks: Sequence[Mapping[str, Any]], layers: Mapping[str, Any]) -> list[Any]:
    """Return what decides the results beside the settings: bundles, ngspice's version, circuits."""
    keys = ("backend", "bundle_hash", "behaviour", "solver")
    models = [[bank.get(key) for key in keys] for bank in banks]
    return [*models, *([name, info["spec"]["hash"]] for name, info in layers.items())]


def _added(earlier: Mapping[str, Any], bank: dict[str, Any]) -> dict[str, Any]:
    """Return the provenance of a bank with what it counted in the batches before."""
    if "out_of_range" in bank:
        bank["out_of_range"] = ranges.added(earlier.get("out_of_range"), bank["out_of_range"])
    if "inference_cpu_s" in bank:
        bank["inference_cpu_s"] += earlier.get("inference_cpu_s", 0.0)
    return bank


def _provenance(assembly: Assembly) -> dict[str, Any]:
    scenario = assembly.scenario
    packages = ("simcore-ams", "simpy", "numpy", "onnxruntime", "h5py")
    return {
        "scenario": scenario.name,
        "architecture": scenario.architecture.name,
        "backend": scenario.backend.default,
        "dataset": f"{scenario.dataset.name}/{scenario.dataset.split}",
        "seed": scenario.seed,
        "settings": json.loads(scenario.model_dump_json()),
        "inputs_sha256": assembly.digest(),
        "components": {name: each.model_dump() for name, each in assembly.components.items()},
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(sys.argv),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "versions": {name: version(name) for name in packages},
        "wall_s": None,
        "cpu_s": None,
    }


def _finish(directory: Path) -> RunResult:
    result = RunResult(directory)
    text = json.dumps(result.summary(), indent=2, allow_nan=False)
    try:
        (directory / SUMMARY).write_text(text + "\n", encoding="utf-8")
        result.layers().to_csv(directory / "layers.csv", index=False)
        write_timeline(result, directory)
    except OSError as error:
        raise ResultError(f"cannot write into {directory}: {error}; {result.path} is whole") from error
    return result

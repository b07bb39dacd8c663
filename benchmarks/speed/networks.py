"""Whole test sets on a surrogate, in a process tree that is watched, and one sample on ngspice."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from simcore import load_scenario, run
from simcore.result import RunResult

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"
LOOK_S = 0.1
"""How often the memory of the process tree is read."""


def on_surrogate(name: str, samples: int, workers: int, out: Path) -> dict[str, Any]:
    """Run a scenario from the command line; return times and the largest memory of all its processes."""
    for old in out.glob("*"):
        old.unlink()
    command = [
        sys.executable, "-c", "import sys; from simcore.cli import main; sys.argv[0] = 'simcore'; main()",
        "run", str(SCENARIOS / f"{name}.toml"), "--backend", "surrogate", "--samples", str(samples),
        "--workers", str(workers), "--out", str(out),
    ]  # fmt: skip
    start, peak = time.perf_counter(), 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            peak = max(peak, _memory(process.pid))
            time.sleep(LOOK_S)
    if process.returncode:
        raise RuntimeError(f"{name} ended with exit code {process.returncode}")
    result = RunResult(out)
    return {
        "network": name, "samples": samples, "workers": workers, "wall_s": time.perf_counter() - start,
        "cpu_s": float(result.provenance["cpu_s"]), "peak_mb": peak / 1e6, "accuracy": result.accuracy,
        "rows": int(sum(columns["steps"].sum() for columns in result.layer_columns.values())),
        "families": [bank["family"] for bank in result.provenance["banks"]],
        "layers": _layers(result),
    }  # fmt: skip


def on_ngspice(name: str, out: Path) -> dict[str, Any]:
    """Run one sample on ngspice, open loop and without stored results; return its solver CPU seconds."""
    scenario = load_scenario(SCENARIOS / f"{name}.toml", ["samples=1", 'backend.spice.cache="off"'])
    result = run(scenario.with_backend("spice"), out)
    return {"network": name, "cpu_s": float(result.provenance["solver_cpu_s"])}


def _memory(pid: int) -> int:
    """Return the resident bytes of a process and all its children."""
    try:
        process = psutil.Process(pid)
        return sum(each.memory_info().rss for each in (process, *process.children(recursive=True)))
    except psutil.NoSuchProcess:
        return 0


def _layers(result: RunResult) -> list[dict[str, Any]]:
    """Return the distribution over samples of energy and latency of each layer."""
    found = []
    for name, columns in result.layer_columns.items():
        energy = (columns["supply_j"] + columns["input_j"]).sum(axis=1)
        last = columns["last_event_s"]
        entry: dict[str, Any] = {"layer": name}
        for key, values in (("energy_j", energy), ("last_event_s", last[last == last])):
            ordered = sorted(values.tolist())
            entry[key] = [ordered[int(q * (len(ordered) - 1))] for q in (0.05, 0.5, 0.95)] if ordered else []
        found.append(entry)
    return found

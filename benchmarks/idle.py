"""Idle merging against stepping every idle period, on ngspice and on surrogates.

Each case runs with `merge_idle` true and false. Beside the difference stand what it must not exceed: on
ngspice the reference's own noise (std against gold on the same rasters), on the surrogate half of its
closed-loop error against ngspice on the same rasters. Usage:

    python -m benchmarks.idle --cases sparse_spiking digits_crossbar --out runs/idle.json
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.sparse import SparseLayers
from simcore.architecture import Batch, Network
from simcore.bank import Floats
from simcore.compare import replaying
from simcore.errors import BundleError
from simcore.ledger import TraceRows
from simcore.result import RunResult
from simcore.run import run
from simcore.scenario import Scenario, load_scenario
from simcore.terminal import console, table

SCENARIOS = Path(__file__).parent.parent / "scenarios"
Rewire = Callable[[Network, Batch], Network]
Difference = dict[str, dict[str, Any]]
"""Layer, or ALL -> figure -> value."""
ALL = "all"


@dataclass(frozen=True, slots=True)
class Case:
    """What is run."""

    scenario: str
    overrides: tuple[str, ...]
    sparse: tuple[int, int] | None = None
    """Units per layer and periods of a sparse layer in place of the network."""

    def load(self, more: Iterable[str] = ()) -> Scenario:
        """Read the scenario."""
        path = SCENARIOS / f"{self.scenario}.toml"
        return load_scenario(path, ["backend.spice.workers=1", "samples=1", *self.overrides, *more])

    def rewire(self, scenario: Scenario) -> Rewire | None:
        """Return what replaces the network, if anything."""
        return SparseLayers(scenario, *self.sparse) if self.sparse else None


CASES = {
    "sparse_spiking": Case("digits_spiking", (), (4, 400)),
    "sparse_crossbar": Case("digits_crossbar", (), (2, 300)),
    "digits_spiking": Case("digits_spiking", ("architecture.options.steps=12",)),
    "digits_spiking_no_inputs": Case(
        "digits_spiking", ("architecture.options.steps=12", "architecture.options.analog_inputs=false")
    ),
    "digits_crossbar": Case("digits_crossbar", ()),
}


def run_on(
    scenario: Scenario, backend: str, out: Path, *, merge: bool, rewire: Rewire | None = None, **options: Any
) -> RunResult:
    """Run a scenario on one back end, merged or stepped, traced; `options` go to the back end."""
    chosen = scenario.with_backend(backend).model_copy(update={"merge_idle": merge})
    table = {**chosen.backend.options(backend), **options}
    chosen = chosen.model_copy(update={"backend": chosen.backend.model_copy(update={backend: table})})
    name = "-".join([backend, "merged" if merge else "stepped", *map(str, options.values())])
    return run(chosen, out / name, trace=True, rewire=rewire)


@dataclass(frozen=True, slots=True)
class Reference:
    """A case on ngspice: stepped, merged, and merged at tighter tolerance on the same rasters."""

    stepped: RunResult
    merged: RunResult
    gold: RunResult

    @staticmethod
    def of(case: Case, out: Path) -> "Reference":
        """Run the case three times."""
        scenario = case.load()
        rewire = case.rewire(scenario)
        stepped = run_on(scenario, "spice", out, merge=False, rewire=rewire)
        merged = run_on(scenario, "spice", out, merge=True, rewire=rewire)
        gold = run_on(scenario, "spice", out, merge=True, rewire=rasters(case, merged), accuracy="gold")
        return Reference(stepped, merged, gold)


def rasters(case: Case, reference: RunResult) -> Rewire:
    """Return what drives a network with the inputs that each layer received in a traced run."""
    replay = replaying({name: reference.trace(name) for name in reference.layer_columns})
    first = case.rewire(case.load())
    return replay if first is None else lambda network, batch: replay(first(network, batch), batch)


def difference(reference: RunResult, other: RunResult) -> Difference:
    """Compare two runs unit by unit, per layer and in all.

    `energy_pct`: sum over units of |difference of their total| over the sum; `idle_pct`: the same of the
    idle steps alone; `net_pct`: difference of the sums; `flips`: (unit, step) in which only one run has an
    event in time; `events`: of the reference; `late`: events in merged steps of the other.
    """
    parts = {name: _parts(reference, other, name) for name in reference.layer_columns}
    parts[ALL] = {key: sum(x[key] for x in parts.values()) for key in next(iter(parts.values()))}
    return {
        name: {
            "energy_pct": 100 * found["absolute_j"] / found["scale_j"],
            "idle_pct": 100 * found["idle_absolute_j"] / found["idle_scale_j"]
            if found["idle_scale_j"]
            else None,
            "net_pct": 100 * found["net_j"] / found["scale_j"],
            **{key: found[key] for key in ("flips", "events", "late")},
        }
        for name, found in parts.items()
    }


def _parts(reference: RunResult, other: RunResult, layer: str) -> dict[str, float]:
    ours, theirs = (r.layer_columns[layer]["unit_energy_j"] for r in (reference, other))
    rows = [r.trace(layer) for r in (reference, other)]
    idle, other_idle = (_idle_energy(r, reference.samples, ours.shape[1]) for r in rows)
    events, other_events = (_in_time(r) for r in rows)
    return {
        "scale_j": float(np.abs(ours).sum()),
        "absolute_j": float(np.abs(theirs - ours).sum()),
        "net_j": float((theirs - ours).sum()),
        "idle_scale_j": float(np.abs(idle).sum()),
        "idle_absolute_j": float(np.abs(other_idle - idle).sum()),
        "flips": len(events ^ other_events),
        "events": len(events),
        "late": int(other.layer_columns[layer]["late"].sum()),
    }


def _idle_energy(rows: TraceRows, samples: NDArray[np.int64], n_units: int) -> Floats:
    """Return the energy of each unit's idle steps, (n_samples * n_units,)."""
    rows = rows.take(rows.idle)
    unit = np.searchsorted(samples, rows.lane) * n_units + rows.unit
    energy_j = rows.supply_j + rows.input_j
    return np.bincount(unit, energy_j, minlength=len(samples) * n_units).astype(np.float64)


def _in_time(rows: TraceRows) -> set[tuple[int, int, int]]:
    """Return (sample, unit, step) of the events that were delivered."""
    rows = rows.take(rows.fired & ~rows.merged)
    return set(zip(rows.lane.tolist(), rows.unit.tolist(), rows.step.tolist(), strict=True))


def saved(stepped: RunResult, merged: RunResult) -> dict[str, Any]:
    """Return bank steps, solver jobs, and seconds of both runs, and the share saved."""
    costs = {
        "bank_steps": [
            int(sum(x["steps"].sum() for x in r.layer_columns.values())) for r in (stepped, merged)
        ],
        "jobs": [sum(bank.get("n_jobs", 0) for bank in r.provenance["banks"]) for r in (stepped, merged)],
        **{key: [float(r.provenance[key]) for r in (stepped, merged)] for key in ("wall_s", "cpu_s")},
    }
    return {
        key: {"stepped": a, "merged": b, "saved_pct": 100 * (1 - b / a)} for key, (a, b) in costs.items() if a
    }


def measure(case: Case, out: Path, samples: int) -> dict[str, Any]:
    """Run a case on both back ends; `samples` for the surrogate's own labels and times."""
    reference = Reference.of(case, out)
    report: dict[str, Any] = {
        "spice": {
            "merged_against_stepped": difference(reference.stepped, reference.merged),
            "noise": difference(reference.gold, reference.merged),
            "labels_equal": _labels_equal(reference.stepped, reference.merged),
            "saved": saved(reference.stepped, reference.merged),
        }
    }
    try:
        report["surrogate"] = _surrogate(case, reference.merged, out, samples)
    except BundleError as error:
        report["surrogate"] = {"missing": str(error)}
    return report


def _surrogate(case: Case, reference: RunResult, out: Path, samples: int) -> dict[str, Any]:
    scenario = case.load()
    replay = rasters(case, reference)
    stepped, merged = (run_on(scenario, "surrogate", out, merge=m, rewire=replay) for m in (False, True))
    many = scenario if case.sparse else case.load([f"samples={samples}"])
    rewire = case.rewire(scenario)
    long, short = (run_on(many, "surrogate", out / "cascade", merge=m, rewire=rewire) for m in (False, True))
    return {
        "merged_against_stepped": difference(stepped, merged),
        "closed_loop_error": difference(reference, merged),
        "cascade": difference(long, short),
        "labels_equal": _labels_equal(long, short),
        "saved": saved(long, short),
    }


def _labels_equal(one: RunResult, other: RunResult) -> str:
    return f"{int((one.predictions == other.predictions).sum())} of {len(one.samples)}"


def show(name: str, report: dict[str, Any]) -> None:
    """Print one case."""
    columns = ["layer", "energy (%)", "idle (%)", "net (%)", "flips", "events", "late"]
    for backend, parts in report.items():
        if "missing" in parts:
            console.print(f"{name} on {backend}: skipped: {parts['missing']}")
            continue
        rows = [
            [f"{what.replace('_', ' ')}: {layer}", *map(_cell, figures.values())]
            for what, layers in parts.items()
            if what not in ("labels_equal", "saved")
            for layer, figures in layers.items()
        ]
        console.print(table(f"{name} on {backend}, labels equal: {parts['labels_equal']}", columns, rows))
        costs = [[key, *(f"{v:.4g}" for v in cost.values())] for key, cost in parts["saved"].items()]
        console.print(table("", ["cost", "stepped", "merged", "saved (%)"], costs))


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def main() -> None:
    """Run, print tables, write JSON after each case."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--samples", type=int, default=20, help="samples of the surrogate's own runs")
    parser.add_argument("--keep", type=Path, help="folder for the runs; else they are deleted")
    parser.add_argument("--out", type=Path, help="JSON file")
    args = parser.parse_args()
    reports = {}
    for name in args.cases:
        with tempfile.TemporaryDirectory() as folder:
            reports[name] = measure(CASES[name], (args.keep or Path(folder)) / name, args.samples)
        show(name, reports[name])
        if args.out:
            args.out.parent.mkdir(parents=True, exist_ok=True)
            args.out.write_text(json.dumps(reports, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

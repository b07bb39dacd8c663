"""How often the intervals of an audit cover the truth, and how narrow they are.

A scenario runs on the surrogate, ALL its units are replayed on ngspice, and many audits with different seeds
draw from what is then known. Usage:

    python -m benchmarks.audit --samples 20 --seeds 200
    python -m benchmarks.audit --samples 20 --seeds 200 --pairs 170
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from simcore import load_scenario, run
from simcore.audit import Goal, replay_rounds, strata_per_layer
from simcore.differences import Difference
from simcore.rasters import Recorded
from simcore.survey import Solver, Survey
from simcore.terminal import console, progress_bar, table
from simcore.units import percent

FIGURES = ("energy_bias", "energy", "latency", "event_count", "event", "output")
Key = tuple[str, int, int]


class Known:
    """Answers like a Solver, from what is known of all pairs."""

    def __init__(self, known: dict[Key, Difference]) -> None:
        self._known = known

    def differences(self, chosen: Sequence[Any], progress: Any) -> list[Difference]:
        """Look them up."""
        return [self._known[layer, int(pair[0]), int(pair[1])] for layer, pair in chosen]


def replay_all(recorded: Recorded, progress: Any) -> tuple[dict[Key, Difference], float]:
    """Return the difference of every pair of a traced run, and the CPU seconds of ngspice."""
    chosen = [(layer, pair) for layer in recorded.layers for pair in recorded.pairs(layer)]
    with ExitStack() as stack:
        solver = Solver(recorded, stack)
        found = solver.differences(chosen, progress)
        cpu_s = solver.costs()["solver_cpu_s"]
    return {(x, int(p[0]), int(p[1])): one for (x, p), one in zip(chosen, found, strict=True)}, cpu_s


def audited(recorded: Recorded, known: Known, goal: Goal, seed: int) -> dict[str, Any]:
    """Return the figures of one audit."""
    layers = list(recorded.layers)
    survey = Survey(recorded, layers, seed, strata_per_layer(goal, len(layers)))
    replay_rounds(survey, known, goal, lambda done: None)
    return survey.figures()


def covered(recorded: Recorded, known: Known, goal: Goal, seeds: int) -> list[dict[str, Any]]:
    """Return truth, mean, coverage and median half width of each figure over the seeds.

    `off` is how far the mean is from the truth, in standard errors of the mean.
    """
    truth = _by_name(audited(recorded, known, Goal(pairs=10**9), 0))
    seen = defaultdict(list)
    for seed in range(seeds):
        for name, figure in _by_name(audited(recorded, known, goal, seed)).items():
            low, high = figure["ci95_pct"]
            inside = low - 1e-9 <= truth[name]["value_pct"] <= high + 1e-9
            seen[name].append((figure["value_pct"], inside, (high - low) / 2))
    rows = []
    for (layer, name), values in seen.items():
        value, inside, half = np.array(values, float).T
        rows.append({
            "layer": layer, "figure": name, "truth_pct": truth[layer, name]["value_pct"],
            "mean_pct": value.mean(), "covered_pct": 100 * inside.mean(), "half_width_pct": np.median(half),
            "off": float((value.mean() - truth[layer, name]["value_pct"]) / max(_error(value), 1e-12)),
        })  # fmt: skip
    return rows


def _error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def _by_name(figures: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    sides = [{**figures, "name": "whole run"}, *figures["layers"]]
    return {
        (side["name"], name): side[name]
        for side in sides
        for name in FIGURES
        if side.get(name) and side[name]["ci95_pct"]
    }


def main() -> None:
    """Measure, show and store."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenario", default="scenarios/digits_spiking.toml")
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--pairs", type=int, default=64)
    parser.add_argument("--out", type=Path, default=Path("runs/audit-coverage"))
    args = parser.parse_args()
    scenario = load_scenario(args.scenario, [f"samples={args.samples}"])
    with progress_bar() as show:
        recorded = Recorded(run(scenario, args.out, trace=True, progress=show("surrogate")))
        known, cpu_s = replay_all(recorded, show("ngspice"))
    found = covered(recorded, Known(known), Goal(pairs=args.pairs), args.seeds)
    (args.out / "coverage.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    columns = ["layer", "figure", "truth", "mean", "covered", "half width, median", "off by"]
    rows = [[x["layer"], x["figure"], *(percent(x[f"{key}_pct"]) for key in
             ("truth", "mean", "covered", "half_width")), f"{x['off']:+.1f}"] for x in found]  # fmt: skip
    console.print(table(f"{args.seeds} audits of {args.pairs} of {len(known)} pairs", columns, rows))
    console.print(f"all pairs: {cpu_s:.0f} s CPU of ngspice, {cpu_s / len(known):.2f} s a pair")


if __name__ == "__main__":
    main()

"""Which state nodes a surrogate needs: the same training with subsets of the manifest's, closed-loop errors.

The subsets are grown one node at a time in the order given (the published one comes first), or named. Usage:

    python -m benchmarks.state_study lif_neuron --recording data/recordings/lif_neuron.h5 --epochs 12
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from simcore import registry
from simcore.manifest import named_circuit
from simcore.spec import CircuitSpec, PortKind
from simcore.terminal import console, progress_bar, table
from simcore.units import percent
from surrogates.dataset import Dataset, load_dataset
from surrogates.family import Effort
from surrogates.features import parse_features
from surrogates.train import Training

FIGURES = ("event", "energy_total", "energy_idle", "latency", "output", "exact_runs", "score")


def reduced(dataset: Dataset, kept: tuple[str, ...]) -> Dataset:
    """Return the same data set as if the manifest named only these state nodes."""
    columns = np.isin(dataset.spec.columns(PortKind.STATE), kept)
    steps = replace(
        dataset.steps,
        state=dataset.steps.state[:, columns],
        state_before=dataset.steps.state_before[:, columns],
    )
    runs = replace(dataset.runs, reset_state=dataset.runs.reset_state[:, columns])
    return replace(dataset, spec=_with_states(dataset.spec, kept), steps=steps, runs=runs)


def _with_states(spec: CircuitSpec, kept: tuple[str, ...]) -> CircuitSpec:
    dropped = {port.name for port in spec.of(PortKind.STATE)} - set(kept)
    ports = tuple(port for port in spec.ports if port.name not in dropped)
    features = {f.name: spec.features[f.name] for f in parse_features(spec) if not f.uses & dropped}
    return spec.model_copy(update={"ports": ports, "features": features, "hash": f"{spec.hash}-{kept}"})


def errors(dataset: Dataset, family: str, epochs: int, seed: int) -> dict[str, float | None]:
    """Train a family and return its closed-loop figures on the selection part."""
    with TemporaryDirectory(prefix="simcore-states-") as folder:
        effort = Effort(seed, 1e9, epochs, lambda share, message: None, {})
        trained = Training(dataset, Path(folder), seed).fit(
            registry.load("surrogate_families", family), effort
        )
    found: dict[str, float | None] = trained.info.metrics["closed_loop"]["selection"]
    return found


def main() -> None:
    """Train on every subset, show and store the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("circuit")
    parser.add_argument("--recording", type=Path, action="append", required=True)
    parser.add_argument("--states", action="append", help="v_mem,v_ca: a subset; default: grown in order")
    parser.add_argument("--family", default="trunk")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("runs/state_study.json"))
    args = parser.parse_args()
    dataset = load_dataset(args.recording, named_circuit(args.circuit), args.seed)
    names = dataset.spec.columns(PortKind.STATE)
    grown = [tuple(names[: i + 1]) for i in range(len(names))]
    subsets = [tuple(text.split(",")) for text in args.states] if args.states else grown
    found: list[dict[str, Any]] = []
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with progress_bar() as show:
        step = show(f"states of {args.circuit}")
        for done, kept in enumerate(subsets):
            figures = errors(reduced(dataset, kept), args.family, args.epochs, args.seed)
            found.append({"states": list(kept), **{name: figures[name] for name in FIGURES}})
            args.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
            step((done + 1) / len(subsets))
    rows = [[", ".join(row["states"]), *(_shown(row[name], name) for name in FIGURES)] for row in found]
    title = f"{args.circuit}, {args.family}, {args.epochs} epochs, {len(dataset.runs.run)} runs"
    console.print(table(title, ["states", *FIGURES], rows))


def _shown(value: float | None, name: str) -> str:
    return f"{value:.4f}" if name == "score" else percent(None if value is None else 100 * value)


if __name__ == "__main__":
    main()

"""`simcore surrogate`: train surrogates and list the bundles that there are."""

from pathlib import Path
from typing import Annotated

import typer

from simcore import registry, terminal
from simcore.manifest import load_circuit
from simcore.recording import default_path
from simcore.terminal import console, progress_bar, table
from simcore.units import percent

app = typer.Typer(no_args_is_help=True, help="Train surrogates and list bundles.")


@app.command("train")
def train_command(
    circuit: Annotated[str, typer.Argument(help="Name of a built-in circuit, or folder of your own.")],
    family: Annotated[str, typer.Option(help="A family, or best: try all and mark the best.")] = "best",
    recording: Annotated[Path | None, typer.Option(help="Data set [data/recordings/NAME.h5].")] = None,
    runs: Annotated[
        int | None, typer.Option(help="Runs that the data set shall hold [2000 where it is missing].")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where the bundles go [beside the shipped ones].")] = None,
    seed: Annotated[int, typer.Option(help="Seed of split and training.")] = 1,
    budget: Annotated[float, typer.Option(help="Training time in minutes.")] = 30.0,
) -> None:
    """Train a surrogate from a recording, which is made first where it is missing."""
    from surrogates.train import train, wanted

    spec = load_circuit(circuit)
    wanted(family)  # before hours of recording
    data = recording or default_path(spec)
    with progress_bar() as show:
        if runs is not None or not data.exists():
            record = registry.load("recorders", "spice")
            record(spec, data, runs=runs or 2000, progress=show(f"record {spec.name}"))
        step = show(f"train {spec.name}")
        trained = train(
            spec, data, family, out, seed, budget_minutes=budget, progress=lambda share, _: step(share)
        )
    for entry in trained:
        console.print(f"bundle: {entry.path}")


@app.command("list")
def list_command(
    circuit: Annotated[
        str | None, typer.Argument(help="Only those of this circuit: a name, or a folder of your own.")
    ] = None,
) -> None:
    """List the bundles of the registered circuits and how good they are."""
    from surrogates.shipped import list_bundles

    rows = []
    for name in [circuit] if circuit else registry.names("circuits"):
        spec = load_circuit(name)
        for path, info in list_bundles(spec):
            loop = info.metrics["closed_loop"]["test"]
            errors = [
                percent(None if loop.get(k) is None else 100 * loop[k])
                for k in ("energy", "event", "latency")
            ]
            fits = "yes" if info.spec.hash == spec.hash else "no: train again"
            rows.append([spec.name, info.family, *errors, fits, str(_short(path))])
    columns = ["circuit", "family", "energy", "event", "latency", "fits", "folder"]
    terminal.show(table("bundles (closed-loop error on runs that training never saw)", columns, rows))


def _short(path: Path) -> Path:
    """Return a path as seen from the working directory, if it lies below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path

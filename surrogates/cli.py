"""`simcore surrogate`: train surrogates, judge them, list the bundles that there are, export one."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from simcore import registry, terminal
from simcore.errors import UserError
from simcore.manifest import named_circuit
from simcore.recording import default_path
from simcore.spec import CircuitSpec
from simcore.terminal import console, progress_bar, table
from simcore.units import percent

if TYPE_CHECKING:
    from surrogates.bundle import BundleInfo, SurrogateBundle

CIRCUIT_HELP = "A built-in circuit or a folder of your own; with sizes: crossbar_row:rows=16."
app = typer.Typer(no_args_is_help=True, help="Train surrogates, judge, list and export bundles.")


@app.command("train")
def train_command(
    circuit: Annotated[str, typer.Argument(help=CIRCUIT_HELP)],
    family: Annotated[str, typer.Option(help="A family, or all that are installed.")] = "all",
    recording: Annotated[
        list[Path] | None, typer.Option(help="Data set; may be repeated [data/recordings/NAME.h5].")
    ] = None,
    runs: Annotated[
        int | None, typer.Option(help="Runs that the data set shall hold [2000 where it is missing].")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where the bundles go [beside the shipped ones].")] = None,
    seed: Annotated[int, typer.Option(help="Seed of split and training.")] = 1,
    budget: Annotated[float, typer.Option(help="Training time in minutes, of all families together.")] = 30.0,
    epochs: Annotated[
        int | None, typer.Option(help="Passes over the data instead of a budget: the same on every machine.")
    ] = None,
) -> None:
    """Train a surrogate from a recording, which is made first where it is missing."""
    from surrogates.train import train, wanted

    spec = named_circuit(circuit)
    wanted(family, spec)  # before hours of recording
    data = recording or [default_path(spec)]
    if runs is not None and len(data) > 1:
        raise UserError("--runs records into one data set, got several --recording")
    with progress_bar() as show:
        if runs is not None or not data[0].exists():
            record = registry.load("recorders", "spice")
            record(spec, data[0], runs=runs or 2000, progress=show(f"record {spec.name}"))
        step = show(f"train {spec.name}")
        trained = train(
            spec, data, family, out, seed, budget_minutes=budget, epochs=epochs,
            progress=lambda share, _: step(share),
        )  # fmt: skip
    for each in trained:
        console.print(f"bundle: {each.path}")
    if len(trained) > 1:
        _show([(spec, each.path, each.info) for each in trained])
        console.print(f"default: {trained[0].info.family}")


@app.command("calibrate")
def calibrate_command(
    comparisons: Annotated[
        list[Path], typer.Argument(help="Directories of `simcore compare --candidate surrogate`.")
    ],
) -> None:
    """Set the intervals that a bundle states for the layers of a network, from compared runs.

    Use samples that nothing is reported on later, such as training images.
    """
    from surrogates.calibrate import calibrate

    rows = [
        [
            each.info.family,
            i.quantity,
            f"{100 * i.level:.0f} %",
            percent(100 * i.half_width),
            i.n,
            str(_short(each.path)),
        ]
        for each in calibrate(comparisons)
        for i in each.info.intervals
        if i.of == "layer"
    ]
    columns = ["family", "total of a layer", "level", "+-", "totals", "folder"]
    terminal.show(table("intervals", columns, rows))


@app.command("evaluate")
def evaluate_command(
    circuit: Annotated[str, typer.Argument(help=CIRCUIT_HELP)],
    recording: Annotated[
        list[Path] | None,
        typer.Option(help="Data set of the training; may be repeated [data/recordings/NAME.h5]."),
    ] = None,
    bundles: Annotated[
        Path | None, typer.Option(help="Folder of bundles, or one of them [where they usually lie].")
    ] = None,
    family: Annotated[str, typer.Option(help="A family, or all that there are.")] = "all",
    compare: Annotated[
        list[Path] | None, typer.Option(help="Directory of `simcore compare`, shown too; may be repeated.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where the files go [runs/CIRCUIT-evaluation].")] = None,
) -> None:
    """Show how good bundles are on runs that no training saw: a page, tables and JSON."""
    from surrogates.shipped import bundle_key
    from surrogates.study.page import summary_rows, write_evaluation_page
    from surrogates.study.rows import write_csv
    from surrogates.study.run import evaluate, save

    spec = named_circuit(circuit)
    directory = out or Path("runs") / f"{bundle_key(spec)}-evaluation"
    with progress_bar() as show:
        step = show(f"evaluate {spec.name}")
        data = recording or [default_path(spec)]
        evaluation = evaluate(spec, data, bundles, family, compare or [], step)
    save(evaluation.content, directory)
    write_csv(evaluation.content, directory)
    page = write_evaluation_page(evaluation, directory)
    runs = evaluation.content["runs"]["test"]
    title = f"closed loop, {runs} test runs (*: none is better in error and time)"
    terminal.show(table(title, *summary_rows(evaluation.content)))
    for each in evaluation.content["left_out"]:
        console.print(f"left out: {each['family']}, {each['reason']}")
    console.print(f"page: {page}")


@app.command("list")
def list_command(
    circuit: Annotated[
        str | None, typer.Argument(help="Only those of this circuit: a name, or a folder of your own.")
    ] = None,
) -> None:
    """List the bundles of the registered circuits and how good they are."""
    from surrogates.shipped import list_bundles, sized

    specs = [named_circuit(name) for name in ([circuit] if circuit else registry.names("circuits"))]
    _show([(spec, *found) for each in specs for spec in sized(each) for found in list_bundles(spec)])


@app.command("export")
def export_command(
    circuit: Annotated[
        str, typer.Argument(metavar="CIRCUIT|BUNDLE", help=f"{CIRCUIT_HELP} Or a bundle's folder.")
    ],
    c: Annotated[Path, typer.Option("--c", metavar="DIR", help="Write C99 there: a header and a source.")],
    family: Annotated[str, typer.Option(help="A family, or best.")] = "best",
) -> None:
    """Write a bundle as source code that needs no library."""
    try:
        from surrogates.c99.export import export_c
    except ModuleNotFoundError as error:
        raise UserError(
            f"export needs {error.name}; install with: pip install 'simcore-ams[train]'"
        ) from error
    for path in export_c(_bundle(circuit, family), c):
        console.print(f"C: {path}")


def _bundle(circuit: str, family: str) -> "SurrogateBundle":
    """Open the bundle in a folder, or that of a circuit."""
    from surrogates.bundle import MANIFEST, load_bundle, read_info
    from surrogates.shipped import BEST, find_bundle

    path = Path(circuit)
    if not (path / MANIFEST).exists():
        spec = named_circuit(circuit)
        return load_bundle(find_bundle(spec, family, Path()), spec)
    if family != BEST:
        raise UserError(f"{circuit} is a bundle itself, got --family {family} too")
    return load_bundle(path, read_info(path).spec)


def _show(bundles: "list[tuple[CircuitSpec, Path, BundleInfo]]") -> None:
    """Print bundles and how good they are; a star marks those that no other of the circuit beats."""
    from surrogates.origin import shown_name
    from surrogates.shipped import cost_of, pareto_front

    fronts = {
        spec.hash: pareto_front([info for other, _, info in bundles if other.hash == spec.hash])
        for spec, _, _ in bundles
    }
    rows = []
    for spec, path, info in bundles:
        loop = info.metrics["closed_loop"].get("test", {})
        errors = [
            percent(None if loop.get(k) is None else 100 * loop[k]) for k in ("energy", "event", "latency")
        ]
        cost = f"{cost_of(info):.2f} us" if math.isfinite(cost_of(info)) else ""
        fits = "yes" if info.spec.hash == spec.hash else "no: train again"
        star = "*" if info in fronts[spec.hash] else ""
        rows.append([shown_name(spec), info.family + star, *errors, cost, fits, str(_short(path))])
    columns = ["circuit", "family", "energy", "event", "latency", "per event", "fits", "folder"]
    title = "bundles (closed loop, runs that training never saw; *: none is better in error and time)"
    terminal.show(table(title, columns, rows))


def _short(path: Path) -> Path:
    """Return a path as seen from the working directory, if it lies below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path

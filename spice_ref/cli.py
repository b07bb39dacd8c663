"""`simcore circuit`: list, show, check and record circuits."""

from pathlib import Path
from typing import Annotated

import typer

from simcore import registry, terminal
from simcore.errors import UserError
from simcore.manifest import load_circuit, named_circuit
from simcore.recording import default_path
from simcore.spec import PortKind
from simcore.terminal import console, progress_bar, table
from simcore.units import percent
from spice_ref.farm import TIMEOUT_S
from spice_ref.until import record_until

STEPS = 100
"""Steps of a random run."""

app = typer.Typer(no_args_is_help=True, help="List, show, check and record circuits.")

WorkersOption = Annotated[int, typer.Option(help="Solver processes; 0: all cores.")]
ClusterOption = Annotated[
    str | None, typer.Option(help="Dask scheduler that runs the jobs instead: tcp://HOST:8786.")
]
TimeoutOption = Annotated[
    float,
    typer.Option(
        help="Seconds that a solver job may take per 500 ns of simulated time, 500 ns at least.", min=0.001
    ),
]
CircuitArgument = Annotated[
    str,
    typer.Argument(help="A built-in circuit or a folder of your own; with sizes: crossbar_row:rows=16."),
]


@app.command("list")
def list_command() -> None:
    """List the built-in circuits."""
    specs = [load_circuit(name) for name in registry.names("circuits")]
    rows = [[s.name, f"{s.period_ps} ps", *(s.width(kind) for kind in PortKind), s.hash[:12]] for s in specs]
    columns = ["circuit", "period", "inputs", "params", "states", "outputs", "hash"]
    terminal.show(table("circuits", columns, rows))


@app.command("show")
def show_command(circuit: CircuitArgument) -> None:
    """Show ports, clock, sources and features of a circuit."""
    spec = named_circuit(circuit)
    rows = [
        [
            port.name if port.size is None else f"{port.name}[{port.size}]", port.kind.value, port.unit,
            f"{port.low:g}", f"{port.high:g}", "" if port.default is None else f"{port.default:g}",
            port.stimulus or (port.detector.kind if port.detector else ""),
        ]
        for port in spec.ports
    ]  # fmt: skip
    columns = ["port", "kind", "unit", "low", "high", "default", "stimulus or detector"]
    terminal.show(table(f"{spec.name} {spec.hash[:12]}", columns, rows))
    console.print(
        f"period {spec.period_ps} ps, {spec.tail_periods} tail periods, "
        f"idle steps of {spec.max_idle_periods} periods at most"
    )
    terminal.show(table("sources", ["element", "class"], [[k, v] for k, v in spec.sources.items()]))
    terminal.show(table("features", ["name", "expression"], [[k, v] for k, v in spec.features.items()]))
    console.print(f"folder: {spec.folder}\nsource: {spec.source}")


@app.command("check")
def check_command(
    circuit: CircuitArgument,
    seed: Annotated[int, typer.Option(help="Seed of the stimuli.")] = 1,
    runs: Annotated[int, typer.Option(help="Runs of each kind of stimulus.")] = 6,
    steps: Annotated[int, typer.Option(help="Steps of each run.")] = 100,
    noise: Annotated[
        bool,
        typer.Option("--noise", help="Replay at other tolerances and methods: the reference's own noise."),
    ] = False,
    workers: WorkersOption = 0,
    cluster: ClusterOption = None,
    timeout: TimeoutOption = TIMEOUT_S,
    out: Annotated[Path | None, typer.Option(help="Folder of the page [runs/check-NAME].")] = None,
) -> None:
    """Run a circuit on ngspice, show its waveforms, and say whether it obeys the rules."""
    from spice_ref.check import check_circuit
    from spice_ref.check_page import shown_cell, steps_table, tables, write_page

    spec = named_circuit(circuit)
    with progress_bar() as show:
        report = check_circuit(
            spec, seed=seed, runs=runs, steps=steps, noise=noise, workers=workers, cluster=cluster,
            timeout_s=timeout, progress=show(f"check {spec.name}"),
        )  # fmt: skip
    for part in (steps_table(report.shown), *tables(report)):
        terminal.show(
            table(part.title, list(part.columns), [[shown_cell(x) for x in row] for row in part.rows])
        )
    page = write_page(spec, report, out or Path("runs") / f"check-{spec.name}")
    console.print(f"waveforms: {page}")
    for problem in report.problems:
        terminal.error(problem, "problem")
    console.print("no problem found" if not report.problems else f"{len(report.problems)} problems")
    if report.problems:
        terminal.abort(2)


@app.command("record")
def record_command(
    circuit: CircuitArgument,
    runs: Annotated[int, typer.Option(help="Number of runs.")] = 2000,
    steps: Annotated[
        int | None, typer.Option(help="Steps of each run; idle gaps are merged ones [100].", min=1)
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the stimuli.")] = 1,
    workers: WorkersOption = 0,
    cluster: ClusterOption = None,
    timeout: TimeoutOption = TIMEOUT_S,
    accuracy: Annotated[str, typer.Option(help="Solver preset: std or gold.")] = "std",
    kind: Annotated[
        str | None,
        typer.Option(
            help="One kind of stimulus instead of all in turn: network, random, dense, sparse, or uniform."
        ),
    ] = None,
    until: Annotated[
        bool, typer.Option("--until", help="Stop before --runs, when more data make a surrogate no better.")
    ] = False,
    from_: Annotated[
        list[Path] | None,
        typer.Option("--from", metavar="RUN_DIR", help="Record what the units of traced runs received."),
    ] = None,
    vary_knobs: Annotated[
        bool, typer.Option("--vary-knobs", help="With --from: other knobs for 40 % of the units.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Data set [data/recordings/NAME.h5].")] = None,
) -> None:
    """Record stimuli into a data set, random ones or what networks sent; it goes on where it was stopped."""
    if from_ and (steps is not None or kind is not None):
        raise UserError("--steps and --kind shape random stimuli; with --from the runs decide")
    if vary_knobs and not from_:
        raise UserError("--vary-knobs goes with --from; random stimuli vary the knobs anyway")
    record = registry.load("recorders", "spice")
    spec = named_circuit(circuit)
    path = out or default_path(spec)

    def extend(n_runs: int) -> None:
        with progress_bar() as show:
            record(
                spec, path, runs=n_runs, steps=steps or STEPS, seed=seed, workers=workers, cluster=cluster,
                accuracy=accuracy, kind=kind, timeout_s=timeout, from_runs=from_ or (),
                vary_knobs=vary_knobs,
                progress=show(f"record {spec.name}, {n_runs} runs"),
            )  # fmt: skip

    if until:
        judge = registry.load("judges", "surrogate")
        record_until(
            runs,
            extend,
            lambda n_runs: float(judge(spec, path, n_runs)),
            lambda each: console.print(f"{each.runs} runs: error {percent(100 * each.error)}"),
        )
    else:
        extend(runs)
    console.print(f"data set: {path}")

"""The command line: `simcore run | compare | explore | report | explain | circuit | surrogate | doctor`."""

import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any

import typer

from simcore import terminal
from simcore.assembly import backend_of
from simcore.audit import TRACED, Audit, Goal, audit, choose_pairs
from simcore.compare import Bars, Comparison, compare, compare_scenario, load_comparison
from simcore.errors import SimcoreError, UserError
from simcore.report_cli import explain_command, report_command
from simcore.result import RunResult
from simcore.run import run
from simcore.scenario import Scenario, load_scenario
from simcore.shard import rehearse
from simcore.summary_tables import audit_tables, error_tables, layer_tables
from simcore.terminal import console, progress_bar
from simcore.units import percent, si
from simcore.waves import check_choices, parse_choice, write_waves

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Discrete-event mixed-signal simulator: energy and latency per layer, on ngspice or surrogates.",
)

ScenarioArgument = Annotated[Path, typer.Argument(help="Scenario file (TOML), see scenarios/.")]
SamplesOption = Annotated[int | None, typer.Option(help="Number of samples; overrides the scenario.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key: architecture.options.steps=50."),
]
ClusterOption = Annotated[
    str | None,
    typer.Option(help="Dask scheduler that runs the ngspice jobs, or 256 samples and more: tcp://HOST:8786."),
]
WavesOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="LAYER:UNITS[@SAMPLE]",
        help="With --trace: waveforms of units by ngspice, raw and VCD: hidden:0,5 or output:3@7.",
    ),
]
AuditOption = Annotated[
    bool, typer.Option("--audit", help="Replay a random share of the units on ngspice: how wrong is the run?")
]
AuditPairsOption = Annotated[
    int | None, typer.Option(help="Audit: pairs of sample and unit to replay at most [64].", min=1)
]
AuditCiOption = Annotated[
    str | None,
    typer.Option(metavar="PERCENT", help="Audit until the energy of the run is known to +-1%, say."),
]
AuditMinutesOption = Annotated[
    float | None, typer.Option(help="Audit for so many minutes at most; a round is finished.", min=0.0)
]
OutOption = Annotated[Path | None, typer.Option(help="Directory for the results [runs/NAME-...].")]


@app.command("run")
def run_command(
    scenario: ScenarioArgument,
    backend: Annotated[
        str | None, typer.Option(help="spice, surrogate, annotate or ideal, for every layer.")
    ] = None,
    samples: SamplesOption = None,
    set_: SetOption = None,
    out: OutOption = None,
    trace: Annotated[bool, typer.Option("--trace", help="Keep every event row.")] = False,
    waves: WavesOption = None,
    audit_: AuditOption = False,
    audit_pairs: AuditPairsOption = None,
    audit_ci: AuditCiOption = None,
    audit_minutes: AuditMinutesOption = None,
    guard: Annotated[
        bool, typer.Option("--guard", help="Replay units that leave the surrogate's range on ngspice.")
    ] = False,
    workers: Annotated[
        int,
        typer.Option(
            help="Processes that share the samples, from 256 on and without ngspice; 0: all cores.", min=0
        ),
    ] = 0,
    cluster: ClusterOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run and stop.")] = False,
) -> None:
    """Run a scenario and report energy and latency per layer."""
    config = _scenario(scenario, samples, set_, cluster)
    config = config.with_backend(backend) if backend else config
    config = _guarded(config) if guard else config
    chosen = [parse_choice(text) for text in waves or ()]
    if dry_run:
        with _naming(scenario):
            _dry_run(config)
        return
    if chosen and not trace:
        raise UserError("--waves needs --trace: waveforms are drawn from the traced inputs")
    goal = Goal(audit_pairs, _percentage(audit_ci), audit_minutes)
    is_audited = audit_ or goal != Goal()
    directory = out or Path("runs") / f"{config.name}-{config.backend.default}"
    with _naming(scenario), progress_bar() as show:
        if chosen:
            samples_run = range(config.dataset.start, config.dataset.start + config.samples)
            check_choices(chosen, rehearse(config), samples_run)
        pairs = choose_pairs(config, max(TRACED, audit_pairs or 0)) if is_audited else False
        bar = show(f"{config.name} on {config.backend.default}")
        result = run(config, directory, trace=trace or pairs, progress=bar, workers=workers)
        drawn = write_waves(result, chosen, directory, show("waveforms")) if chosen else []
        found = audit(result, **asdict(goal), progress=show("audit on ngspice")) if is_audited else None
    _show_run(result)
    if found:
        _show_audit(found)
    for path in drawn:
        console.print(f"waveform: {path}")
    _report(result, directory)


@app.command("compare")
def compare_command(
    target: Annotated[list[Path], typer.Argument(help="A scenario file, or two run directories.")],
    reference: Annotated[str, typer.Option(help="Back end that counts as the truth.")] = "spice",
    candidate: Annotated[str, typer.Option(help="Back end that is judged.")] = "surrogate",
    samples: SamplesOption = None,
    set_: SetOption = None,
    out: OutOption = None,
    noise: Annotated[
        bool, typer.Option("--noise", help="Measure the reference's own noise at tighter tolerance too.")
    ] = False,
    noise_samples: Annotated[
        int | None, typer.Option(help="Samples to measure the noise on [all].", min=1)
    ] = None,
    cluster: ClusterOption = None,
    fail_above: Annotated[
        str | None,
        typer.Option(metavar="energy=2,latency=3,behaviour=4", help="Exit with 4 if an error (%) is larger."),
    ] = None,
    waves: Annotated[
        bool, typer.Option(help="Draw the three worst units once more on ngspice, if it is the reference.")
    ] = True,
) -> None:
    """Run a scenario on two back ends, or take two stored runs, and put them side by side."""
    limits = _limits(fail_above)
    n_noise = (noise_samples or sys.maxsize) if noise or noise_samples else 0
    if len(target) > 2:
        raise UserError(f"compare takes one scenario or two runs, got {len(target)} paths")
    if len(target) == 2 and (samples is not None or set_):
        raise UserError("--samples and --set change a scenario, got two stored runs")
    with _naming(target[0]), progress_bar() as show:
        if len(target) == 2:
            directory = out or Path("runs") / "compare"
            a, b = (RunResult(path) for path in target)
            comparison = compare(a, b, directory, noise_samples=n_noise, cluster=cluster, progress=show)
        else:
            config = _scenario(target[0], samples, set_, cluster)
            directory = out or Path("runs") / f"{config.name}-compare"
            comparison = compare_scenario(
                config, reference, candidate, directory, noise_samples=n_noise, progress=show
            )
        if waves:
            _draw_worst(directory, show)
    _show_comparison(comparison)
    _report(load_comparison(directory), directory)
    _fail_above(comparison.figures, limits)


app.command("report")(report_command)
app.command("explain")(explain_command)


@app.command("explore")
def explore_command(
    sweep: Annotated[Path, typer.Argument(help="Sweep file (TOML), see scenarios/explore/.")],
    trials: Annotated[
        int | None, typer.Option(help="Trials of the study; overrides the sweep.", min=1)
    ] = None,
    samples: SamplesOption = None,
    workers: Annotated[
        int, typer.Option(help="Processes that run trials on this machine; 0: all cores.", min=0)
    ] = 0,
    cluster: Annotated[
        str | None, typer.Option(help="Dask scheduler that runs the trials instead: tcp://HOST:8786.")
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Database that several machines share [study.db in the results]."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Refuse to start a new study; one that is there always goes on.")
    ] = False,
    validate: Annotated[
        int, typer.Option(metavar="K", help="Run the K best trials on ngspice too.", min=0)
    ] = 0,
    out: OutOption = None,
) -> None:
    """Search the knobs of a scenario, by a grid or by Optuna, for the best energy, latency, accuracy."""
    try:
        from simcore.explore import explore, load_sweep
        from simcore.explore.command import show_exploration
    except ImportError as error:
        raise UserError(f"{error.name} is not installed: pip install 'simcore-ams[explore]'") from error
    with _naming(sweep), progress_bar() as show:
        config = load_sweep(sweep, trials=trials, samples=samples, store=store)
        found = explore(
            config, out or Path("runs") / f"{config.name}-explore", workers=workers, cluster=cluster,
            resume=resume, validate_best=validate, show=show,
        )  # fmt: skip
    show_exploration(found, config)


@app.command("doctor")
def doctor_command() -> None:
    """Say what is installed, what is missing, and the command that mends it."""
    from simcore.doctor import examine

    findings = examine()
    rows = [
        [f.name, "ok" if f.ok else "missing", ": ".join(filter(None, (f.detail, f.remedy)))] for f in findings
    ]
    terminal.show(terminal.table("simcore doctor", ["part", "", "found; how to mend it"], rows))
    if not all(finding.ok or finding.optional for finding in findings):
        terminal.abort(2)


def _scenario(
    path: Path, samples: int | None, overrides: list[str] | None, cluster: str | None = None
) -> Scenario:
    extra = [] if samples is None else [f"samples={samples}"]
    extra += [] if cluster is None else [f"backend.spice.cluster={cluster}"]
    return load_scenario(path, [*(overrides or []), *extra])


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Say which file a user's mistake is in, where the message does not."""
    try:
        yield
    except UserError as error:
        if str(path) not in str(error):
            error.add_note(f"in {path}")
        raise


def _dry_run(config: Scenario) -> None:
    rows = [
        [x.name, x.circuit, backend_of(config, x.name), x.n_units, x.n_units * config.samples]
        for x in rehearse(config)
    ]
    columns = ["layer", "circuit", "back end", "units", "units x samples"]
    terminal.show(terminal.table(f"{config.name}: {config.samples} samples, nothing run", columns, rows))


def _guarded(config: Scenario) -> Scenario:
    backends = {config.backend.default, *(layer.backend for layer in config.layers.values())}
    if "surrogate" not in backends:
        raise UserError(f"--guard watches the back end 'surrogate', which no layer of {config.name} has")
    return config.with_options("surrogate", {"guard": True})


def _percentage(text: str | None) -> float | None:
    """Read `1%`, `1 %` or `1`."""
    if text is None:
        return None
    try:
        return float(text.strip().removesuffix("%"))
    except ValueError as error:
        raise UserError(f"--audit-ci {text}: expected a percentage, such as 1%") from error


def _show_run(result: RunResult) -> None:
    summary = result.summary()
    terminal.show(*layer_tables([summary], [result.outside()]))
    console.print(
        f"{summary['n_samples']} samples, accuracy {percent(100 * summary['accuracy'])}\n"
        f"per sample energy {si(summary['energy_j'], 'J')}, latency {si(summary['latency_s'], 's')}\n"
        f"{summary['wall_s']:.1f} s wall, {summary['cpu_s']:.1f} s CPU"
    )


def _show_audit(found: Audit) -> None:
    figures = found.figures
    terminal.show(*audit_tables(figures))
    why = {"ci": "the interval is narrow enough", "minutes": "the time is used up", "all": "these are all"}
    console.print(
        f"audit: {figures['n_pairs']} of {figures['n_population']} pairs replayed on ngspice"
        f"{'' if figures['reached'] == 'pairs' else ': ' + why[figures['reached']]}; "
        f"{figures['wall_s']:.1f} s wall, {figures['solver_cpu_s']:.1f} s CPU of the solver"
    )


def _show_comparison(comparison: Comparison) -> None:
    runs = (comparison.reference, comparison.candidate)
    sides, figures = [run.summary() for run in runs], comparison.figures
    terminal.show(*layer_tables(sides, [run.outside() for run in runs]), *error_tables(figures))
    accuracy = " against ".join(percent(100 * side["accuracy"]) for side in sides)
    energy = " against ".join(si(side["energy_j"], "J") for side in sides)
    latency = " against ".join(si(side["latency_s"], "s") for side in sides)
    console.print(
        f"{figures['n_samples']} samples, same label {percent(100 * figures['prediction_agreement'])}, "
        f"accuracy {accuracy}\n"
        f"per sample energy {energy}, latency {latency}\n"
        f"error in energy {percent(figures['energy_error_pct'])}, "
        f"latency {percent(figures['latency_error_pct'])}, "
        f"behaviour {percent(figures['behaviour_error_pct'])}\n"
        f"{_coverage(figures)}"
        f"CPU {figures['cpu_reference_s']:.1f} s against {figures['cpu_candidate_s']:.1f} s: "
        f"speed-up {figures['speedup']:.0f}x"
    )


def _draw_worst(directory: Path, show: Bars) -> None:
    """Draw waveforms for the report; it is written without them where ngspice cannot."""
    from simcore.report.worst_waves import draw_worst

    try:
        draw_worst(directory, show("waveforms of the worst units"))
    except SimcoreError as error:
        terminal.error(f"no waveforms of the worst units: {error}", "warning")


def _coverage(figures: Mapping[str, Any]) -> str:
    """Say how often the intervals that the candidate states hold; a line for each quantity."""
    return "".join(
        f"{quantity} of a layer inside its {100 * found['level']:.0f} % interval: {found['covered']:.0f} of "
        f"{found['n']:.0f}, {100 * found['low']:.0f} to {100 * found['high']:.0f} %\n"
        for quantity, found in figures.get("coverage", {}).items()
        if found
    )


def _report(result: RunResult | Comparison, directory: Path) -> None:
    from simcore.report import write_report

    console.print(f"report: {write_report(result, directory)}")


def _limits(text: str | None) -> dict[str, float]:
    limits = {}
    for part in text.split(",") if text else []:
        name, _, value = part.partition("=")
        try:
            limits[name.strip()] = float(value)
        except ValueError:
            limits[name.strip()] = math.nan
        if not limits[name.strip()] >= 0:
            raise UserError(f"--fail-above {part}: expected a number in percent, such as energy=2")
    unknown = set(limits) - {"energy", "latency", "behaviour"}
    if unknown:
        raise UserError(f"--fail-above: unknown error '{min(unknown)}', known: energy, latency, behaviour")
    return limits


def _fail_above(figures: Mapping[str, Any], limits: Mapping[str, float]) -> None:
    failed = False
    for name, limit in limits.items():
        value = figures[f"{name}_error_pct"]
        if value is None or value > limit:
            found = "is undefined, its limit is" if value is None else f"{percent(value)} is above"
            terminal.stderr.print(f"{name} error {found} {limit:g} %")
            failed = True
    if failed:
        terminal.abort(4)


def main() -> None:
    """Entry point of the `simcore` command."""
    for point in sorted(entry_points(group="simcore.commands"), key=lambda p: p.name):
        app.add_typer(point.load(), name=point.name)
    terminal.guarded(app)

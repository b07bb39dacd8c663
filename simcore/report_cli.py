"""The commands about what was stored: `simcore report` and `simcore explain`."""

from pathlib import Path
from typing import Annotated

import typer

from simcore import glossary, terminal
from simcore.compare import COMPARISON, Comparison, load_comparison
from simcore.errors import UserError
from simcore.result import RunResult
from simcore.terminal import console


def report_command(
    directories: Annotated[list[Path], typer.Argument(help="Directories of runs or comparisons.")],
    figures: Annotated[
        bool, typer.Option("--figures", help="Also every picture as PNG and PDF, in figures/ (matplotlib).")
    ] = False,
    tables: Annotated[
        bool, typer.Option("--tables", help="Also every table as CSV and LaTeX, in tables/.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Two runs: directory of difference.html [that of the second run].")
    ] = None,
) -> None:
    """Write report.html again from stored results; of two runs show the difference too.

    A directory that cannot be read is named at the end, all others are reported.
    """
    found: list[RunResult | Comparison] = []
    failed: list[UserError] = []
    for directory in directories:
        try:
            found.append(_report(directory, figures=figures, tables=tables))
        except UserError as error:
            failed.append(error)
    if len(directories) == 2 and all(isinstance(each, RunResult) for each in found) and not failed:
        _difference(found, out or directories[1])
    elif out is not None:
        failed.append(UserError("--out belongs to the difference of two runs that can be read"))
    for each in failed[:-1]:
        terminal.error(str(each))
    if failed:
        raise failed[-1]


def explain_command(
    columns: Annotated[
        list[str] | None, typer.Argument(help="Keys or names of columns; all if none.")
    ] = None,
) -> None:
    """Say what columns of tables, reports and files mean: unit, meaning, formula."""
    if not columns:
        for chapter in glossary.chapters().values():
            rows = [[key, each.unit, each.what] for key, each in chapter.columns.items()]
            terminal.show(terminal.table(chapter.title, ["column", "unit", "what it is"], rows))
        return
    for column in columns:
        for key, chapter, each in glossary.find(column):
            unit = f" ({each.unit})" if each.unit else ""
            console.print(f"{key}{unit}: {each.what}")
            if each.formula:
                console.print(f"  = {each.formula}")
            console.print(f"  {chapter.title.lower()}; shown as '{each.name}'")


def _report(directory: Path, *, figures: bool, tables: bool) -> RunResult | Comparison:
    from simcore.report import write_report
    from simcore.report.files import FIGURES, TABLES, write_figures, write_tables

    is_comparison = (directory / COMPARISON).exists()
    result = load_comparison(directory) if is_comparison else RunResult(directory)
    folder = directory if directory.suffix != ".h5" else directory.parent
    console.print(f"report: {write_report(result, folder)}")
    if figures:
        console.print(f"{len(write_figures(result, folder))} files: {folder / FIGURES}")
    if tables:
        console.print(f"{len(write_tables(result, folder))} files: {folder / TABLES}")
    return result


def _difference(runs: list[RunResult | Comparison], out: Path) -> None:
    from simcore.report.difference import difference_tables, write_difference

    a, b = (run for run in runs if isinstance(run, RunResult))
    terminal.show(*difference_tables(a, b))
    console.print(f"difference: {write_difference(a, b, out)}")

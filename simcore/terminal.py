"""What the command line shows: progress bars, tables, errors; shared by all commands."""

import logging
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, Protocol

import typer
from pydantic import ValidationError
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from simcore.errors import FailedJob, SimcoreError, SolverError
from simcore.manifest import explain

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""
MOST_JOBS = 20
"""Failed solver jobs that are listed."""
# Names, paths and messages are shown as they are: brackets and colons in them are no markup.
console = Console(soft_wrap=True, markup=False, emoji=False)
stderr = Console(stderr=True, soft_wrap=True, markup=False, emoji=False)

_QUANTITY = re.compile(r"|\N{EM DASH}|[+-]?\d[\d.,]*(e[+-]?\d+)?( [^ ]{1,6})?( \(.*\))?")
"""A number with or without a unit, and what is said of it in brackets; or none."""


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    """Return a rich table; columns of quantities are right-aligned, the last one may break its lines."""
    grid = Table(
        title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, show_edge=False,
        collapse_padding=True,
    )  # fmt: skip
    cells = [[str(cell) for cell in row] for row in rows]
    for index, column in enumerate(columns):
        is_quantity = all(_QUANTITY.fullmatch(row[index]) for row in cells)
        is_last = index == len(columns) - 1
        grid.add_column(
            column, justify="right" if is_quantity else "left", no_wrap=not is_last, overflow="fold"
        )
    for row in cells:
        grid.add_row(*row)
    return grid


def fits(grid: Table) -> bool:
    """Return whether a table is no wider than the terminal."""
    unbounded = console.options.update(width=10_000)
    return Measurement.get(console, unbounded, grid).maximum <= console.width


def show(*tables: Table) -> None:
    """Print tables, each with an empty line behind it."""
    for each in tables:
        console.print(each)
        console.print()


def error(message: str, kind: str = "error") -> None:
    """Show one message on stderr."""
    stderr.print(Text.assemble((f"{kind}: ", "bold red"), message))


class Warnings(logging.Handler):
    """Shows what the package warns of through `logging`, above any progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        error(record.getMessage(), "warning")


class Tell(Protocol):
    """Callback of a bar: the share done, 0..1, and what the bar is called from now on."""

    def __call__(self, done: float, what: str | None = None, /) -> None: ...


@contextmanager
def progress_bar() -> Iterator[Callable[[str], Tell]]:
    """Yield a function that opens a bar: `show(what)` returns its callback."""
    with Progress(
        TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), console=stderr,
    ) as bars:  # fmt: skip

        def show(what: str) -> Tell:
            task = bars.add_task(what, total=1.0)
            return lambda done, what=None, /: bars.update(task, completed=done, description=what)

        yield show


def guarded(app: Callable[[], Any]) -> NoReturn:
    """Run a command; an error becomes one message and its exit code, never a traceback."""
    logging.getLogger("simcore").handlers = [Warnings(logging.WARNING)]
    try:
        app()
    except SimcoreError as failure:
        error("\n".join([str(failure), *getattr(failure, "__notes__", ())]))
        if isinstance(failure, SolverError) and failure.triage:
            stderr.print(_triage(failure.triage))
        sys.exit(failure.exit_code)
    except ValidationError as failure:
        error(f"{failure.title}: {explain(failure)}")
        sys.exit(2)
    except SystemExit as leaving:  # typer's way out, after Ctrl-C too
        if leaving.code == INTERRUPTED:
            stderr.print("stopped; what was finished is kept")
        raise
    sys.exit(0)


def _triage(jobs: Sequence[FailedJob]) -> Table:
    """Return the table of failed solver jobs, every cell whole."""
    grid = Table(title="failed solver jobs", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for column in ("job", "parameters", "reason and last log lines", "deck"):
        grid.add_column(column, overflow="fold")
    for job in jobs[:MOST_JOBS]:
        grid.add_row(job.job, job.params, job.reason, job.deck)
    if len(jobs) > MOST_JOBS:
        grid.add_row(f"and {len(jobs) - MOST_JOBS} more")
    return grid


def abort(code: int) -> NoReturn:
    """Leave with an exit code and no further message."""
    raise typer.Exit(code)

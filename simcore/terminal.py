"""What the command line shows: progress bars, tables, errors; shared by all commands."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from simcore.errors import SimcoreError
from simcore.manifest import explain

console = Console(soft_wrap=True)
stderr = Console(stderr=True, soft_wrap=True)


def table(title: str, columns: list[str], rows: list[list[Any]]) -> Table:
    """Return a rich table; the first column is text, the others are right-aligned."""
    grid = Table(title=title, title_justify="left", header_style="bold")
    for index, column in enumerate(columns):
        grid.add_column(column, justify="left" if index == 0 else "right")
    for row in rows:
        grid.add_row(*(escape(str(cell)) for cell in row))
    return grid


@contextmanager
def progress_bar() -> Iterator[Callable[[str], Callable[[float], None]]]:
    """Yield a function that opens a bar: `show(what)` returns a callback for the share done, 0..1."""
    with Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), console=stderr,
    ) as bars:  # fmt: skip

        def show(what: str) -> Callable[[float], None]:
            task = bars.add_task(what, total=1.0)
            return lambda done: bars.update(task, completed=done)

        yield show


def guarded(app: Callable[[], Any]) -> NoReturn:
    """Run a command; an error becomes one message and its exit code, never a traceback."""
    try:
        app()
    except SimcoreError as error:
        stderr.print(f"[bold red]error:[/] {escape(str(error))}")
        sys.exit(error.exit_code)
    except ValidationError as error:
        stderr.print(f"[bold red]error:[/] {escape(error.title)}: {escape(explain(error))}")
        sys.exit(2)
    except KeyboardInterrupt:
        stderr.print("stopped; what was finished is kept")
        sys.exit(130)
    sys.exit(0)


def abort(code: int) -> NoReturn:
    """Leave with an exit code and no further message."""
    raise typer.Exit(code)

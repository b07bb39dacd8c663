"""Writes what a report shows as files for papers: pictures as PNG and PDF, tables as CSV and LaTeX."""

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from simcore.compare import Comparison
from simcore.errors import ResultError
from simcore.report.subject import subject_of
from simcore.report.tables import Cell, Row, Table
from simcore.report.topics import parts
from simcore.result import RunResult
from simcore.units import DASH

FIGURES, TABLES = "figures", "tables"
"""Folders in the directory of a run or comparison."""
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "µ": r"\textmu{}", DASH: "--",
    "|": r"\textbar{}", "<": r"\textless{}", ">": r"\textgreater{}",
}  # fmt: skip


def write_figures(result: RunResult | Comparison, directory: Path) -> list[Path]:
    """Write every picture of the report into `directory`/figures, PNG and PDF; return the paths.

    Raises UserError without matplotlib, ResultError where a file cannot be written.
    """
    from simcore.report.draw_mpl import save

    plots = [plot for part in parts(subject_of(result, directory)) for plot in part.plots]
    return [path for plot in plots for path in save(plot, directory / FIGURES)]


def write_tables(result: RunResult | Comparison, directory: Path) -> list[Path]:
    """Write every table of the report into `directory`/tables, CSV and LaTeX; return the paths.

    CSV holds SI values under the keys of the glossary, LaTeX what the page shows. Raises ResultError.
    """
    folder = directory / TABLES
    tables = [table for part in parts(subject_of(result, directory)) for table in part.tables]
    written = []
    for table in tables:
        name = re.sub(r"[^a-z0-9]+", "-", table.title.lower()).strip("-")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows(csv_rows(table))
            (folder / f"{name}.tex").write_text(latex(table), encoding="utf-8")
        except OSError as error:
            raise ResultError(f"cannot write {folder / name}: {error}") from error
        written += [folder / f"{name}.csv", folder / f"{name}.tex"]
    return written


def csv_rows(table: Table) -> Iterator[Sequence[str]]:
    """Yield heading and rows of a table; differences of two rows are left out, names stand in each row."""
    yield [heading.key or heading.text for heading in table.headings]
    name = ""
    for row in table.rows:
        name = row.cells[0].text or name
        if "change" not in row.kind:
            yield [name, *(_plain(cell) for cell in row.cells[1:])]


def latex(table: Table) -> str:
    """Return a table as LaTeX; needs the package booktabs."""
    columns = "l" * table.n_text + "r" * (len(table.headings) - table.n_text)
    head = " & ".join(_escaped(heading.text) for heading in table.headings)
    lines = [f"% {table.title}. {table.note}".rstrip(), f"\\begin{{tabular}}{{{columns}}}", r"\toprule",
             rf"{head} \\", r"\midrule"]  # fmt: skip
    for i, row in enumerate(table.rows):
        if i and "first" in row.kind and any("first" not in each.kind for each in table.rows):
            lines.append(r"\addlinespace")
        lines.append(rf"{_latex_row(row)} \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _latex_row(row: Row) -> str:
    return " & ".join(_escaped(" ".join(filter(None, (cell.text, cell.tag)))) for cell in row.cells)


def _plain(cell: Cell) -> str:
    if cell.value is not None:
        return repr(cell.value)
    return "" if cell.text == DASH else cell.text or cell.tag


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)

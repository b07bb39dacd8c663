"""What `simcore explore` shows at the end: the best trials, importances, where the files are."""

from simcore import terminal
from simcore.explore.charts import short_names
from simcore.explore.figures import QUANTITIES
from simcore.explore.page import shown
from simcore.explore.record import Record
from simcore.explore.study import Exploration
from simcore.explore.sweep import Sweep
from simcore.terminal import console
from simcore.units import number, percent

MOST = 10
"""Trials in the table."""


def show_exploration(found: Exploration, sweep: Sweep) -> None:
    """Print the outcome of a study."""
    best, failed = found.best[:MOST], [record for record in found.records if record.error]
    names = short_names(sweep.axes)
    columns = ["trial", "front", *names.values(), *(q.name for q in sweep.quantities)]
    is_validated = any(record.validated for record in found.records)
    columns += [f"{o.name}, ngspice" for o in sweep.objectives if is_validated]
    if best:
        rows = [_row(record, sweep, is_validated) for record in best]
        terminal.show(terminal.table(f"{sweep.name}: the best trials", columns, rows))
    if not isinstance(found.shares, str):
        rows = [
            [names[axis.name], *(percent(100 * of[axis.name]) for of in found.shares.values())]
            for axis in sweep.axes
        ]
        terminal.show(terminal.table("importance", ["knob", *found.shares], rows))
    kept = sum(record.is_feasible for record in found.records)
    console.print(f"{len(found.records)} trials, {kept} keep the constraints, {len(failed)} failed")
    for record in failed[:MOST]:
        terminal.error(f"{record.error.splitlines()[0]}", f"trial {record.number}")
    for problem in found.problems:
        terminal.error(problem)
    if found.scenarios:
        console.print(f"best scenario: simcore run {found.scenarios[0]}")
    console.print(f"table: {found.table}\nreport: {found.page}")


def _row(record: Record, sweep: Sweep, is_validated: bool) -> list[str]:
    values = [record.point[axis.name] for axis in sweep.axes]
    cells = [number(v) if isinstance(v, int | float) and not isinstance(v, bool) else str(v) for v in values]
    figures = [shown(q, record.figures[q.name]) for q in sweep.quantities]
    true = record.validated.get("corrected", {})
    said = [
        shown(QUANTITIES[o.name], true[o.name]) if o.name in true else ""
        for o in sweep.objectives
        if is_validated
    ]
    return [str(record.number), "*" * (record.rank == 0), *cells, *figures, *said]

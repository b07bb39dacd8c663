"""Writes `explore.html`: charts and the table of a study in one self-contained page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from simcore.explore.charts import charts, short_names
from simcore.explore.figures import QUANTITIES, Quantity
from simcore.explore.record import Record, best_first
from simcore.explore.sweep import Sweep
from simcore.report.page import write_page
from simcore.units import DASH, number, percent, si

FILE = "explore.html"


@dataclass(frozen=True, slots=True)
class Field:
    """A cell that can be sorted by."""

    text: str
    key: float | str | None


def write_explore_page(
    records: Sequence[Record],
    sweep: Sweep,
    shares: Mapping[str, Mapping[str, float]] | str,
    out: Path,
    store: str,
) -> Path:
    """Write the page and return its path; raises ResultError if that fails."""
    validated = [record for record in best_first(records) if record.validated]
    context = {
        "title": f"Study {sweep.name}",
        "subtitle": _subtitle(sweep),
        "headline": _headline(records, sweep),
        "importance_missing": shares if isinstance(shares, str) else "",
        "columns": _columns(sweep),
        "rows": [_row(record, sweep) for record in records],
        "failed": [record for record in records if record.error],
        "true_columns": _true_columns(sweep),
        "true_rows": [_true_row(record, sweep) for record in validated],
        "facts": _facts(sweep, store),
    }
    template = files(__package__).joinpath("page.html").read_text("utf-8")
    return write_page(out / FILE, template, context, charts(records, sweep, shares))


def shown(quantity: Quantity, value: float | None, digits: int = 4) -> str:
    """Write a figure with its unit."""
    if value is None:
        return DASH
    if not quantity.unit:
        return percent(100 * value)
    if " " in quantity.unit or quantity.unit == "m2":  # no prefix: products and powers
        return f"{value:.{digits - 1}e} {quantity.unit}"
    return si(value, quantity.unit, digits)


def _subtitle(sweep: Sweep) -> str:
    base, grid = sweep.base, "grid" if sweep.is_grid else "sampled"
    knobs = f"{len(sweep.axes)} knobs, {grid}"
    return f"{base.name} on {base.backend.default} · {knobs} · {base.samples} samples a trial"


def _headline(records: Sequence[Record], sweep: Sweep) -> list[tuple[str, str, str]]:
    n_failed = sum(bool(record.error) for record in records)
    kept = [record for record in records if record.is_feasible]
    cards = [
        (str(len(records)), "trials", f"{n_failed} failed"),
        (
            str(len(kept)),
            "keep the constraints",
            ", ".join(c.text for c in sweep.constraints) or "there are none",
        ),
        (str(sum(record.rank == 0 for record in kept)), "on the front", "best/ holds them as scenarios"),
    ]
    for objective in sweep.objectives if kept else ():
        best = min(kept, key=lambda record: objective.cost(record.figures))
        value = shown(objective.quantity, best.figures[objective.name])
        cards.append((value, f"best {objective.name}", f"trial {best.number}"))
    return cards


def _columns(sweep: Sweep) -> list[str]:
    short = short_names(sweep.axes)
    return [
        "trial", "place", "front", *(short[axis.name] for axis in sweep.axes), *_named(sweep), "out of range",
        "wall", "what went wrong",
    ]  # fmt: skip


def _row(record: Record, sweep: Sweep) -> dict[str, Any]:
    fields = [
        Field(str(record.number), record.number),
        Field("" if record.place is None else str(record.place + 1), record.place),
        Field("" if record.rank is None else str(record.rank + 1), record.rank),
    ]
    for axis in sweep.axes:
        value = record.point[axis.name]
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        fields.append(Field(number(value) if is_number else str(value), value if is_number else str(value)))
    for name in _named(sweep):
        figure = record.figures.get(name)
        fields.append(Field(shown(QUANTITIES[name], figure), figure))
    outside, wall = record.costs.get("outside"), record.costs.get("wall_s")
    fields.append(Field(percent(None if outside is None else 100 * outside, 2), outside))
    fields.append(Field(si(wall, "s", 3), wall))
    said = record.error or ("" if record.is_feasible else "breaks " + ", ".join(_broken(record, sweep)))
    kind = "failed" if record.error else "front" if record.rank == 0 else "" if record.is_feasible else "out"
    return {"kind": kind, "fields": fields, "said": said}


def _broken(record: Record, sweep: Sweep) -> list[str]:
    return [bound.text for bound in sweep.constraints if bound.excess(record.figures) > 0]


def _named(sweep: Sweep) -> list[str]:
    """Return the figures that are shown: those of the study first, then the common ones."""
    return list(dict.fromkeys([*(q.name for q in sweep.quantities), "energy", "latency", "accuracy"]))


def _true_columns(sweep: Sweep) -> list[str]:
    names = [name for name in _named(sweep) if name != "accuracy"]
    parts = [(name, f"{name}, ngspice", "error") for name in names]
    return ["trial", "samples", *(part for each in parts for part in each), "same label"]


def _true_row(record: Record, sweep: Sweep) -> list[str]:
    said = record.validated
    cells = [str(record.number), str(said["n_samples"])]
    for name in _named(sweep):
        if name == "accuracy":
            continue
        twin, true = said["twin"].get(name), said["true"].get(name)
        error = None if twin is None or not true else 100 * (twin - true) / true
        quantity = QUANTITIES[name]
        cells += [shown(quantity, twin), shown(quantity, true), percent(error, sign=True)]
    return [*cells, percent(100 * said["same_label"])]


def _facts(sweep: Sweep, store: str) -> dict[str, str]:
    config = sweep.config
    facts = {
        "sweep": sweep.where,
        "store": store,
        "objectives": ", ".join(f"{o.name}:{o.direction}" for o in sweep.objectives),
        "constraints": ", ".join(c.text for c in sweep.constraints),
        "search": f"{'grid' if sweep.is_grid else config.sampler}, seed {config.seed}",
        **{f"axis {axis.name}": f"{', '.join(axis.keys)}: {_written(axis.config)}" for axis in sweep.axes},
    }
    return {key: value for key, value in facts.items() if value}


def _written(config: Any) -> str:
    given = config.model_dump(exclude_none=True, exclude={"keys"}, exclude_defaults=True)
    return ", ".join(f"{key} {value}" for key, value in given.items())

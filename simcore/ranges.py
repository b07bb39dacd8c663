"""What a bank says of inputs outside its model's training range: sums over batches, the worst in words.

A bank may put a report under `out_of_range` into its provenance: `rows` answered and `outside`, `columns`
that left their range, and `worst`, the first of them. A column has its name, the `graph` (`driven`, `idle`),
the number of `rows`, the `value` farthest out (None where it is no finite number), `low` and `high` of the
training range, and how far `value` lies beyond, `excess_pct` of that range.
"""

import math
from collections.abc import Mapping
from typing import Any

from simcore.units import number

Report = Mapping[str, Any]


def added(first: Report | None, second: Report) -> Report:
    """Return the sum of two reports of the same bank; columns in order, the one most often outside first."""
    if first is None:
        return second
    columns: dict[tuple[str, str], Report] = {}
    for entry in (*first["columns"], *second["columns"]):
        key = entry["graph"], entry["column"]
        known = columns.get(key)
        columns[key] = entry if known is None else _joined(known, entry)
    return report(first["rows"] + second["rows"], first["outside"] + second["outside"], columns.values())


def report(rows: int, outside: int, columns: Any) -> Report:
    """Return a report with its columns in order."""
    ranked = sorted(columns, key=lambda entry: (-entry["rows"], -_excess(entry)))
    worst = ranked[0] if ranked else None
    return {"rows": rows, "outside": outside, "worst": worst, "columns": ranked}


def worst_in_words(found: Report | None) -> str | None:
    """Return such as `w above 14`, `idle` behind it for idle steps; None where nothing left its range."""
    worst = found["worst"] if found else None
    if worst is None:
        return None
    if worst["value"] is None:
        where = "not a number"
    else:
        above = worst["value"] > worst["high"]
        where = f"{'above' if above else 'below'} {_bound(worst, 'high' if above else 'low')}"
    return f"{worst['column']} {where}" + (", idle" if worst["graph"] == "idle" else "")


def _bound(entry: Report, side: str) -> str:
    """Write a bound to a hundredth or so of the range: the extremes of random data have no round values."""
    span = entry["high"] - entry["low"]
    decimals = 3 - math.ceil(math.log10(span)) if span > 0 else 12
    return number(round(entry[side], decimals) + 0.0)


def _joined(first: Report, second: Report) -> Report:
    farther = max(first, second, key=_excess)
    return {**farther, "rows": first["rows"] + second["rows"]}


def _excess(entry: Report) -> float:
    return float("inf") if entry["excess_pct"] is None else float(entry["excess_pct"])

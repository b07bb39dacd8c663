"""The timeline of the first sample: when layers were driven, shared parts worked, requests waited."""

from collections.abc import Sequence

import numpy as np

from simcore.clock import seconds
from simcore.floor import READOUT, Span
from simcore.report.plot import Array, Axis, Line, Mark, Panel, Plot
from simcore.report.sides import Side
from simcore.report.subject import Subject
from simcore.units import scale_for

DRIVEN, BUSY, WAITING = "#2f5d8c", "#5a9e8f", "#e0a458"
MOST_ROWS = 14
"""Parts that are drawn; of more those that are busy longest."""
_THICK, _THIN = 7.0, 3.0


def timeline(subject: Subject) -> Plot | None:
    """Draw the last side's first sample; None where it was not traced."""
    side = subject.sides[-1]
    if not side.result.is_traced:
        return None
    rows = _rows(side)
    ends = [end for _, bars in rows for _, _, end in bars]
    scale = scale_for(np.array(ends), "s")
    marks: list[Mark] = []
    for colour, name, width in (
        (DRIVEN, "driven", _THICK), (BUSY, "busy", _THICK), (WAITING, "request waits", _THIN)
    ):  # fmt: skip
        x, y = _segments(rows, name)
        if len(x):
            marks.append(Line(name, x * scale.factor, y, colour, width))
    ticks = tuple((float(-place), text) for place, (text, _) in enumerate(rows))
    height = Axis(low=-len(rows) + 0.4, high=0.6, ticks=ticks)
    sample = f"Sample {side.result.samples[0]} of {side.name}"
    note = (
        f"{sample}: periods in which a layer was driven, and the shared digital parts of its stage, one "
        "request per delivery. timeline.json has all of them for a trace viewer."
    )
    panel = Panel("", Axis(f"time ({scale.unit})"), height, tuple(marks))
    height_px = 60 + 26 * len(rows)
    return Plot("timeline", "Timeline of layers and shared parts", note, (panel,), panel_px=height_px)


_Row = tuple[str, list[tuple[str, float, float]]]
"""Name; bars: kind, start, end in seconds."""


def _rows(side: Side) -> list[_Row]:
    """Return the layers, each followed by the parts in front of it."""
    spans = side.result.spans()
    kept = _busiest(spans, MOST_ROWS - len(side.result.layer_columns))
    rows: list[_Row] = []
    for layer in (*side.result.layer_columns, READOUT):
        for key in [key for key in kept if key[0] == layer]:
            mine = [span for span in spans if (span.layer, span.component, span.part) == key]
            bars = [("request waits", x.asked_s, x.start_s) for x in mine if x.start_s > x.asked_s]
            rows.append((f"{key[1]} {key[2]}, {layer}", bars + [("busy", x.start_s, x.end_s) for x in mine]))
        if layer != READOUT:
            rows.append((layer, _driven(side, layer)))
    return rows


def _busiest(spans: Sequence[Span], most: int) -> list[tuple[str, str, int]]:
    busy: dict[tuple[str, str, int], float] = {}
    for span in spans:
        key = (span.layer, span.component, span.part)
        busy[key] = busy.get(key, 0.0) + span.end_s - span.start_s
    longest = sorted(busy, key=lambda key: -busy[key])[: max(most, 0)]
    return sorted(longest)


def _driven(side: Side, layer: str) -> list[tuple[str, float, float]]:
    rows = side.result.trace(layer)
    period_s = seconds(int(side.result.provenance["layers"][layer]["spec"]["period_ps"]))
    mine = (rows.lane == side.result.samples[0]) & ~rows.idle
    return [
        ("driven", step * period_s, (step + 1) * period_s) for step in np.unique(rows.step[mine]).tolist()
    ]


def _segments(rows: Sequence[_Row], kind: str) -> tuple[Array, Array]:
    """Return the bars of one kind as a line that breaks between them."""
    x: list[float] = []
    y: list[float] = []
    for place, (_, bars) in enumerate(rows):
        for name, start, end in bars:
            if name == kind:
                x += [start, end, np.nan]
                y += [-place, -place, np.nan]
    return np.array(x), np.array(y)

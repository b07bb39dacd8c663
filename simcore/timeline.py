"""The timeline of a traced run's first sample, as a file for the trace viewer of a browser.

A layer is a process: a track with the periods in which its units were driven, and one for each shared part of
the digital logic in front of it, with its requests; where one waited, a bar for that stands before it. The
file opens in ui.perfetto.dev and chrome://tracing.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from simcore.clock import seconds
from simcore.floor import READOUT, Span
from simcore.ledger import TraceRows
from simcore.result import RunResult

FILE = "timeline.json"
US = 1e6
"""The format counts in microseconds."""


def write_timeline(result: RunResult, directory: Path) -> Path | None:
    """Write `timeline.json`; None where the run was not traced."""
    if not result.is_traced:
        return None
    path = directory / FILE
    events = list(_events(result))
    path.write_text(json.dumps({"displayTimeUnit": "ns", "traceEvents": events}) + "\n", encoding="utf-8")
    return path


def _events(result: RunResult) -> Iterator[dict[str, Any]]:
    names = [*result.layer_columns, READOUT]
    spans = result.spans()
    for process, name in enumerate(names):
        yield _meta("process_name", process, 0, name)
        yield {"ph": "M", "name": "process_sort_index", "pid": process, "args": {"sort_index": process}}
        if name != READOUT:
            yield _meta("thread_name", process, 0, "analog units")
            period_s = seconds(int(result.provenance["layers"][name]["spec"]["period_ps"]))
            yield from _periods(result.trace(name), int(result.samples[0]), period_s, process)
        tracks: dict[tuple[str, int], int] = {}
        for span in (each for each in spans if each.layer == name):
            track = tracks.setdefault((span.component, span.part), len(tracks) + 1)
            if track == len(tracks):
                yield _meta("thread_name", process, track, f"{span.component} {span.part}")
            yield from _request(span, process, track)


def _periods(rows: TraceRows, sample: int, period_s: float, process: int) -> Iterator[dict[str, Any]]:
    """Yield one bar per period in which units were driven, with how many, and how many fired."""
    mine = rows.lane == sample
    n = int(rows.step[mine].max(initial=0)) + 1
    driven = np.bincount(rows.step[mine & ~rows.idle], minlength=n)
    fired = np.bincount(rows.step[mine & rows.fired & ~rows.merged], minlength=n)
    for step in np.flatnonzero(driven).tolist():
        counts = {"driven": int(driven[step]), "events": int(fired[step])}
        yield _bar("driven", step * period_s, period_s, process, 0, counts)


def _request(span: Span, process: int, track: int) -> Iterator[dict[str, Any]]:
    waited_s = span.start_s - span.asked_s
    if waited_s > 0:
        yield _bar("waits", span.asked_s, waited_s, process, track, {})
    length_s = span.end_s - span.start_s
    yield _bar(span.component, span.start_s, length_s, process, track, {"waited_ns": 1e9 * waited_s})


def _bar(
    name: str, start_s: float, length_s: float, process: int, track: int, told: dict[str, Any]
) -> dict[str, Any]:
    return {
        "ph": "X", "name": name, "ts": US * start_s, "dur": US * length_s, "pid": process, "tid": track,
        "args": told,
    }  # fmt: skip


def _meta(what: str, process: int, track: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": what, "pid": process, "tid": track, "args": {"name": name}}

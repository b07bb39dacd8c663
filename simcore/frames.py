"""Traces as pandas frames: one row per output event or per step of a bank."""

from typing import TYPE_CHECKING, Any

import numpy as np

from simcore.clock import seconds
from simcore.errors import UserError
from simcore.ledger import TraceRows

if TYPE_CHECKING:
    import pandas as pd

    from simcore.result import RunResult


def events_frame(result: "RunResult", layer: str | None, *, every_step: bool) -> "pd.DataFrame":
    """Return the events of a layer, or of all; see `RunResult.events`. Raises UserError."""
    import pandas as pd

    known = list(result.layer_columns)
    if layer is not None and layer not in known:
        raise UserError(f"{result.path}: no layer '{layer}'; known: {', '.join(known)}")
    parts = []
    for name in known if layer is None else [layer]:
        frame = pd.DataFrame(_columns(name, result.trace(name), result.provenance["layers"][name]["spec"]))
        parts.append(frame if every_step else frame[frame.fired])
    return pd.concat(parts, ignore_index=True)


def _columns(layer: str, rows: TraceRows, spec: dict[str, Any]) -> dict[str, Any]:
    """Return the columns of the frame; values of ports under `in.NAME` and `out.NAME`."""
    driven = np.where(rows.fired, "active", "quiet")
    return {
        "layer": layer,
        "sample": rows.lane,
        "unit": rows.unit,
        "step": rows.step,
        "periods": rows.periods,
        "kind": np.where(rows.idle, "idle", driven),
        "fired": rows.fired,
        "late": rows.fired & rows.merged,
        "time_s": event_times_s(rows, spec["period_ps"]),
        "latency_s": rows.latency_s,
        "supply_j": rows.supply_j,
        "input_j": rows.input_j,
        **_ports("in", "input", rows.inputs, spec),
        **_ports("out", "output", rows.outputs, spec),
    }


def event_times_s(rows: TraceRows, period_ps: int) -> Any:
    """Return when each row's event happened, (n,), NaN where nothing fired.

    A latency counts from the last driven edge: the unit's own step, or the driven one before an idle step.
    """
    order = np.lexsort([rows.step, rows.unit, rows.lane])
    lane, unit, step, idle = (x[order] for x in (rows.lane, rows.unit, rows.step, rows.idle))
    first = np.r_[np.ones(min(len(step), 1), np.bool_), (lane[1:] != lane[:-1]) | (unit[1:] != unit[:-1])]
    place = np.maximum.accumulate(np.where(first | ~idle, np.arange(len(step)), 0))
    edge = np.empty(len(step), dtype=np.int64)
    edge[order] = np.where(idle[place], 0, step[place])
    return edge * seconds(period_ps) + rows.latency_s


def _ports(prefix: str, kind: str, values: Any, spec: dict[str, Any]) -> dict[str, Any]:
    names: list[str] = []
    for port in spec["ports"]:
        if port["kind"] == kind:
            size = port.get("size")
            names += [port["name"]] if size is None else [f"{port['name']}{i}" for i in range(size)]
    return {f"{prefix}.{name}": values[:, i] for i, name in enumerate(names)}

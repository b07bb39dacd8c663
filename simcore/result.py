"""RunResult: what a run leaves behind, read from its HDF5 file; `result_writer` writes it."""

import copy
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from numpy.typing import NDArray

from simcore.bank import Floats
from simcore.digital import Component
from simcore.errors import ResultError
from simcore.floor import Span
from simcore.ledger import StepKind, TraceRows
from simcore.ranges import worst_in_words
from simcore.stored import opened, read_provenance
from simcore.units import percent

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1
FILE = "result.h5"
LEVEL = 0.9
"""Level of the prediction intervals that are shown."""
WHOLE, CHOSEN = "trace", "chosen_trace"
"""Groups of the rows of all units, and of units that were chosen before the run."""
TIMELINE = "timeline"
"""Requests of the first sample for shared digital parts, JSON as bytes."""
COUNTERS = ("out_of_range", "rail_excursions", "guarded")
TOTALS = (
    "supply_j", "input_j", "steps", "fired", "late", "latency_sum_s", "timed", "last_event_s",
    "unit_energy_j", "unit_fired",
)  # fmt: skip
"""Columns of a layer that the ledger adds up."""
_TOTALS_READ = tuple(name for name in TOTALS if name != "timed")
"""Columns of each layer that a run must have; runs without static circuits may lack `timed`."""


class RunResult:
    """A stored run, read whole except for its trace."""

    def __init__(self, directory: Path) -> None:
        """Open the run in `directory` (or its result file); raises ResultError."""
        self.path = directory if directory.suffix == ".h5" else directory / FILE
        if not self.path.exists():
            raise ResultError(f"no run in {directory}: {self.path} does not exist")
        with opened(self.path) as file:
            self.provenance = read_provenance(file, self.path, SCHEMA, (*_TOTALS_READ, "actions"))
            results = file["results"]
            self.samples: NDArray[np.int64] = results["sample"][:]
            n = len(self.samples)
            self.labels: NDArray[np.int64] = results["label"][:n]
            self.scores: Floats = results["scores"][:n]
            if "duration_s" not in results:
                raise ResultError(f"{self.path}: written by an earlier version; run again")
            self.duration_s: Floats = results["duration_s"][:n]
            self.layer_columns = {
                name: {column: data[:n] for column, data in results[f"layers/{name}"].items()}
                for name in self.provenance["layers"]
            }
            self.is_traced = WHOLE in file
            self.has_chosen = CHOSEN in file

    def head(self, n: int) -> "RunResult":
        """Return a view of the first n samples; all figures are then theirs."""
        view = copy.copy(self)
        view.samples, view.labels, view.scores = self.samples[:n], self.labels[:n], self.scores[:n]
        view.duration_s = self.duration_s[:n]
        view.layer_columns = {
            name: {column: data[:n] for column, data in columns.items()}
            for name, columns in self.layer_columns.items()
        }
        return view

    @property
    def predictions(self) -> NDArray[np.int64]:
        """(n,) the class with the largest score; the first of equals."""
        return np.asarray(np.argmax(self.scores, axis=1))

    @property
    def accuracy(self) -> float:
        """Share of the samples whose prediction is their label."""
        return float(np.mean(self.predictions == self.labels))

    def trace(self, layer: str) -> TraceRows:
        """Return the rows of a layer, `lane` holding the sample; raises ResultError if not traced."""
        return self._rows(layer, (WHOLE,), "run again with --trace")

    def chosen_trace(self, layer: str) -> TraceRows:
        """Return the rows of a layer's traced units, if only chosen ones are there; raises ResultError."""
        return self._rows(layer, (WHOLE, CHOSEN), "run again with --trace or --audit")

    def traced_layers(self) -> list[str]:
        """Return the layers whose every row was kept."""
        with opened(self.path) as file:
            return [name for name in self.layer_columns if f"{WHOLE}/{name}" in file]

    def latencies(self, layer: str) -> Floats:
        """Return the latencies of a layer's events in time, (n,) in no order; ResultError if not traced."""
        columns = ("lane", "fired", "merged", "latency_s")
        lane, fired, merged, latency = self._columns(layer, (WHOLE,), "run again with --trace", columns)
        known = fired & ~merged & ~np.isnan(latency)
        return np.asarray(latency[known & np.isin(lane, self.samples)])

    def _rows(self, layer: str, groups: tuple[str, ...], remedy: str) -> TraceRows:
        rows = TraceRows(*self._columns(layer, groups, remedy, tuple(TraceRows.__slots__)))
        return rows.take(np.isin(rows.lane, self.samples))

    def _columns(
        self, layer: str, groups: tuple[str, ...], remedy: str, names: tuple[str, ...]
    ) -> list[NDArray[Any]]:
        with opened(self.path) as file:
            found = [file[f"{group}/{layer}"] for group in groups if f"{group}/{layer}" in file]
            if not found:
                raise ResultError(f"{self.path}: layer {layer} was not traced; {remedy}")
            return [found[0][name][: found[0].attrs["n"]] for name in names]

    def spans(self) -> list[Span]:
        """Return the requests of the first sample for shared digital parts; none where it was not traced."""
        with h5py.File(self.path) as file:
            text = file[TIMELINE][:].tobytes() if TIMELINE in file else b"[]"
        return [Span(*each) for each in json.loads(text)]

    def layers(self) -> "pd.DataFrame":
        """Return one row per layer: means per sample, the columns of `layers.csv`."""
        import pandas as pd

        return pd.DataFrame([self._layer(name) for name in self.layer_columns])

    def events(self, layer: str | None = None, *, every_step: bool = False) -> "pd.DataFrame":
        """Return one row per output event, or per bank step, of one layer or all; ResultError if not traced.

        Columns: `simcore explain`, chapter Events.
        """
        from simcore.frames import events_frame

        return events_frame(self, layer, every_step=every_step)

    def _repr_html_(self) -> str:
        """Show the run in a notebook: its figures and the energy of each layer."""
        from simcore.report.notebook import run_html

        return run_html(self)

    def digital(self, layer: str) -> dict[str, float]:
        """Return the energy per digital component of a layer in joules, mean per sample.

        Actions, and what the layer's parts draw all the time.
        """
        actions = self.layer_columns[layer]["actions"].mean(axis=0)
        parts = self.provenance["layers"][layer].get("parts", {})
        found = {}
        for i, (name, component) in enumerate(self.components.items()):
            static_j = parts.get(name, 0) * component.static_w * float(self.duration_s.mean())
            if actions[i] or static_j:
                found[name] = float(actions[i] * component.energy_j + static_j)
        return found

    @cached_property
    def components(self) -> dict[str, Component]:
        """The digital components of the run, in the order of the stored actions."""
        return {name: Component.model_validate(each) for name, each in self.provenance["components"].items()}

    def outside(self) -> dict[str, str]:
        """Return layer -> share of its steps that were out of range, with the worst input of its bank.

        Such as `0.2 % (w above 14)`; layers that stayed in range are left out. Layers share banks, and the
        worst input is counted over the whole run; only surrogates tell it.
        """
        worst = {
            layer: worst_in_words(bank.get("out_of_range"))
            for bank in self.provenance.get("banks", [])
            for layer in bank.get("layers", [])
        }
        texts = {}
        for name, columns in self.layer_columns.items():
            if columns["out_of_range"].any():
                share = percent(100 * columns["out_of_range"].sum() / columns["steps"].sum(), 2)
                texts[name] = f"{share} ({worst[name]})" if worst.get(name) else share
        return texts

    def summary(self) -> dict[str, Any]:
        """Return the content of `summary.json`; what is undefined is None."""
        layers = [self._layer(name) for name in self.layer_columns]
        paths = [layer["critical_path_s"] for layer in layers if layer["critical_path_s"] is not None]
        return {
            **{key: self.provenance[key] for key in ("scenario", "architecture", "backend", "dataset")},
            "n_samples": len(self.samples),
            "accuracy": self.accuracy,
            "energy_j": sum(layer["energy_j"] for layer in layers),
            "latency_s": max(paths, default=None),
            **{key: self.provenance[key] for key in ("wall_s", "cpu_s", "seed")},
            "layers": layers,
        }

    def _layer(self, name: str) -> dict[str, Any]:
        columns, info = self.layer_columns[name], self.provenance["layers"][name]
        supply, input_ = columns["supply_j"].mean(axis=0), columns["input_j"].mean(axis=0)
        analog, steps = supply + input_, columns["steps"].mean(axis=0)
        digital_j = sum(self.digital(name).values())
        last = columns["taken_in_s"]
        timed = int(columns.get("timed", columns["fired"]).sum())
        return {
            "name": name,
            "backend": info["backend"],
            "n_units": info["n_units"],
            "energy_j": float(analog.sum() + digital_j),
            "supply_j": float(supply.sum()),
            "input_j": float(input_.sum()),
            "digital_j": float(digital_j),
            "active_j": float(analog[StepKind.ACTIVE]),
            "quiet_j": float(analog[StepKind.QUIET]),
            "idle_j": float(analog[StepKind.IDLE]),
            "event_latency_s": float(columns["latency_sum_s"].sum() / timed) if timed else None,
            "energy_interval_pct": half_width_pct(info, "energy"),
            "latency_interval_pct": half_width_pct(info, "latency"),
            "critical_path_s": (None if np.isnan(last).all() else float(np.nanmean(last))),
            "wait_s": float(columns["wait_s"].mean()),
            "missed": float(columns["missed"].mean()),
            "events_active": float(steps[StepKind.ACTIVE]),
            "events_quiet": float(steps[StepKind.QUIET]),
            "events_idle": float(steps[StepKind.IDLE]),
            "events_late": float(columns["late"].mean()),
            "out_of_range": float(columns["out_of_range"].mean()),
            "rail_excursions": float(columns["rail_excursions"].mean()),
            "guarded": float(columns["guarded"].mean()) if "guarded" in columns else 0.0,
        }


def half_width_pct(layer: Mapping[str, Any], quantity: str, level: float = LEVEL) -> float | None:
    """Return the half-width of the interval of a layer's total in one sample, if its model was calibrated.

    `layer` is the layer's entry in the provenance.
    """
    widths = [
        100 * float(each["half_width"])
        for each in layer.get("intervals", [])
        if each["quantity"] == quantity and each["level"] == level
    ]
    return widths[0] if widths else None

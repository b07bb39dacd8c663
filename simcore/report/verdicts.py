"""The verdict on each layer: can its figures be believed, and why; the words stand in the glossary."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from simcore.glossary import define
from simcore.report.errors_table import verdict
from simcore.report.subject import Subject
from simcore.units import percent

OUT_FROM_PCT = 1.0
"""Share of a layer's steps outside the model's range from which its figures are extrapolated."""
COARSE_FROM_PCT = 10.0
"""Error from which on a figure that is clear of its baseline is no longer called trusted."""
JUDGED = (
    "aligned.energy", "aligned.latency", "aligned.event", "aligned.output", "cascade.energy",
    "cascade.behaviour",
)  # fmt: skip
"""Figures that decide; those per kind of step are parts of them."""
_PARTS = ("aligned.energy_active", "aligned.energy_quiet", "aligned.energy_idle")
SOLVER = "spice"


@dataclass(frozen=True, slots=True)
class LayerVerdict:
    """What is said of a layer."""

    layer: str
    word: str
    """A key of the glossary's chapter Verdicts."""
    reasons: tuple[str, ...]

    @property
    def hover(self) -> str:
        """Return what the word means."""
        return define(self.word).what


def verdicts(subject: Subject) -> list[LayerVerdict]:
    """Return the verdict on each layer of the candidate, or of the run, in network order."""
    side = subject.sides[-1]
    found = []
    for name in side.result.layer_columns:
        layer = side.layer(name)
        out = layer["out_of_range_pct"] or 0.0
        word, reasons = _evidence(subject, name, layer)
        if out >= OUT_FROM_PCT:
            word = "out of range"
        if out > 0:
            worst = f", {layer['worst']}" if layer["worst"] else ""
            reasons = [*reasons, f"{percent(out)} of the steps out of range{worst}"]
        found.append(LayerVerdict(name, word, tuple(reasons)))
    return found


def _evidence(subject: Subject, name: str, layer: Mapping[str, Any]) -> tuple[str, list[str]]:
    if subject.figures is not None:
        figures = next(each for each in subject.figures["layers"] if each["name"] == name)
        return _compared(figures)
    if layer["backend"] == SOLVER:
        return "reference", ["ngspice answered this layer"]
    audited = next((each for each in (subject.audit or {}).get("layers", []) if each["name"] == name), None)
    if audited is not None and audited["energy"]["value_pct"] is not None:
        return _audited(audited)
    stated = layer.get("energy_interval_pct")
    hint = "not compared; simcore compare or run --audit measures its error"
    return "not judged", [hint, *([f"the model states +-{percent(stated)} energy (90 %)"] if stated else [])]


def _compared(layer: Mapping[str, Any]) -> tuple[str, list[str]]:
    words: dict[str, list[str]] = {}
    for column in JUDGED:
        figure = _figure(layer, column)
        word = verdict(figure)
        if word == "clear" and figure["value_pct"] >= COARSE_FROM_PCT:
            word = "coarse"
        words.setdefault(word, []).append(column)
    order = ("trivial", "coarse", "clear", "at the floor")
    worst = next((word for word in order if word in words), "")
    names = {"clear": "trusted", "at the floor": "at the noise floor", "": "not judged"}
    shown = words.get(worst, []) if worst in ("trivial", "coarse") else []
    reasons = [_reason(layer, column) for column in shown or ("aligned.energy", "aligned.latency")]
    parts = [define(part).name for part in _PARTS if verdict(_figure(layer, part)) == "trivial"]
    if parts:
        reasons.append(f"trivial in {' and '.join(parts)} steps alone")
    return names.get(worst, worst), [reason for reason in reasons if reason]


def _figure(layer: Mapping[str, Any], column: str) -> Mapping[str, Any]:
    view, _, key = column.partition(".")
    found: Mapping[str, Any] = layer[view][key]
    return found


def _reason(layer: Mapping[str, Any], column: str) -> str:
    figure = _figure(layer, column)
    if figure["value_pct"] is None:
        return ""
    beside = [("a constant", figure["baseline_pct"]), ("noise", figure["noise_pct"])]
    known = [f"{name} {percent(value)}" for name, value in beside if value is not None]
    return " · ".join([f"{define(column).name} {percent(figure['value_pct'])}", *known])


def _audited(layer: Mapping[str, Any]) -> tuple[str, list[str]]:
    energy = layer["energy"]
    low, high = (percent(value) for value in energy["ci95_pct"])
    word = "trusted" if energy["ci95_pct"][1] < COARSE_FROM_PCT else "coarse"
    return word, [f"audit: energy {percent(energy['value_pct'])} ({low} to {high})"]

"""The runs that a report shows next to each other: one, or a reference and a candidate."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from simcore.compare import Comparison
from simcore.result import RunResult

REFERENCE_COLOUR, CANDIDATE_COLOUR = "#2f5d8c", "#d9772b"


@dataclass(frozen=True, slots=True)
class Side:
    """One run of a report."""

    role: str
    """`reference`, `candidate`, or empty for a run on its own."""
    name: str
    """What the side is called in tables and legends: its back end, unique within the report."""
    colour: str
    result: RunResult
    summary: dict[str, Any]
    """Content of `summary.json`."""
    more: Mapping[str, Mapping[str, Any]]
    """Layer -> what the summary has not: shares, quantiles of latency, the worst input."""

    @property
    def short(self) -> str:
        """Return a name for a tick of an axis."""
        return self.role if "(" in self.name else self.name

    def layer(self, name: str) -> dict[str, Any]:
        """Return all figures of one layer."""
        found = next(layer for layer in self.summary["layers"] if layer["name"] == name)
        return {**found, **self.more[name]}


def sides_of(source: RunResult | Comparison) -> tuple[Side, ...]:
    """Return one side for a run, two for a comparison."""
    if isinstance(source, RunResult):
        return (side_of(source, "", source.provenance["backend"], REFERENCE_COLOUR),)
    runs = {"reference": source.reference, "candidate": source.candidate}
    backends = [run.provenance["backend"] for run in runs.values()]
    same = backends[0] == backends[1]
    return tuple(
        side_of(run, role, f"{backend} ({role})" if same else backend, colour)
        for (role, run), backend, colour in zip(
            runs.items(), backends, (REFERENCE_COLOUR, CANDIDATE_COLOUR), strict=True
        )
    )


def side_of(result: RunResult, role: str, name: str, colour: str) -> Side:
    """Return a run as a side of a report; raises ResultError where its trace is damaged."""
    summary = result.summary()
    outside = result.outside()
    more = {
        layer["name"]: {
            "share_pct": 100 * layer["energy_j"] / summary["energy_j"] if summary["energy_j"] else None,
            **latency_quantiles(result, layer["name"]),
            "out_of_range_pct": out_of_range_pct(result, layer["name"]),
            "worst": outside.get(layer["name"], "").partition("(")[2].removesuffix(")"),
            "untimed": "" if result.is_traced else "not traced",
        }
        for layer in summary["layers"]
    }
    return Side(role, name, colour, result, summary, more)


def latency_quantiles(result: RunResult, layer: str) -> dict[str, float | None]:
    """Return p50, p95 and max of the event latencies of a layer; None where no event was traced."""
    keys = ("latency_p50_s", "latency_p95_s", "latency_max_s")
    latencies = result.latencies(layer) if result.is_traced else np.zeros(0)
    if not len(latencies):
        return dict.fromkeys(keys)
    return dict(zip(keys, np.percentile(latencies, [50, 95, 100]).tolist(), strict=True))


def out_of_range_pct(result: RunResult, layer: str) -> float | None:
    """Return the share of a layer's steps that left the model's range, in percent."""
    columns = result.layer_columns[layer]
    steps = float(columns["steps"].sum())
    return 100 * float(columns["out_of_range"].sum()) / steps if steps else None


@dataclass(frozen=True, slots=True)
class LayerKind:
    """What the plots need to know of a layer's circuit, from the provenance."""

    name: str
    period_ps: int
    is_encoder: bool
    is_level: bool
    """Its output is a level sampled at the edge, not a spike."""
    unit: str
    """Unit of the output port."""
    output: str = ""
    """Name of the output port."""
    states: tuple[str, ...] = ()
    """Names of the state ports."""


def layer_kinds(result: RunResult) -> list[LayerKind]:
    """Return the layers of a run, in network order."""
    kinds = []
    for name in result.layer_columns:
        info = result.provenance["layers"][name]
        output = next(port for port in info["spec"]["ports"] if port["kind"] == "output")
        kinds.append(
            LayerKind(
                name=name,
                period_ps=info["spec"]["period_ps"],
                is_encoder=info["is_encoder"],
                is_level=output["detector"]["kind"] == "settled",
                unit=output["unit"],
                output=output["name"],
                states=tuple(port["name"] for port in info["spec"]["ports"] if port["kind"] == "state"),
            )
        )
    return kinds

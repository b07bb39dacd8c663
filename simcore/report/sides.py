"""The runs that a report shows next to each other: one, or a reference and a candidate."""

from dataclasses import dataclass
from typing import Any

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

    def layer(self, name: str) -> dict[str, Any]:
        """Return the summary of one layer."""
        return next(layer for layer in self.summary["layers"] if layer["name"] == name)


def sides_of(source: RunResult | Comparison) -> tuple[Side, ...]:
    """Return one side for a run, two for a comparison."""
    if isinstance(source, RunResult):
        summary = source.summary()
        return (Side("", summary["backend"], REFERENCE_COLOUR, source, summary),)
    first, second = source.reference.summary(), source.candidate.summary()
    same = first["backend"] == second["backend"]
    names = [f"{x['backend']} ({role})" if same else x["backend"] for x, role in
             ((first, "reference"), (second, "candidate"))]  # fmt: skip
    return (
        Side("reference", names[0], REFERENCE_COLOUR, source.reference, first),
        Side("candidate", names[1], CANDIDATE_COLOUR, source.candidate, second),
    )


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
            )
        )
    return kinds

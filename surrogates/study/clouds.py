"""Predicted against reference, row by row: what a correlation plot shows."""

from dataclasses import dataclass

import numpy as np

from simcore.bank import Floats, StepResult
from simcore.spec import PortKind
from surrogates.study.heads import both_timed, energy_j, kinds
from surrogates.study.subject import Truth


@dataclass(frozen=True, slots=True)
class Cloud:
    """One head: n rows of reference and prediction."""

    name: str
    unit: str
    reference: Floats
    predicted: Floats

    @property
    def r2(self) -> float | None:
        """Share of the variance that the prediction explains; None where the reference has none."""
        spread = float(((self.reference - self.reference.mean()) ** 2).sum()) if len(self.reference) else 0.0
        return 1 - float(((self.predicted - self.reference) ** 2).sum()) / spread if spread else None


def clouds(truth: Truth, answer: StepResult) -> list[Cloud]:
    """Return energies by kind of step, latency, each state and each level output; empty ones left out."""
    steps, spec = truth.steps, truth.spec
    ours, theirs, timed = energy_j(steps), energy_j(answer), both_timed(truth, answer)
    found = [Cloud(f"energy {name}", "J", ours[rows], theirs[rows]) for name, rows in kinds(steps).items()]
    found.append(Cloud("latency", "s", steps.latency_s[timed], answer.latency_s[timed]))
    levels = [(PortKind.STATE, steps.state, answer.state)]
    if is_level(truth):
        levels.append((PortKind.OUTPUT, steps.outputs, answer.outputs))
    for kind, reference, predicted in levels:
        units = [port.unit for port in spec.of(kind) for _ in port.columns]
        found += [
            Cloud(name, unit, reference[:, i], predicted[:, i])
            for i, (name, unit) in enumerate(zip(spec.columns(kind), units, strict=True))
        ]
    return [cloud for cloud in found if len(cloud.reference)]


def is_level(truth: Truth) -> bool:
    """Return whether the outputs are levels, as those of a crossbar row, and no events."""
    detector = truth.spec.of(PortKind.OUTPUT)[0].detector
    return detector is not None and detector.kind == "settled"


def sampled(cloud: Cloud, most: int) -> Cloud:
    """Return `most` rows of a cloud, drawn at random, or all."""
    if len(cloud.reference) <= most:
        return cloud
    rows = np.sort(np.random.default_rng(0).choice(len(cloud.reference), most, replace=False))
    return Cloud(cloud.name, cloud.unit, cloud.reference[rows], cloud.predicted[rows])

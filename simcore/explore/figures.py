"""Figures that a study looks at: objectives, constraints, and where `summary.json` holds them."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simcore.errors import ResultError, SweepError


@dataclass(frozen=True, slots=True)
class Quantity:
    """A figure of a run that can be an objective or be bounded."""

    name: str
    label: str
    unit: str
    """SI unit, empty for a share."""
    stored_unit: str
    """Unit in which the store has it: samplers and importances lose values far below 1 in their rounding."""
    per_si: float
    """Stored units in an SI unit."""
    is_better_high: bool = False
    highest: float = math.inf
    """Values are 0..highest."""


QUANTITIES = {
    each.name: each
    for each in (
        Quantity("energy", "energy per sample", "J", "nJ", 1e9),
        Quantity("latency", "latency per sample", "s", "ns", 1e9),
        Quantity("accuracy", "accuracy", "", "", 1.0, is_better_high=True, highest=1.0),
        Quantity("edp", "energy-delay product", "J s", "nJ ns", 1e18),
        Quantity("area", "area", "m2", "um2", 1e12),
    )
}
_KEYS = {"energy": "energy_j", "latency": "latency_s", "accuracy": "accuracy", "area": "area_m2"}
"""Name -> key in `summary.json`; `edp` is a product."""
_BOUND = re.compile(r"\s*(>=|<=|>|<)\s*(\S+)\s*")


@dataclass(frozen=True, slots=True)
class Objective:
    """A quantity and the direction in which it gets better."""

    quantity: Quantity
    direction: str
    """`min` or `max`."""

    @property
    def name(self) -> str:
        """Name of its quantity."""
        return self.quantity.name

    def cost(self, figures: Mapping[str, float]) -> float:
        """Return the figure with the sign that makes less better."""
        return figures[self.name] if self.direction == "min" else -figures[self.name]


@dataclass(frozen=True, slots=True)
class Constraint:
    """A bound of a quantity; 0 or less of `excess` fulfils it."""

    quantity: Quantity
    relation: str
    bound: float

    @property
    def text(self) -> str:
        """As it is written, such as `accuracy >= 0.9`."""
        return f"{self.quantity.name} {self.relation} {self.bound:g}"

    def excess(self, figures: Mapping[str, float]) -> float:
        """Return how far a figure is beyond the bound."""
        over = figures[self.quantity.name] - self.bound
        over = -over if self.relation[0] == ">" else over
        return over if over or len(self.relation) == 2 else math.ulp(self.bound)


def figures_of(summary: Mapping[str, Any]) -> dict[str, float]:
    """Return the known quantities of a run; one that is undefined or not given is left out."""
    found = {name: summary.get(key) for name, key in _KEYS.items()}
    known = {name: float(value) for name, value in found.items() if value is not None}
    if "energy" in known and "latency" in known:
        known["edp"] = known["energy"] * known["latency"]
    return known


def check_given(figures: Mapping[str, float], wanted: Sequence[Quantity]) -> None:
    """Raise ResultError where a run lacks a figure that the study needs."""
    for quantity in wanted:
        if quantity.name not in figures:
            raise ResultError(
                f"{quantity.name} is undefined in this run; it has: {', '.join(figures) or 'nothing'}"
            )


def read_objectives(written: Sequence[str], where: str) -> tuple[Objective, ...]:
    """Read `energy`, `energy:min`, ...; raises SweepError."""
    objectives = []
    for text in written:
        name, _, direction = text.partition(":")
        quantity = _quantity(name.strip(), f"{where}: study.objectives")
        direction = direction.strip() or ("max" if quantity.is_better_high else "min")
        if direction not in ("min", "max"):
            raise SweepError(f"{where}: study.objectives: '{text}': expected {name}:min or {name}:max")
        objectives.append(Objective(quantity, direction))
    names = [objective.name for objective in objectives]
    if not names or len(set(names)) < len(names):
        raise SweepError(f"{where}: study.objectives: got {list(written)}, expected each once, at least one")
    return tuple(objectives)


def read_constraints(table: Mapping[str, str | Sequence[str]], where: str) -> tuple[Constraint, ...]:
    """Read `accuracy = ">= 0.9"` or a list of bounds; raises SweepError, also where none can be met."""
    constraints: list[Constraint] = []
    for name, written in table.items():
        place = f"{where}: constraints.{name}"
        quantity = _quantity(name, f"{where}: constraints")
        mine = [
            _bound(quantity, text, place) for text in ([written] if isinstance(written, str) else written)
        ]
        _check_possible(quantity, mine, place)
        constraints += mine
    return tuple(constraints)


def _quantity(name: str, place: str) -> Quantity:
    if name not in QUANTITIES:
        raise SweepError(f"{place}: unknown figure '{name}', known: {', '.join(QUANTITIES)}")
    return QUANTITIES[name]


def _bound(quantity: Quantity, text: str, place: str) -> Constraint:
    found = _BOUND.fullmatch(text)
    try:
        bound = float(found[2]) if found else math.nan
    except ValueError:
        bound = math.nan
    if found is None or not math.isfinite(bound):
        unit = f" in {quantity.unit}" if quantity.unit else ""
        raise SweepError(f"{place}: got '{text}', expected a bound{unit}, such as '>= 0.9'")
    return Constraint(quantity, found[1], bound)


def _check_possible(quantity: Quantity, bounds: Sequence[Constraint], place: str) -> None:
    """Refuse bounds that leave nothing of the quantity's own range."""
    lows = [(b.bound, b.relation == ">") for b in bounds if b.relation[0] == ">"] + [(0.0, False)]
    highs = [(b.bound, b.relation == "<") for b in bounds if b.relation[0] == "<"]
    low, high = max(lows), min([*highs, (quantity.highest, False)], key=lambda x: (x[0], not x[1]))
    if low[0] > high[0] or (low[0] == high[0] and (low[1] or high[1])):
        written = " and ".join(f"{bound.relation} {bound.bound:g}" for bound in bounds)
        raise SweepError(
            f"{place}: '{written}' contradicts itself: {quantity.name} is 0 to {quantity.highest:g}"
        )

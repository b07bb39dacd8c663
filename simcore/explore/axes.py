"""Axes of a sweep: a list, a range or a set of choices behind one scenario key, or behind several at once."""

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from pydantic import ValidationError, model_validator

from simcore.errors import SweepError
from simcore.manifest import explain
from simcore.spec import Record

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Value = bool | int | float | str
"""What a sampler knows of a value; lists and tables go by their JSON."""
Point = Mapping[str, Value]
"""Name of each axis -> value."""
FORMS = "a list, { low, high, log, step }, { choices = [...] } or { optuna = NAME, ... }"
_WORDS = ("values", "choices", "low", "high", "optuna", "keys")
"""A table with one of these is an axis, any other is a part of a dotted key."""


class AxisConfig(Record):
    """An axis as it is written: exactly one of `values`, `choices`, `low` and `high`, `optuna`."""

    keys: list[str] | None = None
    """Scenario keys that move together; else the axis is called by its key."""
    values: list[Any] | None = None
    """A grid. With several `keys`, a list in it holds one value for each of them."""
    choices: list[Any] | None = None
    """Unordered values to sample from."""
    low: float | int | None = None
    high: float | int | None = None
    log: bool = False
    """Sample the logarithm."""
    step: float | int | None = None
    """Distance of the values; whole numbers have 1."""
    optuna: str | None = None
    """Name of a distribution of `optuna.distributions`, with `low`, `high`, `log`, `step` or `choices`."""

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        given = [
            self.values is not None,
            self.choices is not None,
            self.low is not None or self.high is not None,
        ]
        if sum(given) != 1:
            raise ValueError(f"expected one of {FORMS}")
        if self.keys == []:
            raise ValueError("keys: the list is empty, expected at least one scenario key")
        listed = self.values if self.values is not None else self.choices
        if listed is not None:
            self._check_list(listed)
        else:
            self._check_range()
        return self

    def _check_list(self, listed: Sequence[Any]) -> None:
        if not listed:
            raise ValueError("the axis is empty, expected at least one value")
        texts = [json.dumps(value, sort_keys=True) for value in listed]
        twice = [text for text in texts if texts.count(text) > 1]
        if twice:
            raise ValueError(f"the value {twice[0]} stands twice")
        if self.log or self.step is not None:
            raise ValueError("log and step belong to low and high")

    def _check_range(self) -> None:
        if self.low is None or self.high is None:
            raise ValueError(f"{'low' if self.low is None else 'high'} is missing")
        if not self.low < self.high:
            raise ValueError(f"low {self.low:g} must be below high {self.high:g}, the axis is empty")
        if self.log and self.low <= 0:
            raise ValueError(f"log needs low above 0, got {self.low:g}")
        if self.step is not None and not 0 < self.step <= self.high - self.low:
            raise ValueError(f"step {self.step:g} must be above 0 and at most {self.high - self.low:g}")
        if self.log and self.step is not None:
            raise ValueError("log and step exclude each other")


@dataclass(frozen=True, slots=True)
class Axis:
    """A checked axis."""

    name: str
    keys: tuple[str, ...]
    config: AxisConfig

    @property
    def is_whole(self) -> bool:
        """Whether a range holds whole numbers."""
        bounds = (self.config.low, self.config.high, self.config.step or 1)
        named = self.config.optuna
        return named == "IntDistribution" if named else all(isinstance(bound, int) for bound in bounds)

    @property
    def is_number(self) -> bool:
        """Whether a chart can place its values along a line of numbers."""
        listed = self._listed()
        return listed is None or all(isinstance(v, int | float) and not isinstance(v, bool) for v in listed)

    def values(self) -> tuple[Value, ...] | None:
        """Return all values, None where they cannot be counted."""
        listed, low, high = self._listed(), self.config.low, self.config.high
        if listed is not None:
            return tuple(value if isinstance(value, Value) else json.dumps(value) for value in listed)
        assert low is not None
        assert high is not None
        if self.config.step is None and not self.is_whole:
            return None
        step = self.config.step or 1
        return tuple(low + i * step for i in range(math.floor((high - low) / step + 1e-9) + 1))

    def distribution(self) -> "BaseDistribution":
        """Return what Optuna samples from."""
        from optuna import distributions

        config = self.config
        if self._listed() is not None:
            return distributions.CategoricalDistribution(self.values() or ())
        assert config.low is not None
        assert config.high is not None
        if self.is_whole:
            step = int(config.step or 1)
            return distributions.IntDistribution(int(config.low), int(config.high), config.log, step)
        return distributions.FloatDistribution(float(config.low), float(config.high), config.log, config.step)

    def settings(self, value: Value) -> Iterator[tuple[str, Any]]:
        """Yield the scenario keys that a value sets, and to what."""
        set_: Any = value
        for listed in self._listed() or ():
            if not isinstance(listed, Value) and json.dumps(listed) == value:
                set_ = listed
        many = len(self.keys) > 1 and isinstance(set_, list)
        yield from zip(self.keys, set_ if many else itertools.repeat(set_), strict=False)

    def _listed(self) -> list[Any] | None:
        return self.config.values if self.config.values is not None else self.config.choices


def read_axes(table: Mapping[str, Any], where: str) -> tuple[Axis, ...]:
    """Read `[axes]`; raises SweepError that names the axis."""
    axes = tuple(_axes(table, "", where))
    if not axes:
        raise SweepError(f"{where}: axes: the table is empty, expected at least one axis: {FORMS}")
    names = [key for axis in axes for key in axis.keys]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise SweepError(f"{where}: axes: two axes set the key '{twice[0]}'")
    return axes


def points(axes: Sequence[Axis]) -> Iterator[dict[str, Value]]:
    """Yield each point of a grid, the last axis fastest."""
    for values in itertools.product(*(axis.values() or () for axis in axes)):
        yield dict(zip((axis.name for axis in axes), values, strict=True))


def n_points(axes: Sequence[Axis]) -> int | None:
    """Return how many points there are, None where an axis cannot be counted."""
    counts = [None if (values := axis.values()) is None else len(values) for axis in axes]
    return None if None in counts else math.prod(count for count in counts if count)


def _axes(table: Mapping[str, Any], prefix: str, where: str) -> Iterator[Axis]:
    for key, value in table.items():
        name = f"{prefix}{key}"
        if isinstance(value, list):
            yield _axis(name, {"values": value}, where)
        elif isinstance(value, dict) and any(word in value for word in _WORDS):
            yield _axis(name, value, where)
        elif isinstance(value, dict) and value:
            yield from _axes(value, f"{name}.", where)
        else:
            raise SweepError(f"{where}: axes.{name}: got {value!r}, expected {FORMS}")


def _axis(name: str, written: Mapping[str, Any], where: str) -> Axis:
    place = f"{where}: axes.{name}"
    try:
        config = AxisConfig.model_validate_json(json.dumps(written, default=str))
    except ValidationError as error:
        raise SweepError(f"{place}: {explain(error, AxisConfig)}") from error
    axis = Axis(name, tuple(config.keys or (name,)), config)
    for value in config.values or config.choices or ():
        if len(axis.keys) > 1 and isinstance(value, list) and len(value) != len(axis.keys):
            raise SweepError(f"{place}: got {value}, expected one value for each of {', '.join(axis.keys)}")
    known = ("CategoricalDistribution", "FloatDistribution", "IntDistribution")
    if config.optuna is not None and config.optuna not in known:
        raise SweepError(f"{place}: unknown distribution '{config.optuna}', known: {', '.join(known)}")
    if config.optuna is not None and (config.optuna == known[0]) != (config.low is None):
        raise SweepError(
            f"{place}: {config.optuna} takes {'choices' if config.optuna == known[0] else 'low, high'}"
        )
    return axis

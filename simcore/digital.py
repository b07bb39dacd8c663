"""Digital components: energy and latency per action, static power; the table that ships, and overrides."""

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from simcore.errors import ScenarioError
from simcore.manifest import explain
from simcore.spec import Record

MOST_BITS = 24


def _number(value: Any) -> float:
    """Return a positive number; 0 for what is none, which the fields' own checks refuse."""
    return value if isinstance(value, (int, float)) and value > 0 else 0.0


class Component(Record):
    """One digital component."""

    what: str
    """The action that is counted."""
    energy_j: float = Field(default=0.0, ge=0)
    """Energy per action."""
    latency_s: float = Field(default=0.0, ge=0)
    """Time that the action adds to a path in series, and that it takes of a shared part."""
    static_w: float = Field(default=0.0, ge=0)
    """Power of one part that is there for as long as a sample takes: clock and leakage."""
    bits: int | None = Field(default=None, ge=1, le=MOST_BITS)
    """Converters: resolution."""
    fom_j: float | None = Field(default=None, gt=0)
    """Converters: Walden's figure of merit in joules per conversion step; energy = fom_j x 2^bits."""
    rate_hz: float | None = Field(default=None, gt=0)
    """Converters: conversions per second; latency = 1 / rate_hz."""
    source: str
    """Where the numbers come from."""

    @model_validator(mode="before")
    @classmethod
    def _converter(cls, data: Any) -> Any:
        """Work energy and latency of a converter out, where they are not given."""
        if not isinstance(data, dict):
            return data
        found = dict(data)
        fom_j, bits, rate_hz = (_number(found.get(key)) for key in ("fom_j", "bits", "rate_hz"))
        if "energy_j" not in found and fom_j and bits and bits <= MOST_BITS:
            found["energy_j"] = fom_j * 2**bits
        if "latency_s" not in found and rate_hz:
            found["latency_s"] = 1.0 / rate_hz
        return found


Components = Mapping[str, Component]


class DigitalConfig(Record):
    """Table `[digital]` of a scenario, with single entries of the components' tables: `adc.fom_j = 1e-14`."""

    contention: bool = True
    """Shared parts make requests wait; without, each has a part of its own."""
    table: str | None = None
    """TOML file with entries like those of the table that ships, above it."""
    entries: dict[str, dict[str, Any]] = {}
    """Component -> keys that replace those of the tables."""

    @model_validator(mode="before")
    @classmethod
    def _named(cls, data: Any) -> Any:
        """Take tables that have the name of a component as its entries."""
        if not isinstance(data, dict):
            return data
        named = {key: value for key, value in data.items() if key in COMPONENTS}
        rest = {key: value for key, value in data.items() if key not in COMPONENTS}
        return rest | {"entries": named | dict(rest.get("entries", {}))} if named else rest

    @model_validator(mode="after")
    def _known(self) -> Self:
        unknown = set(self.entries) - set(COMPONENTS)
        if unknown:
            raise ValueError(f"no component '{min(unknown)}', known: {', '.join(COMPONENTS)}")
        return self


def components_of(config: DigitalConfig, base: str, bits: int | None = None) -> dict[str, Component]:
    """Return the table of a scenario; raises ScenarioError with file, component and key.

    `bits` is the resolution of the architecture's converters, for entries that do not set it.
    """
    tables = [(SHIPPED, _shipped())]
    if config.table is not None:
        path = Path(base) / config.table
        tables.append((str(path), _read(path)))
    tables.append(("[digital]", config.entries))
    merged: dict[str, dict[str, Any]] = {name: {} for name in COMPONENTS}
    where = dict.fromkeys(COMPONENTS, SHIPPED)
    for source, table in tables:
        for name, entry in table.items():
            if name not in merged:
                raise ScenarioError(f"{source}: no component '{name}', known: {', '.join(COMPONENTS)}")
            for given, follows in (("fom_j", "energy_j"), ("bits", "energy_j"), ("rate_hz", "latency_s")):
                if given in entry:
                    merged[name].pop(follows, None)
            merged[name] |= entry
            where[name] = source
    for name, entry in merged.items():
        if bits is not None and "bits" in entry and not any("bits" in t.get(name, {}) for _, t in tables[1:]):
            entry["bits"] = bits
    return {name: _component(where[name], name, entry) for name, entry in merged.items()}


SHIPPED = "components.toml"


def _component(where: str, name: str, entry: Mapping[str, Any]) -> Component:
    try:
        return Component.model_validate(dict(entry))
    except ValidationError as error:
        raise ScenarioError(f"{where}: {name}.{explain(error, Component)}") from error


def _read(path: Path) -> dict[str, dict[str, Any]]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f"cannot read the table of digital components {path}: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"{path}: not valid TOML: {error}") from error
    wrong = [name for name, entry in table.items() if not isinstance(entry, dict)]
    if wrong:
        raise ScenarioError(f"{path}: '{wrong[0]}' is a value, expected a table [{wrong[0]}]")
    return table


def _shipped() -> dict[str, dict[str, Any]]:
    return tomllib.loads(files("simcore").joinpath(SHIPPED).read_text(encoding="utf-8"))


COMPONENTS: dict[str, Component] = {
    name: Component.model_validate(entry) for name, entry in _shipped().items()
}
"""The table that ships."""

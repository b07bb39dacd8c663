"""A scenario: one experiment, read from TOML, checked before anything runs."""

import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from simcore import registry
from simcore.digital import DigitalConfig
from simcore.errors import ScenarioError
from simcore.manifest import explain
from simcore.spec import Record


class DatasetConfig(Record):
    """Which samples are run."""

    name: str
    """A registered data set."""
    split: str = "test"
    """Part of the data set: `train` or `test`."""
    start: int = Field(default=0, ge=0)
    """Index of the first sample."""


class ArchitectureConfig(Record):
    """Which network is run."""

    name: str
    """A registered architecture."""
    weights: str
    """Name of weights that ship with the package, or path of an HDF5 or npz file."""
    options: dict[str, Any] = {}
    """Options of the architecture, typed by it."""


class CircuitConfig(Record):
    """Settings of one circuit for all layers that use it."""

    path: str | None = None
    """Folder of a user's own circuit; built-in circuits are named by the table itself."""
    params: dict[str, float] = {}
    """Value of a parameter port, in the port's unit; the manifest's default otherwise."""
    device_models: str | None = None
    """Device card to use instead of the manifest's."""
    sizes: dict[str, int] = {}
    """Sizes of a parametrised circuit."""


class BackendConfig(Record):
    """Which back end answers, and its own options."""

    default: str = "surrogate"
    """`spice`, `surrogate`, `annotate`, `ideal`, or another registered back end."""
    spice: dict[str, Any] = {}
    surrogate: dict[str, Any] = {}
    annotate: dict[str, Any] = {}
    ideal: dict[str, Any] = {}

    def options(self, name: str) -> dict[str, Any]:
        """Return the options table of a back end."""
        return dict(getattr(self, name)) if name in type(self).model_fields else {}


class LayerConfig(Record):
    """Settings of one layer, above those of its circuit."""

    backend: str | None = None
    """Back end of this layer only."""
    params: dict[str, float] = {}
    """Parameter ports of this layer only."""


class Scenario(Record):
    """One experiment. Same scenario and seed: same results, on any number of workers."""

    name: str
    seed: int = Field(default=1, ge=0)
    """Seed of every random stream."""
    samples: int = Field(default=1, ge=1)
    """Number of samples."""
    merge_idle: bool = True
    """Merge idle periods into single steps."""
    schedule: Literal["auto", "lock_step", "run_ahead"] = "auto"
    """`lock_step`: all layers edge by edge; `run_ahead`: layer after layer, where there is no feedback, each
    unit's whole input at once where the bank can replay; `auto`: `run_ahead` where both hold."""
    dataset: DatasetConfig
    architecture: ArchitectureConfig
    circuits: dict[str, CircuitConfig] = {}
    backend: BackendConfig = BackendConfig()
    layers: dict[str, LayerConfig] = {}
    digital: DigitalConfig = DigitalConfig()
    """Digital components, and whether they make each other wait."""
    base: str = "."
    """Folder that relative paths start from: the scenario file's own."""

    @model_validator(mode="after")
    def _backends_exist(self) -> Self:
        known = registry.names("backends")
        for key, name in [
            ("backend.default", self.backend.default),
            *((f"layers.{key}.backend", layer.backend) for key, layer in self.layers.items()),
        ]:
            if name is not None and name not in known:
                raise ValueError(f"{key}: unknown back end '{name}', known: {', '.join(known)}")
        return self

    def with_backend(self, name: str) -> "Scenario":
        """Return the same scenario with every layer on one back end."""
        layers = {key: layer.model_copy(update={"backend": None}) for key, layer in self.layers.items()}
        backend = self.backend.model_copy(update={"default": name})
        return self._checked(self.model_copy(update={"backend": backend, "layers": layers}))

    def with_options(self, backend: str, options: dict[str, Any]) -> "Scenario":
        """Return the same scenario with some options of a back end set."""
        table = {**self.backend.options(backend), **options}
        return self._checked(
            self.model_copy(update={"backend": self.backend.model_copy(update={backend: table})})
        )

    def tightened(self) -> "Scenario":
        """Return the same scenario at the tighter accuracy of its solver; ScenarioError without one."""
        used = {self.backend.default, *(layer.backend for layer in self.layers.values())}
        if "spice" not in used:
            raise ScenarioError(
                f"{self.name}: noise is that of ngspice at tighter tolerance; the reference runs on "
                f"'{self.backend.default}', which has none"
            )
        if self.backend.spice.get("accuracy") == "gold":
            raise ScenarioError(f"{self.name}: the reference already runs at accuracy 'gold', the tightest")
        return self.with_options("spice", {"accuracy": "gold"})

    @staticmethod
    def _checked(scenario: "Scenario") -> "Scenario":
        return parse_scenario(scenario.model_dump(), scenario.name)


def load_scenario(path: str | Path, overrides: Sequence[str] = ()) -> Scenario:
    """Read a scenario file and apply `key=value` overrides (TOML values, else strings).

    Raises ScenarioError that names file, key, what was got and what is expected.
    """
    file = Path(path)
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f"cannot read the scenario {file}: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"{file}: not valid TOML: {error}") from error
    for override in overrides:
        _apply(data, override)
    data.setdefault("base", str(file.parent.resolve()))
    return parse_scenario(data, str(file))


def parse_scenario(data: dict[str, Any], where: str) -> Scenario:
    """Check a scenario that is already a dictionary; `where` names it in messages."""
    try:
        return Scenario.model_validate_json(json.dumps(data, default=str))
    except ValidationError as error:
        raise ScenarioError(f"{where}: {explain(error, Scenario)}") from error


def _apply(data: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise ScenarioError(f"--set {override}: expected key=value, such as samples=5")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *path, last = key.strip().split(".")
    table = data
    for part in path:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise ScenarioError(f"--set {override}: '{part}' is a value, not a table")
    table[last] = value

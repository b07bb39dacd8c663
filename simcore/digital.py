"""Digital components: a flat table of energy and latency per action (`components.toml`)."""

import tomllib
from importlib.resources import files

from pydantic import Field

from simcore.spec import Record


class Component(Record):
    """One digital component."""

    what: str
    """The action that is counted."""
    energy_j: float = Field(ge=0)
    """Energy per action."""
    latency_s: float = Field(ge=0)
    """Time that the action adds to a path in series."""
    source: str
    """Where the numbers come from."""


def load_components() -> dict[str, Component]:
    """Read the table that ships with the package."""
    text = files("simcore").joinpath("components.toml").read_text(encoding="utf-8")
    return {name: Component.model_validate(entry) for name, entry in tomllib.loads(text).items()}


COMPONENTS = load_components()

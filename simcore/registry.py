"""Plug-ins by name: entry points, loaded when first used."""

import difflib
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any

from simcore.errors import RegistryError

GROUPS = ("backends", "circuits", "surrogate_families", "architectures", "datasets", "recorders", "waveforms")


def names(group: str) -> tuple[str, ...]:
    """Return the registered names of a group, sorted."""
    return tuple(sorted(_points(group)))


def load(group: str, name: str) -> Any:
    """Load the plug-in `name` of `group`; an unknown or broken one raises RegistryError."""
    points = _points(group)
    if name not in points:
        close = difflib.get_close_matches(name, points, n=1)
        hint = f", did you mean '{close[0]}'?" if close else ";"
        raise RegistryError(f"unknown {_singular(group)} '{name}'{hint} known: {', '.join(sorted(points))}")
    try:
        return points[name].load()
    except (ImportError, AttributeError) as error:
        raise RegistryError(
            f"{_singular(group)} '{name}' ({points[name].value}) cannot be loaded: {error}"
        ) from error


def _points(group: str) -> Mapping[str, EntryPoint]:
    return _on_path(group, tuple(sys.path))


@cache
def _on_path(group: str, path: tuple[str, ...]) -> Mapping[str, EntryPoint]:
    """Return the plug-ins of a group, read once in a process; `path` is where Python looks now."""
    return MappingProxyType({point.name: point for point in entry_points(group=f"simcore.{group}")})


def _singular(group: str) -> str:
    return {"surrogate_families": "surrogate family", "datasets": "data set"}.get(group, group.rstrip("s"))

"""Where the figures of a run come from: command, versions, circuits, models."""

import json
from collections.abc import Mapping
from typing import Any

from simcore.report.sides import Side

_BANK = ("backend", "family", "bundle_hash", "solver", "accuracy", "behaviour", "n_jobs", "n_cached")
"""What is shown of a bank at once; the rest stands in the JSON."""
_SHORT = 16
"""Digits of a hash that are shown at once."""


def origin(side: Side) -> dict[str, Any]:
    """Return what made a run: the facts to show at once, and all of it as JSON."""
    made = side.result.provenance
    circuits = {info["circuit"]: info["spec"]["hash"] for info in made["layers"].values()}
    facts = {
        "started": made.get("started"),
        "machine": made.get("machine"),
        "versions": _pairs({"python": made.get("python"), **made.get("versions", {})}),
        "circuits": _pairs(circuits),
        **{f"bank {i}": _pairs(_brief(bank)) for i, bank in enumerate(made.get("banks", []))},
        "result": str(side.result.path),
    }
    return {
        "command": made.get("command"),
        "name": f"{side.role}: {side.name}" if side.role else side.name,
        "facts": {key: value for key, value in facts.items() if value},
        "json": json.dumps(made, indent=2, ensure_ascii=False),
    }


def _brief(bank: Mapping[str, Any]) -> dict[str, Any]:
    found = {key: bank[key] for key in _BANK if bank.get(key) is not None}
    layers = bank.get("layers")
    return {**({"layers": " + ".join(layers)} if layers else {}), **found}


def _pairs(entries: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {_inline(value)}" for key, value in entries.items())


def _inline(value: Any) -> str:
    return json.dumps(value) if isinstance(value, dict | list) else shortened(str(value))


def shortened(text: str) -> str:
    """Return the first digits of a SHA-256, other text as it is."""
    is_hash = len(text) == 64 and all(digit in "0123456789abcdef" for digit in text)
    return text[:_SHORT] if is_hash else text

"""Reads a circuit folder (`circuit.toml`, netlist, device cards) into a CircuitSpec."""

import hashlib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from simcore import registry
from simcore.errors import CircuitError
from simcore.spec import CircuitSpec

MANIFEST = "circuit.toml"


def circuit_folder(name_or_path: str) -> Path:
    """Return the folder of a registered circuit, or of a user's own that is named by path."""
    path = Path(name_or_path)
    if path.is_dir():
        return path.resolve()
    if "/" in name_or_path:
        raise CircuitError(f"circuit folder {name_or_path} does not exist")
    module = registry.load("circuits", name_or_path)
    return Path(next(iter(module.__path__))).resolve()


def load_circuit(
    name_or_path: str,
    *,
    device_models: str | None = None,
    sizes: Mapping[str, int] | None = None,
    base: Path = Path(),
) -> CircuitSpec:
    """Read a circuit.

    `device_models` names another card file (relative to `base`), `sizes` overrides the manifest's; either
    makes another spec with another hash. Raises CircuitError that names file, key and expectation.
    """
    folder = circuit_folder(name_or_path)
    manifest = folder / MANIFEST
    text = _read(manifest, "manifest")
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CircuitError(f"{manifest}: not valid TOML: {error}") from error
    netlist = _read(folder / data.pop("netlist", f"{folder.name}.cir"), "netlist")
    card = _card(data.pop("device_models", None), folder, device_models, base)
    all_sizes = dict(data.pop("sizes", {}))
    for key, value in (sizes or {}).items():
        if key not in all_sizes:
            raise CircuitError(f"{manifest}: no size '{key}'; it has: {', '.join(all_sizes) or 'none'}")
        all_sizes[key] = value
    digest = hashlib.sha256()
    for part in (text, json.dumps(all_sizes, sort_keys=True), netlist, card):
        digest.update(hashlib.sha256(part.encode()).digest())
    data |= {
        "sizes": all_sizes,
        "ports": [_sized(port, all_sizes, manifest) for port in data.get("ports", [])],
        "netlist": netlist,
        "device_models": card,
        "folder": str(folder),
        "hash": digest.hexdigest(),
    }
    try:
        return CircuitSpec.model_validate_json(json.dumps(data))
    except ValidationError as error:
        raise CircuitError(f"{manifest}: {explain(error)}") from error


def explain(error: ValidationError) -> str:
    """Turn a validation error into one line per mistake: key, what was got, what is expected."""
    lines = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"]) or "(file)"
        got = repr(item["input"])
        lines.append(f"{key}: {item['msg']}" + (f", got {got}" if len(got) < 60 else ""))
    return "; ".join(lines)


def _sized(port: dict[str, Any], sizes: Mapping[str, int], manifest: Path) -> dict[str, Any]:
    name, bracket, size = str(port.get("name", "")).partition("[")
    if not bracket:
        return port
    size = size.rstrip("]")
    if size not in sizes:
        raise CircuitError(f"{manifest}: port '{port['name']}' has no size '{size}' in [sizes]")
    return {**port, "name": name, "size": sizes[size]}


def _card(named: str | None, folder: Path, override: str | None, base: Path) -> str:
    if override is not None:
        return _read((base / override).expanduser(), "device models")
    if named is None:
        return ""
    beside = folder / named
    return _read(beside if beside.exists() else folder.parent.parent / "models" / named, "device models")


def _read(path: Path, what: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CircuitError(f"cannot read the {what} {path}: {error}") from error

"""Reads a circuit folder (`circuit.toml`, netlist, device cards) into a CircuitSpec."""

import difflib
import hashlib
import itertools
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from simcore import registry
from simcore.errors import CircuitError
from simcore.spec import CircuitSpec

MANIFEST = "circuit.toml"
_INCLUDE = re.compile(
    r"""\s*\.(?:inc(?:lude)?|(?P<lib>lib))\s+(?:["'](?P<quoted>[^"']+)["']|(?P<plain>\S+))"""
    r"""(?(lib)\s+(?P<section>[\w.]+))(?:\s+[;$].*)?\s*$""",
    re.IGNORECASE,
)
"""`.include FILE`, or `.lib FILE SECTION`; `.lib SECTION` alone opens a section."""
_Place = tuple[Path, str | None]
"""A file, or a section of it."""
_NAMED = re.compile(r"(.+?)(?::(\w+=\d+(?:,\w+=\d+)*))?")
"""A circuit as a command line names it: `crossbar_row`, `crossbar_row:rows=16`, `my/circuit`."""
_ARRAY = re.compile(r"(?P<name>\w+)\[(?P<size>\w+(?:[*/]\w+)*)\]")
"""A port of several columns, their number from left to right."""
_SECTION = re.compile(r"\s*\.lib\s+(\S+)(?:\s+[;$].*)?\s*$", re.IGNORECASE)


def circuit_folder(name_or_path: str) -> Path:
    """Return the folder of a registered circuit, or of a user's own that is named by path."""
    path = Path(name_or_path)
    is_name = "/" not in name_or_path
    if path.is_dir() and not (is_name and name_or_path in registry.names("circuits")):
        return path.resolve()
    if not is_name:
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
    _check_shape(data, manifest)
    netlist = inlined(folder / data.pop("netlist", f"{folder.name}.cir"), "netlist")
    card = _card(data.pop("device_models", None), folder, device_models, base)
    all_sizes = dict(data.pop("sizes", {}))
    for key, value in (sizes or {}).items():
        if key not in all_sizes:
            raise CircuitError(f"{manifest}: no size '{key}'; it has: {', '.join(all_sizes) or 'none'}")
        all_sizes[key] = value
    data |= {
        "sizes": all_sizes,
        "ports": [_sized(port, all_sizes, manifest) for port in data.get("ports", [])],
        "netlist": netlist,
        "device_models": card,
        "folder": str(folder),
        "hash": _hash({**data, "sizes": all_sizes}, netlist, card),
    }
    try:
        return CircuitSpec.model_validate_json(json.dumps(data, default=str))
    except ValidationError as error:
        raise CircuitError(f"{manifest}: {explain(error, CircuitSpec)}") from error


def named_circuit(text: str) -> CircuitSpec:
    """Read a circuit as it is named on a command line: NAME or FOLDER, with sizes NAME:rows=16."""
    found = _NAMED.fullmatch(text)
    name, sizes = (found[1], found[2]) if found else (text, None)
    pairs = (part.split("=") for part in sizes.split(",")) if sizes else ()
    return load_circuit(name, sizes={key: int(value) for key, value in pairs})


def explain(error: ValidationError, model: type[BaseModel] | None = None) -> str:
    """Tell each mistake: key, what was got, what is expected; with its `model`, which keys are known."""
    lines = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"])
        got = repr(item["input"])
        told = (f"{key}: " if key else "") + item["msg"].removeprefix("Value error, ")
        told += f", got {got}" if len(got) < 60 else ""
        if model is not None and item["type"] == "extra_forbidden":
            told += _known(model, item["loc"])
        lines.append(told)
    return "; ".join(lines)


def _known(model: type[BaseModel], loc: tuple[str | int, ...]) -> str:
    """Return the keys that could stand in place of the unknown one at `loc`, the closest first."""
    keys = _keys(model, loc[:-1])
    close = difflib.get_close_matches(str(loc[-1]), keys, n=1)
    hint = f", did you mean '{close[0]}'?" if close else ","
    return f"{hint} known: {', '.join(keys)}" if keys else ""


def _keys(kind: Any, path: tuple[str | int, ...]) -> tuple[str, ...]:
    """Return the keys of the table at `path` below a type; none where there is no table."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        if not path:
            return tuple(kind.model_fields)
        field = kind.model_fields.get(str(path[0]))
        return () if field is None else _keys(field.annotation, path[1:])
    inner = path if get_origin(kind) in (UnionType, Union, Annotated) else path[1:]
    return next((keys for part in get_args(kind) if (keys := _keys(part, inner))), ())


def _check_shape(data: Mapping[str, Any], manifest: Path) -> None:
    """Check the keys that are used before the whole manifest is."""
    for key, kind, expected in (
        ("netlist", str, "a file name"),
        ("device_models", str, "a file name"),
        ("sizes", dict, "a table"),
        ("ports", list, "an array of tables, [[ports]]"),
    ):
        if key in data and not isinstance(data[key], kind):
            raise CircuitError(f"{manifest}: {key}: got {data[key]!r}, expected {expected}")
    for port in data.get("ports", []):
        if not isinstance(port, dict):
            raise CircuitError(f"{manifest}: ports: got {port!r}, expected a table, [[ports]]")


def _hash(manifest: Mapping[str, Any], *spice: str) -> str:
    """Hash what makes the circuit: not its prose, not a model's features, not how finely it is solved."""
    physics = {
        key: value for key, value in manifest.items() if key not in ("source", "features", "array", "solver")
    }
    digest = hashlib.sha256(json.dumps(physics, sort_keys=True, default=str).encode())
    for text in spice:
        lines = (line.strip() for line in text.splitlines())
        digest.update("\n".join(line for line in lines if line and not line.startswith("*")).encode() + b"\0")
    return digest.hexdigest()


def _sized(port: dict[str, Any], sizes: Mapping[str, int], manifest: Path) -> dict[str, Any]:
    """Return a port whose `name[size]` is resolved; the size may be a product such as `rows*columns/2`."""
    name, bracket, _ = str(port.get("name", "")).partition("[")
    if not bracket:
        return port
    found = _ARRAY.fullmatch(port["name"])
    if found is None:
        raise CircuitError(f"{manifest}: port '{port['name']}': expected name[size] or name[a*b/c]")
    size = 1
    for operator, factor in re.findall(r"([*/]?)(\w+)", found["size"]):
        if factor not in sizes and not factor.isdecimal():
            raise CircuitError(f"{manifest}: port '{port['name']}' has no size '{factor}' in [sizes]")
        value = sizes[factor] if factor in sizes else int(factor)
        if operator == "/" and (value < 1 or size % value):
            raise CircuitError(f"{manifest}: port '{port['name']}': {size}/{value} is no whole number")
        size = size // value if operator == "/" else size * value
    return {**port, "name": name, "size": size}


def _card(named: str | None, folder: Path, override: str | None, base: Path) -> str:
    if override is not None:
        return inlined((base / override).expanduser(), "device models")
    if named is None:
        return ""
    places = (place / named for place in _card_places(folder))
    return inlined(next(filter(Path.is_file, places), folder / named), "device models")


def _card_places(folder: Path) -> Iterator[Path]:
    """Yield where a manifest's card may lie: beside it, else with the circuits that ship."""
    for each in itertools.chain([folder], map(circuit_folder, registry.names("circuits"))):
        yield each
        yield each.parent.parent / "models"


def inlined(path: Path, what: str, section: str | None = None, within: tuple[_Place, ...] = ()) -> str:
    """Return a SPICE file, or a section of it, with all `.include` and `.lib FILE SECTION` lines replaced.

    Files are looked up next to the one that names them. The text then holds all that is simulated, wherever
    a solver process runs, and so does its hash. Raises CircuitError for a missing file, section or a circle.
    """
    here = path.resolve(), section and section.lower()
    if here in within:
        raise CircuitError(f"{within[-1][0]}: includes itself by way of {here[0]}")
    return "\n".join(
        _replaced(line, f"{here[0]}, line {number}", (*within, here))
        for number, line in _lines(here[0], what, section)
    )


def _replaced(line: str, where: str, within: tuple[_Place, ...]) -> str:
    """Return what a line includes, or the line itself."""
    found = _INCLUDE.match(line)
    if found is None:
        if re.match(r"\s*\.inc", line, re.IGNORECASE):
            raise CircuitError(
                f"{where}: got {line.strip()}, expected .include FILE, quoted if it has spaces"
            )
        return line
    file = within[-1][0].parent / Path(found["quoted"] or found["plain"]).expanduser()
    try:
        return inlined(file, "include", found["section"], within)
    except CircuitError as error:
        raise CircuitError(f"{where}: {line.strip()}: {error}") from error


def _lines(path: Path, what: str, section: str | None) -> list[tuple[int, str]]:
    """Return the lines of a file with their numbers, or those between `.lib SECTION` and `.endl`."""
    lines = list(enumerate(_read(path, what).split("\n"), 1))
    if section is None:
        return lines
    starts = {found[1].lower(): number for number, line in lines if (found := _SECTION.match(line))}
    if section.lower() not in starts:
        raise CircuitError(f"{path}: no section '{section}'; it has: {', '.join(starts) or 'none'}")
    inside = lines[starts[section.lower()] :]
    return list(itertools.takewhile(lambda item: not item[1].strip().lower().startswith(".endl"), inside))


def _read(path: Path, what: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CircuitError(f"cannot read the {what} {path}: {error}") from error

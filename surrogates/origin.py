"""Where a circuit comes from: a built-in one goes by its name, a user's own by its folder."""

import shlex
from pathlib import Path

from simcore import registry
from simcore.manifest import circuit_folder, load_circuit
from simcore.spec import CircuitSpec


def is_built_in(spec: CircuitSpec) -> bool:
    """Whether a circuit is the registered one of its name, and not a user's folder of the same name."""
    if spec.name not in registry.names("circuits"):
        return False
    return not spec.folder or Path(spec.folder) == circuit_folder(spec.name)


def origin(spec: CircuitSpec) -> str:
    """Return the name of a built-in circuit, or the folder of a user's own."""
    return spec.name if is_built_in(spec) or not spec.folder else spec.folder


def on_command_line(spec: CircuitSpec) -> str:
    """Return what names the circuit in a command, sizes included where they are not the manifest's."""
    return shlex.quote(_sized(spec, origin(spec)))


def shown_name(spec: CircuitSpec) -> str:
    """Return the circuit's own name, with its sizes where they are not the manifest's."""
    return _sized(spec, spec.name)


def _sized(spec: CircuitSpec, name: str) -> str:
    usual = load_circuit(origin(spec)).sizes if spec.sizes and spec.folder else spec.sizes
    sizes = ",".join(f"{key}={value}" for key, value in spec.sizes.items())
    return name if spec.sizes == usual else f"{name}:{sizes}"

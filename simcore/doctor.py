"""`simcore doctor`: what is installed, what is missing, and the command that mends it."""

import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from platformdirs import user_cache_path

from simcore import registry
from simcore.errors import RegistryError

_PACKAGES = {
    "simpy": "", "numpy": "", "onnxruntime": "", "h5py": "", "scikit-learn": "", "plotly": "",
    "PySpice": "spice", "lightgbm": "train", "skl2onnx": "train", "onnxmltools": "train", "torch": "torch",
    "catboost": "catboost",
    "distributed": "cluster", "optuna": "explore", "pyvcd": "waves",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """One part of the installation."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    optional: bool = False


def examine() -> list[Finding]:
    """Look at packages, solvers, data and plug-ins; never raises.

    A plug-in of the group `doctors` is a function that returns findings of its own.
    """
    return [
        Finding("python", sys.version_info >= (3, 11), platform.python_version()),
        *(_package(name, extra) for name, extra in _PACKAGES.items()),
        *_own_findings(),
        _mnist(),
        *(_plugins(group) for group in registry.GROUPS),
    ]


def _package(name: str, extra: str) -> Finding:
    try:
        return Finding(name, True, version(name))
    except PackageNotFoundError:
        target = f"simcore-ams[{extra}]" if extra else name
        return Finding(name, False, "not installed", f"pip install '{target}'", optional=bool(extra))


def _plugins(group: str) -> Finding:
    found = registry.names(group)
    return Finding(group, bool(found), ", ".join(found), "" if found else "pip install -e .")


def _own_findings() -> Iterator[Finding]:
    for name in registry.names("doctors"):
        try:
            yield from registry.load("doctors", name)()
        except RegistryError as error:
            yield Finding(name, False, "it cannot be loaded", str(error), optional=True)


def _mnist() -> Finding:
    named = os.environ.get("SIMCORE_DATA")
    folders = [Path(named).expanduser() / "mnist"] if named else []
    for folder in (*folders, user_cache_path("simcore") / "mnist"):
        if any(folder.glob("*-ubyte*")):
            return Finding("MNIST", True, str(folder), optional=True)
    remedy = "set SIMCORE_DATA to a folder that holds mnist/ (else it is downloaded)"
    return Finding("MNIST", False, "not found here", remedy, optional=True)

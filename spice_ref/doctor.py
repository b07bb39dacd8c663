"""What `simcore doctor` says of ngspice: is the library there, does a solver of the right version start?"""

import ctypes.util
import os

from simcore.doctor import Finding
from simcore.errors import SolverError
from spice_ref.farm import Farm


def examine() -> list[Finding]:
    """Look at the library and, where it loads, start a solver process."""
    library = _library()
    return [library, _solver()] if library.ok else [library]


def _library() -> Finding:
    named = os.environ.get("NGSPICE_LIBRARY_PATH")
    found = named or ctypes.util.find_library("ngspice") or "libngspice.so.0"
    try:
        ctypes.CDLL(found)
    except OSError as error:
        remedy = "correct or unset NGSPICE_LIBRARY_PATH" if named else "apt-get install libngspice0"
        return Finding("libngspice", False, f"{found} does not load", f"{remedy}; {error}", optional=True)
    return Finding("libngspice", True, found, optional=True)


def _solver() -> Finding:
    try:
        with Farm(1) as farm:
            return Finding("ngspice", True, f"version {farm.version}", optional=True)
    except SolverError as error:
        reason, _, remedy = str(error).partition(": ")
        return Finding("ngspice", False, reason, remedy, optional=True)

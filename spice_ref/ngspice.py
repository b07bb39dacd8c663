"""The solver: ngspice's shared library through PySpice, one instance per process. No other file touches it.

PySpice is GPLv3. Its own `run` takes notes on stderr for errors, so a run is judged here, by its data.
"""

import locale
import logging
import os
import re
from collections.abc import Mapping

import numpy as np

from simcore.bank import Floats
from simcore.errors import SolverError

try:
    from PySpice.Spice.NgSpice.Shared import NgSpiceShared, ffi
except ImportError as error:
    raise SolverError(
        f"PySpice is not installed ({error}); the ngspice back end needs it: pip install 'simcore-ams[spice]'"
    ) from error

SUPPORTED = 39
ANY_VERSION = "SIMCORE_NGSPICE_ANY_VERSION"
"""Environment variable: set to 1 to run with another major version than SUPPORTED."""
LIBRARY = "NGSPICE_LIBRARY_PATH"
"""Environment variable: path of the shared library, where it is not found by name."""
MEND = "install it with `apt-get install libngspice0` and look with `simcore doctor`"
FATAL = ("aborted", "Error", "Fatal", "too small", "resistance to low")
"""What a log line of a bad run says; a resistor without a value becomes 1 mOhm, 'resistance to low'."""


HINTS = {
    "could not find a valid modelname": (
        "the model is missing, or of a level that this ngspice lacks, such as 72 (BSIM-CMG)"
    ),
    "'quit' asks": "a command in the netlist quits ngspice",
}
"""What the log of a bad run does not say by itself."""


_IDLE_TALK = re.compile(
    r"Note: No compat|Reference value|Initial Transient|Node +Voltage|[- ]+$|\S+\s+[-+]?\d[\d.e+-]*$"
)
"""Log lines that explain nothing, such as the rows of an initial solution."""


class _Library(NgSpiceShared):  # type: ignore[misc]
    """PySpice's binding with our own callbacks: collect the log, never raise on a note, remember an exit."""

    exited = False

    @staticmethod
    def _send_char(message: object, ngspice_id: int, user_data: object) -> int:
        library = ffi.from_handle(user_data)
        library._stdout.append(ffi.string(message).decode("utf8", "replace").partition(" ")[2])
        return 0

    @staticmethod
    def _send_stat(message: object, ngspice_id: int, user_data: object) -> int:
        return 0

    @staticmethod
    def _exit(status: int, unload: bool, on_quit: bool, ngspice_id: int, user_data: object) -> int:
        ffi.from_handle(user_data).exited = True
        return status


class Solver:
    """ngspice: decks in, vectors out."""

    def __init__(self) -> None:
        """Load the library; raises SolverError where it is missing or of another version."""
        logging.getLogger("PySpice").setLevel(logging.CRITICAL)
        names = [os.environ[LIBRARY]] if LIBRARY in os.environ else ["libngspice.so.0", "libngspice.so"]
        self._library = _load(names)
        locale.setlocale(locale.LC_NUMERIC, "C")
        self.version = str(self._library.ngspice_version)
        if self._library.ngspice_version != SUPPORTED and os.environ.get(ANY_VERSION) != "1":
            raise SolverError(
                f"ngspice {self.version} found, {SUPPORTED} is needed: {MEND}, or set {ANY_VERSION}=1"
            )
        self._command("set num_threads=1")

    def run(self, deck: str, stop_s: float | None = None) -> dict[str, Floats]:
        """Run a deck's analysis and return its vectors by name.

        `stop_s` is the last time of a transient. Raises SolverError with the reason and the end of the log.
        """
        log = self._load(deck)
        try:
            log += self._command("run")
            vectors = {} if self._library.exited else self._vectors()
            _judge(vectors, log, stop_s)
        finally:
            self._free()
        return vectors

    def listing(self, deck: str) -> list[str]:
        """Return the lines of a deck with all subcircuits expanded."""
        log = self._load(deck)
        try:
            lines = self._command("listing expand")
            if any("any circuits loaded" in line for line in lines):
                raise SolverError(_told("the netlist does not parse", log))
        finally:
            self._free()
        return [line.partition(" : ")[2] for line in lines if " : " in line]

    def _load(self, deck: str) -> list[str]:
        """Load a deck and return the log; a deck that does not parse raises SolverError."""
        lines = [ffi.new("char[]", line.encode()) for line in (*deck.splitlines(), "")]
        self._library.clear_output()
        status = self._library._ngspice_shared.ngSpice_Circ(ffi.new("char *[]", [*lines, ffi.NULL]))
        log: list[str] = self._library._stdout
        self._library._stdout = []
        if status or self._library.exited or _complaint(log):
            raise SolverError(_told("the netlist does not parse", log))
        return log

    def _command(self, command: str) -> list[str]:
        """Execute a command (1,023 characters at most) and return its log."""
        self._library.clear_output()
        self._library._ngspice_shared.ngSpice_Command(command.encode())
        log: list[str] = self._library._stdout
        self._library._stdout = []
        return log

    def _vectors(self) -> dict[str, Floats]:
        api = self._library._ngspice_shared
        plot = ffi.string(api.ngSpice_CurPlot())
        names = api.ngSpice_AllVecs(plot)
        if plot == b"const" or names == ffi.NULL:
            return {}
        vectors: dict[str, Floats] = {}
        count = 0
        while names[count] != ffi.NULL:
            name = ffi.string(names[count])
            info = api.ngGet_Vec_Info(plot + b"." + name)
            if info != ffi.NULL and info.v_length > 0:
                raw = ffi.buffer(info.v_realdata, info.v_length * 8)
                vectors[name.decode()] = np.frombuffer(raw, np.float64).copy()
            count += 1
        return vectors

    def _free(self) -> None:
        """Forget plots and circuit: 0.009 MB leaked per run instead of 0.3."""
        if not self._library.exited:
            self._command("destroy all")
            self._command("remcirc")
            self._library._ngspice_shared.ngSpice_Command(ffi.NULL)


def _load(names: list[str]) -> _Library:
    for name in names:
        _Library.LIBRARY_PATH = name
        try:
            return _Library()
        except OSError as error:
            reason = error
    raise SolverError(f"cannot load ngspice's library {names[0]} ({reason}): {MEND}") from reason


def _judge(vectors: Mapping[str, Floats], log: list[str], stop_s: float | None) -> None:
    """Raise SolverError unless the data are those of a whole run."""
    lengths = {len(vector) for vector in vectors.values()}
    if _complaint(log) or len(lengths) != 1:
        raise SolverError(_told("no convergence, or a device that ngspice refuses", log))
    if stop_s is not None and abs(vectors["time"][-1] - stop_s) > 1e-9 * stop_s:
        raise SolverError(_told(f"the transient stopped at {vectors['time'][-1]:g} s of {stop_s:g} s", log))
    if not all(np.isfinite(vector).all() for vector in vectors.values()):
        raise SolverError(_told("a voltage or current is not finite", log))


def _complaint(log: list[str]) -> bool:
    return any(word in line for line in log for word in FATAL)


def _told(reason: str, log: list[str]) -> str:
    """Return reason and the telling lines of a log: the complaints and what stands around them."""
    lines = [line.strip() for line in log if line.strip() and not _IDLE_TALK.match(line.strip())]
    first = next((i for i, line in enumerate(lines) if _complaint([line])), len(lines) - 4)
    hints = [f"; {hint}" for words, hint in HINTS.items() if any(words in line for line in lines)]
    return f"{reason}{''.join(hints)}; ngspice says: " + " | ".join(
        line[:200] for line in lines[max(first - 4, 0) : first + 4]
    )

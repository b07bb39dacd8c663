"""A user's own behaviour of a circuit: one Python function, called for one clock period of some units.

    def period(spec, params, state, inputs, idle):
        return state, outputs, fired

`params` (k, n_param) and `inputs` (k, n_in) are physical values in the order of the ports; `idle` tells that
nothing is driven: packets are at rest, levels are held. `state` (k, m) is what the function returned for
these units last time; m and what the columns mean are its own. At reset it is None: the function is asked
for the operating point of all units. It returns the new state, `outputs` (k, n_out) and `fired` (k,) bool.
"""

import hashlib
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcore.bank import Floats, StepResult
from simcore.errors import ScenarioError
from simcore.spec import CircuitSpec, PortKind

Period = Callable[[CircuitSpec, Floats, Floats | None, Floats, bool], tuple[Any, Any, Any]]


@dataclass(frozen=True, slots=True)
class UserFunction:
    """A function of a file, and what the file was when it was read."""

    path: Path
    name: str
    call: Period
    sha256: str

    def __str__(self) -> str:
        return f"{self.path}:{self.name}"


def load_function(where: str, base: Path) -> UserFunction:
    """Read `path/to/file.py:function`, the path from `base`; a missing or broken one raises ScenarioError."""
    file, _, name = where.rpartition(":")
    path = base / Path(file).expanduser()
    try:
        source = path.read_bytes()
    except OSError as error:
        raise ScenarioError(f"behaviour {where}: cannot read {path}: {error.strerror}") from error
    sha256 = hashlib.sha256(source).hexdigest()
    module = ModuleType(f"simcore_behaviour_{sha256[:16]}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # where dataclasses look up the types of their fields
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)
    except Exception as error:
        raise ScenarioError(f"behaviour {path}: {_told(error, path)}") from error
    call = getattr(module, name, None)
    if not callable(call):
        known = ", ".join(key for key, value in vars(module).items() if callable(value)) or "none"
        raise ScenarioError(f"behaviour {path}: no function '{name}', there: {known}")
    return UserFunction(path, name, call, sha256)


def _told(error: Exception, path: Path) -> str:
    """Say what went wrong and at which line of the user's file."""
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)
    ]
    return f"{f'line {lines[-1]}: ' if lines else ''}{type(error).__name__}: {error}"


class UserModel:
    """`simcore.closed_form.Model` around a user's function; keeps its state. Energies are left at zero."""

    def __init__(self, spec: CircuitSpec, params: Floats, function: UserFunction) -> None:
        self._spec, self._params, self._function = spec, params, function
        self.reset()

    def reset(self) -> Floats:
        """Ask for the operating point of every unit; return its outputs, (n_units, n_out)."""
        n = len(self._params)
        inputs = np.tile(self._spec.reset_inputs, (n, 1))
        self._state, outputs, _ = self._called(self._params.copy(), None, inputs, True)
        return outputs

    def period(self, units: NDArray[np.int64], inputs: Floats, idle: bool) -> StepResult:
        """Advance some units by one period."""
        state, outputs, fired = self._called(self._params[units], self._state[units], inputs.copy(), idle)
        self._state[units] = state
        k = len(units)
        none_j = np.zeros((2, k))
        no_state = np.zeros((k, self._spec.width(PortKind.STATE)))
        return StepResult(outputs, no_state, fired, none_j[0], none_j[1], np.full(k, np.nan))

    def _called(
        self, params: Floats, state: Floats | None, inputs: Floats, idle: bool
    ) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        """Call the function and check what it returns; anything else raises ScenarioError."""
        function, k = self._function, len(params)
        width = None if state is None else state.shape[1]
        try:
            answer = function.call(self._spec, params, state, inputs, idle)
        except Exception as error:
            raise ScenarioError(f"behaviour {function}: {_told(error, function.path)}") from error
        if not isinstance(answer, tuple) or len(answer) != 3:
            raise ScenarioError(
                f"behaviour {function}: returned {type(answer).__name__}, expected (state, outputs, fired)"
            )
        return (
            self._numbers("state", answer[0], k, width),
            self._numbers("outputs", answer[1], k, self._spec.width(PortKind.OUTPUT)),
            self._events(answer[2], k),
        )

    def _numbers(self, what: str, value: Any, k: int, width: int | None) -> Floats:
        found = _array(value)
        good = (
            found.ndim == 2
            and len(found) == k
            and found.dtype.kind in "iuf"
            and width in (None, found.shape[1])
        )
        if not good:
            raise self._wrong(what, found, f"numbers of shape ({k}, {'m' if width is None else width})")
        if not np.isfinite(found).all():
            row, column = np.argwhere(~np.isfinite(found))[0]
            raise ScenarioError(
                f"behaviour {self._function}: {what}[{row}, {column}] is {found[row, column]}, "
                "expected finite numbers"
            )
        return found.astype(np.float64)

    def _events(self, value: Any, k: int) -> NDArray[np.bool_]:
        found = _array(value)
        if found.shape != (k,) or found.dtype != np.bool_:
            raise self._wrong("fired", found, f"bool of shape ({k},)")
        return found.copy()

    def _wrong(self, what: str, found: NDArray[Any], expected: str) -> ScenarioError:
        return ScenarioError(
            f"behaviour {self._function}: {what} is {found.dtype} of shape {found.shape}, expected {expected}"
        )


def _array(value: Any) -> NDArray[Any]:
    try:
        return np.asarray(value)
    except ValueError:  # rows of different length
        return np.asarray(None)

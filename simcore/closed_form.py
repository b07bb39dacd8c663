"""The `ideal` back end: banks that answer by a closed formula with a few constants.

A circuit folder that has a `closed_form.toml` can be run this way; the file names a model of MODELS and gives
its constants. It is no part of the circuit's hash.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from simcore import clock
from simcore.bank import AnalogBank, BankRequest, Floats, StepInput, StepResult
from simcore.errors import CircuitError, ScenarioError
from simcore.lif import LifModel
from simcore.mac import MacModel
from simcore.manifest import explain
from simcore.spec import CircuitSpec, PortKind

FILE = "closed_form.toml"


class Model(Protocol):
    """A formula for one period of some units; it owns their state."""

    def reset(self) -> Floats:
        """Put every unit into its operating point; return the outputs, (n_units, n_out)."""
        ...

    def period(self, units: NDArray[np.int64], inputs: Floats, idle: bool) -> StepResult:
        """Advance some units by one period; energies are those of the period."""
        ...


MODELS: Mapping[str, Any] = {"lif": LifModel, "mac": MacModel}
"""Name in `closed_form.toml` -> `cls(spec, params, constants)` with `constants_type`."""


def open_bank(request: BankRequest) -> AnalogBank:
    """Open a closed-form bank; takes no options. Raises CircuitError where the circuit has no closed form."""
    if request.options:
        raise ScenarioError(f"backend.ideal: got {', '.join(request.options)}, expected no options")
    name, constants = load_constants(Path(request.spec.folder))
    model = MODELS[name](request.spec, request.params, constants)
    return ClosedFormBank(
        request.spec, request.params, model, {"model": name, "constants": constants.model_dump()}
    )


def load_constants(folder: Path) -> tuple[str, Any]:
    """Read `closed_form.toml` of a circuit folder: the model's name and its constants, checked."""
    path = folder / FILE
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CircuitError(f"back end 'ideal' needs {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CircuitError(f"{path}: not valid TOML: {error}") from error
    name = data.pop("model", None)
    if name not in MODELS:
        raise CircuitError(f"{path}: model: got {name!r}, expected one of: {', '.join(MODELS)}")
    try:
        return name, MODELS[name].constants_type.model_validate(data)
    except ValidationError as error:
        raise CircuitError(f"{path}: {explain(error)}") from error


class ClosedFormBank:
    """AnalogBank over a Model; a merged idle step is its single periods, one after the other."""

    def __init__(self, spec: CircuitSpec, params: Floats, model: Model, source: Mapping[str, Any]) -> None:
        """`source` says in the provenance what the model is, JSON-able."""
        self.spec = spec
        self.params = params
        self.n_units = len(params)
        self._model = model
        self._source = source
        self._low, self._high = spec.low(PortKind.INPUT), spec.high(PortKind.INPUT)
        self.reset()

    def reset(self) -> Floats:
        """Put every unit into its operating point."""
        self._out_of_range = np.zeros(self.n_units, dtype=np.int64)
        return self._model.reset()

    def step(self, request: StepInput) -> StepResult:
        """Advance the units of the request period by period."""
        outside = ((request.inputs < self._low) | (request.inputs > self._high)).any(axis=1)
        self._out_of_range[request.units] += outside
        count = np.array(
            [clock.periods(int(d), self.spec.period_ps) for d in request.duration_ps], dtype=np.int64
        )
        total = self._model.period(request.units, request.inputs, request.idle)
        for done in range(1, int(count.max(initial=1))):
            rows = np.flatnonzero(count > done)
            part = self._model.period(request.units[rows], request.inputs[rows], request.idle)
            _add(total, part, rows)
        return total

    def counters(self) -> Mapping[str, NDArray[np.int64]]:
        """Return counts per unit since reset."""
        return {
            "out_of_range": self._out_of_range.copy(),
            "rail_excursions": np.zeros_like(self._out_of_range),
        }

    def provenance(self) -> Mapping[str, Any]:
        """Return the model; its CPU time is that of the process, none is added."""
        return {"backend": "ideal", **self._source, "cpu_s": 0.0}

    def close(self) -> None:
        """Nothing to free."""


def _add(total: StepResult, part: StepResult, rows: NDArray[np.int64]) -> None:
    """Append one more period to some rows of a result.

    The models of this package fire in the first period only, so no latency is taken from a later one.
    """
    total.fired[rows] |= part.fired
    total.outputs[rows], total.state[rows] = part.outputs, part.state
    total.supply_j[rows] += part.supply_j
    total.input_j[rows] += part.input_j

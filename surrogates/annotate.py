"""The back end `annotate`: a behavioural model says what a circuit does, a bundle what that costs.

Outputs and events are those of the circuit's closed form or of a user's function. The bundle gets the same
inputs, is told which events happened, and adds state, energies and latency; the state that it goes on from is
its own. It is the second way of using surrogates in LASANA (arXiv 2507.10748).
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from simcore import registry
from simcore.bank import (
    AnalogBank,
    BankRequest,
    BatchAnswer,
    Floats,
    Raster,
    RasterBatch,
    RasterResult,
    StepInput,
    StepResult,
)
from simcore.closed_form import ClosedFormBank
from simcore.errors import BundleError, CircuitError, ScenarioError
from simcore.manifest import explain
from simcore.replay import joined, split_answer, stepped_batch
from simcore.spec import CircuitSpec, Record
from surrogates.behaviour import UserModel, load_function
from surrogates.bundle import SurrogateBundle, shared_bundle
from surrogates.frame import MIN_EVENTS, detects_events
from surrogates.origin import on_command_line
from surrogates.runtime import SurrogateBank
from surrogates.shipped import BEST, find_bundle

IDEAL = "ideal"
OpenBehaviour = Callable[[Floats], AnalogBank]
"""Opens a behavioural bank of units with these parameters, (n_units, n_param)."""


class AnnotateOptions(Record):
    """The scenario's table `[backend] annotate`."""

    family: str = BEST
    """`best`, a family, or the path of a bundle."""
    behaviour: str = IDEAL
    """`ideal`, the circuit's closed form, or a function of your own, `path/to/file.py:function`."""


def open_bank(request: BankRequest) -> "AnnotatedBank":
    """Open a bank.

    Wrong options raise ScenarioError, an unfit bundle BundleError, a missing closed form CircuitError.
    """
    try:
        options = AnnotateOptions.model_validate(dict(request.options))
    except ValidationError as error:
        raise ScenarioError(f"[backend] annotate: {explain(error, AnnotateOptions)}") from error
    behaviour = _behaviour(request, options.behaviour)
    bundle = shared_bundle(find_bundle(request.spec, options.family, request.base), request.spec)
    _check_can_be_told(bundle, request.spec)
    try:
        return AnnotatedBank(bundle, request.spec, request.params, behaviour)
    except CircuitError as error:
        error.add_note(
            "or name a function of your own: [backend] annotate = { behaviour = 'file.py:function' }"
        )
        raise


def _behaviour(request: BankRequest, name: str) -> OpenBehaviour:
    spec = request.spec
    if name == IDEAL:
        open_ideal = registry.load("backends", IDEAL)
        return lambda params: open_ideal(BankRequest(spec, params))
    if ":" not in name:
        raise ScenarioError(
            f"[backend] annotate: behaviour: got '{name}', expected '{IDEAL}' or path/to/file.py:function"
        )
    function = load_function(name, request.base)
    source = {"function": str(function), "sha256": function.sha256}
    return lambda params: ClosedFormBank(spec, params, UserModel(spec, params, function), source)


def _check_can_be_told(bundle: SurrogateBundle, spec: CircuitSpec) -> None:
    """Refuse a bundle whose events are the model's own decision and nobody else's."""
    if not detects_events(spec) or bundle.takes_events("driven"):
        return
    old = bundle.info.schema_version < 2
    reason = "is of an older schema" if old else f"learned from fewer than {MIN_EVENTS} events"
    raise BundleError(
        f"{bundle.path} {reason}: it cannot be told which events happen, as 'annotate' does; "
        f"train again with: simcore surrogate train {on_command_line(spec)}"
    )


class AnnotatedBank:
    """A behavioural bank and a surrogate bank side by side, stepped with the same inputs."""

    def __init__(
        self, bundle: SurrogateBundle, spec: CircuitSpec, params: Floats, open_behaviour: OpenBehaviour
    ) -> None:
        self.spec = spec
        self.params = params
        self.n_units = len(params)
        self._bundle = bundle
        self._open_behaviour = open_behaviour
        self._behaviour = open_behaviour(params)
        self._surrogate = SurrogateBank(bundle, spec, params)
        self._replay_cpu_s = 0.0

    def reset(self) -> Floats:
        """Put every unit into its operating point; return the behaviour's outputs there, (n_units, n_out)."""
        self._surrogate.reset()
        return self._behaviour.reset()

    def step(self, request: StepInput) -> StepResult:
        """Advance the units of the request; all others stay where they are."""
        decided = self._behaviour.step(request)
        told = self._surrogate.step(request, decided.fired)
        if self.spec.has_latencies and not (told.latency_s[decided.fired] > 0).all():
            kind = "an idle" if request.idle else "a driven"
            raise BundleError(
                f"the behaviour fires in {kind} step of '{self.spec.name}', of which {self._bundle.path} saw "
                f"fewer than {MIN_EVENTS}: it knows no latency; record more runs and train again, or let "
                "the behaviour not do so"
            )
        return replace(told, outputs=decided.outputs)

    def replay(
        self, rasters: list[Raster], progress: Callable[[float], None] = lambda _: None
    ) -> list[RasterResult]:
        """Answer each raster from reset, see `replay_batch`."""
        batch = joined(rasters)
        return split_answer(self.replay_batch(batch, progress), batch.starts)

    def replay_batch(
        self,
        batch: RasterBatch,
        progress: Callable[[float], None] = lambda _: None,
        *,
        states: bool = True,
    ) -> BatchAnswer:
        """Step each raster as a unit of its own from reset: row j of all of them in one call."""
        bank = AnnotatedBank(self._bundle, self.spec, batch.params.take(), self._open_behaviour)
        bank._surrogate.ranges = self._surrogate.ranges
        reset_outputs, reset_state = bank.reset(), bank._surrogate.state
        steps = stepped_batch(bank, batch, progress)
        self._replay_cpu_s += bank._surrogate.provenance()["inference_cpu_s"]
        return BatchAnswer(reset_state, reset_outputs, steps, bank.counters())

    def counters(self) -> Mapping[str, NDArray[np.int64]]:
        """Return the bundle's counts per unit since reset."""
        return self._surrogate.counters()

    def provenance(self) -> Mapping[str, Any]:
        """Return the bundle's own, with the behaviour; its intervals were measured with its own events."""
        found = self._surrogate.provenance()
        behaviour = {
            key: value
            for key, value in self._behaviour.provenance().items()
            if key not in ("backend", "cpu_s")
        }
        return {
            **found,
            "backend": "annotate",
            "behaviour": behaviour,
            "intervals": [],
            "inference_cpu_s": found["inference_cpu_s"] + self._replay_cpu_s,
        }

    def close(self) -> None:
        """Close the behavioural bank too."""
        self._behaviour.close()
        self._surrogate.close()

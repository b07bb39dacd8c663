"""The back end `surrogate`: a bank of units that an ONNX bundle answers."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from pydantic import ValidationError

from simcore.bank import (
    BankRequest,
    BatchAnswer,
    Floats,
    Raster,
    RasterBatch,
    RasterResult,
    StepInput,
    StepResult,
)
from simcore.errors import ContractError, ScenarioError
from simcore.guard import GuardedBank
from simcore.manifest import explain
from simcore.replay import joined, split_answer
from simcore.spec import CircuitSpec, PortKind, Record
from surrogates.batch import BLOCK, BatchReplay, rows_per_call, swings
from surrogates.bundle import SurrogateBundle, shared_bundle
from surrogates.features import Rows
from surrogates.layout import Layout
from surrogates.ranges import RangeCounter
from surrogates.shipped import BEST, find_bundle

FORCED = 1e9
"""Bias beyond any logit: the event happens, or with a minus it does not."""


class SurrogateOptions(Record):
    """The scenario's table `[backend] surrogate`."""

    family: str = BEST
    """`best`, a family, or the path of a bundle."""
    guard: bool = False
    """Replay units that leave the trained range on ngspice, from reset to the end of their sample."""


def open_bank(request: BankRequest) -> "SurrogateBank | GuardedBank":
    """Open a bank; unknown options raise ScenarioError, an unfit bundle BundleError."""
    try:
        options = SurrogateOptions.model_validate(dict(request.options))
    except ValidationError as error:
        raise ScenarioError(f"[backend] surrogate: {explain(error, SurrogateOptions)}") from error
    path = find_bundle(request.spec, options.family, request.base)
    bank = SurrogateBank(shared_bundle(path, request.spec), request.spec, request.params)
    return GuardedBank(bank, request) if options.guard else bank


class SurrogateBank:
    """Struct of arrays over units; each call is one run of the driven or of the idle graph."""

    def __init__(self, bundle: SurrogateBundle, spec: CircuitSpec, params: Floats) -> None:
        self.spec = spec
        self.params = params
        self.n_units = len(params)
        self._bundle = bundle
        self._layout = Layout(spec)
        self._swings = swings(spec)
        self.ranges = RangeCounter(bundle.info)
        """Counts what leaves the training range; a bank that is made for a replay shares it."""
        self._cpu_s = 0.0
        self._is_reset = False

    def reset(self) -> Floats:
        """Put every unit into its operating point; return the outputs there, (n_units, n_out)."""
        answer = self._answer("reset", self._reset_rows(self.params))
        self._state = answer["state"].astype(np.float64)
        self._outputs = answer["outputs"].astype(np.float64)
        self._out_of_range = np.zeros(self.n_units, np.int32)
        self._is_reset = True
        return self._outputs.copy()

    def step(self, request: StepInput, fired: NDArray[np.bool_] | None = None) -> StepResult:
        """Advance the units of the request; all others stay where they are.

        `fired` (k,) decides in the model's place which events happen; state, energies and latency go with it.
        """
        self._start()
        units = request.units
        if not request.idle and np.any(request.duration_ps != self.spec.period_ps):
            raise ContractError(f"surrogate of '{self.spec.name}': a driven step lasts one period")
        x = self._layout.rows(request.inputs, self.params[units], self._state[units], request.duration_ps)
        graph = "idle" if request.idle else "driven"
        left = self.ranges.outside(graph, x)
        if left is not None:
            self._out_of_range[units] += left
        answer = self._answer(graph, x, None if fired is None else np.where(fired, FORCED, -FORCED))
        # An idle step changes no input, hence no output of a circuit without memory.
        holds = request.idle and self.spec.kind == "static"
        outputs = self._outputs[units] if holds else answer["outputs"].astype(np.float64)
        if fired is None:
            fired = self._fired(answer, outputs, units)
        self._state[units] = answer["state"]
        self._outputs[units] = outputs
        return StepResult(
            outputs=outputs,
            state=self._state[units],
            fired=fired,
            supply_j=answer["supply_j"].astype(np.float64),
            input_j=answer["input_j"].astype(np.float64),
            latency_s=np.where(
                fired & self.spec.has_latencies, answer["latency_s"].astype(np.float64), np.nan
            ),
        )

    @property
    def state(self) -> Floats:
        """State of all units now, (n_units, n_state)."""
        self._start()
        return self._state.copy()

    def set_state(self, units: NDArray[np.int64], state: Floats) -> None:
        """Overwrite the state of some units; their outputs stay the last known ones."""
        self._start()
        self._state[units] = state

    def set_outputs(self, units: NDArray[np.int64], outputs: Floats) -> None:
        """Overwrite the outputs that the swing of a settled output counts from."""
        self._start()
        self._outputs[units] = outputs

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
        """Answer each unit's whole input from reset, in the calls of `replay.call_order`."""
        distinct = self._answer("reset", self._reset_rows(batch.params.distinct))
        resets = {head: values.take(batch.params.index, axis=0) for head, values in distinct.items()}
        start = time.process_time()
        outcome = BatchReplay(self._bundle, self.spec, self.ranges, states=states).answer(
            batch, resets, progress
        )
        self._cpu_s += time.process_time() - start
        return outcome

    def counters(self) -> Mapping[str, NDArray[np.int64]]:
        """Return steps that began outside the training range, per unit; a model has no rails."""
        self._start()
        return {
            "out_of_range": self._out_of_range.astype(np.int64),
            "rail_excursions": np.zeros(self.n_units, dtype=np.int64),
        }

    def provenance(self) -> Mapping[str, Any]:
        """Return bundle, hashes, versions, CPU time of the model, and what left its training range so far.

        It has no workers of its own (`cpu_s`).
        """
        info = self._bundle.info
        return {
            "backend": "surrogate",
            "bundle": str(self._bundle.path),
            "bundle_hash": info.digest,
            "family": info.family,
            "spec_hash": info.spec.hash,
            "dataset_sha256": info.dataset_sha256,
            "versions": {"onnxruntime": onnxruntime.__version__, "numpy": np.__version__},
            "trained_with": info.versions,
            "intervals": [each.model_dump() for each in info.intervals if each.of == "layer"],
            "out_of_range": self.ranges.report(),
            "inference_cpu_s": self._cpu_s,
            "cpu_s": 0.0,
        }

    def close(self) -> None:
        """Do nothing: sessions go with the object."""

    def _start(self) -> None:
        """Reset a bank that nobody has reset; one that only replays needs none."""
        if not self._is_reset:
            self.reset()

    def _reset_rows(self, params: Floats) -> Rows:
        n = len(params)
        inputs = np.broadcast_to(self.spec.reset_inputs, (n, self.spec.width(PortKind.INPUT)))
        state = np.zeros((n, self.spec.width(PortKind.STATE)))
        return self._layout.rows(inputs, params, state, np.full(n, self.spec.period_ps))

    def _fired(
        self, answer: Mapping[str, NDArray[np.float32]], outputs: Floats, units: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        if self._bundle.info.min_swing is None:
            return np.asarray(answer["fired"] > 0)
        return np.asarray((np.abs(outputs - self._outputs[units]) >= self._swings).any(axis=1))

    def _answer(self, graph: str, x: Rows, event_bias: Floats | None = None) -> dict[str, Rows]:
        """Run a graph in padded chunks; `event_bias` is (k,)."""
        start = time.process_time()
        bias = np.zeros(len(x)) if event_bias is None else event_bias
        padded, biases = _padded(x), _padded(bias[:, None].astype(np.float32))
        size = rows_per_call(padded.shape[1])
        chunks = [slice(first, first + size) for first in range(0, len(padded), size)]
        parts = [self._bundle.run(graph, padded[chunk], biases[chunk]) for chunk in chunks]
        self._cpu_s += time.process_time() - start
        return {name: np.concatenate([part[name] for part in parts])[: len(x)] for name in parts[0]}


def _padded(rows: Rows) -> Rows:
    padding = -len(rows) % BLOCK
    return np.concatenate([rows, np.repeat(rows[-1:], padding, axis=0)]) if padding else rows

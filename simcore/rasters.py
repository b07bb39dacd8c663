"""What units of a stored run received: their recorded inputs, as rasters that any open-loop bank can replay.

Waveforms, audits and recordings of workloads all drive units once more with this.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

from simcore.architecture import Layer
from simcore.assembly import assemble, circuit_of, unit_params
from simcore.bank import Floats, Raster
from simcore.errors import ResultError
from simcore.ledger import TraceRows
from simcore.result import RunResult
from simcore.scenario import parse_scenario
from simcore.spec import CircuitSpec

Pairs = NDArray[np.int64]
"""(n, 2) sample (index in the data set) and unit."""


class Recorded:
    """A stored run with what it takes to drive its units once more: circuits, parameters, traced inputs."""

    def __init__(self, result: RunResult) -> None:
        """Build the run's network again, which gives the units their parameters; raises a UserError."""
        self.result = result
        self.scenario = parse_scenario(result.provenance["settings"], str(result.path))
        assembly = assemble(self.scenario)
        network = assembly.architecture.network(assembly.batch(0, 1))
        self.layers: dict[str, Layer] = {layer.name: layer for layer in network.layers}
        self._specs: dict[str, CircuitSpec] = {}
        self._params: dict[str, Floats] = {}
        self._traces: dict[str, _Trace] = {}

    def spec(self, layer: str) -> CircuitSpec:
        """Return the circuit of a layer; raises ResultError if it has changed since the run."""
        key = self.layers[layer].circuit
        if key not in self._specs:
            self._specs[key] = circuit_of(self.scenario, key)
        spec = self._specs[key]
        then = self.result.provenance["layers"][layer]["spec"]["hash"]
        if spec.hash != then:
            raise ResultError(
                f"{self.result.path}: layer {layer} ran on circuit {spec.name} {then[:12]}, which is now "
                f"{spec.hash[:12]}; run again"
            )
        return spec

    def params(self, layer: str) -> Floats:
        """Return the parameters of the units of a layer, (n_units, n_param)."""
        if layer not in self._params:
            self._params[layer] = unit_params(self.scenario, self.layers[layer], self.spec(layer))
        return self._params[layer]

    def pairs(self, layer: str) -> Pairs:
        """Return the traced pairs of a layer, in ascending order: all of them, or those that were chosen."""
        return self._trace(layer).pairs()

    def rows(self, layer: str, pairs: Pairs) -> list[TraceRows]:
        """Return the rows of each pair, in order of time; raises ResultError for one that was not traced."""
        return [self._trace(layer).rows(sample, unit) for sample, unit in pairs.tolist()]

    def rasters(self, layer: str, pairs: Pairs) -> list[Raster]:
        """Return the whole input of each pair, from reset; raises ResultError like `rows`."""
        params, period_ps = self.params(layer), self.spec(layer).period_ps
        return [
            Raster(params[unit], rows.periods * period_ps, rows.inputs, rows.idle)
            for unit, rows in zip(pairs[:, 1].tolist(), self.rows(layer, pairs), strict=True)
        ]

    def fingerprint(self, layer: str) -> str:
        """Return a hash of parameters and inputs of all traced units of a layer."""
        digest = hashlib.sha256(self.params(layer).tobytes())
        digest.update(self._trace(layer).inputs())
        return digest.hexdigest()

    def _trace(self, layer: str) -> "_Trace":
        if layer not in self._traces:
            where = f"{self.result.path}: layer {layer}"
            self._traces[layer] = _Trace(self.result.chosen_trace(layer), where)
        return self._traces[layer]


class _Trace:
    """The rows of a layer, ordered by sample, unit and time, so that those of a pair lie together."""

    def __init__(self, rows: TraceRows, where: str) -> None:
        self._where = where
        self._n_units = 1 + int(rows.unit.max(initial=0))
        self._rows = rows.take(np.lexsort([rows.step, rows.unit, rows.lane]))
        self._key = self._rows.lane * self._n_units + self._rows.unit

    def inputs(self) -> bytes:
        columns = ("lane", "unit", "step", "periods", "idle", "inputs")
        return b"".join(getattr(self._rows, name).tobytes() for name in columns)

    def pairs(self) -> Pairs:
        return np.stack(np.divmod(np.unique(self._key), self._n_units), axis=1)

    def rows(self, sample: int, unit: int) -> TraceRows:
        key = sample * self._n_units + unit
        start, end = np.searchsorted(self._key, [key, key + 1])
        if unit >= self._n_units or start == end:
            raise ResultError(f"{self._where}: unit {unit} was not traced in sample {sample}")
        return self._rows.take(np.arange(start, end))

"""What networks really send: the inputs of units of traced runs, as the rasters of a recording."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from simcore.bank import Raster
from simcore.errors import ResultError
from simcore.rasters import Recorded
from simcore.result import RunResult
from simcore.spec import CircuitSpec

PICK = 4
"""Purpose of the random stream, beside those of `stimuli`."""


class Workload:
    """The traced units of all layers that use a circuit, layers in turn, those of a layer in random order."""

    def __init__(self, spec: CircuitSpec, folders: Sequence[Path], seed: int) -> None:
        """Open the runs; raises ResultError where one has no traced layer of this circuit."""
        self._layers: list[tuple[Recorded, str]] = []
        self._names: list[str] = []
        for folder in folders:
            recorded = Recorded(RunResult(folder))
            mine = _layers_of(recorded, spec)
            self._layers += [(recorded, layer) for layer in mine]
            self._names.append(f"{recorded.scenario.name} ({', '.join(mine)})")
        pairs = [
            np.random.default_rng([seed, index, PICK]).permutation(recorded.pairs(layer))
            for index, (recorded, layer) in enumerate(self._layers)
        ]
        layer = np.concatenate([np.full(len(part), index) for index, part in enumerate(pairs)])
        turn = np.concatenate([np.arange(len(part)) for part in pairs])
        order = np.lexsort([layer, turn])
        self._layer, self._pairs = layer[order], np.concatenate(pairs)[order]

    @property
    def most(self) -> int:
        """How many traced units there are."""
        return len(self._pairs)

    def draw(self, run: int) -> tuple[str, Raster]:
        """Return kind and raster of a run: `workload/LAYER`, and the whole input of one unit."""
        recorded, layer = self._layers[self._layer[run]]
        (raster,) = recorded.rasters(layer, self._pairs[run][None])
        return f"workload/{layer}", raster

    def provenance(self) -> dict[str, Any]:
        """Return the runs and layers, and a hash of all that their units received, wherever they lie."""
        digest = hashlib.sha256()
        for recorded, layer in self._layers:
            digest.update(f"{layer} {recorded.fingerprint(layer)}\n".encode())
        return {"source": f"workload of {', '.join(self._names)}, sha256 {digest.hexdigest()[:16]}"}


def _layers_of(recorded: Recorded, spec: CircuitSpec) -> list[str]:
    found = recorded.result.provenance["layers"]
    mine = [name for name, info in found.items() if info["spec"]["hash"] == spec.hash]
    if not mine:
        known = ", ".join(f"{name}: {x['circuit']} {x['spec']['hash'][:12]}" for name, x in found.items())
        raise ResultError(
            f"{recorded.result.path}: no layer of this run uses {spec.name} {spec.hash[:12]}; it has {known}"
        )
    return mine

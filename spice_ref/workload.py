"""What networks really send: the inputs of units of traced runs, as the rasters of a recording."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from simcore.bank import Floats, Raster
from simcore.errors import ResultError
from simcore.rasters import Recorded
from simcore.result import RunResult
from simcore.spec import CircuitSpec, PortKind
from spice_ref.stimuli import DEFAULT_KNOBS, weight_columns

PICK, VARY = 4, 5
"""Purposes of the random streams, beside those of `stimuli`."""


class Workload:
    """The traced units of all layers that use a circuit, layers in turn, those of a layer in random order."""

    def __init__(
        self, spec: CircuitSpec, folders: Sequence[Path], seed: int, *, vary_knobs: bool = False
    ) -> None:
        """Open the runs; raises ResultError where one has no traced layer of this circuit.

        `vary_knobs`: as many units as in random stimuli get knobs anywhere in their range.
        """
        self._spec, self._seed, self._vary_knobs = spec, seed, vary_knobs
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
        if self._vary_knobs:
            raster = replace(raster, params=self._varied(raster.params, run))
        return f"workload/{layer}", raster

    def provenance(self) -> dict[str, Any]:
        """Return the runs and layers, and a hash of all that their units received, wherever they lie."""
        digest = hashlib.sha256()
        for recorded, layer in self._layers:
            digest.update(f"{layer} {recorded.fingerprint(layer)}\n".encode())
        knobs = ", knobs varied" if self._vary_knobs else ""
        return {"source": f"workload of {', '.join(self._names)}, sha256 {digest.hexdigest()[:16]}{knobs}"}

    def _varied(self, params: Floats, run: int) -> Floats:
        rng = np.random.default_rng([self._seed, run, VARY])
        if rng.random() < DEFAULT_KNOBS:
            return params
        drawn = rng.uniform(self._spec.low(PortKind.PARAM), self._spec.high(PortKind.PARAM))
        return np.where(weight_columns(self._spec), params, drawn)


def _layers_of(recorded: Recorded, spec: CircuitSpec) -> list[str]:
    found = recorded.result.provenance["layers"]
    mine = [name for name, info in found.items() if info["spec"]["hash"] == spec.hash]
    if not mine:
        known = ", ".join(f"{name}: {x['circuit']} {x['spec']['hash'][:12]}" for name, x in found.items())
        raise ResultError(
            f"{recorded.result.path}: no layer of this run uses {spec.name} {spec.hash[:12]}; it has {known}"
        )
    return mine

"""The survey behind an audit: strata of a run's units, the pairs drawn from them, and ngspice's answers."""

from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcore import registry
from simcore.audit_figures import Layers, estimated
from simcore.bank import BankRequest, Floats, OpenLoop, RasterResult
from simcore.differences import Difference, columns, difference
from simcore.estimate import Sample, allocate, merged, neyman, strata_by_size
from simcore.progress import scaled
from simcore.rasters import Pairs, Recorded
from simcore.shard import Progress

SOLVER = "spice"
CANDIDATES = 16
"""Traced pairs that a stratum has at least."""
QUIET = 0.1
"""Root of energy, relative to that of the unit with the most, below which a unit is a quiet one."""
SMALLEST = 1e-3
"""Expected spread of units without energy, relative to that of the unit with the most."""
ORDER = 102
"""Purpose of the random stream."""


class Survey:
    """Mutable state of an audit: strata, who is drawn, what was found."""

    def __init__(self, recorded: Recorded, layers: Sequence[str], seed: int, n_strata: int) -> None:
        self._recorded = recorded
        self._layers = layers
        self.round_sizes: list[int] = []
        size, scale, group, self._waiting = [], [], [], list[tuple[Pairs, Pairs]]()
        for index, name in enumerate(layers):
            rng = np.random.default_rng([seed, ORDER, index])
            for members, spread, waiting in _strata(recorded, name, n_strata, rng):
                size.append(members)
                scale.append(spread)
                group.append(index)
                self._waiting.append((waiting[0::2], waiting[1::2]))
        self.size, self._scale, self._group = np.array(size), np.array(scale), np.array(group)
        self._in_half = np.array([[len(half) for half in halves] for halves in self._waiting]).T
        self.available = self._in_half.sum(axis=0)
        self._drawn: list[tuple[int, int]] = []
        self._found: list[Difference] = []

    @property
    def n_drawn(self) -> int:
        """Pairs drawn so far."""
        return len(self._drawn)

    def extend(self, more: int, solver: "Solver", progress: Progress) -> None:
        """Draw and replay one more round, of each half of the strata as the other half suggests."""
        drawn = np.array(self._drawn, np.int64).reshape(-1, 2)
        chosen: list[tuple[int, int, NDArray[np.int64]]] = []
        for half in (0, 1):
            n = np.bincount(drawn[drawn[:, 1] == half, 0], minlength=len(self.size))
            budget = (more + 1) // 2 if half == 0 else more - len(chosen)
            weight, fewest = self._weight(drawn, 1 - half), 0 if self._drawn else 1
            added = allocate(budget, weight, n, self._in_half[half], fewest)
            for stratum in np.flatnonzero(added).tolist():
                next_ones = self._waiting[stratum][half][n[stratum] : n[stratum] + added[stratum]]
                chosen += [(stratum, half, pair) for pair in next_ones]
        asked = [(self._layers[self._group[stratum]], pair) for stratum, _, pair in chosen]
        self._found += solver.differences(asked, progress)
        self._drawn += [(stratum, half) for stratum, half, _ in chosen]
        self.round_sizes.append(len(chosen))

    def _weight(self, drawn: NDArray[np.int64], half: int) -> Floats:
        """Return size x expected spread of each stratum as one half tells it; at first all layers alike."""
        if not len(drawn):
            expected = self.size * self._scale
            return np.asarray(expected / np.bincount(self._group, expected)[self._group])
        rows = drawn[:, 1] == half
        error_j = np.array([one.run_j - one.reference_j for one in self._found])
        return neyman(self.size, self._scale, self._group, drawn[rows, 0], error_j[rows])

    def half_width_pct(self) -> float:
        """Return half of the interval of the energy of the whole run, in percent."""
        interval = self.figures()["energy_bias"]["ci95_pct"]
        return np.inf if interval is None else float(interval[1] - interval[0]) / 2

    def figures(self) -> dict[str, Any]:
        """Return what is known so far, as it stands in `audit.json`."""
        layers = Layers(self._recorded.result, self._layers, self._group, self.available)
        return estimated(layers, self._sample(), columns(self._found))

    def _sample(self) -> Sample:
        stratum, half = np.array(self._drawn).T
        return Sample(self.size, stratum, half)


def _strata(
    recorded: Recorded, layer: str, n_strata: int, rng: np.random.Generator
) -> list[tuple[int, float, Pairs]]:
    """Return members, expected relative spread, and traced pairs in random order of each stratum of a layer.

    Errors are expected to grow with the root of the energy, as those of independent events do. Quiet units
    lie by themselves: among others, the few that are drawn would often all be quiet ones. The traced pairs
    are all, or a random part of the layer's: within a stratum they are a random part too.
    """
    result = recorded.result
    energy_j = np.abs(result.layer_columns[layer]["unit_energy_j"])
    root = np.sqrt(energy_j.ravel() / max(energy_j.max(), np.finfo(float).tiny))
    pairs = recorded.pairs(layer)
    place = np.searchsorted(result.samples, pairs[:, 0]) * energy_j.shape[1] + pairs[:, 1]
    loud = root >= QUIET
    stratum = np.zeros(len(root), np.int64)
    stratum[loud] = 1 + strata_by_size(root[loud], n_strata)
    stratum = merged(stratum, np.bincount(stratum[place], minlength=1 + stratum.max()), CANDIDATES)
    members = np.bincount(stratum)
    spread = np.maximum(np.bincount(stratum, root) / members, SMALLEST)
    return [
        (int(members[i]), float(spread[i]), rng.permutation(pairs[stratum[place] == i]))
        for i in range(len(members))
    ]


class Solver:
    """ngspice banks of the circuits of a run, each opened when it is first needed."""

    def __init__(self, recorded: Recorded, stack: ExitStack) -> None:
        self._recorded = recorded
        self._stack = stack
        self._banks: dict[str, Any] = {}

    def differences(
        self, chosen: Sequence[tuple[str, NDArray[np.int64]]], progress: Progress
    ) -> list[Difference]:
        """Replay pairs (layer, (sample, unit)) and compare, in order; those of one circuit in one call."""
        places: dict[str, list[int]] = {}
        for place, (layer, _) in enumerate(chosen):
            places.setdefault(self._recorded.layers[layer].circuit, []).append(place)
        found: dict[int, Difference] = {}
        for circuit, here in places.items():
            rasters = [self._recorded.rasters(chosen[i][0], chosen[i][1][None])[0] for i in here]
            report = scaled(progress, len(found) / len(chosen), len(here) / len(chosen))
            answers = self._bank(circuit, chosen[here[0]][0]).replay(rasters, report)
            for place, answer in zip(here, answers, strict=True):
                found[place] = self._difference(*chosen[place], answer)
        return [found[place] for place in range(len(chosen))]

    def costs(self) -> dict[str, float]:
        """Return what the replays took; a stored result counts with the seconds that it took then."""
        made = [bank.provenance() for bank in self._banks.values()]
        return {
            "solver_cpu_s": sum(float(bank["cpu_s"]) for bank in made),
            "solver_jobs": sum(int(bank["n_jobs"]) for bank in made),
            "solver_jobs_cached": sum(int(bank["n_cached"]) for bank in made),
        }

    def _difference(self, layer: str, pair: NDArray[np.int64], answer: RasterResult) -> Difference:
        (rows,) = self._recorded.rows(layer, pair[None])
        return difference(rows, answer, self._recorded.spec(layer).period_ps)

    def _bank(self, circuit: str, layer: str) -> OpenLoop:
        if circuit not in self._banks:
            scenario, params = self._recorded.scenario, self._recorded.params(layer)
            request = BankRequest(
                self._recorded.spec(layer), params, scenario.backend.options(SOLVER), Path(scenario.base)
            )
            opened = registry.load("backends", SOLVER)(request)
            self._banks[circuit] = self._stack.enter_context(closing(opened))
        bank: OpenLoop = self._banks[circuit]
        return bank

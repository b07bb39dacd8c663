"""The guard: units that left a model's trained range are replayed from reset on ngspice.

It works on whole rasters, layer after layer: what a flagged unit did is replaced before the next layer sees
it, so that the unit is on ngspice from the start to the end of its sample.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from simcore import registry
from simcore.bank import (
    AnalogBank,
    BankRequest,
    Floats,
    OpenLoop,
    Raster,
    RasterResult,
    StepInput,
    StepResult,
)
from simcore.errors import ScenarioError
from simcore.progress import scaled

SOLVER = "spice"


class ReplayingBank(AnalogBank, OpenLoop, Protocol):
    """A bank that can answer whole rasters."""


class GuardedBank:
    """A bank whose replays are checked: rasters that leave its range are answered by ngspice instead."""

    def __init__(self, bank: ReplayingBank, request: BankRequest) -> None:
        """`request` is the one that opened `bank`; ngspice starts when the first unit leaves the range."""
        self.spec = bank.spec
        self.params = bank.params
        self.n_units = bank.n_units
        self._bank = bank
        self._open = registry.load("backends", SOLVER)
        self._request = replace(request, options=request.solver, solver={})
        self._solver: Any = None
        self._n_guarded = self._n_replayed = 0

    def reset(self) -> Floats:
        """Put every unit into its operating point, as the bank does."""
        return self._bank.reset()

    def step(self, request: StepInput) -> StepResult:
        """Refuse: a step that is answered cannot be taken back."""
        raise ScenarioError(
            f"the guard of '{self.spec.name}' needs whole inputs: use schedule = 'run_ahead', and a network "
            "without feedback"
        )

    def replay(
        self, rasters: list[Raster], progress: Callable[[float], None] = lambda _: None
    ) -> list[RasterResult]:
        """Answer like the bank, and by ngspice where that left its range."""
        results = self._bank.replay(rasters, scaled(progress, 0.0, 0.5))
        flagged = [place for place, result in enumerate(results) if result.out_of_range]
        self._n_replayed += len(rasters)
        self._n_guarded += len(flagged)
        if flagged:
            if self._solver is None:
                self._solver = self._open(self._request)
            again = self._solver.replay([rasters[i] for i in flagged], scaled(progress, 0.5, 0.5))
            for place, result in zip(flagged, again, strict=True):
                results[place] = replace(result, guarded=True)
        progress(1.0)
        return results

    def counters(self) -> Mapping[str, NDArray[np.int64]]:
        """Return the counts of the bank's own steps: none."""
        return self._bank.counters()

    def provenance(self) -> Mapping[str, Any]:
        """Return what made the figures: the bank, how many units the guard took over, the solver."""
        made = dict(self._bank.provenance())
        made["guard"] = {"units": self._n_replayed, "guarded": self._n_guarded}
        if self._solver is not None:
            solver = dict(self._solver.provenance())
            made["guard"] |= {"solver": solver}
            made |= {key: solver[key] for key in ("n_jobs", "n_cached")}
            made["cpu_s"] = made["cpu_s"] + solver["cpu_s"]
        return made

    def close(self) -> None:
        """Stop both."""
        self._bank.close()
        if self._solver is not None:
            self._solver.close()

"""Operating points of a static circuit, one after the other in one `.dc` sweep, as the steps of a raster."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simcore.bank import Floats
from simcore.clock import PS_PER_S
from simcore.errors import SolverError
from spice_ref.deck import SWEPT
from spice_ref.measure import EXCURSION_V, Measured, Probe, is_node
from spice_ref.tasks import Arrays, Solver, Trace

POINT_PS = 50_000
"""An operating point may take as long as a transient of this duration."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """Find n + 1 operating points: the first is where a raster of n steps starts; the answer is a Trace.

    A step's energy is power times duration, its output the operating point, its event a change of at least
    `min_swing`; it has no latency.
    """

    deck: str
    label: str
    step_ps: NDArray[np.int64]
    """Duration of each step, (n,)."""
    probe: Probe
    params: str = ""

    @property
    def duration_ps(self) -> int:
        """None is simulated: a point has the time-out of POINT_PS."""
        return POINT_PS * (len(self.step_ps) + 1)

    @property
    def reads(self) -> str:
        """Durations and probe."""
        return json.dumps([self.step_ps.tolist(), self.probe.text])

    def run(self, solver: Solver) -> Trace:
        """Sweep and measure; raises SolverError where a point is missing."""
        vectors = {_column(name): vector for name, vector in solver.run(self.deck).items()}
        n_points = len(next(iter(vectors.values())))
        if n_points != len(self.step_ps) + 1:
            raise SolverError(f"{n_points} operating points found of {len(self.step_ps) + 1}")
        outputs = _stacked(vectors, self.probe.outputs, n_points)
        power = [self._power(vectors, group) for group in self.probe.groups]
        swings = [
            np.abs(np.diff(vectors[node])) >= (detector.min_swing or 0.0)
            for node, detector in self.probe.detectors
        ]
        fired = np.array(swings).reshape(len(swings), len(self.step_ps))
        measured = Measured(
            energy_j=np.array([watts[1:] * self.step_ps / PS_PER_S for watts in power]),
            outputs=outputs[1:],
            state=np.zeros((len(self.step_ps), 0)),
            fired=fired,
            latency_s=np.full(fired.shape, np.nan),
            excursions=self._excursions(vectors, n_points)[1:],
        )
        return Trace(measured, outputs[0], np.zeros(0), np.zeros(0))

    def pack(self, answer: Trace) -> Arrays:
        """Return the trace as arrays."""
        return answer.pack()

    def unpack(self, arrays: Arrays) -> Trace:
        """Return the trace that was packed."""
        return Trace.unpack(arrays)

    def _power(self, vectors: Mapping[str, Floats], group: tuple[tuple[str, str, str], ...]) -> Floats:
        """Return what a group of sources delivers in each point (W)."""
        watts = np.zeros(len(self.step_ps) + 1)
        for current, plus, minus in group:
            across = (0.0 if node == "0" else vectors[node] for node in (plus, minus))
            watts -= (next(across) - next(across)) * vectors[_column(current)]
        return watts

    def _excursions(self, vectors: Mapping[str, Floats], n_points: int) -> NDArray[np.int64]:
        """Return how many nodes are beyond the rails in each point."""
        counts = np.zeros(n_points, np.int64)
        if not self.probe.rails:
            return counts
        rails = [np.zeros(n_points) if node == "0" else vectors[node] for node in self.probe.rails]
        low, high = np.min(rails, axis=0) - EXCURSION_V, np.max(rails, axis=0) + EXCURSION_V
        for name, values in vectors.items():
            if is_node(name) and name not in self.probe.free | {SWEPT, "v-sweep"}:
                counts += (values < low) | (values > high)
        return counts


def _stacked(vectors: Mapping[str, Floats], nodes: tuple[str, ...], n: int) -> Floats:
    return np.array([vectors[node] for node in nodes]).reshape(len(nodes), n).T.copy()


def _column(name: str) -> str:
    """Input drivers are `v_NAME` in a transient and `b_NAME` in a sweep."""
    return "v_" + name[2:] if name.startswith("b_") and name.endswith("#branch") else name

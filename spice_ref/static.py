"""Whole inputs of static circuits: each distinct operating point of a parameter set is solved once.

What a static circuit does follows from the inputs of the step alone, so that rasters of equal parameters
share their points: the samples of a network on one block, levels that come back, reset.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from simcore.bank import Floats, Raster, RasterResult, StepResult
from simcore.spec import CircuitSpec, PortKind
from spice_ref.tasks import Trace

Replay = Callable[[Sequence[Raster]], Iterator[tuple[int, Trace, float]]]
"""Yields place, trace and CPU seconds of each raster: `Bench.replay`."""
MOST_POINTS = 64
"""Operating points of one sweep: the deck is read once for all of them."""


class StaticReplay:
    """The sweeps that some rasters need, and the rasters' results from them."""

    def __init__(self, spec: CircuitSpec, rasters: Sequence[Raster]) -> None:
        """Find the distinct points of each parameter set."""
        self._spec, self._rasters = spec, rasters
        self.sweeps: list[Raster] = []
        self._plans: list[tuple[list[int], NDArray[np.int64], slice]] = []
        groups: dict[bytes, list[int]] = defaultdict(list)
        for place, raster in enumerate(rasters):
            groups[raster.params.tobytes()].append(place)
        for places in groups.values():
            rows = np.concatenate([spec.reset_inputs[None], *(rasters[place].inputs for place in places)])
            points, index = np.unique(rows, axis=0, return_inverse=True)
            first = len(self.sweeps)
            for part in np.array_split(points, -(-len(points) // MOST_POINTS)):
                period = np.full(len(part), spec.period_ps)
                idle = np.zeros(len(part), np.bool_)
                self.sweeps.append(Raster(rasters[places[0]].params, period, part, idle))
            self._plans.append((places, index.reshape(-1), slice(first, len(self.sweeps))))

    def run(self, replay: Replay, told: Callable[[int], None]) -> list[RasterResult]:
        """Solve the sweeps, `told` how many are done; return the rasters' results, without latencies."""
        traces: dict[int, Trace] = {}
        for place, trace, _ in replay(self.sweeps):
            traces[place] = trace
            told(len(traces))
        found = dict(self._results([traces[place] for place in range(len(self.sweeps))]))
        return [found[place] for place in range(len(self._rasters))]

    def _results(self, traces: Sequence[Trace]) -> Iterator[tuple[int, RasterResult]]:
        ports = [port for port in self._spec.of(PortKind.OUTPUT) for _ in port.columns]
        swings = np.array([port.detector.min_swing or 0.0 for port in ports if port.detector])
        for places, index, sweeps in self._plans:
            measured = [trace.measured for trace in traces[sweeps]]
            outputs = np.concatenate([each.outputs for each in measured])
            energy_j = np.concatenate([each.energy_j for each in measured], axis=1)
            excursions = np.concatenate([each.excursions for each in measured])
            end = 1
            for place in places:
                start, end = end, end + len(self._rasters[place].inputs)
                rows, before = index[start:end], np.concatenate([index[:1], index[start : end - 1]])
                steps = self._steps(place, outputs[rows], outputs[before], energy_j[:, rows], swings)
                yield (
                    place,
                    RasterResult(
                        np.zeros(0), outputs[index[0]], steps, rail_excursions=int(excursions[rows].sum())
                    ),
                )

    def _steps(
        self, place: int, outputs: Floats, before: Floats, energy_j: Floats, swings: Floats
    ) -> StepResult:
        periods = self._rasters[place].duration_ps / self._spec.period_ps
        return StepResult(
            outputs=outputs,
            state=np.zeros((len(outputs), 0)),
            fired=np.asarray((np.abs(outputs - before) >= swings).any(axis=1)),
            supply_j=energy_j[0] * periods,
            input_j=energy_j[1] * periods,
            latency_s=np.full(len(outputs), np.nan),
        )

"""Records a data set: random rasters of a circuit, replayed on ngspice, appended run by run."""

from collections.abc import Callable, Iterator
from pathlib import Path

from simcore.bank import Raster
from simcore.recording import Recording
from simcore.spec import CircuitSpec
from spice_ref.bank import Bench, raster_result
from spice_ref.farm import Farm
from spice_ref.stimuli import draw_raster

Progress = Callable[[int, int], None]
"""Called with (runs done, runs in all) after each run."""


def record(
    spec: CircuitSpec,
    out: Path,
    *,
    runs: int,
    steps: int = 100,
    seed: int = 1,
    workers: int = 0,
    accuracy: str = "std",
    progress: Progress | None = None,
) -> None:
    """Record runs 0..runs-1 into `out`; runs that the file already holds are skipped.

    Run i depends on (seed, i, steps, accuracy) alone: any number of workers, and any interruption, gives the
    same rows. Raises DatasetError where `out` holds another circuit, SolverError where a run fails.
    """
    with Farm(workers) as farm:
        bench = Bench(spec, accuracy, farm)
        provenance = bench.provenance() | {"seed": seed, "steps": steps}
        with Recording(out, spec, provenance) as recording:
            missing = [run for run in range(runs) if run not in recording.done()]
            drawn: dict[int, tuple[str, Raster]] = {}
            for place, trace, cpu_s in bench.replay(_drawn(spec, missing, steps, seed, drawn)):
                kind, raster = drawn.pop(place)
                recording.append(missing[place], kind, raster, raster_result(trace, spec), cpu_s)
                if progress is not None:
                    progress(len(recording.done()), runs)


def _drawn(
    spec: CircuitSpec, missing: list[int], steps: int, seed: int, drawn: dict[int, tuple[str, Raster]]
) -> Iterator[Raster]:
    """Yield the rasters of the missing runs and remember each until it comes back."""
    for place, run in enumerate(missing):
        drawn[place] = draw_raster(spec, run, steps, seed)
        yield drawn[place][1]

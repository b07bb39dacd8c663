"""Records a data set: random rasters of a circuit, replayed on ngspice, appended run by run."""

from collections.abc import Callable, Iterator
from pathlib import Path

from simcore.bank import Raster
from simcore.recording import Recording
from simcore.spec import CircuitSpec
from spice_ref.bank import Bench, raster_result
from spice_ref.farm import Farm
from spice_ref.stimuli import draw_raster

Progress = Callable[[float], None]
"""Called with the share of runs done, 0..1."""


def record(
    spec: CircuitSpec,
    out: Path,
    *,
    runs: int,
    steps: int = 100,
    seed: int = 1,
    workers: int = 0,
    accuracy: str = "std",
    kind: str | None = None,
    progress: Progress | None = None,
) -> None:
    """Record runs 0..runs-1 into `out`; runs that the file already holds are skipped.

    `kind` draws the missing runs from one kind of stimulus instead of all in turn (see `stimuli.KINDS`).
    Run i depends on (seed, i, steps, accuracy, kind) alone: any number of workers, and any interruption,
    give the same rows. Raises DatasetError where `out` holds another circuit, SolverError where a run fails.
    """
    with Farm(workers) as farm:
        bench = Bench(spec, accuracy, farm)
        provenance = bench.provenance() | {"seed": seed, "steps": steps}
        with Recording(out, spec, provenance) as recording:
            done = recording.done()
            missing = [run for run in range(runs) if run not in done]
            drawn: dict[int, tuple[str, Raster]] = {}
            answers = bench.replay(_drawn(spec, missing, steps, seed, kind, drawn))
            for count, (place, trace, cpu_s) in enumerate(answers, 1):
                kind, raster = drawn.pop(place)
                recording.append(missing[place], kind, raster, raster_result(trace, spec), cpu_s)
                if progress is not None:
                    progress((runs - len(missing) + count) / runs)


def _drawn(
    spec: CircuitSpec,
    missing: list[int],
    steps: int,
    seed: int,
    kind: str | None,
    drawn: dict[int, tuple[str, Raster]],
) -> Iterator[Raster]:
    """Yield the rasters of the missing runs and remember each until it comes back."""
    for place, run in enumerate(missing):
        drawn[place] = draw_raster(spec, run, steps, seed, kind)
        yield drawn[place][1]

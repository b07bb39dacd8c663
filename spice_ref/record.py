"""Records a data set: rasters of a circuit, replayed on ngspice, appended in the order of the runs.

The rasters are drawn at random (`stimuli`), or are what units of traced runs received (`workload`).
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from simcore.bank import Floats, Raster, RasterResult
from simcore.errors import SolverError, UserError
from simcore.recording import Recording
from simcore.spec import CircuitSpec
from spice_ref.bank import Bench, raster_result, with_latency
from spice_ref.farm import TIMEOUT_S
from spice_ref.queue import open_queue
from spice_ref.stimuli import Source, Stimuli
from spice_ref.workload import Workload

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
    from_runs: Sequence[Path] = (),
    vary_knobs: bool = False,
    cluster: str | None = None,
    cache: str = "auto",
    timeout_s: float = TIMEOUT_S,
    progress: Progress = lambda _: None,
) -> None:
    """Record runs 0..runs-1 into `out`; runs that the file already holds are skipped.

    `kind` draws the missing runs from one kind of stimulus instead of all in turn (see `stimuli.KINDS`).
    `from_runs` are folders of traced runs: a recorded run is then the whole input of one of their units,
    `steps` and `kind` play no part, and there are at most as many runs as traced units; with `vary_knobs`
    some of them get other knobs.
    Run i depends on (seed, i, steps, accuracy, kind) or (seed, i, the traces, accuracy) alone: any number of
    workers, a cluster, and any interruption give the same rows in the same order. Finished runs are cached
    until their turn comes. Raises DatasetError where `out` holds another circuit or source; SolverError with
    a triage of the runs that failed, when all others are in the file.
    """
    if runs < 1:
        raise UserError(f"recording of {spec.name}: at least one run is needed, got {runs}")
    source: Source = Stimuli(spec, steps, seed, kind)
    if from_runs:
        source = Workload(spec, from_runs, seed, vary_knobs=vary_knobs)
    runs = min(runs, source.most or runs)
    with open_queue(workers, timeout_s, cluster, cache) as queue:
        bench = Bench(spec, accuracy, queue)
        provenance = bench.provenance() | {"seed": seed} | source.provenance()
        with Recording(out, spec, provenance) as recording:
            done = recording.done()
            missing = [run for run in range(runs) if run not in done]
            progress(1 - len(missing) / runs)
            timed = [run for run in missing if spec.latency_every and run % spec.latency_every == 0]
            latencies, failure = _latencies(bench, timed, source)
            complete = [run for run in missing if run in latencies or run not in timed]
            rows = _InOrder(recording, complete, latencies)
            try:
                answers = bench.replay(rows.draw(source), on_failure=rows.skip)
                for place, trace, cpu_s in answers:
                    rows.add(place, raster_result(trace, spec), cpu_s)
                    progress(1 - (len(missing) - rows.n_answered) / runs)
            except KeyboardInterrupt:
                rows.flush()
                raise
            except SolverError as error:
                rows.flush()
                error.triage = (*(failure.triage if failure else ()), *error.triage)
                raise
            if failure is not None:
                raise failure


def _latencies(
    bench: Bench, timed: list[int], source: Source
) -> tuple[dict[int, Floats], SolverError | None]:
    """Return the latencies by run of a static circuit, and what failed if some did."""
    rasters = (source.draw(run)[1] for run in timed)
    found: dict[int, Floats] = {}
    try:
        for place, latency_s in bench.latencies(rasters):
            found[timed[place]] = latency_s
    except SolverError as error:
        if not error.triage:  # no solver at all
            raise
        return found, error
    return found, None


class _InOrder:
    """Appends runs in their order, though they are answered in another one."""

    def __init__(self, recording: Recording, runs: list[int], latencies: dict[int, Floats]) -> None:
        self._recording = recording
        self._runs = runs
        self._latencies = latencies
        self._drawn: dict[int, tuple[str, Raster]] = {}
        self._waiting: dict[int, tuple[RasterResult, float]] = {}
        self._failed: set[int] = set()
        self._next = 0
        self.n_answered = 0

    def draw(self, source: Source) -> Iterator[Raster]:
        """Yield the rasters of the runs and remember each until its answer is appended."""
        for place, run in enumerate(self._runs):
            self._drawn[place] = source.draw(run)
            yield self._drawn[place][1]

    def add(self, place: int, result: RasterResult, cpu_s: float) -> None:
        """Take the answer of one run and append what is next."""
        latency_s = self._latencies.get(self._runs[place])
        self._waiting[place] = result if latency_s is None else with_latency(result, latency_s), cpu_s
        self.n_answered += 1
        self._proceed()

    def skip(self, place: int) -> None:
        """Wait no longer for a run that failed."""
        self._drawn.pop(place)
        self._failed.add(place)
        self._proceed()

    def _proceed(self) -> None:
        """Append what is next, as far as it is answered."""
        while self._next in self._waiting or self._next in self._failed:
            if self._next in self._waiting:
                self._append(self._next)
            self._next += 1

    def flush(self) -> None:
        """Append what waits for a run that was interrupted."""
        for place in sorted(self._waiting):
            self._append(place)

    def _append(self, place: int) -> None:
        kind, raster = self._drawn.pop(place)
        self._recording.append(self._runs[place], kind, raster, *self._waiting.pop(place))

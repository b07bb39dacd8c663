"""Compares two runs of one scenario, layer by layer: in cascade, and aligned on the reference's inputs."""

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcore import lasana, metrics
from simcore.architecture import Batch, Delivery, LayerOutput, Network
from simcore.bank import Floats
from simcore.coverage import coverage
from simcore.errors import ResultError
from simcore.ledger import TraceRows
from simcore.metrics import UNDEFINED, Figure
from simcore.result import FILE, RunResult
from simcore.run import run
from simcore.scenario import Scenario, parse_scenario
from simcore.shard import Progress, rehearse

REFERENCE, CANDIDATE, ALIGNED = "reference", "candidate", "aligned"
"""Folders of a comparison's three runs."""
NOISE = "noise"
"""Folder of the reference's own runs at tighter tolerance, `cascade` and `aligned`."""
Bars = Callable[[str], Progress]
"""Called with what is run; returns the callback for its progress."""


def _no_bars(what: str) -> Progress:
    return lambda done: None


COMPARISON = "comparison.json"
_NEEDED = (
    "reference", "candidate", "n_samples", "energy_error_pct", "latency_error_pct", "behaviour_error_pct",
    "prediction_agreement", "speedup", "reference_cached", "layers",
)  # fmt: skip
"""What a stored comparison must have to be shown."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs side by side, and the candidate on the reference's own inputs."""

    reference: RunResult
    candidate: RunResult
    aligned: RunResult
    figures: dict[str, Any]
    """Content of `comparison.json`."""

    def save(self, directory: Path) -> None:
        """Write `comparison.json`."""
        text = json.dumps(self.figures, indent=2, allow_nan=False)
        (directory / COMPARISON).write_text(text + "\n", encoding="utf-8")


def load_comparison(directory: Path) -> Comparison:
    """Read a stored comparison; raises ResultError."""
    try:
        figures = json.loads((directory / COMPARISON).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise ResultError(f"cannot read {directory / COMPARISON}: {error}") from error
    known = figures if isinstance(figures, dict) else {}
    missing = [key for key in _NEEDED if key not in known]
    if missing:
        raise ResultError(
            f"{directory / COMPARISON}: damaged comparison: no {', '.join(missing)}; expected: "
            f"{', '.join(_NEEDED)}; it has: {', '.join(known) or 'nothing'}"
        )
    reference, candidate, aligned = (RunResult(directory / part) for part in (REFERENCE, CANDIDATE, ALIGNED))
    return Comparison(reference, candidate, aligned, figures)


def compare_scenario(
    scenario: Scenario,
    reference: str,
    candidate: str,
    out: Path,
    *,
    noise_samples: int = 0,
    progress: Bars = _no_bars,
) -> Comparison:
    """Run a scenario on two back ends and compare, see `compare`.

    The candidate is checked before the reference runs, which may take hours.
    """
    truth, judged = scenario.with_backend(reference), scenario.with_backend(candidate)
    rehearse(judged)
    if noise_samples:
        rehearse(truth.tightened())
    first = run(truth, out / REFERENCE, trace=True, progress=progress(reference))
    second = run(judged, out / CANDIDATE, trace=True, progress=progress(candidate))
    cluster = scenario.backend.spice.get("cluster")
    return compare(first, second, out, noise_samples=noise_samples, cluster=cluster, progress=progress)


def compare(
    reference: RunResult,
    candidate: RunResult,
    out: Path | None = None,
    *,
    noise_samples: int = 0,
    cluster: str | None = None,
    progress: Bars = _no_bars,
) -> Comparison:
    """Compare two stored, traced runs of the same samples and network.

    With `noise_samples` the reference's first samples are also run at its tighter accuracy, in cascade and
    on the rasters of the run: what differs is its own noise, the `noise_pct` of each figure.

    `out` gets `comparison.json` and copies of runs that lie elsewhere, so that it stands on its own.

    The aligned view runs the candidate's settings once more, each layer on the input raster that the
    reference's layer received. ngspice jobs run on the Dask scheduler at `cluster`, or on this machine,
    wherever the stored runs were made. Raises ResultError if the runs do not fit together, ScenarioError
    where a reference has no tighter accuracy.
    """
    _check_fit(reference, candidate)
    tight = _settings(reference, cluster).tightened() if noise_samples else None
    out = out or Path(tempfile.mkdtemp(prefix="simcore-"))
    settings = _settings(candidate, cluster)
    rasters = {name: reference.trace(name) for name in reference.layer_columns}
    aligned = run(
        settings, out / ALIGNED, trace=True, progress=progress("aligned"), rewire=replaying(rasters)
    )
    _keep(reference, out / REFERENCE)
    _keep(candidate, out / CANDIDATE)
    figures = _figures(reference, candidate, aligned)
    result = Comparison(reference, candidate, aligned, figures)
    result.save(out)
    if tight is not None:
        _add_noise(figures, _noise(reference.head(noise_samples), tight, rasters, out / NOISE, progress))
        result.save(out)
    return result


def _settings(stored: RunResult, cluster: str | None) -> Scenario:
    """Return what a run was made with, its ngspice jobs where they can run now."""
    scenario = parse_scenario(stored.provenance["settings"], str(stored.path))
    return scenario.with_options("spice", {"cluster": cluster})


def _noise(
    reference: RunResult, tight: Scenario, rasters: dict[str, TraceRows], out: Path, progress: Bars
) -> dict[str, Any]:
    """Return the figures of a reference at tighter accuracy against itself."""
    tight = tight.model_copy(update={"samples": len(reference.samples)})
    cascade = run(tight, out / "cascade", trace=True, progress=progress("noise, cascade"))
    rewire = replaying(rasters)
    aligned = run(tight, out / "aligned", trace=True, progress=progress("noise, aligned"), rewire=rewire)
    return _figures(reference, cascade, aligned)


def _add_noise(figures: dict[str, Any], noise: dict[str, Any]) -> None:
    """Write the figures of a noise run beside those of a comparison."""
    totals = ("energy_error_pct", "latency_error_pct", "behaviour_error_pct", "n_samples")
    figures["noise"] = {key: noise[key] for key in totals}
    for layer, own in zip(figures["layers"], noise["layers"], strict=True):
        for view in ("cascade", "aligned"):
            for key, figure in layer[view].items():
                if isinstance(figure, dict):
                    figure["noise_pct"] = own[view][key]["value_pct"]


def _keep(stored: RunResult, folder: Path) -> None:
    copy = folder / FILE
    if copy.exists() and copy.samefile(stored.path):
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(stored.path, copy)
    except OSError as error:
        raise ResultError(f"cannot copy {stored.path} to {copy}: {error}") from error


class _ReplayStage:
    """Delivers the inputs that a traced layer received, its returns to reset among them."""

    path: tuple[str, ...] = ()

    def __init__(self, rows: TraceRows, batch: Batch, n_units: int) -> None:
        known = np.isin(rows.lane, batch.samples)
        rows = rows.take(known & ~rows.idle)
        flat = np.searchsorted(batch.samples, rows.lane) * n_units + rows.unit
        order = np.lexsort([flat, rows.step])
        self._flat, self._inputs, self._step = flat[order], rows.inputs[order], rows.step[order]

    def deliver(self, step: int, sources: tuple[LayerOutput, ...]) -> Delivery:
        """Return what the layer received in period `step`."""
        part = slice(*np.searchsorted(self._step, [step, step + 1]))
        return Delivery(self._flat[part], self._inputs[part])


def replaying(rasters: dict[str, TraceRows]) -> Callable[[Network, Batch], Network]:
    """Return what drives each layer of a network with the inputs that its traced namesake received."""

    def rewire(network: Network, batch: Batch) -> Network:
        layers = tuple(
            replace(
                layer,
                stage=_ReplayStage(rasters[layer.name], batch, layer.n_units),
                sources=(),
                power_gate=False,
            )
            for layer in network.layers
        )
        return replace(network, layers=layers)

    return rewire


def _check_fit(reference: RunResult, candidate: RunResult) -> None:
    ours, theirs = reference.provenance, candidate.provenance
    pairs = [
        ("samples", reference.samples.tolist(), candidate.samples.tolist()),
        ("layers", list(reference.layer_columns), list(candidate.layer_columns)),
    ]
    pairs += [(key, ours[key], theirs[key]) for key in ("architecture", "dataset", "seed")]
    for key in ("merge_idle", "circuits", "architecture"):
        pairs.append((f"setting {key}", ours["settings"][key], theirs["settings"][key]))
    pairs.append(("layer parameters", _layer_params(ours), _layer_params(theirs)))
    for name in reference.layer_columns:
        a, b = ours["layers"][name]["spec"]["hash"], theirs["layers"][name]["spec"]["hash"]
        pairs.append((f"the circuit of layer {name}", a, b))
    for what, a, b in pairs:
        if a != b:
            raise ResultError(f"{reference.path} and {candidate.path} differ in {what}: {a} against {b}")


def _layer_params(provenance: dict[str, Any]) -> dict[str, dict[str, float]]:
    settings = provenance["settings"]["layers"]
    return {name: layer["params"] for name, layer in settings.items() if layer["params"]}


def _figures(reference: RunResult, candidate: RunResult, aligned: RunResult) -> dict[str, Any]:
    layers = [_Layer(name, reference, candidate, aligned) for name in reference.layer_columns]
    judged = [layer for layer in layers if not layer.info["is_encoder"]]
    cpu = reference.provenance["cpu_s"], candidate.provenance["cpu_s"]
    return {
        "scenario": reference.provenance["scenario"],
        "reference": reference.provenance["backend"],
        "candidate": candidate.provenance["backend"],
        "n_samples": len(reference.samples),
        "energy_error_pct": _total_energy(reference, candidate).value_pct,
        "latency_error_pct": _worst(layer.aligned["latency"] for layer in judged),
        "behaviour_error_pct": _worst(layer.cascade["behaviour"] for layer in judged),
        "prediction_agreement": float(np.mean(reference.predictions == candidate.predictions)),
        "accuracy_reference": reference.accuracy,
        "accuracy_candidate": candidate.accuracy,
        "wall_reference_s": reference.provenance["wall_s"],
        "wall_candidate_s": candidate.provenance["wall_s"],
        "cpu_reference_s": cpu[0],
        "cpu_candidate_s": cpu[1],
        "reference_cached": _is_cached(reference),
        "speedup": cpu[0] / cpu[1],
        "noise": None,
        "coverage": coverage(reference, candidate),
        "lasana_compat": lasana_figures(reference, candidate, aligned),
        "layers": [layer.as_dict() for layer in layers],
    }


def lasana_figures(
    reference: RunResult, candidate: RunResult, aligned: RunResult
) -> dict[str, dict[str, float | None]]:
    """Return the figures of LASANA's scripts from three traced runs, by view, see `simcore.lasana`."""
    is_level = lasana.is_level_network(reference.provenance["layers"])
    views = {"cascade": (candidate, (reference.accuracy, candidate.accuracy)), "aligned": (aligned, None)}
    found = {}
    for view, (other, accuracy) in views.items():
        sums = []
        for name in reference.layer_columns:
            rows = reference.trace(name), other.trace(name)
            common = matched(*rows, inner=True)
            sums.append(lasana.layer_sums(rows, common, reference.samples, is_level=is_level))
        found[view] = lasana.network_figures(sums, is_level=is_level, accuracy=accuracy)
    return found


def _is_cached(result: RunResult) -> bool:
    """Tell whether most of a run's solver results were stored ones; a few recur in a first run too."""
    jobs, cached = (result.provenance.get(key, 0) for key in ("solver_jobs", "solver_jobs_cached"))
    return bool(2 * cached > jobs)


def _worst(figures: Any) -> float | None:
    return max((f.value_pct for f in figures if f.value_pct is not None), default=None)


def _total_energy(reference: RunResult, candidate: RunResult) -> Figure:
    parts = [_unit_totals(reference, candidate, name, "unit_energy_j") for name in reference.layer_columns]
    return metrics.relative_error(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _unit_totals(
    reference: RunResult, candidate: RunResult, layer: str, column: str
) -> tuple[Floats, Floats, NDArray[np.int64]]:
    ours = reference.layer_columns[layer][column]
    theirs = candidate.layer_columns[layer][column]
    sample = np.repeat(reference.samples, ours.shape[1])
    return ours.ravel().astype(float), theirs.ravel().astype(float), sample


class _Layer:
    """The figures of one layer."""

    def __init__(self, name: str, reference: RunResult, candidate: RunResult, aligned: RunResult) -> None:
        self.name = name
        self.info = reference.provenance["layers"][name]
        output = next(port for port in self.info["spec"]["ports"] if port["kind"] == "output")
        self._span = output["high"] - output["low"]
        self._is_level = output["detector"]["kind"] == "settled"
        rows = reference.trace(name)
        self.cascade = {
            "energy": metrics.relative_error(*_unit_totals(reference, candidate, name, "unit_energy_j")),
            "behaviour": (
                self._output(*matched(rows, candidate.trace(name), inner=True))
                if self._is_level
                else metrics.relative_error(*_unit_totals(reference, candidate, name, "unit_fired"))
            ),
        }
        self.aligned, self.exact_units_pct, self.latency_matched_pct = self._aligned(
            *matched(rows, aligned.trace(name), inner=False)
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the layer's entry in `comparison.json`."""
        aligned = {key: figure.as_dict() for key, figure in self.aligned.items()}
        aligned["latency"]["matched_pct"] = self.latency_matched_pct
        return {
            "name": self.name,
            "cascade": {key: figure.as_dict() for key, figure in self.cascade.items()},
            "aligned": {**aligned, "exact_units_pct": self.exact_units_pct},
        }

    def _aligned(
        self, ours: TraceRows, theirs: TraceRows
    ) -> tuple[dict[str, Figure], float | None, float | None]:
        energy, other = ours.supply_j + ours.input_j, theirs.supply_j + theirs.input_j
        active = ~ours.idle & ours.fired
        quiet = ~ours.idle & ~ours.fired
        both, either = ours.fired & theirs.fired, ours.fired | theirs.fired
        timed = both & ~np.isnan(ours.latency_s + theirs.latency_s)
        unit = _unit_of(ours)
        with_events = np.isin(unit, unit[either])
        figures = {
            "energy": metrics.relative_error(energy, other, ours.lane),
            "energy_active": metrics.relative_error(energy[active], other[active], ours.lane[active]),
            "energy_quiet": metrics.relative_error(energy[quiet], other[quiet], ours.lane[quiet]),
            "energy_idle": metrics.relative_error(energy[ours.idle], other[ours.idle], ours.lane[ours.idle]),
            "latency": metrics.relative_error(
                ours.latency_s[timed], theirs.latency_s[timed], ours.lane[timed]
            ),
            "event": metrics.event_error(ours.fired, theirs.fired, ~ours.idle & with_events, ours.lane),
            "output": self._output(ours, theirs) if self._is_level else UNDEFINED,
        }
        share = 100 * float(both.sum() / either.sum()) if either.any() else None
        return figures, _exact_units(ours, theirs), share

    def _output(self, ours: TraceRows, theirs: TraceRows) -> Figure:
        rows = ~ours.idle & ~ours.gated
        return metrics.output_error(
            ours.outputs[rows, 0], theirs.outputs[rows, 0], self._span, ours.lane[rows]
        )


def _unit_of(rows: TraceRows) -> NDArray[np.int64]:
    """Return one number per sample and unit, (n,)."""
    return np.asarray(rows.lane * (rows.unit.max(initial=0) + 1) + rows.unit)


def _exact_units(ours: TraceRows, theirs: TraceRows) -> float | None:
    """Of the units with events, the share whose every step agrees, in percent."""
    unit = _unit_of(ours)
    with_events = np.unique(unit[ours.fired | theirs.fired])
    wrong = np.unique(unit[ours.fired != theirs.fired])
    return 100 * (1 - len(wrong) / len(with_events)) if len(with_events) else None


def matched(ours: TraceRows, theirs: TraceRows, *, inner: bool) -> tuple[TraceRows, TraceRows]:
    """Bring both into the same order; `inner` keeps the rows that both have, else they must agree."""
    n_units = 1 + max(rows.unit.max(initial=0) for rows in (ours, theirs))
    n_steps = 1 + max(rows.step.max(initial=0) for rows in (ours, theirs))
    a, b = ((rows.lane * n_units + rows.unit) * n_steps + rows.step for rows in (ours, theirs))
    common, left, right = np.intersect1d(a, b, assume_unique=True, return_indices=True)
    if not inner and not len(common) == len(a) == len(b):
        raise ResultError(
            f"the aligned runs have different steps: {len(a)}, {len(b)}, {len(common)} in common"
        )
    return ours.take(left), theirs.take(right)

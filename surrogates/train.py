"""Trains a surrogate: recording -> families -> ONNX graphs -> parity gate -> hold-out figures -> bundle."""

import importlib.util
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from simcore import registry
from simcore.errors import BundleError, DatasetError, UserError
from simcore.recording import Steps
from simcore.spec import CircuitSpec, PortKind
from surrogates.bundle import (
    SCHEMA,
    BundleInfo,
    Range,
    SurrogateBundle,
    load_bundle,
    open_session,
    write_bundle,
)
from surrogates.dataset import Dataset, load_dataset
from surrogates.evaluate import closed_loop, one_step, parity
from surrogates.family import Effort, Family, Progress, StepModel
from surrogates.features import Floats, Rows
from surrogates.frame import Frame, detects_events, fit_step_frame, step_table
from surrogates.layout import Layout
from surrogates.reset import fit_reset
from surrogates.shipped import BEST, bundle_root
from surrogates.step_graph import build_graph

MAX_PARITY_GAP = 1e-5
"""Largest 99.9th percentile of |ONNX - native| over the range of a head."""
MAX_FLIPS = 1e-4
"""Largest share of rows on which ONNX and native disagree about the event."""
GATE_ROWS = 50_000
DRIVEN_SHARE = 0.75
"""Share of a family's time that goes into the driven graph."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A bundle that training wrote."""

    path: Path
    info: BundleInfo


def available_families() -> dict[str, Family]:
    """Return the registered families whose libraries are installed."""
    families = {
        name: registry.load("surrogate_families", name) for name in registry.names("surrogate_families")
    }
    return {name: family for name, family in families.items() if not _missing(family)}


def train(
    spec: CircuitSpec,
    recording: Path,
    family: str = BEST,
    out: Path | None = None,
    seed: int = 1,
    budget_minutes: float = 10.0,
    progress: Progress = lambda share, message: None,
    epochs: int | None = None,
) -> list[Trained]:
    """Train one family, or all that are installed (`best`), into `out`/<family>; the best one comes first.

    `out` defaults to the place where `open_bank` looks. `epochs` replaces the budget, so that every machine
    trains the same networks. Raises DatasetError, UserError (a library is missing)
    or BundleError (the graph does not do what the model does).
    """
    families = wanted(family)
    dataset = load_dataset(recording, spec, seed)
    root = bundle_root(spec) if out is None else out
    trained = []
    for index, one in enumerate(families):

        def report(share: float, message: str, index: int = index, name: str = one.name) -> None:
            progress((index + share) / len(families), f"{name}: {message}")

        effort = Effort(seed, budget_minutes * 60 / len(families), epochs, report)
        trained.append(_train_family(dataset, one, root / one.name, effort))
    return sorted(trained, key=lambda each: float(each.info.metrics["closed_loop"]["selection"]["score"]))


def wanted(family: str) -> list[Family]:
    """Return the family of that name, or all that are installed for `best`; raises UserError."""
    if family == BEST:
        return list(available_families().values())
    found: Family = registry.load("surrogate_families", family)
    missing = _missing(found)
    if missing:
        raise UserError(
            f"family '{family}' needs {', '.join(missing)} to train; install with: "
            "pip install 'simcore-ams[train,torch]'"
        )
    return [found]


def _missing(family: Family) -> list[str]:
    return [name for name in family.requires if importlib.util.find_spec(name) is None]


def _train_family(dataset: Dataset, family: Family, path: Path, effort: Effort) -> Trained:
    spec, start = dataset.spec, time.monotonic()
    graphs, models, ranges, frames, gates = {}, {}, {}, {}, {}
    for name, idle, first, share in (("driven", False, 0.0, DRIVEN_SHARE), ("idle", True, DRIVEN_SHARE, 0.2)):
        part = _share_of(effort, first, share, name)
        steps = _rows(dataset.part_steps("train"), idle, spec)
        frame = frames[name] = fit_step_frame(spec, steps, idle=idle)
        train_table = step_table(spec, steps, frame.targets)
        held_out = _rows(dataset.part_steps("selection"), idle, spec)
        model = family.fit(frame, train_table, step_table(spec, held_out, frame.targets), part)
        graphs[name] = build_graph(name, frame, model, _metadata(spec))
        gates[name] = _gate(graphs[name], frame, model, train_table.x[:GATE_ROWS], name)
        models[name] = dict(model.describe())
        low, high = train_table.x.min(axis=0), train_table.x.max(axis=0)
        ranges[name] = Range(low=tuple(map(float, low)), high=tuple(map(float, high)))
    frame, model = fit_reset(spec, dataset.part_runs("train"), effort)
    frames["reset"], models["reset"] = frame, dict(model.describe())
    graphs["reset"] = build_graph("reset", frame, model, _metadata(spec))
    info = _info(dataset, family, frames, models, ranges, effort.seed)
    effort.progress(0.96, "closed loop on the held-out runs")
    metrics = _measure(dataset, info, graphs) | {"parity": gates, "train_s": time.monotonic() - start}
    sealed = write_bundle(path, info.model_copy(update={"metrics": metrics}), graphs)
    effort.progress(1.0, "done")
    return Trained(path, sealed)


def _rows(steps: Steps, idle: bool, spec: CircuitSpec) -> Steps:
    rows = steps.take(steps.idle == idle)
    if not len(rows):
        kind = "idle" if idle else "driven"
        raise DatasetError(f"the recording of '{spec.name}' has no {kind} steps in one of its parts")
    return rows


def _share_of(effort: Effort, first: float, share: float, name: str) -> Effort:
    def report(done: float, message: str) -> None:
        effort.progress(first + share * done, f"{name} steps, {message}")

    return replace(effort, budget_s=effort.budget_s * share, progress=report)


def _gate(graph: bytes, frame: Frame, model: StepModel, x: Rows, name: str) -> dict[str, float | None]:
    """Compare the graph with the native model; raises BundleError if they differ."""
    z = frame.design.standardise(x)
    native = frame.decode(x, z, model.predict(z))
    session = open_session(graph, name)
    heads = [output.name for output in session.get_outputs()]
    ours = dict(zip(heads, session.run(heads, {"x": x}), strict=True))
    expected = {head: getattr(native, head) for head in heads}
    figures = parity(ours, expected, {head: _span(values) for head, values in expected.items()})
    for head, gap in figures.items():
        limit = MAX_FLIPS if head == "flips" else MAX_PARITY_GAP
        if gap is not None and gap > limit:
            raise BundleError(
                f"graph '{name}': {head} differs from the model by {gap:.2g}, allowed {limit:g}"
            )
    return figures


def _span(values: Any) -> Floats:
    spread = np.asarray(np.ptp(values.astype(np.float64), axis=0))
    largest = np.abs(values.astype(np.float64)).max(axis=0)
    return np.asarray(np.maximum(np.maximum(spread, 1e-2 * largest), 1e-30))


def _measure(dataset: Dataset, info: BundleInfo, graphs: Mapping[str, bytes]) -> dict[str, Any]:
    """Load the bundle as a user would and measure it on the held-out runs."""
    spec = dataset.spec
    with TemporaryDirectory(prefix="simcore-bundle-") as folder:
        write_bundle(Path(folder), info, graphs)
        bundle = load_bundle(Path(folder), spec)
    return {
        "one_step": {"test": one_step(bundle, spec, dataset.part_steps("test"))},
        "closed_loop": {part: _closed_loop(bundle, dataset, part) for part in ("selection", "test")},
    }


def _closed_loop(bundle: SurrogateBundle, dataset: Dataset, part: str) -> dict[str, float | None]:
    return closed_loop(bundle, dataset.spec, *dataset.replays(part))


def _metadata(spec: CircuitSpec) -> dict[str, str]:
    units = ", ".join(f"{port.name} [{port.unit}]" for port in spec.ports)
    return {"circuit": spec.name, "spec_hash": spec.hash, "units": f"{units}, energies [J], latency [s]"}


def _info(
    dataset: Dataset,
    family: Family,
    frames: Mapping[str, Frame],
    models: Mapping[str, dict[str, Any]],
    ranges: Mapping[str, Range],
    seed: int,
) -> BundleInfo:
    spec = dataset.spec
    detector = spec.of(PortKind.OUTPUT)[0].detector
    packages = ("numpy", "onnx", "onnxruntime", *(name for name in family.requires if name != "onnx"))
    return BundleInfo(
        schema_version=SCHEMA,
        spec=spec.model_copy(update={"folder": ""}),
        family=family.name,
        columns=Layout(spec).names,
        units={port.name: port.unit for port in spec.ports},
        design={name: frame.design.names for name, frame in frames.items()},
        min_swing=None if detects_events(spec) or detector is None else detector.min_swing,
        ranges=dict(ranges),
        dataset_sha256=dataset.sha256,
        split_seed=seed,
        split={part: tuple(map(int, runs)) for part, runs in dataset.split.items()},
        model=dict(models),
        metrics={},
        versions={"python": platform.python_version()} | {name: version(name) for name in packages},
        files={},
    )

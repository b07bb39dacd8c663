"""Trains surrogates: recordings -> families -> ONNX graphs -> parity gate -> figures -> bundles."""

import importlib.util
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from simcore import registry
from simcore.errors import BundleError, UserError
from simcore.spec import CircuitSpec, PortKind
from surrogates.bundle import (
    SCHEMA,
    BundleInfo,
    SurrogateBundle,
    load_bundle,
    open_session,
    run_graph,
    write_bundle,
)
from surrogates.calibrate import unit_intervals
from surrogates.cost import us_per_event
from surrogates.dataset import TEST, Dataset, load_dataset
from surrogates.evaluate import closed_loop, one_step, parity
from surrogates.family import Effort, Family, Progress, StepModel
from surrogates.features import Floats, Rows
from surrogates.frame import Frame, detects_events
from surrogates.layout import Layout
from surrogates.reset import fit_reset
from surrogates.shipped import ALL, bundle_root, ranked
from surrogates.step_graph import build_graph
from surrogates.tables import StepTables, step_tables

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


def available_families(spec: CircuitSpec) -> dict[str, Family]:
    """Return the families for a circuit whose libraries are installed, those that need a teacher last."""
    families = {
        name: registry.load("surrogate_families", name) for name in registry.names("surrogate_families")
    }
    found = [each for each in families.values() if not _missing(each) and (spec.array or not each.arrays)]
    return {family.name: family for family in sorted(found, key=lambda family: family.teacher != "")}


def train(
    spec: CircuitSpec,
    recordings: Path | Sequence[Path],
    family: str = ALL,
    out: Path | None = None,
    seed: int = 1,
    budget_minutes: float = 10.0,
    progress: Progress = lambda share, message: None,
    epochs: int | None = None,
) -> list[Trained]:
    """Train one family, or all that are installed (`all`), into `out`/<family>; the default one comes first.

    `out` defaults to the place where `open_bank` looks. `epochs` replaces the budget, so that every machine
    trains the same networks. The test part is read once, when all families are trained. Raises DatasetError,
    UserError (a library is missing), or BundleError when the other families are written (a graph does not do
    what its model does).
    """
    families = wanted(family, spec)
    dataset = load_dataset(recordings, spec, seed)
    training = Training(dataset, bundle_root(spec) if out is None else out, seed)
    end_s = time.monotonic() + budget_minutes * 60
    trained: list[Trained] = []
    refused: list[str] = []
    for index, one in enumerate(families):

        def report(share: float, message: str, index: int = index, name: str = one.name) -> None:
            progress((index + 0.99 * share) / len(families), f"{name}: {message}")

        budget_s = max(end_s - time.monotonic(), 1.0) / (len(families) - index)
        try:
            trained.append(training.fit(one, Effort(seed, budget_s, epochs, report, {})))
        except BundleError as error:
            refused.append(f"{one.name}: {error}")
    finished = training.read_test(trained) if trained else []
    progress(1.0, "done")
    if refused:
        raise BundleError(f"{'; '.join(refused)}; written: {_names(trained) or 'none'}")
    order = ranked([(each.path, each.info) for each in finished])
    return sorted(finished, key=lambda each: [path for path, _ in order].index(each.path))


def wanted(family: str, spec: CircuitSpec) -> list[Family]:
    """Return the family of that name after its teacher, or all that are for `spec` and installed for `all`.

    Raises UserError where a library is missing, or the circuit is none for the family.
    """
    if family == ALL:
        return list(available_families(spec).values())
    found: Family = registry.load("surrogate_families", family)
    if found.arrays and spec.array is None:
        raise UserError(
            f"family '{family}' learns arrays of cells; circuit '{spec.name}' has no [array] in its manifest"
        )
    missing = _missing(found)
    if missing:
        raise UserError(
            f"family '{family}' needs {', '.join(missing)} to train; install with: "
            f"pip install {' '.join(missing)}"
        )
    return [registry.load("surrogate_families", found.teacher), found] if found.teacher else [found]


def _names(trained: Sequence[Trained]) -> str:
    return ", ".join(each.info.family for each in trained)


def _missing(family: Family) -> list[str]:
    return [name for name in family.requires if importlib.util.find_spec(name) is None]


class Training:
    """All families on one data set: they share tables, frames and the reset model."""

    def __init__(self, dataset: Dataset, root: Path, seed: int) -> None:
        self._dataset, self._root = dataset, root
        self._tables = step_tables(dataset)
        self._reset = fit_reset(dataset.spec, dataset.part_runs("train"), seed)
        self._models: dict[str, dict[str, StepModel]] = {name: {} for name in self._tables}

    def fit(self, family: Family, effort: Effort) -> Trained:
        """Train a family, check its graphs, measure it on the selection part and write its bundle."""
        start, spec = time.monotonic(), self._dataset.spec
        graphs, gates = {}, {}
        frames: dict[str, Frame] = {}
        for name, first, share in (("driven", 0.0, DRIVEN_SHARE), ("idle", DRIVEN_SHARE, 0.2)):
            part = replace(
                _share_of(effort, first, share, name),
                fitted=self._models[name],
                graph=name,
                checkpoint=self._checkpoint(family, name),
            )
            table = self._tables[name]
            if table.frame is self._tables["driven"].frame and name != "driven":  # a static circuit
                frame, model = frames["driven"], self._models["driven"][family.name]
            else:
                frame = frame_for(family, table)
                model = family.fit(frame, table.train, table.selection, part)
            frames[name] = frame
            self._models[name][family.name] = model
            graphs[name] = build_graph(name, frame, model, _metadata(spec))
            gates[name] = _gate(graphs[name], frame, model, table.train.x[:GATE_ROWS], name)
        graphs["reset"] = build_graph("reset", *self._reset, _metadata(spec))
        fit_s = time.monotonic() - start
        effort.progress(0.96, "closed loop on the selection and calibration runs")
        info = self._info(family, effort.seed, frames)
        bundle = _opened(info, graphs, spec)
        metrics = {
            "parity": gates,
            "train_s": fit_s,
            "us_per_event": {n: us_per_event(bundle, n, t.train.x) for n, t in self._tables.items()},
            "closed_loop": {"selection": self._closed_loop(bundle, "selection")},
        }
        intervals = unit_intervals(bundle, spec, *self._dataset.replays("calibration"))
        found = info.model_copy(update={"metrics": metrics, "intervals": intervals})
        path = self._root / family.name
        trained = Trained(path, write_bundle(path, found, graphs))
        for name in self._tables:
            self._checkpoint(family, name).unlink(missing_ok=True)
        return trained

    def _checkpoint(self, family: Family, graph: str) -> Path:
        return self._root / f".{family.name}-{graph}.checkpoint"

    def read_test(self, trained: Sequence[Trained]) -> list[Trained]:
        """Add the figures of the test part to every bundle."""
        spec = self._dataset.spec
        reads = self._dataset.open_test(f"training of {_names(trained)}")
        finished = []
        for each in trained:
            bundle = load_bundle(each.path, spec)
            metrics = each.info.metrics | {
                "one_step": {TEST: one_step(bundle, spec, self._dataset.part_steps(TEST))},
                "closed_loop": each.info.metrics["closed_loop"] | {TEST: self._closed_loop(bundle, TEST)},
                "test_reads": reads,
            }
            graphs = {name: (each.path / f"{name}.onnx").read_bytes() for name in bundle.sessions}
            info = each.info.model_copy(update={"metrics": metrics})
            finished.append(Trained(each.path, write_bundle(each.path, info, graphs)))
        return finished

    def _closed_loop(self, bundle: SurrogateBundle, part: str) -> dict[str, float | None]:
        return closed_loop(bundle, self._dataset.spec, *self._dataset.replays(part))

    def _info(self, family: Family, seed: int, frames: Mapping[str, Frame]) -> BundleInfo:
        dataset, spec = self._dataset, self._dataset.spec
        detector = spec.of(PortKind.OUTPUT)[0].detector
        packages = ("numpy", "onnx", "onnxruntime", *(name for name in family.requires if name != "onnx"))
        frames = {**frames, "reset": self._reset[0]}
        models = {name: dict(fitted[family.name].describe()) for name, fitted in self._models.items()}
        return BundleInfo(
            schema_version=SCHEMA,
            spec=spec.model_copy(update={"folder": ""}),
            family=family.name,
            columns=Layout(spec).names,
            units={port.name: port.unit for port in spec.ports},
            design={name: frame.design.names for name, frame in frames.items()},
            min_swing=None if detects_events(spec) or detector is None else detector.min_swing,
            ranges={name: table.ranges for name, table in self._tables.items()},
            dataset_sha256=dataset.sha256,
            split_seed=seed,
            split={part: tuple(map(int, runs)) for part, runs in dataset.split.items()},
            part_sha256=dataset.part_sha256,
            model=models | {"reset": dict(self._reset[1].describe())},
            metrics={},
            versions={"python": platform.python_version()} | {name: version(name) for name in packages},
            files={},
        )


def frame_for(family: Family, table: StepTables) -> Frame:
    """Return the frame with the columns and targets that a family wants."""
    if family.arrays:
        array = table.frame.design.layout.spec.array
        assert array is not None
        return table.frame.whole(table.train, (array.voltage, array.positive, array.negative))
    return table.frame if family.residual else table.frame.plain(table.train)


def _opened(info: BundleInfo, graphs: Mapping[str, bytes], spec: CircuitSpec) -> SurrogateBundle:
    """Load a bundle as a user would, before it lies where it will be found."""
    with TemporaryDirectory(prefix="simcore-bundle-") as folder:
        write_bundle(Path(folder), info, graphs)
        return load_bundle(Path(folder), spec)


def _share_of(effort: Effort, first: float, share: float, name: str) -> Effort:
    def report(done: float, message: str) -> None:
        effort.progress(first + share * done, f"{name} steps, {message}")

    return replace(effort, budget_s=effort.budget_s * share, progress=report)


def _gate(graph: bytes, frame: Frame, model: StepModel, x: Rows, name: str) -> dict[str, float | None]:
    """Compare the graph with the native model; raises BundleError if they differ."""
    z = frame.design.standardise(x)
    native = frame.decode(x, z, model.predict(z))
    ours = run_graph(open_session(graph, name), x)
    expected = {head: getattr(native, head) for head in ours}
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


def _metadata(spec: CircuitSpec) -> dict[str, str]:
    units = ", ".join(f"{port.name} [{port.unit}]" for port in spec.ports)
    return {"circuit": spec.name, "spec_hash": spec.hash, "units": f"{units}, energies [J], latency [s]"}

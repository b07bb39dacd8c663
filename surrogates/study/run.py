"""`evaluate`: judges the bundles of a circuit on the test part of their recordings."""

import json
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from simcore import lasana
from simcore.bank import StepResult
from simcore.compare import Comparison, lasana_figures, load_comparison
from simcore.errors import ResultError
from simcore.metrics import Figure
from simcore.spec import CircuitSpec, PortKind
from surrogates.bundle import BundleInfo, load_bundle
from surrogates.dataset import Dataset
from surrogates.evaluate import run_figures
from surrogates.shipped import ALL, pareto_front, score_of
from surrogates.study.clouds import Cloud, clouds, is_level
from surrogates.study.covered import interval_rows
from surrogates.study.drift import drift, large_layer
from surrogates.study.gaps import gap_errors, split_gaps
from surrogates.study.heads import head_errors
from surrogates.study.subject import (
    Found,
    Subject,
    Truth,
    examine,
    find_bundles,
    load_data,
    own_steps,
    read_truth,
)

SCHEMA = 1
FILE = "evaluation.json"
MEAN = "mean"
"""The family that is a constant predictor."""
Progress = Callable[[float], None]
Content = dict[str, Any]
"""What `evaluation.json` holds; its keys are in docs/surrogates.md."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The figures, and the rows behind the correlation plots."""

    content: Content
    clouds: dict[str, list[Cloud]]
    """By family."""


def evaluate(
    spec: CircuitSpec,
    recordings: Sequence[Path],
    bundles: Path | None = None,
    family: str = ALL,
    comparisons: Sequence[Path] = (),
    progress: Progress = lambda share: None,
) -> Evaluation:
    """Judge the bundles of a circuit on the test part of the recordings that they were trained on.

    The test part is read once, and the read is noted beside the recording. Raises DatasetError, BundleError
    (none of the bundles fits the data), ResultError (a comparison cannot be read).
    """
    networks = [_network(load_comparison(path), path) for path in comparisons]
    dataset, kept, others = load_data(spec, recordings, find_bundles(spec, bundles, family))
    truth = read_truth(dataset, [info.family for _, info in kept])
    front = pareto_front([info for _, info in kept])
    entries, shown = [], {}
    for done, (path, info) in enumerate(kept):
        subject = examine(load_bundle(path, spec), truth)
        entries.append({**_costs(path, info, info in front), **_figures(subject, truth)})
        shown[info.family] = clouds(truth, subject.oracle)
        progress((done + 1) / len(kept))
    _set_baselines(entries)
    content = {
        **_origin(dataset, truth, others),
        "families": [_plain(entry) for entry in entries],
        "networks": networks,
    }
    return Evaluation(content, shown)


def _origin(dataset: Dataset, truth: Truth, others: Found) -> Content:
    train = dataset.part_steps("train")
    return {
        "schema": SCHEMA,
        "circuit": truth.spec.name,
        "sizes": truth.spec.sizes,
        "spec_hash": truth.spec.hash,
        "is_level": is_level(truth),
        "period_ps": truth.spec.period_ps,
        "recordings": [path.name for path in dataset.paths],
        "dataset_sha256": dataset.sha256,
        "runs": {part: len(runs) for part, runs in dataset.split.items()},
        "train_rows": {"driven": int((~train.idle).sum()), "idle": int(train.idle.sum())},
        "test_rows": {"driven": int((~truth.steps.idle).sum()), "idle": int(truth.steps.idle.sum())},
        "test_reads": truth.reads,
        "left_out": [{"family": info.family, "reason": "trained on other data"} for _, info in others],
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": platform.machine(),
        "python": platform.python_version(),
    }


def _costs(path: Path, info: BundleInfo, on_front: bool) -> Content:
    return {
        "family": info.family,
        "bundle_hash": info.digest,
        "on_front": on_front,
        "score": score_of(info),
        "train_s": info.metrics["train_s"],
        "us_per_event": info.metrics.get("us_per_event", {"driven": None, "idle": None}),
        "size_bytes": sum(file.stat().st_size for file in path.iterdir() if file.is_file()),
        "trained_with": info.versions,
    }


def _figures(subject: Subject, truth: Truth) -> Content:
    own = own_steps(subject)
    views = {"oracle": subject.oracle, "own": own}
    return {
        "one_step": head_errors(truth, subject.oracle),
        "closed_loop": run_figures(truth.spec, truth.steps.idle, subject.own, truth.runs),
        "drift": {name: drift(truth, answer) for name, answer in views.items()},
        "large_layer": large_layer(subject.bundle, truth),
        "gaps": [asdict(gap) for gap in gap_errors(truth, subject.oracle)],
        "split_gaps": [asdict(gap) for gap in split_gaps(subject.bundle, truth)],
        "intervals": interval_rows(subject, truth),
        "lasana_compat": {name: _compat(truth, answer) for name, answer in views.items()},
    }


def _compat(truth: Truth, answer: StepResult) -> Content:
    port = truth.spec.of(PortKind.OUTPUT)[0]
    return lasana.head_figures(
        truth.steps.idle, truth.steps, answer, is_level=is_level(truth), swing_v=port.high - port.low
    )


def _set_baselines(entries: list[Content]) -> None:
    """Take the better one of the best constant and the family `mean` as the baseline of every head."""
    constant: dict[str, Figure] = {}
    for entry in entries:
        if entry["family"] == MEAN:
            constant = entry["one_step"]
    for entry in entries:
        entry["one_step"] = {
            name: replace(figure, baseline_pct=_smaller(figure.baseline_pct, constant.get(name)))
            for name, figure in entry["one_step"].items()
        }


def _smaller(baseline: float | None, constant: Figure | None) -> float | None:
    known = [x for x in (baseline, constant.value_pct if constant else None) if x is not None]
    return min(known, default=None)


def _plain(entry: Content) -> Content:
    return {**entry, "one_step": {name: figure.as_dict() for name, figure in entry["one_step"].items()}}


def _network(found: Comparison, path: Path) -> Content:
    """Return the content of a comparison, with the published figures if it is older than they are."""
    compat = found.figures.get("lasana_compat")
    if compat is None:
        compat = lasana_figures(found.reference, found.candidate, found.aligned)
    return {**found.figures, "lasana_compat": compat, "name": path.name, "bundles": _bundles(found)}


def _bundles(found: Comparison) -> list[Content]:
    """Return which bundles answered the candidate."""
    return [
        {key: bank[key] for key in ("family", "bundle_hash", "spec_hash") if key in bank}
        for bank in found.candidate.provenance["banks"]
        if bank["backend"] == "surrogate"
    ]


def save(content: Content, directory: Path) -> Path:
    """Write `evaluation.json` and return its path; raises ResultError if that fails."""
    path = directory / FILE
    try:
        directory.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise ResultError(f"cannot write {path}: {error}") from error
    return path


def load(directory: Path) -> Content:
    """Read `evaluation.json`; raises ResultError if it is missing, damaged or newer."""
    path = directory / FILE
    try:
        content: Content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] > SCHEMA:
            raise ResultError(f"{path}: schema {content['schema']} is newer than this program's {SCHEMA}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResultError(f"cannot read {path}: {error}") from error
    return content

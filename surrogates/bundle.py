"""SurrogateBundle: a folder with `bundle.json` and ONNX files; written by training, checked before use."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnxruntime
from pydantic import ValidationError

from simcore.errors import BundleError
from simcore.manifest import explain
from simcore.spec import CircuitSpec, PortKind, Record
from surrogates.features import Rows
from surrogates.intervals import Interval
from surrogates.layout import Layout
from surrogates.onnx_file import MAX_BYTES, MAX_REASON, Ports, check_onnx
from surrogates.onnx_shapes import Shape, shown
from surrogates.origin import on_command_line
from surrogates.plain_file import parse_json, read_plain

SCHEMA = 2
"""2: graphs that say what fired take `event_bias`; those of schema 1 decide alone."""
EVENT_BIAS = "event_bias"
"""Graph input (k, 1) that is added to the logit of the event."""
MAX_MANIFEST_BYTES = 4 * 1024 * 1024
MANIFEST = "bundle.json"
STEP_GRAPHS = ("driven", "idle")
GRAPHS = (*STEP_GRAPHS, "reset")
MAX_VALUE = 1e30
"""Largest magnitude of a training range: columns are float32."""


class Range(Record):
    """Smallest and largest value of each graph input over the training rows of one graph."""

    low: tuple[float, ...]
    high: tuple[float, ...]


class BundleInfo(Record):
    """The content of `bundle.json`."""

    schema_version: int
    spec: CircuitSpec
    """The circuit that it was trained on, `folder` left empty."""
    family: str
    columns: tuple[str, ...]
    """Graph inputs in order: INPUT, PARAM, STATE before the step, duration in periods."""
    units: dict[str, str]
    """Unit of each port."""
    design: dict[str, tuple[str, ...]]
    """Scalar ports and features that each graph uses, in order."""
    min_swing: float | None
    """Smallest change of a settled output that is an event; None where the graph says what fired."""
    ranges: dict[str, Range]
    """By graph: `driven`, `idle`."""
    dataset_sha256: str
    split_seed: int
    split: dict[str, tuple[int, ...]]
    """Runs of each part."""
    part_sha256: dict[str, str] = {}
    """SHA-256 of the stimuli of each part."""
    model: dict[str, dict[str, Any]]
    """By graph, what the family says of it: sizes, epochs."""
    metrics: dict[str, Any]
    """Hold-out figures: `one_step`, `closed_loop`, `parity`, `us_per_event`."""
    intervals: tuple[Interval, ...] = ()
    """Prediction intervals of totals."""
    versions: dict[str, str]
    files: dict[str, str]
    """SHA-256 of each ONNX file."""
    digest: str = ""
    """SHA-256 of all of the above, as canonical JSON: the hash of the bundle."""

    def sealed(self) -> Self:
        """Return the same with its digest."""
        return self.model_copy(update={"digest": digest_of(self.model_dump(mode="json"))})


@dataclass(frozen=True)
class SurrogateBundle:
    """A checked bundle with one onnxruntime session per graph."""

    path: Path
    info: BundleInfo
    sessions: Mapping[str, Any]

    def run(self, graph: str, x: Rows, event_bias: Rows | None = None) -> dict[str, Rows]:
        """Return the outputs of a graph by name; without `event_bias` (k, 1) the model decides what fired."""
        names, takes_events = self._ports[graph]
        return run_with(self.sessions[graph], names, takes_events, x, event_bias)

    def takes_events(self, graph: str) -> bool:
        """Whether a graph can be told what fired."""
        return self._ports[graph][1]

    @cached_property
    def _ports(self) -> dict[str, tuple[list[str], bool]]:
        """By graph: names of the outputs, whether it can be told what fired."""
        return {name: (output_names(each), _takes_events(each)) for name, each in self.sessions.items()}


def run_graph(session: Any, x: Rows, event_bias: Rows | None = None) -> dict[str, Rows]:
    """Return the outputs of a session by name; a graph that decides no event leaves `event_bias` unread."""
    return run_with(session, output_names(session), _takes_events(session), x, event_bias)


def output_names(session: Any) -> list[str]:
    """Return the names of a session's outputs."""
    return [output.name for output in session.get_outputs()]


def run_with(
    session: Any, names: list[str], takes_events: bool, x: Rows, event_bias: Rows | None
) -> dict[str, Rows]:
    """Do the same with what a session says of itself, which takes as long as some hundred rows."""
    feeds = {"x": x}
    if takes_events:
        feeds[EVENT_BIAS] = np.zeros((len(x), 1), dtype=np.float32) if event_bias is None else event_bias
    return dict(zip(names, session.run(names, feeds), strict=True))


def _takes_events(session: Any) -> bool:
    return any(port.name == EVENT_BIAS for port in session.get_inputs())


def digest_of(data: Mapping[str, Any]) -> str:
    """Return the digest of a manifest's content, as it stands in the file."""
    content = json.dumps({key: value for key, value in data.items() if key != "digest"}, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def write_bundle(path: Path, info: BundleInfo, graphs: Mapping[str, bytes]) -> BundleInfo:
    """Write graphs, then the manifest; return it with file hashes and digest."""
    path.mkdir(parents=True, exist_ok=True)
    (path / MANIFEST).unlink(missing_ok=True)
    for name, data in graphs.items():
        (path / f"{name}.onnx").write_bytes(data)
    files = {f"{name}.onnx": hashlib.sha256(data).hexdigest() for name, data in graphs.items()}
    sealed = info.model_copy(update={"files": files}).sealed()
    (path / MANIFEST).write_text(sealed.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return sealed


def read_info(path: Path) -> BundleInfo:
    """Read `bundle.json`; missing, damaged, changed or newer raises BundleError."""
    manifest = path / MANIFEST
    try:
        data = parse_json(read_plain(manifest, MAX_MANIFEST_BYTES))
    except ValueError as error:
        raise BundleError(f"cannot read the bundle {manifest}: {error}") from error
    found = data.get("schema_version") if isinstance(data, dict) else None
    if not isinstance(found, int) or not 1 <= found <= SCHEMA:
        raise BundleError(f"{manifest}: schema {found!r:.60}, this program reads up to {SCHEMA}")
    try:
        info = BundleInfo.model_validate_json(json.dumps(data))
    except ValidationError as error:
        raise BundleError(f"{manifest}: {explain(error)[:MAX_REASON]}") from error
    if info.digest != digest_of(data):
        raise BundleError(f"{manifest}: changed after training: its digest does not fit its content")
    return info


def load_bundle(path: Path, spec: CircuitSpec) -> SurrogateBundle:
    """Check a bundle of `spec` and open it; anything out of order raises BundleError."""
    info = read_info(path)
    check_spec(path, info, spec)
    layout = Layout(spec)
    if info.columns != layout.names or set(info.files) != {f"{name}.onnx" for name in GRAPHS}:
        raise BundleError(f"{path}: columns or files are not those of '{spec.name}'")
    _check_ranges(path / MANIFEST, info, layout)
    sessions = {name: _open(path / f"{name}.onnx", info, layout, name) for name in GRAPHS}
    return SurrogateBundle(path, info, sessions)


_shared: dict[tuple[Path, str], tuple[list[tuple[int, int]], SurrogateBundle]] = {}


def shared_bundle(path: Path, spec: CircuitSpec) -> SurrogateBundle:
    """Do what `load_bundle` does, once in a process for files that stay as they are."""
    key = path.resolve(), spec.hash
    try:
        files = [(path / name).stat() for name in (MANIFEST, *(f"{graph}.onnx" for graph in GRAPHS))]
    except OSError:
        return load_bundle(path, spec)
    stamp = [(file.st_mtime_ns, file.st_size) for file in files]
    if key not in _shared or _shared[key][0] != stamp:
        _shared[key] = stamp, load_bundle(path, spec)
    return _shared[key][1]


def check_spec(path: Path, info: BundleInfo, spec: CircuitSpec) -> None:
    """Refuse a bundle of another circuit, with the command that trains one."""
    if info.spec.hash != spec.hash:
        raise BundleError(
            f"{path} was trained on {info.spec.name} {info.spec.hash[:12]}, the scenario uses {spec.name} "
            f"{spec.hash[:12]}; train one with: simcore surrogate train {on_command_line(spec)}"
        )


def _check_ranges(manifest: Path, info: BundleInfo, layout: Layout) -> None:
    """Refuse ranges and swings that the run time cannot count with."""
    for graph in STEP_GRAPHS:
        found = info.ranges.get(graph, Range(low=(), high=()))
        low, high = np.array(found.low), np.array(found.high)
        if not len(low) == len(high) == layout.width or not (low <= high).all():
            raise BundleError(
                f"{manifest}: ranges of '{graph}', expected low to high of {layout.width} columns"
            )
        if np.abs([low, high]).max() > MAX_VALUE:
            raise BundleError(f"{manifest}: ranges of '{graph}' beyond {MAX_VALUE:g}")
    if (info.min_swing is not None) != _is_settled(layout):
        raise BundleError(
            f"{manifest}: min_swing {info.min_swing} does not suit the detector of '{info.spec.name}'"
        )


def _open(path: Path, info: BundleInfo, layout: Layout, graph: str) -> Any:
    data = read_plain(path, MAX_BYTES)
    found, expected = hashlib.sha256(data).hexdigest(), info.files[path.name]
    if found != expected:
        raise BundleError(f"{path}: changed after training: SHA-256 {found[:12]}, expected {expected[:12]}")
    _check_ports(check_onnx(data, str(path)), layout, graph, str(path))
    return open_session(data, str(path))


def open_session(data: bytes, where: str) -> Any:
    """Make a session of one thread: two are slower on a busy machine, and not bitwise equal to one."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own classes share no other base
        raise BundleError(f"{where}: onnxruntime refuses it: {error}") from error


def _check_ports(ports: Ports, layout: Layout, graph: str, where: str) -> None:
    n_out, n_state = layout.spec.width(PortKind.OUTPUT), layout.spec.width(PortKind.STATE)
    expected: dict[str, Shape] = {"outputs": (None, n_out), "state": (None, n_state)}
    taken: dict[str, Shape] = {"x": (None, layout.width)}
    if graph != "reset":
        heads = ["supply_j", "input_j", "latency_s"]
        heads += [] if _is_settled(layout) else ["fired"]
        expected |= dict.fromkeys(heads, (None,))
    if "fired" in expected and EVENT_BIAS in ports.inputs:
        taken[EVENT_BIAS] = (None, 1)
    for what, found, wanted in (
        ("inputs", ports.inputs, taken),
        ("outputs", ports.outputs, expected),
    ):
        if found != wanted:
            raise BundleError(f"{where}: {what} {_listed(found)}, expected {_listed(wanted)}")


def _is_settled(layout: Layout) -> bool:
    """Whether the run time sees an event in the swing of an output."""
    detector = layout.spec.of(PortKind.OUTPUT)[0].detector
    return detector is not None and detector.kind == "settled"


def _listed(ports: Mapping[str, Shape]) -> str:
    return ", ".join(f"{name} {shown(shape)}" for name, shape in ports.items())[:MAX_REASON]

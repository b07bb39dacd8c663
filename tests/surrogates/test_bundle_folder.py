"""The folder of a bundle and its `bundle.json`: what is refused although every hash fits."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simcore.errors import BundleError
from simcore.spec import CircuitSpec
from surrogates.bundle import MAX_MANIFEST_BYTES, SCHEMA, BundleInfo, load_bundle, read_info, shared_bundle
from surrogates.onnx_file import MAX_BYTES
from surrogates.plain_file import parse_json
from surrogates.shipped import SHIPPED, find_bundle

SOURCE = SHIPPED / "lif_neuron" / "trunk"
Change = Callable[[dict[str, Any]], Any]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SOURCE, tmp_path / "bundle"))


@pytest.fixture(scope="module")
def spec() -> CircuitSpec:
    return read_info(SOURCE).spec


def _sealed(bundle: Path, change: Change) -> None:
    data = json.loads((bundle / "bundle.json").read_text())
    change(data)
    sealed = BundleInfo.model_validate_json(json.dumps(data)).sealed()
    (bundle / "bundle.json").write_text(sealed.model_dump_json())


def _link(path: Path) -> None:
    path.rename(path.with_suffix(".real"))
    path.symlink_to(path.with_suffix(".real"))


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _endless(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("name", ["bundle.json", "idle.onnx"])
@pytest.mark.parametrize(
    ("replace", "reason"),
    [
        (_link, "is a link, expected the file itself"),
        (_endless, "is a link, expected the file itself"),
        (_pipe, "is not a regular file"),
        (_folder, "cannot read .*: Is a directory"),
        (Path.unlink, "cannot read .*: No such file"),
        (lambda path: os.truncate(path, 2 * MAX_BYTES), f"{2 * MAX_BYTES} bytes, expected at most"),
    ],
)
def test_only_regular_files_of_limited_size_are_read(
    bundle: Path, spec: CircuitSpec, name: str, replace: Callable[[Path], None], reason: str
) -> None:
    replace(bundle / name)
    with pytest.raises(BundleError, match=reason) as caught:
        load_bundle(bundle, spec)
    assert name in str(caught.value)


def test_other_files_are_never_read(bundle: Path, spec: CircuitSpec) -> None:
    os.mkfifo(bundle / "weights.pkl")
    (bundle / "driven.onnx.data").symlink_to("/dev/zero")
    assert set(load_bundle(bundle, spec).sessions) == {"driven", "idle", "reset"}


@pytest.mark.parametrize("name", ["../driven.onnx", "/etc/passwd", "driven.onnx/../idle.onnx", "more.onnx"])
def test_names_of_other_files_are_refused(bundle: Path, spec: CircuitSpec, name: str) -> None:
    _sealed(bundle, lambda data: data["files"].update({name: data["files"]["driven.onnx"]}))
    with pytest.raises(BundleError, match="columns or files are not those of 'lif_neuron'"):
        load_bundle(bundle, spec)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b'{"schema_version": 1, "schema_version": 1}', "key 'schema_version' given twice"),
        (b'{"schema_version": NaN}', "the number NaN, expected a finite one"),
        (b'{"schema_version": 1e999}', "the number 1e999"),
        (b'{"schema_version": ' + b"1" * 4000 + b"}", "the number 1{60}, expected"),
        (b'{"schema_version": ' * 200_000, "tables within tables|Expecting"),
        (b"[" * 1_000_000, "tables within tables, expected at most 32"),
        (b'{"schema_version": 1, "x": ' + b"[" * 40 + b"]" * 40 + b"}", "tables within tables"),
        (b"[1]", f"schema None, this program reads up to {SCHEMA}"),
        (b'{"schema_version": true}', "schema_version"),
        (b'{"schema_version": 0}', f"schema 0, this program reads up to {SCHEMA}"),
        (b'{"schema_version": "1"}', "schema '1', this program"),
        (b'{"schema_version": 99}', f"schema 99, this program reads up to {SCHEMA}"),
        (b'{"schema_version": 1}', "Field required"),
        (b'{"schema_version": 1, "family": "\\ud800"}', "bundle.json"),
        (b"\xff\xfe{}", "cannot read the bundle .*decode"),
        (b"", "cannot read the bundle"),
        (b" " * (MAX_MANIFEST_BYTES + 1), "4194305 bytes, expected at most 4194304"),
    ],
)
def test_a_manifest_with_two_meanings_or_none_is_refused(
    bundle: Path, spec: CircuitSpec, text: bytes, reason: str
) -> None:
    (bundle / "bundle.json").write_bytes(text)
    with pytest.raises(BundleError, match=reason) as caught:
        load_bundle(bundle, spec)
    assert len(str(caught.value)) < 1000


def _range(graph: str, side: str, value: Any) -> Change:
    return lambda data: data["ranges"][graph].update({side: value})


WIDTH = 9
SEALED: dict[str, tuple[Change, str]] = {
    "no range": (lambda data: data["ranges"].pop("idle"), "ranges of 'idle', expected low to high of 9"),
    "short range": (_range("driven", "low", [0.0]), "ranges of 'driven', expected low to high"),
    "turned range": (_range("driven", "low", [1e20] * WIDTH), "ranges of 'driven', expected low to high"),
    "vast range": (_range("idle", "high", [1e38] * WIDTH), r"ranges of 'idle' beyond 1e\+30"),
    "swing": (lambda data: data.update(min_swing=0.1), "min_swing 0.1 does not suit"),
    "columns": (lambda data: data["columns"].reverse(), "columns or files are not those of"),
    "hash": (lambda data: data["files"].update({"idle.onnx": "x"}), "idle.onnx: changed after training"),
}


@pytest.mark.parametrize("name", SEALED)
def test_a_sealed_manifest_that_does_not_suit_the_circuit_is_refused(
    bundle: Path, spec: CircuitSpec, name: str
) -> None:
    change, reason = SEALED[name]
    _sealed(bundle, change)
    with pytest.raises(BundleError, match=reason):
        load_bundle(bundle, spec)


@pytest.mark.parametrize("metrics", [{}, {"closed_loop": 1}, {"closed_loop": {"selection": {"score": "x"}}}])
def test_best_needs_figures(bundle: Path, spec: CircuitSpec, tmp_path: Path, metrics: Any) -> None:
    _sealed(bundle, lambda data: data.update(metrics=metrics))
    own = tmp_path / "circuit" / "bundles" / "lif_neuron"
    own.mkdir(parents=True)
    bundle.rename(own / "trunk")
    with pytest.raises(BundleError, match=r"bundle.json: metrics\.closed_loop"):
        find_bundle(spec.model_copy(update={"folder": str(tmp_path / "circuit")}), "best", tmp_path)


def test_json_is_read_as_it_stands() -> None:
    data = json.loads((SOURCE / "bundle.json").read_text())
    assert parse_json((SOURCE / "bundle.json").read_bytes()) == data


def test_a_bundle_is_shared_until_its_files_change(bundle: Path, spec: CircuitSpec) -> None:
    first = shared_bundle(bundle, spec)
    assert shared_bundle(bundle, spec) is first
    graph = bundle / "idle.onnx"
    graph.write_bytes(graph.read_bytes() + b" ")
    with pytest.raises(BundleError, match=r"idle\.onnx"):
        shared_bundle(bundle, spec)

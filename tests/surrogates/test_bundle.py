"""Bundles: anything that training did not write is refused, with the reason."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from simcore.errors import BundleError
from surrogates.bundle import BundleInfo, load_bundle
from surrogates.onnx_file import check_onnx
from surrogates.train import Trained
from tests.surrogates.fakes import crossbar_spec, lif_spec

Bundles = dict[tuple[str, str], Trained]


@pytest.fixture
def bundle(trained: Bundles, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained["fake_lif", "mlp"].path, tmp_path / "bundle"))


def _reseal(path: Path, change: Callable[[dict[str, Any]], None] = lambda data: None) -> None:
    """Edit `bundle.json` and make hashes and digest fit again, as an attacker would."""
    manifest = path / "bundle.json"
    data = json.loads(manifest.read_text())
    data["files"] = {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(path.glob("*.onnx"))}
    change(data)
    info = BundleInfo.model_validate_json(json.dumps(data))
    manifest.write_text(info.sealed().model_dump_json())


def _edit(path: Path, change: Callable[[Any], None]) -> None:
    """Edit `driven.onnx` and reseal."""
    model = onnx.load(path / "driven.onnx")
    change(model)
    (path / "driven.onnx").write_bytes(model.SerializeToString())
    _reseal(path)


def test_an_untouched_bundle_loads(bundle: Path) -> None:
    assert set(load_bundle(bundle, lif_spec()).sessions) == {"driven", "idle", "reset"}


def test_another_spec_is_refused_with_the_command(bundle: Path) -> None:
    with pytest.raises(BundleError, match="simcore surrogate train fake_lif"):
        load_bundle(bundle, lif_spec(hash="a" * 64))


def test_a_changed_byte_in_a_graph_is_refused(bundle: Path) -> None:
    data = bytearray((bundle / "idle.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / "idle.onnx").write_bytes(data)
    with pytest.raises(BundleError, match=r"idle.onnx: changed after training: SHA-256"):
        load_bundle(bundle, lif_spec())


def test_a_changed_figure_in_the_manifest_is_refused(bundle: Path) -> None:
    text = (bundle / "bundle.json").read_text()
    (bundle / "bundle.json").write_text(text.replace('"split_seed": 1', '"split_seed": 2'))
    with pytest.raises(BundleError, match="its digest does not fit"):
        load_bundle(bundle, lif_spec())


def test_a_newer_schema_is_refused(bundle: Path) -> None:
    _reseal(bundle, lambda data: data.update(schema_version=3))
    with pytest.raises(BundleError, match="schema 3, this program reads up to 2"):
        load_bundle(bundle, lif_spec())


def test_a_missing_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"cannot read .*bundle.json: No such file"):
        load_bundle(tmp_path, lif_spec())


def test_an_unknown_key_is_refused(bundle: Path) -> None:
    data = json.loads((bundle / "bundle.json").read_text())
    (bundle / "bundle.json").write_text(json.dumps(data | {"pickle": "x"}))
    with pytest.raises(BundleError, match="pickle"):
        load_bundle(bundle, lif_spec())


def test_a_foreign_operator_domain_is_refused(bundle: Path) -> None:
    _edit(bundle, lambda model: setattr(model.graph.node[0], "domain", "com.microsoft"))
    with pytest.raises(BundleError, match=r"operator 'com.microsoft.\w+' is not one"):
        load_bundle(bundle, lif_spec())


def test_an_unexpected_operator_is_refused(bundle: Path) -> None:
    _edit(bundle, lambda model: setattr(model.graph.node[0], "op_type", "RandomNormal"))
    with pytest.raises(BundleError, match="operator 'RandomNormal' is not one"):
        load_bundle(bundle, lif_spec())


def test_a_foreign_opset_is_refused(bundle: Path) -> None:
    _edit(bundle, lambda model: model.opset_import.append(helper.make_opsetid("com.example", 1)))
    with pytest.raises(BundleError, match=r"operator domain 'com\.example'"):
        load_bundle(bundle, lif_spec())


def test_external_data_is_refused(bundle: Path) -> None:
    def point_outside(model: Any) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", "/etc/passwd"

    _edit(bundle, point_outside)
    with pytest.raises(BundleError, match="external data"):
        load_bundle(bundle, lif_spec())


def test_a_graph_inside_a_node_is_refused(bundle: Path) -> None:
    def nest(model: Any) -> None:
        inner = helper.make_graph([], "inner", [], [])
        model.graph.node[0].attribute.append(helper.make_attribute("body", inner))

    _edit(bundle, nest)
    with pytest.raises(BundleError, match="a graph of its own in a node attribute"):
        load_bundle(bundle, lif_spec())


def test_a_wrong_shape_is_refused(bundle: Path) -> None:
    def widen(model: Any) -> None:
        model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 9

    _edit(bundle, widen)
    with pytest.raises(BundleError, match=r"inputs x \(k, 9\), .*expected x \(k, 5\)"):
        load_bundle(bundle, lif_spec())


def test_a_renamed_output_is_refused(bundle: Path) -> None:
    def rename(model: Any) -> None:
        for node in model.graph.node:
            node.output[:] = ["energy" if name == "supply_j" else name for name in node.output]
        for output in model.graph.output:
            output.name = "energy" if output.name == "supply_j" else output.name

    _edit(bundle, rename)
    with pytest.raises(BundleError, match=r"outputs .*energy"):
        load_bundle(bundle, lif_spec())


def test_a_wrong_constant_is_refused(bundle: Path) -> None:
    def shrink(model: Any) -> None:
        for tensor in model.graph.initializer:
            if len(tensor.dims) == 2 and tensor.dims[0] > 2:
                tensor.CopyFrom(numpy_helper.from_array(np.zeros((3, 3), np.float32), tensor.name))

    _edit(bundle, shrink)
    with pytest.raises(BundleError, match=r"Gemm that makes .*no matrix product"):
        load_bundle(bundle, lif_spec())


def test_graphs_of_another_circuit_are_refused(bundle: Path, trained: Bundles) -> None:
    shutil.copy(trained["fake_crossbar", "mlp"].path / "driven.onnx", bundle / "driven.onnx")
    _reseal(bundle)
    with pytest.raises(BundleError, match=r"driven.onnx: inputs"):
        load_bundle(bundle, lif_spec())


def test_a_missing_file_is_refused(bundle: Path) -> None:
    (bundle / "reset.onnx").unlink()
    with pytest.raises(BundleError, match=r"cannot read .*reset.onnx"):
        load_bundle(bundle, lif_spec())


@pytest.mark.parametrize("seed", range(20))
def test_damaged_files_never_get_past_the_check_by_crashing_it(seed: int, trained: Bundles) -> None:
    data = bytearray((trained["fake_crossbar", "mlp"].path / "driven.onnx").read_bytes())
    rng = np.random.default_rng(seed)
    data = data[: int(rng.integers(1, len(data)))]
    for place in rng.integers(0, len(data), 5):
        data[place] = int(rng.integers(0, 256))
    with pytest.raises(BundleError, match=r"damaged\.onnx"):
        check_onnx(bytes(data), "damaged.onnx")


def test_run_time_needs_neither_onnx_nor_a_training_library() -> None:
    code = (
        "import sys, surrogates.runtime\n"
        "banned = {'onnx', 'torch', 'lightgbm', 'sklearn', 'skl2onnx'} & set(sys.modules)\n"
        "sys.exit(str(banned) if banned else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_pickle_is_ever_read() -> None:
    for source in Path(load_bundle.__code__.co_filename).parent.glob("*.py"):
        assert not re.search("pickle|joblib", source.read_text()), source


def test_settled_circuits_have_no_fired_head_and_nothing_to_force(trained: Bundles) -> None:
    bundle = load_bundle(trained["fake_crossbar", "mlp"].path, crossbar_spec())
    assert "fired" not in [output.name for output in bundle.sessions["driven"].get_outputs()]
    assert [port.name for port in bundle.sessions["driven"].get_inputs()] == ["x"]

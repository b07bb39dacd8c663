"""Families on whole arrays of cells, on the MAC block's closed form."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simcore.bank import BankRequest, StepInput
from simcore.errors import BundleError, UserError
from simcore.manifest import load_circuit
from simcore.spec import CircuitSpec, PortKind
from surrogates import array_fit
from surrogates.bundle import open_session, run_graph
from surrogates.cellarray import cell_array
from surrogates.cnn import FAMILY as CNN
from surrogates.cnn import Conv4Xbar
from surrogates.dataset import load_dataset
from surrogates.family import Effort
from surrogates.frame import Frame
from surrogates.graph import GraphBuilder
from surrogates.layout import Layout
from surrogates.runtime import open_bank
from surrogates.step_graph import build_graph
from surrogates.tables import StepTables, step_tables
from surrogates.tensors import parameters
from surrogates.train import Trained, train, wanted
from tests import arrays

torch = pytest.importorskip("torch", reason="torch is not installed: networks cannot be trained here")
STEPS = 20


@pytest.fixture(scope="module")
def spec() -> CircuitSpec:
    """Two outputs on two tiles."""
    return arrays.block(2, 64, 4)


@pytest.fixture(scope="module")
def recording(spec: CircuitSpec, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1,000 steps."""
    return arrays.record(tmp_path_factory.mktemp("arrays") / "mac.h5", spec, 50, STEPS)


@pytest.fixture(scope="module")
def tables(spec: CircuitSpec, recording: Path) -> StepTables:
    return step_tables(load_dataset(recording, spec, 1))["driven"]


@pytest.fixture(scope="module")
def cellsum(spec: CircuitSpec, recording: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A bundle of family `cellsum`."""
    return train(spec, recording, "cellsum", tmp_path_factory.mktemp("bundles"), epochs=150)[0]


def whole(tables: StepTables, spec: CircuitSpec) -> Frame:
    assert spec.array is not None
    array = spec.array
    return tables.frame.whole(tables.train, (array.voltage, array.positive, array.negative))


def conv3d(w: dict[str, np.ndarray], x: Any) -> Any:
    """The published convolutions on x (k, 2, tiles, rows, columns), with the weights of Conv4Xbar."""
    kernels = {
        0: np.stack([w["c0.v"][0], w["c0.g"][0]]).T.reshape(16, 2, 1, 1, 1),
        4: w["c4.w"].reshape(2, 32, 32).transpose(2, 1, 0).reshape(32, 32, 1, 1, 2),
    }
    for layer, span in ((1, 2), (2, 4), (3, 8)):
        n_in = w[f"c{layer}.w"].shape[0] // span
        kernels[layer] = w[f"c{layer}.w"].reshape(span, n_in, -1).transpose(2, 1, 0)[:, :, None, :, None]
    for layer in range(5):
        kernel = torch.from_numpy(np.ascontiguousarray(kernels[layer]))
        bias = torch.from_numpy(w[f"c{layer}.b"][0])
        x = torch.nn.functional.conv3d(x, kernel, bias, stride=tuple(kernel.shape[2:]))
        x = torch.nn.functional.celu(x)
    return x


def test_reshaped_products_are_the_published_convolutions(tables: StepTables, spec: CircuitSpec) -> None:
    cells, frame = cell_array(spec), whole(tables, spec)
    net = Conv4Xbar(cells, frame)
    w = net.initial(np.random.default_rng(5))
    rng = np.random.default_rng(6)
    v = torch.from_numpy(rng.normal(size=(7, cells.lines)).astype(np.float32))
    g = torch.from_numpy(rng.normal(size=(7, 2, cells.pairs, cells.tiles, cells.rows)).astype(np.float32))
    with torch.no_grad():
        ours = net.convolved(parameters(w), v, g.reshape(7, -1))
        conductance = g.permute(0, 3, 4, 2, 1).reshape(7, cells.tiles, cells.rows, 2 * cells.pairs)
        voltage = v.reshape(7, cells.tiles, cells.rows, 1).expand_as(conductance)
        published = conv3d(w, torch.stack([voltage, conductance], 1))
    expected = published[:, :, :, 0].permute(0, 3, 2, 1).reshape(7, -1)
    np.testing.assert_allclose(ours.numpy(), expected.numpy(), atol=1e-5)


def test_cellsum_learns_the_block_from_few_steps(
    cellsum: Trained, recording: Path, spec: CircuitSpec
) -> None:
    figures = cellsum.info.metrics["one_step"]["test"]
    assert figures["output"] < 1e-3, "of 1.6 V"
    assert figures["energy"] < 0.03
    assert cellsum.info.model["driven"]["constants"] == 51
    assert cellsum.info.model["driven"]["weights"] < 2000


def test_bundle_answers_driven_and_idle_steps_alike(cellsum: Trained, spec: CircuitSpec) -> None:
    raster = arrays.draw_raster(spec, 900, 3, 2, "uniform")[1]
    expected = arrays.replayed(spec, raster, timed=False).steps
    bank = open_bank(BankRequest(spec, raster.params[None], {"family": str(cellsum.path)}))
    bank.reset()
    one, many = np.array([10_000]), np.array([70_000])
    driven = bank.step(StepInput(np.array([0]), one, raster.inputs[:1], False))
    np.testing.assert_allclose(driven.outputs, expected.outputs[:1], atol=5e-3)
    idle = bank.step(StepInput(np.array([0]), many, raster.inputs[:1], True))
    np.testing.assert_array_equal(idle.outputs, driven.outputs)
    np.testing.assert_allclose(idle.supply_j, 7 * driven.supply_j, rtol=1e-6)
    np.testing.assert_allclose(idle.input_j, 7 * driven.input_j, rtol=1e-6)
    assert not idle.fired.any()


def test_graph_of_the_convolutions_is_the_network(tables: StepTables, spec: CircuitSpec) -> None:
    frame = whole(tables, spec)
    effort = Effort(1, 1e9, 2, lambda share, message: None, {})
    model = CNN.fit(frame, tables.train, tables.selection, effort)
    x = tables.selection.x[:50]
    native = frame.decode(x, (z := frame.design.standardise(x)), model.predict(z))
    ours = run_graph(open_session(build_graph("driven", frame, model, {}), "driven"), x)
    np.testing.assert_allclose(ours["outputs"], native.outputs, atol=1e-5)
    np.testing.assert_allclose(ours["supply_j"], native.supply_j, rtol=1e-4)


def test_training_goes_on_from_its_checkpoint(
    tables: StepTables, spec: CircuitSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(array_fit, "CHECKPOINT_S", 0.0)
    frame, path = whole(tables, spec), tmp_path / "cnn.checkpoint"

    def stop(share: float, message: str) -> None:
        if share >= 0.75:
            raise KeyboardInterrupt

    def fitted(progress: Any, checkpoint: Path | None) -> Any:
        effort = Effort(1, 1e9, 4, progress, {}, checkpoint=checkpoint)
        return CNN.fit(frame, tables.train, tables.selection, effort)

    with pytest.raises(KeyboardInterrupt):
        fitted(stop, path)
    assert path.exists()
    seen: list[str] = []
    resumed = fitted(lambda share, message: seen.append(message), path)
    assert [message.split(",")[0] for message in seen] == ["epoch 3 of 4", "epoch 4 of 4"]
    z = frame.design.standardise(tables.selection.x)
    np.testing.assert_array_equal(resumed.predict(z), fitted(lambda *_: None, None).predict(z))


def test_a_budget_ends_a_training_and_leaves_no_checkpoint(
    tables: StepTables, spec: CircuitSpec, tmp_path: Path
) -> None:
    path = tmp_path / "cnn.checkpoint"
    effort = Effort(1, 0.5, None, lambda *_: None, {}, checkpoint=path)
    model = CNN.fit(whole(tables, spec), tables.train, tables.selection, effort)
    assert 3 <= model.describe()["epochs"] < 200
    assert not path.exists()


def test_other_shapes_are_refused_with_the_reason(cellsum: Trained) -> None:
    other = arrays.block(2, 64, 2)
    params = np.tile(other.default_params, (1, 1))
    with pytest.raises(BundleError, match="rram_mac"):
        open_bank(BankRequest(other, params, {"family": str(cellsum.path)}))
    unknown = arrays.block(3, 64, 2)
    with pytest.raises(
        BundleError, match=r"those of other sizes do not fit: rram_mac-2-64-8-0, rram_mac-4-64-2-0"
    ):
        open_bank(BankRequest(unknown, unknown.default_params[None], {}))


def test_circuits_that_are_no_arrays_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'cnn' learns arrays of cells; circuit 'crossbar_row' has no"):
        wanted("cnn", load_circuit("crossbar_row"))
    short = arrays.block(1, 32, 2)
    path = arrays.record(tmp_path / "short.h5", short, 40, 5)
    with pytest.raises(UserError, match="32 rows of 'rram_mac', expected a multiple of 64"):
        train(short, path, "cnn", tmp_path / "out", epochs=1)


def test_features_of_arrays_are_one_column_for_each_output(tables: StepTables, spec: CircuitSpec) -> None:
    names = tables.frame.design.names
    assert {"i_pos0", "i_pos1", "out_line0", "out_line1", "p_in0"} <= set(names)
    assert not any(name.startswith("one") for name in names)
    x = tables.train.x
    ports = Layout(spec).ports(x)
    pairs = ports["g_pos"].reshape(-1, 2, 128)
    current = 1e6 * (ports["v"][:, None, :] * pairs).sum(axis=2)
    z = tables.frame.design.standardise(x)
    column = names.index("i_pos0")
    back = z[:, column : column + 2] / tables.frame.design.factor[column : column + 2]
    np.testing.assert_allclose(
        back + tables.frame.design.mean[column : column + 2], current, rtol=1e-4, atol=1e-2
    )
    builder = GraphBuilder("design")
    graph = builder.finish({"x": x.shape[1]}, {"z": (tables.frame.design.emit(builder, "x"), len(names))}, {})
    ours = open_session(graph, "design").run(["z"], {"x": x[:64]})[0]
    np.testing.assert_allclose(ours, z[:64], atol=1e-4)
    assert spec.width(PortKind.OUTPUT) == 2

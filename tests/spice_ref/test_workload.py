"""Recordings of what networks really send: the inputs of traced units, layer by layer in turn."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from simcore import load_scenario, run
from simcore.errors import DatasetError, ResultError
from simcore.manifest import load_circuit
from simcore.rasters import Recorded
from simcore.recording import read_recording
from simcore.result import RunResult
from simcore.spec import CircuitSpec, PortKind
from spice_ref.record import record
from spice_ref.stimuli import weight_columns
from spice_ref.workload import Workload
from tests.conftest import Outcome
from tests.spice_ref.conftest import OpenBank
from tests.test_scenarios import SCENARIOS

pytestmark = pytest.mark.spice
Command = Callable[..., Outcome]


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """Two digits for some steps on the surrogate: 128 + 64 + 20 units."""
    scenario = load_scenario(SCENARIOS / "digits_spiking.toml", ["samples=2", "architecture.options.steps=3"])
    return run(scenario, tmp_path_factory.mktemp("run"), trace=True)


def test_a_run_is_the_whole_input_of_a_unit_and_what_ngspice_does_with_it(
    lif: CircuitSpec, traced: RunResult, tmp_path: Path, opened: OpenBank
) -> None:
    folder = traced.path.parent
    record(lif, tmp_path / "a.h5", runs=6, from_runs=[folder], workers=2)
    spec, steps, runs = read_recording(tmp_path / "a.h5")
    assert spec.hash == lif.hash
    assert runs.kind.tolist() == ["workload/inputs", "workload/hidden", "workload/output"] * 2
    source, bank = Workload(lif, [folder], 1), opened(lif)
    rasters = [source.draw(run)[1] for run in range(6)]
    for run_, (raster, answer) in enumerate(zip(rasters, bank.replay(rasters), strict=True)):
        rows = steps.take(steps.run == run_)
        np.testing.assert_array_equal(rows.inputs, raster.inputs.astype(np.float32))
        np.testing.assert_array_equal(rows.duration_ps, raster.duration_ps)
        np.testing.assert_array_equal(rows.idle, raster.idle)
        np.testing.assert_array_equal(runs.params[run_], raster.params)
        for name in ("outputs", "state", "fired", "supply_j", "input_j", "latency_s"):
            np.testing.assert_array_equal(getattr(rows, name), getattr(answer.steps, name), err_msg=name)


def test_all_units_of_all_layers_and_runs_come_once(lif: CircuitSpec, traced: RunResult) -> None:
    folder = traced.path.parent
    source = Workload(lif, [folder, folder], 1)
    assert source.most == 2 * 212
    drawn = [source.draw(run) for run in range(source.most)]
    kinds = [kind for kind, _ in drawn]
    assert kinds[:6] == ["workload/inputs", "workload/hidden", "workload/output"] * 2
    assert [kinds.count(f"workload/{name}") for name in traced.layer_columns] == [256, 128, 40]
    recorded = Recorded(traced)
    inputs = recorded.rasters("output", recorded.pairs("output"))
    ours = sorted(raster.inputs.tobytes() for kind, raster in drawn if kind == "workload/output")
    assert ours == sorted(raster.inputs.tobytes() for raster in inputs * 2)
    other = Workload(lif, [folder, folder], 2)
    assert any((other.draw(i)[1].inputs.shape != drawn[i][1].inputs.shape) or
               (other.draw(i)[1].inputs != drawn[i][1].inputs).any() for i in range(6))  # fmt: skip


def test_interrupted_recording_goes_on_with_the_same_units(
    lif: CircuitSpec, traced: RunResult, tmp_path: Path
) -> None:
    folder = traced.path.parent
    record(lif, tmp_path / "whole.h5", runs=5, from_runs=[folder], workers=2)
    record(lif, tmp_path / "part.h5", runs=2, from_runs=[folder], workers=1)
    record(lif, tmp_path / "part.h5", runs=5, from_runs=[folder], workers=1)
    for mine, theirs in zip(
        read_recording(tmp_path / "part.h5")[1:], read_recording(tmp_path / "whole.h5")[1:], strict=True
    ):
        for name in mine.__slots__:
            np.testing.assert_array_equal(getattr(mine, name), getattr(theirs, name), err_msg=name)


def test_another_source_is_refused_with_the_reason(
    lif: CircuitSpec, traced: RunResult, tmp_path: Path
) -> None:
    out, folder = tmp_path / "a.h5", traced.path.parent
    record(lif, out, runs=1, from_runs=[folder], workers=1)
    workload = r"recorded with source workload of digits_spiking \(inputs, hidden, output\), sha256 \w+"
    with pytest.raises(DatasetError, match=rf"{workload}, got random stimuli; use the same source"):
        record(lif, out, runs=2, steps=5, workers=1)
    other = load_scenario(SCENARIOS / "digits_spiking.toml", ["samples=2", "architecture.options.steps=4"])
    run(other, tmp_path / "other", trace=True)
    with pytest.raises(DatasetError, match=rf"{workload}, got workload of digits_spiking"):
        record(lif, out, runs=2, from_runs=[tmp_path / "other"], workers=1)
    record(lif, tmp_path / "b.h5", runs=1, steps=5, workers=1)
    with pytest.raises(DatasetError, match="recorded with source random stimuli, got workload"):
        record(lif, tmp_path / "b.h5", runs=2, from_runs=[folder], workers=1)


def test_a_run_that_does_not_fit_is_refused(
    rc: CircuitSpec, lif: CircuitSpec, traced: RunResult, tmp_path: Path
) -> None:
    with pytest.raises(ResultError, match=r"no layer of this run uses rc .*; it has inputs: lif_neuron"):
        Workload(rc, [traced.path.parent], 1)
    run(load_scenario(SCENARIOS / "digits_spiking.toml", ["samples=1"]).with_backend("ideal"), tmp_path)
    with pytest.raises(ResultError, match="layer inputs was not traced"):
        Workload(lif, [tmp_path], 1)


def test_command_line_takes_runs_and_no_more_than_there_are(
    simcore: Command, tmp_path: Path, traced: RunResult
) -> None:
    folder, out = traced.path.parent, tmp_path / "a.h5"
    options = ("circuit", "record", "lif_neuron", "--from", folder, "--out", out)
    refused = simcore(*options, "--steps", 10)
    assert refused.code == 2
    assert "--steps and --kind shape random stimuli" in refused.err
    outcome = simcore(*options, "--runs", 3, "--workers", 2)
    assert outcome.code == 0, outcome.err
    assert len(read_recording(out)[2].run) == 3


def test_knobs_of_some_units_are_varied(lif: CircuitSpec, traced: RunResult) -> None:
    plain = Workload(lif, [traced.path.parent], 1)
    varied = Workload(lif, [traced.path.parent], 1, vary_knobs=True)
    changed = []
    for run_ in range(plain.most):
        (kind, raster), (other_kind, other) = plain.draw(run_), varied.draw(run_)
        assert kind == other_kind
        np.testing.assert_array_equal(raster.inputs, other.inputs)
        changed.append(bool((raster.params != other.params).any()))
        assert (other.params >= lif.low(PortKind.PARAM)).all()
        assert (other.params <= lif.high(PortKind.PARAM)).all()
    assert 0.25 < np.mean(changed) < 0.55
    np.testing.assert_array_equal(varied.draw(3)[1].params, varied.draw(3)[1].params)
    assert plain.provenance() != varied.provenance()


def test_weights_are_not_varied(traced: RunResult) -> None:
    row = load_circuit("crossbar_row")
    assert weight_columns(row).tolist() == [name != "gain" for name in row.columns(PortKind.PARAM)]


def test_varied_knobs_without_a_run_are_refused(simcore: Command, tmp_path: Path) -> None:
    outcome = simcore("circuit", "record", "lif_neuron", "--vary-knobs", "--out", str(tmp_path / "a.h5"))
    assert outcome.code == 2
    assert "--vary-knobs goes with --from" in outcome.err

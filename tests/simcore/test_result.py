"""Stored runs: written, grown, read back; damaged ones refused."""

import errno
import json
from collections.abc import Callable
from contextlib import closing, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from simcore import RunResult, run
from simcore.digital import COMPONENTS
from simcore.errors import ResultError, SolverError
from simcore.result_writer import ResultWriter
from tests.full_disk import file_size_limit
from tests.simcore import fakes
from tests.simcore.conftest import scenario_with

run_module = import_module("simcore.run")
SPIKES, LEVELS = {"steps": 24}, {"kind": "levels", "steps": 6}


def contents(path: Path) -> dict[str, np.ndarray]:
    """All data sets below /results and /trace."""
    found: dict[str, np.ndarray] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and not name.startswith("provenance"):
            found[name] = item[:]

    with h5py.File(path / "result.h5") as file:
        file.visititems(visit)
    return found


def by_sample(data: dict[str, np.ndarray]) -> dict[str, bytes]:
    """Bytes of each data set; trace rows sorted by sample, in which each keeps its order."""
    ordered = {}
    for name, values in data.items():
        if name.startswith("trace/"):
            values = values[np.argsort(data["/".join([*name.split("/")[:2], "lane"])], kind="stable")]
        ordered[name] = values.tobytes()
    return ordered


@pytest.mark.parametrize("options", [SPIKES, LEVELS, SPIKES | {"feedback": True}])
def test_run_in_batches_equals_one_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    scenario = scenario_with(samples=7, **options)
    run(scenario, tmp_path / "whole", trace=True)
    for lanes in (1, 3):
        monkeypatch.setattr(run_module, "LANES", lanes)
        run(scenario, tmp_path / str(lanes), trace=True)
        assert by_sample(contents(tmp_path / str(lanes))) == by_sample(contents(tmp_path / "whole"))


def test_same_scenario_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        run(scenario_with(), tmp_path / name, trace=True)
    first, second = contents(tmp_path / "a"), contents(tmp_path / "b")
    assert {k: v.tobytes() for k, v in first.items()} == {k: v.tobytes() for k, v in second.items()}


def test_merged_run_equals_stepped_run(tmp_path: Path) -> None:
    merged = run(scenario_with(), tmp_path / "merged")
    stepped = run(scenario_with(merge_idle=False), tmp_path / "stepped")
    np.testing.assert_array_equal(merged.scores, stepped.scores)
    for name in merged.layer_columns:
        ours, theirs = merged.layer_columns[name], stepped.layer_columns[name]
        np.testing.assert_allclose(ours["unit_energy_j"], theirs["unit_energy_j"], rtol=1e-12)
        np.testing.assert_array_equal(ours["unit_fired"], theirs["unit_fired"])
        assert ours["steps"].sum() < theirs["steps"].sum()


def test_run_directory_holds_its_files(tmp_path: Path) -> None:
    result = run(scenario_with(), tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"result.h5", "summary.json", "layers.csv"}
    assert json.loads((tmp_path / "summary.json").read_text()) == result.summary()
    header = (tmp_path / "layers.csv").read_text().splitlines()[0].split(",")
    assert header == list(result.summary()["layers"][0])


SUMMARY = {
    "scenario", "architecture", "backend", "dataset", "n_samples", "accuracy", "energy_j", "latency_s",
    "wall_s", "cpu_s", "seed", "layers",
}  # fmt: skip
LAYER = [
    "name", "backend", "n_units", "energy_j", "supply_j", "input_j", "digital_j", "active_j", "quiet_j",
    "idle_j", "event_latency_s", "energy_interval_pct", "latency_interval_pct", "critical_path_s", "wait_s",
    "missed",
    "events_active", "events_quiet", "events_idle",
    "events_late", "out_of_range", "rail_excursions", "guarded",
]  # fmt: skip


@pytest.mark.parametrize("options", [SPIKES, LEVELS])
def test_summary_has_the_keys_of_the_design_and_adds_up(tmp_path: Path, options: dict[str, Any]) -> None:
    summary = run(scenario_with(**options), tmp_path).summary()
    assert set(summary) == SUMMARY
    for layer in summary["layers"]:
        assert list(layer) == LAYER
        analog = layer["supply_j"] + layer["input_j"]
        assert layer["active_j"] + layer["quiet_j"] + layer["idle_j"] == pytest.approx(analog, rel=1e-12)
        assert layer["energy_j"] == pytest.approx(analog + layer["digital_j"], rel=1e-12)
    assert sum(layer["energy_j"] for layer in summary["layers"]) == pytest.approx(
        summary["energy_j"], rel=1e-12
    )
    assert summary["latency_s"] == max(layer["critical_path_s"] for layer in summary["layers"])


def test_digital_energy_is_actions_times_energy_per_action(tmp_path: Path) -> None:
    result = run(scenario_with(), tmp_path, trace=True)
    digital = result.digital("second")
    assert set(digital) == {"accumulate", "spike_count"}
    assert digital["spike_count"] == pytest.approx(
        result.layer_columns["second"]["fired"].mean() * COMPONENTS["spike_count"].energy_j, rel=1e-12
    )
    rows = result.trace("first")
    delivered = (rows.fired & (rows.step < 23)).sum() / 4  # a spike of the last step is not
    assert digital["accumulate"] == pytest.approx(delivered * COMPONENTS["accumulate"].energy_j, rel=1e-12)


def test_critical_path_ends_behind_the_digital_logic(tmp_path: Path) -> None:
    result = run(scenario_with(**LEVELS), tmp_path)
    layers = {layer["name"]: layer for layer in result.summary()["layers"]}
    reader = COMPONENTS["adc"].latency_s + COMPONENTS["dac"].latency_s
    readout = COMPONENTS["spike_count"].latency_s
    assert layers["first"]["critical_path_s"] == pytest.approx(fakes.LATENCY_S + reader, rel=1e-12)
    # This readout also counts the event of the level that goes back to reset a period later.
    assert layers["second"]["critical_path_s"] == pytest.approx(3e-9 + fakes.LATENCY_S + readout, rel=1e-12)


def test_undefined_figures_are_null(tmp_path: Path) -> None:
    run(scenario_with(samples=1, steps=1), tmp_path)  # sample 0: nothing fires in one step of `second`
    layer = json.loads((tmp_path / "summary.json").read_text())["layers"][1]
    assert layer["event_latency_s"] is None
    assert layer["critical_path_s"] is None


def test_run_is_read_from_its_directory_or_its_file(tmp_path: Path) -> None:
    written = run(scenario_with(), tmp_path, trace=True)
    for path in (tmp_path, tmp_path / "result.h5"):
        again = RunResult(path)
        np.testing.assert_array_equal(again.scores, written.scores)
        assert again.summary() == written.summary()
        assert again.is_traced


def test_trace_holds_samples_instead_of_lanes(tmp_path: Path) -> None:
    scenario = scenario_with(samples=2)
    moved = scenario.model_copy(update={"dataset": scenario.dataset.model_copy(update={"start": 5})})
    result = run(moved, tmp_path, trace=True)
    assert result.samples.tolist() == [5, 6]
    assert set(result.trace("first").lane.tolist()) == {5, 6}


def test_samples_do_not_depend_on_their_neighbours(tmp_path: Path) -> None:
    scenario = scenario_with(samples=6)
    whole = run(scenario, tmp_path / "a")
    part = scenario.model_copy(
        update={"samples": 2, "dataset": scenario.dataset.model_copy(update={"start": 3})}
    )
    alone = run(part, tmp_path / "b")
    for name in whole.layer_columns:
        for column, values in whole.layer_columns[name].items():
            np.testing.assert_array_equal(values[3:5], alone.layer_columns[name][column])


def test_untraced_run_has_no_trace(tmp_path: Path) -> None:
    result = run(scenario_with(), tmp_path)
    assert not result.is_traced
    with pytest.raises(ResultError, match="layer first was not traced; run again with --trace"):
        result.trace("first")


def test_bank_without_workers_adds_no_cpu_time(tmp_path: Path) -> None:
    provenance = run(scenario_with(), tmp_path).provenance
    assert provenance["solver_cpu_s"] == 0
    assert provenance["cpu_s"] > 0


def test_banks_are_closed_once_per_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[fakes.FakeBank] = []
    monkeypatch.setattr(fakes, "open_exact", remembering(opened))
    monkeypatch.setattr(run_module, "LANES", 2)
    run(scenario_with(), tmp_path)
    assert [bank.closed for bank in opened] == [1, 1]


def test_progress_ends_at_one(tmp_path: Path) -> None:
    seen: list[float] = []
    run(scenario_with(), tmp_path, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(1.0)


def test_finished_samples_stay_when_a_later_batch_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[fakes.FakeBank] = []

    def second_fails(request: Any) -> fakes.FakeBank:
        if opened:
            raise SolverError("no licence")
        opened.append(fakes.FakeBank(request.spec, request.params))
        return opened[-1]

    monkeypatch.setattr(fakes, "open_exact", second_fails)
    monkeypatch.setattr(run_module, "LANES", 3)
    with pytest.raises(SolverError, match="no licence"):
        run(scenario_with(samples=6), tmp_path, trace=True)
    result = RunResult(tmp_path)
    assert result.samples.tolist() == [0, 1, 2]
    assert result.summary()["n_samples"] == 3


@pytest.mark.parametrize("place", ["results/layers/{}/input_j", "trace/{}/step"])
def test_batch_that_was_cut_off_while_writing_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Ctrl-C while some columns have their rows and others have not."""
    whole = run(scenario_with(samples=2), tmp_path / "whole", trace=True)
    monkeypatch.setattr(run_module, "LANES", 2)
    resize, last = h5py.Dataset.resize, place.format([*whole.layer_columns][-1])

    def interrupted(data: h5py.Dataset, *args: object, **options: object) -> None:
        if data.name == f"/{last}":
            raise KeyboardInterrupt
        resize(data, *args, **options)

    monkeypatch.setattr(h5py.Dataset, "resize", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(scenario_with(samples=4), tmp_path / "cut", trace=True)
    cut = RunResult(tmp_path / "cut")
    assert cut.samples.tolist() == [0, 1]
    np.testing.assert_array_equal(cut.scores, whole.scores)
    for name in whole.layer_columns:
        np.testing.assert_array_equal(
            cut.layer_columns[name]["supply_j"], whole.layer_columns[name]["supply_j"]
        )
        np.testing.assert_array_equal(cut.trace(name).supply_j, whole.trace(name).supply_j)


def test_full_disk_is_told_and_the_batches_before_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "LANES", 1)
    append, batches = ResultWriter.append, []

    def kept(self: ResultWriter, *new: Any) -> None:
        batches.extend(new)
        append(self, *new)

    with monkeypatch.context() as patch:
        patch.setattr(ResultWriter, "append", kept)
        whole = run(scenario_with(samples=6), tmp_path / "whole", trace=True)
    finished = []
    for room in range(20_000, 1_000_000, 15_000):
        folder = tmp_path / str(room)
        finished.append(0)
        with (
            file_size_limit(room),
            suppress(ResultError),
            closing(ResultWriter(folder, whole.provenance)) as writer,
        ):
            for batch in batches:
                writer.append(batch)
                finished[-1] += 1
        if finished[-1]:
            result, truth = RunResult(folder), whole.head(finished[-1])
            np.testing.assert_array_equal(result.scores, truth.scores)
            for name in result.layer_columns:
                np.testing.assert_array_equal(result.trace(name).supply_j, truth.trace(name).supply_j)
        if finished[-1] == len(batches):
            break
    assert finished == sorted(finished)
    assert (finished[0], finished[-1]) == (0, len(batches))
    assert any(0 < n < len(batches) for n in finished), "in the middle of a run too"


def test_full_disk_at_the_start_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    with (
        file_size_limit(1000),
        pytest.raises(ResultError, match=r"cannot write .*result\.h5: .*File too large"),
    ):
        ResultWriter(tmp_path, {"layers": {}})
    assert list(tmp_path.iterdir()) == []


def test_full_disk_at_the_end_is_told_and_the_run_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *args: object, **options: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(ResultError, match=r"cannot write into .*No space left.*result\.h5 is whole"):
        run(scenario_with(), tmp_path)
    assert len(RunResult(tmp_path).samples) == 4


def damage_bytes(path: Path) -> None:
    path.write_bytes(b"not hdf5" * 100)


def damage_cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1500])


def damage_scores(path: Path) -> None:
    with h5py.File(path, "a") as file:
        del file["results/scores"]


def damage_json(path: Path) -> None:
    with h5py.File(path, "a") as file:
        del file["provenance/json"]
        file["provenance/json"] = "{"


def make_newer(path: Path) -> None:
    with h5py.File(path, "a") as file:
        file.attrs["schema"] = 99


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_bytes, "result.h5: damaged or unfinished run"),
        (damage_cut, "result.h5: damaged or unfinished run"),
        (damage_scores, "result.h5: damaged or unfinished run: .*scores"),
        (damage_json, "result.h5: damaged or unfinished run"),
        (make_newer, "result.h5: schema 99 is newer than this program's 1"),
    ],
)
def test_damaged_run_is_refused(tmp_path: Path, damage: Callable[[Path], None], message: str) -> None:
    run(scenario_with(samples=1), tmp_path)
    damage(tmp_path / "result.h5")
    with pytest.raises(ResultError, match=message):
        RunResult(tmp_path)


def test_missing_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match=r"no run in .*: .*result.h5 does not exist"):
        RunResult(tmp_path)


def test_run_without_a_finished_batch_is_unfinished(tmp_path: Path) -> None:
    """An earlier result, and what was made of it, stays until a first batch is finished."""
    ResultWriter(tmp_path, {"layers": {}}).close()
    assert list(tmp_path.iterdir()) == []
    for name in ("result.h5", "summary.json"):
        (tmp_path / name).write_text("earlier")
    ResultWriter(tmp_path, {"layers": {}}).close()
    assert (tmp_path / "result.h5").read_text() == (tmp_path / "summary.json").read_text() == "earlier"
    (tmp_path / "result.h5").unlink()
    with pytest.raises(ResultError, match="no run in"):
        RunResult(tmp_path)


def test_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultError, match=r"cannot write .*file/result.h5"):
        run(scenario_with(), tmp_path / "file")


def remembering(opened: list[fakes.FakeBank]) -> Callable[[Any], fakes.FakeBank]:
    def open_bank(request: Any) -> fakes.FakeBank:
        opened.append(fakes.FakeBank(request.spec, request.params))
        return opened[-1]

    return open_bank

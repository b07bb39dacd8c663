"""`simcore report`: the difference of two runs, damaged and newer files, the other runs of a list."""

import json
import re
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from simcore.cli import app
from simcore.errors import ResultError
from simcore.report.difference import settings_that_differ, write_difference
from simcore.report.stored_waves import read_raw, stored_waves
from simcore.report.subject import subject_of
from simcore.report.worst_units import worst_units
from simcore.result import RunResult
from tests.simcore.synthetic_runs import make_comparison, make_run


def report(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


def spoiled(directory: Path, spoil: object) -> Path:
    make_run(directory, "ideal")
    with h5py.File(directory / "result.h5", "r+") as file:
        spoil(file)  # type: ignore[operator]
    return directory


def _newer(file: h5py.File) -> None:
    file.attrs["schema"] = 99


def _no_schema(file: h5py.File) -> None:
    del file.attrs["schema"]


def _no_samples(file: h5py.File) -> None:
    del file["results/sample"]


def _no_layer(file: h5py.File) -> None:
    del file["results/layers/hidden"]


def _no_column(file: h5py.File) -> None:
    del file["results/layers/hidden/supply_j"]


def _short(file: h5py.File) -> None:
    file["results/layers/hidden/supply_j"].resize(2, axis=0)


def _no_json(file: h5py.File) -> None:
    del file["provenance/json"]
    file["provenance/json"] = "{"


def _other_json(file: h5py.File) -> None:
    found = json.loads(file["provenance/json"][()])
    del file["provenance/json"], found["wall_s"]
    file["provenance/json"] = json.dumps(found)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_newer, r"result\.h5: schema 99 is newer than this program's 1 \(known: 1 to 1\)"),
        (_no_schema, r"no attribute 'schema'; the file has: provenance, results, timeline, trace"),
        (
            _no_samples,
            r"/results has no 'sample'; expected: sample, label, .*; it has: duration_s, label, layers",
        ),
        (_no_layer, r"/results/layers has no 'hidden'; expected: input, .*; it has: input, output, tile"),
        (_no_column, r"/results/layers/hidden has no 'supply_j'; expected: supply_j, .*; it has: actions, "),
        (_short, r"/results/layers/hidden/supply_j has 2 rows, expected 4"),
        (_no_json, r"/provenance/json: Expecting property name"),
        (_other_json, r"/provenance/json has no 'wall_s'; expected: .*; it has: .*backend"),
    ],
)
def test_damaged_and_newer_files_are_named_with_place_and_known_names(
    spoil: object, message: str, tmp_path: Path
) -> None:
    directory = spoiled(tmp_path, spoil)
    (directory / "report.html").write_text("earlier")
    with pytest.raises(ResultError, match=message):
        RunResult(directory)
    assert report(directory).exit_code != 0
    assert (directory / "report.html").read_text() == "earlier"


def test_file_cut_short_is_a_result_error(tmp_path: Path) -> None:
    make_run(tmp_path, "ideal")
    path = tmp_path / "result.h5"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ResultError, match=r"result\.h5: damaged or unfinished run"):
        RunResult(tmp_path)


def test_damaged_trace_is_a_result_error_and_leaves_the_report(tmp_path: Path) -> None:
    def spoil(file: h5py.File) -> None:
        del file["trace/hidden/latency_s"]

    directory = spoiled(tmp_path, spoil)
    (directory / "report.html").write_text("earlier")
    assert isinstance(report(directory).exception, ResultError)
    assert (directory / "report.html").read_text() == "earlier"


def test_damaged_comparison_is_named_with_what_it_lacks(tmp_path: Path) -> None:
    make_comparison(tmp_path).save(tmp_path)
    assert report(tmp_path).exit_code == 0
    page = (tmp_path / "report.html").read_bytes()
    (tmp_path / "comparison.json").write_text('{"reference": "spice"}')
    done = report(tmp_path)
    message = r"comparison\.json: damaged comparison: no candidate, .*; it has: reference"
    assert re.search(message, str(done.exception))
    assert (tmp_path / "report.html").read_bytes() == page


def test_other_runs_of_the_list_are_reported(tmp_path: Path) -> None:
    make_run(tmp_path / "good", "ideal")
    spoiled(tmp_path / "bad", _newer)
    done = report(tmp_path / "bad", tmp_path / "missing", tmp_path / "good")
    assert isinstance(done.exception, ResultError)
    assert (tmp_path / "good" / "report.html").exists()
    assert not (tmp_path / "bad" / "report.html").exists()


def test_two_runs_show_their_difference(tmp_path: Path) -> None:
    make_run(tmp_path / "one", "ideal")
    make_run(tmp_path / "two", "surrogate", error=0.05)
    done = report(tmp_path / "one", tmp_path / "two")
    assert done.exit_code == 0, done.output
    page = (tmp_path / "two" / "difference.html").read_text(encoding="utf-8")
    for heading in (
        "Settings that differ",
        "Where the energy changes",
        "Energy per layer",
        "Latency per layer",
    ):
        assert f"<h2>{heading}</h2>" in page
    assert "settings that differ" in done.output
    assert "layer by layer" in done.output


def test_settings_are_compared_key_by_key(tmp_path: Path) -> None:
    a, b = make_run(tmp_path / "a", "ideal"), make_run(tmp_path / "b", "ideal")
    assert settings_that_differ(a, b) == []
    b.provenance["settings"] = {"name": "digits_fake", "circuits": {"lif": {"params": {"V_leak": 0.5}}}}
    b.provenance["versions"]["numpy"] = "3.0"
    assert settings_that_differ(a, b) == [
        ("merge_idle", "true", "—"),
        ("versions.numpy", "2.0", "3.0"),
        ("circuits.lif.params.V_leak", "—", "0.5"),
    ]


def test_runs_of_different_layers_can_be_set_apart(tmp_path: Path) -> None:
    a, b = make_run(tmp_path / "a", "ideal"), make_run(tmp_path / "b", "ideal", n_samples=2)
    del b.layer_columns["tile"], b.provenance["layers"]["tile"]
    text = write_difference(a, b, tmp_path / "out").read_text(encoding="utf-8")
    assert text.count("tile") > 2


def test_out_is_refused_where_there_is_no_difference(tmp_path: Path) -> None:
    make_run(tmp_path / "one", "ideal")
    done = report(tmp_path / "one", "--out", tmp_path / "x")
    assert "--out belongs to the difference of two runs" in str(done.exception)


def test_worst_units_come_worst_first(tmp_path: Path) -> None:
    comparison = make_comparison(tmp_path)
    kinds = subject_of(comparison).judged
    found = worst_units(comparison, kinds)
    assert [one.error_pct for one in found] == sorted((one.error_pct for one in found), reverse=True)
    ours, theirs = found[0].rows
    assert np.all(np.diff(ours.step) >= 0)
    assert set(ours.unit.tolist()) | set(theirs.unit.tolist()) == {found[0].unit}
    everything = worst_units(comparison, kinds, most=10_000)
    assert [(one.sample, one.unit) for one in found] == [(one.sample, one.unit) for one in everything[:3]]


def test_stored_waveforms_are_read_and_drawn(tmp_path: Path) -> None:
    from spice_ref.waveforms import write_raw

    result = make_run(tmp_path, "ideal")
    (tmp_path / "waves").mkdir()
    time_s = np.linspace(0, 150e-9, 4000)
    vectors = {"time": time_s, "out": np.sin(time_s * 1e9), "v_mem": np.cos(time_s * 1e9)}
    write_raw(tmp_path / "waves" / "hidden-3-sample-7.raw", "hidden 3", vectors)
    (wave,) = stored_waves(result)
    assert (wave.layer, wave.unit, wave.sample) == ("hidden", 3, 7)
    np.testing.assert_array_equal(wave.vectors["v(out)"], vectors["out"])
    assert report(tmp_path).exit_code == 0
    assert "Waveforms of chosen units" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_damaged_waveform_is_a_result_error(tmp_path: Path) -> None:
    (tmp_path / "x.raw").write_bytes(b"Title: x\n")
    with pytest.raises(ResultError, match=r"x\.raw: damaged waveform: expected a binary SPICE3 raw file"):
        read_raw(tmp_path / "x.raw")
    shutil.rmtree(tmp_path)
    with pytest.raises(ResultError, match="damaged waveform"):
        read_raw(tmp_path / "x.raw")

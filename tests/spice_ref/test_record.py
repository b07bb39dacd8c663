"""Recordings: resumable, and the same rows for any number of workers."""

from pathlib import Path

import numpy as np
import pytest

from simcore.errors import DatasetError
from simcore.manifest import load_circuit
from simcore.recording import read_recording
from simcore.spec import CircuitSpec
from spice_ref.check import check_circuit
from spice_ref.record import record
from spice_ref.stimuli import KINDS
from tests.spice_ref.conftest import RC

pytestmark = pytest.mark.spice


def test_recording_is_the_same_for_any_workers_and_interruption(rc: CircuitSpec, tmp_path: Path) -> None:
    shares: list[float] = []
    record(rc, tmp_path / "a.h5", runs=6, steps=12, workers=2, cache="off")
    record(rc, tmp_path / "b.h5", runs=2, steps=12, workers=1, cache="off")
    record(rc, tmp_path / "b.h5", runs=6, steps=12, workers=1, cache="off", progress=shares.append)
    assert shares == pytest.approx([2 / 6, 3 / 6, 4 / 6, 5 / 6, 1.0])
    _, a, runs_a = read_recording(tmp_path / "a.h5")
    _, b, runs_b = read_recording(tmp_path / "b.h5")
    assert len(a) == 72
    for name in a.__slots__:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    np.testing.assert_array_equal(runs_a.params, runs_b.params)
    np.testing.assert_array_equal(runs_a.kind, [*KINDS, *KINDS][:6])


def test_recording_of_another_circuit_is_refused(rc: CircuitSpec, tmp_path: Path) -> None:
    record(rc, tmp_path / "a.h5", runs=1, steps=5, workers=1)
    with pytest.raises(DatasetError, match="another circuit"):
        record(load_circuit("lif_neuron"), tmp_path / "a.h5", runs=1, steps=5, workers=1)


def test_check_of_a_sound_circuit_finds_no_problem(rc: CircuitSpec) -> None:
    report = check_circuit(rc, runs=1, steps=20, workers=2)
    assert report.problems == ()
    assert [row[:2] for row in report.sources.rows] == [("vdd", "supply"), ("in", "input")]
    assert report.reset.rows[0][0] == "v_c"


@pytest.mark.parametrize(
    ("sources", "message"),
    [("", r"element 'vdd' has no class in \[sources\] and delivers .* J"),
     ('vdd = "load"', "element 'vdd' is classed 'load' but delivers .* J")],
)  # fmt: skip
def test_check_names_an_element_that_delivers_unpaid(tmp_path: Path, sources: str, message: str) -> None:
    for name in ("rc.cir", "circuit.toml"):
        text = (RC / name).read_text().replace('vdd = "supply"', sources)
        (tmp_path / name).write_text(text)
    report = check_circuit(load_circuit(str(tmp_path)), runs=1, steps=20, workers=1)
    with pytest.raises(AssertionError, match=message):
        assert not report.problems, report.problems[0]


def test_check_reports_rail_excursions(tmp_path: Path) -> None:
    for name in ("rc.cir", "circuit.toml"):
        text = (RC / name).read_text().replace("Vdd  vdd  0    1", "Vdd  vdd  0  0.5")
        (tmp_path / name).write_text(text)
    report = check_circuit(load_circuit(str(tmp_path)), runs=1, steps=20, workers=1)
    assert any("rail excursions" in problem for problem in report.problems)

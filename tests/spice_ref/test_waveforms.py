"""Waveform files, read back by other programs: spicelib for raw, pyvcd's reader for VCD."""

import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from spicelib import RawRead
from vcd.reader import TokenKind, tokenize

from simcore.bank import Floats
from simcore.errors import ResultError, UserError
from spice_ref.waveforms import write_raw, write_vcd

PS = 1e-12
Changes = dict[str, list[tuple[int, float]]]


@pytest.fixture
def vectors() -> dict[str, Floats]:
    """A transient as the solver returns it: time last, uneven steps, one vector of each kind."""
    rng = np.random.default_rng(5)
    time_s = np.concatenate([[0.0], np.cumsum(rng.uniform(0.2, 30.0, 400))]) * PS
    return {
        "@r.x0.r1[i]": rng.normal(size=401) * 1e-9,
        "v.x0.vdd#branch": -1e-6 * np.cos(time_s / 700e-12),
        "x0.v_mem": np.sin(time_s / 300e-12) / 3,
        "1": np.full(401, 0.8),
        "time": time_s,
    }


def read_vcd(path: Path) -> tuple[dict[str, str], Changes, list[int]]:
    """Return the kind and the changes (ps, value) of each variable `scope.name`, and all timestamps."""
    kinds: dict[str, str] = {}
    names: dict[str, str] = {}
    changes: Changes = defaultdict(list)
    times: list[int] = []
    scopes: list[str] = []
    with path.open("rb") as file:
        for token in tokenize(file):
            if token.kind is TokenKind.TIMESCALE:
                assert str(token.timescale) == "1 ps"
            elif token.kind is TokenKind.SCOPE:
                scopes.append(token.scope.ident)
            elif token.kind is TokenKind.UPSCOPE:
                scopes.pop()
            elif token.kind is TokenKind.VAR:
                name = ".".join([*scopes, token.var.reference])
                kinds[name] = f"{token.var.type_} {token.var.size}"
                names[token.var.id_code] = name
            elif token.kind is TokenKind.CHANGE_TIME:
                times.append(token.time_change)
            elif token.kind is TokenKind.CHANGE_REAL:
                changes[names[token.real_change.id_code]].append((times[-1], token.real_change.value))
            elif token.kind is TokenKind.CHANGE_SCALAR:
                change = token.scalar_change
                changes[names[change.id_code]].append((times[-1], int(change.value)))
    return kinds, changes, times


def test_raw_file_opens_in_spicelib(vectors: dict[str, Floats], tmp_path: Path) -> None:
    write_raw(tmp_path / "a.raw", "lif_neuron,\nrow 3", vectors)
    raw = RawRead(tmp_path / "a.raw", dialect="ngspice", verbose=False)
    labels = {
        "time": "time",
        "i(@r.x0.r1[i])": "@r.x0.r1[i]",
        "i(v.x0.vdd)": "v.x0.vdd#branch",
        "v(x0.v_mem)": "x0.v_mem",
        "v(1)": "1",
    }
    assert raw.get_trace_names() == list(labels)
    assert (raw.nPoints, raw.nVariables) == (401, 5)
    assert (raw.get_plot_name(), raw.get_raw_property("Title")) == (
        "Transient Analysis",
        "lif_neuron, row 3",
    )
    kinds = [raw.get_trace(label).whattype for label in labels]
    assert kinds == ["time", "current", "current", "voltage", "voltage"]
    for label, name in labels.items():
        np.testing.assert_allclose(raw.get_wave(label), vectors[name], rtol=1e-12, atol=0)


def test_raw_header_is_that_of_ngspice_and_points_are_little_endian(tmp_path: Path) -> None:
    write_raw(tmp_path / "a.raw", "rc", {"out": np.array([0.5, 1.0]), "time": np.array([0.0, 1e-9])})
    header, points = (tmp_path / "a.raw").read_bytes().split(b"Binary:\n")
    assert header.decode() == (
        "Title: rc\nPlotname: Transient Analysis\nFlags: real\nNo. Variables: 2\nNo. Points: 2\n"
        "Variables:\n\t0\ttime\ttime\n\t1\tv(out)\tvoltage\n"
    )
    assert points == np.array([0.0, 0.5, 1e-9, 1.0], "<f8").tobytes()


def test_vcd_reals_stay_within_a_millionth_of_the_span(vectors: dict[str, Floats], tmp_path: Path) -> None:
    write_vcd(tmp_path / "a.vcd", "lif.neuron", vectors, {}, date="today")
    kinds, changes, times = read_vcd(tmp_path / "a.vcd")
    labels = {"_r_x0_r1_i_": "@r.x0.r1[i]", "v_x0_vdd_branch": "v.x0.vdd#branch", "x0_v_mem": "x0.v_mem"}
    labels["_1"] = "1"
    assert kinds == {f"lif_neuron.{label}": "real 64" for label in labels}
    assert times == sorted(set(times))
    ticks = [round(float(t) / PS) for t in vectors["time"]]
    assert (times[0], times[-1]) == (0, ticks[-1])
    last_of_ps = {tick: i for i, tick in enumerate(ticks)}
    assert len(last_of_ps) < len(ticks)
    for label, name in labels.items():
        at, values = zip(*changes[f"lif_neuron.{label}"], strict=True)
        held = np.array(values)[np.searchsorted(at, list(last_of_ps), side="right") - 1]
        expected = vectors[name][list(last_of_ps.values())]
        np.testing.assert_allclose(held, expected, rtol=1e-15, atol=1e-6 * np.ptp(vectors[name]))


def test_vcd_leaves_out_changes_below_a_millionth_of_the_span(tmp_path: Path) -> None:
    vector = np.array([0.0, 2.0, 2.0 + 1.5e-6, 2.0 + 3e-6, 2.0 + 3e-6, 0.0])
    write_vcd(tmp_path / "a.vcd", "top", {"time": np.linspace(0.0, 50e-12, 6), "out": vector}, {})
    _, changes, _ = read_vcd(tmp_path / "a.vcd")
    assert changes == {"top.out": [(0, 0.0), (10, 2.0), (30, 2.0 + 3e-6), (50, 0.0)]}


def test_vcd_keeps_the_last_of_several_points_within_a_picosecond(tmp_path: Path) -> None:
    time_s = np.array([5.0, 15.1, 15.2, 15.3, 25.0]) * PS
    vectors = {"time": time_s, "out": np.array([0.0, 1.0, 0.0, 3.0, 3.0])}
    write_vcd(tmp_path / "a.vcd", "top", vectors, {"out": 0.5})
    _, changes, times = read_vcd(tmp_path / "a.vcd")
    assert changes == {"top.out": [(5, 0.0), (15, 3.0)], "top.out_d": [(5, 0), (10, 1)]}
    assert times == [5, 10, 15, 25]


def test_vcd_wire_edges_lie_at_the_interpolated_crossing(tmp_path: Path) -> None:
    """Up from 0 V to 1 V between 100 and 200 ps, crossing 0.3 V at 130; down in 40 ps from 300, at 328."""
    time_s = np.array([0.0, 100.0, 200.0, 300.0, 340.0, 400.0]) * PS
    vectors = {"time": time_s, "x0.out": np.array([0.0, 0.0, 1.0, 1.0, 0.0, 0.3])}
    write_vcd(tmp_path / "a.vcd", "top", vectors, {"x0.out": 0.3})
    kinds, changes, _ = read_vcd(tmp_path / "a.vcd")
    assert kinds == {"top.x0_out": "real 64", "top.x0_out_d": "wire 1"}
    assert changes["top.x0_out_d"] == [(0, 0), (130, 1), (328, 0), (400, 1)]


def test_vcd_wire_of_a_sine_has_the_edges_of_the_closed_form(tmp_path: Path) -> None:
    """Chords of a 10 ns sine, 20 ps long, miss its crossings of 0.5 by less than 0.02 ps."""
    time_s = np.arange(0.0, 20e-9, 20e-12)
    vectors = {"time": time_s, "out": np.sin(2 * np.pi * time_s / 10e-9)}
    write_vcd(tmp_path / "a.vcd", "top", vectors, {"out": 0.5})
    _, changes, _ = read_vcd(tmp_path / "a.vcd")
    edges = [(833, 1), (4167, 0), (10833, 1), (14167, 0)]
    assert changes["top.out_d"] == [(0, 0), *edges]


@pytest.mark.parametrize(
    "write",
    [
        lambda path, vectors: write_raw(path, "", vectors),
        lambda path, vectors: write_vcd(path, "top", vectors, {}),
    ],
    ids=["raw", "vcd"],
)
@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ({"out": 3}, "a.file: no vector 'time', only out"),
        ({}, "a.file: no vector 'time', only none"),
        ({"time": 4, "in": 4, "out": 3}, "'time' has 4 points, 'out' has 3$"),
        ({"time": 0, "out": 0}, "'time' has 0 points, needs one"),
    ],
)
def test_vectors_that_are_no_transient_are_refused(
    write: Callable[[Path, dict[str, Floats]], None], lengths: dict[str, int], message: str, tmp_path: Path
) -> None:
    vectors = {name: np.linspace(0.0, 1e-9, n) for name, n in lengths.items()}
    with pytest.raises(ResultError, match=message):
        write(tmp_path / "a.file", vectors)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("names", "times_ps", "digital", "message"),
    [
        (("out",), (0, 2, 1), {}, "time must ascend from 0 s on, but point 2 is at 1e-12 s"),
        (("out",), (-1, 0, 1), {}, "time must ascend from 0 s on, but point 0 is at -1e-12 s"),
        (("in", "out"), (0, 1, 2), {"spike": 0.5}, "no vector spike for a wire; known: in, out"),
        (("out",), (0, 1, 2), {"time": 0.5}, "no vector time for a wire; known: out"),
        (("x0.a", "x0_a"), (0, 1, 2), {}, "several vectors would be called x0_a in a VCD"),
        (("a", "a_d"), (0, 1, 2), {"a": 0.5}, "several vectors would be called a_d in a VCD"),
    ],
)
def test_what_no_vcd_can_hold_is_refused(
    names: tuple[str, ...],
    times_ps: tuple[int, ...],
    digital: dict[str, float],
    message: str,
    tmp_path: Path,
) -> None:
    vectors = {"time": np.array(times_ps) * PS, **{name: np.zeros(3) for name in names}}
    with pytest.raises(ResultError, match=message):
        write_vcd(tmp_path / "a.vcd", "top", vectors, digital)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_leaves_the_earlier_one(
    vectors: dict[str, Floats], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:99])
        raise OSError("disk full")

    path = tmp_path / "a.raw"
    path.write_text("earlier")
    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(ResultError, match=r"cannot write .*a\.raw: disk full"):
        write_raw(path, "", vectors)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.raw", "earlier")]
    with pytest.raises(ResultError, match=r"cannot write .*No such file"):
        write_vcd(tmp_path / "none" / "a.vcd", "top", vectors, {})


def test_missing_pyvcd_is_told_with_its_remedy(
    vectors: dict[str, Floats], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vcd", None)
    with pytest.raises(UserError, match=r"pip install 'simcore-ams\[waves\]'"):
        write_vcd(tmp_path / "a.vcd", "top", vectors, {})

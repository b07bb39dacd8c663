"""Circuit folders: what a manifest must hold, and what the hash covers."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from simcore.errors import CircuitError, RegistryError
from simcore.manifest import circuit_folder, load_circuit, named_circuit
from simcore.spec import CircuitSpec, PortKind
from tests import divider
from tests.simcore.fakes import CIRCUITS, follower, leaky


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of `leaky`."""
    return Path(shutil.copytree(CIRCUITS / "leaky", tmp_path / "leaky"))


def edited(folder: Path, old: str, new: str) -> CircuitSpec:
    """Load the circuit after a replacement in its manifest."""
    manifest = folder / "circuit.toml"
    text = manifest.read_text()
    assert old in text
    manifest.write_text(text.replace(old, new))
    return load_circuit(str(folder))


def test_columns_in_port_order_with_their_ranges() -> None:
    spec = follower()
    assert spec.columns(PortKind.INPUT) == ("in0", "in1")
    assert spec.columns(PortKind.PARAM) == ("k0", "k1")
    assert [spec.width(kind) for kind in PortKind] == [2, 2, 0, 1]
    assert spec.low(PortKind.PARAM).tolist() == [-1, -1]
    assert spec.high(PortKind.INPUT).tolist() == [1, 1]
    assert spec.default_params.tolist() == [1, 1]
    assert spec.reset_inputs.tolist() == [0, 0]
    assert spec.holds_level.tolist() == [True, True]
    assert leaky().holds_level.tolist() == [False]


def test_size_is_overridden() -> None:
    spec = load_circuit("follower", sizes={"rows": 5})
    assert spec.width(PortKind.INPUT) == 5
    assert spec.sizes == {"rows": 5}
    assert spec.hash != follower().hash


def test_registered_name_and_path_are_the_same_circuit() -> None:
    assert load_circuit("leaky") == leaky()


def test_registered_name_wins_over_a_folder_of_the_working_directory(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    assert load_circuit("leaky").folder == str(CIRCUITS / "leaky")
    assert load_circuit("./leaky").folder == str(folder)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("circuit.toml", "period_ps = 1000", "period_ps = 1001"),
        ("circuit.toml", "default = 1.0", "default = 0.5"),
        ("leaky.cir", "* leaky", "R1 a b 1k"),
        ("card.lib", "* card", ".model nmos nmos"),
    ],
)
def test_hash_covers_manifest_netlist_and_cards(folder: Path, file: str, old: str, new: str) -> None:
    before = load_circuit(str(folder)).hash
    assert before == leaky().hash
    path = folder / file
    path.write_text(path.read_text().replace(old, new))
    assert load_circuit(str(folder)).hash != before


@pytest.mark.parametrize("file", ["circuit.toml", "leaky.cir", "card.lib"])
def test_hash_ignores_comments(folder: Path, file: str) -> None:
    path = folder / file
    path.write_text(path.read_text() + ("# more\n" if file == "circuit.toml" else "\n  * more\n"))
    assert load_circuit(str(folder)).hash == leaky().hash


def test_hash_ignores_how_finely_the_circuit_is_solved(folder: Path) -> None:
    gold = "[solver.gold]\ntmax_ps = 10\ntstep_ps = 1\n[solver.std]\ntmax_ps = 50"
    spec = edited(folder, "[solver.std]\ntmax_ps = 100", gold)
    assert spec.solver["std"].tmax_ps == 50
    assert spec.hash == leaky().hash


CARD = ".model n nmos"


@pytest.mark.parametrize(
    "line",
    [
        '.include "lib/card.lib"', ".include 'lib/card.lib'", ".include lib/card.lib", ".INC lib/card.lib",
        "  .include  lib/card.lib ; the card", ".include {absolute}/lib/card.lib", '.inc "a lib/card.lib"',
        ".include lib/nested.lib", ".lib lib/corners.lib ff", ".LIB 'lib/corners.lib' FF $ fast",
        ".lib lib/corners.lib by_itself",
    ],
)  # fmt: skip
def test_included_files_are_part_of_the_circuit(folder: Path, line: str) -> None:
    for name in ("lib", "a lib", "lib/deep"):
        (folder / name).mkdir()
    files = {
        "lib/card.lib": CARD,
        "a lib/card.lib": CARD,
        "lib/nested.lib": ".include deep/nested.lib",
        "lib/deep/nested.lib": ".include ../card.lib",
        "lib/corners.lib": "* corners\n.lib tt $ typical\n.include no.lib\n.endl tt\n"
        f".lib ff\n{CARD}\n.ENDL\n.lib by_itself\n.lib corners.lib ff\n.endl\n",
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    netlist = folder / "leaky.cir"
    netlist.write_text(f"* leaky\nR1 a b 1\n{line.format(absolute=folder)}\nR2 a b 2\n")
    spec = load_circuit(str(folder))
    assert spec.netlist.splitlines() == ["* leaky", "R1 a b 1", CARD, "R2 a b 2"]
    for name in ("lib/card.lib", "a lib/card.lib", "lib/corners.lib"):
        (folder / name).write_text((folder / name).read_text().replace("nmos", "pmos"))
    assert load_circuit(str(folder)).hash != spec.hash
    netlist.write_text(spec.netlist)
    assert load_circuit(str(folder)).hash == spec.hash, "the same text, written out"


def test_device_models_may_include_too(folder: Path) -> None:
    (folder / "card.lib").write_text(".lib corners.lib tt\n.model p pmos")
    (folder / "corners.lib").write_text(f".lib tt\n{CARD}\n.endl tt\n")
    assert load_circuit(str(folder)).device_models == f"{CARD}\n.model p pmos"


def test_lines_that_include_nothing_stay(folder: Path) -> None:
    text = "* leaky\n*.include no.lib\n.lib tt\n.endl tt\n.ic v(a)=0\n"
    (folder / "leaky.cir").write_text(text)
    assert load_circuit(str(folder)).netlist == text


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"leaky.cir": "* leaky\n.include no.lib"},
            r"leaky.cir, line 2: .include no.lib: cannot read the include .*/leaky/no.lib: .*No such file",
        ),
        (
            {"leaky.cir": ".include a.lib", "a.lib": "\n\n.lib no.lib tt"},
            r"leaky.cir, line 1: .*/a.lib, line 3: .lib no.lib tt: cannot read the include .*/leaky/no.lib",
        ),
        (
            {"leaky.cir": ".lib a.lib sf", "a.lib": ".lib tt\n.endl\n.lib ff\n.endl"},
            r"leaky.cir, line 1: .lib a.lib sf: .*/a.lib: no section 'sf'; it has: tt, ff",
        ),
        ({"leaky.cir": ".lib a.lib sf", "a.lib": ""}, "no section 'sf'; it has: none"),
        (
            {"leaky.cir": ".include a.lib", "a.lib": ".include leaky.cir"},
            r"/a.lib, line 1: .include leaky.cir: .*/a.lib: includes itself by way of .*/leaky.cir",
        ),
        ({"leaky.cir": ".include leaky.cir"}, r"leaky.cir: includes itself by way of .*/leaky.cir"),
        (
            {"leaky.cir": ".lib a.lib tt", "a.lib": ".lib tt\n.lib a.lib TT\n.endl"},
            r"/a.lib, line 2: .lib a.lib TT: .*/a.lib: includes itself by way of .*/a.lib",
        ),
        (
            {"leaky.cir": ".include my a.lib", "my a.lib": ""},
            r"leaky.cir, line 1: got .include my a.lib, expected .include FILE, quoted if it has spaces",
        ),
    ],
)
def test_wrong_include_is_refused(folder: Path, files: dict[str, str], message: str) -> None:
    for name, text in files.items():
        (folder / name).write_text(text)
    with pytest.raises(CircuitError, match=message):
        load_circuit(str(folder))


def test_other_device_models_make_another_circuit(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other.pm").write_text(".model other nmos")
    spec = load_circuit(str(folder), device_models="other.pm", base=tmp_path)
    assert spec.device_models == ".model other nmos"
    assert spec.hash != load_circuit(str(folder)).hash


PORT = 'name = "gain"\nkind = "param"\nlow = 0.0\nhigh = 2.0\ndefault = 1.0'
MISTAKES = [
    ("period_ps = 1000", "period_ps = 0", "period_ps: Input should be greater than 0, got 0"),
    ("period_ps = 1000", "period_ps = 1.5", "period_ps: Input should be a valid integer, got 1.5"),
    ("period_ps = 1000", "", "period_ps: Field required"),
    ("tail_periods = 2", "tail_periods = -1", "tail_periods: .*greater than or equal to 0, got -1"),
    ("max_idle_periods = 8", "max_idle_periods = 0", "max_idle_periods: .*greater than or equal to 1, got 0"),
    ("tail_periods", "tail_peroids", "tail_periods: Field required.*tail_peroids: Extra inputs"),
    ('vdd = "supply"', 'vdd = "power"', "sources.vdd: Input should be 'supply', 'bias', 'input' or 'load'"),
    ("tmax_ps = 100", "tmax_ps = 0", "solver.std.tmax_ps: Input should be greater than 0"),
    ('kind = "param"', 'kind = "knob"', "ports.1.kind: Input should be .*'param'.*got 'knob'"),
    ('stimulus = "pulse"', 'stimulus = "sine"', "ports.0.stimulus: .*'pulse' or 'level', got 'sine'"),
    ("width_ps = 100\n", "", "input port 'w' needs width_ps"),
    ("rise_ps = 10\n", "", "input port 'w' needs rise_ps"),
    ('stimulus = "pulse"\n', "", "input port 'w' needs stimulus"),
    ("reset = 0.0", "", "input port 'w' needs reset"),
    ("default = 1.0", "", "param port 'gain' needs default"),
    ("default = 1.0", "default = 3.0", "port 'gain': default 3 is outside 0 to 2"),
    ("reset = 0.0", "reset = -5.0", "port 'w': reset -5 is outside -4 to 4"),
    ("low = 0.0\nhigh = 2.0", "low = 2.0\nhigh = 2.0", "port 'gain': low 2 must be below high 2"),
    ("low = 0.0\nhigh = 2.0", "low = nan\nhigh = 2.0", "ports.1.low: Input should be a finite number"),
    ("low = 0.0\nhigh = 2.0", "low = 0.0\nhigh = inf", "ports.1.high: Input should be a finite number"),
    (', threshold = 0.5', "", "detector 'crossing' needs threshold"),
    ('kind = "crossing", threshold = 0.5', 'kind = "settled"', "detector 'settled' needs min_swing"),
    ('kind = "crossing"', 'kind = "peak"', "ports.3.detector.kind: .*'crossing', 'level' or 'settled'"),
    ("detector = ", "# ", "output port 'spike' needs detector"),
    ('name = "gain"', 'name = "w"', "two columns are called 'w'"),
    ('name = "gain"', 'name = "gain[n]"', r"port 'gain\[n\]' has no size 'n' in \[sizes\]"),
    ('name = "gain"', 'name = "gain[6*n/2]"', r"port 'gain\[6\*n/2\]' has no size 'n' in \[sizes\]"),
    ('name = "gain"', 'name = "gain[7/5]"', r"port 'gain\[7/5\]': 7/5 is no whole number"),
    ('name = "gain"', 'name = "gain[2]]"', r"port 'gain\[2\]\]': expected name\[size\] or name\[a\*b/c\]"),
    ('subckt = "leaky"', 'subckt = "leaky"\nsizes = 3', "sizes: got 3, expected a table"),
    ('subckt = "leaky"', 'subckt = "leaky"\nnetlist = 3', "netlist: got 3, expected a file name"),
    ('device_models = "card.lib"', "device_models = 3", "device_models: got 3, expected a file name"),
    ('name = "leaky"', "name = 2020-01-01", None),
    ('name = "leaky"', "name = ", "not valid TOML"),
    ('device_models = "card.lib"', 'device_models = "no.lib"', "cannot read the device models .*no.lib"),
    ("tail_periods = 2", "tail_periods = 2\nlatency_every = 3", "latency_every belongs to kind = 'static'"),
    ("tail_periods = 2", "tail_periods = 2\nkind = 'fixed'", "kind: Input should be 'dynamic' or 'static'"),
    ("reset = 0.0", "reset = 0.0\nvalues = []", r"port 'w': values are those of an input, .*, got \[\]"),
    ("reset = 0.0", "reset = 0.0\nvalues = [0.0, 5.0]", r"values are .* within -4 to 4, got \[0.0, 5.0\]"),
    ("reset = 0.0", "reset = 0.0\nvalues = [1.0]", r"port 'w': reset 0 is not one of its values \[1.0\]"),
    ("reset = 0.0", "reset = 0.0\nvalues = ['on']", "ports.0.values.0: Input should be a valid number"),
    ("reset = 0.0", "reset = 0.0\nvalues = [nan]", "ports.0.values.0: Input should be a finite number"),
    ("default = 1.0", "default = 1.0\nvalues = [1.0]", "port 'gain': values are those of an input"),
]  # fmt: skip
STATIC_MISTAKES = [
    ("tail_periods = 0", "tail_periods = 1", "tail_periods must be 0 in a static circuit, got 1"),
    ("latency_every = 3", "latency_every = -1", "latency_every: .*greater than or equal to 0, got -1"),
    ('stimulus = "level"', 'stimulus = "pulse"\nwidth_ps = 200',
     "port 'in': a static circuit takes levels, got stimulus 'pulse'"),
    ('kind = "param"', 'kind = "state"', "port 'load': a static circuit has no state"),
    ('kind = "settled", min_swing = 0.02', 'kind = "crossing", threshold = 0.5',
     "port 'out': a static circuit needs detector 'settled', got 'crossing'"),
    ('kind = "settled", min_swing = 0.005', 'kind = "level", threshold = 0.5',
     "port 'half': a static circuit needs detector 'settled', got 'level'"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message"), MISTAKES)
def test_wrong_manifest_is_refused(folder: Path, old: str, new: str, message: str | None) -> None:
    if message is None:
        assert edited(folder, old, new).name == "2020-01-01"
        return
    with pytest.raises(CircuitError, match=rf"(circuit.toml: .*)?{message}"):
        edited(folder, old, new)


@pytest.mark.parametrize(("old", "new", "message"), STATIC_MISTAKES)
def test_wrong_manifest_of_a_static_circuit_is_refused(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    with pytest.raises(CircuitError, match=f"circuit.toml: .*{message}"):
        edited(Path(shutil.copytree(divider.FOLDER, tmp_path / "divider")), old, new)


def test_static_circuit_tells_whether_it_has_latencies() -> None:
    spec = divider.divider()
    assert (spec.kind, spec.latency_every, spec.has_latencies) == ("static", 3, True)
    assert not spec.model_copy(update={"latency_every": 0}).has_latencies
    assert (leaky().kind, leaky().has_latencies) == ("dynamic", True)


def test_message_names_the_file(folder: Path) -> None:
    with pytest.raises(CircuitError, match=re.escape(str(folder / "circuit.toml"))):
        edited(folder, "period_ps = 1000", "period_ps = 0")


@pytest.mark.parametrize(
    ("ports", "message"),
    [
        ("ports = 3", "ports: got 3, expected an array of tables"),
        ("ports = [3]", "ports: got 3, expected a table"),
        ('[ports]\nname = "w"', "ports: got .*, expected an array of tables"),
        ("ports = []", "got no input port, expected at least one"),
        ("", "ports: Field required|got no input port"),
    ],
)
def test_ports_of_the_wrong_shape_are_refused(folder: Path, ports: str, message: str) -> None:
    manifest = folder / "circuit.toml"
    head, _, _ = manifest.read_text().partition("[[ports]]")
    text = (
        head.replace("[solver.std]", f"{ports}\n[solver.std]") if ports.startswith("ports") else head + ports
    )
    manifest.write_text(text)
    with pytest.raises(CircuitError, match=message):
        load_circuit(str(folder))


def test_circuit_without_output_is_refused(folder: Path) -> None:
    manifest = folder / "circuit.toml"
    manifest.write_text(manifest.read_text().rpartition("[[ports]]")[0])
    with pytest.raises(CircuitError, match="got no output port, expected at least one"):
        load_circuit(str(folder))


def test_size_below_one_is_refused() -> None:
    with pytest.raises(
        CircuitError, match=r"ports.0.size: Input should be greater than or equal to 1, got 0"
    ):
        load_circuit("follower", sizes={"rows": 0})


def test_unknown_size_is_refused() -> None:
    with pytest.raises(CircuitError, match="no size 'columns'; it has: rows"):
        load_circuit("follower", sizes={"columns": 3})


def test_missing_netlist_is_refused(folder: Path) -> None:
    (folder / "leaky.cir").unlink()
    with pytest.raises(CircuitError, match=r"cannot read the netlist .*leaky.cir"):
        load_circuit(str(folder))


def test_missing_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CircuitError, match="cannot read the manifest"):
        load_circuit(str(tmp_path))


def test_missing_folder_is_refused() -> None:
    with pytest.raises(CircuitError, match=r"circuit folder ./nowhere does not exist"):
        load_circuit("./nowhere")


def test_unknown_circuit_lists_the_known_ones() -> None:
    with pytest.raises(
        RegistryError, match=r"unknown circuit 'leeky', did you mean 'leaky'.*follower, leaky"
    ):
        load_circuit("leeky")


def test_spec_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        leaky().name = "other"


def test_spec_round_trips_as_json() -> None:
    spec = follower()
    assert CircuitSpec.model_validate_json(spec.model_dump_json()) == spec
    np.testing.assert_array_equal(spec.reset_inputs, [0.0, 0.0])


def test_a_command_line_names_sizes_with_the_circuit() -> None:
    assert named_circuit("crossbar_row:rows=16") == load_circuit("crossbar_row", sizes={"rows": 16})
    assert named_circuit("lif_neuron") == load_circuit("lif_neuron")
    with pytest.raises(CircuitError, match="no size 'columns'; it has: rows"):
        named_circuit("crossbar_row:columns=3")
    with pytest.raises(RegistryError, match="crossbar_row:rows=two"):
        named_circuit("crossbar_row:rows=two")


ARRAY_MISTAKES = [
    ('voltage = "v"', 'voltage = "u"', r"array\.voltage: 'u' is no input port of 256 columns"),
    ('feedback = "r_f"', 'feedback = "v"', r"array\.feedback: 'v' is no param port of one column"),
    ('positive = "g_pos"', 'positive = "g_neg"', "array: a port has two roles, expected five ports"),
    ('tiles = "tiles"', 'tiles = "layers"', "array: no size 'layers'; known: tiles, rows, columns, wires"),
    ('kind = "static"\nlatency_every = 100', 'kind = "dynamic"', "array: belongs to kind = 'static'"),
    ('name = "g_neg[tiles*rows*columns/2]"\nkind = "param"\nunit = "S"\nlow = 1e-6',
     'name = "g_neg[tiles*rows*columns/2]"\nkind = "param"\nunit = "S"\nlow = 5e-7',
     "array: 'g_pos' and 'g_neg' differ in low or high"),
    ("sinh_per_v = 4.0", "sinh_per_v = -4.0", "array.sinh_per_v: Input should be greater than or equal to 0"),
]  # fmt: skip


@pytest.mark.parametrize(("good", "bad", "reason"), ARRAY_MISTAKES)
def test_an_array_of_other_ports_is_refused(tmp_path: Path, good: str, bad: str, reason: str) -> None:
    folder = tmp_path / "rram_mac"
    shutil.copytree(circuit_folder("rram_mac"), folder)
    manifest = folder / "circuit.toml"
    text = manifest.read_text()
    assert good in text
    manifest.write_text(text.replace(good, bad))
    with pytest.raises(CircuitError, match=reason):
        load_circuit(str(folder))

"""Bad input at the command line: one message with file, key, what was got and what is expected, and a code.

Exit code 2: the user can mend it; 3: the solver. The `simcore` fixture lets no exception through.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from architectures.datasets import digits
from simcore import RunResult
from simcore.architecture import ImageSet
from simcore.engine import Engine
from simcore.errors import SolverError
from simcore.manifest import circuit_folder, load_circuit
from surrogates.shipped import BEST, find_bundle
from tests.conftest import Outcome

Command = Callable[..., Outcome]
Refused = Callable[..., str]
SCENARIOS = Path(__file__).parent.parent / "scenarios"
CROSSBAR, SPIKING = "digits_crossbar", "digits_spiking"


@pytest.fixture
def refused(simcore: Command, tmp_path: Path) -> Refused:
    """Run a scenario with pieces of its text replaced; return the message."""

    def call(name: str, *pairs: tuple[str, str], code: int = 2, backend: str = "ideal") -> str:
        text = (SCENARIOS / f"{name}.toml").read_text()
        for old, new in pairs:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "own.toml").write_text(text)
        outcome = simcore("run", tmp_path / "own.toml", "--backend", backend, "--out", tmp_path / "run")
        assert outcome.code == code, outcome.err
        assert outcome.out == ""
        assert "Traceback" not in outcome.err
        assert not (tmp_path / "run").exists(), "nothing was begun"
        return outcome.err

    return call


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("samples = 20", "sampels = 20", r"own.toml: sampels: .*, got 20, did you mean 'samples'\? known: "),
        ("split =", "spilt =", r"own.toml: dataset.spilt: .*did you mean 'split'\? known: name, split"),
        ("gain = 30.0", "gian = 30.0", r"architecture.options: gian: .*did you mean 'gain'\?(.|\n)*own.toml"),
        ("samples = 20", 'samples = "many"', r"own.toml: samples: .*valid integer.*, got 'many'"),
        ("samples = 20", "samples = 0", r"own.toml: samples: .*greater than or equal to 1, got 0"),
        ("samples = 20", "samples = 501", r"0 to 501 asked for, but digits/test has 500(.|\n)*own.toml"),
        ("slope = 11.0", "slope = -1.0", r"architecture.options: slope: .*greater than 0, got -1.0"),
        ("seed = 1", "seed = ", r"own.toml: not valid TOML: .*line 3"),
        ('"digits_64_48_10"', '"my.npz"', r"weight file .*/my.npz does not exist(.|\n)*own.toml"),
        ('"digits_64_48_10"', '"digits"', r"no shipped weights 'digits'; known: digits_64_32_10"),
        (
            "[circuits.crossbar_row]", "[circuits.crossbar_rows]",
            r"circuits.crossbar_rows: the network has no such circuit; it has: crossbar_row(.|\n)*own.toml",
        ),
        (
            "[circuits.crossbar_row]", '[circuits.crossbar_row]\npath = "my_row/"',
            r"circuit folder .*/my_row does not exist(.|\n)*own.toml",
        ),
        ('name = "digits" ', 'name = "digit" ', r"unknown data set 'digit', did you mean 'digits'\?"),
        ('"crossbar_mlp"', '"crossbar_mpl"', r"architecture 'crossbar_mpl', did you mean 'crossbar_mlp'\?"),
    ],
)  # fmt: skip
def test_mistakes_in_a_scenario(refused: Refused, old: str, new: str, message: str) -> None:
    assert re.search(message, refused(CROSSBAR, (old, new)))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        # millivolts, and a unit as text, where volts are expected
        ("V_sf = 0.5", "V_sf = 500", r"parameter V_sf of lif_neuron is 500 V, expected 0.5 to 0.8 V"),
        ("V_sf = 0.5", 'V_sf = "500 mV"', r"circuits.lif_neuron.params.V_sf: .*valid number.*, got '500 mV'"),
        ("V_sf = 0.5", "V_fs = 0.5", r"lif_neuron.params: lif_neuron has no parameter 'V_fs'; it has: V_sf"),
    ],
)  # fmt: skip
def test_wrong_units_in_a_scenario(refused: Refused, old: str, new: str, message: str) -> None:
    told = refused(SPIKING, (old, new))
    assert re.search(message, told)
    assert "own.toml" in told


def test_scenario_that_is_not_there(simcore: Command) -> None:
    outcome = simcore("run", "nowhere.toml")
    assert outcome.code == 2
    assert "cannot read the scenario nowhere.toml: " in outcome.err


def test_unknown_back_end(refused: Refused) -> None:
    assert "unknown back end 'spcie', known: annotate, ideal, spice, surrogate" in refused(
        CROSSBAR, backend="spcie"
    )


def test_unknown_circuit(simcore: Command) -> None:
    outcome = simcore("circuit", "show", "lif_neuro")
    assert outcome.code == 2
    assert "unknown circuit 'lif_neuro', did you mean 'lif_neuron'?" in outcome.err


def test_weights_of_the_wrong_shape(refused: Refused, tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", **{"fc1.weight": np.ones((48, 63))})
    message = refused(CROSSBAR, ('"digits_64_48_10"', '"own.npz"'))
    assert f"{tmp_path}/own.npz: fc1.weight: got shape (48, 63), expected (out, 64)" in message


def test_pixel_that_is_no_number(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(split: str) -> ImageSet:
        images = load(split)
        images.images[3, 1, 5] = np.nan
        return images

    load = digits.load
    monkeypatch.setattr(digits, "load", damaged)
    assert "digits/test: sample 3, pixel (1, 5) is nan, expected a number from 0 to 1" in refused(CROSSBAR)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A copy of the shipped bundle of the crossbar row."""
    shipped = find_bundle(load_circuit("crossbar_row"), BEST, Path())
    return Path(shutil.copytree(shipped, tmp_path / "bundle"))


BUNDLE = 'default = "surrogate"', 'default = "surrogate"\nsurrogate = { family = "./bundle" }'


def test_bundle_of_another_circuit(refused: Refused, bundle: Path) -> None:
    message = refused(SPIKING, BUNDLE, backend="surrogate")
    assert re.search(r"bundle was trained on crossbar_row \w+, the scenario uses lif_neuron \w+", message)
    assert "train one with: simcore surrogate train lif_neuron" in message


def test_bundle_with_a_changed_byte(refused: Refused, bundle: Path) -> None:
    data = bytearray((bundle / "driven.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / "driven.onnx").write_bytes(data)
    message = refused(CROSSBAR, BUNDLE, backend="surrogate")
    assert re.search(r"driven.onnx: changed after training: SHA-256 \w+, expected \w+", message)


def test_ngspice_that_is_missing(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NGSPICE_LIBRARY_PATH", "/nowhere/libngspice.so")
    message = refused(CROSSBAR, code=3, backend="spice")
    assert "cannot load ngspice's library /nowhere/libngspice.so" in message
    assert "install it with `apt-get install libngspice0` and look with `simcore doctor`" in message


def workers_run(code: str, name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a module in front of all others in the solver processes."""
    (folder / name).write_text(code)
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])


@pytest.mark.spice
def test_ngspice_of_another_version(
    refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import spice_ref.ngspice\nspice_ref.ngspice.SUPPORTED = 99\n"
    workers_run(code, "sitecustomize.py", tmp_path, monkeypatch)
    message = refused(CROSSBAR, code=3, backend="spice")
    assert re.search(r"ngspice \d+ found, 99 is needed: .*or set SIMCORE_NGSPICE_ANY_VERSION=1", message)


def test_pyspice_that_is_missing(refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workers_run("raise ImportError('No module named PySpice')\n", "PySpice.py", tmp_path, monkeypatch)
    message = refused(CROSSBAR, code=3, backend="spice")
    assert "PySpice is not installed" in message
    assert "pip install 'simcore-ams[spice]'" in message


OWN_ROW = "[circuits.crossbar_row]", '[circuits.crossbar_row]\npath = "crossbar_row/"'


@pytest.fixture
def own_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Copy the crossbar row and add a line to the netlist; failed decks go to a cache there."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def copy(line: str) -> None:
        folder = Path(shutil.copytree(circuit_folder("crossbar_row"), tmp_path / "crossbar_row"))
        netlist = folder / "crossbar_row.cir"
        netlist.write_text(netlist.read_text().replace(".ends", f"{line}\n.ends"))

    return copy


@pytest.mark.spice
def test_netlist_that_does_not_parse(refused: Refused, own_row: Callable[[str], None]) -> None:
    own_row("Rbad out 0 {nothing}")
    message = refused(CROSSBAR, OWN_ROW, backend="spice")
    assert re.search(r"/crossbar_row: the netlist does not parse; ngspice says: .*nothing", message)


@pytest.mark.spice
def test_transient_that_does_not_converge(
    simcore: Command, tmp_path: Path, own_row: Callable[[str], None]
) -> None:
    own_row("Bbad out 0 I = time > 1n ? (V(out) > 0 ? 1e12 : -1e12) : 0")
    text = (SCENARIOS / f"{CROSSBAR}.toml").read_text().replace(*OWN_ROW)
    (tmp_path / "own.toml").write_text(text)
    outcome = simcore(
        "run", tmp_path / "own.toml", "--backend", "spice", "--samples", 1, "--out", tmp_path / "run"
    )
    assert outcome.code == 3
    message = re.search(
        r"\d+ solver jobs failed, 0 were finished; the first: crossbar_row replay .*gain=30.*"
        r"no convergence.*Timestep too small.*deck saved as (\S+)",
        outcome.err,
    )
    assert message is not None, outcome.err
    assert Path(message[1]).read_text()


def test_solver_that_fails_in_a_later_batch_keeps_what_was_finished(
    simcore: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: Engine, step: int, *args: Any) -> Any:
        if step == 2:
            batches.append(step)
        if len(batches) == 3:
            raise SolverError("crossbar_row step of 4000 ps: the transient stopped at 1e-09 s of 4e-09 s")
        return edge(self, step, *args)

    edge, batches = Engine.edge, list[int]()
    monkeypatch.setattr(Engine, "edge", fails)
    monkeypatch.setattr(import_module("simcore.run"), "LANES", 2)
    scenario, out = SCENARIOS / f"{CROSSBAR}.toml", tmp_path / "run"
    outcome = simcore("run", scenario, "--backend", "ideal", "--samples", 6, "--out", out)
    assert outcome.code == 3
    assert "the transient stopped at 1e-09 s of 4e-09 s" in outcome.err
    assert f"the 4 samples finished before that are kept: simcore report {out}" in outcome.err
    result = RunResult(out)
    assert result.samples.tolist() == [0, 1, 2, 3]
    assert result.summary()["energy_j"] > 0
    monkeypatch.undo()
    assert simcore("report", out).code == 0


def test_the_process_leaves_with_message_and_code_alone(tmp_path: Path) -> None:
    code = "from simcore.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "run", str(tmp_path / "none.toml")], capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stdout == ""
    assert re.fullmatch(r"error: cannot read the scenario .*/none.toml: .*\n", done.stderr)

"""The ngspice side of whole networks: open loop against closed loop, noise floor, cache, waveforms."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simcore import load_scenario, run
from simcore.compare import compare, compare_scenario
from simcore.errors import ScenarioError, UserError
from simcore.result import RunResult
from simcore.waves import Choice, parse_choice, write_waves
from tests.conftest import Outcome
from tests.test_scenarios import SCENARIOS

pytestmark = [pytest.mark.spice]
Command = Callable[..., Outcome]
SMALL = ["samples=1", "architecture.options.steps=3", "backend.spice.workers=2"]
"""64 + 32 + 10 neurons for five steps."""


def small(**changes: Any) -> Any:
    overrides = [*SMALL, *(f"{key}={value}" for key, value in changes.items())]
    return load_scenario(SCENARIOS / "digits_spiking.toml", overrides).with_backend("spice")


@pytest.mark.slow
def test_open_loop_equals_closed_loop_on_a_network() -> None:
    """Same events, energy within the reference's noise; the closed loop pays a start for each step."""
    opened, closed = (run(small(schedule=kind)) for kind in ("auto", "lock_step"))
    assert opened.layer_columns["inputs"]["unit_fired"].sum() > 20
    for name, columns in opened.layer_columns.items():
        ours, theirs = columns, closed.layer_columns[name]
        np.testing.assert_array_equal(ours["unit_fired"], theirs["unit_fired"])
        np.testing.assert_array_equal(ours["steps"], theirs["steps"])
        total = ours["unit_energy_j"].sum()
        # seen: 0.019, 0.028 and 0.011 % in the three layers
        assert np.abs(ours["unit_energy_j"] - theirs["unit_energy_j"]).sum() < 0.9e-3 * total


@pytest.mark.slow
def test_noise_is_measured_on_the_runs_own_rasters_and_the_cache_serves_the_second_run(
    tmp_path: Path,
) -> None:
    first = compare_scenario(small(), "spice", "surrogate", tmp_path / "a", noise_samples=1).figures
    assert not first["reference_cached"]
    assert first["noise"]["n_samples"] == 1
    for layer in first["layers"]:
        for view in ("cascade", "aligned"):
            assert 0 <= layer[view]["energy"]["noise_pct"] < 0.08  # seen: 0.016 to 0.025 %
            assert layer[view]["energy"]["noise_pct"] < layer[view]["energy"]["baseline_pct"]
        assert 0 < layer["aligned"]["latency"]["noise_pct"] < 0.25  # seen: 0.04 to 0.085 %
    assert first["layers"][0]["aligned"]["event"]["noise_pct"] == 0
    assert first["layers"][0]["aligned"]["energy"]["noise_pct"] > 0
    again = compare_scenario(small(), "spice", "surrogate", tmp_path / "b")
    assert again.figures["reference_cached"]
    provenance = again.reference.provenance
    n_flattened = 1  # the netlist is flattened anew by each bank
    assert provenance["solver_jobs_cached"] == provenance["solver_jobs"] - n_flattened > 0
    stored = json.loads((tmp_path / "a" / "reference" / "summary.json").read_text())
    now = json.loads((tmp_path / "b" / "reference" / "summary.json").read_text())
    assert [x["energy_j"] for x in stored["layers"]] == [x["energy_j"] for x in now["layers"]]
    solved = RunResult(tmp_path / "a" / "reference").provenance
    seconds = solved["solver_cpu_s"]
    assert provenance["solver_cpu_s"] > 0.8 * seconds, "the seconds of the first run, not those of reading"
    assert again.figures["noise"] is None
    again.reference.provenance["settings"]["backend"]["spice"]["cluster"] = "tcp://127.0.0.1:9"  # gone
    third = compare(again.reference, again.candidate, tmp_path / "c", noise_samples=1)
    assert third.figures["noise"] == first["noise"]


def test_noise_needs_a_reference_with_a_tighter_accuracy(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="the reference runs on 'ideal', which has none"):
        compare_scenario(small(), "ideal", "surrogate", tmp_path, noise_samples=1)
    gold = load_scenario(SCENARIOS / "digits_spiking.toml", [*SMALL, "backend.spice.accuracy=gold"])
    with pytest.raises(ScenarioError, match="already runs at accuracy 'gold'"):
        compare_scenario(gold, "spice", "surrogate", tmp_path, noise_samples=1)


def test_waveforms_of_a_surrogate_run_are_what_ngspice_does_on_its_inputs(tmp_path: Path) -> None:
    spicelib = pytest.importorskip("spicelib")
    result = run(small().with_backend("surrogate"), tmp_path, trace=True)
    rows = result.trace("inputs")
    unit = int(rows.unit[rows.fired][0])
    raw, vcd = write_waves(result, [Choice("inputs", (unit,))], tmp_path)
    assert [raw.name, vcd.name] == [f"inputs-{unit}-sample-0.{kind}" for kind in ("raw", "vcd")]
    read = spicelib.RawRead(str(raw), dialect="ngspice", verbose=False)
    spike = np.asarray(read.get_trace("v(spike)").get_wave())
    assert read.get_trace("time").get_wave()[-1] == pytest.approx(5 * 5e-9)
    rises = int(((spike[:-1] < 0.75) & (spike[1:] >= 0.75)).sum())
    assert rises == result.layer_columns["inputs"]["unit_fired"][0, unit]
    wire = [line for line in vcd.read_text().splitlines() if " spike_d " in line]
    assert wire, "the output is a wire too"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hidden", "expected LAYER:UNIT"),
        ("hidden:x", "expected LAYER:UNIT"),
        ("middle:0", "no layer 'middle' in the run; it has: inputs, hidden, output"),
        ("hidden:32", "layer hidden has units 0 to 31, got 32"),
        ("hidden:0@7", "sample 7 is not run"),
    ],
)
def test_waves_of_what_is_not_there_are_refused(tmp_path: Path, text: str, message: str) -> None:
    result = run(small().with_backend("ideal"), tmp_path, trace=True)
    with pytest.raises(UserError, match=message):
        write_waves(result, [parse_choice(text)], tmp_path)


def test_waves_need_a_trace(simcore: Command, tmp_path: Path) -> None:
    outcome = simcore(
        "run", SCENARIOS / "digits_spiking.toml", "--waves", "hidden:0", "--out", tmp_path / "run"
    )
    assert outcome.code == 2
    assert "--waves needs --trace" in outcome.err


def test_check_shows_waveforms_noise_and_tables(simcore: Command, tmp_path: Path) -> None:
    circuit = Path(__file__).parent / "circuits" / "rc"
    outcome = simcore(
        "circuit", "check", circuit, "--runs", 1, "--steps", 12, "--noise", "--out", tmp_path, width=160
    )
    assert outcome.code == 0, outcome.err
    for words in (
        "Steps of the waveforms in check.html",
        "closed loop",
        "Gear",
        "edges +1 ps",
        "no problem found",
    ):
        assert words in outcome.out
    page = (tmp_path / "check.html").read_text()
    assert page.count("stimulus; dotted: clock edges") == 3
    assert "The reference against itself" in page
    assert "http://" not in page.split("</script>", 1)[1].replace("http://www.w3.org", "")

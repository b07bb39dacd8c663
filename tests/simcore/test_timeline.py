"""The timeline file: periods of the layers, requests for shared parts, as a trace viewer reads them."""

import json
from pathlib import Path

import pytest

from simcore import load_scenario, run
from tests.test_scenarios import SCENARIOS


def test_timeline_has_the_requests_of_the_first_sample(tmp_path: Path) -> None:
    scenario = load_scenario(SCENARIOS / "digits_spiking.toml", ["samples=2", "architecture.options.steps=8"])
    result = run(scenario.with_backend("ideal"), tmp_path, trace=True)
    events = json.loads((tmp_path / "timeline.json").read_text())["traceEvents"]
    names = {event["args"]["name"] for event in events if event["name"] == "process_name"}
    assert names == {"inputs", "hidden", "output", "readout"}
    bars = [event for event in events if event["ph"] == "X"]
    assert all(bar["dur"] >= 0 for bar in bars)
    reads = [bar for bar in bars if bar["name"] == "weight_read"]
    assert len(reads) == sum(span.component == "weight_read" for span in result.spans()) > 0
    waited = sum(bar["dur"] for bar in bars if bar["name"] == "waits")
    told = sum(span.start_s - span.asked_s for span in result.spans())
    assert waited == pytest.approx(1e6 * told, rel=1e-6, abs=1e-9)
    ends_s = {name: columns["taken_in_s"][0] for name, columns in result.layer_columns.items()}
    assert max(span.end_s for span in result.spans()) <= max(ends_s.values()) + 1e-12


def test_untraced_run_has_none(tmp_path: Path) -> None:
    run(load_scenario(SCENARIOS / "digits_spiking.toml", ["samples=1"]).with_backend("ideal"), tmp_path)
    assert not (tmp_path / "timeline.json").exists()

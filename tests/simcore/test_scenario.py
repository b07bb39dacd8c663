"""Every mistake in a scenario is refused: file, key, what was got, what is expected."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simcore import load_scenario, run
from simcore.assembly import assemble, open_banks
from simcore.errors import CircuitError, ContractError, DatasetError, RegistryError, ScenarioError, UserError
from simcore.scenario import Scenario, parse_scenario
from tests.simcore.conftest import SCENARIO, scenario_with


def check(data: dict[str, Any]) -> None:
    """Assemble a scenario and open its banks, as `run` does before anything is stepped."""
    assembly = assemble(parse_scenario(data, "test.toml"))
    layers = assembly.architecture.network(assembly.batch(0, 1)).layers
    for slot in open_banks(assembly.scenario, layers, 1):
        slot.bank.close()


def changed(**changes: Any) -> dict[str, Any]:
    return scenario_with().model_dump() | changes


def test_scenario_is_read_with_its_defaults(scenario_file: Path) -> None:
    scenario = load_scenario(scenario_file)
    assert (scenario.name, scenario.seed, scenario.samples, scenario.merge_idle) == ("dots_chain", 1, 4, True)
    assert scenario.dataset.split == "test"
    assert scenario.base == str(scenario_file.parent)


@pytest.mark.parametrize(
    ("override", "value"),
    [("samples=7", 7), ("samples = 7", 7), ("dataset.start=2", 2), ("merge_idle=false", False)],
)
def test_override_takes_toml_values(scenario_file: Path, override: str, value: object) -> None:
    found: Any = load_scenario(scenario_file, [override])
    for part in override.partition("=")[0].strip().split("."):
        found = getattr(found, part)
    assert found == value


def test_override_that_is_no_toml_value_is_a_string(scenario_file: Path) -> None:
    scenario = load_scenario(scenario_file, ["architecture.weights=some_name", "name="])
    assert (scenario.architecture.weights, scenario.name) == ("some_name", "")


def test_override_makes_tables(scenario_file: Path) -> None:
    scenario = load_scenario(
        scenario_file, ["circuits.leaky.params.gain=0.5", "layers.second.backend=biased"]
    )
    assert scenario.circuits["leaky"].params == {"gain": 0.5}
    assert scenario.layers["second"].backend == "biased"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("samples", "--set samples: expected key=value"),
        ("=5", "--set =5: expected key=value"),
        ("samples.x=5", "--set samples.x=5: 'samples' is a value, not a table"),
        ("smaples=5", r"dots.toml: smaples: Extra inputs are not permitted, got 5"),
        ("samples=0", r"dots.toml: samples: Input should be greater than or equal to 1, got 0"),
        ("samples=2.5", r"dots.toml: samples: Input should be a valid integer, got 2.5"),
        ("samples=many", r"dots.toml: samples: Input should be a valid integer, got 'many'"),
        ("seed=-1", r"dots.toml: seed: Input should be greater than or equal to 0, got -1"),
        ("merge_idle=1", r"dots.toml: merge_idle: Input should be a valid boolean, got 1"),
        ("dataset=3", r"dots.toml: dataset: Input should be an object, got 3"),
        ("dataset.start=-2", r"dataset.start: Input should be greater than or equal to 0, got -2"),
        ("dataset.nmae=x", r"dataset.nmae: Extra inputs are not permitted, got 'x'"),
        (
            "circuits.leaky.params.gain=high",
            r"circuits.leaky.params.gain: Input should be a valid number, got 'high'",
        ),
        (
            "circuits.leaky.params.gain=nan",
            r"circuits.leaky.params.gain: Input should be a finite number, got nan",
        ),
        ("backend.default=spcie", r"backend.default: unknown back end 'spcie', known: .*exact.*spice"),
        ("layers.second.backend=q", r"layers.second.backend: unknown back end 'q', known: "),
        ("backend.surogate.family=mlp", r"backend.surogate: Extra inputs are not permitted"),
        ("name=2020-01-01T00:00:00", None),
    ],
)
def test_wrong_override_is_refused(scenario_file: Path, override: str, message: str | None) -> None:
    if message is None:
        assert load_scenario(scenario_file, [override]).name == "2020-01-01 00:00:00"
        return
    with pytest.raises(ScenarioError, match=message):
        load_scenario(scenario_file, [override])


def test_missing_key_is_named(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text(SCENARIO.replace('weights = "none"', ""))
    with pytest.raises(ScenarioError, match=r"x.toml: architecture.weights: Field required"):
        load_scenario(file)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=re.escape(f"cannot read the scenario {tmp_path}/no.toml")):
        load_scenario(tmp_path / "no.toml")


def test_file_that_is_not_toml_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text("name = [")
    with pytest.raises(ScenarioError, match=r"x.toml: not valid TOML"):
        load_scenario(file)


def test_with_backend_replaces_those_of_layers() -> None:
    scenario = parse_scenario(changed(layers={"second": {"backend": "exact"}}), "test")
    other = scenario.with_backend("biased")
    assert other.backend.default == "biased"
    assert other.layers["second"].backend is None
    with pytest.raises(ScenarioError, match="unknown back end 'q'"):
        scenario.with_backend("q")


def test_all_mistakes_are_reported_at_once(scenario_file: Path) -> None:
    with pytest.raises(ScenarioError, match=r"samples: .*; dataset.start: "):
        load_scenario(scenario_file, ["samples=0", "dataset.start=-1"])


CHAIN = {"name": "chain", "weights": "none"}


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"dataset": {"name": "dotz"}}, RegistryError, "unknown data set 'dotz', did you mean 'dots'"),
        (
            {"architecture": {"name": "chian", "weights": ""}},
            RegistryError,
            "unknown architecture 'chian', did you mean 'chain'",
        ),
        (
            {"samples": 10, "dataset": {"name": "dots", "start": 3}},
            ScenarioError,
            "dots_chain: samples 3 to 13 asked for, but dots/test has 12",
        ),
        (
            {"dataset": {"name": "holey", "start": 2}},
            DatasetError,
            r"holey/test: sample 3, pixel \(1, 0\) is nan, expected a number from 0 to 1",
        ),
        (
            {"architecture": CHAIN | {"options": {"stepz": 3}}},
            ScenarioError,
            "architecture.options: stepz: Extra inputs are not permitted, got 3",
        ),
        (
            {"architecture": CHAIN | {"options": {"steps": "3"}}},
            ScenarioError,
            "architecture.options: steps: Input should be a valid integer, got '3'",
        ),
        (
            {"circuits": {"leaky": {"path": "/no/such/folder"}}},
            CircuitError,
            "circuit folder /no/such/folder does not exist",
        ),
        (
            {"circuits": {"leeky": {}}},
            ScenarioError,
            "circuits.leeky: the network has no such circuit; it has: leaky",
        ),
        (
            {"circuits": {"leaky": {"params": {"gian": 1.0}}}},
            ScenarioError,
            "circuits.leaky.params: leaky has no parameter 'gian'; it has: gain",
        ),
        (
            {"circuits": {"leaky": {"params": {"gain": 2.5}}}},
            ScenarioError,
            "layer first: parameter gain of leaky is 2.5, expected 0 to 2",
        ),
        (
            {"layers": {"second": {"params": {"gain": -1.0}}}},
            ScenarioError,
            "layer second: parameter gain of leaky is -1, expected 0 to 2",
        ),
        (
            {"layers": {"second": {"params": {"g": 1.0}}}},
            ScenarioError,
            "layers.second.params: leaky has no parameter 'g'; it has: gain",
        ),
        (
            {"layers": {"thrid": {}}},
            ScenarioError,
            "layers.thrid: the network has no such layer; it has: first, second",
        ),
        (
            {"circuits": {"leaky": {"sizes": {"rows": 4}}}},
            CircuitError,
            "circuit.toml: no size 'rows'; it has: none",
        ),
        (
            {"circuits": {"leaky": {"device_models": "no.pm"}}},
            CircuitError,
            "cannot read the device models .*no.pm",
        ),
        (
            {"architecture": CHAIN | {"options": {"typo": "gian"}}},
            ContractError,
            "layer first: leaky has no parameter port 'gian'; it has: gain",
        ),
        ({"backend": {"default": "broken"}}, RegistryError, "'broken' .* cannot be loaded"),
    ],
)
def test_mistake_is_refused_before_anything_runs(
    changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        check(changed(**changes))


def test_run_refuses_before_it_writes(tmp_path: Path) -> None:
    wrong = parse_scenario(changed(layers={"thrid": {}}), "test")
    with pytest.raises(UserError, match=r"layers\.thrid"):
        run(wrong, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_params_of_the_layer_win_over_the_network_and_the_circuit() -> None:
    data = changed(
        circuits={"leaky": {"params": {"gain": 1.5}}}, layers={"second": {"params": {"gain": 0.25}}}
    )
    assembly = assemble(parse_scenario(data, "test"))
    layers = assembly.architecture.network(assembly.batch(0, 2)).layers
    (slot,) = open_banks(assembly.scenario, layers, 2)
    np.testing.assert_array_equal(slot.bank.params[:, 0], [1.5] * 8 + [0.25] * 8)


def test_circuit_parameter_that_every_layer_sets_itself_is_refused() -> None:
    assembly = assemble(parse_scenario(changed(circuits={"leaky": {"params": {"gain": 1.5}}}), "test"))
    layers = assembly.architecture.network(assembly.batch(0, 1)).layers
    own = tuple(replace(layer, params={"gain": np.full(layer.n_units, 0.5)}) for layer in layers)
    with pytest.raises(ScenarioError, match=r"circuits\.leaky\.params\.gain: the architecture sets it"):
        open_banks(assembly.scenario, own, 1)


def test_layers_on_different_back_ends_get_banks_of_their_own() -> None:
    assembly = assemble(parse_scenario(changed(layers={"second": {"backend": "biased"}}), "test"))
    layers = assembly.architecture.network(assembly.batch(0, 1)).layers
    slots = open_banks(assembly.scenario, layers, 1)
    assert [type(slot.bank).__name__ for slot in slots] == ["FakeBank", "Biased"]


def test_circuits_of_different_periods_are_refused(tmp_path: Path) -> None:
    slow = tmp_path / "slow"
    slow.mkdir()
    source = Path(__file__).parent / "circuits" / "leaky"
    for name in ("card.lib", "circuit.toml", "leaky.cir"):
        text = (source / name).read_text().replace("period_ps = 1000", "period_ps = 2000")
        (slow / name.replace("leaky", "slow")).write_text(text)
    scenario = parse_scenario(changed(circuits={"other": {"path": str(slow)}}), "test")
    assembly = assemble(scenario)
    first, second = assembly.architecture.network(assembly.batch(0, 1)).layers
    from dataclasses import replace

    with pytest.raises(ScenarioError, match=r"share one clock period, got \(ps\) .*1000.*2000"):
        open_banks(scenario, (first, replace(second, circuit="other")), 1)


def test_banks_that_are_open_are_closed_when_another_one_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.simcore import fakes

    opened: list[fakes.FakeBank] = []

    def remember(request: Any) -> fakes.FakeBank:
        opened.append(fakes.FakeBank(request.spec, request.params))
        return opened[-1]

    monkeypatch.setattr(fakes, "open_exact", remember)
    scenario = parse_scenario(changed(layers={"second": {"backend": "broken"}}), "test")
    assembly = assemble(scenario)
    with pytest.raises(RegistryError, match="broken"):
        open_banks(scenario, assembly.architecture.network(assembly.batch(0, 1)).layers, 1)
    assert [bank.closed for bank in opened] == [1]


def test_settings_survive_a_round_trip(scenario: Scenario) -> None:
    assert parse_scenario(scenario.model_dump(), "again") == scenario

"""The table of digital components and what overrides it."""

from pathlib import Path

import pytest

from simcore import load_scenario
from simcore.digital import COMPONENTS, DigitalConfig, components_of
from simcore.errors import ScenarioError
from tests.test_scenarios import SCENARIOS


def test_every_number_that_ships_has_a_source() -> None:
    for name, component in COMPONENTS.items():
        assert component.what, name
        assert component.source, name


def test_converters_follow_walden() -> None:
    adc = COMPONENTS["adc"]
    assert adc.energy_j == pytest.approx(adc.fom_j * 2**adc.bits)
    assert adc.latency_s == pytest.approx(1 / adc.rate_hz)
    ten = components_of(DigitalConfig(), ".", bits=10)["adc"]
    assert ten.energy_j == pytest.approx(4 * adc.energy_j)
    fixed = components_of(DigitalConfig.model_validate({"adc": {"bits": 6}}), ".", bits=10)["adc"]
    assert fixed.energy_j == pytest.approx(adc.energy_j / 4)


def test_a_file_and_single_entries_override_the_table(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        "[adder]\nenergy_j = 7e-15\nsource = 'ours'\n[dac]\nlatency_s = 3e-9\n"
    )
    config = DigitalConfig.model_validate({"table": "mine.toml", "adder": {"energy_j": 9e-15}})
    found = components_of(config, str(tmp_path))
    assert found["adder"].energy_j == 9e-15
    assert found["adder"].source == "ours"
    assert found["dac"].latency_s == 3e-9
    assert found["dac"].energy_j == COMPONENTS["dac"].energy_j
    assert found["sigmoid"] == COMPONENTS["sigmoid"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[abacus]\nenergy_j = 1.0\n", r"mine.toml: no component 'abacus', known: adc, "),
        ("[adc]\nrate_hz = 0\n", r"mine.toml: adc.rate_hz: .*greater than 0, got 0"),
        ("[adc]\nbits = 'ten'\n", r"mine.toml: adc.bits: "),
        ("[adder]\nenergy_j = -1.0\n", r"mine.toml: adder.energy_j: .*greater than or equal to 0, got -1"),
        ("adder = 3\n", r"mine.toml: 'adder' is a value, expected a table"),
        ("[adder\n", r"mine.toml: not valid TOML"),
    ],
)
def test_a_bad_table_names_file_and_entry(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(ScenarioError, match=message):
        components_of(DigitalConfig(table="mine.toml"), str(tmp_path))


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"cannot read the table of digital components .*none.toml"):
        components_of(DigitalConfig(table="none.toml"), str(tmp_path))


def test_entries_are_set_from_the_command_line() -> None:
    scenario = load_scenario(
        SCENARIOS / "digits_crossbar.toml", ["digital.adc.fom_j=1e-14", "digital.contention=false"]
    )
    assert scenario.digital.entries == {"adc": {"fom_j": 1e-14}}
    assert not scenario.digital.contention
    with pytest.raises(ScenarioError, match=r"digital.abacus: Extra inputs"):
        load_scenario(SCENARIOS / "digits_crossbar.toml", ["digital.abacus.energy_j=1"])

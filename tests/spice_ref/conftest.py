"""Circuits and banks that the ngspice tests share."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from simcore.bank import BankRequest, Floats
from simcore.manifest import load_circuit
from simcore.spec import CircuitSpec
from spice_ref.bank import SpiceBank, open_bank

RC = Path(__file__).parent.parent / "circuits" / "rc"

OpenBank = Callable[..., SpiceBank]


@pytest.fixture(scope="session")
def rc() -> CircuitSpec:
    """An RC low-pass with a closed form: tau = r * 100 fF, 1 uW of supply."""
    return load_circuit(str(RC))


@pytest.fixture(scope="session")
def lif() -> CircuitSpec:
    """The shipped spiking neuron."""
    return load_circuit("lif_neuron")


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[OpenBank]:
    """Open banks that are closed after the test; decks of failed jobs go to tmp_path."""
    banks: list[SpiceBank] = []

    def open_one(spec: CircuitSpec, params: Floats | None = None, **options: Any) -> SpiceBank:
        rows = spec.default_params[None] if params is None else params
        table = {"workers": 1, "cache": "off", "failed_dir": str(tmp_path / "failed"), **options}
        banks.append(open_bank(BankRequest(spec, rows, table)))
        return banks[-1]

    yield open_one
    for bank in banks:
        bank.close()


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """Copy the RC circuit into a folder of its own, with pieces of its netlist or manifest replaced."""

    def copy(*pairs: tuple[str, str]) -> Path:
        target = tmp_path / "rc"
        target.mkdir()
        for name in ("rc.cir", "circuit.toml"):
            text = (RC / name).read_text()
            for old, new in pairs:
                text = text.replace(old, new)
            (target / name).write_text(text)
        return target

    return copy

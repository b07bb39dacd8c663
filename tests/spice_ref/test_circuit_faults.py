"""Faults between manifest and netlist, in words, before anything is simulated."""

from collections.abc import Callable
from pathlib import Path

import pytest

from simcore.errors import CircuitError, SolverError
from simcore.manifest import load_circuit
from spice_ref.bank import SpiceBank

pytestmark = pytest.mark.spice

OpenBank = Callable[..., SpiceBank]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('subckt = "rc"', 'subckt = "cr"', "subcircuit 'cr' is not in the netlist, which has: rc"),
        (
            'name = "in"',
            'name = "w"',
            r"must have the pins w out .*missing \['w'\], not in the manifest \['in'\]",
        ),
        ('name = "v_c"', 'name = "v_x"', "state 'v_x' is not a node of 'rc'"),
        ('name = "r"', 'name = "res"', "has no parameter 'res'; it has: r"),
        ('vdd = "supply"', 'vss = "supply"', r"\[sources\] names 'vss', which is no source .*it has: vdd"),
        ("rise_ps = 100", "rise_ps = 6000", "within period_ps = 5000, got rise_ps = 6000"),
        ("R2   v_c  out  1", "L2   v_c  out  1n", "'l2' is an inductor"),
        (
            "R2   v_c  out  1",
            "D2   v_c  out  dio",
            "does not parse; .*can't find model 'dio'.* d2 v_c out dio",
        ),
    ],
)
def test_manifest_and_netlist_that_do_not_fit(
    folder: Callable[..., Path], opened: OpenBank, old: str, new: str, message: str
) -> None:
    with pytest.raises(CircuitError, match=message):
        opened(load_circuit(str(folder((old, new)))))


def test_element_that_gives_no_number_is_named(folder: Callable[..., Path], opened: OpenBank) -> None:
    netlist = ("R2   v_c", "Bnan nn 0 V = sqrt(V(in) - 5)\nRnan nn 0 1k\nR2   v_c")
    bank = opened(load_circuit(str(folder(netlist))))
    with pytest.raises(SolverError, match=r"-5 out of range for sqrt.* in line b\.x0\.bnan"):
        bank.reset()


def test_netlist_that_does_not_parse(folder: Callable[..., Path], opened: OpenBank) -> None:
    spec = load_circuit(str(folder(("{r}", "{r"))))
    with pytest.raises(
        CircuitError, match=r"rc: the netlist does not parse; ngspice says: .*Closing \"}\" not found"
    ):
        opened(spec)


def test_template_that_does_not_render(folder: Callable[..., Path], opened: OpenBank) -> None:
    spec = load_circuit(str(folder(("{r}", "{{ q }}"), ("[solver.std]", "[sizes]\nrows = 2\n[solver.std]"))))
    with pytest.raises(CircuitError, match="template does not render: 'q' is undefined"):
        opened(spec)

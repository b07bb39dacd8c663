"""Lines of the fault table in docs/spice.md, at the command line: what is said, and the exit code.

2: the user can mend it; 3: the solver. What else holds of each fault: `test_faults`, `test_circuit_faults`.
"""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Outcome

pytestmark = pytest.mark.spice

Command = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def decks_of_failed_jobs_stay_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))


def tells(outcome: Outcome, code: int, message: str) -> None:
    assert outcome.code == code, outcome.err
    assert re.search(message, outcome.err), outcome.err
    assert "Traceback" not in outcome.err


R2 = "R2   v_c  out  1"


@pytest.mark.parametrize(
    ("new", "code", "message"),
    [
        pytest.param("D2 v_c out dio", 2, "does not parse; .*can't find model 'dio'", id="unknown model"),
        pytest.param(
            f'{R2}\n.include "nowhere.lib"', 2,
            r'rc\.cir, line \d+: \.include "nowhere\.lib": cannot read the include', id="missing include",
        ),
        pytest.param(
            f"{R2}\nM1 v_c out 0 0 finfet l=1u\n.model finfet nmos level=72", 2,
            r"of a level that this ngspice lacks, such as 72", id="level 72",
        ),
        pytest.param("R2 v_c out {1", 2, 'does not parse; .*Closing "}" not found', id="braces"),
        pytest.param("R2 v_c out {foo}", 2, r"does not parse; .*Undefined parameter \[foo\]", id="parameter"),
        pytest.param(f"{R2}\n.control\nquit\n.endc", 2, r"has a \.control block, .* take it", id="control"),
        pytest.param("L2 v_c out 1n", 2, "'l2' is an inductor", id="inductor"),
        pytest.param("R2 v_c out", 3, "resistance to low", id="resistor without a value"),
        pytest.param(f"{R2}\nV9 vdd 0 2", 3, "no convergence", id="operating point"),
        pytest.param(
            f"{R2}\nBnan nn 0 V = sqrt(V(in) - 5)\nRnan nn 0 1k", 3,
            r"-5 out of range for sqrt.* in line b\.x0\.bnan", id="no number",
        ),
    ],
)  # fmt: skip
def test_fault_in_a_netlist(
    simcore: Command, folder: Callable[..., Path], tmp_path: Path, new: str, code: int, message: str
) -> None:
    out = tmp_path / "a.h5"
    circuit = folder((R2, new))
    tells(simcore("circuit", "record", circuit, "--runs", 1, "--steps", 3, "--out", out), code, message)


@pytest.mark.parametrize("command", ["check", "record"])
def test_solver_that_takes_too_long(simcore: Command, tmp_path: Path, command: str) -> None:
    outcome = simcore(
        "circuit", command, "lif_neuron", "--runs", 1, "--workers", 1, "--timeout", 0.001,
        "--out", tmp_path / "a",
    )  # fmt: skip
    tells(outcome, 3, r"no answer within 0\.001 s, 3 times")


def test_time_must_be_positive(simcore: Command, tmp_path: Path) -> None:
    outcome = simcore("circuit", "record", "lif_neuron", "--timeout", 0, "--out", tmp_path / "a.h5")
    tells(outcome, 2, "Invalid value for '--timeout'")

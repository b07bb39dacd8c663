"""Discrete-event mixed-signal system simulator: a clocked digital back end drives banks of analog blocks.

Start with `load_scenario`, `run` and `compare_scenario`; read `cli.py`, `run.py`, `engine.py` in this order.
"""

from simcore.audit import Audit, audit, choose_pairs
from simcore.compare import Comparison, compare, compare_scenario
from simcore.manifest import load_circuit
from simcore.result import RunResult
from simcore.run import run
from simcore.scenario import Scenario, load_scenario

__all__ = [
    "Audit",
    "Comparison",
    "RunResult",
    "Scenario",
    "audit",
    "choose_pairs",
    "compare",
    "compare_scenario",
    "load_circuit",
    "load_scenario",
    "run",
]

"""The reset model: outputs and state of the operating point, from parameters and reset inputs."""

import numpy as np

from simcore.recording import Runs
from simcore.spec import CircuitSpec, PortKind
from surrogates.family import StepModel
from surrogates.frame import Frame, Table, fit_reset_frame
from surrogates.layout import Layout
from surrogates.mlp import fit_smooth


def reset_table(spec: CircuitSpec, runs: Runs) -> Table:
    """Return one row per run: graph inputs (state zero, one period) and the reset point."""
    n = len(runs.run)
    inputs = np.broadcast_to(spec.reset_inputs, (n, spec.width(PortKind.INPUT)))
    state = np.zeros((n, spec.width(PortKind.STATE)))
    x = Layout(spec).rows(inputs, runs.params, state, np.full(n, spec.period_ps))
    y = np.concatenate([runs.reset_outputs, runs.reset_state], axis=1)
    return Table(x, y, np.ones(y.shape, dtype=np.bool_))


def fit_reset(spec: CircuitSpec, runs: Runs, seed: int) -> tuple[Frame, StepModel]:
    """Fit a small smooth network; every family shares it."""
    table = reset_table(spec, runs)
    frame = fit_reset_frame(spec, table)
    return frame, fit_smooth(*frame.encode(table), seed=seed)

"""A small bundle of the shipped neuron, trained on a recording of its closed form: no solver, seconds."""

from pathlib import Path

import numpy as np

from simcore import registry
from simcore.bank import BankRequest, RasterResult
from simcore.manifest import load_circuit
from simcore.recording import Recording
from simcore.replay import stepped
from simcore.spec import PortKind
from spice_ref.stimuli import draw_raster
from surrogates.train import train

CIRCUIT = "lif_neuron"
RUNS, STEPS, EPOCHS, SEED = 40, 80, 20, 1


def train_on_closed_form(folder: Path) -> Path:
    """Return the folder of a bundle of family `mlp`."""
    spec = load_circuit(CIRCUIT)
    kinds, rasters = zip(*(draw_raster(spec, run, STEPS, SEED) for run in range(RUNS)), strict=True)
    bank = registry.load("backends", "ideal")(BankRequest(spec, np.stack([each.params for each in rasters])))
    reset_outputs = bank.reset()
    reset_state = np.zeros(spec.width(PortKind.STATE))
    path = folder / "closed_form.h5"
    with Recording(path, spec, {"made_by": "the closed form"}) as recording:
        for run, steps in enumerate(stepped(bank, rasters)):
            result = RasterResult(reset_state, reset_outputs[run], steps)
            recording.append(run, kinds[run], rasters[run], result, 0.0)
    return train(spec, path, "mlp", folder / "bundles", epochs=EPOCHS)[0].path

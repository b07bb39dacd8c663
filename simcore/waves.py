"""Waveforms of chosen units of a traced run: what each received, once more through ngspice."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simcore import registry
from simcore.architecture import Layer
from simcore.assembly import assemble, circuit_of, unit_params
from simcore.bank import Floats, Raster
from simcore.errors import UserError
from simcore.ledger import TraceRows
from simcore.result import RunResult
from simcore.scenario import Scenario, parse_scenario

FOLDER = "waves"
SOLVER = "spice"


@dataclass(frozen=True, slots=True)
class Choice:
    """Units of one layer in one sample."""

    layer: str
    units: tuple[int, ...]
    sample: int | None = None
    """Index in the data set; the run's first one if None."""


def parse_choice(text: str) -> Choice:
    """Read `LAYER:UNIT[,UNIT...][@SAMPLE]`; raises UserError."""
    found = re.fullmatch(r"([\w.-]+):(\d+(?:,\d+)*)(?:@(\d+))?", text.strip())
    if found is None:
        raise UserError(f"--waves {text}: expected LAYER:UNIT[,UNIT...][@SAMPLE], such as hidden:0,5@7")
    sample = None if found[3] is None else int(found[3])
    return Choice(found[1], tuple(int(unit) for unit in found[2].split(",")), sample)


def write_waves(
    result: RunResult,
    choices: Sequence[Choice],
    directory: Path,
    progress: Callable[[float], None] = lambda _: None,
) -> list[Path]:
    """Write raw and VCD files of the chosen units into `directory`/waves and return their paths.

    Whatever back end ran: each unit's recorded inputs are driven into one ngspice transient, so that the
    waveforms of a surrogate run show what the circuit would have done. Raises UserError for unknown names.
    """
    scenario = parse_scenario(result.provenance["settings"], str(result.path))
    assembly = assemble(scenario)
    layers = {layer.name: layer for layer in assembly.architecture.network(assembly.batch(0, 1)).layers}
    written: list[Path] = []
    for done, choice in enumerate(choices):
        layer = _layer(choice, layers, result.samples.tolist())
        written += _write(result, scenario, choice, layer, directory / FOLDER)
        progress((done + 1) / len(choices))
    return written


def check_choices(choices: Sequence[Choice], layers: Sequence[Layer], samples: Collection[int]) -> None:
    """Raise UserError for a layer, unit or sample that a run does not have."""
    for choice in choices:
        _layer(choice, {layer.name: layer for layer in layers}, samples)


def _layer(choice: Choice, layers: Mapping[str, Layer], samples: Collection[int]) -> Layer:
    """Return the layer of a choice; raises UserError where run and choice do not fit."""
    if choice.layer not in layers:
        raise UserError(f"--waves: no layer '{choice.layer}' in the run; it has: {', '.join(layers)}")
    layer = layers[choice.layer]
    beyond = [unit for unit in choice.units if unit >= layer.n_units]
    if beyond:
        raise UserError(f"--waves: layer {layer.name} has units 0 to {layer.n_units - 1}, got {beyond[0]}")
    if choice.sample is not None and choice.sample not in samples:
        raise UserError(f"--waves: sample {choice.sample} is not run, only {min(samples)} to {max(samples)}")
    return layer


def _write(result: RunResult, scenario: Scenario, choice: Choice, layer: Layer, folder: Path) -> list[Path]:
    spec = circuit_of(scenario, layer.circuit)
    params = unit_params(scenario, layer, spec)
    sample = int(result.samples[0]) if choice.sample is None else choice.sample
    rows = result.trace(layer.name)
    rasters = {
        f"{layer.name}-{unit}-sample-{sample}": raster_of(
            rows.take((rows.lane == sample) & (rows.unit == unit)), params[unit], spec.period_ps
        )
        for unit in choice.units
    }
    draw = registry.load("waveforms", SOLVER)
    written: list[Path] = draw(spec, rasters, folder, scenario.backend.options(SOLVER), Path(scenario.base))
    return written


def raster_of(rows: TraceRows, params: Floats, period_ps: int) -> Raster:
    """Return the whole input of one unit, from its traced rows."""
    rows = rows.take(np.argsort(rows.step, kind="stable"))
    return Raster(params, rows.periods * period_ps, rows.inputs, rows.idle)

"""Waveforms of chosen units of a traced run: what each received, once more through ngspice."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simcore import registry
from simcore.architecture import Layer
from simcore.errors import UserError
from simcore.rasters import Recorded
from simcore.result import RunResult

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
    recorded = Recorded(result)
    written: list[Path] = []
    for done, choice in enumerate(choices):
        _layer(choice, recorded.layers, result.samples.tolist())
        written += _write(recorded, choice, directory / FOLDER)
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


def _write(recorded: Recorded, choice: Choice, folder: Path) -> list[Path]:
    sample = int(recorded.result.samples[0]) if choice.sample is None else choice.sample
    names = [f"{choice.layer}-{unit}-sample-{sample}" for unit in choice.units]
    pairs = np.array([[sample, unit] for unit in choice.units])
    rasters = dict(zip(names, recorded.rasters(choice.layer, pairs), strict=True))
    draw = registry.load("waveforms", SOLVER)
    scenario = recorded.scenario
    written: list[Path] = draw(
        recorded.spec(choice.layer), rasters, folder, scenario.backend.options(SOLVER), Path(scenario.base)
    )
    return written

"""Draws the worst units of a comparison once more on ngspice, so that its report shows their waveforms."""

from collections.abc import Callable
from pathlib import Path

from simcore.compare import load_comparison
from simcore.report.sides import layer_kinds
from simcore.report.worst_units import worst_units
from simcore.waves import FOLDER, SOLVER, Choice, write_waves


def draw_worst(directory: Path, progress: Callable[[float], None]) -> list[Path]:
    """Write the waveforms of the worst units of a stored comparison beside its reference; return the paths.

    Units that another back end than ngspice answered in the reference are left out; waveforms of an earlier
    comparison in the directory are deleted. Raises a SimcoreError where ngspice cannot draw them.
    """
    stored = load_comparison(directory)
    folder = stored.reference.path.parent
    for stale in (folder / FOLDER).glob("*-sample-*.*"):
        stale.unlink(missing_ok=True)
    layers = stored.reference.provenance["layers"]
    kinds = [kind for kind in layer_kinds(stored.reference) if not kind.is_encoder]
    judged = [kind for kind in kinds if layers[kind.name]["backend"] == SOLVER]
    choices = [Choice(one.kind.name, (one.unit,), one.sample) for one in worst_units(stored, judged)]
    return write_waves(stored.reference, choices, folder, progress) if choices else []

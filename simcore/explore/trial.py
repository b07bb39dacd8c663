"""One trial, as a worker process runs it: a scenario in, figures or an error out; no state in between."""

import tempfile
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simcore.errors import SimcoreError
from simcore.explore.figures import figures_of
from simcore.run import run
from simcore.scenario import parse_scenario


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a trial gave."""

    figures: Mapping[str, float] = field(default_factory=dict)
    """Known quantities by name, see `figures.py`."""
    costs: Mapping[str, float] = field(default_factory=dict)
    """`wall_s`, `cpu_s`, `n_samples`, and `outside`: the share of steps out of range."""
    error: str = ""
    """Why there are no figures."""


def run_trial(settings: Mapping[str, Any]) -> Outcome:
    """Run a scenario, given as a dictionary, on one core; an error is an outcome too."""
    try:
        with tempfile.TemporaryDirectory(prefix="simcore-trial-") as folder:
            summary = run(parse_scenario(dict(settings), "trial"), Path(folder), workers=1).summary()
    except SimcoreError as error:
        return Outcome(error="\n".join([str(error), *getattr(error, "__notes__", ())]))
    except Exception as error:  # noqa: BLE001 -- a plug-in's own mistake; the other trials go on
        last = traceback.extract_tb(error.__traceback__)[-1]
        return Outcome(error=f"{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})")
    return Outcome(figures_of(summary), costs_of(summary))


def costs_of(summary: Mapping[str, Any]) -> dict[str, float]:
    """Return what a run cost, and how much of it was out of range."""
    steps = sum(
        layer["events_active"] + layer["events_quiet"] + layer["events_idle"] for layer in summary["layers"]
    )
    outside = sum(layer["out_of_range"] for layer in summary["layers"])
    return {
        "wall_s": summary["wall_s"], "cpu_s": summary["cpu_s"], "n_samples": summary["n_samples"],
        "outside": outside / steps if steps else 0.0,
    }  # fmt: skip

"""A sweep: one study, read from TOML, checked before anything runs."""

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from simcore.errors import SweepError, UserError
from simcore.explore.axes import Axis, Point, n_points, read_axes
from simcore.explore.figures import Constraint, Objective, Quantity, read_constraints, read_objectives
from simcore.manifest import explain
from simcore.scenario import Scenario, load_scenario, parse_scenario
from simcore.shard import rehearse
from simcore.spec import Record

SAMPLERS = ("auto", "grid", "tpe", "nsga2", "random", "qmc")


class StudyConfig(Record):
    """How the study searches."""

    name: str | None = None
    """Its name in the store; the sweep file's otherwise."""
    objectives: list[str]
    """Figures and directions: `energy:min`, `latency:min`, `accuracy:max`, `edp:min`, `area:min`."""
    trials: int | None = Field(default=None, ge=1)
    """Trials of the whole study, all processes together; all points of a grid otherwise."""
    samples: int | None = Field(default=None, ge=1)
    """Samples of a trial; the scenario's otherwise."""
    seed: int = Field(default=1, ge=0)
    """Seed of the search; the scenario has its own."""
    sampler: str = "auto"
    """`grid`, `tpe`, `nsga2`, `random`, `qmc`; `auto`: a grid where the trials cover it, else `tpe`."""
    store: str | None = None
    """Database URL that several machines can share; `study.db` in the output directory otherwise."""
    spice_samples: int = Field(default=2, ge=1)
    """Samples of a trial that `--validate` runs on ngspice."""


class SweepFile(Record):
    """The file."""

    base: str
    """Scenario that the axes vary, from the sweep file's folder."""
    study: StudyConfig
    axes: dict[str, Any]
    constraints: dict[str, str | list[str]] = {}
    """Bounds of figures, in SI units: `accuracy = ">= 0.9"`, or a list of them."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """A checked sweep."""

    where: str
    """Its file, for messages."""
    name: str
    base: Scenario
    axes: tuple[Axis, ...]
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...]
    config: StudyConfig
    trials: int

    @property
    def is_grid(self) -> bool:
        """Whether points are run in order, each once."""
        n = n_points(self.axes)
        return self.config.sampler == "grid" or (
            self.config.sampler == "auto" and n is not None and n <= self.trials
        )

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """Figures that each trial must give."""
        each = [*(o.quantity for o in self.objectives), *(c.quantity for c in self.constraints)]
        return tuple(dict.fromkeys(each))

    def scenario(self, point: Point) -> Scenario:
        """Return the scenario of a point; raises ScenarioError."""
        data = json.loads(self.base.model_dump_json())
        for axis in self.axes:
            for key, value in axis.settings(point[axis.name]):
                _put(data, key, value, f"{self.where}: axes.{axis.name}")
        shown = ", ".join(f"{name}={value}" for name, value in point.items())
        return parse_scenario(data, f"{self.where}: {shown}")

    def settings(self) -> dict[str, Any]:
        """Return what must agree for a study to go on."""
        base = json.loads(self.base.model_dump_json(exclude={"base"}))
        return {
            "base": base,
            "axes": {axis.name: json.loads(axis.config.model_dump_json()) for axis in self.axes},
            "objectives": [f"{objective.name}:{objective.direction}" for objective in self.objectives],
            "constraints": [constraint.text for constraint in self.constraints],
        }


def load_sweep(
    path: str | Path, *, trials: int | None = None, samples: int | None = None, store: str | None = None
) -> Sweep:
    """Read a sweep file; arguments that are given stand above it.

    Raises SweepError that names file, key, what was got and what is expected; other UserErrors where the
    base scenario, or no point of the sweep, can be run.
    """
    file = Path(path)
    written = _read(file)
    given = {"trials": trials, "samples": samples, "store": store}
    config = written.study.model_copy(update={k: v for k, v in given.items() if v is not None})
    if config.sampler not in SAMPLERS:
        raise SweepError(
            f"{file}: study.sampler: unknown sampler '{config.sampler}', known: {', '.join(SAMPLERS)}"
        )
    axes = read_axes(written.axes, str(file))
    objectives = read_objectives(config.objectives, str(file))
    constraints = read_constraints(written.constraints, str(file))
    overrides = [] if config.samples is None else [f"samples={config.samples}"]
    base = load_scenario(file.parent / Path(written.base).expanduser(), overrides)
    sweep = Sweep(
        str(file), config.name or file.stem, base, axes, objectives, constraints, config,
        _trials(config, axes, str(file)),
    )  # fmt: skip
    _check_runs(sweep)
    return sweep


def _read(file: Path) -> SweepFile:
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SweepError(f"cannot read the sweep {file}: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise SweepError(f"{file}: not valid TOML: {error}") from error
    try:
        return SweepFile.model_validate_json(json.dumps(data, default=str))
    except ValidationError as error:
        raise SweepError(f"{file}: {explain(error, SweepFile)}") from error


def _trials(config: StudyConfig, axes: tuple[Axis, ...], where: str) -> int:
    n = n_points(axes)
    if config.sampler == "grid" and n is None:
        endless = next(axis.name for axis in axes if axis.values() is None)
        raise SweepError(
            f"{where}: study.sampler: 'grid' needs lists, axes.{endless} is a range without step"
        )
    if config.trials is None and n is None:
        raise SweepError(f"{where}: study.trials is missing: ranges have no end, expected a number of trials")
    return min(config.trials or n or 0, n or config.trials or 0)


def _put(data: dict[str, Any], key: str, value: Any, place: str) -> None:
    *path, last = key.split(".")
    table: Any = data
    for part in path:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise SweepError(f"{place}: '{part}' in '{key}' is a value, not a table")
    table[last] = value


def _check_runs(sweep: Sweep) -> None:
    """Refuse a sweep whose keys no scenario takes: neither its first nor its last point can be opened."""
    ends = [_end(sweep, 0), _end(sweep, -1)]
    errors: list[UserError] = []
    for point in ends:
        try:
            rehearse(sweep.scenario(point))
        except UserError as error:
            errors.append(error)
        except Exception:  # noqa: BLE001 -- a plug-in's own mistake at this point is its trial's outcome
            continue
    if len(errors) == len(ends):
        raise SweepError(f"{sweep.where}: no point can be run: {errors[0]}") from errors[0]


def _end(sweep: Sweep, place: int) -> dict[str, Any]:
    """Return the point of all first (0) or all last (-1) values."""
    return {
        axis.name: values[place] if (values := axis.values()) else (axis.config.low, axis.config.high)[place]
        for axis in sweep.axes
    }

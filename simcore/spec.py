"""CircuitSpec: what the simulator knows of an analog circuit, read from its `circuit.toml`."""

from enum import StrEnum
from functools import cached_property
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator


class Record(BaseModel):
    """Frozen, strict base of everything that is read from TOML or JSON; no unknown keys, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class PortKind(StrEnum):
    """What a column of a bank means."""

    INPUT = "input"
    PARAM = "param"
    STATE = "state"
    OUTPUT = "output"


class Detector(Record):
    """When an output counts as an event; see 'Events' in docs/architecture.md."""

    kind: Literal["crossing", "level", "settled"]
    threshold: float | None = None
    """`crossing`, `level`: threshold in the port's unit."""
    min_swing: float | None = None
    """`settled`: the smallest change over a step, in the port's unit, that counts as an event."""

    @model_validator(mode="after")
    def _has_its_number(self) -> "Detector":
        if self.kind == "settled" and self.min_swing is None:
            raise ValueError("detector 'settled' needs min_swing")
        if self.kind != "settled" and self.threshold is None:
            raise ValueError(f"detector '{self.kind}' needs threshold")
        return self


class PortSpec(Record):
    """One port of a circuit: a scalar column, or an array of columns (`name = "in[rows]"`)."""

    name: str
    kind: Annotated[PortKind, Field(strict=False)]
    unit: str = ""
    low: float
    """Smallest value that the port may take (inputs, params) or that is plausible (state, output)."""
    high: float
    size: int | None = Field(default=None, ge=1)
    """Columns of an array port; None for a scalar port."""
    default: float | None = None
    """`param`: value used where a scenario gives none."""
    stimulus: Literal["pulse", "level"] | None = None
    """`input`: a packet at the start of the step, or a level held until it changes."""
    width_ps: int | None = None
    """`pulse`: time from the edge to the start of the falling ramp."""
    rise_ps: int | None = None
    """`input`: duration of a ramp."""
    reset: float | None = None
    """`input`: value at reset, and between pulses."""
    values: tuple[float, ...] | None = None
    """Digital `input`: the only values that it takes; random stimuli are drawn from them."""
    detector: Detector | None = None
    """`output`: its event detector."""

    @model_validator(mode="after")
    def _complete(self) -> "PortSpec":
        if not self.low < self.high:
            raise ValueError(f"port '{self.name}': low {self.low:g} must be below high {self.high:g}")
        needs = {
            PortKind.INPUT: ("stimulus", "rise_ps", "reset"),
            PortKind.PARAM: ("default",),
            PortKind.OUTPUT: ("detector",),
            PortKind.STATE: (),
        }[self.kind]
        if self.stimulus == "pulse":
            needs = (*needs, "width_ps")
        for field in needs:
            if getattr(self, field) is None:
                raise ValueError(f"{self.kind} port '{self.name}' needs {field}")
        for field in ("default", "reset"):
            value = getattr(self, field)
            if value is not None and not self.low <= value <= self.high:
                raise ValueError(
                    f"port '{self.name}': {field} {value:g} is outside {self.low:g} to {self.high:g}"
                )
        if self.values and self.reset is not None and self.reset not in self.values:
            raise ValueError(
                f"port '{self.name}': reset {self.reset:g} is not one of its values {list(self.values)}"
            )
        outside = [value for value in self.values or () if not self.low <= value <= self.high]
        if outside or self.values == () or (self.values and self.kind is not PortKind.INPUT):
            raise ValueError(
                f"port '{self.name}': values are those of an input, within {self.low:g} to {self.high:g}, "
                f"got {list(self.values or ())}"
            )
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """Column names: the name itself, or `name0`, `name1`, ... of an array port."""
        return (self.name,) if self.size is None else tuple(f"{self.name}{i}" for i in range(self.size))


class SolverPreset(Record):
    """ngspice accuracy: time steps and `.options` of one preset (`std`, `gold`)."""

    tmax_ps: int = Field(gt=0)
    tstep_ps: int = Field(gt=0)
    options: dict[str, float | int | str] = {}


SourceClass = Literal["supply", "bias", "input", "load"]


class ArraySpec(Record):
    """Which ports of a circuit are an array of cells in column pairs, and its periphery's nominal values.

    Families that learn whole arrays (`cnn`, `cellsum`) read it. Cells are in the order pair, tile, row.
    """

    voltage: str
    """Level input, one column per tile and row."""
    positive: str
    negative: str
    """Parameters: conductances of the cells of either column of the pairs."""
    feedback: str
    """Parameter: feedback resistance of the output stage."""
    offset: str
    """Parameter: input offset of the output stage."""
    tiles: str
    rows: str
    """Sizes."""
    sinh_per_v: float = Field(default=0.0, ge=0)
    """a of a cell's current G sinh(a V) / a; 0: ohmic."""
    stage_ohm: float = Field(gt=0)
    """Resistors between the inverting stage and its columns."""
    tile_ohm: float = Field(gt=0)
    """Switch between a tile's column and its stage."""
    loop_gain: float = Field(gt=0)
    """DC gain of the amplifiers."""
    limit_v: float = Field(gt=0)
    """Largest output voltage."""


class CircuitSpec(Record):
    """A circuit: ports, clock, netlist and device models. Equal `hash` means the same circuit."""

    name: str
    kind: Literal["dynamic", "static"] = "dynamic"
    """`static`: outputs follow from the inputs of the step alone; answered by operating points."""
    latency_every: int = Field(default=0, ge=0)
    """`static`: each n-th raster also runs as a transient, whose latencies are kept; 0: no latencies."""
    subckt: str
    period_ps: int = Field(gt=0)
    """Clock period in ps."""
    tail_periods: int = Field(ge=0)
    """Single idle steps that follow a driven step before idle periods are merged."""
    max_idle_periods: int = Field(ge=1)
    """Longest idle step, in periods."""
    source: str
    """Where the circuit comes from."""
    sizes: dict[str, int] = {}
    ports: tuple[PortSpec, ...]
    sources: dict[str, SourceClass]
    """Class of each energy-delivering netlist element, by lower-case name; `*` matches any ending."""
    features: dict[str, str] = {}
    """Named arithmetic expressions over port names: extra inputs of a surrogate."""
    array: ArraySpec | None = None
    """Set where the circuit is an array of cells."""
    solver: dict[str, SolverPreset]
    netlist: str
    """Text of the netlist (a Jinja2 template where the circuit has sizes)."""
    device_models: str = ""
    """Text of the device cards."""
    folder: str
    """Where the circuit was read from (not part of the hash)."""
    hash: str
    """SHA-256 over manifest (less `source`, `features`, `array`, `solver`), sizes, netlist, device models."""

    @model_validator(mode="after")
    def _ports_fit(self) -> "CircuitSpec":
        names = [name for port in self.ports for name in port.columns]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ValueError(f"two columns are called '{twice[0]}'")
        for kind in (PortKind.INPUT, PortKind.OUTPUT):
            if not self.of(kind):
                raise ValueError(f"ports: got no {kind} port, expected at least one")
        return self

    @model_validator(mode="after")
    def _array_fits(self) -> "CircuitSpec":
        """Hold the table to its ports: what each is, and how many columns it has."""
        array = self.array
        if array is None:
            return self
        if self.kind != "static":
            raise ValueError("array: belongs to kind = 'static'")
        for size in (array.tiles, array.rows):
            if size not in self.sizes:
                raise ValueError(f"array: no size '{size}'; known: {', '.join(self.sizes)}")
        lines = self.sizes[array.tiles] * self.sizes[array.rows]
        cells = lines * self.width(PortKind.OUTPUT)
        roles = {
            "voltage": (array.voltage, PortKind.INPUT, lines),
            "positive": (array.positive, PortKind.PARAM, cells),
            "negative": (array.negative, PortKind.PARAM, cells),
            "feedback": (array.feedback, PortKind.PARAM, None),
            "offset": (array.offset, PortKind.PARAM, None),
        }
        ports = {port.name: (port.kind, port.size) for port in self.ports}
        for role, (name, *expected) in roles.items():
            if ports.get(name) != tuple(expected):
                columns = "one column" if expected[1] is None else f"{expected[1]} columns"
                raise ValueError(f"array.{role}: '{name}' is no {expected[0]} port of {columns}")
        if len({name for name, *_ in roles.values()}) < len(roles):
            raise ValueError("array: a port has two roles, expected five ports")
        ranges = {port.name: (port.low, port.high) for port in self.ports}
        if ranges[array.positive] != ranges[array.negative]:
            raise ValueError(f"array: '{array.positive}' and '{array.negative}' differ in low or high")
        return self

    @model_validator(mode="after")
    def _static_has_no_memory(self) -> "CircuitSpec":
        if self.kind == "dynamic":
            if self.latency_every:
                raise ValueError(
                    "latency_every belongs to kind = 'static'; a dynamic circuit has all latencies"
                )
            return self
        for port in self.ports:
            if port.kind is PortKind.STATE:
                raise ValueError(f"port '{port.name}': a static circuit has no state")
            if port.stimulus == "pulse":
                raise ValueError(f"port '{port.name}': a static circuit takes levels, got stimulus 'pulse'")
            if port.detector is not None and port.detector.kind != "settled":
                raise ValueError(
                    f"port '{port.name}': a static circuit needs detector 'settled', "
                    f"got '{port.detector.kind}'"
                )
        if self.tail_periods:
            raise ValueError(f"tail_periods must be 0 in a static circuit, got {self.tail_periods}")
        return self

    @property
    def has_latencies(self) -> bool:
        """Whether the latency of events is known, in a static circuit at least of some."""
        return self.kind == "dynamic" or self.latency_every > 0

    def of(self, kind: PortKind) -> tuple[PortSpec, ...]:
        """Return the ports of one kind, in order."""
        return tuple(port for port in self.ports if port.kind is kind)

    def columns(self, kind: PortKind) -> tuple[str, ...]:
        """Return the column names of one kind, in port order."""
        return tuple(name for port in self.of(kind) for name in port.columns)

    def width(self, kind: PortKind) -> int:
        """Return the number of columns of one kind."""
        return len(self.columns(kind))

    def low(self, kind: PortKind) -> NDArray[np.float64]:
        """Return the lower bound of each column of one kind, shape (n,)."""
        return np.array([port.low for port in self.of(kind) for _ in port.columns])

    def high(self, kind: PortKind) -> NDArray[np.float64]:
        """Return the upper bound of each column of one kind, shape (n,)."""
        return np.array([port.high for port in self.of(kind) for _ in port.columns])

    @cached_property
    def reset_inputs(self) -> NDArray[np.float64]:
        """Input values at reset, shape (n_in,)."""
        return np.array([p.reset for p in self.of(PortKind.INPUT) for _ in p.columns], dtype=np.float64)

    @cached_property
    def default_params(self) -> NDArray[np.float64]:
        """Default of each parameter column, shape (n_param,)."""
        return np.array([p.default for p in self.of(PortKind.PARAM) for _ in p.columns], dtype=np.float64)

    @cached_property
    def holds_level(self) -> NDArray[np.bool_]:
        """Which input columns keep their value until it changes, shape (n_in,)."""
        return np.array([p.stimulus == "level" for p in self.of(PortKind.INPUT) for _ in p.columns])

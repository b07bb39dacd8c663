"""Deck texts of a circuit: listing, operating point, one closed-loop step, a whole raster.

At a clock edge a stimulus still has its previous value and reaches the new one after the port's `rise_ps`.
A pulse holds until `width_ps` after its edge and is back at its reset value `rise_ps` later.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from simcore.bank import Floats, Raster
from simcore.errors import CircuitError
from simcore.spec import CircuitSpec, PortKind
from spice_ref.netlist import check_interface, pin_names, render, strip

SWEPT = "simcore_point"
"""Node of the source that a sweep of operating points counts with."""
Points = list[tuple[int, float]]
"""Corners (ps, value) of a piecewise linear stimulus, its first one at 0."""


class Decks:
    """Writes the decks of one circuit at one accuracy; equal arguments give equal texts."""

    def __init__(self, spec: CircuitSpec, accuracy: str) -> None:
        """Render the netlist; raises CircuitError where it does not fit the manifest."""
        netlist = render(spec)
        check_interface(spec, netlist)
        self._spec = spec
        self._preset = spec.solver[accuracy]
        self._pins = pin_names(spec)
        self._inputs = [name.lower() for name in spec.columns(PortKind.INPUT)]
        self._params = spec.columns(PortKind.PARAM)
        self._shapes = [_Shape(spec, i) for i in range(len(self._inputs))]
        options = " ".join(f"{key}={value}" for key, value in self._preset.options.items())
        self._head = f"* {spec.name}\n{strip(spec.device_models)}\n{netlist}\n.options {options}\n"

    def point(self, params: Floats) -> str:
        """Return the deck of the operating point with every input at reset; also good for a listing."""
        rest = [[(0, shape.reset)] for shape in self._shapes]
        return self._deck(params, rest, [".op"])

    def step(
        self,
        params: Floats,
        nodes: Sequence[str],
        voltages: Floats,
        held: Floats,
        inputs: Floats,
        duration_ps: int,
    ) -> str:
        """Return the deck of one step that starts from the voltages of `nodes`, previous levels `held`."""
        corners: list[Points] = []
        for shape, before, value in zip(self._shapes, held.tolist(), inputs.tolist(), strict=True):
            points: Points = [(0, before)]
            shape.drive(points, 0, value)
            corners.append(points)
        start = " ".join(f"v({name})={value!r}" for name, value in zip(nodes, voltages.tolist(), strict=True))
        return self._deck(params, corners, [f".ic {start}", self._tran(duration_ps)])

    def raster(self, raster: Raster, extra_saves: Sequence[str] = (), shift_ps: int = 0) -> str:
        """Return the deck of one continuous transient over a whole raster, all its edges `shift_ps` later."""
        edges = edges_ps(raster.duration_ps) + shift_ps
        corners: list[Points] = []
        for shape, values in zip(self._shapes, raster.inputs.T.tolist(), strict=True):
            points: Points = [(0, shape.reset)]
            for edge, value, idle in zip(edges.tolist(), values, raster.idle.tolist(), strict=False):
                shape.drive(points, edge, shape.rest(value) if idle else value)
            corners.append(points)
        return self._deck(raster.params, corners, [*_save(extra_saves), self._tran(int(edges[-1]))])

    def sweep(self, params: Floats, points: Floats, extra_saves: Sequence[str] = ()) -> str:
        """Return the deck of one operating point after the other, points (n, n_in) with n of at least 2.

        All inputs follow one swept source, so that each point starts from the solution of the one before.
        """
        lines = [f"v_{SWEPT} {SWEPT} 0 0"]
        for name, values in zip(self._inputs, points.T.tolist(), strict=True):
            corners = ", ".join(f"{place}, {value!r}" for place, value in enumerate(values))
            lines.append(f"b_{name} {name} 0 v=pwl(v({SWEPT}), {corners})")
        analysis = f".dc v_{SWEPT} 0 {len(points) - 1} 1"
        return self._written(params, lines, [*_save(extra_saves), analysis])

    def rested(self, inputs: Floats) -> Floats:
        """Return what an idle step applies: held levels, and pulses at reset; (n, n_in)."""
        resets = self._spec.reset_inputs
        return np.where(self._spec.holds_level, inputs, resets)

    def _tran(self, stop_ps: int) -> str:
        return f".tran {self._preset.tstep_ps}e-12 {stop_ps}e-12 0 {self._preset.tmax_ps}e-12"

    def _deck(self, params: Floats, corners: Sequence[Points], tail: Sequence[str]) -> str:
        sources = [_source(name, points) for name, points in zip(self._inputs, corners, strict=True)]
        return self._written(params, sources, tail)

    def _written(self, params: Floats, sources: Sequence[str], tail: Sequence[str]) -> str:
        values = " ".join(
            f"{name}={value!r}" for name, value in zip(self._params, params.tolist(), strict=True)
        )
        instance = f"x0 {' '.join(self._pins)} {self._spec.subckt} {values}"
        return self._head + "\n".join([instance, *sources, *tail, ".end"])


class _Shape:
    """How one input column follows its values."""

    __slots__ = ("_rise", "_width", "reset")

    def __init__(self, spec: CircuitSpec, column: int) -> None:
        port = [port for port in spec.of(PortKind.INPUT) for _ in port.columns][column]
        assert port.rise_ps is not None
        assert port.reset is not None
        self.reset = port.reset
        self._rise = port.rise_ps
        self._width = port.width_ps if port.stimulus == "pulse" else None
        last = (self._width or 0) + self._rise
        if self._rise <= 0 or (self._width or self._rise) < self._rise or last > spec.period_ps:
            raise CircuitError(
                f"{spec.folder}: input '{port.name}' needs 0 < rise_ps <= width_ps and width_ps + rise_ps "
                f"within period_ps = {spec.period_ps}, got rise_ps = {self._rise}, width_ps = {self._width}"
            )

    def rest(self, value: float) -> float:
        """Return what an idle step applies: the held level, or a pulse's reset."""
        return value if self._width is None else self.reset

    def drive(self, points: Points, edge: int, value: float) -> None:
        """Append the corners of one step that starts at `edge`; none where nothing changes."""
        before = points[-1][1]
        if value == before:
            return
        points += [(edge, before)] * (points[-1][0] != edge) + [(edge + self._rise, value)]
        if self._width is not None:
            points += [(edge + self._width, value)] * (self._width > self._rise)
            points.append((edge + self._width + self._rise, self.reset))


def edges_ps(duration_ps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the clock edges that bound consecutive steps, (n + 1,), the first at 0."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(duration_ps)])


def _save(extra: Sequence[str]) -> list[str]:
    return [f".save all {' '.join(extra)}"] if extra else []


def _source(column: str, points: Points) -> str:
    if len(points) == 1:
        return f"v_{column} {column} 0 {points[0][1]!r}"
    corners = " ".join(f"{time}e-12 {value!r}" for time, value in points)
    return f"v_{column} {column} 0 pwl({corners})"

"""CellArray: a circuit that is an array of cells, and its ports in the input of a whole-array network."""

from dataclasses import dataclass

from simcore.spec import ArraySpec, CircuitSpec, PortKind, PortSpec
from surrogates.tensors import Tensor


@dataclass(frozen=True, slots=True)
class CellArray:
    """`pairs` pairs of columns on `tiles` tiles of `rows` rows.

    Networks see voltages in units of `v_scale`, conductances of `g_scale`, currents of their product.
    """

    array: ArraySpec
    ports: dict[str, PortSpec]
    scalars: tuple[str, ...]
    """Parameters that are no conductances, in the order of the network's input."""
    tiles: int
    rows: int
    pairs: int
    v_scale: float
    g_scale: float

    @property
    def lines(self) -> int:
        """Row voltages, on all tiles."""
        return self.tiles * self.rows

    @property
    def bend(self) -> tuple[float, float]:
        """How a cell's current over v, and its conductance, rise with v^2: first terms of sinh and cosh."""
        square = (self.array.sinh_per_v * self.v_scale) ** 2
        return square / 6, square / 2

    def split(self, z: Tensor) -> "Cells":
        """Take apart the input of `design.whole_design`, (k, scalars + lines + 2 * pairs * lines)."""
        array, start = self.array, len(self.scalars)
        feedback, offset = (self.scalars.index(name) for name in (array.feedback, array.offset))
        end = start + self.lines
        return Cells(
            v=self._scaled(z[:, start:end], array.voltage, self.v_scale),
            g=self._scaled(z[:, end : end + 2 * self.pairs * self.lines], array.positive, self.g_scale),
            r_f=self._scaled(z[:, feedback : feedback + 1], array.feedback, 1 / self.g_scale),
            v_os=self._scaled(z[:, offset : offset + 1], array.offset, self.v_scale),
        )

    def _scaled(self, z: Tensor, port: str, unit: float) -> Tensor:
        low, high = self.ports[port].low / unit, self.ports[port].high / unit
        return z * ((high - low) / 2) + (high + low) / 2


@dataclass(frozen=True, slots=True)
class Cells:
    """A network's input in the units of CellArray."""

    v: Tensor
    """(k, lines)"""
    g: Tensor
    """(k, 2 * pairs * lines): the positive columns of all pairs, then the negative ones."""
    r_f: Tensor
    """(k, 1)"""
    v_os: Tensor
    """(k, 1)"""


def cell_array(spec: CircuitSpec) -> CellArray:
    """Return the geometry of a circuit that has an `[array]`."""
    array = spec.array
    assert array is not None
    ports = {port.name: port for port in spec.ports}
    return CellArray(
        array,
        ports,
        tuple(port.name for port in spec.of(PortKind.PARAM) if port.size is None),
        spec.sizes[array.tiles],
        spec.sizes[array.rows],
        spec.width(PortKind.OUTPUT),
        ports[array.voltage].high,
        ports[array.positive].high,
    )

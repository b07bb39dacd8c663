"""Layout: which column of a graph's input is which port."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from simcore.spec import CircuitSpec, PortKind

DURATION = "duration"
KINDS = (PortKind.INPUT, PortKind.PARAM, PortKind.STATE)


@dataclass(frozen=True)
class Layout:
    """Columns of the input `x` (k, width): INPUT, PARAM, STATE before the step, duration in periods."""

    spec: CircuitSpec

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Column names in order."""
        return (*(name for kind in KINDS for name in self.spec.columns(kind)), DURATION)

    @cached_property
    def slices(self) -> dict[str, slice]:
        """Columns of each port, and of `duration`."""
        found, start = {}, 0
        for kind in KINDS:
            for port in self.spec.of(kind):
                found[port.name] = slice(start, start + len(port.columns))
                start += len(port.columns)
        found[DURATION] = slice(start, start + 1)
        return found

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.names)

    def of(self, kind: PortKind) -> slice:
        """Columns of one kind."""
        start = sum(self.spec.width(before) for before in KINDS[: KINDS.index(kind)])
        return slice(start, start + self.spec.width(kind))

    def rows(
        self,
        inputs: NDArray[np.float64],
        params: NDArray[np.float64],
        state: NDArray[np.float64],
        duration_ps: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        """Return `x`, (k, width) float32."""
        periods = duration_ps / self.spec.period_ps
        return np.concatenate([inputs, params, state, periods[:, None]], axis=1, dtype=np.float32)

    def ports(self, x: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Return the ports of `x` by name, each (k, size)."""
        return {name: x[:, columns] for name, columns in self.slices.items()}

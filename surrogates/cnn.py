"""Family `cnn`: Conv4Xbar, the published 3D network on an array of cells, with a head of circuit equations.

Source: SEMULATOR, arXiv 2101.07864. On (features, tiles, rows, columns) = (2, t, 64, c): Conv3d(2, 16, 1) -
Conv3d(16, 8, (1, 2, 1)) - Conv3d(8, 4, (1, 4, 1)) - Conv3d(4, 32, (1, 8, 1)) - Conv3d(32, 32, (1, 1, 2)),
strides as the kernels, then three linear layers to 32, 16 and the outputs; CELU between them. No kernels
overlap, so that each convolution is a reshape and a matrix product, which a test holds equal to Conv3d.

The head: Kirchhoff's sums, with cells that bend, give the current into each pair's output stage and the load
on it; the network says by how much both differ from them, and the periphery's equations make the output.
Energies and latency are further outputs of the last layer.
"""

from itertools import pairwise
from typing import ClassVar

import numpy as np

from simcore.errors import UserError
from surrogates.array_fit import ArrayModel, Schedule, fit_array
from surrogates.cellarray import CellArray, cell_array
from surrogates.family import Effort, StepModel
from surrogates.features import Rows
from surrogates.frame import Frame, Table
from surrogates.periphery import GAIN, nominal, settled, stage
from surrogates.tensors import Tensor, concat, elu, glorot

SPANS = (2, 4, 8)
"""Rows that the kernels of the second to fourth convolution span; together 64."""
CHANNELS = (16, 8, 4, 32)
PAIRED = 32
"""Channels of the last convolution, over the two columns of a pair."""
SOLVER = (32, 16)
CURRENT, LOAD = 1.0, 0.05
"""What one unit of the last layer is: current into an output stage, share of the load on it."""
SCHEDULE = Schedule(batch=128, rate=2e-3, epochs=200, halve_at=(0.5, 0.75, 0.9))


class Conv4Xbar:
    """The network; weights c0 to c4 are its convolutions, l0 to l2 its linear layers."""

    def __init__(self, cells: CellArray, frame: Frame) -> None:
        self.cells = cells
        pairs, first = cells.pairs, int(frame.targets.latency)
        self._outputs = slice(first, first + pairs)
        self._n_heads = len(frame.targets.groups) - pairs
        self._offset = frame.offset[self._outputs].astype(np.float32)[None]
        self._scale = frame.scale[self._outputs].astype(np.float32)[None]

    def initial(self, rng: np.random.Generator) -> dict[str, Rows]:
        """Return weights before training; the head starts as cells that bend as the manifest says."""
        cells = self.cells
        folded = cells.rows // int(np.prod(SPANS))
        convolutions = [
            (span * n_in, n_out) for n_in, n_out, span in zip(CHANNELS[:-1], CHANNELS[1:], SPANS, strict=True)
        ] + [(2 * CHANNELS[-1], PAIRED)]
        widths = (PAIRED * cells.tiles * folded * cells.pairs, *SOLVER, 2 * cells.pairs + self._n_heads)
        w = nominal(cells)
        head = {"flow": 1.0, "bend": cells.bend[0], "load": 1.0, "load_bend": cells.bend[1]}
        w |= {name: np.full((1, 1), value, np.float32) for name, value in head.items()}
        w |= {
            "c0.v": glorot(rng, 2, CHANNELS[0])[:1],
            "c0.g": glorot(rng, 2, CHANNELS[0])[:1],
            "c0.b": np.zeros((1, CHANNELS[0]), np.float32),
        }
        layers = [(f"c{i}", *shape) for i, shape in enumerate(convolutions, 1)]
        layers += [(f"l{i}", *shape) for i, shape in enumerate(pairwise(widths))]
        for name, n_in, n_out in layers:
            w[f"{name}.w"] = glorot(rng, n_in, n_out)
            w[f"{name}.b"] = np.zeros((1, n_out), np.float32)
        w["l2.w"] *= np.float32(0.1)
        w["heads"] = np.zeros((cells.pairs + 2, self._n_heads), np.float32)
        w["offset"], w["scale"] = self._offset, self._scale
        return w

    def convolved(self, w: dict[str, Tensor], v: Tensor, g: Tensor) -> Tensor:
        """Return the last convolution's channels, (k, flat), of v (k, lines) and g (k, 2 * pairs * lines)."""
        lines, columns = self.cells.lines, 2 * self.cells.pairs
        x = v.reshape(-1, 1, lines, 1) @ w["c0.v"] + w["c0.b"]
        x = elu(x + g.reshape(-1, columns, lines, 1) @ w["c0.g"])
        for layer, (span, channels) in enumerate(zip(SPANS, CHANNELS, strict=False), 1):
            lines //= span
            x = x.reshape(-1, columns, lines, span * channels)
            x = elu(x @ w[f"c{layer}.w"] + w[f"c{layer}.b"])
        half = self.cells.pairs * lines * CHANNELS[-1]
        x = x.reshape(-1, 2 * half)
        sides = [
            x[:, start : start + half].reshape(-1, half // CHANNELS[-1], CHANNELS[-1]) for start in (0, half)
        ]
        x = elu(concat(sides, 2) @ w["c4.w"] + w["c4.b"])
        return x.reshape(-1, self.cells.pairs * lines * PAIRED)

    def forward(self, w: dict[str, Tensor], z: Tensor) -> Tensor:
        """Return t, (k, c), of the array's columns z."""
        pairs, cells = self.cells.pairs, self.cells.split(z)
        x = self.convolved(w, cells.v * 2.0 - 1.0, cells.g * 2.0 - 1.0)
        for layer in range(3):
            x = x @ w[f"l{layer}.w"] + w[f"l{layer}.b"]
            x = elu(x) if layer < 2 else x
        lines = self.cells.lines
        g, square = cells.g.reshape(-1, 2 * pairs, lines), cells.v * cells.v
        flows = (g @ (cells.v * (square * w["bend"] + 1.0)).reshape(-1, lines, 1)).reshape(-1, 2 * pairs)
        loads = (g @ (square * w["load_bend"] + 1.0).reshape(-1, lines, 1)).reshape(-1, 2 * pairs)
        feedback = 1.0 / cells.r_f
        current = (flows[:, :pairs] - flows[:, pairs : 2 * pairs]) * w["flow"] + x[:, :pairs] * CURRENT
        load = loads[:, pairs : 2 * pairs] * w["load"] + stage(w) + feedback
        load = load * (x[:, pairs : 2 * pairs] * LOAD + 1.0)
        drive = current + cells.v_os * load
        _, out, _ = settled(w, w["gain"] * GAIN, drive, load, feedback)
        seen = concat([out * out, feedback * 0.1, cells.v_os * 50.0], 1)
        heads = x[:, 2 * pairs : 2 * pairs + self._n_heads] + seen @ w["heads"]
        outputs = (out * self.cells.v_scale - w["offset"]) / w["scale"]
        before = self._outputs.start
        parts = [heads[:, :before]] if before else []
        return concat([*parts, outputs, heads[:, before : self._n_heads]], 1)


class CnnFamily:
    """The published network; needs the extra `torch` to train."""

    name: ClassVar[str] = "cnn"
    requires: ClassVar[tuple[str, ...]] = ("torch", "onnx")
    teacher: ClassVar[str] = ""
    residual: ClassVar[bool] = False
    arrays: ClassVar[bool] = True

    def fit(self, frame: Frame, train: Table, selection: Table, effort: Effort) -> StepModel:
        """Train with the published schedule, compressed; raises UserError for rows that it cannot fold."""
        spec = frame.design.layout.spec
        cells = cell_array(spec)
        if cells.rows % int(np.prod(SPANS)):
            raise UserError(f"family 'cnn': {cells.rows} rows of '{spec.name}', expected a multiple of 64")
        net = Conv4Xbar(cells, frame)
        w = net.initial(np.random.default_rng(effort.seed))
        fixed = ("offset", "scale")
        return ArrayModel(net.forward, *fit_array(net.forward, w, frame, train, effort, SCHEDULE, fixed))


FAMILY = CnnFamily()

"""Design: what a model sees of a step: scalar ports and physics features, standardised."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simcore.spec import CircuitSpec, PortKind
from surrogates.features import (
    Feature,
    Node,
    NumpyArithmetic,
    Rows,
    Values,
    carry_out,
    names_of,
    parse_features,
)
from surrogates.graph import GraphBuilder
from surrogates.layout import DURATION, Layout

LOG_DURATION = "log_duration"
SMALLEST_SPREAD = 1e-5
"""A column that varies by less than this share of its largest value is rounding noise and left out."""
ROUNDING_GAIN = 1e5
"""A feature is not scaled up so far that its float32 rounding (a difference of near values) would be seen."""
SMALLEST_GAIN = 1e4
"""A feature that varies by less than this many times its rounding is left out: a linear model would give it
a weight that makes up for the scale, and show the rounding after all."""


@dataclass(frozen=True, slots=True)
class Design:
    """Columns of a model, each `(value - mean) * factor`.

    Array ports enter through features only: with few weight vectors in the data, a model on raw columns
    learns the vectors and not the sum. Families that know what the cells of an array have in common see
    them whole (`whole_design`).
    """

    layout: Layout
    scalars: tuple[str, ...]
    """Scalar ports that vary in the training data."""
    features: tuple[Feature, ...]
    """All features, intermediates included, in order."""
    chosen: tuple[str, ...]
    """Features that are columns."""
    mean: Rows
    factor: Rows
    """One over the spread."""
    arrays: tuple[str, ...] = ()
    """Array ports whose columns follow the features."""

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in order."""
        slices, names = self.layout.slices, self.layout.names
        cells = (name for array in self.arrays for name in names[slices[array]])
        widths = {feature.name: feature.tree.width for feature in self.features}
        features = (
            name if widths[name] == 1 else f"{name}{i}" for name in self.chosen for i in range(widths[name])
        )
        return (*self.scalars, *features, *cells)

    def standardise(self, x: Rows) -> Rows:
        """Return what the model sees, (k, m) float32."""
        columns = (*self.scalars, *self.chosen, *self.arrays)
        raw = _raw(self.layout, self.features, columns, x, np.float32).astype(np.float32)
        return (raw - self.mean) * self.factor

    def emit(self, builder: GraphBuilder, x: str) -> str:
        """Add the nodes that compute `standardise`; return their tensor."""
        slices = self.layout.slices
        parts = []
        if self.scalars:
            parts.append(builder.gather(x, [slices[name].start for name in self.scalars]))
        if self.chosen:
            wanted = self._needed()
            used = sorted(frozenset[str]().union(*(feature.uses for feature in wanted)))
            ports = {name: builder.columns(x, slices[name]) for name in used}
            values: Mapping[str, str] = carry_out(wanted, ports, builder)
            parts.extend(values[name] for name in self.chosen)
        parts.extend(builder.columns(x, slices[name]) for name in self.arrays)
        return builder.standardise(builder.concat(parts), self.mean, self.factor)

    def _needed(self) -> list[Feature]:
        wanted, needed = set(self.chosen), []
        for feature in reversed(self.features):
            if feature.name in wanted:
                needed.append(feature)
                wanted |= names_of(feature.tree)
        return needed[::-1]


def fit_design(spec: CircuitSpec, x: Rows, *, kinds: tuple[PortKind, ...], idle: bool) -> Design:
    """Choose the columns that vary over the rows `x` and may be used (`kinds`), with mean and scale."""
    layout = Layout(spec)
    allowed = {port.name for kind in kinds for port in spec.of(kind)} | ({DURATION} if idle else set())
    scalars = tuple(port.name for kind in kinds for port in spec.of(kind) if port.size is None)
    features = parse_features(spec)
    if idle:
        logarithm = Node("Log", (Node("Name", name=DURATION),))
        features = (*features, Feature(LOG_DURATION, logarithm, frozenset({DURATION})))
    widths = dict.fromkeys(scalars, 1) | {
        f.name: f.tree.width for f in features if f.tree.width in (1, spec.width(PortKind.OUTPUT))
    }
    usable = tuple(f.name for f in features if f.name in widths and f.uses <= allowed)
    columns = (*scalars, *usable)
    raw = _raw(layout, features, columns, x, np.float64)
    rounding = np.sqrt(((_raw(layout, features, columns, x, np.float32) - raw) ** 2).mean(axis=0))
    mean, spread = raw.mean(axis=0), raw.std(axis=0)
    scale = np.maximum(spread, ROUNDING_GAIN * rounding)
    varies = np.isfinite(scale) & (scale > SMALLEST_SPREAD * np.abs(raw).max(axis=0))
    varies &= spread >= SMALLEST_GAIN * rounding
    if not varies.any():
        varies[0], scale[0] = True, 1.0
    owner = np.repeat(columns, [widths[name] for name in columns])
    keep = set(columns) - set(owner[~varies].tolist())
    kept = np.isin(owner, list(keep))
    return Design(
        layout,
        tuple(name for name in scalars if name in keep),
        features,
        tuple(name for name in usable if name in keep),
        mean[kept].astype(np.float32),
        (1 / scale[kept]).astype(np.float32),
    )


def whole_design(spec: CircuitSpec, arrays: Sequence[str]) -> Design:
    """Return the scalar parameters and whole array ports, each from -1 to 1 over its port's range."""
    layout = Layout(spec)
    scalars = tuple(port.name for port in spec.of(PortKind.PARAM) if port.size is None)
    ports = {port.name: port for port in spec.ports}
    columns = [ports[name] for name in (*scalars, *arrays)]
    low, high = (
        np.concatenate([np.full(port.size or 1, getattr(port, bound)) for port in columns])
        for bound in ("low", "high")
    )
    mean, factor = (low + high) / 2, 2 / (high - low)
    return Design(layout, scalars, (), (), mean.astype(np.float32), factor.astype(np.float32), tuple(arrays))


def _raw(
    layout: Layout,
    features: tuple[Feature, ...],
    names: tuple[str, ...],
    x: Rows,
    dtype: type[np.floating[Any]],
) -> Values:
    ports: dict[str, Values] = {name: port.astype(dtype) for name, port in layout.ports(x).items()}
    values = ports | carry_out(features, ports, NumpyArithmetic(dtype))
    parts = (values[name] for name in names)
    return np.concatenate([np.broadcast_to(part, (len(x), part.shape[1])) for part in parts], axis=1)

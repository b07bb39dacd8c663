"""Turns a scenario into what the engine runs: circuits, architecture, samples, banks."""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from simcore import registry
from simcore.architecture import Architecture, Batch, ImageSet, Layer
from simcore.bank import BankRequest, Floats
from simcore.digital import Components, components_of
from simcore.engine import BankSlot
from simcore.errors import ContractError, DatasetError, ScenarioError
from simcore.manifest import explain, load_circuit
from simcore.scenario import CircuitConfig, Scenario
from simcore.spec import CircuitSpec, PortKind


@dataclass(frozen=True, slots=True)
class Assembly:
    """A checked scenario with its plug-ins loaded."""

    scenario: Scenario
    architecture: Architecture
    images: ImageSet
    components: Components
    """Digital components."""

    def batch(self, first: int, n_lanes: int) -> Batch:
        """Return `n_lanes` samples from the `first` of the scenario on."""
        start = self.scenario.dataset.start + first
        rows = slice(start, start + n_lanes)
        return Batch(
            images=self.images.images[rows],
            labels=self.images.labels[rows],
            samples=np.arange(start, start + n_lanes),
            seed=self.scenario.seed,
        )

    def digest(self) -> str:
        """Return a hash of the samples and, where it is a file, of the weights."""
        config = self.scenario.dataset
        rows = slice(config.start, config.start + self.scenario.samples)
        found = hashlib.sha256(self.images.images[rows].tobytes())
        found.update(self.images.labels[rows].tobytes())
        weights = Path(self.scenario.base) / Path(self.scenario.architecture.weights).expanduser()
        if weights.is_file():
            found.update(weights.read_bytes())
        return found.hexdigest()


def assemble(scenario: Scenario) -> Assembly:
    """Load the plug-ins and samples of a scenario; raises a UserError that names what is wrong."""
    images = registry.load("datasets", scenario.dataset.name)(scenario.dataset.split)
    last = scenario.dataset.start + scenario.samples
    if last > len(images.images):
        raise ScenarioError(
            f"{scenario.name}: samples {scenario.dataset.start} to {last} asked for, but "
            f"{scenario.dataset.name}/{scenario.dataset.split} has {len(images.images)}"
        )
    used = images.images[scenario.dataset.start : last]
    bad = ~(np.isfinite(used) & (used >= 0) & (used <= 1))
    if bad.any():
        sample, row, column = np.argwhere(bad)[0]
        raise DatasetError(
            f"{scenario.dataset.name}/{scenario.dataset.split}: sample {scenario.dataset.start + sample}, "
            f"pixel ({row}, {column}) is {used[sample, row, column]}, expected a number from 0 to 1"
        )
    config = scenario.architecture
    kind = registry.load("architectures", config.name)
    try:
        options = kind.options_type.model_validate_json(json.dumps(config.options))
    except ValidationError as error:
        raise ScenarioError(
            f"{scenario.name}: architecture.options: {explain(error, kind.options_type)}"
        ) from error
    weights = config.weights
    if "/" in weights or "." in weights:
        weights = str(Path(scenario.base) / Path(weights).expanduser())
    components = components_of(scenario.digital, scenario.base, getattr(options, "bits", None))
    return Assembly(scenario, kind(weights, options, used.shape[1:]), images, components)


def circuit_of(scenario: Scenario, key: str) -> CircuitSpec:
    """Return the circuit behind a key of `[circuits]`."""
    config = scenario.circuits.get(key, CircuitConfig())
    base = Path(scenario.base).resolve()
    path = key if config.path is None else str(base / Path(config.path).expanduser())
    return load_circuit(path, device_models=config.device_models, sizes=config.sizes, base=base)


def backend_of(scenario: Scenario, layer: str) -> str:
    """Return the back end that answers a layer."""
    config = scenario.layers.get(layer)
    return (config and config.backend) or scenario.backend.default


def open_banks(scenario: Scenario, layers: tuple[Layer, ...], n_lanes: int) -> list[BankSlot]:
    """Open one bank per circuit and back end; layers that agree in both share it."""
    _all_used(scenario, "layers", scenario.layers, [layer.name for layer in layers])
    _all_used(scenario, "circuits", scenario.circuits, [layer.circuit for layer in layers])
    groups: dict[tuple[str, str], list[Layer]] = {}
    for layer in layers:
        groups.setdefault((layer.circuit, backend_of(scenario, layer.name)), []).append(layer)
    slots: list[BankSlot] = []
    try:
        for (circuit, backend), members in groups.items():
            spec = circuit_of(scenario, circuit)
            _all_effective(scenario, circuit, members)
            params = [np.tile(unit_params(scenario, layer, spec), (n_lanes, 1)) for layer in members]
            request = BankRequest(
                spec, np.vstack(params), scenario.backend.options(backend), Path(scenario.base),
                solver=scenario.backend.spice,
            )  # fmt: skip
            slots.append(BankSlot(registry.load("backends", backend)(request), tuple(members)))
        _same_period(slots)
    except BaseException:
        for slot in slots:
            slot.bank.close()
        raise
    return slots


def _all_used(scenario: Scenario, table: str, got: Collection[str], known: list[str]) -> None:
    unknown = set(got) - set(known)
    if unknown:
        raise ScenarioError(
            f"{scenario.name}: {table}.{min(unknown)}: the network has no such "
            f"{table.rstrip('s')}; it has: {', '.join(dict.fromkeys(known))}"
        )


def _all_effective(scenario: Scenario, circuit: str, layers: list[Layer]) -> None:
    """Refuse a circuit parameter that every layer sets itself: it would be ignored."""
    for name in scenario.circuits.get(circuit, CircuitConfig()).params:
        if all(name in layer.params for layer in layers):
            raise ScenarioError(
                f"circuits.{circuit}.params.{name}: the architecture sets it in every layer; "
                f"use its options, or layers.{layers[0].name}.params.{name}"
            )


def _same_period(slots: list[BankSlot]) -> None:
    periods = {slot.layers[0].circuit: slot.bank.spec.period_ps for slot in slots}
    if len(set(periods.values())) > 1:
        raise ScenarioError(f"the circuits of a network must share one clock period, got (ps) {periods}")


def unit_params(scenario: Scenario, layer: Layer, spec: CircuitSpec) -> Floats:
    """Return the parameters of each unit of a layer, (n_units, n_param); raises ScenarioError."""
    values = np.tile(spec.default_params, (layer.n_units, 1))
    circuit = scenario.circuits.get(layer.circuit, CircuitConfig())
    config = scenario.layers.get(layer.name)
    _set_scalars(values, circuit.params, spec, f"circuits.{layer.circuit}.params")
    _set_ports(values, layer, spec)
    if config is not None:
        _set_scalars(values, config.params, spec, f"layers.{layer.name}.params")
    low, high = spec.low(PortKind.PARAM), spec.high(PortKind.PARAM)
    bad = (values < low) | (values > high) | ~np.isfinite(values)
    if bad.any():
        unit, place = np.argwhere(bad)[0]
        port, name = [(port, name) for port in spec.of(PortKind.PARAM) for name in port.columns][place]
        suffix = f" {port.unit}" if port.unit else ""
        raise ScenarioError(
            f"layer {layer.name}: parameter {name} of {spec.name} is {values[unit, place]:g}{suffix}, "
            f"expected {low[place]:g} to {high[place]:g}{suffix}"
        )
    return values


def _set_scalars(values: Floats, params: Mapping[str, float], spec: CircuitSpec, where: str) -> None:
    columns = spec.columns(PortKind.PARAM)
    for name, value in params.items():
        if name not in columns:
            raise ScenarioError(
                f"{where}: {spec.name} has no parameter '{name}'; it has: {', '.join(columns)}"
            )
        values[:, columns.index(name)] = value


def _set_ports(values: Floats, layer: Layer, spec: CircuitSpec) -> None:
    params: Mapping[str, Any] = layer.params
    ports = [port.name for port in spec.of(PortKind.PARAM)]
    unknown = set(params) - set(ports)
    if unknown:
        raise ContractError(
            f"layer {layer.name}: {spec.name} has no parameter port '{min(unknown)}'; "
            f"it has: {', '.join(ports)}"
        )
    start = 0
    for port in spec.of(PortKind.PARAM):
        width = len(port.columns)
        if port.name in params:
            size = np.size(params[port.name])
            if size != len(values) * width:
                sizes = ", ".join(f"{name}={each}" for name, each in spec.sizes.items())
                raise ContractError(
                    f"layer {layer.name}: {size} values for parameter port {port.name}, "
                    f"expected {len(values)} units x {width}"
                    + (f"; do the architecture's options agree with {spec.name}:{sizes}?" if sizes else "")
                )
            values[:, start : start + width] = np.reshape(params[port.name], (len(values), width))
        start += width

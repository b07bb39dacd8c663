"""Schedules: in which order the edges of the layers are simulated.

`lock_step` is the reference: all layers edge by edge. `run_ahead` runs layer after layer, which needs a
network without feedback; the ledger is the same.
"""

from collections import deque
from collections.abc import Callable, Generator
from graphlib import CycleError, TopologicalSorter
from typing import Any

import simpy
from simpy.events import EventPriority

from simcore.architecture import Delivery, Layer, LayerOutput, Network
from simcore.engine import Engine
from simcore.errors import ScenarioError
from simcore.floor import Desk
from simcore.ledger import Ledger
from simcore.progress import scaled
from simcore.shown import Shown

AFTER_ALL = EventPriority(2)
"""SimPy priority behind NORMAL: the edge is answered when every process of that time has run."""

Outputs = dict[str, LayerOutput]
Process = Generator[simpy.Event, Any, None]


class _Edge:
    """Collects the deliveries of one clock edge and answers them all in one engine call."""

    def __init__(self, env: simpy.Environment, engine: Engine, n_history: int) -> None:
        self._env = env
        self._engine = engine
        self._deliveries: dict[str, Delivery] = {}
        self._answer: simpy.Event | None = None
        self._history: deque[Outputs] = deque([engine.at_reset()] * n_history, maxlen=n_history)
        self._step = 0

    def source(self, name: str, delay: int) -> LayerOutput:
        """Return what a layer showed `delay` periods ago."""
        return self._history[-delay][name]

    def deliver(self, layer: str, delivery: Delivery) -> simpy.Event:
        """Hand in a delivery; the event fires with the outputs of all layers once the edge is answered."""
        self._deliveries[layer] = delivery
        return self.watch()

    def watch(self) -> simpy.Event:
        """Return the event that fires with the outputs of this edge."""
        if self._answer is None:
            self._answer = self._env.event()
            due = self._env.event()
            due.callbacks.append(self._flush)
            due._ok = True
            due._value = None
            self._env.schedule(due, priority=AFTER_ALL)
        return self._answer

    def _flush(self, _: simpy.Event) -> None:
        assert self._answer is not None
        answer, self._answer = self._answer, None
        deliveries, self._deliveries = self._deliveries, {}
        outputs = self._engine.edge(self._step, deliveries)
        self._step += 1
        self._history.append(outputs)
        answer.succeed(outputs)


def lock_step(
    network: Network,
    engine: Engine,
    ledger: Ledger,
    period_ps: int,
    on_step: Callable[[], None],
    desk: Desk | None = None,
) -> None:
    """Run all layers edge by edge, one SimPy process per layer and one for the readout."""
    env = simpy.Environment()
    edge = _Edge(env, engine, max(layer.delay_periods for layer in network.layers))
    for layer in network.layers:
        env.process(_layer(env, edge, layer, network.n_steps, period_ps, desk))
    env.process(_readout(env, edge, network, ledger, period_ps, on_step, desk))
    env.run()
    engine.settle(network.n_steps)


def run_ahead(
    network: Network,
    engine: Engine,
    ledger: Ledger,
    progress: Callable[[float], None],
    desk: Desk | None = None,
) -> None:
    """Run each layer through all its edges before those that read it; raises ScenarioError on feedback."""
    shown: dict[str, Shown] = {}
    total, done = sum(layer.n_units for layer in network.layers), 0
    for layer in in_order(network):

        def seen(name: str, step: int, delay: int = layer.delay_periods) -> LayerOutput:
            return shown[name].after(max(0, step - delay + 1))

        deliveries = []
        for step in range(network.n_steps):
            sources = tuple(seen(name, step) for name in layer.sources)
            deliveries.append(layer.stage.deliver(step, sources))
            if desk is not None:
                desk.delivery(step, layer, deliveries[-1], sources)
        report = scaled(progress, done / total, layer.n_units / total)
        shown[layer.name] = engine.run_layer(layer.name, deliveries, report)
        done += layer.n_units
    last = shown[network.layers[-1].name]
    for step in range(network.n_steps):
        _observe(network, ledger, desk, step, last.after(step + 1))


def _observe(network: Network, ledger: Ledger, desk: Desk | None, step: int, source: LayerOutput) -> None:
    seen = network.readout.observe(step, source)
    ledger.digital(seen.actions)
    if desk is not None:
        desk.observation(step, seen, source)


def in_order(network: Network, remedy: str = "use schedule = 'lock_step'") -> list[Layer]:
    """Return the layers, each behind those that it reads; raises ScenarioError where they form a loop."""
    layers = {layer.name: layer for layer in network.layers}
    try:
        order = TopologicalSorter({layer.name: layer.sources for layer in network.layers}).static_order()
        return [layers[name] for name in order]
    except CycleError as error:
        loop = " -> ".join(reversed(error.args[1]))
        raise ScenarioError(
            f"schedule 'run_ahead' needs a network without feedback, but its layers form a loop: {loop}; "
            f"{remedy}"
        ) from error


def has_feedback(network: Network) -> bool:
    """Return whether some layer reads itself, directly or through others."""
    try:
        in_order(network)
    except ScenarioError:
        return True
    return False


def _layer(
    env: simpy.Environment, edge: _Edge, layer: Layer, n_steps: int, period_ps: int, desk: Desk | None
) -> Process:
    for step in range(n_steps):
        sources = tuple(edge.source(name, layer.delay_periods) for name in layer.sources)
        delivery = layer.stage.deliver(step, sources)
        if desk is not None:
            desk.delivery(step, layer, delivery, sources)
        yield edge.deliver(layer.name, delivery)
        yield env.timeout(period_ps)


def _readout(
    env: simpy.Environment,
    edge: _Edge,
    network: Network,
    ledger: Ledger,
    period_ps: int,
    on_step: Callable[[], None],
    desk: Desk | None,
) -> Process:
    last = network.layers[-1].name
    for step in range(network.n_steps):
        outputs: Outputs = yield edge.watch()
        _observe(network, ledger, desk, step, outputs[last])
        on_step()
        yield env.timeout(period_ps)

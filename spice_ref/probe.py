"""What is to be read off a circuit's transients, found from its elements and its manifest."""

from simcore.spec import CircuitSpec, PortKind
from spice_ref.measure import Branch, Probe
from spice_ref.netlist import SOURCES, Element, held_nodes, pin_names, source_class, state_nodes


def standard_probe(spec: CircuitSpec, elements: tuple[Element, ...]) -> Probe:
    """Return the probe of a bank: supply and bias energy, input energy, one detector per output column."""
    classes = {element: source_class(spec, element) for element in elements if element.kind in SOURCES}
    groups = (("supply", "bias"), ("input",))
    ports = [port for port in spec.of(PortKind.OUTPUT) for _ in port.columns]
    outputs = pin_names(spec)[-len(ports) :] if ports else []
    supplies = [element for element, found in classes.items() if found == "supply" and element.kind == "v"]
    return Probe(
        groups=tuple(tuple(branch(e) for e, found in classes.items() if found in group) for group in groups),
        outputs=tuple(outputs),
        states=tuple(state_nodes(spec)),
        detectors=tuple(
            (node, port.detector)
            for node, port in zip(outputs, ports, strict=True)
            if port.detector is not None
        ),
        rails=tuple(dict.fromkeys(node for element in supplies for node in element.nodes)),
        free=held_nodes(elements),
    )


def branch(element: Element) -> Branch:
    """Return what is needed for the power of an element."""
    return element.current, *element.nodes

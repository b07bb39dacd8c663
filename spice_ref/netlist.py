"""A circuit's netlist: rendered with its sizes, checked against its manifest, and read back as elements."""

import re
from dataclasses import dataclass

from jinja2 import Environment, StrictUndefined, TemplateError

from simcore.errors import CircuitError
from simcore.spec import CircuitSpec, PortKind, SourceClass

SOURCES = "vibefgh"
"""First letters of the elements that can deliver energy."""
FIXING = "veh"
"""First letters of the sources that fix a voltage and carry a branch current of their own."""
REMEMBERING = {"l": "an inductor", "t": "a transmission line", "o": "a transmission line"}
"""Elements whose state is not in the node voltages, so that hand-off would lose it."""


@dataclass(frozen=True, slots=True)
class Element:
    """One element of the flattened netlist."""

    name: str
    """ngspice's flattened name, `v.x0.vdd`."""
    nodes: tuple[str, str]
    """Its first two nodes."""
    text: str
    """Its whole line."""

    @property
    def kind(self) -> str:
        """First letter of the element."""
        return self.name[0]

    @property
    def local(self) -> str:
        """Name within the circuit, `vdd`, as the manifest's `[sources]` has it."""
        return self.name.partition(".x0.")[2] or self.name

    @property
    def current(self) -> str:
        """Vector of the current from the first node through the element to the second."""
        if self.kind in FIXING:
            return f"{self.name}#branch"
        return f"@{self.name}[{'current' if self.kind == 'i' else 'i'}]"


def render(spec: CircuitSpec) -> str:
    """Return the netlist with the circuit's sizes filled in, without comments and blank lines."""
    text = spec.netlist
    if spec.sizes:
        try:
            text = Environment(undefined=StrictUndefined).from_string(text).render(spec.sizes)
        except TemplateError as error:
            raise CircuitError(f"{spec.folder}: the netlist template does not render: {error}") from error
    return strip(text)


def strip(text: str) -> str:
    """Drop comment and blank lines: ngspice parses what is left in half the time."""
    lines = (line.rstrip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.lstrip().startswith("*"))


def check_interface(spec: CircuitSpec, netlist: str) -> None:
    """Raise CircuitError unless pins and parameters of the `.subckt` line are those of the manifest.

    Commands are refused: ngspice would execute them in each deck, and what they set would stay for others.
    """
    if re.search(r"^\s*\.control\b", f"{netlist}\n{spec.device_models}".lower(), re.MULTILINE):
        raise CircuitError(
            f"{spec.folder}: the netlist has a .control block, whose commands would change other decks too; "
            "take it out, the simulator writes all commands itself"
        )
    where = f"{spec.folder}: subcircuit '{spec.subckt}'"
    joined = re.sub(r"\n\s*\+", " ", netlist).lower()
    line = re.search(rf"^\s*\.subckt\s+{re.escape(spec.subckt.lower())}(?=\s|$)(.*)$", joined, re.MULTILINE)
    if line is None:
        known = re.findall(r"^\s*\.subckt\s+(\S+)", joined, re.MULTILINE)
        raise CircuitError(f"{where} is not in the netlist, which has: {', '.join(known) or 'none'}")
    words = re.sub(r"\s*=\s*", "=", line[1].replace("params:", " ")).split()
    pins = [word for word in words if "=" not in word]
    expected = pin_names(spec)
    if pins != expected:
        missing = [pin for pin in expected if pin not in pins]
        extra = [pin for pin in pins if pin not in expected]
        told = f"missing {missing}, not in the manifest {extra}" if missing or extra else "in another order"
        raise CircuitError(f"{where} must have the pins {' '.join(expected)[:200]} (inputs, outputs): {told}")
    known_params = [word.partition("=")[0] for word in words if "=" in word]
    for name in spec.columns(PortKind.PARAM):
        if name.lower() not in known_params:
            raise CircuitError(f"{where} has no parameter '{name}'; it has: {', '.join(known_params)[:200]}")


def pin_names(spec: CircuitSpec) -> list[str]:
    """Return the pins, input columns then output columns, as ngspice names them."""
    return [name.lower() for kind in (PortKind.INPUT, PortKind.OUTPUT) for name in spec.columns(kind)]


def state_nodes(spec: CircuitSpec) -> list[str]:
    """Return the nodes of the STATE columns, as ngspice names them."""
    return [f"x0.{name.lower()}" for name in spec.columns(PortKind.STATE)]


def read_elements(spec: CircuitSpec, listing: list[str]) -> tuple[Element, ...]:
    """Read the elements off an expanded listing; checks state nodes, and for elements with hidden state."""
    lines = [line.split() for line in listing if line]
    elements = tuple(
        Element(words[0], (words[1], words[2]), " ".join(words))
        for words in lines
        if words[0][0].isalpha() and len(words) > 2
    )
    for element in elements:
        if element.kind in REMEMBERING:
            raise CircuitError(
                f"{spec.folder}: element '{element.local}' is {REMEMBERING[element.kind]}, whose state is "
                "not in the node voltages; the ngspice bank cannot hand it from step to step"
            )
    sources = [element.local for element in elements if element.kind in SOURCES and "." in element.name]
    for name in spec.sources:
        if not any(s == name or (name.endswith("*") and s.startswith(name[:-1])) for s in sources):
            raise CircuitError(
                f"{spec.folder}: [sources] names '{name}', which is no source of the netlist; "
                f"it has: {', '.join(sources) or 'none'}"
            )
    nodes = {word for words in lines if words[0][0].isalpha() for word in words[1:]}
    for column, node in zip(spec.columns(PortKind.STATE), state_nodes(spec), strict=True):
        if node not in nodes:
            raise CircuitError(f"{spec.folder}: state '{column}' is not a node of '{spec.subckt}'")
    return elements


def source_class(spec: CircuitSpec, element: Element) -> SourceClass | None:
    """Return the class of a source element, None where the manifest gives none."""
    if "." not in element.name:
        return "input"
    if element.local in spec.sources:
        return spec.sources[element.local]
    for pattern, found in spec.sources.items():
        if pattern.endswith("*") and element.local.startswith(pattern[:-1]):
            return found
    return None


def held_nodes(elements: tuple[Element, ...]) -> frozenset[str]:
    """Return the nodes whose voltage a chain of voltage sources fixes against ground."""
    held = {"0"}
    fixing = [
        e for e in elements if e.kind in FIXING or (e.kind == "b" and " v=" in e.text.replace("v =", "v="))
    ]
    for _ in fixing:
        for element in fixing:
            if held & set(element.nodes):
                held |= set(element.nodes)
    return frozenset(held)

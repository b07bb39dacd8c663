"""The header of an exported bundle: what a row holds, what comes back, which functions there are."""

from collections.abc import Iterator, Mapping

from simcore.spec import PortKind
from surrogates.bundle import BundleInfo
from surrogates.c99.text import comment
from surrogates.layout import DURATION, KINDS, Layout

STEPS = ("driven", "idle")
"""Graphs that answer with a `NAME_step`; the other one, reset, answers with a `NAME_point`."""
ARRAYS = {"outputs": PortKind.OUTPUT, "state": PortKind.STATE}
"""Heads with an element for each column of a kind of port."""
NUMBERS = {
    "fired": "> 0: there was an event",
    "supply_j": "J, of supplies and bias sources",
    "input_j": "J, of what drives the inputs",
    "latency_s": "s, from the clock edge to the event; of no meaning without one",
}
"""Heads that are a single number."""


def header(name: str, info: BundleInfo, heads: Mapping[str, int]) -> str:
    """Return the text of `NAME.h`; `heads`: outputs of a step with their widths, no empty ones."""
    layout = Layout(info.spec)
    point = {head: width for head, width in heads.items() if head in ARRAYS}
    ranges = (f"extern const float {each}[{layout.width}];" for each in range_names(name))
    functions = (f"{each};" for graph in (*STEPS, "reset") for each in signatures(name, graph, layout.width))
    places = ",\n    ".join(_places(name.upper(), layout))
    return f"""\
{comment(_about(name, info))}
#ifndef {name.upper()}_H
#define {name.upper()}_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {{
#endif

{comment(_row(info, layout))}
enum {{
    {places}
}};

/* The range of each column in the training data; a row that leaves it gets an answer of no meaning. */
{_lines(ranges)}

typedef struct {{
{_lines(_fields(point, info))}
}} {name}_point;

typedef struct {{
{_lines(_fields(heads, info))}
}} {name}_step;

{comment(_use(info))}
{_lines(functions)}

#ifdef __cplusplus
}}
#endif
#endif
"""


def range_names(name: str) -> list[str]:
    """Return the names of the range tables: lower and upper bounds of driven, then of idle steps."""
    return [f"{name}_{graph}_{end}" for graph in STEPS for end in ("low", "high")]


def signatures(name: str, graph: str, width: int) -> tuple[str, str]:
    """Return the declarations of the function of one row and of that of a batch."""
    kind = f"{name}_{'step' if graph in STEPS else 'point'}"
    return (
        f"void {name}_{graph}(const float x[{width}], {kind} *y)",
        f"void {name}_{graph}_batch(const float *x, size_t n, {kind} *y)",
    )


def _lines(lines: Iterator[str]) -> str:
    return "\n".join(lines)


def _about(name: str, info: BundleInfo) -> Iterator[str]:
    yield f"{name}: the circuit '{info.spec.name}', step by step, as a trained model."
    yield "Written by `simcore surrogate export`."
    yield ""
    yield f"family     {info.family}"
    yield f"bundle     {info.digest}"
    yield f"circuit    {info.spec.hash}"
    yield f"recording  {info.dataset_sha256}"
    yield ""
    yield f"compile    cc -std=c99 -O3 -march=native -c {name}.c, and link with -lm"
    yield ""
    yield "It needs C99 and its mathematics, allocates nothing and writes nothing but the answer: any number"
    yield "of threads may call it. Leave -ffast-math out: it loses what is not a number."


def _row(info: BundleInfo, layout: Layout) -> Iterator[str]:
    yield f"A row `x`: {layout.width} numbers in the units of its ports. A period: {info.spec.period_ps} ps"
    yield ""
    rows = [("place", "column", "kind", "unit", *(f"range, {graph}" for graph in STEPS))]
    for kind in KINDS:
        for port in info.spec.of(kind):
            columns = layout.slices[port.name]
            names = _span(port.columns[0], port.columns[-1])
            rows.append((_place(columns), names, kind.value, port.unit, *_ranges(info, columns)))
    columns = layout.slices[DURATION]
    rows.append((_place(columns), DURATION, "", "periods", *_ranges(info, columns)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))


def _place(columns: slice) -> str:
    return f"x[{_span(str(columns.start), str(columns.stop - 1))}]"


def _ranges(info: BundleInfo, columns: slice) -> Iterator[str]:
    for graph in STEPS:
        bounds = info.ranges[graph]
        yield _span(f"{min(bounds.low[columns]):.4g}", f"{max(bounds.high[columns]):.4g}")


def _span(first: str, last: str) -> str:
    return first if first == last else f"{first} .. {last}"


def _places(prefix: str, layout: Layout) -> Iterator[str]:
    yield f"{prefix}_WIDTH = {layout.width}"
    for kind in KINDS:
        yield f"{prefix}_{kind.name} = {layout.of(kind).start}"
    yield f"{prefix}_{DURATION.upper()} = {layout.width - 1}"


def _fields(heads: Mapping[str, int], info: BundleInfo) -> Iterator[str]:
    for head, width in heads.items():
        field, meaning = f"{head};", NUMBERS.get(head, "")
        if head in ARRAYS:
            field, ports = f"{head}[{width}];", info.spec.of(ARRAYS[head])
            meaning = ", ".join(f"{_span(p.columns[0], p.columns[-1])} ({p.unit or 1})" for p in ports)
        yield f"    float {field:<13} /* {meaning.replace('*/', '')} */"


def _use(info: BundleInfo) -> Iterator[str]:
    spec = info.spec
    resets = ", ".join(f"{port.name} = {port.reset:g}" for port in spec.of(PortKind.INPUT))
    yield "A function of a row, and one of n rows that lie one behind the other."
    yield ""
    yield f"reset   the operating point, where a run starts. Inputs at reset ({resets}), states 0, duration 1"
    yield "driven  a period that begins with new inputs. Duration 1"
    yield f"idle    1 to {spec.max_idle_periods} periods without: levels as they were, pulses at reset"
    yield ""
    yield "The state that a step returns is the state in the next row."
    if info.min_swing is not None:
        swings = ", ".join(
            f"{port.name} by {port.detector.min_swing:g} {port.unit}"
            for port in spec.of(PortKind.OUTPUT)
            if port.detector is not None and port.detector.min_swing is not None
        )
        yield f"There is an event where an output has changed since the step before: {swings} or more."
    if spec.kind == "static":
        yield "An idle step changes no output: keep those of the step before."

"""Writes a bundle as a C header and a C source."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from simcore.errors import UserError
from surrogates.bundle import GRAPHS, BundleInfo, SurrogateBundle
from surrogates.c99 import operators, trees
from surrogates.c99.body import Body, Value
from surrogates.c99.graph import translate
from surrogates.c99.header import ARRAYS, NUMBERS, STEPS, header, range_names, signatures
from surrogates.c99.text import comment, identifier, initialiser, literal
from surrogates.layout import Layout
from surrogates.shipped import bundle_key

HELPERS = operators.HELPERS | trees.HELPERS


def export_c(bundle: SurrogateBundle, folder: Path) -> tuple[Path, Path]:
    """Write `NAME.h` and `NAME.c`, NAME being circuit and sizes; return their paths.

    The same bundle gives the same bytes. Raises BundleError for a graph that cannot be written as C,
    UserError for a folder that cannot be written to.
    """
    info, name = bundle.info, identifier(bundle_key(bundle.info.spec))
    graphs = {graph: (bundle.path / f"{graph}.onnx").read_bytes() for graph in GRAPHS}
    texts = source(name, info, graphs, str(bundle.path))
    paths = folder / f"{name}.h", folder / f"{name}.c"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in zip(paths, texts, strict=True):
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write C to {folder}: {error}") from error
    return paths


def source(name: str, info: BundleInfo, graphs: Mapping[str, bytes], where: str) -> tuple[str, str]:
    """Return the text of the header and of the source of some graphs; `where` begins an error message."""
    parts = {graph: translate(data, graph, f"{where}/{graph}.onnx") for graph, data in graphs.items()}
    width = Layout(info.spec).width
    functions = [
        text for graph, (body, heads) in parts.items() for text in _functions(name, graph, width, body, heads)
    ]
    tables = [table for body, _ in parts.values() for table in body.tables]
    code = "\n".join([*_ranges(name, info), "", *tables, "", *functions])
    helpers = [text for helper, text in HELPERS.items() if f"{helper}(" in code]
    about = comment([f"{name}: see {name}.h.", f"bundle {info.digest}"])
    text = "\n".join([about, "#include <math.h>", f'#include "{name}.h"', "", *helpers, code])
    heads = {head: value.width for head, value in parts["driven"][1].items()}
    return header(name, info, {head: heads[head] for head in (*ARRAYS, *NUMBERS) if head in heads}), text


def _ranges(name: str, info: BundleInfo) -> Iterator[str]:
    bounds = (bound for graph in STEPS for bound in (info.ranges[graph].low, info.ranges[graph].high))
    for table, values in zip(range_names(name), bounds, strict=True):
        yield f"const float {table}[{len(values)}] = {initialiser([literal(value) for value in values])};"


def _functions(name: str, graph: str, width: int, body: Body, heads: Mapping[str, Value]) -> Iterator[str]:
    """Yield the function of one row and that of a batch."""
    one, batch = signatures(name, graph, width)
    lines = [*body.lines, *(_store(head, value) for head, value in heads.items())]
    yield f"{one}\n{{\n" + "\n".join(f"    {line}" for line in lines) + "\n}\n"
    call = f"{name}_{graph}(x + {width} * k, y + k);"
    yield f"{batch}\n{{\n    for (size_t k = 0; k < n; k++) {call}\n}}\n"


def _store(head: str, value: Value) -> str:
    if head not in ARRAYS:
        return f"y->{head} = {value.code}[0];"
    return f"for (int i = 0; i < {value.width}; i++) y->{head}[i] = {value.code}[i];"

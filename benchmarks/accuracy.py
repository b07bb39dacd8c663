"""Writes docs/accuracy.md and its pictures from stored evaluations.

    python -m benchmarks.accuracy runs/lif runs/xb

Each argument is an `--out` directory of `simcore surrogate evaluate`; without any, the page has the
definitions alone.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.accuracy_pictures import draw, named
from simcore.report.errors_table import verdict
from simcore.report.tables import Cell, Heading, Row, Table
from simcore.units import DASH, number, percent
from surrogates.study import tables
from surrogates.study.compat_tables import compat_table, network_name, network_table
from surrogates.study.run import load

Content = Mapping[str, Any]
INTRO = Path(__file__).with_name("accuracy_intro.md")
_LAYER_FIGURES = (
    ("aligned", "energy"), ("aligned", "latency"), ("aligned", "event"), ("aligned", "output"),
    ("cascade", "energy"), ("cascade", "behaviour"),
)  # fmt: skip


def page(contents: Sequence[Content], pictures: Mapping[str, Sequence[str]]) -> str:
    """Return the Markdown; `pictures` are paths by circuit, from the page's folder."""
    parts = [INTRO.read_text(encoding="utf-8").rstrip()]
    for content in contents:
        parts += _circuit(content, pictures.get(named(content), ()))
    return "\n\n".join(parts) + "\n"


def _circuit(content: Content, pictures: Sequence[str]) -> list[str]:
    runs, families = content["runs"], content["families"]
    train, test = content["train_rows"], content["test_rows"]
    bundles = ", ".join(f"`{entry['family']}` {entry['bundle_hash'][:12]}" for entry in families)
    parts = [
        f"## {named(content)}",
        f"{', '.join(content['recordings'])}: {runs['train']:,} runs trained on ({train['driven']:,} driven, "
        f"{train['idle']:,} idle rows), {runs['test']:,} test runs ({test['driven']:,} driven, "
        f"{test['idle']:,} idle rows), read {content['test_reads']} times. Bundles: {bundles}.",
    ]
    found = [
        tables.cost_table(content), tables.head_table(content), tables.loop_table(content),
        tables.drift_table(content), tables.layer_table(content), *tables.gap_tables(content),
        tables.interval_table(content), compat_table(content), network_table(content),
        *(layer_table(network) for network in content["networks"]),
    ]  # fmt: skip
    parts += [markdown(table) for table in found if table is not None]
    parts += [f"![{Path(path).stem}]({path})" for path in pictures]
    return parts


def layer_table(network: Content) -> Table:
    """Return the errors of a compared network: one row per layer and figure."""
    rows = []
    for layer in network["layers"]:
        first = True
        for view, name in _LAYER_FIGURES:
            figure = layer[view][name]
            if figure["value_pct"] is None:
                continue
            low, high = figure["ci95_pct"] or (None, None)
            around = DASH if low is None else f"{percent(low)} to {percent(high)}"
            shown = (
                layer["name"] if first else "", f"{name}, {view}", percent(figure["value_pct"]), around,
                percent(figure["baseline_pct"]), percent(figure["noise_pct"]), number(figure["n"], 9),
                verdict(figure),
            )  # fmt: skip
            rows.append(Row(tuple(map(Cell, shown))))
            first = False
    columns = ("layer", "figure", "error", "95 %, samples", "constant", "noise", "rows", "verdict")
    note = (
        "Aligned: each layer on the inputs that the reference's layer received; cascade: the surrogate runs "
        "the whole network alone. Noise: the reference against itself at tighter tolerance, where measured."
    )
    title = f"{network_name(network)}: {network['candidate']} against "
    headings = tuple(Heading(column, "") for column in columns)
    return Table(f"{title}{network['reference']}", note, headings, tuple(rows), n_text=2)


def markdown(table: Table) -> str:
    """Return a table with its title and note as Markdown."""
    titles = [heading.text for heading in table.headings]
    lines = [
        _line(titles),
        _line(["---" if i < table.n_text else "---:" for i in range(len(titles))]),
        *(_line([_text(cell) for cell in row.cells]) for row in table.rows),
    ]
    note = [table.note.replace("|", "\\|"), ""] if table.note else []
    return "\n".join([f"### {table.title}", "", *note, *lines])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _text(cell: Cell) -> str:
    parts = [
        cell.text,
        f"*{cell.tag}*" if cell.tag else "",
        f"({'; '.join(cell.notes)})" if cell.notes else "",
    ]
    return " ".join(part for part in parts if part)


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, nargs="*", help="directories with evaluation.json")
    parser.add_argument("--out", type=Path, default=Path("docs/accuracy.md"))
    args = parser.parse_args()
    contents = [load(directory) for directory in args.runs]
    folder = args.out.with_suffix("")
    pictures = {
        named(content): [path.relative_to(args.out.parent).as_posix() for path in draw(content, folder)]
        for content in contents
    }
    args.out.write_text(page(contents, pictures), encoding="utf-8")
    print(args.out)


if __name__ == "__main__":
    main()

"""The tables of an evaluation, made from the content of `evaluation.json`; families are columns or rows."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from simcore.report.errors_table import TRIVIAL_FROM, verdict
from simcore.report.tables import Cell, Heading, Row, Table
from simcore.units import DASH, percent, si

Content = Mapping[str, Any]
HEADS = {
    "event": "1 - F1 of the events, by step.",
    "energy": "Sum of |difference| over sum of supply + input energy, all steps.",
    "energy active": "The same over driven steps with an event.",
    "energy quiet": "The same over driven steps without an event.",
    "energy idle": "The same over steps without an input, merged gaps included.",
    "latency": "Sum of |difference| over sum of latency, events that both have.",
}
"""What a head's figure is; states and outputs: RMS difference over the range."""


def percent_of(share: float | None) -> str:
    """Write a share in percent."""
    return percent(None if share is None else 100 * share)


def family_heading(entry: Content) -> Heading:
    """Return the heading of a family's column."""
    return Heading(entry["family"], f"Bundle {entry['bundle_hash'][:12]}.")


def cost_table(content: Content) -> Table:
    """Return table I: what a family costs to train, to run and to store."""
    rows = content["train_rows"]
    columns: list[tuple[Heading, Callable[[Content], str]]] = [
        (Heading("training", "Wall-clock time of fitting both graphs, reset model included."),
         lambda e: si(e["train_s"], "s", 3)),
        (Heading("driven event", "CPU time of a driven step, one thread, batches of 16,384 rows."),
         lambda e: si(_seconds(e["us_per_event"]["driven"]), "s", 3)),
        (Heading("idle event", "CPU time of an idle step, merged or not, measured in the same way."),
         lambda e: si(_seconds(e["us_per_event"]["idle"]), "s", 3)),
        (Heading("size", "All files of the bundle."), lambda e: si(e["size_bytes"], "B", 3)),
        (Heading("error", "Closed loop, selection runs: event or output + total energy + latency."),
         lambda e: percent_of(e["score"])),
        (Heading("front", "No other family is better in both error and time of a driven event."),
         lambda e: "yes" if e["on_front"] else ""),
    ]  # fmt: skip
    note = f"Trained on {rows['driven']:,} driven and {rows['idle']:,} idle rows."
    return _by_family("I. Cost", note, content, columns)


def head_table(content: Content) -> Table:
    """Return table II: errors of single steps from the reference's state, one row per head."""
    first = content["families"][0]["one_step"]
    rows = []
    for name, figure in first.items():
        figures = [entry["one_step"].get(name) for entry in content["families"]]
        what = HEADS.get(name, "RMS difference over the range.")
        cells = [Cell(name, hover=what), Cell(percent(figure["baseline_pct"])), *map(_figure_cell, figures)]
        rows.append(Row(tuple(cells)))
    headings = (
        Heading("head", "What is predicted."),
        Heading("constant", "The figure of the best constant, or of the family `mean` where that is better."),
        *map(family_heading, content["families"]),
    )
    note = (
        "One step, each from the reference's state. Energies and latency: sum of |difference| over sum of "
        "the reference; event: 1 - F1; state and output: RMS difference over the range. Beside each the "
        f"95 % interval over runs; 'trivial': at least {TRIVIAL_FROM:g} x the constant's error."
    )
    return Table("II. Error of one step, by head", note, headings, tuple(rows))


def _figure_cell(figure: Content | None) -> Cell:
    if figure is None or figure["value_pct"] is None:
        return Cell(DASH)
    notes: tuple[str, ...] = ()
    if figure["ci95_pct"] is not None:
        low, high = (percent(x).removesuffix(" %") for x in figure["ci95_pct"])
        notes = (f"{low} to {high}",)
    hover = f"bias {percent(figure['bias_pct'], sign=True)}, {figure['n']:,} rows"
    return Cell(percent(figure["value_pct"]), notes, hover, "trivial" if verdict(figure) == "trivial" else "")


def loop_table(content: Content) -> Table:
    """Return the errors of whole runs on the model's own state."""
    shown = {
        "event": Heading("event", "1 - F1 of the events, by step."),
        "output": Heading("output", "RMS difference of the outputs over the range of their ports."),
        "energy": Heading("energy", "Sum of |difference| over sum of energy, step by step."),
        "energy_active": Heading("active", "The same over driven steps with an event."),
        "energy_quiet": Heading("quiet", "The same over driven steps without an event."),
        "energy_idle": Heading("idle", "The same over steps without an input."),
        "energy_total": Heading("energy of runs", "Sum of |difference| of the runs' totals over their sum."),
        "energy_bias": Heading("bias", "The same with its sign kept."),
        "latency": Heading("latency", "Sum of |difference| over sum of latency, events that both have."),
        "behaviour": Heading("counts", "Sum of |difference| of the runs' event counts over their sum."),
        "exact_runs": Heading("exact runs", "Of the runs with events, those whose every step agrees."),
    }
    if not content["is_level"]:
        del shown["output"]
    columns = [(heading, _share_of_loop(key)) for key, heading in shown.items()]
    driven = f"{content['test_rows']['driven']:,} driven steps"
    note = f"Whole runs on the model's own state from reset: {content['runs']['test']} runs, {driven}."
    return _by_family("II. Error in closed loop", note, content, columns)


def _share_of_loop(key: str) -> Callable[[Content], str]:
    return lambda entry: percent_of(entry["closed_loop"][key])


def drift_table(content: Content) -> Table:
    """Return table III: means over the steps of a run, on the reference's state and on the own one."""
    names = [name for name in ("event", "energy", "latency", "state") if _known(content, name)]
    columns: list[tuple[Heading, Callable[[Content], str]]] = []
    for name in names:
        for view, word in (("oracle", "reference's state"), ("own", "own state")):
            heading = Heading(f"{name}, {view}", f"Mean over the steps of a run, {word}.")
            columns.append((heading, _mean_of(view, name, slice(None))))
    for part, text in ((slice(0, 10), "first 10"), (slice(-10, None), "last 10")):
        heading = Heading(f"energy, own, {text}", f"The {text} steps of a run only.")
        columns.append((heading, _mean_of("own", "energy", part)))
    note = "Each step's error over all test runs, then the mean over steps. Event: 1 - F1; state: RMS."
    return _by_family("III. Oracle state against predicted state", note, content, columns)


def _known(content: Content, name: str) -> bool:
    return any(x is not None for x in content["families"][0]["drift"]["own"][name])


def _mean_of(view: str, name: str, part: slice) -> Callable[[Content], str]:
    def shown(entry: Content) -> str:
        known = [x for x in entry["drift"][view][name][part] if x is not None]
        return percent_of(float(np.mean(known)) if known else None)

    return shown


def layer_table(content: Content) -> Table:
    """Return how long a layer of 20,000 units takes."""
    columns: list[tuple[Heading, Callable[[Content], str]]] = [
        (Heading("wall time", "Of the bank, all that it does around the model included."),
         lambda e: si(e["large_layer"]["wall_s"], "s", 3)),
        (Heading("CPU time", "One thread."),
         lambda e: si(e["large_layer"]["cpu_s"], "s", 3) + " (estimate)" * e["large_layer"]["estimated"]),
    ]  # fmt: skip
    size = content["families"][0]["large_layer"]
    note = (
        f"{size['n_units']:,} units, {size['n_steps']} bank steps each, {percent_of(size['driven_share'])} "
        "of them driven: the test runs over and over. An estimate is the cost per event times their number."
    )
    return _by_family(f"III. Run time of {size['n_units']:,} units", note, content, columns)


def gap_tables(content: Content) -> list[Table]:
    """Return errors against the length of idle gaps, and of gaps cut in two."""
    wanted = [
        ("gaps", "energy", "Idle energy by length of the gap", "One step from the reference's state."),
        ("gaps", "state", "Next state by length of the gap", "RMS over all states, over their ranges."),
        ("split_gaps", "energy", "Energy of two gaps of a and b against one of a + b",
         "The model against itself, from states of the test part in which a gap begins; ideal is 0."),
        ("split_gaps", "state", "Next state after two gaps of a and b against one of a + b",
         "RMS over all states, over their ranges; ideal is 0."),
    ]  # fmt: skip
    return [table for each in wanted if (table := _gap_table(content, *each)) is not None]


def _gap_table(content: Content, key: str, name: str, title: str, note: str) -> Table | None:
    families = content["families"]
    bins = families[0][key]
    if all(gap[name] is None for gap in bins):
        return None
    rows = []
    for i, gap in enumerate(bins):
        span = f"{gap['low']}" if gap["low"] == gap["high"] else f"{gap['low']} to {gap['high']}"
        values = [Cell(percent_of(entry[key][i][name])) for entry in families]
        rows.append(Row((Cell(span), Cell(f"{gap['n']:,}"), *values)))
    headings = (
        Heading("periods", "Length of the gap; of a + b where it is cut."),
        Heading("gaps", "Number."),
    )
    return Table(title, note, (*headings, *map(family_heading, families)), tuple(rows))


def interval_table(content: Content) -> Table | None:
    """Return the intervals of each bundle and how often they hold; None if there are none."""
    rows = []
    for entry in content["families"]:
        for i, each in enumerate(entry["intervals"]):
            held = DASH
            if each["covered"] is not None:
                held = f"{percent_of(each['covered'])} of {each['test_n']}"
            around = (
                DASH if each["low"] is None else f"{percent_of(each['low'])} to {percent_of(each['high'])}"
            )
            cells = (
                entry["family"] if i == 0 else "", f"{each['of']} {each['quantity']}",
                percent_of(each["level"]), percent_of(each["half_width"]), f"{each['n']:,}", held, around,
            )  # fmt: skip
            rows.append(Row(tuple(map(Cell, cells)), "first" if i == 0 else ""))
    headings = (
        Heading("family", ""), Heading("total", "Of a unit in a test run, or of a layer in a sample."),
        Heading("level", "Probability that it promises."), Heading("+-", "Share of the total or the median."),
        Heading("calibrated on", "Totals."), Heading("held", "Test runs whose reference lies inside."),
        Heading("95 % of that", "Interval of the share (Wilson)."),
    )  # fmt: skip
    note = "Split conformal. Totals of a unit: energy and mean event latency of a whole run."
    return Table("Prediction intervals", note, headings, tuple(rows), n_text=2) if rows else None


def _by_family(
    title: str, note: str, content: Content, columns: Sequence[tuple[Heading, Callable[[Content], str]]]
) -> Table:
    rows = tuple(
        Row((Cell(entry["family"]), *(Cell(show(entry)) for _, show in columns)))
        for entry in content["families"]
    )
    return Table(title, note, (Heading("family", ""), *(heading for heading, _ in columns)), rows)


def _seconds(microseconds: float | None) -> float | None:
    return None if microseconds is None else 1e-6 * microseconds

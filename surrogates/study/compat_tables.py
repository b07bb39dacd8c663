"""The tables of LASANA's own figures: single steps and runs of a recording, and whole networks."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from simcore.report.tables import Cell, Heading, Row, Table
from simcore.units import number, percent

Content = Mapping[str, Any]
PUBLISHED = "published: energy < 7 %, latency < 8 %, behaviour < 2 %"
_VIEWS = {"oracle": "reference's state", "own": "own state"}


def compat_table(content: Content) -> Table:
    """Return the published tables II (one step) and III (oracle and predicted state) for every family."""
    columns = _columns(content)
    rows = []
    for entry in content["families"]:
        for i, (view, words) in enumerate(_VIEWS.items()):
            heads = entry["lasana_compat"][view]
            cells = [Cell(show(heads)) for _, show in columns]
            name = Cell("" if i else entry["family"])
            rows.append(Row((name, Cell(words), *cells), "" if i else "first"))
    headings = (Heading("family", ""), Heading("state", "What each step starts from."))
    note = (
        "Supply energy alone; MSE in squares of the unit; MAPE is the mean of |difference| / |reference| row "
        "by row. A missed event has latency 0 in 'latency' and does not count in 'matched'."
    )
    return Table(
        "Recording, as LASANA's scripts count", note, (*headings, *(heading for heading, _ in columns)),
        tuple(rows), n_text=2,
    )  # fmt: skip


def _columns(content: Content) -> list[tuple[Heading, Callable[[Content], str]]]:
    heads = content["families"][0]["lasana_compat"]["own"]
    wanted: Sequence[tuple[str, str, str]] = (
        ("latency", "latency", "mse"), ("latency", "latency", "mape_pct"),
        ("latency_matched", "matched", "mape_pct"),
        ("dynamic_energy", "dynamic energy", "mse"), ("dynamic_energy", "dynamic energy", "mape_pct"),
        ("dynamic_energy", "dynamic energy", "total_error_pct"), ("static_energy", "static energy", "mse"),
        ("static_energy", "static energy", "total_error_pct"), ("state", "state", "mse"),
        ("output", "output", "mse"), ("output", "event", "accuracy_pct"),
    )  # fmt: skip
    return [
        _column(head, text, figure, heads[head]["unit"])
        for head, text, figure in wanted
        if head in heads and figure in heads[head]
    ]


def _column(head: str, text: str, figure: str, unit: str) -> tuple[Heading, Callable[[Content], str]]:
    names = {
        "mse": (f"{text} MSE ({unit}²)", "Mean of the squared difference."),
        "mape_pct": (f"{text} MAPE", "Mean of |difference| / |reference|, row by row."),
        "total_error_pct": (f"{text} total", "|difference of the sums| over the sum of the reference."),
        "accuracy_pct": (f"{text} accuracy", "Driven steps in which both agree on the event."),
    }
    style = number if figure == "mse" else percent
    return Heading(*names[figure]), lambda heads: style(heads[head][figure], 3)


def network_name(network: Content) -> str:
    """Return what a compared network is called in tables."""
    n = network["n_samples"]
    told_apart = f" ({network['name']})" if "name" in network else ""
    return f"{network['scenario']}, {n} sample{'s' * (n != 1)}{told_apart}"


def network_table(content: Content) -> Table | None:
    """Return the published figures of whole networks; None without comparisons."""
    shown = {
        "energy_error_pct": Heading(
            "energy", "|difference| of a sample's total supply energy, relative; mean."
        ),
        "latency_error_pct": Heading(
            "latency", "|difference| of a sample's sum of latencies, relative; mean."
        ),
        "energy_mape_pct": Heading(
            "energy MAPE", "Mean over the events of the reference, then over samples."
        ),
        "latency_mape_pct": Heading("latency MAPE", "Mean over the shared events, then over samples."),
        "event_error_pct": Heading("events", "Driven steps in which the two do not agree on the event."),
        "accuracy_difference_pct": Heading("accuracy", "Difference of the share of right labels."),
    }
    rows = []
    for network in content["networks"]:
        for i, (view, figures) in enumerate(network["lasana_compat"].items()):
            cells = [Cell(percent(figures[key])) for key in shown]
            name = Cell("" if i else network_name(network))
            rows.append(Row((name, Cell(view), *cells), "" if i else "first"))
    headings = (
        Heading("network", ""),
        Heading("view", "Alone, or on the reference's inputs."),
        *shown.values(),
    )
    note = (
        "Means over samples. Supply energy alone; spiking networks: over the surrogate, level outputs: over "
        f"the reference. {PUBLISHED.capitalize()}, on MNIST with both kinds of network."
    )
    title = "Networks, as LASANA's scripts count"
    return Table(title, note, headings, tuple(rows), n_text=2) if rows else None

"""The energy boundary as a picture: which parts are inside the accounted energy, and what is not."""

from collections.abc import Sequence
from html import escape

from simcore.report.plot import INK, SOFT
from simcore.report.sides import Side
from simcore.report.totals_plots import PARTS
from simcore.units import percent, si

OUTSIDE = (
    "control logic and its clock",
    "wires but for links of the mesh",
    "memory and links off the chip",
    "writing and refreshing the weights",
    "voltage regulators and their losses",
    "the host",
)
"""What no figure of a run contains."""
_WIDTH, _HEIGHT = 1080, 330
_TEXT = 'font-family="system-ui, sans-serif"'
_BAR_X, _BAR_WIDTH = 48, 664
_WIDEST = 22.0
"""Width of an arrow that carries all of the energy."""


def boundary(sides: Sequence[Side]) -> str:
    """Return the picture of the last side as SVG: the candidate of a comparison, or the run."""
    side = sides[-1]
    parts = {part: sum(layer[f"{part}_j"] for layer in side.summary["layers"]) for part in PARTS}
    total = sum(parts.values())
    shares = {part: value / total if total else 0.0 for part, value in parts.items()}
    body = [
        _rect(20, 16, 720, 298, "none", "#2f5d8c", dash=True),
        _text(36, 42, f"accounted: {si(total, 'J')} per sample, {side.name}", 15, INK, weight=600),
        *_blocks(parts, shares),
        *_bar(shares),
        *_outside(),
    ]
    label = f"Energy boundary: {', '.join(f'{part} {si(value, chr(74))}' for part, value in parts.items())}"
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(label)}" '
        f'xmlns="http://www.w3.org/2000/svg" {_TEXT}>{"".join(body)}</svg>'
    )


def _blocks(parts: dict[str, float], shares: dict[str, float]) -> list[str]:
    """Draw drivers, analog units and logic, and the energy that flows into them."""
    top, height = 168, 74
    boxes = [(48, 170, "input drivers", "packets and levels"), (314, 190, "analog units", "neurons, rows"),
             (560, 152, "digital logic", "actions, clock, leakage")]  # fmt: skip
    drawn = []
    for x, width, name, what in boxes:
        drawn.append(_rect(x, top, width, height, "#f6f7f9", "#b9c4d0"))
        drawn.append(_text(x + width / 2, top + 33, name, 14, INK, "middle", 600))
        drawn.append(_text(x + width / 2, top + 53, what, 12, SOFT, "middle"))
    drawn += [
        _down(409, "supply", parts, shares, "supplies and bias"),
        _down(636, "digital", parts, shares, "logic"),
    ]
    drawn += _across(parts, shares, top + height / 2)
    drawn.append(_arrow(504, top + height / 2, 560, top + height / 2, "#b9c4d0", 1.5))
    drawn.append(_text(532, top + height / 2 - 9, "events", 11, SOFT, "middle"))
    return drawn


def _down(x: float, part: str, parts: dict[str, float], shares: dict[str, float], what: str) -> str:
    """Draw the energy that comes from above."""
    words = _text(x, 74, f"{part} {si(parts[part], 'J')}", 14, INK, "middle", 600)
    share = _text(x, 92, f"{what}, {percent(100 * shares[part])}", 12, SOFT, "middle")
    return words + share + _arrow(x, 102, x, 166, PARTS[part], _thick(shares[part]))


def _across(parts: dict[str, float], shares: dict[str, float], y: float) -> list[str]:
    """Draw the energy that the drivers of the inputs deliver."""
    return [
        _text(133, 134, f"input {si(parts['input'], 'J')}", 14, INK, "middle", 600),
        _text(133, 152, f"input drivers, {percent(100 * shares['input'])}", 12, SOFT, "middle"),
        _arrow(218, y, 312, y, PARTS["input"], _thick(shares["input"])),
    ]


def _bar(shares: dict[str, float]) -> list[str]:
    """Draw the shares as one bar, the colours named below it."""
    drawn, x, key_x = [], float(_BAR_X), float(_BAR_X)
    for part, colour in PARTS.items():
        width = _BAR_WIDTH * max(shares[part], 0.0)
        drawn.append(f'<rect x="{x:.1f}" y="262" width="{width:.1f}" height="14" fill="{colour}"/>')
        drawn.append(f'<rect x="{key_x:.1f}" y="287" width="10" height="10" fill="{colour}"/>')
        drawn.append(_text(key_x + 15, 297, f"{part} {percent(100 * shares[part])}", 12, SOFT))
        x, key_x = x + width, key_x + 150
    return drawn


def _outside() -> list[str]:
    lines = [_text(772, 42, "not accounted", 15, INK, weight=600)]
    for i, what in enumerate(OUTSIDE):
        y = 74 + 28 * i
        lines.append(
            f'<path d="M774 {y - 9} l8 8 m0 -8 l-8 8" stroke="#b5443c" stroke-width="1.6" fill="none"/>'
        )
        lines.append(_text(794, y, what, 13, INK))
    lines.append(
        _text(
            772,
            74 + 28 * len(OUTSIDE) + 8,
            "Loads dissipate only; they deliver none.",
            12,
            SOFT,
        )
    )
    return lines


def _thick(share: float) -> float:
    return max(1.5, _WIDEST * max(share, 0.0))


def _arrow(x1: float, y1: float, x2: float, y2: float, colour: str, width: float) -> str:
    """Draw an arrow to the right or down; its head is as long as it is wide, and 8 at least."""
    head, half = max(8.0, 0.8 * width), max(5.0, 0.85 * width)
    if x1 == x2:
        line = f"M{x1} {y1} V{y2 - head + 1:.1f}"
        tip = f"M{x2} {y2} l{-half:.1f} {-head:.1f} h{2 * half:.1f} z"
    else:
        line = f"M{x1} {y1} H{x2 - head + 1:.1f}"
        tip = f"M{x2} {y2} l{-head:.1f} {-half:.1f} v{2 * half:.1f} z"
    return f'<path d="{line}" stroke="{colour}" stroke-width="{width:.1f}"/><path d="{tip}" fill="{colour}"/>'


def _rect(
    x: float, y: float, width: float, height: float, fill: str, line: str, *, dash: bool = False
) -> str:
    style = ' stroke-dasharray="7 5" stroke-width="1.8"' if dash else ""
    place = f'x="{x}" y="{y}" width="{width}" height="{height}" rx="5"'
    return f'<rect {place} fill="{fill}" stroke="{line}"{style}/>'


def _text(
    x: float, y: float, text: str, size: int, colour: str, anchor: str = "start", weight: int = 400
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" text-anchor="{anchor}" '
        f'font-weight="{weight}">{escape(text)}</text>'
    )

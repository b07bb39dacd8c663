"""Reads the waveforms that lie beside a run: binary SPICE3 raw files, as `run --waves` writes them."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simcore.bank import Floats
from simcore.errors import ResultError
from simcore.result import RunResult
from simcore.waves import FOLDER

_NAME = re.compile(r"(?P<layer>.+)-(?P<unit>\d+)-sample-(?P<sample>\d+)")


@dataclass(frozen=True, slots=True)
class Wave:
    """The waveforms of one unit in one sample."""

    layer: str
    unit: int
    sample: int
    vectors: dict[str, Floats]
    """Name -> (n,), `time` in seconds among them."""

    def of(self, names: tuple[str, ...]) -> dict[str, Floats]:
        """Return the voltages of these nodes, of the deck or inside the circuit, those that are there."""
        found = {name: self._voltage(name) for name in names}
        return {name: voltage for name, voltage in found.items() if voltage is not None}

    def _voltage(self, name: str) -> Floats | None:
        inside = (vector for key, vector in self.vectors.items() if key.endswith(f".{name.lower()})"))
        return self.vectors.get(f"v({name.lower()})", next(inside, None))


def stored_waves(result: RunResult) -> tuple[Wave, ...]:
    """Return the waveforms beside a run, by layer in network order and unit; raises ResultError."""
    layers = list(result.layer_columns)
    found = []
    for path in sorted((result.path.parent / FOLDER).glob("*.raw")):
        match = _NAME.fullmatch(path.stem)
        if match and match["layer"] in layers:
            found.append(Wave(match["layer"], int(match["unit"]), int(match["sample"]), read_raw(path)))
    return tuple(sorted(found, key=lambda wave: (layers.index(wave.layer), wave.unit, wave.sample)))


def read_raw(path: Path) -> dict[str, Floats]:
    """Return the vectors of a real binary raw file, each (n,); raises ResultError."""
    try:
        head, mark, body = path.read_bytes().partition(b"Binary:\n")
        text = head.decode("ascii", errors="replace")
        count = re.search(r"^No\. Points:\s*(\d+)", text, re.MULTILINE)
        names = re.findall(r"^\t\d+\t(\S+)\t\S+", text, re.MULTILINE)
        if not mark or count is None or not names:
            raise ResultError(f"{path}: damaged waveform: expected a binary SPICE3 raw file")
        values = np.frombuffer(body, "<f8").reshape(int(count[1]), len(names))
    except (OSError, ValueError) as error:
        raise ResultError(f"{path}: damaged waveform: {error}") from error
    return {name: values[:, i] for i, name in enumerate(names)}

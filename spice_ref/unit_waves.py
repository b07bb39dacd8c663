"""Runs the rasters of chosen units on ngspice and writes all their waveforms, raw and VCD."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simcore.bank import Raster
from simcore.errors import ResultError
from simcore.spec import CircuitSpec
from spice_ref.bank import Bench, queue_of, read_options
from spice_ref.waveforms import write_raw, write_vcd


def draw(
    spec: CircuitSpec, rasters: Mapping[str, Raster], folder: Path, options: Mapping[str, Any], base: Path
) -> list[Path]:
    """Write NAME.raw and NAME.vcd for each raster and return their paths; `options` are the back end's."""
    chosen = read_options(options, spec)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResultError(f"cannot write {folder}: {error}") from error
    written: list[Path] = []
    with queue_of(chosen, base) as queue:
        bench = Bench(spec, chosen.accuracy, queue)
        digital = {
            node: detector.threshold
            for node, detector in bench.probe.detectors
            if detector.threshold is not None
        }
        names = list(rasters)
        tasks = (bench.waveforms(raster) for raster in rasters.values())
        for place, vectors, _ in queue.as_completed(tasks):
            raw, vcd = (folder / f"{names[place]}.{kind}" for kind in ("raw", "vcd"))
            write_raw(raw, f"{spec.name} {names[place]}", vectors)
            write_vcd(vcd, spec.name, vectors, digital)
            written += [raw, vcd]
    return sorted(written)

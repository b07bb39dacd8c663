"""Measures the study of the MAC block and writes docs/semulator.md.

    python -m benchmarks.semulator WORK_DIR [--only PART ...] [--page]

WORK_DIR is that of `scripts/mac_bundles`: recordings a-uniform.h5 and a-mixed.h5, b-..., a-workload.h5, and
bundles-a, bundles-b. Each part is stored in WORK_DIR/study as JSON when it is measured; --only measures some
again, --page writes the page from what is stored.
"""

import argparse
import json
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.semulator import measure
from benchmarks.semulator.page import write_page
from simcore.manifest import named_circuit
from simcore.spec import CircuitSpec
from surrogates.bundle import load_bundle
from surrogates.dataset import Dataset, load_dataset

SHAPES = {"a": "rram_mac", "b": "rram_mac:tiles=2,columns=8"}
FAMILIES = ("cnn", "cellsum", "linear")
CURVES = {"cnn": 200, "cellsum": 60}
"""Epochs of the learning curves, from LEAST samples on; fewer samples get as many steps as those."""
LONG = {"a": ((10_000,), 812)}
"""Samples and epochs of `cnn` that make as many steps as its bundle's training: samples apart from steps."""
SIZES = (1_000, 2_000, 5_000, 10_000)
"""Training samples; the bundle, trained on all uniform and mixed runs, is the last point."""
TIMED = 12
"""Rasters that ngspice's time is taken from."""


@dataclass(frozen=True)
class Shape:
    """One shape of the block: its recordings and bundles."""

    key: str
    spec: CircuitSpec
    work: Path

    def dataset(self) -> Dataset:
        """Return uniform and mixed runs, as the bundles were trained on them."""
        paths = [self.work / f"{self.key}-{kind}.h5" for kind in ("uniform", "mixed")]
        return load_dataset(paths, self.spec, 1)

    def bundles(self) -> dict[str, Any]:
        """Return the bundles by family."""
        root = self.work / f"bundles-{self.key}"
        return {name: load_bundle(root / name, self.spec) for name in FAMILIES if (root / name).is_dir()}


def errors(shape: Shape) -> dict[str, Any]:
    """Errors on the test part: uniform runs as published, the mixed ones, and the workload."""
    dataset = shape.dataset()
    dataset.open_test("docs/semulator.md")
    kinds: dict[str, Callable[[str], bool]] = {
        "uniform": lambda kind: kind == "uniform", "mixed": lambda kind: kind != "uniform",
    }  # fmt: skip
    found: dict[str, Any] = {"bound_v2": measure.bound_v2()}
    for name, wanted in kinds.items():
        steps = measure.held_out_steps(dataset, wanted)
        ideal = measure.output_errors(measure.ideal_outputs(shape.spec, steps), steps.outputs)
        found[name] = {"ideal": ideal} | {
            family: measure.bundle_errors(bundle, shape.spec, steps)
            for family, bundle in shape.bundles().items()
        }
    workload = shape.work / f"{shape.key}-workload.h5"
    if workload.exists():
        found["workload"] = {
            family: measure.workload_errors(bundle, shape.spec, workload)
            for family, bundle in shape.bundles().items()
        }
    found["weights"] = {
        family: bundle.info.model["driven"].get("weights") for family, bundle in shape.bundles().items()
    }
    return found


def curves(shape: Shape) -> dict[str, Any]:
    """Learning curves on the uniform runs; the bundles, which had all runs, at their end."""
    dataset, bundles = shape.dataset(), shape.bundles()
    found: dict[str, Any] = {
        family: [
            *measure.learning_curve(dataset, family, SIZES, epochs, told),
            measure.bundle_point(dataset, bundles[family]),
        ]
        for family, epochs in CURVES.items()
    }
    if shape.key in LONG:
        found["long"] = measure.learning_curve(dataset, "cnn", *LONG[shape.key], told)
    return found


def told(text: str) -> None:
    """Print at once."""
    print(text, flush=True)


def surfaces(shape: Shape) -> dict[str, Any]:
    """One cell's surface, for each network."""
    return {
        family: measure.surface(shape.spec, bundle)
        for family, bundle in shape.bundles().items()
        if family != "linear"
    }


def times(shape: Shape) -> dict[str, Any]:
    """CPU seconds per block of ngspice and of the bundles, on one core, one after the other."""
    dataset = load_dataset(shape.work / f"{shape.key}-uniform.h5", shape.spec, 1)
    rasters, _ = dataset.replays("selection")
    x = measure.step_tables(dataset)["driven"].selection.x
    found: dict[str, Any] = {"spice": measure.spice_seconds(shape.spec, rasters[:TIMED])}
    for family, bundle in shape.bundles().items():
        found[family] = {str(n): measure.bundle_seconds(bundle, x, n) for n in measure.BATCHES}
    found["machine"] = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    return found


PARTS: dict[str, Callable[[Shape], dict[str, Any]]] = {
    "errors": errors, "curves": curves, "surfaces": surfaces, "times": times,
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is missing, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--only", nargs="*", choices=PARTS, default=None, help="measure these parts again")
    parser.add_argument("--page", action="store_true", help="write the page from what is stored")
    parser.add_argument("--out", type=Path, default=Path("docs"))
    chosen = parser.parse_args(arguments)
    folder = chosen.work / "study"
    folder.mkdir(parents=True, exist_ok=True)
    stored: dict[str, dict[str, Any]] = {}
    for key, name in SHAPES.items():
        shape = Shape(key, named_circuit(name), chosen.work)
        for part, measured in PARTS.items():
            path = folder / f"{key}-{part}.json"
            again = not path.exists() if chosen.only is None else part in chosen.only
            if again and not chosen.page:
                print(f"{part} of shape {key}", flush=True)
                path.write_text(json.dumps(measured(shape), indent=1))
            if path.exists():
                stored.setdefault(part, {})[key] = json.loads(path.read_text())
    write_page(stored, chosen.out)


if __name__ == "__main__":
    main()

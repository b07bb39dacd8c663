"""Loads and runs damaged bundles, one after the other, in a process of limited memory and time.

`python -m tests.surrogates.fuzz SOURCE FIRST COUNT FOLDER` damages the bundle in SOURCE, case after case,
each seeded by its number; FOLDER/bundle holds the last one. It prints a line before and behind each case.
What is not refused with a BundleError must answer, with whatever numbers; the process ends if a case takes
too long.
"""

import hashlib
import json
import random
import resource
import shutil
import signal
import sys
from pathlib import Path

import numpy as np

from simcore.bank import StepInput
from simcore.errors import BundleError
from simcore.spec import PortKind
from surrogates.bundle import GRAPHS, MANIFEST, BundleInfo, load_bundle, read_info
from surrogates.runtime import SurrogateBank
from tests.surrogates.mutate import damage_bytes, damage_json, damage_model, rewire

CASE_S, WAIT_S = 20, 300
"""CPU and wall-clock seconds of one case: a busy machine is no failure."""
MEMORY = 4 << 30
GROWTH_KB = 600_000
"""Largest growth of the process that is no failure."""


def main(source: Path, first: int, count: int, folder: Path) -> None:
    """Go through the cases."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _answer(source, source)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + GROWTH_KB
    for number in range(first, first + count):
        signal.setitimer(signal.ITIMER_PROF, CASE_S)
        signal.alarm(WAIT_S)
        bundle = folder / "bundle"
        shutil.rmtree(bundle, ignore_errors=True)
        shutil.copytree(source, bundle)
        _tell(f"case {number}")
        damage(bundle, random.Random(number))
        try:
            outcome = _answer(bundle, source)
        except BundleError as error:
            outcome = "refused by onnxruntime" if "onnxruntime refuses" in str(error) else "refused"
            _tell(f"why {str(error).removeprefix(str(bundle))!a:.300}")
        if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > most:
            raise MemoryError(f"case {number} took more than {GROWTH_KB} kB")
        _tell(f"done {outcome}")
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.alarm(0)


def _tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def damage(bundle: Path, rng: random.Random) -> None:
    """Damage one file; most often the hashes are made to fit again, so that they do not hide what follows."""
    manifest, graph = bundle / MANIFEST, bundle / f"{rng.choice(GRAPHS)}.onnx"
    kind = rng.random()
    if kind < 0.2:
        text = damage_json(manifest.read_text(), rng)
        manifest.write_bytes(text.encode("utf-8", "surrogatepass"))
    else:
        change = rewire if kind < 0.5 else damage_model if kind < 0.8 else damage_bytes
        graph.write_bytes(change(graph.read_bytes(), rng))
    if rng.random() < 0.95:
        _reseal(bundle)


def _reseal(bundle: Path) -> None:
    manifest = bundle / MANIFEST
    try:
        data = json.loads(manifest.read_text())
        for name in data["files"]:
            data["files"][name] = hashlib.sha256((bundle / name).read_bytes()).hexdigest()
        info = BundleInfo.model_validate_json(json.dumps(data))
        manifest.write_text(info.sealed().model_dump_json())
    except (ValueError, OSError, KeyError, TypeError, AttributeError, RecursionError):
        return  # refused for what it is


def _answer(bundle: Path, source: Path) -> str:
    """Open a bundle as a user would and step it inside and outside its range; tell whether all was finite."""
    spec = read_info(source).spec
    loaded = load_bundle(bundle, spec)
    n, width = 17, len(loaded.info.columns)
    for value in (0.5, -1e30, 1e30, np.nan, np.inf):
        for graph in GRAPHS:
            loaded.run(graph, np.full((n, width), value, dtype=np.float32))
    params = np.tile((spec.low(PortKind.PARAM) + spec.high(PortKind.PARAM)) / 2, (n, 1))
    bank = SurrogateBank(loaded, spec, params)
    inputs = np.linspace(spec.low(PortKind.INPUT), 2 * spec.high(PortKind.INPUT), n)
    duration = np.full(n, spec.period_ps)
    finite = True
    for idle in (False, True, False):
        result = bank.step(StepInput(np.arange(n), duration, inputs, idle))
        finite &= all(np.isfinite(x).all() for x in (result.supply_j, result.outputs, result.state))
    json.dumps(bank.provenance(), allow_nan=False)
    return "finite" if finite else "not finite"


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))

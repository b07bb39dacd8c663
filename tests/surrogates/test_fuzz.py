"""Damaged bundles are refused or answer: never a crash, a hang, or memory without bound.

`SIMCORE_FUZZ=N` tries N cases of each bundle. A case that fails is kept in the folder that the message names.
"""

import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from surrogates.bundle import read_info, write_bundle
from surrogates.shipped import SHIPPED
from tests.surrogates.tree_graph import tree_graph

ROOT = Path(__file__).parents[2]
N = int(os.environ.get("SIMCORE_FUZZ", "20"))
FIRST = int(os.environ.get("SIMCORE_FUZZ_FIRST", "0"))
SOURCES = ("lif_neuron/trunk", "crossbar_row-32/trunk", "trees")


@pytest.fixture(params=SOURCES)
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A shipped bundle, or one whose driven graph is made of trees."""
    if request.param != "trees":
        return SHIPPED / request.param
    shipped = SHIPPED / SOURCES[0]
    graphs = {name: (shipped / f"{name}.onnx").read_bytes() for name in ("idle", "reset")}
    info = read_info(shipped)
    write_bundle(tmp_path / "trees", info, graphs | {"driven": tree_graph(len(info.columns))})
    return tmp_path / "trees"


def test_damaged_bundles_are_refused_or_answer(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes: Counter[str] = Counter()
    first, last = FIRST, FIRST + N
    failures = []
    while first < last:
        ran = subprocess.run(
            [sys.executable, "-W", "error", "-m", "tests.surrogates.fuzz",
             str(source), str(first), str(last - first), str(tmp_path)],
            cwd=ROOT, capture_output=True, text=True,
        )  # fmt: skip
        lines = ran.stdout.splitlines()
        outcomes.update(line.removeprefix("done ") for line in lines if line.startswith("done"))
        cases = [int(line.split()[1]) for line in lines if line.startswith("case")]
        if ran.returncode == 0:
            break
        assert cases, ran.stderr
        kept = tmp_path / f"case-{cases[-1]}"
        shutil.copytree(tmp_path / "bundle", kept)
        failures.append(f"{kept}: exit {ran.returncode}, {ran.stderr[-2000:]}")
        (kept / "why.txt").write_text(failures[-1])
        first = cases[-1] + 1
    if "SIMCORE_FUZZ" in os.environ:
        with capsys.disabled():
            sys.stdout.write(f"\n{source}: {dict(outcomes)}\n")
    assert not failures, "\n".join(failures)
    assert sum(outcomes.values()) == N

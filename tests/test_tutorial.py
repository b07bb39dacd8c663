"""The tutorial, run as it stands in docs/tutorial-circuit.md.

A fenced block with a name behind its language is a file: `spice NAME`, `toml NAME`, `python NAME`.
`diff NAME` changes lines of a file that is there. In a `console` block `$ ` starts a command, which leaves
with 0 or with the `# exit code N` behind it; each line below it is found in a line of its output. There
blanks count once, `...` stands for anything, and a number for one within a fifth of it. A table row
"| `figure` | ... | N % |" promises that the figure stays below N.
"""

import json
import math
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Outcome

DOCUMENT = Path(__file__).parents[1] / "docs" / "tutorial-circuit.md"
BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXIT_CODE = re.compile(r"\s*# exit code (\d+)$")
NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e[+-]?\d+)?")
PROMISE = re.compile(r"^\| `([\w ]+)` \|.*\| ([\d.]+) % \|$", re.MULTILINE)
MEASURED = re.compile(r"^(\w+ error): ([\d.]+) %$", re.MULTILINE)
BUNDLE = Path("my_circuit/bundles/integrator/mlp/bundle.json")
TOLERANCE = 0.2
"""Share by which a number may differ from the one that the document shows."""

Command = Callable[..., Outcome]


@pytest.mark.spice
@pytest.mark.slow
def test_the_tutorial_does_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, simcore: Command
) -> None:
    monkeypatch.chdir(tmp_path)
    text = DOCUMENT.read_text(encoding="utf-8")
    shown = ""
    for language, name, content in BLOCK.findall(text):
        if language == "console":
            shown += "".join(
                followed(command, code, lines, simcore) for command, code, lines in calls(content)
            )
        elif language == "diff":
            Path(name).write_text(patched(Path(name).read_text(encoding="utf-8"), content), encoding="utf-8")
        elif name:
            Path(name).parent.mkdir(exist_ok=True)
            Path(name).write_text(content, encoding="utf-8")
    page = Path("runs/check-integrator/check.html").read_text(encoding="utf-8")
    assert "No problem found." in page
    figures = json.loads(BUNDLE.read_text(encoding="utf-8"))["metrics"]["closed_loop"]["test"]
    found = {figure: 100 * value for figure, value in figures.items() if value is not None}
    found |= {figure: float(value) for figure, value in MEASURED.findall(shown)}
    promises = {figure: float(limit) for figure, limit in PROMISE.findall(text)}
    assert len(promises) == 7
    assert {figure: found[figure] for figure, limit in promises.items() if not found[figure] < limit} == {}


def test_a_line_is_found_by_its_words_and_roughly_by_its_numbers() -> None:
    assert agrees("vdd  supply ...", "vdd     supply   7.4e-12   2")
    assert agrees("delivers 4.26e-11 J", "problem: delivers 4.1e-11 J")
    assert not agrees("delivers 4.26e-11 J", "delivers 4.26e-12 J")
    assert not agrees("late 0", "late 3")
    assert not agrees("no problem found", "2 problems")


def calls(content: str) -> Iterator[tuple[str, int, list[str]]]:
    """Yield command, exit code and expected lines of a console block."""
    for part in re.split(r"^\$ ", content, flags=re.MULTILINE)[1:]:
        command, *lines = part.splitlines()
        code = EXIT_CODE.search(command)
        yield EXIT_CODE.sub("", command), int(code[1]) if code else 0, lines


def followed(command: str, code: int, lines: list[str], simcore: Command) -> str:
    """Run a command, `simcore` in this process; check exit code and output, and return the output."""
    if command.startswith("simcore "):
        outcome = simcore(*shlex.split(command)[1:], width=120)
    else:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        run = subprocess.run(
            ["bash", "-c", command], env=os.environ | {"PATH": path}, capture_output=True, text=True
        )
        outcome = Outcome(run.returncode, run.stdout, run.stderr)
    assert outcome.code == code, f"{command}: {outcome.out}{outcome.err}"
    told = [*outcome.out.splitlines(), *outcome.err.splitlines()]
    missing = [line for line in lines if not any(agrees(line, each) for each in told)]
    assert not missing, f"{command}: {missing} not in\n{outcome.out}{outcome.err}"
    return outcome.out


def agrees(line: str, told: str) -> bool:
    """Whether a line of the document is found within one of the output."""
    words = [re.escape(part) for part in NUMBER.split(" ".join(line.split()))]
    pattern = f"({NUMBER.pattern})".join(words).replace(re.escape("..."), ".*")
    found = re.search(pattern, " ".join(told.split()))
    return found is not None and all(
        math.isclose(float(a), float(b), rel_tol=TOLERANCE)
        for a, b in zip(NUMBER.findall(line), found.groups(), strict=True)
    )


def patched(text: str, diff: str) -> str:
    """Return a file with the lines of a diff changed; its old lines must be there once."""
    lines = diff.splitlines(keepends=True)
    old, new = ("".join(line[1:] for line in lines if line[0] in kept) for kept in (" -", " +"))
    assert text.count(old) == 1, diff
    return text.replace(old, new)

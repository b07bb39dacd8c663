"""What each column means, from `glossary.toml`: shown on hover, by `simcore explain`, in docs/glossary.md.

`python -m simcore.glossary docs/glossary.md` writes the page.
"""

import difflib
import sys
import tomllib
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path

from simcore.errors import UserError
from simcore.spec import Record


class Definition(Record):
    """One column."""

    name: str
    """What its heading says."""
    unit: str
    """SI unit of the stored value, or empty."""
    what: str
    """The sentence that explains it."""
    formula: str = ""

    @property
    def hover(self) -> str:
        """Return what shows on hover."""
        return f"{self.what} {self.formula}." if self.formula else self.what


class Chapter(Record):
    """Columns that stand in one place."""

    title: str
    note: str
    columns: dict[str, Definition]


@cache
def chapters() -> dict[str, Chapter]:
    """Read the definitions that ship with the package."""
    text = files("simcore").joinpath("glossary.toml").read_text(encoding="utf-8")
    return {name: Chapter.model_validate(entry) for name, entry in tomllib.loads(text).items()}


def define(key: str) -> Definition:
    """Return the definition of a column whose key is known to be there."""
    return next(chapter.columns[key] for chapter in chapters().values() if key in chapter.columns)


def find(word: str) -> list[tuple[str, Chapter, Definition]]:
    """Return (key, chapter, definition) of each column with this key, end of key, or name.

    Raises UserError that names what is like it, and all that is known.
    """
    wanted = " ".join(word.lower().split())
    found = [each for each in _all() if wanted in _words(each[0], each[2])]
    if found:
        return found
    known = sorted({key for key, _, _ in _all()})
    names = [word for key, _, each in _all() for word in _words(key, each)]
    near = difflib.get_close_matches(wanted, names, n=3)
    hint = f"; did you mean {' or '.join(dict.fromkeys(near))}?" if near else ""
    raise UserError(f"no column '{word}'{hint}\nknown: {', '.join(known)}")


def markdown() -> str:
    """Return docs/glossary.md."""
    made = "Made from `simcore/glossary.toml` by `python -m simcore.glossary docs/glossary.md`."
    lines = ["# Glossary", "", f"{made} On the command line: `simcore explain COLUMN`."]
    for chapter in chapters().values():
        lines += ["", f"## {chapter.title}", "", " ".join(chapter.note.split()), ""]
        lines += ["| key | in headings | unit | what it is | formula |", "|---|---|---|---|---|"]
        for key, each in chapter.columns.items():
            formula = f"`{each.formula}`" if each.formula else ""
            cells = [f"`{key}`", each.name, each.unit, each.what, formula]
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _all() -> Iterator[tuple[str, Chapter, Definition]]:
    for chapter in chapters().values():
        for key, definition in chapter.columns.items():
            yield key, chapter, definition


def _words(key: str, definition: Definition) -> Sequence[str]:
    return key.lower(), key.lower().rpartition(".")[2], definition.name.lower()


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(markdown(), encoding="utf-8")

"""`simcore cache`: how much is stored of solver results, and how to make it less."""

import re
from pathlib import Path
from typing import Annotated

import typer

from simcore.errors import UserError
from simcore.terminal import console
from simcore.units import si
from spice_ref import cache

app = typer.Typer(no_args_is_help=True, help="Show and prune the stored results of ngspice.")

FolderOption = Annotated[
    Path | None, typer.Option(help=f"Folder of the cache [${cache.CACHE_ENV}, else the user's cache folder].")
]
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


@app.command("info")
def info_command(folder: FolderOption = None) -> None:
    """Show where results are stored, how many and how large."""
    where = folder or cache.default_folder()
    found = list(cache.entries(where))
    size = sum(entry.size for entry in found)
    console.print(f"folder  {where}\nresults {len(found)}\nsize    {si(size, 'B')}")
    console.print(f"free    {si(cache.free_bytes(where), 'B')} on its disk")


@app.command("prune")
def prune_command(
    folder: FolderOption = None,
    max_size: Annotated[str | None, typer.Option(help="Keep at most this much: 500M, 20G.")] = None,
    older_than: Annotated[
        float | None, typer.Option(min=0, help="Drop what was not used for so many days.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Drop all.")] = False,
) -> None:
    """Drop stored results, the least recently used first; dropped ones are computed again when needed."""
    if not everything and max_size is None and older_than is None:
        raise UserError("cache prune: say how much, with --max-size 20G, --older-than 30 or --all")
    where = folder or cache.default_folder()
    age_s = None if older_than is None else older_than * 86400
    limits = (None, None) if everything else (_bytes(max_size), age_s)
    try:
        gone, freed = cache.prune(where, *limits)
    except OSError as error:
        raise UserError(f"cannot prune the cache {where}: {error}") from error
    console.print(f"{gone} results dropped, {si(freed, 'B')} freed in {where}")


def _bytes(text: str | None) -> int | None:
    if text is None:
        return None
    found = re.fullmatch(r"([\d.]+)\s*([KMGT]?)B?", text.strip(), re.IGNORECASE)
    try:
        return int(float(found[1]) * _UNITS[found[2].upper()]) if found else _refuse(text)
    except ValueError:
        return _refuse(text)


def _refuse(text: str) -> int:
    raise UserError(f"--max-size {text}: expected a size such as 500M or 20G")

"""Reads the files of a bundle: regular files of limited size, and JSON that has one meaning only."""

import json
import math
import os
import stat
from pathlib import Path
from typing import Any, NoReturn

from simcore.errors import BundleError

MAX_DEPTH = 32
MAX_DIGITS = 18
"""Digits of a whole number: more might not fit into 64 bits."""
_TOO_DEEP = f"tables within tables, expected at most {MAX_DEPTH}"
_FLAGS = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK"))


def read_plain(path: Path, limit: int) -> bytes:
    """Return the content of a file of at most `limit` bytes; no link, device or pipe: BundleError."""
    if path.is_symlink():
        raise BundleError(f"{path} is a link, expected the file itself")
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | _FLAGS)) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise BundleError(f"{path} is not a regular file")
            if found.st_size > limit:
                raise BundleError(f"{path}: {found.st_size} bytes, expected at most {limit}")
            return file.read(limit)
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}") from error


def parse_json(data: bytes) -> Any:
    """Return the content of a JSON file; a key given twice, or a number that is not finite: ValueError."""
    try:
        content = json.loads(
            data.decode(),
            object_pairs_hook=_table,
            parse_float=_number,
            parse_int=_integer,
            parse_constant=_refuse,
        )
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    if _depth(content) > MAX_DEPTH:
        raise ValueError(_TOO_DEEP)
    return content


def _depth(content: Any) -> int:
    """Return how deep tables and lists lie in each other; counted only a little beyond what is allowed."""
    level, depth = [content], 0
    while level and depth <= MAX_DEPTH:
        depth += 1
        level = [
            inner
            for table in level
            if isinstance(table, dict | list)
            for inner in (table.values() if isinstance(table, dict) else table)
        ]
    return depth


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key '{next(key for key in keys if keys.count(key) > 1)[:60]}' given twice")
    return table


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        _refuse(text[:60])
    return number


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        _refuse(text[:60])
    return int(text)


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"the number {text}, expected a finite one of at most {MAX_DIGITS} digits")

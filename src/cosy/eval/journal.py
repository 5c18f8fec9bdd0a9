"""What a long run has measured so far, a line of JSON each, so that it can be cut and taken up again.

The first line holds the settings: rows of other settings are never mixed in.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cosy.errors import ParameterError

Row = dict[str, Any]


class Journal:
    """Rows of one run; without a path they are kept in memory only.

    `settings` must survive JSON.  Raises ParameterError if the file is of other settings, or no journal.
    """

    def __init__(self, path: Path | None, settings: Mapping[str, Any]) -> None:
        self.path = path
        self.rows: list[Row] = []
        if path is None:
            return
        if path.is_file() and path.stat().st_size:
            self.rows = _read(path, json.loads(json.dumps(settings)))
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            _append(path, {"settings": settings})

    def append(self, row: Row) -> None:
        """Keep a row; it is on the disk when this returns."""
        self.rows.append(row)
        if self.path is not None:
            _append(self.path, row)


def _append(path: Path, row: Row) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _read(path: Path, settings: Row) -> list[Row]:
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]  # the run may have been cut within its last line
    if whole != text:
        path.write_text(whole, encoding="utf-8")
    try:
        head, *rows = (json.loads(line) for line in whole.splitlines())
        kept = head["settings"]
    except (ValueError, KeyError, TypeError) as error:
        raise ParameterError(f"{path} is no journal of a run: choose another folder for the report") from error
    if kept != settings:
        names = sorted(name for name in {*kept, *settings} if kept.get(name) != settings.get(name))
        raise ParameterError(
            f"{path} is of another run: {', '.join(names)} differ; choose another folder for the report, or remove it"
        )
    return rows


def fingerprint(directory: Path) -> str:
    """Changes with the names, sizes and times of a model directory's files: two models are not one run."""
    digest = hashlib.sha256()
    for path in sorted(each for each in directory.rglob("*") if each.is_file()):
        stat = path.stat()
        digest.update(f"{path.relative_to(directory)} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]

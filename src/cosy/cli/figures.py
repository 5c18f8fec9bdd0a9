"""Where measured figures go."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer


def tell(markdown: str, data: Any, md_file: Path | None, json_file: Path | None) -> None:
    """The tables to standard output and into a file, the same as data into another."""
    typer.echo(markdown, nl=False)
    if md_file is not None:
        md_file.write_text(markdown, encoding="utf-8")
    if json_file is not None:
        json_file.write_text(json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")

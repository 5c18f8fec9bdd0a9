"""`plan.json`: what a corpus is being made of, so that it is continued with the same plan or not at all."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from cosy.errors import ParameterError

PLAN = "plan.json"


def digest(value: object) -> str:
    """SHA-256 of what JSON makes of a value; paths and other objects count by their text."""
    return hashlib.sha256(json.dumps(value, ensure_ascii=False, default=str).encode()).hexdigest()


def begun(folder: Path, identity: dict[str, Any]) -> dict[str, Any] | None:
    """The plan of an earlier run with the same `identity` (plain JSON); None for a folder that is new or empty.

    Raises ParameterError for one that holds something else.
    """
    if not (folder / PLAN).is_file():
        if folder.is_file() or (folder.is_dir() and any(path.suffix != ".partial" for path in folder.iterdir())):
            raise ParameterError(
                f"{folder} holds other things than a corpus that was begun here: choose another folder"
            )
        return None
    plan: dict[str, Any] = json.loads((folder / PLAN).read_text(encoding="utf-8"))
    changed = [key for key, value in identity.items() if plan.get(key) != value]
    if changed:
        key = changed[0]
        told = f"{key} {_short(plan.get(key))}, now {_short(identity[key])}"
        raise ParameterError(
            f"{folder} was begun with another plan ({told}): repeat what began it, choose another folder, or delete it"
        )
    return plan


def begin(folder: Path, plan: dict[str, Any]) -> None:
    """Write the plan of a corpus, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{PLAN}.partial"
    partial.write_text(json.dumps(plan, ensure_ascii=False), encoding="utf-8")
    partial.replace(folder / PLAN)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 24 else text[:12] + "…"

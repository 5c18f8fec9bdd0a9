"""One module per dialect, each a translator between a public contract and `cosy.types.SpeechRequest`.

A dialect knows its routes, the shape of its errors and nothing of synthesis.  `cosy.server.app` lists them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter

from cosy.server.errors import Problem


@dataclass(frozen=True)
class Dialect:
    """A contract that the server fulfils."""

    name: str  # label in metrics and logs
    router: APIRouter
    claims: Callable[[str], bool]  # does this path belong to the dialect?
    body: Callable[[Problem, str], dict[str, Any]]  # (problem, request id) -> JSON error body
    validation_status: int = 400  # of what FastAPI's own validation refuses

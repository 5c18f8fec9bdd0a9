"""The JSON envelopes of the duplex WebSocket protocols: reading instructions, writing events.

    instruction   {"header": {"action", "task_id", "streaming"}, "payload": {"input": {...}, ...}}
    event         {"header": {"task_id", "event", ..., "attributes": {}}, "payload": {...}}

Unknown fields are ignored, null counts as absent.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from cosy.server.dialects.v1_body import without_nulls
from cosy.server.errors import ApiError, Kind

LONGEST_TASK_ID = 1024  # characters


class NotJsonError(ApiError):
    """A frame is no JSON at all."""


@dataclass(frozen=True)
class Instruction:
    """One message of the client."""

    action: str  # run-task, continue-task, finish-task
    task_id: str
    payload: dict[str, Any]

    @property
    def input(self) -> dict[str, Any]:
        """`payload.input`, empty if absent.  Raises ApiError if it is no object."""
        return section(self.payload, "input")


def parse_object(frame: str) -> dict[str, Any]:
    """The JSON object in a text frame.  Raises NotJsonError, or ApiError for another value."""
    try:
        found = from_json(frame, allow_inf_nan=False)  # refuses halves of surrogate pairs, which json lets through
    except (ValueError, RecursionError) as error:
        raise NotJsonError(Kind.INVALID, f"the message is not JSON: {str(error)[:120]}") from error
    if not isinstance(found, dict):
        raise ApiError(Kind.INVALID, f"the message must be a JSON object, not {type(found).__name__}")
    return found


def parse_instruction(frame: str) -> Instruction:
    """A text frame as an instruction.  Raises NotJsonError, or ApiError for an envelope that lacks something."""
    envelope = without_nulls(parse_object(frame))
    header = section(envelope, "header")
    action, task_id = text_field(header, "action"), text_field(header, "task_id")
    if not 0 < len(task_id) <= LONGEST_TASK_ID:
        message = f"header.task_id must have 1 to {LONGEST_TASK_ID} characters, got {len(task_id)}"
        raise ApiError(Kind.INVALID, message, "task_id")
    return Instruction(action, task_id, section(envelope, "payload"))


def section(parent: dict[str, Any], name: str) -> dict[str, Any]:
    """The object `parent[name]`; null and absent are empty.  Raises ApiError for anything else."""
    value = parent.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ApiError(Kind.INVALID, f"{name} must be an object, not {type(value).__name__}", name)
    return value


def text_field(parent: dict[str, Any], name: str) -> str:
    """The string `parent[name]`; null and absent are empty.  Raises ApiError for another type, or NUL."""
    value = parent.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ApiError(Kind.INVALID, f"{name} must be a string, not {type(value).__name__}", name)
    if "\0" in value:
        raise ApiError(Kind.INVALID, f"{name} must not hold the character NUL", name)
    return value


def event(name: str, task_id: str, payload: dict[str, Any] | None = None, **header: Any) -> dict[str, Any]:
    """An event envelope; `header` adds fields such as error_code, or replaces `attributes`."""
    return {
        "header": {"task_id": task_id, "event": name, **header, "attributes": {}} | header,
        "payload": payload or {},
    }


def compact_json(value: Any) -> str:
    """JSON on one line without blanks, non-ASCII characters as they are."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

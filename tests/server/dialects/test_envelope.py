"""Envelopes of the duplex WebSocket protocols."""

from __future__ import annotations

import json

import pytest

from cosy.server.dialects.envelope import LONGEST_TASK_ID, Instruction, NotJsonError, event, parse_instruction
from cosy.server.errors import ApiError


def message(action: object = "run-task", task_id: object = "t", **envelope: object) -> str:
    return json.dumps({"header": {"action": action, "task_id": task_id, "streaming": "duplex"}, **envelope})


def test_an_instruction_is_read() -> None:
    read = parse_instruction(message(payload={"input": {"text": "你好"}}))
    assert read == Instruction("run-task", "t", {"input": {"text": "你好"}})
    assert read.input == {"text": "你好"}


@pytest.mark.parametrize("envelope", [{}, {"payload": None}, {"payload": {"input": None}}, {"extra": 1}])
def test_null_is_absent_and_unknown_fields_are_ignored(envelope: dict[str, object]) -> None:
    assert parse_instruction(message(**envelope)).input == {}


def test_null_is_absent_at_any_depth() -> None:
    parameters = {"seed": None, "language_hints": [None, "en"], "hot_fix": {"replace": None, "pronunciation": []}}
    read = parse_instruction(message(payload={"parameters": parameters}))
    assert read.payload == {"parameters": {"language_hints": ["en"], "hot_fix": {"pronunciation": []}}}


@pytest.mark.parametrize("frame", ["", "{", "run-task", '{"a": NaN}', '"\\ud800"', "[" * 100_000])
def test_what_is_not_json_is_told_apart(frame: str) -> None:
    with pytest.raises(NotJsonError, match="not JSON"):
        parse_instruction(frame)


@pytest.mark.parametrize(
    ("frame", "named"),
    [
        ("[]", "JSON object"),
        ("3", "JSON object"),
        ("{}", "task_id"),
        ('{"header": "run-task"}', "header must be an object"),
        (message(action=7), "action must be a string"),
        (message(task_id=None), "task_id"),
        (message(task_id=""), "task_id"),
        (message(task_id=["t"]), "task_id must be a string"),
        (message(task_id="t" * (LONGEST_TASK_ID + 1)), "task_id"),
        (message(task_id="\0"), "NUL"),
        (message(payload=[1]), "payload must be an object"),
    ],
)
def test_an_envelope_that_lacks_something_is_refused_by_name(frame: str, named: str) -> None:
    with pytest.raises(ApiError, match=named) as caught:
        parse_instruction(frame)
    assert not isinstance(caught.value, NotJsonError)


def test_an_event_has_all_parts_in_the_documented_order() -> None:
    assert list(event("task-failed", "t", error_code="E")["header"]) == ["task_id", "event", "error_code", "attributes"]
    assert event("task-started", "t") == {
        "header": {"task_id": "t", "event": "task-started", "attributes": {}},
        "payload": {},
    }
    assert event("task-finished", "t", attributes={"a": 1})["header"]["attributes"] == {"a": 1}

"""PAI-EAS's duplex WebSocket: JSON in text frames both ways, audio as base64 inside `result-generated`.

Source: "WebSocket API" of the CosyVoice 2 page of Alibaba Cloud PAI-EAS.
"""

from __future__ import annotations

from typing import ClassVar

from starlette.websockets import WebSocket

from cosy.errors import TextError
from cosy.server.auth import Caller
from cosy.server.context import Context
from cosy.server.dialects.duplex import DuplexSession, Task
from cosy.server.dialects.envelope import Instruction, event, section
from cosy.server.dialects.pai_eas_speech import CODES, NAME, Options, Results
from cosy.server.dialects.v1_body import parse
from cosy.server.errors import problem_of
from cosy.server.speech import Speech
from cosy.server.text import TextQueue


class PaiSession(DuplexSession[Task]):
    """One socket.  A client divides by `speech_len` and indexes its first result: no task ends without audio."""

    dialect: ClassVar[str] = NAME

    def __init__(self, websocket: WebSocket, context: Context, caller: Caller) -> None:
        super().__init__(websocket, context, caller)
        self.task_timeout_s = self.idle_timeout_s  # the contract knows one patience

    async def start(self, instruction: Instruction, text: TextQueue) -> Task:
        options = parse(Options, section(instruction.payload, "parameters"))
        return Task(text, instruction.task_id, await options.request(text, self.context, stream=True))

    async def deliver(self, task: Task, speech: Speech) -> None:
        results = Results(task.request_id, task.ready_s)
        async for packet in speech:
            await self.send(event("result-generated", task.id, results.result(packet)))

    async def finish(self, task: Task, speech: Speech | None) -> None:
        payload = {"output": {}, "usage": {"characters": task.characters}}
        await self.send(event("task-finished", task.id, payload))

    async def nothing(self, task: Task) -> None:
        raise TextError("there is no text to speak: send it in payload.input.text of continue-task")

    def failure(self, error: Exception) -> tuple[str, str]:
        problem = problem_of(error)
        return CODES[problem.kind], problem.message

"""DashScope's duplex WebSocket: events as JSON in text frames, audio in binary frames between them.

Each sentence is `sentence-begin`, then `sentence-synthesis` with exactly one binary frame after it, as often as
there is audio, then `sentence-end`.  The binary frames of a task are one file.

Source: "CosyVoice WebSocket API" of Alibaba Cloud Model Studio.
"""

from __future__ import annotations

from typing import Any, ClassVar

from cosy.server import ssml
from cosy.server.dialects.dashscope_events import Result, Sentences
from cosy.server.dialects.dashscope_speech import LONGEST_TEXT, NAME, Options, Script, check_model, code_and_message
from cosy.server.dialects.dashscope_text import FLUSH, FlushableText, Replacements, Slices
from cosy.server.dialects.duplex import DuplexSession, SilentClientError, Task
from cosy.server.dialects.envelope import Instruction, event, section, text_field
from cosy.server.dialects.v1_body import parse
from cosy.server.errors import ApiError, Kind, problem_of
from cosy.server.speech import Speech
from cosy.server.text import TextQueue
from cosy.types import SpeechRequest

LONGEST_TASK_ID = 128  # characters
NOT_JSON = 1007  # WebSocket close code
SERVICE = {"task_group": "audio", "task": "tts", "function": "SpeechSynthesizer"}


class DashScopeTask(Task):
    """A task and what has been told of it."""

    def __init__(self, id: str, request: SpeechRequest, text: FlushableText, options: Options) -> None:
        super().__init__(text, id, request)
        self.options = options
        self.script = Script(options)
        self.words: Replacements = options.replacements
        self.raw = Slices()
        self.texts = 0  # messages with text


class DashScopeSession(DuplexSession[DashScopeTask]):
    """One socket."""

    dialect: ClassVar[str] = NAME
    not_json_close_code: ClassVar[int | None] = NOT_JSON

    async def start(self, instruction: Instruction, text: TextQueue) -> DashScopeTask:
        payload = instruction.payload
        if len(instruction.task_id) > LONGEST_TASK_ID:
            message = f"task_id must have 1 to {LONGEST_TASK_ID} characters, got {len(instruction.task_id)}"
            raise ApiError(Kind.INVALID, message, "task_id")
        if payload.get("input") is None or any(text_field(payload, name) != value for name, value in SERVICE.items()):
            raise ApiError(Kind.INVALID, "task can not be null", "task")
        if not (model := text_field(payload, "model")):
            raise ApiError(Kind.INVALID, "model is missing; send one such as cosyvoice-v2", "model")
        check_model(model)
        options = parse(Options, section(payload, "parameters"))
        pieces = FlushableText(self.context.settings.max_text_characters)
        task = DashScopeTask(instruction.task_id, await options.request(pieces, self.context), pieces, options)
        await self.feed(task, instruction)
        return task

    async def feed(self, task: DashScopeTask, instruction: Instruction) -> None:
        text = text_field(instruction.input, "text")
        if len(text) > LONGEST_TEXT:
            message = f"a message may have {LONGEST_TEXT} characters of text, got {len(text)}; send it in parts"
            raise ApiError(Kind.TOO_LARGE, message, "text")
        if text:
            await self._take(task, text)
        if instruction.input.get("flush") is True:
            await self.put(task, task.words.finish())
            task.pieces.put_nowait(FLUSH)

    async def _take(self, task: DashScopeTask, text: str) -> None:
        task.texts += 1
        if task.options.enable_ssml:
            if task.texts > 1:
                raise ApiError(Kind.INVALID, "Text request limit violated, expected 1.", "text")
            if ssml.is_markup(text):
                document = task.script.mark_up(text)
                task.raw.add(document.written)
                await self.put(task, document.spoken)
                return
        task.raw.add(text)
        await self.put(task, task.words.push(text))

    async def end(self, task: DashScopeTask) -> None:
        await self.put(task, task.words.finish())

    async def deliver(self, task: DashScopeTask, speech: Speech) -> None:
        sentences = Sentences(task.raw, task.options.word_timestamp_enabled)
        async for packet in speech:
            frames: list[dict[str, Any] | bytes] = []
            for result in sentences.results(packet):
                frames.append(event("result-generated", task.id, _payload(result)))
                if result.data:
                    frames.append(result.data)
            await self.send(*frames)

    async def finish(self, task: DashScopeTask, speech: Speech | None) -> None:
        payload = {"output": {"sentence": {"words": []}}, "usage": {"characters": task.raw.charged}}
        await self.send(event("task-finished", task.id, payload, attributes={"request_uuid": task.request_id}))

    def failure(self, error: Exception) -> tuple[str, str]:
        problem = problem_of(error)
        if isinstance(error, SilentClientError):
            return "CLIENT_ERROR", problem.message
        return code_and_message(problem, "tts")

    async def _open(self, task: DashScopeTask) -> Speech:
        context = task.script.context(self.context)
        return await Speech.open(context, self.caller, task.request, dialect=NAME, request_id=task.request_id)


def _payload(result: Result) -> dict[str, Any]:
    """Only the end of a sentence tells what it cost."""
    ended = result.output["type"] == "sentence-end"
    return {"output": result.output} | ({"usage": {"characters": result.characters}} if ended else {})

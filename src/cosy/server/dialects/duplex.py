"""What the two duplex WebSocket protocols (DashScope, PAI-EAS) have in common: envelopes, tasks, order.

A client sends JSON instructions: `run-task`, any number of `continue-task` with pieces of text, `finish-task`.
The server answers with events: `task-started`, results, then `task-finished` or `task-failed`.  One task runs at
a time; after it the socket takes the next one.  A new `run-task`, or a `finish-task` with the directive `cancel`,
ends the running task at once.  A failed task closes the socket; a closed socket stops the computation.

A dialect derives from `DuplexSession` and says how parameters become a task (`start`), how audio leaves
(`deliver`), how a task ends (`finish`) and how an error reads (`failure`); `feed` and `nothing` have defaults.
All waiting, order and cancelling is here.  Text goes to the engine as it comes: synthesis starts with the first
text that is more than blanks, not with `finish-task`.
"""

from __future__ import annotations

import asyncio
import uuid
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from starlette.websockets import WebSocket, WebSocketDisconnect

from cosy.server.auth import Caller
from cosy.server.boundary import note_failure
from cosy.server.context import Context
from cosy.server.dialects.envelope import Instruction, NotJsonError, event, parse_instruction, text_field
from cosy.server.dialects.sockets import cut_short, send_frame, text_of, while_read
from cosy.server.errors import ApiError, Kind
from cosy.server.speech import Speech
from cosy.server.text import Intake, TextQueue
from cosy.types import SpeechRequest

T = TypeVar("T")


class SilentClientError(ApiError):
    """No instruction came for `task_timeout_s` while a task was waiting for text."""


class _SilenceError(Exception):
    """The client sent nothing for as long as it may."""


@dataclass(eq=False)
class Task(Intake):
    """One synthesis on a socket, from run-task to its last event.  A dialect may derive its own, with more fields."""

    id: str  # the client's name for it, echoed verbatim
    request: SpeechRequest  # request.text is `text`
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    speaking: asyncio.Task[None] | None = None


TaskT = TypeVar("TaskT", bound=Task)


class DuplexSession(ABC, Generic[TaskT]):
    """One socket, not yet accepted.  Use: `await MySession(websocket, context, caller).serve()`."""

    dialect: ClassVar[str]  # label in metrics and logs
    not_json_close_code: ClassVar[int | None] = None  # close with it; None: task-failed first, as for other errors

    def __init__(self, websocket: WebSocket, context: Context, caller: Caller) -> None:
        self.websocket = websocket
        self.context = context
        self.caller = caller
        self.idle_timeout_s = context.settings.idle_timeout_s  # without a task: the socket is closed
        self.task_timeout_s = context.settings.task_timeout_s  # a task waits for text: SilentClientError
        self.task: TaskT | None = None
        self._task_id = ""  # of the newest run-task
        self._named_id = ""  # what a failure is told of: that, or the id of whatever came before any run-task
        self._sending = asyncio.Lock()

    # What a dialect supplies.

    @abstractmethod
    async def start(self, instruction: Instruction, text: TextQueue) -> TaskT:
        """Check a run-task and resolve its voice; the task's request has `text` as its text.

        `task-started` is sent when it returns.  ApiError and CosyError become `task-failed`.
        """

    @abstractmethod
    async def deliver(self, task: TaskT, speech: Speech) -> None:
        """Send all that `speech` yields.  The caller closes it and then calls `finish`."""

    @abstractmethod
    async def finish(self, task: TaskT, speech: Speech | None) -> None:
        """Send `task-finished`.  None: the task was cancelled, or had nothing to speak."""

    @abstractmethod
    def failure(self, error: Exception) -> tuple[str, str]:
        """`error_code` and `error_message` of a task-failed."""

    async def feed(self, task: TaskT, instruction: Instruction) -> None:
        """Take a continue-task: by default `payload.input.text`, any fragment, down to nothing."""
        await self.put(task, text_field(instruction.input, "text"))

    async def end(self, task: TaskT) -> None:
        """finish-task came: the last moment to `put` text that was held back; by default there is none."""

    async def nothing(self, task: TaskT) -> None:
        """finish-task came and there was no text: by default the task is finished without audio."""
        await self.finish(task, None)

    # What a dialect may use.

    async def put(self, task: TaskT, piece: str) -> None:
        """Hand text on to the engine.  Raises ApiError TOO_LARGE beyond the limit of a task."""
        task.take(piece, self.context.settings.max_text_characters)

    async def send(self, *frames: dict[str, Any] | bytes) -> None:
        """Objects as JSON text frames, bytes as binary frames, with nothing else between them.

        Raises WebSocketDisconnect when the client is gone, or reads nothing for `stall_s`.
        """
        async with self._sending:
            for frame in frames:
                with while_read(self.context.settings.stall_s):
                    await send_frame(self.websocket, frame)

    # Order.

    async def serve(self) -> None:
        """Accept the socket and obey it until either side closes it."""
        try:
            await self.websocket.accept()
            while instruction := await self._next_instruction():
                await self._obey(instruction)
            await self.websocket.close()
        except WebSocketDisconnect:
            pass
        except Exception as error:  # whatever goes wrong with a task is told to its client
            await self._fail(error)
        finally:
            await self._drop_task(at_once=True)

    async def _obey(self, instruction: Instruction) -> None:
        self._named_id = self._task_id or instruction.task_id
        if instruction.action == "run-task":
            await self._drop_task()
            await self._begin(instruction)
        elif instruction.action in ("continue-task", "finish-task"):
            await self._go_on(instruction)
        else:
            choices = "run-task, continue-task or finish-task"
            raise ApiError(Kind.INVALID, f"unknown action {instruction.action[:80]!r}; send {choices}", "action")

    async def _begin(self, instruction: Instruction) -> None:
        self._task_id = self._named_id = instruction.task_id
        task = await self.start(instruction, TextQueue(self.context.settings.max_text_characters))
        await self.send(event("task-started", task.id))
        task.speaking = asyncio.create_task(self._speak(task))
        self.task = task

    async def _go_on(self, instruction: Instruction) -> None:
        finishing = instruction.action == "finish-task"
        cancelling = finishing and instruction.input.get("directive") == "cancel"
        if cancelling and self.task is None and instruction.task_id == self._task_id:
            return  # it ended while the message was on its way
        task = self._named(instruction)
        if cancelling:
            if await self._drop_task():
                await self.finish(task, None)
        elif not task.accepting:
            raise ApiError(Kind.INVALID, f"{instruction.action} came after finish-task; send run-task first", "action")
        elif finishing:
            await self.end(task)
            task.end()
        else:
            await self.feed(task, instruction)

    def _named(self, instruction: Instruction) -> TaskT:
        if self.task is not None and self.task.id == instruction.task_id:
            return self.task
        running = f"task {self.task.id[:80]!r} is running" if self.task else "no task is running: send run-task first"
        named = f"{instruction.action} for task {instruction.task_id[:80]!r}"
        raise ApiError(Kind.INVALID, f"{named} came, but {running}", "task_id")

    async def _speak(self, task: TaskT) -> None:
        """The engine is asked only when there is something to say: a waiting task holds no place in it."""
        await task.ready.wait()
        if not task.has_text:
            await self.nothing(task)
            return
        async with task.handing_on(), await self._open(task) as speech:
            await self.deliver(task, speech)
        await self.finish(task, speech)

    async def _open(self, task: TaskT) -> Speech:
        return await Speech.open(
            self.context, self.caller, task.request, dialect=self.dialect, request_id=task.request_id
        )

    # Waiting and ending.

    async def _next_instruction(self) -> Instruction | None:
        """The client's next message; None when it sent nothing for too long and no task runs."""
        while True:
            try:
                message = await self._meanwhile(self.websocket.receive())
            except _SilenceError:
                if self.task is None:
                    return None
                silence = f"request timeout after {self.task_timeout_s:g} seconds."
                raise SilentClientError(Kind.INVALID, silence) from None
            if message is not None:
                return parse_instruction(text_of(message))

    async def _meanwhile(self, job: Coroutine[Any, Any, T]) -> T | None:
        """What `job` returns, or None if the running task ended first.

        Raises what the running task raised, and _SilenceError when patience ends.
        """
        waiting = asyncio.ensure_future(job)
        speaking = self.task.speaking if self.task else None
        try:
            both = {waiting, speaking} if speaking else {waiting}
            done, _ = await asyncio.wait(both, timeout=self._patience_s(), return_when=asyncio.FIRST_COMPLETED)
            if not done:
                raise _SilenceError
            if speaking is not None and speaking in done:
                speaking.result()
                self.task = None
            return waiting.result() if waiting in done else None
        finally:
            waiting.cancel()

    def _patience_s(self) -> float | None:
        if self.task is None:
            return self.idle_timeout_s
        return self.task_timeout_s if self.task.accepting else None

    async def _drop_task(self, at_once: bool = False) -> bool:
        """End the running task, if any, and wait until its engine request is gone.  Whether that cut it short.

        Not between the frames of one `send`, unless `at_once`: then nobody reads them any more.
        Raises WebSocketDisconnect if that is how the task ended.
        """
        task, self.task = self.task, None
        if task is None or task.speaking is None:
            return False
        await cut_short(task.speaking, None if at_once else self._sending)
        error = None if task.speaking.cancelled() else task.speaking.exception()
        if isinstance(error, WebSocketDisconnect) and not at_once:
            raise error
        return task.speaking.cancelled() or error is not None

    async def _fail(self, error: Exception) -> None:
        """Tell the client why, and close: a socket with a failed task is not used again."""
        try:
            await self._drop_task()
            if isinstance(error, NotJsonError) and self.not_json_close_code is not None:
                await self.websocket.close(self.not_json_close_code)
                return
            note_failure(error, self.dialect, self.context.metrics)
            code, text = self.failure(error)
            await self.send(event("task-failed", self._named_id, error_code=code, error_message=text))
            await self.websocket.close()
        except WebSocketDisconnect:
            pass  # nobody is left to be told

"""DashScope's speech over HTTP: an answer that points to a file, or server-sent events with the audio in them.

Source: "CosyVoice HTTP API" of Alibaba Cloud Model Studio.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, ClassVar, cast

from anyio import to_thread
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from pydantic import Field

from cosy.audio.encode import find_format, wav_header
from cosy.audio.label import label
from cosy.errors import OverloadedError
from cosy.server import ssml
from cosy.server.auth import SPEECH, Caller, allow
from cosy.server.boundary import ClientGoneError
from cosy.server.context import Context, context_of, request_id_of
from cosy.server.dialects.dashscope_events import Result, Sentences
from cosy.server.dialects.dashscope_results import ResultFile, ResultFiles
from cosy.server.dialects.dashscope_speech import (
    LONGEST_TEXT,
    NAME,
    CodedProblem,
    Options,
    Script,
    check_model,
    error_body,
)
from cosy.server.dialects.dashscope_text import Slices
from cosy.server.dialects.envelope import compact_json
from cosy.server.dialects.v1_body import Body, Text, describe, parse, read_object
from cosy.server.errors import ApiError, Kind, problem_of
from cosy.server.speech import Speech, sse_response
from cosy.server.store.objects import ObjectStore

BASE = "/api/v1/services/audio/tts"
TOO_MANY = 429

Ctx = Annotated[Context, Depends(context_of)]
Speaker = Annotated[Caller, Depends(allow(SPEECH))]

router = APIRouter(prefix=BASE, tags=["DashScope"])


async def results_of(request: Request, context: Ctx) -> ResultFiles:
    """The app's result files; a FastAPI dependency."""
    state = request.app.state
    if not hasattr(state, "dashscope_results"):
        settings = context.settings
        state.dashscope_results = ResultFiles(ObjectStore(settings.objects), settings.result_ttl_s)
    return cast(ResultFiles, state.dashscope_results)


Results = Annotated[ResultFiles, Depends(results_of)]


class Input(Options):
    """What to speak, and how."""

    default_format: ClassVar[str] = "wav"
    default_rate_hz: ClassVar[int] = 24_000

    text: Text
    """1 to 20000 characters."""


class SpeechBody(Body):
    """The body of POST .../SpeechSynthesizer."""

    model: Text = Field(min_length=1)
    """Such as cosyvoice-v3-flash; there is one model behind all CosyVoice names."""
    input: Input


@router.post("/SpeechSynthesizer", response_class=Response, openapi_extra=describe(SpeechBody))
@router.post("/SpeechSynthesizer/", response_class=Response, include_in_schema=False)
async def synthesize(request: Request, context: Ctx, caller: Speaker, files: Results) -> Response:
    """Speak; with the header `X-DashScope-SSE: enable` as server-sent events."""
    wanted = parse(SpeechBody, await read_object(request))
    check_model(wanted.model)
    answer = Answer(request, context, files, wanted.input)
    streaming = request.headers.get("x-dashscope-sse", "").lower() == "enable"
    with throttled("Throttling.RateQuota"):
        speech = await answer.open(caller, streaming)
        return sse_response(answer.events(speech), speech) if streaming else await answer.whole(speech)


@contextmanager
def throttled(code: str) -> Iterator[None]:
    """Where there is no capacity, this API answers 429 and names the quota."""
    try:
        yield
    except (ApiError, OverloadedError) as error:
        problem = problem_of(error)
        if problem.kind is not Kind.OVERLOADED:
            raise
        told = ApiError(Kind.OVERLOADED, problem.message)
        told.problem = CodedProblem(
            problem.kind, TOO_MANY, problem.message, retry_after_s=problem.retry_after_s, code=code
        )
        raise told from error


class Answer:
    """The answer to one request."""

    def __init__(self, request: Request, context: Context, files: ResultFiles, wanted: Input) -> None:
        self._id = request_id_of(request)
        self._base = context.settings.public_url.rstrip("/") or str(request.base_url).rstrip("/")
        self._context = context
        self._files = files
        self._wanted = wanted
        self._expires_at = files.expiry()
        self._raw = Slices()

    async def open(self, caller: Caller, streaming: bool) -> Speech:
        """Start to speak.  Raises ApiError and CosyError before any audio."""
        text, script = self._wanted.text, Script(self._wanted)
        if len(text) > LONGEST_TEXT:
            raise ApiError(Kind.INVALID, f"text may have {LONGEST_TEXT} characters, got {len(text)}", "text")
        if self._wanted.enable_ssml and ssml.is_markup(text):
            document = script.mark_up(text)
            self._raw.add(document.written)
            text = document.spoken
        else:
            self._raw.add(text)
            text = self._wanted.corrected(text)
        return await Speech.open(
            script.context(self._context),
            caller,
            await self._wanted.request(text, self._context),
            dialect=NAME,
            request_id=self._id,
            length="unknown" if streaming else "known",
        )

    async def whole(self, speech: Speech) -> Response:
        """JSON that points to the complete file."""
        async with speech:
            file = await self._keep(await speech.read())
        self._raw.rest()
        return JSONResponse(self._body(self._finished(file)))

    async def events(self, speech: Speech) -> AsyncIterator[bytes]:
        """Server-sent events; the last one points to the complete file."""
        number, data = 0, bytearray()
        sentences = Sentences(self._raw, self._wanted.word_timestamp_enabled)
        try:
            async for packet in speech:
                data += packet.data
                for result in sentences.results(packet):
                    number += 1
                    yield _event(number, "result", 200, self._body(self._running(result), result.characters))
            file = await self._keep(await to_thread.run_sync(self._complete, bytes(data), speech.rate_hz))
            yield _event(number + 1, "result", 200, self._body(self._finished(file)))
        except ClientGoneError:
            raise
        except Exception as error:  # whatever it was, the client has to be told in the stream
            yield _event(number + 1, "error", 500, error_body(problem_of(error), self._id))

    def _complete(self, data: bytes, rate_hz: int) -> bytes:
        """A streamed file as a whole one: a WAV header states its true length, Opus may have the AI label."""
        if self._context.settings.ai_label and self._wanted.container == "opus":
            return label(data, "opus")
        if self._wanted.container != "wav":
            return data
        head = len(wav_header(rate_hz, 0))
        return wav_header(rate_hz, len(data) - head) + data[head:]

    async def _keep(self, data: bytes) -> ResultFile:
        return await to_thread.run_sync(self._files.add, data, self._wanted.container, self._expires_at)

    def _body(self, output: Mapping[str, Any], charged: int | None = None) -> dict[str, Any]:
        charged = self._raw.charged if charged is None else charged
        return {"output": output, "usage": {"characters": charged}, "request_id": self._id}

    def _running(self, result: Result) -> dict[str, Any]:
        """While it runs, the reason is the word null."""
        return {**result.output, "finish_reason": "null", "audio": self._audio(data=result.data)}

    def _finished(self, file: ResultFile) -> dict[str, Any]:
        return {"finish_reason": "stop", "audio": self._audio(url=f"{self._base}{BASE}/results/{file.name}")}

    def _audio(self, data: bytes = b"", **more: str) -> dict[str, Any]:
        encoded = base64.b64encode(data).decode("ascii")
        return {"data": encoded, **more, "id": f"audio_{self._id}", "expires_at": self._expires_at}


def _event(number: int, name: str, status: int, body: Mapping[str, Any]) -> bytes:
    """No blanks after the colons: the SDK compares what follows them literally."""
    failed = f"status:{status}\n" if name == "error" else ""
    return f"id:{number}\nevent:{name}\n:HTTP_STATUS/{status}\n{failed}data:{compact_json(body)}\n\n".encode()


@router.get("/results/{name}", response_class=Response)
@router.head("/results/{name}", response_class=Response, include_in_schema=False)
async def result_file(name: str, files: Results) -> Response:
    """A complete file, for as long as it is kept.  Its name is the key."""
    try:
        data = await to_thread.run_sync(files.read, name)
    except FileNotFoundError:
        message = "this file does not exist, or no longer; speak again"
        raise ApiError(Kind.NOT_FOUND, message) from None
    return Response(data, media_type=find_format(name.rpartition(".")[2]).media_type)

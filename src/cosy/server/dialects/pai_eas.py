"""PAI-EAS CosyVoice 2 over HTTP: reference audio, and speech as one JSON answer or as server-sent events.

Everything but `model` and `stream` is inside `input`; `volume` is a factor; streaming is the default.  Every event of
a stream has all its keys, for the published clients index them unseen.  The WebSocket is in `pai_eas_ws`.

Source: "CosyVoice 2 API operations" of Alibaba Cloud PAI-EAS, both editions.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal
from urllib.parse import unquote

from fastapi import APIRouter, Depends, Query, Request, Response, WebSocket
from fastapi.responses import JSONResponse
from pydantic import Field

from cosy.errors import UnknownVoiceError
from cosy.server.auth import SPEECH, VOICES, Caller, allow
from cosy.server.context import Context, context_of, request_id_of
from cosy.server.dialects import Dialect
from cosy.server.dialects.envelope import compact_json
from cosy.server.dialects.fields import read_fields
from cosy.server.dialects.pai_eas_speech import NAME, Options, Results, error_body, no_reference
from cosy.server.dialects.pai_eas_ws import PaiSession
from cosy.server.dialects.v1_body import Body, Text, describe, form_errors, parse, read_object
from cosy.server.errors import ApiError, Kind, problem_of
from cosy.server.speech import Speech, sse_response
from cosy.server.store.records import VoiceRecord, VoiceUpload

LONGEST_TEXT = 20_000  # characters
MOST_LISTED = 1000

Ctx = Annotated[Context, Depends(context_of)]
Speaker = Annotated[Caller, Depends(allow(SPEECH))]
Keeper = Annotated[Caller, Depends(allow(VOICES))]

router = APIRouter(tags=["PAI-EAS"])
references = APIRouter(prefix="/audio/reference_audio")


# Reference audio


class ReferenceForm(Body):
    """A recording and its transcript."""

    file: str = Field(json_schema_extra={"format": "binary"})
    """WAV, MP3 and other files; PCM (16-bit mono at 16000 Hz) where the name ends in .pcm."""
    text: str
    """What is said in it."""
    sample_rate: int | None = None
    """Of PCM, in Hz."""
    consent: str = ""
    """A note of who allowed the voice to be cloned."""


@references.post("", openapi_extra=describe(ReferenceForm, "multipart/form-data"))
@references.post("/", include_in_schema=False)
async def upload_reference(request: Request, context: Ctx, caller: Keeper) -> dict[str, Any]:
    """Make a voice from a recording; speak with its id."""
    with form_errors():
        fields = await read_fields(request, context)
        file, text = fields.required_file("file"), fields.required("text")
        rate_hz, consent = fields.integer("sample_rate", None, 1, 1_000_000), fields.text("consent")
    id, filename = str(uuid.uuid4()), file_name(file.filename)
    upload = VoiceUpload(
        audio=file.data,
        name=PurePosixPath(filename).stem.strip()[:64] or id,
        transcript=text,
        id=id,
        filename=filename,
        content_type=file.media_type,
        sample_rate_hz=rate_hz,
        surface=NAME,
        owner=caller.key_id,
        consent=consent,
    )
    return _object(await context.voices.add(upload))


@references.get("")
@references.get("/", include_in_schema=False)
async def list_references(
    context: Ctx,
    caller: Keeper,
    limit: Annotated[int, Query(ge=1, le=MOST_LISTED)] = 100,
    order: Literal["asc", "desc"] = "desc",
) -> list[dict[str, Any]]:
    """Uploaded recordings by the time of their upload."""
    found = await context.voices.list(kind="user", limit=limit, newest_first=order == "desc")
    return [_object(record) for record in found]


@references.get("/{reference_audio_id:path}")
async def get_reference(reference_audio_id: str, context: Ctx, caller: Keeper) -> dict[str, Any]:
    """One recording."""
    try:
        return _object(await context.voices.get(reference_audio_id))
    except UnknownVoiceError:
        raise no_reference(reference_audio_id) from None


@references.delete("/{reference_audio_id:path}")
async def delete_reference(reference_audio_id: str, context: Ctx, caller: Keeper) -> dict[str, Any]:
    """Delete an uploaded recording and its voice."""
    try:
        await context.voices.remove(reference_audio_id)
    except UnknownVoiceError:
        raise no_reference(reference_audio_id) from None
    return {"code": "OK", "message": f"reference audio: {reference_audio_id} deleted.", "data": {}}


def file_name(raw: str) -> str:
    """The last part of a file's name as it was meant, whatever way the client wrote what is not ASCII.

    Names come as plain UTF-8 (which the form parser reads as Latin-1), percent-encoded, or as RFC 2047 words.
    """
    with suppress(UnicodeError):  # where it was Latin-1, or has been decoded already
        raw = raw.encode("latin-1").decode("utf-8")
    if raw.startswith("=?"):
        with suppress(HeaderParseError, LookupError, ValueError):
            raw = str(make_header(decode_header(raw)))
    unquoted = unquote(raw, errors="replace")
    raw = raw if "\ufffd" in unquoted else unquoted
    return raw.replace("\\", "/").rpartition("/")[2]


def _object(record: VoiceRecord) -> dict[str, Any]:
    """All five keys, always, in this order."""
    return {
        "id": record.id,
        "filename": record.filename,
        "bytes": record.bytes,
        "created_at": int(record.created_at.timestamp()),
        "text": record.transcript,
    }


# Speech


class Input(Options):
    """What to speak, and how."""

    text: Text
    """1 to 20000 characters; `instruction<|endofprompt|>text` says how to speak it."""


class SpeechBody(Body):
    """The body of POST /api/v1/audio/speech."""

    model: Text = Field(min_length=1)
    """CosyVoice2-0.5B; any name is taken, for there is one model."""
    stream: bool = True
    """Server-sent events; false: one JSON answer with a complete file."""
    input: Input


@router.post("/api/v1/audio/speech", response_class=Response, openapi_extra=describe(SpeechBody))
@router.post("/api/v1/audio/speech/", response_class=Response, include_in_schema=False)
async def create_speech(request: Request, context: Ctx, caller: Speaker) -> Response:
    """Speak, as server-sent events or as one JSON answer with base64."""
    return await speech_from_json(await read_object(request), context, caller, request)


async def speech_from_json(body: Mapping[str, Any], context: Context, caller: Caller, request: Request) -> Response:
    """Answer a body of this dialect, on whatever path it came.  Raises ApiError and CosyError before any audio."""
    started_s = time.perf_counter()
    wanted = parse(SpeechBody, body)
    text = wanted.input.text
    if not text.strip() or len(text) > LONGEST_TEXT:
        message = f"input.text must have 1 to {LONGEST_TEXT} characters that are not all blank, got {len(text)}"
        raise ApiError(Kind.INVALID, message, "input.text")
    id = request_id_of(request)
    spoken = await wanted.input.request(text, context, wanted.stream)
    results = Results(id, started_s)
    length: Literal["unknown", "known"] = "unknown" if wanted.stream else "known"
    speech = await Speech.open(context, caller, spoken, dialect=NAME, request_id=id, length=length)
    if wanted.stream:
        return sse_response(_events(speech, results, id), speech)
    async with speech:
        return JSONResponse(results.whole(await speech.read()) | {"request_id": id})


async def _events(speech: Speech, results: Results, id: str) -> AsyncIterator[bytes]:
    """One `data:` line for each packet; no names, no ids, no `[DONE]`, for clients parse all they get as JSON."""
    try:
        async for packet in speech:
            yield _event(results.result(packet) | {"request_id": id})
    except Exception as error:  # whatever it was, the client has to be told in the stream
        yield _event(results.failure(problem_of(error)) | {"request_id": id})


def _event(value: Mapping[str, Any]) -> bytes:
    return f"data: {compact_json(value)}\n\n".encode()


@router.websocket("/api-ws/v1/audio/speech")
@router.websocket("/api-ws/v1/audio/speech/")
async def speech_socket(websocket: WebSocket, context: Ctx, caller: Speaker) -> None:
    """Speak text that comes in pieces, as it comes."""
    await PaiSession(websocket, context, caller).serve()


router.include_router(references, prefix="/api/v1")
for older in ("/v1", ""):  # paths that an older edition of the page has, and what clients make of them
    router.include_router(references, prefix=older, include_in_schema=False)


def claims(path: str) -> bool:
    """What is below /api/v1/audio and /api-ws/v1/audio, and the older paths of reference audio."""
    return path.startswith(("/api/v1/audio", "/api-ws/v1/audio", "/v1/audio/reference_audio", "/audio/reference_audio"))


DIALECT = Dialect(NAME, router, claims, error_body)

"""DashScope's voice enrolment: one path, the action in the body.

Recordings come by address and without a transcript.  A voice is `<target_model>-<prefix>-<32 hex>`; it speaks with
any model name, and is `OK` at once.

Source: "CosyVoice voice cloning API" of Alibaba Cloud Model Studio.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote

from anyio import to_thread
from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field

from cosy.audio.io import load_audio
from cosy.audio.silence import trim_silence
from cosy.errors import AudioError, UnknownVoiceError
from cosy.server.auth import VOICES, Caller, allow
from cosy.server.context import Context, context_of, request_id_of
from cosy.server.dialects.dashscope_http import BASE, throttled
from cosy.server.dialects.dashscope_speech import NAME, Whole, check_model, coded
from cosy.server.dialects.v1_body import Body, Text, describe, parse, read_object
from cosy.server.errors import ApiError, Kind
from cosy.server.store.records import VoiceRecord, VoiceUpload

MAX_BYTES = 10_000_000
MIN_S, MAX_S = 3.0, 60.0
MARKS = {  # how files of the known kinds begin: (bytes, at)
    (b"RIFF", 0),
    (b"ID3", 0),
    (b"\xff\xfb", 0),
    (b"\xff\xf3", 0),
    (b"ftyp", 4),
    (b"OggS", 0),
    (b"fLaC", 0),
    (b"\x1aE\xdf\xa3", 0),
}
OLDEST_MODEL = "cosyvoice-v2"  # of voices that came by another surface

Ctx = Annotated[Context, Depends(context_of)]
Keeper = Annotated[Caller, Depends(allow(VOICES))]

router = APIRouter(prefix=BASE, tags=["DashScope"])


class Enrolment(Body):
    """The body of POST .../customization."""

    model: Text = Field(min_length=1)
    """voice-enrollment."""
    input: dict[str, Any]
    """`action` (create_voice, list_voice, query_voice, update_voice, delete_voice) and what it needs."""


class Create(Body):
    target_model: Text = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")
    prefix: Text = Field(pattern=r"^[A-Za-z0-9]{1,10}$")
    url: Text
    language_hints: list[str] = Field(default_factory=list)
    max_prompt_audio_length: float = Field(10.0, gt=0, le=60)
    enable_preprocess: bool = False
    consent: Text = ""


class Page(Body):
    prefix: Text = ""
    page_index: Whole = Field(0, ge=0, le=1_000_000)
    page_size: Whole = Field(10, ge=1, le=1000)


class Named(Body):
    voice_id: Text = Field(min_length=1, max_length=255)


class Update(Named):
    url: Text


@dataclass(frozen=True)
class Call:
    """One call of the API."""

    input: dict[str, Any]
    context: Context
    caller: Caller
    base: str  # of addresses


@router.post("/customization", openapi_extra=describe(Enrolment))
@router.post("/customization/", include_in_schema=False)
async def customize(request: Request, context: Ctx, caller: Keeper) -> dict[str, Any]:
    """Create, list, look at, change and delete voices."""
    body = parse(Enrolment, await read_object(request))
    check_model(body.model)
    name = body.input.get("action")
    action = ACTIONS.get(name) if isinstance(name, str) else None
    if action is None:
        message = f"action must be one of {', '.join(ACTIONS)}, got {str(name)[:40]!r}"
        raise ApiError(Kind.INVALID, message, "action")
    base = context.settings.public_url.rstrip("/") or str(request.base_url).rstrip("/")
    with throttled("Throttling.AllocationQuota"), _missing():
        output = await action(Call(body.input, context, caller, base))
    return {"output": output, "usage": {"count": 1}, "request_id": request_id_of(request)}


@contextmanager
def _missing() -> Iterator[None]:
    try:
        yield
    except UnknownVoiceError as error:
        raise coded("BadRequest.ResourceNotExist", "The Required resource not exist.") from error


async def _create(call: Call) -> dict[str, Any]:
    wanted = parse(Create, call.input)
    upload = VoiceUpload(
        audio=await _recording(call, wanted.url),
        name=_name(wanted.prefix, wanted.target_model),
        id=f"{wanted.target_model}-{wanted.prefix}-{uuid.uuid4().hex}",
        surface=NAME,
        owner=call.caller.key_id,
        consent=wanted.consent,
    )
    return {"voice_id": (await call.context.voices.add(upload)).id}


async def _list(call: Call) -> dict[str, Any]:
    page = parse(Page, call.input)
    found = await call.context.voices.list(
        surface=NAME,
        name_prefix=_name(page.prefix, "")[:-1] if page.prefix else "",
        limit=page.page_size,
        offset=page.page_index * page.page_size,
    )
    return {"voice_list": [{"voice_id": record.id, **_times(record), "status": "OK"} for record in found]}


async def _query(call: Call) -> dict[str, Any]:
    record = await call.context.voices.get(parse(Named, call.input).voice_id)
    model = record.id.rsplit("-", 2)[0] if record.surface == NAME else OLDEST_MODEL
    link = f"{call.base}{BASE}/recordings/{quote(record.id)}"
    return {**_times(record), "resource_link": link, "target_model": model, "status": "OK"}


async def _update(call: Call) -> dict[str, Any]:
    wanted = parse(Update, call.input)
    await call.context.voices.get(wanted.voice_id)  # before anything is fetched for it
    await call.context.voices.replace_audio(wanted.voice_id, await _recording(call, wanted.url), "")
    return {}


async def _delete(call: Call) -> dict[str, Any]:
    await call.context.voices.remove(parse(Named, call.input).voice_id)
    return {}


ACTIONS: dict[str, Callable[[Call], Awaitable[dict[str, Any]]]] = {
    "create_voice": _create,
    "list_voice": _list,
    "query_voice": _query,
    "update_voice": _update,
    "delete_voice": _delete,
}


def _name(prefix: str, model: str) -> str:
    """What a voice is called: begins with its prefix and what no prefix can hold, so that it can be found by it."""
    return f"{prefix} ({model})"


def _times(record: VoiceRecord) -> dict[str, str]:
    return {"gmt_create": _time(record.created_at), "gmt_modified": _time(record.modified_at)}


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S")


async def _recording(call: Call, url: str) -> bytes:
    """The recording at an address, found fit.  Raises ApiError with the code of what is wrong with it."""
    try:
        audio = await call.context.fetcher.audio(url)
    except ApiError as error:
        large = error.problem.kind is Kind.TOO_LARGE
        code = "BadRequest.TooLarge" if large else "BadRequest.InputDownloadFailed"
        raise coded(code, error.problem.message) from error
    await to_thread.run_sync(check_recording, audio)
    return audio


def check_recording(audio: bytes) -> None:
    """Raises ApiError with the code of what makes a recording unfit."""
    if len(audio) > MAX_BYTES:
        raise coded("BadRequest.TooLarge", f"the recording has {len(audio)} bytes, at most {MAX_BYTES} are taken.")
    try:
        wave, rate_hz = load_audio(audio, max_s=MAX_S + 1)
    except AudioError as error:
        known = any(audio[at : at + len(mark)] == mark for mark, at in MARKS)
        code = "Audio.DecoderError" if known else "BadRequest.UnsupportedFileFormat"
        raise coded(code, str(error), Kind.BAD_AUDIO) from error
    seconds = len(wave) / rate_hz
    if seconds > MAX_S:
        raise coded("Audio.DurationLimitError", f"the recording is longer than {MAX_S:g} s.", Kind.BAD_AUDIO)
    if seconds < MIN_S:
        raise coded("Audio.AudioShortError", "valid audio too short!", Kind.BAD_AUDIO)
    try:
        trim_silence(wave, rate_hz)
    except AudioError as error:
        raise coded("Audio.AudioSilentError", "silent audio error.", Kind.BAD_AUDIO) from error


@router.get("/recordings/{voice_id:path}", response_class=Response)
async def recording(voice_id: str, context: Ctx, caller: Keeper) -> Response:
    """The recording a voice was made of, as it came."""
    with _missing():
        if "\0" in voice_id:  # a path can hold it, a database cannot
            raise UnknownVoiceError(f"there is no voice {voice_id!r}")
        return Response(await context.voices.audio(voice_id), media_type="application/octet-stream")

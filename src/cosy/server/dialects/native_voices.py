"""Voices in Cosy's own API: list, make, judge a recording, rename, delete, play, carry to another server.

A voice made here gets an id of the form `speech:<name>:<account>:<key>`, which every dialect speaks with.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Any, Literal, NoReturn, cast
from urllib.parse import quote

import anyio
from anyio import to_thread
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BeforeValidator, Field

from cosy.audio.io import load_audio
from cosy.errors import AudioError, ParameterError, UnknownVoiceError, VoiceError
from cosy.server.auth import SPEECH, VOICES, Caller, allow
from cosy.server.context import Context, context_of
from cosy.server.dialects.fields import Upload, body_description, read_fields
from cosy.server.dialects.native_check import judge
from cosy.server.dialects.native_file import MEDIA_TYPE, SUFFIX, VoiceFile, pack, sound_type, unpack
from cosy.server.dialects.siliconflow import new_uri
from cosy.server.dialects.v1_body import Body, Text, describe, form_errors, parse, read_object
from cosy.server.dialects.v1_errors import renamed
from cosy.server.errors import ApiError, Kind
from cosy.server.store.admission import clean_name
from cosy.server.store.consents import CONSENT_PREFIX
from cosy.server.store.records import VoiceRecord, VoiceUpload

NAME = "cosy"
MOST_LISTED = 1000
CHECKS = 2  # recordings judged at once
TEXT, FILE = {"type": "string"}, {"type": "string", "format": "binary"}
NO_GUESSING = {"X-Content-Type-Options": "nosniff", "Cache-Control": "private, no-cache"}

Ctx = Annotated[Context, Depends(context_of)]
Speaker = Annotated[Caller, Depends(allow(SPEECH))]
Keeper = Annotated[Caller, Depends(allow(VOICES))]

router = APIRouter(prefix="/voices")


async def checking(request: Request) -> anyio.CapacityLimiter:
    """A dependency: the app's limit of recordings judged at once."""
    state = request.app.state
    if not hasattr(state, "checking"):
        state.checking = anyio.CapacityLimiter(CHECKS)
    return cast(anyio.CapacityLimiter, state.checking)


@router.get("")
async def list_voices(
    context: Ctx,
    caller: Speaker,
    search: str = "",
    kind: Literal["", "preset", "user"] = "",
    limit: Annotated[int, Query(ge=1, le=MOST_LISTED), BeforeValidator(lambda given: given or 100)] = 100,
    offset: Annotated[int, Query(ge=0), BeforeValidator(lambda given: given or 0)] = 0,
) -> dict[str, Any]:
    """Presets, then uploads, the newest first; `search` is looked for in names, ids and transcripts."""
    found = await context.voices.list(kind=kind or None)
    if wanted := search.strip().casefold():
        found = [each for each in found if wanted in f"{each.name}\n{each.id}\n{each.transcript}".casefold()]
    return {"voices": [voice_object(each) for each in found[offset:][:limit]], "total": len(found)}


@router.post(
    "",
    status_code=201,
    openapi_extra=body_description({"file": FILE, "name": TEXT}, {"transcript": TEXT, "consent": TEXT}),
)
async def make_voice(request: Request, context: Ctx, caller: Keeper) -> dict[str, Any]:
    """Make a voice from a recording."""
    with form_errors():
        fields = await read_fields(request, context)
        file, name = fields.required_file("file"), fields.required("name")
        transcript, consent = fields.text("transcript"), fields.text("consent")
    return await _add(context, caller, file, name, transcript, consent)


@router.post("/check", openapi_extra=body_description({"file": FILE}, {"transcript": TEXT}))
async def check_recording(
    request: Request, context: Ctx, caller: Speaker, limiter: Annotated[anyio.CapacityLimiter, Depends(checking)]
) -> dict[str, Any]:
    """What a voice made of a recording would suffer from.  Nothing is kept."""
    context.limits.count(caller)
    with form_errors():
        fields = await read_fields(request, context)
        file, transcript = fields.required_file("file"), fields.text("transcript")
    work = partial(judge, file, transcript, context.settings.max_upload_bytes, context.engine.voices)
    return (await to_thread.run_sync(work, limiter=limiter)).as_dict()


@router.post("/import", status_code=201, openapi_extra=body_description({"file": FILE}, {"consent": TEXT}))
async def import_voice(request: Request, context: Ctx, caller: Keeper) -> dict[str, Any]:
    """Make a voice of a file that `export` gave, here or on another server."""
    with form_errors():
        fields = await read_fields(request, context)
        file, consent = fields.required_file("file"), fields.text("consent")
    voice = await to_thread.run_sync(unpack, file.data, context.settings.max_upload_bytes)
    recording = Upload(voice.recording_name, "", voice.recording)
    return await _add(context, caller, recording, voice.name, voice.transcript, consent or voice.consent)


class NewName(Body):
    """What a voice shall be called."""

    name: Text = Field(min_length=1)


@router.patch("/{voice_id:path}", openapi_extra=describe(NewName))
async def rename_voice(voice_id: str, request: Request, context: Ctx, caller: Keeper) -> dict[str, Any]:
    """Give an uploaded voice another name; its id stays."""
    name = parse(NewName, await read_object(request)).name
    with known(voice_id):
        return voice_object(await context.voices.rename(voice_id, name))


@router.delete("/{voice_id:path}", status_code=204)
async def delete_voice(voice_id: str, context: Ctx, caller: Keeper) -> None:
    """Delete an uploaded voice and its recording."""
    with known(voice_id):
        await context.voices.remove(voice_id)


@router.get("/{voice_id:path}/recording", response_class=Response)
async def get_recording(voice_id: str, context: Ctx, caller: Keeper) -> Response:
    """The recording as it was uploaded."""
    _, audio = await _recording(voice_id, context)
    return Response(audio, headers={"Content-Type": sound_type(audio)[0], **NO_GUESSING})


@router.get("/{voice_id:path}/export", response_class=Response)
async def export_voice(voice_id: str, context: Ctx, caller: Keeper) -> Response:
    """The voice as a file, for `import`."""
    record, audio = await _recording(voice_id, context)
    await to_thread.run_sync(_require_header, record, audio)
    consent = "" if record.consent.startswith(CONSENT_PREFIX) else record.consent  # of this server alone
    data = await to_thread.run_sync(pack, VoiceFile(record.name, record.transcript, consent, audio))
    disposition = f"attachment; filename*=UTF-8''{quote(record.name + SUFFIX, safe='')}"
    return Response(data, headers={"Content-Type": MEDIA_TYPE, "Content-Disposition": disposition, **NO_GUESSING})


def voice_object(record: VoiceRecord) -> dict[str, Any]:
    """A voice as this dialect shows it."""
    return {
        "id": record.id,
        "name": record.name,
        "kind": record.kind,
        "transcript": record.transcript,
        "duration_s": record.duration_s,
        "warnings": list(record.warnings),
        "created_at": record.created_at.isoformat(),
        "surface": record.surface,
        "has_recording": record.kind == "user" or bool(record.filename),
    }


@contextmanager
def known(voice_id: str) -> Iterator[None]:
    """Around what names a voice by its path: 404 if there is none."""
    try:
        yield
    except UnknownVoiceError as error:
        raise ApiError(Kind.UNKNOWN_VOICE, str(error), "id", status=404) from error


async def _add(
    context: Context, caller: Caller, file: Upload, name: str, transcript: str, consent: str
) -> dict[str, Any]:
    try:
        name = clean_name(name)  # the id is made of it
    except ParameterError as error:
        raise renamed(error, "name") from error
    upload = VoiceUpload(
        audio=file.data,
        name=name,
        transcript=transcript,
        id=new_uri(name, caller),
        filename=file.filename,
        content_type=file.media_type,
        surface=NAME,
        owner=caller.key_id,
        consent=consent,
    )
    record = await context.voices.add(upload)
    return {**voice_object(record), "uri": record.id}


async def _recording(voice_id: str, context: Context) -> tuple[VoiceRecord, bytes]:
    """A voice and its recording.  Raises ApiError NOT_FOUND for a preset that came without."""
    with known(voice_id):
        record = await context.voices.get(voice_id)
        try:
            return record, await context.voices.audio(voice_id)
        except UnknownVoiceError:
            raise  # it was deleted in between
        except VoiceError as error:
            raise ApiError(Kind.NOT_FOUND, str(error), "id") from error


def _require_header(record: VoiceRecord, audio: bytes) -> None:
    """A file must hold a recording that says itself what it is.  Raises ApiError for bare samples."""
    if record.filename.lower().endswith(".pcm"):
        _bare()
    try:
        load_audio(audio, max_s=1.0)
    except AudioError:
        _bare()


def _bare() -> NoReturn:
    message = "the recording came as bare samples, which a voice file cannot hold; upload it again as WAV"
    raise ApiError(Kind.INVALID, message, "id")

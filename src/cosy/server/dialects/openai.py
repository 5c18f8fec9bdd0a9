"""OpenAI's speech API: speech, custom voices, consents, models; and the listings that chat front ends ask for.

Everything under `/v1/audio` is also served without `/v1`, because some clients derive such addresses.
`POST /v1/audio/speech` is in `v1`: SiliconFlow's clients use it too.

Source: "Audio" and "Models" in OpenAI's API reference; `GET /v1/audio/voices` and `/v1/audio/models` are what
Open WebUI and Home Assistant call.
"""

from __future__ import annotations

import secrets
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field

from cosy.errors import UnknownVoiceError
from cosy.server.auth import SPEECH, VOICES, Caller, allow, authenticate
from cosy.server.context import Context, context_of
from cosy.server.dialects import Dialect
from cosy.server.dialects.fields import Fields, read_fields
from cosy.server.dialects.v1 import MODELS, OPENAI_VOICES, SpeechBody, create_speech
from cosy.server.dialects.v1_body import Body, Text, describe, form_errors, parse, pcm_rate, read_object
from cosy.server.dialects.v1_errors import CodedError, error_body, not_found
from cosy.server.errors import ApiError, Kind
from cosy.server.store.consents import ConsentRecord, ConsentUpload
from cosy.server.store.errors import UnknownRecordError
from cosy.server.store.records import VoiceRecord, VoiceUpload

NAME = "openai"
MODELS_CREATED = 1_734_307_200  # 16 December 2024, when CosyVoice 2 was published
OWNER = "FunAudioLLM"
LONGEST_NAME = 128  # characters
FILE = {"type": "string", "format": "binary"}

Ctx = Annotated[Context, Depends(context_of)]
Speaker = Annotated[Caller, Depends(allow(SPEECH))]
Keeper = Annotated[Caller, Depends(allow(VOICES))]

router = APIRouter(tags=["OpenAI"])
audio = APIRouter(prefix="/audio")


@audio.post("/speech", response_class=Response, openapi_extra=describe(SpeechBody))
@audio.post("/speech/", response_class=Response, include_in_schema=False)
async def speech(request: Request, context: Ctx, caller: Speaker) -> Response:
    """Speak: audio bytes as they are made, or server-sent events."""
    return await create_speech(request, context, caller)


# Voices


class VoiceForm(Body):
    """A voice from a recording."""

    name: str = Field(min_length=1, max_length=LONGEST_NAME)
    audio_sample: str = Field(json_schema_extra={"format": "binary"})
    """The recording, a file."""
    transcript: str = ""
    """What is said in it; without it the voice is used by its sound alone."""
    consent: str = ""
    """Id of a consent recording."""
    type: str = "audio_sample"


async def has_key(request: Request, context: Ctx) -> bool:
    """Whether whoever asks has a key, or none is needed: front ends ask for voices without one."""
    try:
        await authenticate(request, context)
    except ApiError:
        return False
    return True


@audio.get("/voices")
async def list_voices(context: Ctx, trusted: Annotated[bool, Depends(has_key)]) -> dict[str, Any]:
    """Names to speak with; uploaded voices are shown only to callers with a key."""
    found = await context.voices.list(kind=None if trusted else "preset")
    names = {voice.id: voice.name for voice in found}
    names |= {name: name for name in OPENAI_VOICES if name not in names and await _speaks(name, context)}
    voices = [{"id": id, "name": name} for id, name in names.items()]
    return {"voices": voices, "object": "list", "data": [{"object": "audio.voice", **voice} for voice in voices]}


@audio.post("/voices", openapi_extra=describe(VoiceForm, "multipart/form-data"))
async def create_voice(request: Request, context: Ctx, caller: Keeper) -> dict[str, Any]:
    """Make a voice from a recording."""
    with form_errors():
        fields = await read_fields(request, context)
        kind = fields.text("type") or "audio_sample"
        if kind != "audio_sample":
            message = f"a voice of type {kind[:40]!r} cannot be made; send type audio_sample with a recording"
            raise CodedError(Kind.INVALID, message, "type", code="unsupported")
        name, sample = name_of(fields), fields.required_file("audio_sample")
        upload = VoiceUpload(
            audio=sample.data,
            name=name,
            transcript=fields.text("transcript"),
            id=f"voice_{secrets.token_hex(12)}",
            filename=sample.filename,
            content_type=sample.media_type,
            surface=NAME,
            owner=caller.key_id,
            consent=fields.text("consent"),
            sample_rate_hz=pcm_rate(fields),
        )
    return _voice(await context.voices.add(upload))


@audio.delete("/voices/{voice_id:path}")
async def delete_voice(voice_id: str, context: Ctx, caller: Keeper) -> dict[str, Any]:
    """Delete an uploaded voice and its recording."""
    try:
        await context.voices.remove(voice_id)
    except UnknownVoiceError as error:
        raise not_found("voice", voice_id) from error
    return {"id": voice_id, "object": "audio.voice.deleted", "deleted": True}


async def _speaks(name: str, context: Context) -> bool:
    """Whether a well-known name means a voice here: one of its own, or the default."""
    if context.settings.voice_fallback:
        return bool(context.voices.default)
    try:
        return bool(await context.voices.resolve(name))
    except UnknownVoiceError:
        return False


def name_of(fields: Fields) -> str:
    name = fields.required("name").strip()
    if len(name) > LONGEST_NAME:
        raise ApiError(Kind.INVALID, f"name has {len(name)} characters, at most {LONGEST_NAME} are allowed", "name")
    return name


def _voice(voice: VoiceRecord) -> dict[str, Any]:
    made = int(voice.created_at.timestamp())
    return {"id": voice.id, "object": "audio.voice", "name": voice.name, "created_at": made, "type": "audio_sample"}


# Consents


class ConsentForm(Body):
    """A recording in which the speaker agrees."""

    name: str = Field(min_length=1, max_length=LONGEST_NAME)
    language: str
    """BCP 47 tag of what is spoken, such as en-US."""
    recording: str = Field(json_schema_extra={"format": "binary"})


class ConsentName(Body):
    """A consent's new label."""

    name: Text = Field(min_length=1, max_length=LONGEST_NAME)


@audio.post("/voice_consents", openapi_extra=describe(ConsentForm, "multipart/form-data"))
async def create_consent(request: Request, context: Ctx, caller: Keeper) -> dict[str, Any]:
    """Keep a consent recording."""
    with form_errors():
        fields = await read_fields(request, context)
        language, recording = fields.required("language").strip(), fields.required_file("recording")
        name = name_of(fields)
    upload = ConsentUpload(recording.data, name, language, filename=recording.filename, owner=caller.key_id)
    return _consent_object(await context.consents.add(upload))


@audio.get("/voice_consents")
async def list_consents(
    context: Ctx, caller: Keeper, after: str = "", limit: Annotated[int, Query(ge=1, le=100)] = 20
) -> dict[str, Any]:
    """Consents, newest first, a page at a time."""
    try:
        found = await context.consents.list(after=after, limit=limit + 1)
    except UnknownRecordError as error:
        raise ApiError(Kind.INVALID, f"after: there is no consent with the id {after[:200]!r}", "after") from error
    data = [_consent_object(each) for each in found[:limit]]
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {"first_id": None, "last_id": None}
    return {"object": "list", "data": data, **ends, "has_more": len(found) > limit}


@audio.get("/voice_consents/{consent_id}")
async def get_consent(consent_id: str, context: Ctx, caller: Keeper) -> dict[str, Any]:
    """One consent."""
    try:
        return _consent_object(await context.consents.get(consent_id))
    except UnknownRecordError as error:
        raise not_found("consent", consent_id) from error


@audio.post("/voice_consents/{consent_id}", openapi_extra=describe(ConsentName))
async def rename_consent(consent_id: str, request: Request, context: Ctx, caller: Keeper) -> dict[str, Any]:
    """Give a consent another label."""
    name = parse(ConsentName, await read_object(request)).name
    try:
        return _consent_object(await context.consents.rename(consent_id, name))
    except UnknownRecordError as error:
        raise not_found("consent", consent_id) from error


@audio.delete("/voice_consents/{consent_id}")
async def delete_consent(consent_id: str, context: Ctx, caller: Keeper) -> dict[str, Any]:
    """Delete a consent recording; the voices made with it stay."""
    try:
        await context.consents.remove(consent_id)
    except UnknownRecordError as error:
        raise not_found("consent", consent_id) from error
    return {"id": consent_id, "object": "audio.voice_consent", "deleted": True}


def _consent_object(consent: ConsentRecord) -> dict[str, Any]:
    made = int(consent.created_at.timestamp())
    named = {"name": consent.name, "language": consent.language}
    return {"id": consent.id, "object": "audio.voice_consent", **named, "created_at": made}


# Models


@audio.get("/models")
async def list_speech_models() -> dict[str, Any]:
    """Model names, as Open WebUI asks for them."""
    return {"models": [{"id": name, "name": name} for name in MODELS]}


@router.get("/v1/models")
async def list_models(caller: Speaker, type: str = "", sub_type: str = "") -> dict[str, Any]:
    """Model names; `type` and `sub_type` are SiliconFlow's filter."""
    ours = type in ("", "audio") and sub_type in ("", "text-to-speech")
    return {"object": "list", "data": [_model(name) for name in MODELS] if ours else []}


@router.get("/v1/models/{model_id:path}")
async def get_model(model_id: str, caller: Speaker) -> dict[str, Any]:
    """One model; its name may hold a slash, escaped or not."""
    if model_id not in MODELS:
        raise not_found("model", model_id)
    return _model(model_id)


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": MODELS_CREATED, "owned_by": OWNER}


router.include_router(audio, prefix="/v1")
router.include_router(audio, include_in_schema=False)


def claims(path: str) -> bool:
    """All of `/v1` and its aliases but PAI-EAS's management of references."""
    return path.startswith(("/v1/", "/audio/")) and "/audio/reference_audio" not in path


DIALECT = Dialect(NAME, router, claims, error_body)

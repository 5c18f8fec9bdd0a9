"""SiliconFlow's voices: upload a recording, list, delete.  Speaking with them is in `v1`, models are in `openai`.

An upload comes as a multipart form with a file, as one with nothing but text (the recording as a data URL, which is
what the web page for cloning voices sends), or as JSON with the same keys.  A voice's uri has four parts:
`speech:<name>:<account>:<key>`.

Source: "Upload reference audio", "List", "Delete" in SiliconFlow's API reference; what clients in use really do
decides where the reference leaves it open.
"""

from __future__ import annotations

import hashlib
import secrets
import string
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field

from cosy.errors import UnknownVoiceError
from cosy.server.auth import VOICES, Caller, allow
from cosy.server.context import Context, context_of
from cosy.server.dialects import Dialect
from cosy.server.dialects.fields import MISSING, Fields, Upload, read_fields, refuse
from cosy.server.dialects.v1 import MODEL, TRACE_HEADER, trace_id
from cosy.server.dialects.v1_body import Body, Text, decode_audio, describe, form_errors, parse, pcm_rate, read_object
from cosy.server.dialects.v1_errors import error_body, not_found, renamed
from cosy.server.errors import ApiError
from cosy.server.store.records import VoiceRecord, VoiceUpload

NAME = "siliconflow"
LONGEST_NAME = 64  # characters
ACCOUNT_LENGTH, KEY_LENGTH = 25, 20
ALPHABET = string.ascii_lowercase + string.digits


async def traced(response: Response) -> None:
    """Give the answer the id under which the provider's tools look for it."""
    response.headers[TRACE_HEADER] = trace_id()


Ctx = Annotated[Context, Depends(context_of)]
Keeper = Annotated[Caller, Depends(allow(VOICES))]

router = APIRouter(tags=["SiliconFlow"], dependencies=[Depends(traced)])
voice = APIRouter(prefix="/audio/voice")


class VoiceForm(Body):
    """A recording and its transcript."""

    model: str
    """Any name is taken: there is one model."""
    customName: str = Field(min_length=1, max_length=LONGEST_NAME)  # noqa: N815, the contract's spelling
    text: str
    """What is said in the recording."""
    audio: str
    """The recording as a data URL or base64; in a multipart form a file is taken as well, also named `file`."""


@router.post("/v1/uploads/audio/voice", openapi_extra=describe(VoiceForm, "multipart/form-data", "application/json"))
async def upload_voice(request: Request, context: Ctx, caller: Keeper) -> dict[str, str]:
    """Make a voice from a recording; the uri in the answer is its name from then on."""
    with form_errors():
        fields = await read_fields(request, context)
        fields.required("model")
        name, text = _name(fields), fields.required("text")
        recording = _recording(fields, context.settings.max_upload_bytes)
        consent, rate_hz = fields.text("consent"), pcm_rate(fields)
    upload = VoiceUpload(
        audio=recording.data,
        name=name,
        transcript=text,
        id=new_uri(name, caller),
        filename=recording.filename,
        content_type=recording.media_type,
        surface=NAME,
        owner=caller.key_id,
        consent=consent,
        sample_rate_hz=rate_hz,
    )
    return {"uri": (await context.voices.add(upload)).id}


@voice.get("/list")
async def list_voices(context: Ctx, caller: Keeper) -> dict[str, Any]:
    """Uploaded voices, newest last; under both names that clients look for."""
    found = [_entry(record) for record in await context.voices.list(kind="user", newest_first=False)]
    return {"result": found, "results": found}


class Deletion(Body):
    """Which voice to delete."""

    uri: Text = Field(min_length=1)


@voice.post("/deletions", openapi_extra=describe(Deletion))
@voice.post("/delete", include_in_schema=False)
async def delete_voice(request: Request, context: Ctx, caller: Keeper) -> dict[str, Any]:
    """Delete an uploaded voice and its recording."""
    uri = parse(Deletion, await read_object(request)).uri
    try:
        await context.voices.remove(uri)
    except UnknownVoiceError as error:
        raise renamed(not_found("voice", uri), "uri") from error
    return {}


def new_uri(name: str, caller: Caller) -> str:
    """A voice id in the provider's four parts; the third is the same for all voices of a key."""
    slug = "".join("-" if char == ":" or char.isspace() or not char.isprintable() else char for char in name)
    digest = hashlib.sha256(f"account {caller.key_id}".encode()).digest()
    account = "".join(ALPHABET[byte % len(ALPHABET)] for byte in digest[:ACCOUNT_LENGTH])
    key = "".join(secrets.choice(ALPHABET) for _ in range(KEY_LENGTH))
    return f"speech:{slug}:{account}:{key}"


def _name(fields: Fields) -> str:
    name = fields.required("customName").strip()
    if len(name) > LONGEST_NAME:
        refuse("customName", f"a name has 1 to {LONGEST_NAME} characters, got {len(name)}")
    return name


def _recording(fields: Fields, max_bytes: int) -> Upload:
    """The recording, in whichever field and form it came."""
    for name in ("file", "audio"):
        if name in fields and (upload := _upload(fields, name, max_bytes)):
            return upload
    return refuse("audio", MISSING)


def _upload(fields: Fields, name: str, max_bytes: int) -> Upload | None:
    try:
        return fields.file(name)
    except ApiError:
        text = fields.text(name)  # not a file, then: a recording as text, whatever the field is called
    try:
        return decode_audio(text, max_bytes)
    except ApiError as error:
        raise renamed(error, name) from error


def _entry(record: VoiceRecord) -> dict[str, str]:
    return {"model": MODEL, "customName": record.name, "text": record.transcript, "uri": record.id}


router.include_router(voice, prefix="/v1")
router.include_router(voice, include_in_schema=False)


def claims(path: str) -> bool:
    """Uploads, and what is under `voice` in the singular."""
    return path.startswith(("/v1/uploads/", "/v1/audio/voice/", "/audio/voice/"))


DIALECT = Dialect(NAME, router, claims, error_body)

"""The CosyVoice stream service: `/synthesize`, `/health` and `/model_info`.

How a request sounds follows from which fields are there; an empty one counts as absent.

    instruction   the instruction, in the voice of the recording
    prompt_wav and prompt_text   zero-shot: the voice and the manner of the recording
    prompt_wav    the voice of the recording (cross-lingual)
    prompt_text   zero-shot with the default recording, which says that
    none of them  the default instruction, in the default voice

Source: "CosyVoice Backend Integration Guide"; `speed`, `sample_rate` and `format` are additions.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Annotated, NoReturn

import anyio
from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from cosy.audio.encode import FORMATS
from cosy.errors import VoiceError
from cosy.server.auth import SPEECH, Caller, allow
from cosy.server.context import Context, context_of, request_id_of
from cosy.server.dialects import Dialect
from cosy.server.dialects.fields import (
    END_OF_PROMPT,
    MAX_SEED,
    OUTPUT_RATES_HZ,
    Fields,
    Upload,
    body_description,
    error_body,
    inline_voice,
    plain_instruction,
    read_fields,
    refuse,
    text_and_instruction,
)
from cosy.server.errors import ApiError, Kind
from cosy.server.speech import Speech, audio_response
from cosy.types import MAX_SPEED, MIN_SPEED, InlineVoice, Mode, SpeechRequest

NAME = "stream_service"
MODEL_TYPE = "CosyVoice2"
RATE_HZ = 24_000
PCM_MEDIA_TYPE = "application/octet-stream"
PATHS = ("/health", "/model_info", "/synthesize")
NO_PROMPT = "No prompt_wav provided and default file not found"

router = APIRouter(tags=["Stream service"])


@router.get("/health")
async def health(context: Annotated[Context, Depends(context_of)]) -> JSONResponse:
    """Whether the model is loaded; exactly these two keys, and never a token."""
    ready = context.engine.health().ready
    return JSONResponse({"status": "ok" if ready else "loading", "model_type": MODEL_TYPE}, 200 if ready else 503)


@router.get("/model_info")
async def model_info(context: Annotated[Context, Depends(context_of)]) -> dict[str, str]:
    """What runs here."""
    settings = context.settings
    return {
        "model_type": MODEL_TYPE,
        "model_dir": settings.model or str(files("cosy").joinpath("assets", "model")),
        "default_instruction": plain_instruction(settings.default_instruction) + END_OF_PROMPT,
        "usage": "Use /synthesize endpoint with 'instruction' parameter (CosyVoice2/3)",
        "endpoint": "/synthesize",
    }


@router.post(
    "/synthesize",
    response_class=Response,
    responses={200: {"description": "16-bit mono samples, or a file", "content": {PCM_MEDIA_TYPE: {}}}},
    openapi_extra=body_description(
        {"text": {"type": "string"}},
        {
            "instruction": {"type": "string"},
            "prompt_wav": {"type": "string", "format": "binary"},
            "prompt_text": {"type": "string"},
            "speed": {"type": "number", "minimum": MIN_SPEED, "maximum": MAX_SPEED, "default": 1},
            "sample_rate": {"type": "integer", "enum": list(OUTPUT_RATES_HZ), "default": RATE_HZ},
            "format": {"type": "string", "enum": list(FORMATS), "default": "pcm"},
            "seed": {"type": "integer", "minimum": 0},
        },
    ),
)
async def synthesize(
    request: Request,
    context: Annotated[Context, Depends(context_of)],
    caller: Annotated[Caller, Depends(allow(SPEECH, unless="open_synthesize"))],
) -> Response:
    """Speech as it is made: raw samples, or the format asked for."""
    fields = await read_fields(request, context)
    wanted = await speech_request(fields, context, request.headers.get("accept", ""))
    speech = await Speech.open(context, caller, wanted, dialect=NAME, request_id=request_id_of(request))
    return audio_response(speech, {"Content-Type": PCM_MEDIA_TYPE} if wanted.format == "pcm" else {})


async def speech_request(fields: Fields, context: Context, accept: str) -> SpeechRequest:
    """What the engine is asked for."""
    text, leading = text_and_instruction(fields, "text")
    voice, mode, instruction = await manner(fields, plain_instruction(fields.text("instruction")) or leading, context)
    return SpeechRequest(
        text=text,
        voice=voice,
        mode=mode,
        instruction=instruction,
        speed=fields.number("speed", 1.0, MIN_SPEED, MAX_SPEED),
        sample_rate_hz=fields.choice("sample_rate", RATE_HZ, OUTPUT_RATES_HZ),
        format=format_of(fields, accept),
        seed=fields.integer("seed", None, 0, MAX_SEED),
    )


async def manner(fields: Fields, instruction: str, context: Context) -> tuple[str | InlineVoice, Mode | None, str]:
    """Voice, mode and instruction, by the table above."""
    prompt, transcript = fields.file("prompt_wav"), fields.text("prompt_text").strip()
    if instruction:
        voice = await inline_voice(prompt, "", context) if prompt else await default_voice(context)
        return voice, Mode.INSTRUCT, instruction
    if prompt or transcript:
        sent = await inline_voice(prompt or await default_recording(context), transcript, context)
        return sent, Mode.ZERO_SHOT if sent.transcript else Mode.CROSS_LINGUAL, ""
    preset = plain_instruction(context.settings.default_instruction)
    return await default_voice(context), Mode.INSTRUCT if preset else None, preset


async def default_voice(context: Context) -> str | InlineVoice:
    """The voice of requests without a recording.  Raises ApiError if there is none."""
    settings = context.settings
    if settings.default_prompt is not None:
        return await inline_voice(await default_recording(context), settings.default_prompt_text, context)
    return context.voices.default or no_prompt()


async def default_recording(context: Context) -> Upload:
    """The recording of that voice.  Raises ApiError if there is none: presets of a model may come without."""
    path, voice = context.settings.default_prompt, context.voices.default
    try:
        if path is not None:
            return Upload(path.name, "", await anyio.Path(path).read_bytes())
        return Upload((await context.voices.get(voice)).filename, "", await context.voices.audio(voice))
    except (OSError, VoiceError):
        no_prompt()


def no_prompt() -> NoReturn:
    raise ApiError(Kind.INVALID, NO_PROMPT, param="prompt_wav")


def format_of(fields: Fields, accept: str) -> str:
    """The format asked for by field or, for WAV, by the header `Accept`; bare samples where neither says so."""
    chosen = fields.text("format").strip().lower()
    if not chosen:
        return "wav" if "audio/wav" in accept.lower() else "pcm"
    return chosen if chosen in FORMATS else refuse("format", f"Input should be one of {list(FORMATS)}, got {chosen!r}")


DIALECT = Dialect(NAME, router, lambda path: path in PATHS, error_body)

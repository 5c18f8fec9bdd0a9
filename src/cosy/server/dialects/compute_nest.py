"""Alibaba Compute Nest's CosyVoice service: `/inference_*`, raw 16-bit samples for an answer.

The published client sends GET with a form in its body, multipart where there is a recording, and never looks at
the status: it takes whatever comes for samples at 22050 Hz.  Hence that rate by default, and an even number of bytes.

    /inference_sft            tts_text, spk_id                  a registered voice
    /inference_zero_shot      tts_text, prompt_text, prompt_wav the voice of a recording, its transcript given
    /inference_cross_lingual  tts_text, prompt_wav              the voice of a recording
    /inference_instruct       tts_text, spk_id, instruct_text   a registered voice, told how to speak
    /inference_instruct2      tts_text, instruct_text, prompt_wav

Source: the service's page in Compute Nest, "API Call"; `stream`, `speed`, `sample_rate` and `seed` are additions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from cosy.errors import UnknownVoiceError
from cosy.server.auth import SPEECH, Caller, allow
from cosy.server.context import Context, context_of, request_id_of
from cosy.server.dialects import Dialect
from cosy.server.dialects.fields import (
    MAX_SEED,
    MISSING,
    OUTPUT_RATES_HZ,
    Fields,
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

NAME = "compute_nest"
MEDIA_TYPE = "application/octet-stream"
SHOWN_VOICES = 50  # names in the error for an unknown one

router = APIRouter(tags=["Compute Nest"])
Manner = tuple[str | InlineVoice, Mode | None, str]  # voice, mode, instruction
Translator = Callable[[Fields, Context], Awaitable[Manner]]


async def sft(fields: Fields, context: Context) -> Manner:
    return await registered_voice(fields, context), None, ""


async def zero_shot(fields: Fields, context: Context) -> Manner:
    transcript = fields.required("prompt_text")
    voice = await inline_voice(fields.required_file("prompt_wav"), transcript, context)
    return voice, Mode.ZERO_SHOT if voice.transcript else Mode.CROSS_LINGUAL, ""


async def cross_lingual(fields: Fields, context: Context) -> Manner:
    return await inline_voice(fields.required_file("prompt_wav"), "", context), Mode.CROSS_LINGUAL, ""


async def instruct(fields: Fields, context: Context) -> Manner:
    instruction = instruct_text(fields)
    return await registered_voice(fields, context), Mode.INSTRUCT, instruction


async def instruct2(fields: Fields, context: Context) -> Manner:
    instruction = instruct_text(fields)
    return await inline_voice(fields.required_file("prompt_wav"), "", context), Mode.INSTRUCT, instruction


def instruct_text(fields: Fields) -> str:
    """How to speak; the published client's default has a run of spaces in it, from a line continued in its source."""
    return plain_instruction(fields.required("instruct_text")) or refuse("instruct_text", MISSING)


async def registered_voice(fields: Fields, context: Context) -> str:
    """The id of the voice `spk_id` names, whatever its case.  Raises ApiError that lists the names there are."""
    wanted = " ".join(fields.required("spk_id").split())
    try:
        return await context.voices.resolve(wanted)
    except UnknownVoiceError as error:
        names = [voice.name for voice in await context.voices.list(kind="preset", limit=SHOWN_VOICES)]
        message = f"unknown spk_id {wanted[:80]!r}; available: {names}"
        raise ApiError(Kind.UNKNOWN_VOICE, message, param="spk_id") from error


async def speech_request(fields: Fields, context: Context, translate: Translator) -> SpeechRequest:
    """What the engine is asked for."""
    text, leading = text_and_instruction(fields, "tts_text")
    voice, mode, instruction = await translate(fields, context)
    instruction = instruction or leading
    return SpeechRequest(
        text=text,
        voice=voice,
        mode=Mode.INSTRUCT if instruction else mode,
        instruction=instruction,
        speed=fields.number("speed", 1.0, MIN_SPEED, MAX_SPEED),
        sample_rate_hz=fields.choice("sample_rate", context.settings.compute_nest_rate_hz, OUTPUT_RATES_HZ),
        format="pcm",
        seed=fields.integer("seed", None, 0, MAX_SEED),
        stream=fields.flag("stream", True),
    )


def endpoint(translate: Translator) -> Callable[..., Awaitable[Response]]:
    """The handler of one path."""

    async def inference(
        request: Request,
        context: Annotated[Context, Depends(context_of)],
        caller: Annotated[Caller, Depends(allow(SPEECH))],
    ) -> Response:
        fields = await read_fields(request, context)
        wanted = await speech_request(fields, context, translate)
        speech = await Speech.open(context, caller, wanted, dialect=NAME, request_id=request_id_of(request))
        return audio_response(speech, {"Content-Type": MEDIA_TYPE})

    return inference


TEXT, FILE = {"type": "string"}, {"type": "string", "format": "binary"}
EXTRAS: dict[str, Any] = {
    "stream": {"type": "boolean", "default": True},
    "speed": {"type": "number", "minimum": MIN_SPEED, "maximum": MAX_SPEED, "default": 1},
    "sample_rate": {"type": "integer", "enum": list(OUTPUT_RATES_HZ)},
    "seed": {"type": "integer", "minimum": 0},
}
PATHS: dict[str, tuple[Translator, dict[str, Any]]] = {
    "/inference_sft": (sft, {"tts_text": TEXT, "spk_id": TEXT}),
    "/inference_zero_shot": (zero_shot, {"tts_text": TEXT, "prompt_text": TEXT, "prompt_wav": FILE}),
    "/inference_cross_lingual": (cross_lingual, {"tts_text": TEXT, "prompt_wav": FILE}),
    "/inference_instruct": (instruct, {"tts_text": TEXT, "spk_id": TEXT, "instruct_text": TEXT}),
    "/inference_instruct2": (instruct2, {"tts_text": TEXT, "instruct_text": TEXT, "prompt_wav": FILE}),
}

for path, (translator, required) in PATHS.items():
    for method in ("GET", "POST"):  # one route each, so that each has an operation id of its own
        router.add_api_route(
            path,
            endpoint(translator),
            methods=[method],
            name=path.strip("/"),
            response_class=Response,
            responses={200: {"description": "Raw 16-bit mono samples", "content": {MEDIA_TYPE: {}}}},
            openapi_extra=body_description(required, EXTRAS),
        )

DIALECT = Dialect(NAME, router, lambda path: path.startswith("/inference_"), error_body)

"""What OpenAI's and SiliconFlow's APIs share: `POST /v1/audio/speech`.

Both providers use the same path with the same field names, and differ in defaults and in a few errors.  A request
is SiliconFlow's if its model has a slash, its voice is not one of OpenAI's names, and it does not ask for a
`stream_format`; every other one is OpenAI's.  Each takes the fields of the other.  A body whose `input` is an
object belongs to PAI-EAS, whose clients reach this path too, and is handed on.

Sources: "Create speech" in OpenAI's and in SiliconFlow's API reference.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import string
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from anyio import to_thread
from fastapi import Request, Response
from pydantic import Field

from cosy.audio.output import RATES_HZ
from cosy.errors import AudioError, CosyError, UnknownVoiceError
from cosy.server.auth import Caller
from cosy.server.context import Context, request_id_of
from cosy.server.dialects.fields import Upload
from cosy.server.dialects.v1_body import Body, Text, decode_audio, parse, read_object
from cosy.server.dialects.v1_errors import (
    INVALID_VOICE,
    NO_MODEL,
    NO_MODEL_NUMBER,
    NO_VOICE,
    NO_VOICE_NUMBER,
    CodedError,
    error_object,
    renamed,
)
from cosy.server.errors import ApiError, Kind, problem_of
from cosy.server.speech import Speech, audio_response, sse_response
from cosy.server.store.admission import admit
from cosy.server.store.records import VoiceLimits
from cosy.types import InlineVoice, Mode, SpeechRequest

MODEL = "FunAudioLLM/CosyVoice2-0.5B"
MODELS = (MODEL, "CosyVoice2-0.5B", "cosyvoice-v2", "tts-1", "tts-1-hd", "gpt-4o-mini-tts")
DATED_MODEL = re.compile(r"gpt-4o-mini-tts-\d{4}-\d\d-\d\d")
OPENAI_VOICES = tuple("alloy ash ballad coral echo fable onyx nova sage shimmer verse marin cedar".split())

END_OF_PROMPT = "<|endofprompt|>"
LONGEST_INSTRUCTION = 512  # characters; the model is steered by a sentence, not by a persona
# openai-agents sends this with every request; it is meant for a language model and says nothing of style.
AGENTS_DEFAULT = "You will receive partial sentences. Do not complete the sentence just read out the text."
TRACE_HEADER = "x-siliconcloud-trace-id"


@dataclass(frozen=True)
class Provider:
    """What differs between the two contracts of one path."""

    name: str
    rates_hz: Mapping[str, tuple[int, ...]]  # format -> sample rates it may have, the default first
    no_model_status: int


OPENAI = Provider("openai", dict.fromkeys("mp3 opus aac flac wav pcm".split(), (24_000, *RATES_HZ)), 404)
SILICONFLOW = Provider(
    "siliconflow",
    {
        "mp3": (32_000, 44_100),
        "opus": (48_000,),
        "wav": (44_100, 8_000, 16_000, 24_000, 32_000),
        "pcm": (44_100, 8_000, 16_000, 24_000, 32_000),
    },
    400,
)


class Reference(Body):
    """A voice that travels with the request."""

    audio: Text
    """The recording: a data URL, an http(s) address, or base64."""
    text: Text = ""
    """What is said in it."""


class VoiceId(Body):
    """A voice by its id."""

    id: Text


class SpeechBody(Body):
    """The body of POST /v1/audio/speech."""

    model: Text = Field(min_length=1)
    """A name from GET /v1/models; others without a slash are accepted unless the server is strict."""
    input: Text = Field(min_length=1)
    """The text to speak; `instruction <|endofprompt|> text` says how."""
    voice: Text | VoiceId | None = None
    """A preset, a voice id, or `MODEL:preset`.  May be left out if there are `references`."""
    references: list[Reference] | None = None
    """Speak like the first of these recordings; goes before `voice`."""
    response_format: Literal["mp3", "opus", "aac", "flac", "wav", "pcm"] = "mp3"
    sample_rate: int | None = None
    """In Hz; the default depends on format and dialect: 24000 in OpenAI's."""
    speed: float = Field(1.0, ge=0.25, le=4.0)
    gain: float = Field(0.0, ge=-10.0, le=10.0)
    """In dB."""
    stream: bool = True
    """Send audio as it is made; false: a complete file of known length."""
    stream_format: Literal["audio", "sse"] | None = None
    """`sse`: server-sent events with base64; selects OpenAI's dialect."""
    instructions: Text = ""
    """How to speak, in a sentence."""
    seed: int | None = Field(None, ge=0, lt=2**63)
    """The same seed gives the same audio."""


async def create_speech(request: Request, context: Context, caller: Caller) -> Response:
    """Answer POST /v1/audio/speech in the dialect of its body."""
    raw = await read_object(request)
    if isinstance(raw.get("input"), dict):
        from cosy.server.dialects.pai_eas import speech_from_json

        return await speech_from_json(raw, context, caller, request)
    provider = provider_of(raw)
    if "format" in raw:
        raw.setdefault("response_format", raw["format"])
    body = parse(SpeechBody, raw)
    wanted = await speech_request(body, provider, context)
    return await _answer(request, context, caller, wanted, provider, body.stream_format == "sse")


async def _answer(
    request: Request, context: Context, caller: Caller, wanted: SpeechRequest, provider: Provider, sse: bool
) -> Response:
    whole = not (wanted.stream or sse)
    length: Literal["unknown", "known"] = "known" if whole else "unknown"
    id = request_id_of(request)
    headers = {TRACE_HEADER: trace_id()} if provider is SILICONFLOW else {}
    try:
        speech = await Speech.open(context, caller, wanted, dialect=provider.name, request_id=id, length=length)
        if whole:
            return await _complete(speech, headers)
    except (ApiError, CosyError) as error:
        if param := _at_fault(error, wanted):
            raise renamed(error, param) from error
        raise
    return sse_response(_events(speech), speech) if sse else audio_response(speech, headers)


async def _complete(speech: Speech, headers: Mapping[str, str]) -> Response:
    """The file as one body, its length stated."""
    async with speech:
        data = await speech.read()
    told = {"Content-Type": speech.media_type, "X-Sample-Rate": str(speech.rate_hz), "X-Request-Id": speech.request_id}
    return Response(data, headers={**told, **headers})


def _at_fault(error: ApiError | CosyError, wanted: SpeechRequest) -> str:
    """The field by its name in this contract; empty where the error names none, or the right one."""
    if problem_of(error).param == "text":
        return "input"
    return "references" if isinstance(error, AudioError) and isinstance(wanted.voice, InlineVoice) else ""


async def _events(speech: Speech) -> AsyncIterator[bytes]:
    """OpenAI's server-sent events: deltas of one file, then the token counts; nothing else, not even `[DONE]`."""
    try:
        async for packet in speech:
            if packet.data:
                yield _event(type="speech.audio.delta", audio=base64.b64encode(packet.data).decode())
    except Exception as error:  # whatever it was, the client has to be told in the stream
        told = error_object(problem_of(error)) | {"type": "server_error", "code": "synthesis_failed", "param": None}
        yield _event(type="error", error=told)
        return
    heard, spoken = speech.text_tokens, speech.speech_tokens
    usage = {"input_tokens": heard, "output_tokens": spoken, "total_tokens": heard + spoken}
    yield _event(type="speech.audio.done", usage=usage)


def _event(**fields: Any) -> bytes:
    return b"data: " + json.dumps(fields, separators=(",", ":")).encode() + b"\n\n"


async def speech_request(body: SpeechBody, provider: Provider, context: Context) -> SpeechRequest:
    """The body as a request to the engine.  Raises ApiError that names the field at fault."""
    settings = context.settings
    check_model(body.model, provider, strict=settings.strict_models)
    style, text = split_instruction(body.input)
    if not text:
        raise ApiError(Kind.INVALID, "input is empty: there is nothing to speak; send some text", "input")
    rate_hz = choose_rate(body, provider)
    instruction = ("" if settings.ignore_instructions else steering(body.instructions)) or style
    return SpeechRequest(
        text=text,
        voice=await find_voice(body, provider, context),
        mode=Mode.INSTRUCT if instruction else None,
        instruction=instruction,
        speed=body.speed,
        gain_db=body.gain,
        sample_rate_hz=rate_hz,
        format=body.response_format,
        seed=body.seed,
        stream=body.stream,
    )


def provider_of(raw: Mapping[str, Any]) -> Provider:
    """Whose request it is.  Told by what only one of them has: the body need not be valid."""
    voice = raw.get("voice")
    name = voice.get("id") if isinstance(voice, dict) else voice
    ours = "/" in str(raw.get("model", "")) and name not in OPENAI_VOICES and "stream_format" not in raw
    return SILICONFLOW if ours else OPENAI


def check_model(model: str, provider: Provider, *, strict: bool) -> None:
    """Names without a slash are taken for the one model there is, unless the server is strict."""
    known = model in MODELS or DATED_MODEL.fullmatch(model)
    if known or ("/" not in model and not strict):
        return
    told = f"the model {model[:200]!r} does not exist; GET /v1/models lists those that do"
    message = NO_MODEL if provider is SILICONFLOW else told
    number = NO_MODEL_NUMBER if provider is SILICONFLOW else None
    status = provider.no_model_status
    raise CodedError(Kind.NOT_FOUND, message, "model", status=status, number=number, code="model_not_found")


def split_instruction(text: str) -> tuple[str, str]:
    """`instruction<|endofprompt|>text` at the first marker; without one the instruction is empty."""
    style, marker, rest = text.partition(END_OF_PROMPT)
    return (" ".join(style.split()), rest.strip()) if marker else ("", text.strip())


def steering(instructions: str) -> str:
    """What of OpenAI's `instructions` can steer the model: one line, not too long."""
    line = " ".join(instructions.replace(END_OF_PROMPT, " ").split())
    return "" if line == AGENTS_DEFAULT else line[:LONGEST_INSTRUCTION].strip()


def choose_rate(body: SpeechBody, provider: Provider) -> int:
    """The sample rate in Hz; another than was asked for would change the pitch of bare samples."""
    rates_hz = provider.rates_hz.get(body.response_format)
    if rates_hz is None:
        choices = ", ".join(provider.rates_hz)
        message = f"response_format {body.response_format!r} is not offered for this model; choose one of {choices}"
        raise ApiError(Kind.INVALID, message, "response_format")
    if body.sample_rate is None:
        return rates_hz[0]
    if body.sample_rate not in rates_hz:
        choices = ", ".join(map(str, sorted(set(rates_hz))))
        message = f"sample_rate {body.sample_rate} is not offered for {body.response_format}; choose one of {choices}"
        raise ApiError(Kind.INVALID, message, "sample_rate")
    return body.sample_rate


async def find_voice(body: SpeechBody, provider: Provider, context: Context) -> str | InlineVoice:
    """The voice of the first reference, or the id of the one that is named."""
    if body.references:
        return await _inline(body.references[0], context)
    name = (body.voice.id if isinstance(body.voice, VoiceId) else body.voice or "").strip()
    if not name:
        raise CodedError(Kind.INVALID, NO_VOICE, "voice", number=NO_VOICE_NUMBER)
    try:
        return await context.voices.resolve(without_model(name))
    except UnknownVoiceError as error:
        message = INVALID_VOICE if provider is SILICONFLOW else f"{INVALID_VOICE}: {error}"
        raise ApiError(Kind.UNKNOWN_VOICE, message, "voice") from error


def without_model(voice: str) -> str:
    """`FunAudioLLM/CosyVoice2-0.5B:alex` names a preset of any model; `speech:...` and other ids stay whole."""
    model, _, name = voice.partition(":")
    return name.strip() if "/" in model or model in MODELS else voice


async def _inline(reference: Reference, context: Context) -> InlineVoice:
    most = context.settings.max_upload_bytes
    try:
        if reference.audio[:5].lower() in ("http:", "https"):
            upload = Upload("", "", await context.fetcher.audio(reference.audio))
        else:
            upload = decode_audio(reference.audio, most)
        check = partial(admit, content_type=upload.media_type)
        recording = await to_thread.run_sync(check, upload.data, reference.text, VoiceLimits(max_bytes=most))
    except (ApiError, CosyError) as error:
        raise renamed(error, "references") from error
    return InlineVoice(recording.readable, recording.transcript)


def trace_id() -> str:
    """What SiliconFlow's answers carry in TRACE_HEADER."""
    return "ti_" + "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(18))

"""What DashScope's WebSocket and HTTP speech share: the parameters, the way to a request, the names of errors.

Source: "CosyVoice WebSocket API" and "CosyVoice HTTP API" of Alibaba Cloud Model Studio.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from cosy.audio.encode import OPUS_RATE_HZ, OPUS_RATES_HZ
from cosy.server import ssml
from cosy.server.context import Context
from cosy.server.dialects.dashscope_text import Replacements, passages
from cosy.server.dialects.v1_body import Body, Text
from cosy.server.errors import ApiError, Kind, Problem
from cosy.server.joined import JoinedEngine, Part
from cosy.types import MIN_GAIN_DB, SpeechRequest

NAME = "dashscope"  # in metrics and logs
LONGEST_INSTRUCTION = 128  # characters; the rest is cut off
LONGEST_TEXT = 20_000  # characters of one message
OTHER_MODELS = ("sambert", "qwen", "paraformer")  # families of the same provider, with other protocols
UNKNOWN_VOICE = "Engine return error code: 418"  # clients look for these words
CODES = {
    Kind.INVALID: "InvalidParameter",
    Kind.BAD_AUDIO: "InvalidParameter",
    Kind.UNKNOWN_VOICE: "InvalidParameter",
    Kind.NOT_FOUND: "NotFound",
    Kind.UNAUTHORIZED: "InvalidApiKey",
    Kind.FORBIDDEN: "AccessDenied",
    Kind.METHOD: "MethodNotAllowed",
    Kind.TOO_LARGE: "InvalidParameter",
    Kind.RATE_LIMITED: "Throttling.RateQuota",
    Kind.OVERLOADED: "Throttling.RateQuota",
    Kind.INTERNAL: "InternalError",
}


@dataclass(frozen=True)
class CodedProblem(Problem):
    """A problem with a name of this dialect's own."""

    code: str = ""


def coded(code: str, message: str, kind: Kind = Kind.INVALID, status: int | None = None) -> ApiError:
    """An error with a code that does not follow from its kind."""
    error = ApiError(kind, message, status=status)
    error.problem = CodedProblem(error.problem.kind, error.problem.status, message, code=code)
    return error


def code_and_message(problem: Problem, service: str) -> tuple[str, str]:
    """How a problem reads; `service` is what the unknown voice is blamed on."""
    if isinstance(problem, CodedProblem):
        return problem.code, problem.message
    if problem.kind is Kind.UNKNOWN_VOICE:
        return CODES[problem.kind], f"[{service}:]{UNKNOWN_VOICE}"
    if problem.kind is Kind.UNAUTHORIZED:
        return CODES[problem.kind], "Invalid API-key provided."
    return CODES[problem.kind], problem.message


def error_body(problem: Problem, request_id: str) -> dict[str, Any]:
    """The JSON of every failing answer; the SDK needs all three keys."""
    code, message = code_and_message(problem, "cosyvoice")
    return {"code": code, "message": message, "request_id": request_id}


def check_model(model: str) -> None:
    """There is one model behind all names, but not behind those of other protocols.  Raises ApiError ModelNotFound."""
    if model.lower().startswith(OTHER_MODELS):
        message = f"Model not exist: {model[:80]!r} has another protocol; use a CosyVoice name such as cosyvoice-v2."
        raise coded("ModelNotFound", message, Kind.NOT_FOUND)


def _whole(value: Any) -> Any:
    """Some JSON writers have no integers."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _format(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


Whole = Annotated[int, BeforeValidator(_whole)]


class HotFix(Body):
    """Corrections of single words."""

    replace: list[dict[str, str]] = Field(default_factory=list)
    """Objects of a word and what is spoken in its place."""
    pronunciation: list[dict[str, str]] = Field(default_factory=list)
    """Accepted and not used."""


class Options(Body):
    """How to speak: `parameters` of a WebSocket task; of an HTTP request they are in `input`."""

    default_format: ClassVar[str] = "mp3"
    default_rate_hz: ClassVar[int] = 22_050

    text_type: Literal["PlainText"] = "PlainText"
    voice: Text = Field(min_length=1)
    """Id of an enrolled or any other voice, or a well-known name such as longxiaochun."""
    format: Annotated[Literal["default", "", "pcm", "wav", "mp3", "opus"], BeforeValidator(_format)] = "default"
    """`Default` is mp3, over HTTP wav."""
    sample_rate: Annotated[Literal[0, 8000, 16000, 22050, 24000, 44100, 48000], BeforeValidator(_whole)] = 0
    """0 is 22050, over HTTP 24000."""
    volume: Whole = Field(50, ge=0, le=100)
    """Linear; 50 changes nothing, 0 is silence."""
    rate: float = Field(1.0, ge=0.5, le=2)
    """Tempo, as a factor."""
    pitch: float = Field(1.0, ge=0.5, le=2)
    """A factor of every frequency."""
    bit_rate: Whole = 32
    """Of opus, 6 to 510 kbit/s; otherwise not used."""
    seed: Whole = Field(0, ge=0, le=65_535)
    """The same seed gives the same audio; 0: none."""
    enable_ssml: bool = False
    """The text comes in one piece, and is SSML if it begins with `<`."""
    word_timestamp_enabled: bool = False
    """Times of each sentence; the model tells none of words, so their lists stay empty."""
    language_hints: list[str] = Field(default_factory=list)
    """The first one counts: zh, en, ja, ko ..."""
    instruction: Text = ""
    """How to speak, in a sentence of at most 128 characters."""
    hot_fix: HotFix = HotFix()

    @model_validator(mode="after")
    def _legal_bit_rate(self) -> Options:
        if self.format == "opus" and not 6 <= self.bit_rate <= 510:
            raise ApiError(Kind.INVALID, f"bit_rate must be between 6 and 510, got {self.bit_rate}", "bit_rate")
        return self

    @property
    def container(self) -> str:
        return self.format if self.format not in ("default", "") else self.default_format

    @property
    def _rate_hz(self) -> int:
        rate_hz = self.sample_rate or self.default_rate_hz
        return OPUS_RATE_HZ if self.container == "opus" and rate_hz not in OPUS_RATES_HZ else rate_hz

    @property
    def replacements(self) -> Replacements:
        return Replacements({word: other for pair in self.hot_fix.replace for word, other in pair.items()})

    def corrected(self, text: str) -> str:
        """A whole text with the words of `hot_fix` replaced."""
        words = self.replacements
        return words.push(text) + words.finish()

    async def request(self, text: str | AsyncIterator[str], context: Context) -> SpeechRequest:
        """The request for `text`.  Raises UnknownVoiceError."""
        return SpeechRequest(
            text=text,
            voice=await context.voices.resolve(self.voice),
            instruction=self.instruction.strip()[:LONGEST_INSTRUCTION],
            language=self.language_hints[0] if self.language_hints else "",
            speed=self.rate,
            pitch=self.pitch,
            gain_db=max(MIN_GAIN_DB, 20 * math.log10(self.volume / 50)) if self.volume else MIN_GAIN_DB,
            sample_rate_hz=self._rate_hz,
            format=self.container,
            bit_rate_bps=1000 * self.bit_rate if self.container == "opus" else None,
            seed=self.seed or None,
        )


class Script:
    """What is to be spoken in one task or request: plain text with flushes, or once `mark_up` was called, SSML."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._parts: tuple[Part, ...] = ()

    def mark_up(self, text: str) -> ssml.Document:
        """Take SSML.  Raises TextError."""
        document = ssml.parse(text)
        self._parts = document.parts
        return document

    def context(self, context: Context) -> Context:
        """A context whose engine speaks this."""
        return replace(context, engine=JoinedEngine(context.engine, self._plan, self._options.pitch))

    async def _plan(self, request: SpeechRequest) -> AsyncGenerator[Part, None]:
        if isinstance(request.text, str):
            for part in self._corrected() if self._parts else (Part(request.text),):
                yield part
        elif self._parts:
            for part in self._corrected():
                yield part
            async for _ in request.text:  # a task ends when its client has ended it
                pass
        else:
            async for part in passages(request.text):
                yield part

    def _corrected(self) -> list[Part]:
        """The marked up parts with the words of `hot_fix` replaced."""
        return [replace(part, text=self._options.corrected(str(part.text))) for part in self._parts]

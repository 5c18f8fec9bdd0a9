"""What PAI-EAS's REST calls and its WebSocket share: the options of a request, its results, the names of errors.

Source: "CosyVoice 2 API operations" of Alibaba Cloud PAI-EAS.
"""

from __future__ import annotations

import base64
import math
import time
from collections.abc import AsyncIterator
from typing import Any, Literal

from pydantic import Field

from cosy.errors import UnknownVoiceError
from cosy.server.context import Context
from cosy.server.dialects.v1_body import Body, Text
from cosy.server.errors import ApiError, Kind, Problem
from cosy.server.speech import Packet
from cosy.types import MIN_GAIN_DB, Mode, SpeechRequest

NAME = "pai_eas"  # in metrics and logs
END_OF_PROMPT = "<|endofprompt|>"  # text before it is the instruction
CODES = {
    Kind.INVALID: "InvalidParameter",
    Kind.BAD_AUDIO: "InvalidParameter",
    Kind.UNKNOWN_VOICE: "NotFound",
    Kind.NOT_FOUND: "NotFound",
    Kind.UNAUTHORIZED: "Unauthorized",
    Kind.FORBIDDEN: "Forbidden",
    Kind.METHOD: "MethodNotAllowed",
    Kind.TOO_LARGE: "TooLarge",
    Kind.RATE_LIMITED: "TooManyRequests",
    Kind.OVERLOADED: "ServiceUnavailable",
    Kind.INTERNAL: "InternalError",
}


def error_body(problem: Problem, request_id: str) -> dict[str, Any]:
    """The JSON of every failing answer.  The request id is in the header `X-Request-Id`."""
    return {"code": CODES[problem.kind], "message": problem.message, "data": {}}


class Options(Body):
    """How to speak: `input` of a REST call, `parameters` of a WebSocket task."""

    mode: Literal["fast_replication", "cross_lingual_replication", "natural_language_replication"]
    reference_audio_id: Text = Field(min_length=1)
    """The id of an uploaded recording, of any other voice, or a preset's name."""
    instruct: Text = ""
    """How to speak, in a sentence; only in natural_language_replication."""
    sample_rate: Literal[8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000] = 24000
    bit_rate: Literal["16k", "32k", "48k", "64k", "128k", "192k", "256k", "320k", "384k"] = "192k"
    """Of MP3; the nearest that the sample rate allows is taken."""
    volume: float = Field(1.0, ge=0, le=10)
    """A factor."""
    speed: float = Field(1.0, ge=0.5, le=2)
    output_format: Literal["wav", "mp3", "pcm"] = "wav"
    debug: bool = False
    """Accepted; metrics are always sent."""
    seed: int | None = Field(None, ge=0, lt=2**63)
    """The same seed gives the same audio."""

    async def request(self, text: str | AsyncIterator[str], context: Context, stream: bool) -> SpeechRequest:
        """The request for `text` in the reference's voice.  Raises ApiError NOT_FOUND for an unknown reference."""
        mode, instruction = self._manner()
        if isinstance(text, str) and END_OF_PROMPT in text:
            instruction, _, text = text.partition(END_OF_PROMPT)
            mode = Mode.INSTRUCT if instruction.strip() else mode
        return SpeechRequest(
            text=text,
            voice=await reference(context, self.reference_audio_id),
            mode=mode,
            instruction=instruction.strip(),
            speed=self.speed,
            gain_db=decibels(self.volume),
            sample_rate_hz=self.sample_rate,
            format=self.output_format,
            bit_rate_bps=1000 * int(self.bit_rate[:-1]) if self.output_format == "mp3" else None,
            seed=self.seed,
            stream=stream,
        )

    def _manner(self) -> tuple[Mode | None, str]:
        """Mode and instruction.  Fast replication takes what the voice has: its transcript, if there is one."""
        if self.mode == "natural_language_replication" and self.instruct.strip():
            return Mode.INSTRUCT, self.instruct
        return (None if self.mode == "fast_replication" else Mode.CROSS_LINGUAL), ""


async def reference(context: Context, reference_audio_id: str) -> str:
    """The voice behind a reference id or a well-known name.  Raises ApiError NOT_FOUND."""
    try:
        return await context.voices.resolve(reference_audio_id)
    except UnknownVoiceError:
        raise no_reference(reference_audio_id) from None


def no_reference(reference_audio_id: str) -> ApiError:
    return ApiError(Kind.NOT_FOUND, f"reference audio: {reference_audio_id[:200]} not found.", "reference_audio_id")


def decibels(volume: float) -> float:
    """Gain of a factor; 0 is silence."""
    return max(MIN_GAIN_DB, 20 * math.log10(volume)) if volume > 0 else MIN_GAIN_DB


class Results:
    """The results of one request, in order: each has the next bytes of one file and what they cost."""

    def __init__(self, request_id: str, started_s: float) -> None:
        self.audio_id = f"audio_{request_id}"
        self._previous_s = started_s  # time.perf_counter() when work began
        self.size = 0  # bytes so far

    def result(self, packet: Packet) -> dict[str, Any]:
        """`output`, `usage`, `error` and `metrics` of a packet; times in seconds, `speech_len` above zero."""
        now_s = time.perf_counter()
        cost_s, self._previous_s = now_s - self._previous_s, now_s
        self.size += len(packet.data)
        metrics = {
            "speech_len": round(packet.seconds, 9),
            "server_cost_time": round(cost_s, 6),
            "generate_time": round(packet.compute_s, 6),
            "rtf": round(packet.compute_s / packet.seconds, 6),
        }
        return self._result(packet.data, "stop" if packet.last else None, None, metrics)

    def whole(self, data: bytes) -> dict[str, Any]:
        """A complete file; its reason to finish is null by contract."""
        self.size = len(data)
        return self._result(data, None, None, None)

    def failure(self, problem: Problem) -> dict[str, Any]:
        """The last event of a stream that failed: every key is there, for clients index them unseen."""
        error = {"code": CODES[problem.kind], "message": problem.message}
        return self._result(b"", "error", error, None)

    def _result(
        self, data: bytes, reason: str | None, error: dict[str, str] | None, metrics: dict[str, float] | None
    ) -> dict[str, Any]:
        audio = {"id": self.audio_id, "data": base64.b64encode(data).decode("ascii")}
        output = {"finish_reason": reason, "audio": audio}
        return {"output": output, "usage": self.size, "error": error, "metrics": metrics}

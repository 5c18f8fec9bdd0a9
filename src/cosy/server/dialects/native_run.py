"""One request on Cosy's own WebSocket: what the client asks for, and the events that tell of it.

No socket here: `native_ws` reads and sends.
"""

from __future__ import annotations

import asyncio
import secrets
import time
import uuid
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field

from cosy.server.dialects.fields import MAX_SEED, OUTPUT_RATES_HZ, plain_instruction
from cosy.server.dialects.v1_body import Body, Text
from cosy.server.text import Intake, TextQueue
from cosy.types import (
    MAX_GAIN_DB,
    MAX_PITCH,
    MAX_SPEED,
    MIN_GAIN_DB,
    MIN_PITCH,
    MIN_SPEED,
    Mode,
    SpeechRequest,
)

if TYPE_CHECKING:
    from cosy.server.packets import Packet, Sentence
    from cosy.server.speech import Speech

MODES = (Mode.ZERO_SHOT, Mode.CROSS_LINGUAL, Mode.INSTRUCT)
SEED_BITS = 32

Event = dict[str, Any]


def _offered(rate_hz: int) -> int:
    if rate_hz not in OUTPUT_RATES_HZ:
        raise ValueError(f"must be one of {list(OUTPUT_RATES_HZ)}")
    return rate_hz


class Start(Body):
    """The first message of a request."""

    key: str = ""
    """Needed where the handshake brought none and the server has keys."""
    voice: Text = ""
    """Id or name; empty: the default voice."""
    text: Text | None = None
    """All of the text, spoken as every other interface would speak it; None: it comes in pieces."""
    mode: Literal["zero_shot", "cross_lingual", "instruct"] | None = None
    instruction: Text = ""
    speed: float = Field(1.0, ge=MIN_SPEED, le=MAX_SPEED)
    pitch: float = Field(1.0, ge=MIN_PITCH, le=MAX_PITCH)
    gain_db: float = Field(0.0, ge=MIN_GAIN_DB, le=MAX_GAIN_DB)
    seed: int | None = Field(None, ge=0, le=MAX_SEED)
    sample_rate_hz: Annotated[int, AfterValidator(_offered)] | None = None
    format: Literal["pcm"] = "pcm"

    def request(self, text: TextQueue, voice: str | None) -> SpeechRequest:
        """What the engine is asked for, with `voice` resolved; `text` is for pieces that are to come.

        A seed is drawn here, to be told at once.
        """
        return SpeechRequest(
            text=text if self.text is None else self.text,
            voice=voice,
            mode=Mode(self.mode) if self.mode else None,
            instruction=plain_instruction(self.instruction),
            speed=self.speed,
            pitch=self.pitch,
            gain_db=self.gain_db,
            sample_rate_hz=self.sample_rate_hz,
            format=self.format,
            seed=secrets.randbits(SEED_BITS) if self.seed is None else self.seed,
        )


@dataclass(eq=False)
class Run(Intake):
    """One request, from `start` to `done`."""

    request: SpeechRequest  # its text is `text`, unless it came whole
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    first_audio_s: float | None = None  # after that moment
    compute_s: float = 0.0  # waited for the engine, so far
    told: int = 0  # the first segment whose end the client does not know
    speech: Speech | None = None
    speaking: asyncio.Task[None] | None = None

    def whole(self, text: str) -> None:
        """The request came with all of its text."""
        self.has_text = bool(text.strip())
        self.end()

    def started(self, rate_hz: int) -> Event:
        """The request is in order, and text may come."""
        rate_hz = self.request.sample_rate_hz or rate_hz
        return {"type": "started", "request_id": self.id, "rate_hz": rate_hz, "seed": self.request.seed}

    def progress(self, packet: Packet) -> Event:
        """How much audio there is with this packet, and how long the engine was waited for."""
        if self.first_audio_s is None:
            self.first_audio_s = time.perf_counter() - self.ready_s
        self.compute_s += packet.compute_s
        return {"type": "progress", "offset_s": _ms(packet.offset_s + packet.seconds), "compute_s": _ms(self.compute_s)}

    def ended(self, segment: int | None = None) -> list[Event]:
        """An event for each segment before that one, None: for all, whose end has not been told."""
        sentences = self.speech.sentences if self.speech else []
        if segment is None:
            segment = 1 + max((each.index for each in sentences), default=-1)
        found = [each for each in sentences if self.told <= each.index < segment]
        self.told = max(self.told, segment)
        return [{"type": "segment", **_sentence(each)} for each in found]

    def done(self, *, stopped: bool = False) -> Event:
        """What was made: everything, or as much as there was when it was stopped."""
        speech = self.speech
        audio_s = speech.audio_s if speech else 0.0
        return {
            "type": "done",
            "audio_s": _ms(audio_s),
            "first_audio_s": None if self.first_audio_s is None else _ms(self.first_audio_s),
            "rtf": round(self.compute_s / audio_s, 3) if audio_s else None,
            "segments": [_sentence(each) for each in speech.sentences] if speech else [],
            "seed": self.request.seed,
            "warnings": speech.warnings if speech else [],
            "stopped": stopped,
        }


def _sentence(sentence: Sentence) -> Event:
    return {**asdict(sentence), "start_s": _ms(sentence.start_s), "end_s": _ms(sentence.end_s)}


def _ms(seconds: float) -> float:
    return round(seconds, 3)

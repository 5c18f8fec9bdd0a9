"""A small subject, a clock that is moved by hand, and an engine that takes its time by that clock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cosy.audio.constants import SAMPLE_RATE_HZ
from cosy.bench.random_model import random_model, random_voice
from cosy.bench.subject import Choice, Subject
from cosy.checkpoint.load import load_model
from cosy.errors import CosyError
from cosy.text.frontend import TextFrontend
from cosy.types import AudioChunk, FinishReason, SpeechRequest
from cosy.voices.voice import Voice
from tests.model_dir import PRESET, SMALL
from tests.test_synthesis import ByLine


def random_subject(**options: Any) -> Subject:
    """Random weights, but small ones."""
    model = random_model(SMALL)
    choice = Choice(random_weights=True, **{"seconds": 1.6, **options})
    return Subject(choice, model, TextFrontend(model.text_tokenizer), random_voice(1.0))


class Terse(Subject):
    """Says two letters: random networks speak long even so."""

    def text_of(self, seconds: float) -> str:
        return "hi"


def loaded_subject(directory: Path, **options: Any) -> Subject:
    """The small model directory; its preset has a prompt."""
    model = load_model(directory)
    voice = Voice.from_speaker(PRESET, model.spk2info[PRESET], model.text_tokenizer)
    return Terse(Choice(model=directory, **options), model, ByLine(model.text_tokenizer), voice)


@dataclass
class Clock:
    """Moved by hand."""

    now_s: float = 100.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Timed:
    """An engine whose chunks come after so many seconds each; `fails` instead of the last one."""

    clock: Clock
    steps: Sequence[tuple[float, float]]  # (seconds until it comes, seconds of audio)
    fails: CosyError | None = None
    asked: list[SpeechRequest] = field(default_factory=list)

    async def stream(self, request: SpeechRequest, request_id: str | None = None) -> AsyncIterator[AudioChunk]:
        self.asked.append(request)
        for place, (wait_s, audio_s) in enumerate(self.steps):
            last = place + 1 == len(self.steps)
            self.clock.now_s += wait_s
            if last and self.fails:
                raise self.fails
            yield AudioChunk(
                np.zeros(round(audio_s * SAMPLE_RATE_HZ), dtype=np.float32),
                SAMPLE_RATE_HZ,
                offset_samples=0,
                segment=0,
                finish_reason=FinishReason.STOP if last else None,
                details={"speech_tokens": 25} if last else {},
            )

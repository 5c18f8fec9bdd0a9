"""A Cosy that hums: one second of tone per sentence, in chunks of a quarter of a second."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from typer.testing import CliRunner, Result

from cosy.cli.app import app
from cosy.cli.tools import Tools
from cosy.errors import VoiceError
from cosy.types import AudioChunk, FinishReason, Samples, Sampling

RATE_HZ = 24_000
CHUNK = RATE_HZ // 4
CHUNKS_PER_SENTENCE = 4


@dataclass
class FakeCosy:
    """Records what it is asked for; `fails` is raised after the first chunk."""

    fails: BaseException | None = None
    warnings: tuple[str, ...] = ()
    rate_hz: int = RATE_HZ
    loaded: list[tuple[Any, dict[str, Any]]] = field(default_factory=list)
    asked: list[tuple[list[str], Any, dict[str, Any]]] = field(default_factory=list)
    heard: list[Samples] = field(default_factory=list)  # by the sound card

    @property
    def model(self) -> Any:
        return SimpleNamespace(config=SimpleNamespace(llm=SimpleNamespace(sampling=Sampling(window=7))))

    def load(self, model: Path | None = None, **options: Any) -> FakeCosy:
        self.loaded.append((model, options))
        return self

    def stream(self, text: Any, voice: str | None = None, **options: Any) -> Iterator[AudioChunk]:
        pieces = [text] if isinstance(text, str) else list(text)
        self.asked.append((pieces, voice, options))
        if voice == "nobody":
            raise VoiceError("there is no voice named 'nobody'; there are: ada")
        sentences = [part.strip() for part in "".join(pieces).split(".") if part.strip()]
        seed = 7 if options["seed"] is None else options["seed"]
        for index in range(CHUNKS_PER_SENTENCE * len(sentences)):
            if self.fails is not None and index == 1:
                raise self.fails
            segment, place = divmod(index, CHUNKS_PER_SENTENCE)
            last = place == CHUNKS_PER_SENTENCE - 1
            yield AudioChunk(
                tone(index * CHUNK),
                self.rate_hz,
                offset_samples=index * CHUNK,
                segment=segment,
                text="" if place else sentences[segment],
                finish_reason=FinishReason.STOP if last else None,
                timings_s={"lm": 0.5},
                details={"seed": seed} | (self._ending() if last else {}),
            )

    def _ending(self) -> dict[str, Any]:
        return {"text_tokens": 5, "speech_tokens": 25, "warnings": list(self.warnings)}

    def add_voice(self, name: str, recording: Path, transcript: str = "", **options: Any) -> Any:
        from cosy.voices.voice import VoiceInfo  # brings torch, which most tests do without

        self.asked.append(([transcript], name, options))
        return SimpleNamespace(info=VoiceInfo(name, transcript, duration_s=4.0, warnings=self.warnings))

    @contextlib.contextmanager
    def playing(self, rate_hz: int, gain_db: float) -> Iterator[Callable[[Samples], None]]:
        yield self.heard.append

    @property
    def tools(self) -> Tools:
        return Tools(load=self.load, playing=self.playing)  # type: ignore[arg-type]


def tone(start: int, count: int = CHUNK) -> Samples:
    time = np.arange(start, start + count) / RATE_HZ
    return (0.25 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)


def run(*arguments: str | Path, cosy: FakeCosy | None = None, tools: Tools | None = None, **options: Any) -> Result:
    """`cosy ARGUMENTS` in this process."""
    tools = tools or (cosy or FakeCosy()).tools
    return CliRunner().invoke(app, [str(argument) for argument in arguments], obj=tools, **options)

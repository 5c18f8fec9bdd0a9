"""From the engine's chunks to packets: encoded audio, each with what dialects tell their clients about it.

Pure: no engine, no network, no clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from cosy.audio.output import OutputChain
    from cosy.types import AudioChunk, Samples

HELD_S = 0.01  # kept back so that the last packet, known only when the engine ends, has sound of its own


@dataclass(frozen=True)
class Packet:
    """The next bytes of one file, never none, and never without sound."""

    data: bytes
    seconds: float  # of the sound that went in since the packet before
    compute_s: float  # time that was waited for the engine
    segment: int
    text: str  # the segment's, on its first packet
    offset_s: float  # of its start in the whole answer
    last: bool = False


@dataclass
class Sentence:
    """A segment of the text and its place in the audio."""

    index: int
    text: str
    start_s: float
    end_s: float


@dataclass
class Tally:
    """What the chunks said about themselves."""

    played_hz: float  # samples of the engine that are heard in a second
    samples: int = 0
    seed: int | None = None
    text_tokens: int = 0
    speech_tokens: int = 0
    warnings: list[str] = field(default_factory=list)
    sentences: dict[int, Sentence] = field(default_factory=dict)

    @property
    def audio_s(self) -> float:
        return self.samples / self.played_hz

    def note(self, chunk: AudioChunk) -> None:
        start_s = chunk.offset_samples / self.played_hz
        self.samples += len(chunk.samples)
        sentence = self.sentences.setdefault(chunk.segment, Sentence(chunk.segment, chunk.text, start_s, start_s))
        sentence.text = sentence.text or chunk.text
        sentence.end_s = start_s + len(chunk.samples) / self.played_hz
        self.seed = chunk.details.get("seed", self.seed)
        self.text_tokens += chunk.details.get("text_tokens", 0)
        self.speech_tokens += chunk.details.get("speech_tokens", 0)
        self.warnings += chunk.details.get("warnings", ())


class Packer:
    """Sends chunks through an output chain and cuts the result into packets."""

    def __init__(self, chain: OutputChain, played_hz: float) -> None:
        self._chain = chain
        self._hold = max(1, round(HELD_S * played_hz))
        self._held: Samples = np.zeros(0, dtype=np.float32)
        self._segment = 0
        self._texts: dict[int, str] = {}  # of segments that no packet has named yet
        self._data = b""
        self._told_s = 0.0  # of sound, in packets so far
        self._compute_s = 0.0

    def push(self, chunk: AudioChunk, compute_s: float) -> Iterator[Packet]:
        """Packets that are ready after this chunk: none, one, or two where a segment ends."""
        self._compute_s += compute_s
        if chunk.text:
            self._texts[chunk.segment] = chunk.text
        if not len(chunk.samples):
            return
        if chunk.segment != self._segment:
            held, self._held = self._held, self._held[:0]
            yield from self._packet(self._chain.push(held))
            self._segment = chunk.segment
        samples = np.concatenate([self._held, chunk.samples])
        ready = max(0, len(samples) - self._hold)
        self._held = samples[ready:]
        yield from self._packet(self._chain.push(samples[:ready]))

    def finish(self, compute_s: float = 0.0) -> Iterator[Packet]:
        """The last packet, with the encoder's tail; none if there never was any sound."""
        self._compute_s += compute_s
        if len(self._held):
            yield from self._packet(self._chain.push(self._held) + self._chain.finish(), last=True)

    def _packet(self, data: bytes, last: bool = False) -> Iterator[Packet]:
        """What has no bytes yet, or bytes without sound, waits for the next packet."""
        self._data += data
        start_s, end_s = self._told_s, self._chain.seconds_pushed
        if self._data and end_s > start_s:
            text = self._texts.pop(self._segment, "")
            yield Packet(self._data, end_s - start_s, self._compute_s, self._segment, text, start_s, last)
            self._data, self._told_s, self._compute_s = b"", end_s, 0.0

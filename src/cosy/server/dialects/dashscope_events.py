"""Packets told as sentences: begin, audio, audio ..., end.  The same on the WebSocket and in server-sent events.

Of a text that is still arriving, what a sentence says is known for sure at its end; at its beginning it is what has
come so far.  The model has no alignment of words, so their lists are empty; times of sentences come from sample counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cosy.server.dialects.dashscope_text import Slices
from cosy.server.speech import Packet


@dataclass(frozen=True)
class Result:
    """One event: `output` as it is sent, the characters charged so far, and the audio that goes with it."""

    output: dict[str, Any]
    characters: int
    data: bytes = b""


@dataclass
class _Sentence:
    """What is being said."""

    index: int
    segment: int  # of the engine
    text: str  # as it was sent
    start_s: float
    end_s: float


class Sentences:
    """The events of one request.  `raw` is the text as it was sent; with `times` a sentence tells its own, in ms."""

    def __init__(self, raw: Slices, times: bool) -> None:
        self._raw = raw
        self._times = times
        self._sentence: _Sentence | None = None

    def results(self, packet: Packet) -> Iterator[Result]:
        """The events that a packet makes: exactly one has its audio."""
        if self._sentence is None or self._sentence.segment != packet.segment:
            if self._sentence is not None:
                yield self._end(self._sentence)
            yield self._begin(packet)
        assert self._sentence is not None, "a packet belongs to a sentence"
        self._sentence.end_s = packet.offset_s + packet.seconds
        if packet.text:
            self._sentence.text += self._raw.take(packet.text)
        yield self._result(self._sentence, "sentence-synthesis", data=packet.data)
        if packet.last:
            self._sentence.text += self._raw.rest()
            yield self._end(self._sentence)

    def _begin(self, packet: Packet) -> Result:
        index = self._sentence.index + 1 if self._sentence else 0
        start_s = packet.offset_s
        self._sentence = _Sentence(index, packet.segment, "", start_s, start_s)
        return self._result(self._sentence, "sentence-begin", original_text=self._raw.peek(packet.text))

    def _end(self, sentence: _Sentence) -> Result:
        result = self._result(sentence, "sentence-end", original_text=sentence.text)
        if self._times:
            times = {"begin_time": round(1000 * sentence.start_s), "end_time": round(1000 * sentence.end_s)}
            result.output["sentence"] |= times
        return result

    def _result(self, sentence: _Sentence, type: str, data: bytes = b"", **output: Any) -> Result:
        told = {"sentence": {"index": sentence.index, "words": []}, "type": type, **output}
        return Result(told, self._raw.charged, data)

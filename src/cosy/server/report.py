"""What is measured of one request for speech, and where it goes: metrics, the key's usage, one log line."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from cosy.server import logs
from cosy.server.boundary import ClientGoneError
from cosy.server.errors import Kind, problem_of
from cosy.server.text import TextQueue, utf8_length
from cosy.types import InlineVoice

if TYPE_CHECKING:
    from cosy.server.auth import Caller
    from cosy.server.boundary import Visit
    from cosy.server.context import Context
    from cosy.server.packets import Tally
    from cosy.types import AudioChunk, SpeechRequest


class Report:
    """Collects from acceptance to end.  Times are of `time.perf_counter`."""

    def __init__(self, context: Context, caller: Caller, request: SpeechRequest, dialect: str, request_id: str) -> None:
        self.request_id = request_id
        self._context = context
        self._caller = caller
        self._request = request
        self._dialect = dialect
        self._accepted_s = time.perf_counter()
        self._first_s: float | None = None  # when the first audio came
        self._made_s = 0.0  # audio so far
        self._waited_s = 0.0  # for the engine
        self._played_hz = context.engine.sample_rate_hz * request.pitch

    @property
    def characters(self) -> int:
        """Of the text that has come."""
        text = self._request.text
        return len(text) if isinstance(text, str) else getattr(text, "characters", 0)

    @property
    def utf8_bytes(self) -> int:
        text = self._request.text
        return utf8_length(text) if isinstance(text, str) else getattr(text, "utf8_bytes", 0)

    def chunk(self, chunk: AudioChunk, waited_s: float, now_s: float) -> None:
        """The engine gave a chunk, `waited_s` after it was asked for one."""
        self._waited_s += waited_s
        if not len(chunk.samples):
            return
        if self._first_s is None:
            self._first_s = now_s
            self._context.metrics.first_audio.labels(self._dialect).observe(now_s - self._accepted_s)
        elif not self._text_was_missing():
            self._slack(waited_s, now_s)
        self._made_s += len(chunk.samples) / self._played_hz

    def _slack(self, waited_s: float, now_s: float) -> None:
        """Whether a player that began with the first audio still had some.  A slow client's pauses do not count."""
        assert self._first_s is not None, "called after the first audio"
        ahead_s = self._made_s - (now_s - waited_s - self._first_s)  # when the engine was asked
        slack_s = max(0.0, ahead_s) - waited_s
        self._context.metrics.slack.labels(self._dialect).observe(slack_s)
        if slack_s < 0:
            self._context.metrics.underruns.labels(self._dialect).inc()

    def _text_was_missing(self) -> bool:
        """Whether the engine may have waited for the client rather than the other way round."""
        return isinstance(self._request.text, TextQueue) and not self._request.text.closed

    def close(self, error: BaseException | None, tally: Tally, current: Visit | None) -> None:
        """The request has ended; None: well."""
        outcome = self._outcome(error)
        if current is not None and error is not None:
            current.told = error
        self._count(outcome, error, tally)
        logs.event(
            "speech",
            request_id=self.request_id,
            dialect=self._dialect,
            key=self._caller.key_id or None,
            voice=self._voice(),
            format=self._request.format,
            characters=self.characters,
            audio_s=round(tally.audio_s, 3),
            first_chunk_ms=self._first_s and round(1000 * (self._first_s - self._accepted_s), 1),
            rtf=round(self._waited_s / tally.audio_s, 3) if tally.samples else None,
            seed=tally.seed,
            outcome=outcome,
        )
        if isinstance(error, Exception) and outcome == Kind.INTERNAL.value:
            fields = {"request_id": self.request_id, "dialect": self._dialect}
            logs.logger.log(logging.ERROR, "failure", exc_info=error, extra={"fields": fields})

    def _outcome(self, error: BaseException | None) -> str:
        if error is None:
            return "ok"
        gone = isinstance(error, ClientGoneError) or not isinstance(error, Exception)  # cancelled
        return "disconnect" if gone else problem_of(error).kind.value

    def _count(self, outcome: str, error: BaseException | None, tally: Tally) -> None:
        metrics, key = self._context.metrics, self._caller.key_id
        failed = outcome not in ("ok", "disconnect")
        metrics.requests.labels(self._dialect, outcome).inc()
        if failed:
            metrics.failed(self._dialect, outcome)
        if tally.samples:
            metrics.real_time_factor.labels(self._dialect).observe(self._waited_s / tally.audio_s)
        spoken = bool(tally.samples)  # a refused text was not used
        characters, utf8_bytes = (self.characters, self.utf8_bytes) if spoken else (0, 0)
        metrics.audio_s.labels(key).inc(tally.audio_s)
        metrics.characters.labels(key).inc(characters)
        metrics.text_bytes.labels(key).inc(utf8_bytes)
        self._context.usage.add(
            key, characters=characters, utf8_bytes=utf8_bytes, audio_s=tally.audio_s, errors=int(failed)
        )

    def _voice(self) -> str:
        voice = self._request.voice
        return "inline" if isinstance(voice, InlineVoice) else voice or "default"

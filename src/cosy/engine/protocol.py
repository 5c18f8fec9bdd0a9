"""The seam between whoever asks for speech and whoever makes it.  No torch here.

The server, the CLI and the tests know an engine only by this protocol; the plain
single-stream path and the batching engine both stand behind it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from cosy.types import AudioChunk, SpeechRequest


@dataclass(frozen=True)
class VoiceSummary:
    """What a client may know of a voice."""

    id: str
    name: str
    transcript: str
    preset: bool
    duration_s: float
    created_at: str  # ISO 8601, UTC


@dataclass(frozen=True)
class Health:
    """Whether requests can be served; `reason` says why not."""

    ready: bool
    reason: str = ""


@runtime_checkable
class VoiceCatalog(Protocol):
    """Voices an engine can speak with."""

    def list(self) -> Sequence[VoiceSummary]:
        """All voices, presets first."""
        ...

    def get(self, voice_id: str) -> VoiceSummary:
        """One voice.  Raises VoiceError if there is none of that id."""
        ...


@runtime_checkable
class Engine(Protocol):
    """Makes speech.  Every method may be called from one event loop, many requests at once."""

    @property
    def sample_rate_hz(self) -> int:
        """Rate of every `AudioChunk`."""
        ...

    @property
    def voices(self) -> VoiceCatalog: ...

    def stream(self, request: SpeechRequest, request_id: str | None = None) -> AsyncIterator[AudioChunk]:
        """Yield audio as it is made.  Closing the iterator cancels the request and frees all it held.

        Raises InputError before the first chunk for a bad request, OverloadedError when there is
        no capacity, EngineError when a stage fails.
        """
        ...

    async def abort(self, request_id: str) -> bool:
        """Cancel a request; its iterator ends with AbortedError.  False if the id is unknown."""
        ...

    def stats(self) -> Mapping[str, float]:
        """Counters and gauges since start."""
        ...

    def health(self) -> Health: ...

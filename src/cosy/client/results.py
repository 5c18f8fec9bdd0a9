"""What the client hands back."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Speech:
    """A complete answer: the bytes of one audio file."""

    audio: bytes
    media_type: str
    rate_hz: int  # of the audio; 0 if the server did not say
    request_id: str  # what the server's log calls it

    def __bytes__(self) -> bytes:
        return self.audio

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file as it came."""
        Path(path).write_bytes(self.audio)


@dataclass(frozen=True)
class VoiceEntry:
    """A voice that can be spoken with: `id` is what the `voice` argument takes."""

    id: str
    name: str


@dataclass(frozen=True)
class Health:
    """Whether the server can speak now; `status` is "ok" or "loading"."""

    ready: bool
    status: str


class WholeSamples:
    """Cuts a byte stream of 16-bit samples where samples end: the network cuts it anywhere."""

    def __init__(self) -> None:
        self._odd = b""

    def push(self, data: bytes) -> bytes:
        """All bytes of whole samples so far; a half one waits for its other half."""
        data = self._odd + data
        whole = len(data) - len(data) % 2
        self._odd = data[whole:]
        return data[:whole]

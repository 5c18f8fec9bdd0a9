"""What the voice registry takes and gives: uploads, records, and what preparing a recording yields."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from cosy.audio.constants import MAX_PROMPT_S

MIB = 2**20


@dataclass(frozen=True)
class Prepared:
    """A recording as the engine wants it."""

    data: bytes  # the voice file
    duration_s: float  # of the speech that is used
    warnings: tuple[str, ...] = ()
    transcript: str = ""  # one that was found out; used where none was given


Prepare = Callable[[bytes, str, str], Prepared]
"""(recording, transcript or empty, a name safe for files) -> the prepared voice.  Blocking; raises AudioError."""


@dataclass(frozen=True)
class VoiceLimits:
    """What an upload may be, and how many there may be."""

    max_bytes: int = 20 * MIB
    min_s: float = 1.0
    max_s: float = MAX_PROMPT_S  # without transcript the rest is cut off; with one the upload is refused
    max_voices: int = 10_000  # uploaded ones, of all owners
    max_per_owner: int | None = None


@dataclass(frozen=True)
class VoiceUpload:
    """A recording that shall become a voice."""

    audio: bytes
    name: str
    transcript: str = ""
    id: str = ""  # empty: made here
    filename: str = ""
    surface: str = ""  # the dialect it came by
    owner: str = ""  # id of the key it came with
    consent: str = ""  # the speaker's: a note, or the id of a recorded consent
    replace: bool = False  # an upload of the same id, if there is one
    content_type: str = ""  # tells headerless PCM, with `filename`; otherwise the content does
    sample_rate_hz: int | None = None  # of headerless PCM


@dataclass(frozen=True)
class VoiceRecord:
    """What is known of a voice."""

    id: str
    name: str
    kind: Literal["preset", "user"]
    transcript: str
    filename: str
    bytes: int  # of the original recording
    sha256: str  # of the original recording, in hex
    duration_s: float
    warnings: tuple[str, ...]
    surface: str
    owner: str
    consent: str
    created_at: datetime  # UTC
    modified_at: datetime

"""A recording judged before a voice is made of it: what is wrong, and what was measured."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

from cosy.audio.io import load_audio
from cosy.audio.silence import dbfs, trim_silence
from cosy.errors import AudioError
from cosy.server.dialects.fields import Upload
from cosy.server.store.admission import admit, decode_hint
from cosy.server.store.records import VoiceLimits
from cosy.types import InlineVoice, Samples

SILENCE_DBFS = -100.0  # told of digital silence, whose level is minus infinity


@runtime_checkable
class Preparer(Protocol):
    """What an engine's voices may offer beside their catalogue."""

    def prepare(self, recording: InlineVoice) -> Any:
        """A voice with `info.warnings`.  Blocks; raises AudioError."""
        ...


@dataclass(frozen=True)
class Verdict:
    """Whether a recording can be used, and how it fares.  What could not be measured is None."""

    ok: bool
    warnings: list[str]  # why not, if it cannot be used
    duration_s: float | None  # of the recording; what lies beyond the longest allowed is not counted
    level_dbfs: float | None  # root mean square of the speech
    speech_s: float | None  # from its first sound to its last

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def judge(file: Upload, transcript: str, max_bytes: int, voices: object) -> Verdict:
    """Everything an upload would be refused or warned for, without making a voice.

    `voices` are the engine's: if they can prepare a recording, they are asked too.  Blocks.  Raises ParameterError
    for a transcript that will not do.
    """
    limits = VoiceLimits(max_bytes=max_bytes)
    try:
        recording = admit(file.data, transcript, limits, filename=file.filename, content_type=file.media_type)
        warnings = [*recording.warnings, *_preparing(InlineVoice(recording.readable, recording.transcript), voices)]
        return Verdict(True, warnings, *_measures(file, limits))
    except AudioError as error:
        return Verdict(False, [str(error)], *_measures(file, limits))


def _preparing(recording: InlineVoice, voices: object) -> tuple[str, ...]:
    return tuple(voices.prepare(recording).info.warnings) if isinstance(voices, Preparer) else ()


def _measures(file: Upload, limits: VoiceLimits) -> tuple[float | None, float | None, float | None]:
    """Duration in s, level in dBFS, speech in s."""
    if len(file.data) > limits.max_bytes:
        return None, None, None
    try:
        samples, rate_hz = load_audio(decode_hint(file.data, file.filename, file.media_type), max_s=limits.max_s + 1.0)
    except AudioError:
        return None, None, None
    speech = _speech(samples, rate_hz)
    level = dbfs(speech if len(speech) else samples)
    told = max(SILENCE_DBFS, level) if math.isfinite(level) else SILENCE_DBFS
    return round(len(samples) / rate_hz, 3), round(told, 1), round(len(speech) / rate_hz, 3)


def _speech(samples: Samples, rate_hz: int) -> Samples:
    try:
        return trim_silence(samples, rate_hz)[0]
    except AudioError:  # nothing but silence
        return samples[:0]

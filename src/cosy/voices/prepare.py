"""From a recording to a voice: the checks, and the three networks' view of the same few seconds.

Everything that depends only on the voice happens here, once; what is merely unfavourable is reported in the
voice's warnings.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np
import torch
from torch import Tensor

from cosy.audio.constants import (
    FRAMES_PER_TOKEN,
    FRONT_END_RATE_HZ,
    MAX_PROMPT_S,
    MIN_PROMPT_S,
    SAMPLE_RATE_HZ,
    TOKEN_RATE_HZ,
)
from cosy.audio.features import log_mel_16k, mel_spectrogram, speaker_features
from cosy.audio.io import load_audio
from cosy.audio.resample import resample
from cosy.audio.silence import clipped_share, dbfs, peak, trim_silence
from cosy.errors import AudioError
from cosy.text.unicode import letters
from cosy.types import Samples
from cosy.voices.assembly import align_prompt
from cosy.voices.voice import Voice, VoiceInfo, check_name

if TYPE_CHECKING:
    from cosy.checkpoint.load import LoadedModel

Recording = str | os.PathLike[str] | bytes | BinaryIO | tuple[Samples, int]
"""A path, the bytes of a file, a binary file object, or mono samples (n,) in [-1, 1] and their rate in Hz."""

MIN_SPEECH_S = 1.5  # of a recording of 3 s or more
MOST_DECODED_S = 10 * 60.0  # what follows is not looked at
QUIET_DBFS = -40.0
MAX_CLIPPED_SHARE = 1e-3  # of all samples
MIN_LETTERS_PER_S, MAX_LETTERS_PER_S = 4.0, 30.0
CUT_S, PAUSE_S = 3.0, 0.05  # too long a recording is cut in the quietest such pause of its last seconds


def prepare_voice(
    recording: Recording,
    transcript: str,
    model: LoadedModel,
    *,
    name: str,
    trim: bool = True,
    normalise: Callable[[str], str] | None = None,
    min_s: float = MIN_PROMPT_S,
) -> Voice:
    """Make a voice of 3 to 30 s of one speaker; `transcript` says what is spoken, empty if it is not known.

    Shorter recordings are refused, or from `min_s` on accepted with a warning.  Silence at the ends is cut if `trim`,
    and everything after 30 s.  `normalise` turns the transcript into the text that the language model reads (None: as
    it is).  Without a transcript the voice can be cloned but not continued (cross-lingual mode).

    Raises AudioError for a recording that cannot be used, VoiceError for a name that is not allowed.
    """
    check_name(name)
    wave, rate_hz, digest = _read(recording)
    warnings: list[str] = []
    _require_length(wave, rate_hz, min_s, warnings)
    if trim:
        wave = _trimmed(wave, rate_hz, min_s)
    wave = _limit(wave, rate_hz, warnings)
    _check_sound(wave, warnings)
    _check_transcript(transcript, len(wave) / rate_hz, warnings)
    features = extract(wave, rate_hz, model)
    info = VoiceInfo(
        name=name,
        transcript=transcript,
        prompt_text=normalise(transcript) if normalise else transcript.strip(),
        duration_s=len(features.tokens) / TOKEN_RATE_HZ,
        sample_rate_hz=rate_hz,
        sha256=digest,
        created_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        warnings=tuple(warnings),
    )
    return Voice(info, features.tokens, features.mel, features.embedding)


class PromptFeatures(NamedTuple):
    """The three networks' view of a recording."""

    tokens: Tensor  # (k,) int64
    mel: Tensor  # (2k, 80) float32
    embedding: Tensor  # (192,) float32


def extract(wave: Samples, rate_hz: int, model: LoadedModel) -> PromptFeatures:
    """Tokens, mel and speaker vector of mono samples (n,), tokens and mel cut to the 2:1 ratio."""
    signal = torch.from_numpy(wave)[None]
    low = resample(signal, rate_hz, FRONT_END_RATE_HZ)  # each from the original rate, not one from the other
    mel = mel_spectrogram(resample(signal, rate_hz, SAMPLE_RATE_HZ))[0].mT  # (1, 80, F) -> (F, 80)
    tokens = model.speech_tokenizer(log_mel_16k(low))
    k = align_prompt(len(mel), len(tokens))
    embedding = model.speaker_encoder(speaker_features(low))
    return PromptFeatures(tokens[:k], mel[: k * FRAMES_PER_TOKEN].contiguous(), embedding)


def _read(recording: Recording) -> tuple[Samples, int, str]:
    """Mono samples, their rate, and the SHA-256 of what was given."""
    if isinstance(recording, tuple):
        wave, rate_hz = recording
        return _checked(wave, rate_hz), rate_hz, hashlib.sha256(wave.tobytes()).hexdigest()
    if not isinstance(recording, (str, os.PathLike, bytes)):
        recording = recording.read()
    wave, rate_hz = load_audio(recording, min_rate_hz=FRONT_END_RATE_HZ, max_s=MOST_DECODED_S)
    data = recording if isinstance(recording, bytes) else Path(recording).read_bytes()
    return wave, rate_hz, hashlib.sha256(data).hexdigest()


def _checked(wave: Samples, rate_hz: int) -> Samples:
    """Samples from a caller's array."""
    if rate_hz < FRONT_END_RATE_HZ:
        raise AudioError(f"the samples have a rate of {rate_hz} Hz, at least {FRONT_END_RATE_HZ} Hz is needed")
    if wave.ndim != 1 or not np.issubdtype(wave.dtype, np.floating):
        raise AudioError(
            f"samples must be mono floats in [-1, 1], got {wave.dtype} of shape {wave.shape}; "
            "average the channels and divide by full scale"
        )
    if not np.isfinite(wave).all():
        raise AudioError("the samples hold NaN or infinity")
    return np.ascontiguousarray(wave, dtype=np.float32)


def _require_length(wave: Samples, rate_hz: int, min_s: float, warnings: list[str]) -> None:
    """AudioError for one that is too short, silence at its ends included: people judge by what a player shows."""
    seconds = len(wave) / rate_hz
    if seconds < min_s:
        raise AudioError(
            f"the recording is {seconds:.1f} s long, {min_s:.0f} to {MAX_PROMPT_S:.0f} s are needed; "
            "record a longer sentence"
        )
    if seconds < MIN_PROMPT_S:
        warnings.append(f"the recording is only {seconds:.1f} s long; from {MIN_PROMPT_S:.0f} s on voices sound closer")


def _trimmed(wave: Samples, rate_hz: int, min_s: float) -> Samples:
    """Without the silence at the ends.  AudioError if hardly any speech remains."""
    speech, _, _ = trim_silence(wave, rate_hz)
    seconds, needed = len(speech) / rate_hz, min(MIN_SPEECH_S, min_s / 2)
    if seconds < needed:
        raise AudioError(
            f"the recording is {len(wave) / rate_hz:.1f} s long but holds only {seconds:.1f} s of speech, at least "
            f"{needed:g} s are needed; record a longer sentence"
        )
    return speech


def _limit(wave: Samples, rate_hz: int, warnings: list[str]) -> Samples:
    """At most 30 s of it, cut in a pause."""
    seconds = len(wave) / rate_hz
    if seconds <= MAX_PROMPT_S:
        return wave
    cut = _pause(wave, rate_hz)
    warnings.append(
        f"the recording has {seconds:.1f} s, only its first {cut / rate_hz:.1f} s are used; "
        "the transcript must end there too"
    )
    return wave[:cut]


def _pause(wave: Samples, rate_hz: int) -> int:
    """Middle of the quietest stretch of 50 ms in the last 3 s before the longest length allowed."""
    width = round(PAUSE_S * rate_hz)
    end = round(MAX_PROMPT_S * rate_hz)
    start = end - round(CUT_S * rate_hz)
    energy = np.cumsum(np.square(wave[start:end], dtype=np.float64))
    return start + int(np.argmin(energy[width:] - energy[:-width])) + width // 2


def _check_sound(wave: Samples, warnings: list[str]) -> None:
    level, clipped = dbfs(wave), clipped_share(wave)
    if level < QUIET_DBFS:
        warnings.append(
            f"the recording is very quiet: {level:.0f} dBFS, its peak {peak(wave):.3f}; the voice will be noisy"
        )
    if clipped > MAX_CLIPPED_SHARE:
        warnings.append(f"{100 * clipped:.1f} % of the samples are clipped; record it again with less gain")


def _check_transcript(transcript: str, seconds: float, warnings: list[str]) -> None:
    if not transcript.strip():
        return
    rate = letters(transcript) / seconds
    if not MIN_LETTERS_PER_S <= rate <= MAX_LETTERS_PER_S:
        amount = "little" if rate < MIN_LETTERS_PER_S else "much"
        warnings.append(
            f"the transcript is very {amount} for {seconds:.1f} s of speech; it must be word for word what is spoken"
        )

"""Pseudo-speakers and speaking styles: one engine's voice becomes many by WORLD analysis and re-synthesis.

A speaker has a pitch, a vocal tract (formants), a range of intonation and a tempo of its own; a style changes the same
things for one utterance, and the breath of the voice.  Morise et al. 2016; pyworld.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import soxr

from cosy.dependencies import optional
from cosy.errors import ParameterError
from cosy.train.data.espeak import EspeakVoice
from cosy.train.data.teachers import Span, Utterance

MAX_RATE_HZ = 24_000  # faster engines are brought down first: WORLD's cost grows with the rate
FRAME_MS = 5.0


@dataclass(frozen=True)
class Voice:
    """A pseudo-speaker: a teacher of `teachers.TEACHERS`, or espeak-ng with settings, and what WORLD changes in it."""

    name: str
    teacher: str | EspeakVoice
    pitch: float = 1.0  # factor of F0
    formants: float = 1.0  # factor of the formants' frequencies
    intonation: float = 1.0  # factor of the deviation of log F0 from its mean
    tempo: float = 1.0  # factor of the speaking rate


@dataclass(frozen=True)
class Style:
    """A way of speaking, relative to the speaker's own."""

    pitch: float = 1.0
    intonation: float = 1.0
    tempo: float = 1.0
    tilt_db: float = 0.0  # per octave around 1 kHz: effort brightens a voice
    level_db: float = 0.0
    whispered: bool = False


STYLES: dict[str, Style] = {
    "": Style(),
    "slow": Style(tempo=0.72),
    "fast": Style(tempo=1.38),
    "high": Style(pitch=1.28),
    "low": Style(pitch=0.78),
    "whisper": Style(whispered=True, tilt_db=1.5, level_db=-6.0),
    "soft": Style(pitch=0.96, intonation=0.8, tilt_db=-2.5, level_db=-9.0),
    "loud": Style(pitch=1.1, intonation=1.15, tilt_db=2.0, level_db=5.0),
    "cheerful": Style(pitch=1.15, intonation=1.6, tempo=1.1, tilt_db=0.8),
    "sad": Style(pitch=0.92, intonation=0.5, tempo=0.84, tilt_db=-1.0),
}
LEVELS_DB = {name: style.level_db for name, style in STYLES.items()}


def spoken_by(voice: Voice, utterance: Utterance, style: str = "") -> Utterance:
    """What the voice makes of its teacher's utterance in a style of `STYLES`; spans follow the tempo.

    Raises ParameterError for an unknown style, MissingDependencyError without the `train` extra.
    """
    if style not in STYLES:
        raise ParameterError(f"unknown style {style!r}; known: {', '.join(map(repr, STYLES))}")
    manner = STYLES[style]
    tempo = voice.tempo * manner.tempo
    named = replace(utterance, speaker=voice.name, style=style)
    plain = voice.formants == voice.pitch == voice.intonation == tempo == 1.0
    if plain and style == "":
        return named
    rate_hz = min(utterance.rate_hz, MAX_RATE_HZ)
    audio = utterance.audio.astype(np.float64)
    if rate_hz != utterance.rate_hz:
        audio = soxr.resample(audio, utterance.rate_hz, rate_hz)
    return replace(
        named,
        audio=_resynthesised(audio, rate_hz, voice, manner, tempo),
        rate_hz=rate_hz,
        phones=_scaled(utterance.phones, tempo),
        words=_scaled(utterance.words, tempo),
    )


def _scaled(spans: Sequence[Span], tempo: float) -> tuple[Span, ...]:
    return tuple(Span(s.label, s.start_s / tempo, s.end_s / tempo) for s in spans)


def _resynthesised(audio: np.ndarray, rate_hz: int, voice: Voice, style: Style, tempo: float) -> np.ndarray:
    world: Any = optional("pyworld", "train")
    coarse, times = world.dio(audio, rate_hz, frame_period=FRAME_MS)
    f0 = world.stonemask(audio, coarse, times, rate_hz)
    envelope = world.cheaptrick(audio, f0, times, rate_hz)
    aperiodicity = world.d4c(audio, f0, times, rate_hz)
    envelope, aperiodicity = _warped(envelope, voice.formants), _warped(aperiodicity, voice.formants)
    if style.tilt_db:
        frequency = np.linspace(0, rate_hz / 2, envelope.shape[1])
        octaves = np.log2(np.clip(frequency, 200.0, 8000.0) / 1000.0)
        envelope = envelope * 10 ** (style.tilt_db * octaves / 10)
    f0 = np.zeros_like(f0) if style.whispered else _intoned(f0, voice, style)
    wave = world.synthesize(f0, envelope, aperiodicity, rate_hz, FRAME_MS / tempo)
    return np.asarray(wave, dtype=np.float32)


def _intoned(f0: np.ndarray, voice: Voice, style: Style) -> np.ndarray:
    voiced = f0 > 0
    if not voiced.any():
        return f0
    logs = np.log(f0[voiced])
    middle = logs.mean()
    bent = f0.copy()
    bent[voiced] = np.exp(middle + (logs - middle) * voice.intonation * style.intonation) * voice.pitch * style.pitch
    return bent


def _warped(frames: np.ndarray, factor: float) -> np.ndarray:
    """Spectra (frames, bins) with every frequency multiplied by `factor`; the last bin continues."""
    if factor == 1.0:
        return frames
    bins = frames.shape[1]
    source = np.minimum(np.arange(bins) / factor, bins - 1)
    left = source.astype(int)
    right = np.minimum(left + 1, bins - 1)
    share = source - left
    return np.ascontiguousarray(frames[:, left] * (1 - share) + frames[:, right] * share)

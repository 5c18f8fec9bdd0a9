"""The request and what comes back: the vocabulary shared by the engine, the server and the CLI.

Standard library and numpy only, so that importing it costs nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cosy.errors import ParameterError

if TYPE_CHECKING:
    Samples = npt.NDArray[np.float32]
else:
    Samples = np.ndarray

MIN_SPEED, MAX_SPEED = 0.25, 4.0
MIN_PITCH, MAX_PITCH = 0.5, 2.0
MIN_GAIN_DB, MAX_GAIN_DB = -100.0, 20.0  # the lowest is silence


class Mode(str, Enum):
    """How the voice conditions the language model (spec/lm.md section 4)."""

    ZERO_SHOT = "zero_shot"
    CROSS_LINGUAL = "cross_lingual"
    INSTRUCT = "instruct"
    SFT = "sft"


class FinishReason(str, Enum):
    """Why a segment ended."""

    STOP = "stop"  # the model ended the utterance
    LENGTH = "length"  # the length limit was reached
    EARLY_STOP = "early_stop"  # the model ended it, but far too soon for its text
    REPETITION = "repetition"  # the model went round in a loop and was stopped
    SILENCE = "silence"  # the model went on with nothing but silence and was stopped
    ABORTED = "aborted"


@dataclass(frozen=True)
class Sampling:
    """Repetition-aware sampling (spec/lm.md section 6); the defaults are the official values."""

    top_p: float = 0.8
    top_k: int = 25
    window: int = 10  # history tokens looked at
    tau: float = 0.1  # repetitions per window token that trigger the second draw

    def __post_init__(self) -> None:
        if not 0.0 < self.top_p <= 1.0:
            raise ParameterError(f"top_p must be in (0, 1], got {self.top_p}")
        if self.top_k < 1:
            raise ParameterError(f"top_k must be at least 1, got {self.top_k}")
        if self.window < 0:
            raise ParameterError(f"window must not be negative, got {self.window}")
        if self.tau < 0:
            raise ParameterError(f"tau must not be negative, got {self.tau}")


@dataclass(frozen=True)
class InlineVoice:
    """Reference audio that travels with the request instead of a registered voice."""

    audio: bytes  # an encoded file: wav, mp3, flac, ogg, m4a, webm
    transcript: str = ""


@dataclass(frozen=True)
class SpeechRequest:
    """One request for speech, whatever dialect it came in.

    Raises ParameterError for values out of range; text and voice are checked where they are used.
    """

    text: str | AsyncIterator[str]
    voice: str | InlineVoice | None = None  # None: the model's first preset
    mode: Mode | None = None  # None: what the voice and the instruction suggest
    instruction: str = ""
    language: str = ""  # a hint such as "en", "zh", "ja"; empty: detected
    speed: float = 1.0  # 0.25 .. 4.0, tempo without pitch; 0.5 .. 2.0 sounds natural
    pitch: float = 1.0  # 0.5 .. 2.0, factor of every frequency, tempo kept; made on the way out, see audio.output
    gain_db: float = 0.0
    sample_rate_hz: int | None = None  # None: the model rate
    format: str = "wav"
    bit_rate_bps: int | None = None
    seed: int | None = None  # None: drawn by the engine and reported back
    sampling: Sampling | None = None  # None: as the model directory says
    normalise: bool = True
    stream: bool = True
    deadline_s: float | None = None  # seconds from submission to first audio
    retries: int = 0  # times a segment that went wrong is said again with other chance, before it is heard

    def __post_init__(self) -> None:
        if not MIN_SPEED <= self.speed <= MAX_SPEED:
            raise ParameterError(f"speed must be between {MIN_SPEED} and {MAX_SPEED}, got {self.speed}")
        if not MIN_PITCH <= self.pitch <= MAX_PITCH:
            raise ParameterError(f"pitch must be between {MIN_PITCH} and {MAX_PITCH}, got {self.pitch}")
        if not MIN_GAIN_DB <= self.gain_db <= MAX_GAIN_DB:
            raise ParameterError(f"gain_db must be between {MIN_GAIN_DB} and {MAX_GAIN_DB}, got {self.gain_db}")
        if self.retries < 0:
            raise ParameterError(f"retries must not be negative, got {self.retries}")
        if self.seed is not None and not 0 <= self.seed < 2**63:
            raise ParameterError(f"seed must be between 0 and 2**63 - 1, got {self.seed}")


@dataclass(frozen=True)
class AudioChunk:
    """A stretch of finished audio: mono float32 in [-1, 1] at the model rate."""

    samples: Samples  # (n,)
    rate_hz: int
    offset_samples: int  # position of samples[0] in the whole request
    segment: int  # index of the text segment it belongs to
    text: str = ""  # the segment's text, on its first chunk
    finish_reason: FinishReason | None = None  # on the last chunk of a segment
    timings_s: dict[str, float] = field(default_factory=dict)  # stage -> seconds of computing
    details: dict[str, Any] = field(default_factory=dict)  # token counts and the seed, for logs and tests

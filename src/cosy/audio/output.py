"""From the engine's samples to the bytes a client gets: one chain for every surface, one instance per request.

    gain -> soft clipping -> pitch and sample rate, one resampler -> encoder

Everything is incremental and causal: the bytes do not depend on how the samples were cut into chunks (Ogg
pages of Opus aside, which carry a random serial number).  Resampling holds back about 40 ms, twice that
towards the lowest rates; without it nothing is held back but what a codec needs for a frame.

Pitch is half the engine's work: it speaks at `speed / pitch`, and playing that `pitch` times as fast moves
every frequency and restores the tempo.  `engine_request` makes the first half, the chain the second.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import soxr

from cosy.audio.constants import SAMPLE_RATE_HZ
from cosy.audio.encode import (
    FORMATS,
    MP3_RATES_HZ,
    OPUS_RATE_HZ,
    OPUS_RATES_HZ,
    StreamEncoder,
    encoder,
    find_format,
    to_int16,
    wav_header,
)
from cosy.audio.label import label
from cosy.errors import EngineError, ParameterError
from cosy.types import MAX_SPEED, MIN_GAIN_DB, MIN_SPEED, Samples, SpeechRequest

__all__ = [
    "RATES_HZ",
    "OutputChain",
    "encode_whole",
    "engine_request",
    "label",
    "media_type",
    "sample_rate",
    "soft_clip",
]

Header = Literal["unknown", "known"]

RATES_HZ = MP3_RATES_HZ  # 8000 .. 48000; what every surface offers between them, and every format can carry
KNEE = np.float32(10 ** (-1 / 20))  # -1 dBFS: below it `soft_clip` changes nothing
_ROOM = np.float32(1) - KNEE
_FAR = np.float32(1e6)  # so many rooms above the knee is full scale, and its square is still a float32


class OutputChain:
    """Post-processing and encoding of one request, from its first chunk to its last.

    `header` "unknown" streams: a WAV starts at once with the size convention for streams.  "known" is for
    answers sent whole: a WAV comes from `finish` alone, with its true sizes; other formats do not differ.

    Raises ParameterError for a format, sample rate or bit rate that is not offered.
    """

    def __init__(self, request: SpeechRequest, model_rate_hz: int = SAMPLE_RATE_HZ, header: Header = "unknown") -> None:
        coded_hz = _coded_rate(request.format, sample_rate(request, model_rate_hz))
        self.rate_hz = OPUS_RATE_HZ if find_format(request.format) is FORMATS["opus"] else coded_hz
        self.media_type = media_type(request.format)
        self._played_hz = model_rate_hz * request.pitch  # the rate at which the engine's samples are played
        self._gain = _gain(request.gain_db)
        self._resampler = _resampler(self._played_hz, coded_hz)
        self._encoder = _encoder(request, coded_hz, header)
        self._pushed = 0

    @property
    def seconds_pushed(self) -> float:
        """Seconds of speech, as they will be heard, that went in so far."""
        return self._pushed / self._played_hz

    def push(self, samples: Samples) -> bytes:
        """The bytes that are ready after these samples (n,) at the model rate; possibly none yet.

        Raises EngineError if they hold NaN or infinity.
        """
        samples = np.asarray(samples, dtype=np.float32)
        if not np.isfinite(samples).all():
            raise EngineError("the engine made samples that are NaN or infinite; its model is damaged")
        self._pushed += len(samples)
        samples = soft_clip(samples if self._gain == 1 else samples * self._gain)
        return self._encoder.push(samples if self._resampler is None else self._resampler.resample_chunk(samples))

    def finish(self) -> bytes:
        """The remaining bytes.  The chain is spent afterwards."""
        if self._resampler is None:
            return self._encoder.finish()
        rest = self._resampler.resample_chunk(np.zeros(0, dtype=np.float32), last=True)
        return self._encoder.push(rest) + self._encoder.finish()


def encode_whole(samples: Samples, request: SpeechRequest, model_rate_hz: int = SAMPLE_RATE_HZ) -> bytes:
    """The complete file of all samples (n,) of a request; a WAV states its true length.  Raises as OutputChain."""
    chain = OutputChain(request, model_rate_hz, "known")
    return chain.push(samples) + chain.finish()


def engine_request(request: SpeechRequest) -> SpeechRequest:
    """The request as the engine must be given it: `speed / pitch` in place of speed, and no pitch.

    Raises ParameterError if that quotient is beyond what the engine can do, 0.25 to 4.
    """
    speed = request.speed / request.pitch
    if not MIN_SPEED <= speed <= MAX_SPEED:
        raise ParameterError(
            f"speed {request.speed} cannot be had with pitch {request.pitch}: speed divided by pitch must be "
            f"between {MIN_SPEED} and {MAX_SPEED}, and is {speed:.3g}; bring one nearer to 1"
        )
    return replace(request, speed=speed, pitch=1.0)


def sample_rate(request: SpeechRequest, model_rate_hz: int = SAMPLE_RATE_HZ) -> int:
    """The sample rate asked for, in Hz.  Raises ParameterError, listing the choices, if it is not offered."""
    rate_hz = model_rate_hz if request.sample_rate_hz is None else request.sample_rate_hz
    if rate_hz not in (*RATES_HZ, model_rate_hz):
        raise ParameterError(f"sample rate {rate_hz} Hz is not offered; choose one of {', '.join(map(str, RATES_HZ))}")
    return rate_hz


def media_type(format: str) -> str:
    """The MIME type of a format's bytes.  Raises ParameterError for an unknown format."""
    return find_format(format).media_type


def soft_clip(samples: Samples) -> Samples:
    """Samples (n,) bent smoothly into [-1, 1]; below -1 dBFS they come out bit for bit.

    The curve u / sqrt(1 + u * u) leaves the straight line with its slope and without curvature, so
    nothing clicks where a sample crosses the knee, and no sample depends on another.
    """
    level = np.abs(samples)
    if not len(samples) or level.max() <= KNEE:
        return samples
    u = np.minimum((level - KNEE) / _ROOM, _FAR)
    bent = np.minimum(KNEE + _ROOM * (u / np.sqrt(1 + u * u)), np.float32(1))
    clipped: Samples = np.where(level > KNEE, np.copysign(bent, samples), samples)
    return clipped


def _gain(gain_db: float) -> np.float32:
    return np.float32(0 if gain_db <= MIN_GAIN_DB else 10 ** (gain_db / 20))


def _coded_rate(format: str, rate_hz: int) -> int:
    """The rate an encoder is given: Opus knows only some, and the next higher one loses nothing."""
    if find_format(format) is not FORMATS["opus"]:
        return rate_hz
    return min((each for each in OPUS_RATES_HZ if each >= rate_hz), default=OPUS_RATE_HZ)


def _resampler(from_hz: float, to_hz: int) -> soxr.ResampleStream | None:
    return None if from_hz == to_hz else soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32")


def _encoder(request: SpeechRequest, rate_hz: int, header: Header) -> StreamEncoder:
    made = encoder(request.format, rate_hz, request.bit_rate_bps)
    is_wav = find_format(request.format) is FORMATS["wav"]
    return WavFileEncoder(rate_hz) if is_wav and header == "known" else made


class WavFileEncoder:
    """Collects everything, for the head of a WAV file states its length."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._parts: list[npt.NDArray[np.int16]] = []

    def push(self, samples: Samples) -> bytes:
        self._parts.append(to_int16(samples))
        return b""

    def finish(self) -> bytes:
        data = b"".join(part.tobytes() for part in self._parts)
        return wav_header(self._rate_hz, len(data)) + data

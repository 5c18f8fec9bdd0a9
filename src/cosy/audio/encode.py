"""Encoding float samples into audio formats, whole or as they are made.

One encoder serves one response from its first chunk to its last: a fresh encoder per chunk would put
its own delay and padding at every seam.  All audio is mono.  Knows nothing of files, requests or
sample-rate policy; the formats' own limits (legal rates and bit rates) are here.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

import av
import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from cosy.errors import EngineError, ParameterError
from cosy.types import Samples

UNKNOWN_SIZE = 0xFFFFFFFF  # the size field of a WAV that is still being made: readers go on to its end


class StreamEncoder(Protocol):
    """Turns chunks of mono float32 samples in [-1, 1] into the bytes of one file."""

    def push(self, samples: Samples) -> bytes:
        """The bytes that are ready after these samples (n,); possibly none yet."""
        ...

    def finish(self) -> bytes:
        """The remaining bytes.  The encoder is spent afterwards."""
        ...


@dataclass(frozen=True)
class Format:
    """What is fixed about an audio format."""

    media_type: str
    suffixes: tuple[str, ...]
    make: Callable[[int, int | None], StreamEncoder]  # (rate in Hz, bit rate in bit/s or None)
    rates_hz: tuple[int, ...] = ()  # legal sample rates; empty: any


def encoder(format: str, rate_hz: int, bit_rate_bps: int | None = None) -> StreamEncoder:
    """An encoder of samples at `rate_hz` into wav, pcm, flac, mp3, opus (also called ogg) or aac.

    Every chunk leaves as soon as the codec allows: at once for wav and pcm, after a frame or two (20 to
    100 ms) for mp3, opus and aac.  A flac file states its length at its start, so it comes whole from
    `finish`.  A bit rate the codec does not have becomes the nearest it has; wav, pcm and flac have none.

    Raises ParameterError for an unknown format, or a sample rate the format cannot carry.
    """
    kind = find_format(format)
    if rate_hz < 1 or (kind.rates_hz and rate_hz not in kind.rates_hz):
        choices = ", ".join(map(str, kind.rates_hz)) or "a positive number"
        raise ParameterError(f"{format} cannot carry a sample rate of {rate_hz} Hz; choose {choices}")
    if bit_rate_bps is not None and bit_rate_bps < 1:
        raise ParameterError(f"bit rate must be positive, got {bit_rate_bps} bit/s")
    return kind.make(rate_hz, bit_rate_bps)


def encode(samples: Samples, format: str, rate_hz: int, bit_rate_bps: int | None = None) -> bytes:
    """A complete file of samples (n,) in any format of `encoder`; a WAV states its true length."""
    if find_format(format) is FORMATS["wav"]:
        data = to_int16(samples).tobytes()
        return wav_header(rate_hz, len(data)) + data
    stream = encoder(format, rate_hz, bit_rate_bps)
    return stream.push(samples) + stream.finish()


def find_format(name: str) -> Format:
    """The format of a name such as "mp3".  Raises ParameterError listing the choices."""
    wanted = name.lower()
    for key, kind in FORMATS.items():
        if wanted == key or f".{wanted}" in kind.suffixes:
            return kind
    raise ParameterError(f"unknown audio format {name!r}; choose one of {', '.join(FORMATS)}")


def to_int16(samples: Samples) -> npt.NDArray[np.int16]:
    """16-bit samples (n,), little-endian; what lies beyond full scale saturates instead of wrapping around.

    Raises ParameterError unless the array is one-dimensional, EngineError if it holds NaN or infinity.
    """
    samples = np.asarray(samples, dtype=np.float32)
    if samples.ndim != 1:
        raise ParameterError(f"samples must be one-dimensional (mono), got shape {samples.shape}")
    if not np.isfinite(samples).all():
        raise EngineError("the samples to encode hold NaN or infinity: the model that made them is damaged")
    scaled: Samples = np.rint(samples * np.float32(32768.0))
    return np.clip(scaled, -32768, 32767).astype("<i2")


def wav_header(rate_hz: int, data_bytes: int | None) -> bytes:
    """The 44 bytes before 16-bit mono samples; None for a length that is not known yet."""
    if data_bytes is None or data_bytes + 36 > UNKNOWN_SIZE:  # the fields have 32 bits: 24 hours at 24 kHz
        riff_size = data_size = UNKNOWN_SIZE
    else:
        riff_size, data_size = data_bytes + 36, data_bytes
    layout = struct.pack("<HHIIHH", 1, 1, rate_hz, 2 * rate_hz, 2, 16)  # PCM, mono, bytes/s, bytes/frame, bits
    return (
        struct.pack("<4sI4s", b"RIFF", riff_size, b"WAVE")
        + struct.pack("<4sI", b"fmt ", len(layout))
        + layout
        + struct.pack("<4sI", b"data", data_size)
    )


class PcmEncoder:
    """Signed 16-bit little-endian samples, after an optional header."""

    def __init__(self, header: bytes = b"") -> None:
        self._header = header

    def push(self, samples: Samples) -> bytes:
        header, self._header = self._header, b""
        return header + to_int16(samples).tobytes()

    def finish(self) -> bytes:
        header, self._header = self._header, b""
        return header


class FlacEncoder:
    """Collects everything: the head of a FLAC file states its length, and common readers insist on it."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._parts: list[npt.NDArray[np.int16]] = []

    def push(self, samples: Samples) -> bytes:
        self._parts.append(to_int16(samples))
        return b""

    def finish(self) -> bytes:
        file = io.BytesIO()
        samples = np.concatenate([np.zeros(0, dtype=np.int16), *self._parts])
        soundfile.write(file, samples, self._rate_hz, format="FLAC", subtype="PCM_16")
        return file.getvalue()


class _Sink:
    """The file a muxer writes to.  It cannot seek, so a muxer never goes back to patch its head."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        data = b"".join(self._parts)
        self._parts.clear()
        return data


class CodecEncoder:
    """A lossy codec in its container, every packet handed out at once."""

    def __init__(self, container: str, codec: str, rate_hz: int, bit_rate_bps: int, options: dict[str, str]) -> None:
        self._sink = _Sink()
        self._rate_hz = rate_hz
        self._container = av.open(self._sink, "w", format=container, options={"flush_packets": "1", **options})
        self._stream = cast(av.AudioStream, self._container.add_stream(codec, rate=rate_hz, layout="mono"))
        self._stream.bit_rate = bit_rate_bps
        self._position = 0

    def push(self, samples: Samples) -> bytes:
        if len(samples):
            frame = av.AudioFrame.from_ndarray(to_int16(samples)[None], format="s16", layout="mono")
            frame.sample_rate, frame.pts = self._rate_hz, self._position
            self._position += len(samples)
            self._container.mux(self._stream.encode(frame))
        return self._sink.take()

    def finish(self) -> bytes:
        self._container.mux(self._stream.encode(None))
        self._container.close()
        return self._sink.take()


class ResamplingEncoder:
    """Converts the rate before another encoder, for codecs that know only a few rates."""

    def __init__(self, inner: StreamEncoder, from_hz: int, to_hz: int) -> None:
        self._inner = inner
        self._resampler = soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32")

    def push(self, samples: Samples) -> bytes:
        return self._inner.push(self._resampler.resample_chunk(np.asarray(samples, dtype=np.float32)))

    def finish(self) -> bytes:
        rest = self._resampler.resample_chunk(np.zeros(0, dtype=np.float32), last=True)
        return self._inner.push(rest) + self._inner.finish()


MPEG1_KBPS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)  # layer III, 32 kHz and above
MPEG2_KBPS = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)  # 16 to 24 kHz
MPEG25_KBPS = (8, 16, 24, 32, 40, 48, 56, 64)  # below 16 kHz
MP3_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
AAC_RATES_HZ = (7350, *MP3_RATES_HZ, 64000, 88200, 96000)
OPUS_RATES_HZ = (8000, 12000, 16000, 24000, 48000)
OPUS_RATE_HZ = 48_000  # Opus always decodes at this rate


def _mp3(rate_hz: int, bit_rate_bps: int | None) -> StreamEncoder:
    table = MPEG1_KBPS if rate_hz >= 32_000 else MPEG2_KBPS if rate_hz >= 16_000 else MPEG25_KBPS
    wanted = bit_rate_bps or 96_000
    bit_rate = min((1000 * kbps for kbps in table), key=lambda legal: abs(legal - wanted))
    # Without tags the first bytes are a frame, so that whole answers can be joined end to end.
    return CodecEncoder("mp3", "libmp3lame", rate_hz, bit_rate, {"id3v2_version": "0", "write_xing": "0"})


def _opus(rate_hz: int, bit_rate_bps: int | None) -> StreamEncoder:
    bit_rate = min(max(bit_rate_bps or 48_000, 6_000), 256_000)
    # The default page of a second would hold back the first second of speech.
    coded_hz = rate_hz if rate_hz in OPUS_RATES_HZ else OPUS_RATE_HZ
    coder = CodecEncoder("ogg", "libopus", coded_hz, bit_rate, {"page_duration": "20000"})
    return coder if coded_hz == rate_hz else ResamplingEncoder(coder, rate_hz, coded_hz)


def _aac(rate_hz: int, bit_rate_bps: int | None) -> StreamEncoder:
    most = 6144 * rate_hz // 1024  # a channel has 6144 bits for every frame of 1024 samples
    return CodecEncoder("adts", "aac", rate_hz, min(max(bit_rate_bps or 64_000, 8_000), most), {})


FORMATS: dict[str, Format] = {
    "wav": Format("audio/wav", (".wav",), lambda rate_hz, _: PcmEncoder(wav_header(rate_hz, None))),
    "pcm": Format("audio/pcm", (".pcm",), lambda *_: PcmEncoder()),
    "flac": Format("audio/flac", (".flac",), lambda rate_hz, _: FlacEncoder(rate_hz)),
    "mp3": Format("audio/mpeg", (".mp3",), _mp3, MP3_RATES_HZ),
    "opus": Format("audio/opus", (".opus", ".ogg"), _opus),
    "aac": Format("audio/aac", (".aac",), _aac, AAC_RATES_HZ),
}

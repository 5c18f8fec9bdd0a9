"""Reading whatever audio people have, and writing audio files.

What a file is follows from its content, never from its name or a declared type: soundfile reads WAV,
FLAC, Ogg and MP3; everything else (M4A, WebM, AAC, the sound track of a video) goes through FFmpeg.
Samples are not resampled, dithered or normalised; channels are averaged.  Knows nothing of prompts:
callers state their own limits.
"""

from __future__ import annotations

import io
import struct
from os import PathLike
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
import soundfile

from cosy.audio.encode import FORMATS, encode
from cosy.errors import AudioError, ParameterError
from cosy.types import Samples

Source = str | PathLike[str] | bytes | BinaryIO

MAX_RATE_HZ = 384_000  # above it a header is damaged or hostile
CONVERT = "convert it to WAV or FLAC and try again"
BLOCK = 1 << 20  # frames decoded at once
LENGTH_SLACK_S = 0.2  # codecs' priming and padding: a header may announce that much more than there is
UNKNOWN_FRAMES = 2**63 - 1
STREAM_SIZE = 0x7FFF0000  # writers to a pipe put a size from here on into a WAV, not knowing the true one

# FFmpeg also knows playlists, which make it open other files and addresses: only plain containers are let in.
CONTAINERS = "mov,matroska,aac,mp3,ogg,flac,wav,w64,aiff,caf,au,amr,asf,avi,flv,mpeg,mpegts,ac3,eac3"


def load_audio(source: Source, *, min_rate_hz: int = 0, max_s: float | None = None) -> tuple[Samples, int]:
    """Decode a path, the bytes of a file, or a binary file object.

    Returns mono samples (n,) as float32, nominally within [-1, 1], and the sample rate in Hz.  With `max_s`
    decoding stops after that many seconds, which bounds the memory a small upload can claim.

    Raises AudioError, naming the file and the remedy, if it is missing, empty, not audio, truncated or
    damaged, holds no samples or invalid ones, or has a rate below `min_rate_hz`.
    """
    data, name = _read(source)
    if not data:
        raise AudioError(f"{name} is empty: 0 bytes; record or upload it again")
    _refuse_truncated_wav(data, name)
    file = _open_with_soundfile(data)
    if file is None:
        channels, rate_hz = _decode_with_ffmpeg(data, name, min_rate_hz, max_s)
    else:
        with file:
            channels, rate_hz = _decode_with_soundfile(file, name, min_rate_hz, max_s)
    if channels.shape[1] == 0:
        raise AudioError(f"{name} holds no audio: its length is zero; record or upload it again")
    if not np.isfinite(channels).all():
        raise AudioError(f"{name} holds samples that are not numbers (NaN or infinity); export it again as 16-bit WAV")
    return channels.mean(axis=0, dtype=np.float32), rate_hz


def stated_seconds(path: str | PathLike[str]) -> float:
    """Length of an audio file as its header states it, without decoding; 0 where it states none or cannot be read."""
    try:
        info = soundfile.info(path)
        if info.frames != UNKNOWN_FRAMES:
            return float(info.duration)
    except (soundfile.SoundFileError, OSError):
        pass
    try:
        with av.open(Path(path), options={"format_whitelist": CONTAINERS}) as container:
            return (container.duration or 0) / av.time_base
    except (av.error.FFmpegError, OSError):
        return 0.0


def save_audio(path: str | PathLike[str], wave: Samples, rate_hz: int, format: str | None = None) -> None:
    """Write mono samples (n,) in [-1, 1]; the format follows the file's extension unless it is named.

    WAV and FLAC hold 16 bits per sample; `.ogg` and `.opus` hold Opus.  Raises ParameterError for an unknown
    format or extension, a rate the format cannot carry, or a folder that does not exist.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise ParameterError(f"cannot write {path}: the folder {path.parent} does not exist; create it first")
    suffixes = [suffix for kind in FORMATS.values() for suffix in kind.suffixes]
    if format is None and path.suffix.lower() not in suffixes:
        raise ParameterError(
            f"cannot tell the audio format of {path} from its extension; use one of {', '.join(suffixes)}"
        )
    path.write_bytes(encode(wave, format or path.suffix[1:], rate_hz))


def _read(source: Source) -> tuple[bytes, str]:
    """The bytes of a source, and what to call it in a message."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        return bytes(source), "the audio data"
    if isinstance(source, (str, PathLike)):
        try:
            return Path(source).read_bytes(), str(source)
        except FileNotFoundError:
            raise AudioError(f"audio file {source} does not exist; check the path") from None
        except OSError as error:
            raise AudioError(f"audio file {source} cannot be read: {error.strerror}; check the path") from error
    return source.read(), str(getattr(source, "name", "the audio data"))


class _Memory(io.BytesIO):
    """Bytes as a file for libsndfile, which seeks before the start of damaged files: an exception would be lost."""

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return super().seek(max(offset, 0) if whence == io.SEEK_SET else offset, whence)


def _check_rate(rate_hz: int, name: str, min_rate_hz: int) -> None:
    if rate_hz < min_rate_hz:
        raise AudioError(
            f"{name} has a sample rate of {rate_hz} Hz, at least {min_rate_hz} Hz is needed; "
            "use a better recording (raising the rate of this one adds nothing)"
        )
    if rate_hz > MAX_RATE_HZ:
        raise AudioError(f"{name} claims a sample rate of {rate_hz} Hz; at most {MAX_RATE_HZ} Hz is read: {CONVERT}")


def _truncated(name: str) -> AudioError:
    return AudioError(f"{name} is truncated: it ends before the audio it announces; copy or upload it again")


def _open_with_soundfile(data: bytes) -> soundfile.SoundFile | None:
    """None for a format it does not know, or a FLAC from a pipe: it cannot read one without a stated length."""
    try:
        file = soundfile.SoundFile(_Memory(data))
    except soundfile.LibsndfileError:
        return None
    if file.frames == UNKNOWN_FRAMES:
        file.close()
        return None
    return file


def _decode_with_soundfile(
    file: soundfile.SoundFile, name: str, min_rate_hz: int, max_s: float | None
) -> tuple[Samples, int]:
    """All channels (channels, n) and the rate."""
    rate_hz = int(file.samplerate)
    _check_rate(rate_hz, name, min_rate_hz)
    limit = file.frames if max_s is None else min(file.frames, round(max_s * rate_hz))
    blocks: list[Samples] = [np.zeros((0, file.channels), dtype=np.float32)]
    left = limit
    try:
        while left and len(block := file.read(min(left, BLOCK), dtype="float32", always_2d=True)):
            blocks.append(block)  # in blocks, because memory must follow what is there, not what is announced
            left -= len(block)
    except soundfile.LibsndfileError as error:
        raise AudioError(f"{name} is damaged or truncated: {error.error_string} {CONVERT}") from error
    if left > LENGTH_SLACK_S * rate_hz and file.format != "WAV":
        raise _truncated(name)
    return np.concatenate(blocks).T, rate_hz


def _decode_with_ffmpeg(data: bytes, name: str, min_rate_hz: int, max_s: float | None) -> tuple[Samples, int]:
    """All channels (channels, n) and the rate, of the first sound track."""
    try:
        container = av.open(io.BytesIO(data), mode="r", options={"format_whitelist": CONTAINERS})
    except av.error.FFmpegError as error:
        raise AudioError(f"{name} is not audio, or is damaged or truncated: {error.strerror}; {CONVERT}") from error
    with container:
        if not container.streams.audio:
            raise AudioError(f"{name} has no sound track; choose a file with audio")
        track = container.streams.audio[0]
        _check_rate(track.rate, name, min_rate_hz)
        limit = None if max_s is None else round(max_s * track.rate)
        try:
            channels = _decode_track(container, track, limit)
        except av.error.FFmpegError as error:
            raise AudioError(f"{name} is damaged or truncated: {error.strerror}; {CONVERT}") from error
        if limit is None and channels.shape[1] < _announced(container, track) - LENGTH_SLACK_S * track.rate:
            raise _truncated(name)
        return channels, track.rate


def _decode_track(container: av.container.InputContainer, track: av.AudioStream, limit: int | None) -> Samples:
    """Samples (channels, n) of one track; of a longer one the first `limit`."""
    to_float = av.AudioResampler(format="fltp")  # keeps layout and rate
    blocks: list[Samples] = []
    count = 0
    for frame in container.decode(track):
        for converted in to_float.resample(frame):
            blocks.append(converted.to_ndarray().astype(np.float32, copy=False))
            count += converted.samples
        if limit is not None and count >= limit:
            break
    return np.concatenate(blocks, axis=1)[:, :limit] if blocks else np.zeros((1, 0), dtype=np.float32)


def _announced(container: av.container.InputContainer, track: av.AudioStream) -> float:
    """Samples the header promises; zero where containers state no length of the track, or only guess it."""
    if track.duration is None or track.time_base is None or not container.format.name.startswith("mov"):
        return 0.0
    return float(track.duration * track.time_base) * track.rate


def _refuse_truncated_wav(data: bytes, name: str) -> None:
    """libsndfile quietly reads what is there, so the announced size is compared here."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return
    position = 12
    while position + 8 <= len(data):
        chunk, size = struct.unpack_from("<4sI", data, position)
        position += 8
        if chunk == b"data":
            if len(data) < position + size and size < STREAM_SIZE:
                raise _truncated(name)
            return
        position += size + size % 2
    raise _truncated(name)

from __future__ import annotations

import io
import struct
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from cosy.audio.encode import AAC_RATES_HZ, MP3_RATES_HZ, OPUS_RATES_HZ, encode, to_int16
from cosy.audio.io import load_audio, save_audio, stated_seconds
from cosy.errors import AudioError, ParameterError
from cosy.types import Samples
from tests.audio.signals import chirp, noise

WAVE = chirp(0.5, 24_000)
WAV = encode(WAVE, "wav", 24_000)
FLAC = encode(WAVE, "flac", 24_000)

# Longest a decoded file may be beyond its input: nothing, or the codec's frames of delay and padding.
EXCESS_SAMPLES = {"wav": 0, "flac": 0, "opus": 1, "ogg": 1, "mp3": 3 * 1152, "aac": 2 * 1024}


def with_soundfile(samples: Samples, format: str, subtype: str | None = None) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, 24_000, format=format, subtype=subtype)
    return file.getvalue()


def with_ffmpeg(container: str, codec: str, rate_hz: int) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate_hz, layout="mono")
        frame = av.AudioFrame.from_ndarray(to_int16(chirp(0.5, rate_hz))[None], format="s16", layout="mono")
        frame.sample_rate = rate_hz
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


def silent_film() -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        stream = output.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        output.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")))
        output.mux(stream.encode(None))
    return file.getvalue()


def similarity(a: Samples, b: Samples) -> float:
    """Largest normalised cross-correlation over all shifts."""
    n = len(a) + len(b)
    correlation = np.fft.irfft(np.fft.rfft(a, n) * np.fft.rfft(b, n).conj(), n)
    return float(np.abs(correlation).max() / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize("suffix", list(EXCESS_SAMPLES))
def test_every_format_comes_back_as_it_was_written(suffix: str, tmp_path: Path) -> None:
    save_audio(tmp_path / f"a.{suffix}", WAVE, 24_000)
    wave, rate_hz = load_audio(tmp_path / f"a.{suffix}")
    assert wave.dtype == np.float32
    assert rate_hz == 24_000
    assert 0 <= len(wave) - len(WAVE) <= EXCESS_SAMPLES[suffix]
    assert similarity(wave, WAVE) > 0.97


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_lossless_formats_keep_16_bits(suffix: str, tmp_path: Path) -> None:
    save_audio(tmp_path / f"a.{suffix}", WAVE, 22_050)
    wave, rate_hz = load_audio(tmp_path / f"a.{suffix}")
    assert rate_hz == 22_050
    assert np.abs(wave - WAVE).max() <= 0.5 / 32768


@pytest.mark.parametrize(
    ("format", "rate_hz"),
    [("mp3", r) for r in MP3_RATES_HZ] + [("aac", r) for r in AAC_RATES_HZ] + [("opus", r) for r in OPUS_RATES_HZ],
)
def test_every_legal_rate_of_a_codec_works(format: str, rate_hz: int) -> None:
    wave, got_hz = load_audio(encode(chirp(0.3, rate_hz), format, rate_hz))
    assert got_hz == rate_hz
    assert abs(len(wave) - round(0.3 * rate_hz)) <= EXCESS_SAMPLES[format]


@pytest.mark.parametrize("rate_hz", [22_050, 44_100])
def test_rates_opus_does_not_know_are_coded_at_48_khz(rate_hz: int) -> None:
    wave, got_hz = load_audio(encode(chirp(0.5, rate_hz), "opus", rate_hz))
    assert got_hz == 48_000
    assert abs(len(wave) - 24_000) <= 2
    assert similarity(wave, chirp(0.5, 48_000)) > 0.97


@pytest.mark.parametrize(
    ("container", "codec", "rate_hz"),
    [("mp4", "aac", 24_000), ("mov", "aac", 44_100), ("webm", "libopus", 48_000), ("matroska", "libmp3lame", 24_000)],
)
def test_other_containers_are_read_with_ffmpeg(container: str, codec: str, rate_hz: int) -> None:
    wave, got_hz = load_audio(with_ffmpeg(container, codec, rate_hz))
    assert got_hz == rate_hz
    assert abs(len(wave) - rate_hz / 2) <= 2 * 1024
    assert similarity(wave, chirp(0.5, rate_hz)) > 0.97


@pytest.mark.parametrize("format", ["MP3", "AIFF", "OGG", "CAF", "AU"])
def test_formats_of_other_programs_are_read(format: str) -> None:
    wave, rate_hz = load_audio(with_soundfile(WAVE, format))
    assert rate_hz == 24_000
    assert similarity(wave, WAVE) > 0.97


def test_the_content_decides_and_not_the_extension(tmp_path: Path) -> None:
    for name in ("a.mp3", "a.raw", "a"):
        (tmp_path / name).write_bytes(FLAC)
        assert len(load_audio(tmp_path / name)[0]) == len(WAVE)


def test_paths_bytes_and_file_objects_give_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(WAV)
    with path.open("rb") as file:
        waves = [load_audio(source)[0] for source in (path, str(path), WAV, io.BytesIO(WAV), file)]
    assert all(np.array_equal(wave, waves[0]) for wave in waves)


@pytest.mark.parametrize("format", ["WAV", "FLAC", "OGG"])
def test_channels_are_averaged(format: str) -> None:
    stereo = np.stack([WAVE, -0.5 * WAVE], axis=1)
    wave, _ = load_audio(with_soundfile(stereo, format))
    assert wave.shape == WAVE.shape
    assert np.abs(wave - 0.25 * WAVE).max() < 0.05


def test_float_samples_beyond_full_scale_are_kept() -> None:
    assert load_audio(with_soundfile(4 * WAVE, "WAV", "FLOAT"))[0].max() == pytest.approx(1.6, rel=1e-3)


@pytest.mark.parametrize("data", [WAV, FLAC, with_ffmpeg("mp4", "aac", 24_000)], ids=["wav", "flac", "m4a"])
def test_decoding_stops_at_the_limit(data: bytes) -> None:
    assert len(load_audio(data, max_s=0.25)[0]) == 6000


def test_a_wav_written_to_a_pipe_is_not_truncated() -> None:
    for size in (0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFFFDB):
        assert len(load_audio(WAV[:40] + struct.pack("<I", size) + WAV[44:])[0]) == len(WAVE)


def test_a_flac_written_to_a_pipe_is_read_although_it_states_no_length() -> None:
    head = bytearray(FLAC)
    head[21] &= 0xF0  # the 36-bit length, then the checksum
    head[22:42] = bytes(20)
    assert len(load_audio(bytes(head))[0]) == len(WAVE)


NAN = WAVE.copy()
NAN[100] = np.nan
INFINITE = np.stack([WAVE, WAVE], axis=1)
INFINITE[100] = np.inf, -np.inf

BAD = {
    "empty": (b"", "is empty"),
    "text": (b"hello world " * 1000, "is not audio"),
    "noise": (noise(5000).tobytes(), "is not audio"),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(1000), "is not audio"),
    "playlist": (b"#EXTM3U\n#EXTINF:9,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n", "is not audio"),
    "cut wav": (WAV[: len(WAV) // 2], "is truncated"),
    "cut wav header": (WAV[:30], "is truncated"),
    "cut flac": (FLAC[: len(FLAC) // 2], "damaged or truncated"),
    "cut mp3": (with_soundfile(chirp(3.0, 24_000), "MP3")[:4000], "is truncated"),
    "cut m4a": (with_ffmpeg("mp4", "aac", 24_000)[:2000], "damaged or truncated"),
    "cut aac": (encode(WAVE, "aac", 24_000)[:-20], "damaged or truncated"),
    "zero-length": (encode(WAVE[:0], "wav", 24_000), "length is zero"),
    "nan": (with_soundfile(NAN, "WAV", "FLOAT"), "not numbers"),
    "infinite": (with_soundfile(INFINITE, "WAV", "FLOAT"), "not numbers"),
    "no rate": (WAV[:24] + bytes(4) + WAV[28:], "is not audio"),
    "absurd rate": (encode(WAVE, "wav", 600_000), "600000 Hz"),
    "no sound track": (silent_film(), "no sound track"),
}


@pytest.mark.parametrize("case", list(BAD))
def test_bad_audio_is_refused_by_name_and_reason(case: str, tmp_path: Path) -> None:
    data, reason = BAD[case]
    path = tmp_path / "prompt.wav"
    path.write_bytes(data)
    with pytest.raises(AudioError, match=reason) as error:
        load_audio(path)
    assert str(path) in str(error.value)
    with pytest.raises(AudioError, match=f"the audio data .*{reason}|{reason}"):
        load_audio(data)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"nowhere\.wav does not exist"):
        load_audio(tmp_path / "nowhere.wav")


def test_a_folder_is_not_audio(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="cannot be read"):
        load_audio(tmp_path)


@pytest.mark.parametrize("format", ["wav", "flac", "mp3", "aac", "opus"])
def test_a_rate_below_the_callers_minimum_is_refused(format: str) -> None:
    data = encode(chirp(0.3, 8000), format, 8000)
    load_audio(data, min_rate_hz=8000)
    with pytest.raises(AudioError, match="8000 Hz, at least 16000 Hz"):
        load_audio(data, min_rate_hz=16_000)


def test_an_unknown_extension_is_refused_with_the_choices(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"\.wav, \.pcm, \.flac, \.mp3, \.opus, \.ogg, \.aac"):
        save_audio(tmp_path / "a.wma", WAVE, 24_000)
    assert not list(tmp_path.iterdir())


def test_a_named_format_overrules_the_extension(tmp_path: Path) -> None:
    save_audio(tmp_path / "a.bin", WAVE, 24_000, format="flac")
    assert (tmp_path / "a.bin").read_bytes()[:4] == b"fLaC"


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"folder .*out does not exist"):
        save_audio(tmp_path / "out" / "a.wav", WAVE, 24_000)


@pytest.mark.parametrize("suffix", list(EXCESS_SAMPLES))
def test_a_header_states_the_length(suffix: str, tmp_path: Path) -> None:
    save_audio(tmp_path / f"a.{suffix}", WAVE, 24_000)
    assert stated_seconds(tmp_path / f"a.{suffix}") == pytest.approx(len(WAVE) / 24_000, abs=0.15)


def test_where_no_header_can_be_read_no_length_is_stated(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    (tmp_path / "list.m3u").write_text("#EXTM3U\na.wav\n")
    for name in ("a.wav", "list.m3u", "missing.wav", "."):
        assert stated_seconds(tmp_path / name) == 0.0

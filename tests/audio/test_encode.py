from __future__ import annotations

import io
import subprocess
import sys
import wave as wave_module

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosy.audio.encode import FORMATS, encode, encoder, find_format, to_int16, wav_header
from cosy.audio.io import load_audio
from cosy.errors import EngineError, ParameterError
from tests.audio.signals import chirp

CODED = ["mp3", "opus", "aac"]


def in_chunks(format: str, samples: np.ndarray, rate_hz: int, size: int) -> list[bytes]:
    stream = encoder(format, rate_hz)
    return [*(stream.push(samples[i : i + size]) for i in range(0, len(samples), size)), stream.finish()]


def test_full_scale_saturates_instead_of_wrapping_around() -> None:
    samples = np.array([-2.0, -1.0, 0.0, 0.5, 1.0, 3.0], dtype=np.float32)
    assert to_int16(samples).tolist() == [-32768, -32768, 0, 16384, 32767, 32767]


def test_16_bit_samples_survive_the_way_through_float() -> None:
    every = np.arange(-32768, 32768, dtype=np.int16)
    assert np.array_equal(to_int16(every.astype(np.float32) / 32768), every)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_samples_that_are_not_numbers_are_an_engine_error(bad: float) -> None:
    with pytest.raises(EngineError, match="NaN or infinity"):
        to_int16(np.array([0.0, bad], dtype=np.float32))


def test_only_mono_is_encoded() -> None:
    with pytest.raises(ParameterError, match=r"mono.*\(2, 3\)"):
        to_int16(np.zeros((2, 3), dtype=np.float32))


@settings(deadline=None, max_examples=20)
@given(sizes=st.lists(st.integers(0, 700), max_size=6))
def test_pcm_chunks_are_whole_samples_whatever_the_cuts(sizes: list[int]) -> None:
    stream = encoder("pcm", 24_000)
    parts = [stream.push(np.zeros(size, dtype=np.float32)) for size in sizes]
    assert [len(part) for part in parts] == [2 * size for size in sizes]
    assert stream.finish() == b""


def test_a_streamed_wav_has_one_header_of_unknown_size_at_its_start() -> None:
    parts = in_chunks("wav", chirp(0.1, 24_000), 24_000, 480)
    assert parts[0][:44] == wav_header(24_000, None)
    assert parts[0][4:8] == parts[0][40:44] == b"\xff\xff\xff\xff"
    assert b"".join(parts).count(b"RIFF") == 1
    assert len(b"".join(parts)) == 44 + 2 * 2400


def test_a_streamed_wav_without_samples_is_still_a_wav() -> None:
    assert encoder("wav", 24_000).finish() == wav_header(24_000, None)


def test_a_complete_wav_states_its_true_length() -> None:
    data = encode(chirp(0.1, 24_000), "wav", 24_000)
    with wave_module.open(io.BytesIO(data)) as file:
        assert (file.getnframes(), file.getframerate(), file.getnchannels(), file.getsampwidth()) == (
            2400,
            24_000,
            1,
            2,
        )
    assert int.from_bytes(data[4:8], "little") == len(data) - 8


def test_the_standard_wave_module_reads_a_streamed_wav() -> None:
    data = b"".join(in_chunks("wav", chirp(0.1, 24_000), 24_000, 480))
    with wave_module.open(io.BytesIO(data)) as file:
        assert len(file.readframes(1 << 20)) == 4800


@pytest.mark.parametrize("format", CODED)
def test_coded_audio_leaves_within_a_tenth_of_a_second(format: str) -> None:
    parts = in_chunks(format, chirp(1.0, 24_000), 24_000, 2400)
    assert all(len(part) > 0 for part in parts)


@pytest.mark.parametrize("format", ["pcm", "wav", "flac", "mp3", "aac"])
def test_bytes_do_not_depend_on_how_the_samples_were_cut(format: str) -> None:
    samples = chirp(0.5, 24_000)
    assert b"".join(in_chunks(format, samples, 24_000, 777)) == b"".join(in_chunks(format, samples, 24_000, 12_000))


def test_opus_sounds_the_same_however_the_samples_were_cut() -> None:
    samples = chirp(0.5, 24_000)  # its pages carry a random serial number
    a, b = (load_audio(b"".join(in_chunks("opus", samples, 24_000, size)))[0] for size in (777, 12_000))
    assert np.array_equal(a, b)


def test_mp3_starts_with_a_frame_so_that_answers_can_be_joined() -> None:
    one = encode(chirp(0.5, 24_000), "mp3", 24_000)
    assert one[0] == 0xFF
    assert one[1] & 0xE0 == 0xE0
    assert b"Xing" not in one
    assert b"Info" not in one
    joined, _ = load_audio(one + one)
    assert abs(len(joined) - 2 * len(load_audio(one)[0])) <= 1152


@pytest.mark.parametrize(
    ("rate_hz", "asked", "bytes_per_second"),
    [(24_000, 192_000, 20_000), (24_000, 1, 1000), (8000, 320_000, 8000), (48_000, 100_000, 12_000)],
)
def test_an_mp3_bit_rate_becomes_the_nearest_legal_one(rate_hz: int, asked: int, bytes_per_second: int) -> None:
    data = encode(chirp(4.0, rate_hz), "mp3", rate_hz, asked)
    assert len(data) / 4 == pytest.approx(bytes_per_second, rel=0.05)


@pytest.mark.parametrize("format", CODED)
def test_a_higher_bit_rate_makes_more_bytes(format: str) -> None:
    samples = chirp(1.0, 24_000)
    assert len(encode(samples, format, 24_000, 16_000)) < len(encode(samples, format, 24_000, 96_000))


def test_ogg_is_another_name_of_opus_and_names_ignore_case() -> None:
    assert find_format("ogg") is find_format("OPUS") is FORMATS["opus"]


def test_an_unknown_format_is_refused_with_the_choices() -> None:
    with pytest.raises(ParameterError, match="'wma'; choose one of wav, pcm, flac, mp3, opus, aac"):
        encoder("wma", 24_000)


@pytest.mark.parametrize(("format", "rate_hz"), [("mp3", 96_000), ("mp3", 23_456), ("aac", 1000), ("wav", 0)])
def test_a_rate_the_format_cannot_carry_is_refused_with_the_choices(format: str, rate_hz: int) -> None:
    with pytest.raises(ParameterError, match=f"{rate_hz} Hz; choose"):
        encoder(format, rate_hz)


def test_a_bit_rate_must_be_positive() -> None:
    with pytest.raises(ParameterError, match="got 0 bit/s"):
        encoder("mp3", 24_000, 0)


def test_encoding_needs_no_torch() -> None:
    code = "import sys, cosy.audio.encode, cosy.audio.io, cosy.audio.silence; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

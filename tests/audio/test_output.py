from __future__ import annotations

import io
import itertools
import subprocess
import sys
import wave as wave_module

import av
import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from cosy.audio.encode import FORMATS, wav_header
from cosy.audio.label import AI_LABEL, label
from cosy.audio.output import (
    KNEE,
    RATES_HZ,
    OutputChain,
    encode_whole,
    engine_request,
    media_type,
    soft_clip,
)
from cosy.errors import EngineError, ParameterError
from cosy.types import MIN_GAIN_DB, Samples, SpeechRequest
from tests.audio.signals import chirp, noise

MODEL_HZ = 24_000
ODD = (1, 480, 0, 7, 1013, 24, 3999)  # chunk sizes, repeated
WAVEFORM_FORMATS = ("wav", "pcm", "flac")
CODED = ("mp3", "opus", "aac")

# Of a codec: samples at the decoded rate that its encoder puts before the sound, and the share of a tone's energy
# that coding may change at a generous bit rate.  LAME lowers the level by 5 % to keep clear of clipping.
DELAY = {"mp3": 1105, "aac": 1024, "opus": 0}
LOSS_DB = {"mp3": -25, "aac": -25, "opus": -30}


def request(**options: object) -> SpeechRequest:
    return SpeechRequest("text", **options)  # type: ignore[arg-type]


def streamed(samples: Samples, asked: SpeechRequest, sizes: tuple[int, ...] = ODD) -> list[bytes]:
    chain, parts, at = OutputChain(asked, MODEL_HZ), [], 0
    for size in itertools.cycle(sizes):
        if at >= len(samples):
            return [*parts, chain.finish()]
        parts.append(chain.push(samples[at : at + size]))
        at += size
    raise AssertionError


def pcm(data: bytes) -> Samples:
    return np.frombuffer(data, dtype="<i2").astype(np.float32) / 32768


def decode(data: bytes) -> tuple[Samples, int]:
    """All samples a player gets, by FFmpeg."""
    with av.open(io.BytesIO(data)) as file:
        resampler = av.AudioResampler(format="flt", layout="mono")
        frames = [out for frame in file.decode(audio=0) for out in resampler.resample(frame)]
        parts = [frame.to_ndarray().reshape(-1) for frame in [*frames, *resampler.resample(None)]]
        return np.concatenate(parts), file.streams.audio[0].rate


def loss_db(decoded: Samples, expected: Samples, delay: int) -> float:
    """Energy of the difference over that of the signal, in dB; its edges, where the filters fade, left out."""
    edge = len(expected) // 10
    wanted = expected[edge:-edge]
    found = decoded[delay + edge :][: len(wanted)]
    return float(10 * np.log10(np.mean((found - wanted) ** 2) / np.mean(wanted**2) + 1e-12))


@settings(deadline=None, max_examples=25)
@given(
    sizes=st.lists(st.integers(0, 3000), min_size=1, max_size=6).filter(any),
    rate_hz=st.sampled_from(RATES_HZ),
    pitch=st.sampled_from([0.5, 0.8, 1.0, 1.0594630943592953, 2.0]),
    gain_db=st.sampled_from([-3.0, 0.0, 12.0]),
)
def test_the_cuts_do_not_change_a_sample(sizes: list[int], rate_hz: int, pitch: float, gain_db: float) -> None:
    asked = request(format="pcm", sample_rate_hz=rate_hz, pitch=pitch, gain_db=gain_db)
    samples = chirp(0.3, MODEL_HZ)
    assert b"".join(streamed(samples, asked, tuple(sizes))) == encode_whole(samples, asked, MODEL_HZ)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("format", FORMATS)
def test_the_joined_stream_decodes_to_the_offline_file(format: str, rate_hz: int) -> None:
    samples = chirp(0.4, MODEL_HZ)
    for bit_rate_bps in (None, 1, 1_000_000) if format in CODED else (None,):
        asked = request(format=format, sample_rate_hz=rate_hz, bit_rate_bps=bit_rate_bps)
        parts = b"".join(streamed(samples, asked))
        if format == "pcm":
            assert parts == encode_whole(samples, asked)
            continue
        (stream, at_hz), (offline, _) = decode(parts), decode(encode_whole(samples, asked))
        assert at_hz == OutputChain(asked).rate_hz == (48_000 if format == "opus" else rate_hz)
        assert np.array_equal(stream, offline)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("format", ["wav", "flac", *CODED])
def test_what_is_heard_is_what_went_in(format: str, rate_hz: int) -> None:
    samples = chirp(0.8, MODEL_HZ)
    decoded, at_hz = decode(b"".join(streamed(samples, request(format=format, sample_rate_hz=rate_hz))))
    expected = soxr.resample(samples, MODEL_HZ, at_hz)
    slack = 0 if format in (*WAVEFORM_FORMATS, "opus") else 1.5 * DELAY[format] + 1152  # priming and the last frame
    assert len(expected) - 1 <= len(decoded) <= len(expected) + 1 + slack
    quality = request(format=format, sample_rate_hz=rate_hz, bit_rate_bps=128_000)
    decoded, _ = decode(encode_whole(samples, quality))
    assert loss_db(decoded, expected, DELAY.get(format, 0)) < LOSS_DB.get(format, -80)


@pytest.mark.parametrize(
    ("format", "most_s"), [("pcm", 0.01), ("wav", 0.01), ("mp3", 0.1), ("opus", 0.05), ("aac", 0.1)]
)
def test_the_first_bytes_leave_soon(format: str, most_s: float) -> None:
    chain = OutputChain(request(format=format))
    head = len(chain.push(np.zeros(0, dtype=np.float32)))
    while not len(chain.push(noise(240))) > head:
        pass
    assert chain.seconds_pushed <= most_s


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_resampling_holds_back_at_most_eighty_milliseconds(rate_hz: int) -> None:
    chain = OutputChain(request(format="pcm", sample_rate_hz=rate_hz))
    while not chain.push(noise(240)):
        pass
    assert chain.seconds_pushed <= 0.081


def test_a_page_of_opus_is_twenty_milliseconds() -> None:
    data = b"".join(streamed(chirp(1.0, MODEL_HZ), request(format="opus")))
    positions = [int.from_bytes(page[2:10], "little") for page in data.split(b"OggS\x00")[3:]]
    assert len(positions) >= 50
    assert max(b - a for a, b in itertools.pairwise(positions)) <= 960


def test_a_streamed_wav_says_that_its_length_is_unknown_and_a_whole_one_knows_it() -> None:
    samples, asked = chirp(0.25, MODEL_HZ), request(sample_rate_hz=16_000)
    assert b"".join(streamed(samples, asked))[:44] == wav_header(16_000, None)
    with wave_module.open(io.BytesIO(encode_whole(samples, asked))) as file:
        assert (file.getnframes(), file.getframerate()) == (4000, 16_000)


def test_a_request_without_a_rate_gets_the_models() -> None:
    chain = OutputChain(request(format="pcm"), model_rate_hz=22_050)
    assert chain.rate_hz == 22_050
    assert len(chain.push(noise(100))) == 200


@pytest.mark.parametrize("gain_db", [-40.0, -6.0, 0.0, 5.5])
def test_gain_is_exact(gain_db: float) -> None:
    samples = chirp(0.1, MODEL_HZ, level=0.4)
    heard = pcm(encode_whole(samples, request(format="pcm", gain_db=gain_db)))
    assert np.abs(heard - samples * 10 ** (gain_db / 20)).max() <= 0.6 / 32768


def test_the_lowest_gain_is_silence() -> None:
    heard = encode_whole(noise(500), request(format="pcm", gain_db=MIN_GAIN_DB))
    assert heard == bytes(1000)


@pytest.mark.parametrize("rate_hz", [MODEL_HZ, 44_100])
def test_loud_audio_neither_wraps_nor_leaves_full_scale(rate_hz: int) -> None:
    samples = chirp(0.2, MODEL_HZ, level=1.0)
    heard = pcm(encode_whole(samples, request(format="pcm", gain_db=20.0, sample_rate_hz=rate_hz)))
    expected = soxr.resample(samples, MODEL_HZ, rate_hz)
    assert np.abs(heard).max() <= 1
    clear = np.abs(expected) > 0.5
    assert (np.sign(heard[clear]) == np.sign(expected[clear])).all()


def test_soft_clipping_leaves_what_is_below_the_knee_alone() -> None:
    samples = np.linspace(-KNEE, KNEE, 4001, dtype=np.float32)
    assert np.array_equal(soft_clip(samples), samples)


def test_soft_clipping_is_smooth_rising_and_bounded() -> None:
    steps = np.linspace(0, 4, 100_001, dtype=np.float32)
    bent = soft_clip(steps)
    assert bent.max() <= 1
    assert np.diff(bent).min() >= -1e-7  # a rounding step of float32
    slope = np.gradient(bent.astype(np.float64), steps.astype(np.float64))
    assert np.abs(np.diff(slope)).max() < 0.01  # no corner
    assert np.array_equal(soft_clip(-steps), -bent)
    assert soft_clip(np.array([1e30, -1e30], dtype=np.float32)).tolist() == [1.0, -1.0]


@pytest.mark.parametrize("pitch", [0.5, 0.9, 1.25, 2.0])
def test_pitch_moves_the_frequency_and_keeps_the_duration(pitch: float) -> None:
    seconds, frequency_hz = 1.0, 300.0
    made = round(seconds * pitch * MODEL_HZ)  # the engine spoke at speed / pitch
    samples = (0.4 * np.sin(2 * np.pi * frequency_hz * np.arange(made) / MODEL_HZ)).astype(np.float32)
    chain = OutputChain(request(format="pcm", pitch=pitch, sample_rate_hz=16_000))
    heard = pcm(chain.push(samples) + chain.finish())
    assert chain.seconds_pushed == pytest.approx(seconds)
    assert len(heard) == pytest.approx(seconds * 16_000, abs=2)
    spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard))))
    assert np.argmax(spectrum) * 16_000 / len(heard) == pytest.approx(frequency_hz * pitch, abs=1.5)


def test_the_engine_is_asked_for_the_speed_that_pitch_leaves_over() -> None:
    made = engine_request(request(speed=1.5, pitch=0.75, gain_db=3.0, seed=7))
    assert made == request(speed=2.0, gain_db=3.0, seed=7)


@pytest.mark.parametrize(("speed", "pitch"), [(4.0, 0.9), (0.25, 1.1)])
def test_speed_and_pitch_too_far_apart_are_refused(speed: float, pitch: float) -> None:
    with pytest.raises(ParameterError, match=f"speed {speed} cannot be had with pitch {pitch}"):
        engine_request(request(speed=speed, pitch=pitch))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rate_hz", [MODEL_HZ, 8000])
def test_samples_that_are_not_numbers_are_an_engine_error(bad: float, rate_hz: int) -> None:
    chain = OutputChain(request(format="pcm", sample_rate_hz=rate_hz))
    with pytest.raises(EngineError, match="NaN or infinite"):
        chain.push(np.array([0.0, bad], dtype=np.float32))


@pytest.mark.parametrize("rate_hz", [0, -1, 7999, 23_000, 96_000])
def test_a_rate_that_is_not_offered_is_refused_with_the_choices(rate_hz: int) -> None:
    with pytest.raises(ParameterError, match=f"{rate_hz} Hz is not offered; choose one of 8000, 11025"):
        OutputChain(request(sample_rate_hz=rate_hz))


def test_an_unknown_format_and_a_bad_bit_rate_are_refused_before_any_audio() -> None:
    with pytest.raises(ParameterError, match="'wma'; choose one of"):
        OutputChain(request(format="wma"))
    with pytest.raises(ParameterError, match="got 0 bit/s"):
        OutputChain(request(format="mp3", bit_rate_bps=0))


def test_media_types() -> None:
    assert [media_type(name) for name in FORMATS] == [f"audio/{name}" for name in
                                                      ("wav", "pcm", "flac", "mpeg", "opus", "aac")]  # fmt: skip


@pytest.mark.parametrize("format", ["flac", "opus", "wav", "mp3"])
def test_a_label_names_the_maker_and_leaves_the_audio_alone(format: str) -> None:
    data = encode_whole(chirp(0.5, MODEL_HZ), request(format=format))
    labelled = label(data, format, change_head=True)
    with av.open(io.BytesIO(labelled)) as file:
        notes = {**file.metadata, **file.streams.audio[0].metadata}
    assert notes["comment"] == AI_LABEL
    assert np.array_equal(decode(labelled)[0], decode(data)[0])


@pytest.mark.parametrize(("format", "change_head"), [("wav", False), ("mp3", False), ("aac", True), ("pcm", True)])
def test_heads_that_must_stay_bare_do(format: str, change_head: bool) -> None:
    data = encode_whole(chirp(0.1, MODEL_HZ), request(format=format))
    assert label(data, format, change_head=change_head) == data


@pytest.mark.parametrize("format", FORMATS)
def test_an_answer_without_samples_can_be_made_and_labelled(format: str) -> None:
    data = encode_whole(np.zeros(0, dtype=np.float32), request(format=format, sample_rate_hz=16_000))
    assert label(data, format, change_head=True) == data


def test_output_needs_no_torch() -> None:
    code = "import sys, cosy.audio.output; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

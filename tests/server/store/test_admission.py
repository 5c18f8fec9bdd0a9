"""What may become a voice, and what raw samples, names and transcripts are taken for."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from cosy.errors import AudioError, ParameterError
from cosy.server.store.admission import (
    admit,
    check_id,
    clean_filename,
    clean_name,
    clean_text,
    decode_hint,
    real_transcript,
)
from cosy.server.store.records import VoiceLimits
from tests.server.store.sounds import encoded, recording, speech

LIMITS = VoiceLimits()
CHINESE = "在一无所知中, 梦里的一天结束了，一个新的轮回便会开始"
ENGLISH = "in the midst of ignorance a day in the dream comes to an end and a new cycle begins"


def pcm(seconds: float = 6.0) -> bytes:
    return (speech(seconds) * 32767).astype("<i2").tobytes()


@pytest.mark.parametrize(("format", "subtype"), [("WAV", None), ("FLAC", None), ("OGG", "OPUS"), ("MP3", None)])
def test_a_recording_is_known_by_its_content(format: str, subtype: str | None) -> None:
    audio = encoded(speech(), format, subtype)
    admitted = admit(audio, "Words.", LIMITS, filename="sound.txt", content_type="text/plain")
    assert (admitted.readable, admitted.pcm_rate_hz) == (audio, None)


@pytest.mark.parametrize("format", ["WAV", "FLAC", "OGG"])
def test_a_header_counts_more_than_a_name(format: str) -> None:
    assert admit(encoded(speech(), format), "", LIMITS, filename="a.pcm", content_type="audio/pcm").pcm_rate_hz is None


def test_raw_samples_are_known_by_their_name() -> None:
    admitted = admit(pcm(), "", LIMITS, filename="Voice.PCM")
    assert (admitted.pcm_rate_hz, admitted.audio) == (16_000, pcm())
    assert soundfile.info(io.BytesIO(admitted.readable)).duration == pytest.approx(6.0)


@pytest.mark.parametrize(
    ("content_type", "field", "rate_hz"),
    [("audio/pcm", None, 16_000), ("audio/pcm; rate=8000", None, 8_000), ("Audio/PCM", 24_000, 24_000)],
)
def test_raw_samples_are_known_by_their_type(content_type: str, field: int | None, rate_hz: int) -> None:
    assert soundfile.info(io.BytesIO(decode_hint(pcm(), "", content_type, field))).samplerate == rate_hz


def test_half_a_sample_at_the_end_is_dropped() -> None:
    assert len(decode_hint(pcm() + b"\0", "a.pcm")) == 44 + len(pcm())


def test_a_rate_no_sound_has_is_refused() -> None:
    with pytest.raises(ParameterError, match="sample_rate of PCM must be between 8000 and 192000, got 5"):
        decode_hint(pcm(), "a.pcm", sample_rate_hz=5)


@pytest.mark.parametrize("audio", [b"", b"nonsense" * 1000, b"RIFF\0\0\0\0WAVE", recording()[:1000]])
def test_what_cannot_be_decoded_is_refused(audio: bytes) -> None:
    with pytest.raises(AudioError):
        admit(audio, "", LIMITS)


def test_less_than_a_second_is_refused() -> None:
    with pytest.raises(AudioError, match=r"0\.90 s long, at least 1 s"):
        admit(recording(0.9), "", LIMITS)
    assert admit(recording(1.0), "", LIMITS).readable


def test_silence_is_refused() -> None:
    with pytest.raises(AudioError, match="only silence"):
        admit(encoded(np.zeros(48_000, dtype=np.float32)), "", LIMITS)


def test_a_long_recording_is_refused_with_a_transcript_only() -> None:
    audio = recording(31.0)
    with pytest.raises(AudioError, match="longer than 30 s and has a transcript"):
        admit(audio, "Words.", LIMITS)
    assert admit(audio, "", LIMITS).audio == audio
    assert admit(audio, CHINESE, LIMITS).transcript == ""


def test_a_big_file_is_refused_before_it_is_read() -> None:
    with pytest.raises(AudioError, match=r"0\.2 MiB, at most 0\.125 MiB"):
        admit(recording(6.0), "", VoiceLimits(max_bytes=2**17))


@pytest.mark.parametrize("sentence", [CHINESE, ENGLISH, ENGLISH.upper() + "!", CHINESE.replace("，", " ")])
def test_the_sample_sentence_is_no_transcript(sentence: str) -> None:
    assert real_transcript(sentence) == ""


@pytest.mark.parametrize("sentence", ["", "Something else.", CHINESE + "了", ENGLISH[:-1]])
def test_other_sentences_are(sentence: str) -> None:
    assert real_transcript(sentence) == sentence


def test_text_is_made_fit_for_every_database() -> None:
    assert clean_text(" a\0b\udc80c\n") == "a bc"


@pytest.mark.parametrize(
    ("name", "cleaned"), [(" 我的声音 ", "我的声音"), ("../../etc", "../../etc"), ("n" * 128, "n" * 128)]
)
def test_a_name_may_be_anything_short(name: str, cleaned: str) -> None:
    assert clean_name(name) == cleaned


@pytest.mark.parametrize("name", ["", " \n", "\0", "n" * 129])
def test_a_name_must_be_something_short(name: str) -> None:
    with pytest.raises(ParameterError, match="1 to 128 characters"):
        clean_name(name)


@pytest.mark.parametrize("filename", ["/etc/voice.wav", "..\\voice.wav", "voice.wav", "a/../voice.wav"])
def test_a_file_name_loses_its_path(filename: str) -> None:
    assert clean_filename(filename) == "voice.wav"


@pytest.mark.parametrize("voice_id", ["speech:我的:abc:def", "voice_0123", "a/b"])
def test_an_id_may_be_anything_without_space(voice_id: str) -> None:
    assert check_id(voice_id) == voice_id


@pytest.mark.parametrize("voice_id", ["", "a b", "a\0", "a\n", "\udc80", "x" * 256, "a\u2003b"])
def test_an_id_that_could_be_misread_is_refused(voice_id: str) -> None:
    with pytest.raises(ParameterError, match="cannot be the id of a voice"):
        check_id(voice_id)

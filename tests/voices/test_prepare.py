"""From a recording to a voice."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest

from cosy.audio.io import save_audio
from cosy.checkpoint.load import LoadedModel, load_model
from cosy.errors import AudioError, VoiceError
from cosy.types import Samples
from cosy.voices.prepare import Recording, prepare_voice
from cosy.voices.voice import Voice
from tests.golden import DATA
from tests.voices.recordings import syllables
from tests.voices.test_voice import same

TRANSCRIPT = "one two three four five six"


@pytest.fixture(scope="module")
def model(small_model_dir: Path) -> LoadedModel:
    return load_model(small_model_dir, parts=())


def prepared(
    model: LoadedModel, wave: Samples, rate_hz: int = 24_000, transcript: str = TRANSCRIPT, **options: float
) -> Voice:
    return prepare_voice((wave, rate_hz), transcript, model, name="eve", **options)  # type: ignore[arg-type]


def test_tokens_and_mel_keep_the_ratio(model: LoadedModel) -> None:
    voice = prepared(model, syllables(3.33))
    assert len(voice.prompt_mel) == 2 * len(voice.prompt_tokens)
    assert voice.info.duration_s == pytest.approx(3.33, abs=0.1)
    assert voice.info.warnings == ()
    assert voice.info.created_at.endswith("+00:00")


def test_a_path_its_bytes_and_a_file_object_give_the_same_voice(model: LoadedModel, tmp_path: Path) -> None:
    path = tmp_path / "eve.wav"
    save_audio(path, syllables(3.2, 16_000), 16_000)
    data = path.read_bytes()
    recordings: list[Recording] = [path, str(path), data, io.BytesIO(data)]
    voices = [prepare_voice(recording, TRANSCRIPT, model, name="eve") for recording in recordings]
    assert all(same(voice, voices[0]) for voice in voices)
    assert {voice.info.sha256 for voice in voices} == {hashlib.sha256(data).hexdigest()}
    assert voices[0].info.sample_rate_hz == 16_000


def test_silence_at_the_ends_is_cut_unless_told_otherwise(model: LoadedModel) -> None:
    wave = syllables(3.2, silence_s=0.8)
    assert prepared(model, wave).info.duration_s == pytest.approx(3.25, abs=0.1)
    whole = prepare_voice((wave, 24_000), TRANSCRIPT, model, name="eve", trim=False)
    assert whole.info.duration_s == pytest.approx(4.8, abs=0.05)


def test_too_short_a_recording_is_refused(model: LoadedModel) -> None:
    with pytest.raises(AudioError, match=r"is 2\.\d s long, 3 to 30 s are needed"):
        prepared(model, syllables(2.5, silence_s=0.1))


def test_a_shorter_one_is_accepted_with_a_warning_where_that_is_asked_for(model: LoadedModel) -> None:
    voice = prepared(model, syllables(1.4, silence_s=0.1), min_s=1.0)
    assert any("only 1.6 s long" in warning for warning in voice.info.warnings)
    with pytest.raises(AudioError, match="1 to 30 s are needed"):
        prepared(model, syllables(0.7, silence_s=0.1), min_s=1.0)


def test_silence_at_the_ends_counts_towards_the_shortest_length(model: LoadedModel) -> None:
    assert prepared(model, syllables(2.8, silence_s=0.3)).info.duration_s == pytest.approx(2.85, abs=0.1)


def test_hardly_any_speech_is_refused(model: LoadedModel) -> None:
    with pytest.raises(AudioError, match=r"is 4\.0 s long but holds only 1\.\d s of speech, at least 1\.5 s"):
        prepared(model, syllables(1.0, silence_s=1.5))


@pytest.mark.skipif(not DATA.is_dir(), reason="the recordings are not here")
def test_the_official_sample_voice_can_be_cloned(model: LoadedModel) -> None:
    voice = prepare_voice(DATA / "zero_shot_prompt.wav", "希望你以后能够做的比我还好呦。", model, name="sample")
    assert voice.info.warnings == ()
    assert voice.info.duration_s > 2.5


def test_too_long_a_recording_is_cut_in_a_pause_and_reported(model: LoadedModel) -> None:
    voice = prepared(model, syllables(33.0), transcript=TRANSCRIPT * 10)
    assert 27.0 <= voice.info.duration_s <= 30.0
    assert (voice.info.duration_s * 4 + 0.5) % 1 == pytest.approx(0.5, abs=0.3)  # pauses are at quarters of a second
    assert "only its first" in voice.info.warnings[0]


def test_a_low_sample_rate_is_refused(model: LoadedModel) -> None:
    with pytest.raises(AudioError, match="8000 Hz, at least 16000 Hz"):
        prepared(model, syllables(4.0, 8000), 8000)


@pytest.mark.parametrize("wave", [np.zeros((4, 2), np.float32), np.zeros(9, np.int16), np.full(9, np.nan, np.float32)])
def test_samples_of_another_kind_are_refused(model: LoadedModel, wave: Samples) -> None:
    with pytest.raises(AudioError):
        prepared(model, wave)


def test_silence_is_refused(model: LoadedModel) -> None:
    with pytest.raises(AudioError, match="silence"):
        prepared(model, np.zeros(100_000, dtype=np.float32))


def test_a_quiet_or_clipped_recording_is_reported(model: LoadedModel) -> None:
    (quiet,) = prepared(model, syllables(3.2, level=0.01)).info.warnings
    assert "very quiet" in quiet
    (clipped,) = prepared(model, np.clip(syllables(3.2, level=3.0), -1, 1)).info.warnings
    assert "clipped" in clipped


@pytest.mark.parametrize(("transcript", "word"), [("hm", "little"), ("word " * 60, "much"), ("字" * 50, "much")])
def test_a_transcript_of_another_length_is_reported(model: LoadedModel, transcript: str, word: str) -> None:
    (warning,) = prepared(model, syllables(3.2), transcript=transcript).info.warnings
    assert f"very {word} for 3" in warning


def test_a_missing_transcript_is_no_fault(model: LoadedModel) -> None:
    voice = prepared(model, syllables(3.2), transcript="")
    assert voice.prompt_text == ""
    assert voice.info.warnings == ()


def test_the_prompt_text_is_the_normalised_transcript(model: LoadedModel) -> None:
    recording = (syllables(3.2), 24_000)
    voice = prepare_voice(recording, TRANSCRIPT, model, name="eve", normalise=str.upper)
    assert (voice.transcript, voice.prompt_text) == (TRANSCRIPT, TRANSCRIPT.upper())


def test_a_bad_name_is_refused_before_the_work(model: LoadedModel) -> None:
    with pytest.raises(VoiceError, match="cannot name a voice"):
        prepare_voice(b"not even audio", "", model, name="a/b")

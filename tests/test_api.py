"""`Cosy`: load, say, stream, voices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cosy import Cosy, Speech
from cosy.api import find_model
from cosy.audio.io import load_audio
from cosy.errors import MissingFileError, ParameterError, TextError, VoiceError
from cosy.types import Sampling
from tests.model_dir import PLAIN_PRESET, PRESET
from tests.test_token2wav import TOLERANCE
from tests.voices.recordings import syllables

RECORDING = (syllables(3.2), 24_000)
TRANSCRIPT = "one two three four five six"


@pytest.fixture(scope="module")
def cosy(small_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Cosy:
    return Cosy.load(small_model_dir, voices=tmp_path_factory.mktemp("voices"))


@pytest.fixture(scope="module")
def speech(cosy: Cosy) -> Speech:
    return cosy.say("hi", PLAIN_PRESET, seed=3)


def test_say_returns_audio_and_what_there_is_to_know(speech: Speech) -> None:
    assert speech.rate_hz == 24_000
    assert speech.seed == 3
    assert speech.duration_s == len(speech.samples) / 24_000
    (segment,) = speech.segments
    assert (segment.text, segment.start_s, segment.end_s) == ("hi.", 0.0, speech.duration_s)
    assert segment.speech_tokens == 20 * segment.text_tokens
    assert speech.warnings
    assert speech.timings_s["lm"] > 0.0


def test_speech_is_saved_as_a_file(speech: Speech, tmp_path: Path) -> None:
    speech.save(tmp_path / "hi.wav")
    samples, rate_hz = load_audio(tmp_path / "hi.wav")
    assert rate_hz == 24_000
    np.testing.assert_allclose(samples, speech.samples, atol=1e-4)


def test_a_stream_joins_to_what_say_returns(cosy: Cosy, speech: Speech) -> None:
    chunks = list(cosy.stream("hi", PLAIN_PRESET, seed=3))
    assert len(chunks) > 1
    np.testing.assert_allclose(np.concatenate([c.samples for c in chunks]), speech.samples, atol=TOLERANCE)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_speaks(small_model_dir: Path, dtype: str) -> None:
    speech = Cosy.load(small_model_dir, dtype=dtype).say("hi", PLAIN_PRESET, seed=3)
    assert np.isfinite(speech.samples).all()
    assert np.abs(speech.samples).max() > 0.0


def test_text_may_arrive_in_pieces(cosy: Cosy) -> None:
    chunks = list(cosy.stream(iter(["h", "i"]), PLAIN_PRESET, seed=3))
    assert chunks[-1].finish_reason is not None


def test_the_first_preset_is_the_default_voice(cosy: Cosy) -> None:
    a, b = cosy.say("a", seed=1), cosy.say("a", PRESET, seed=1)
    np.testing.assert_array_equal(a.samples, b.samples)


def test_sampling_can_be_set(cosy: Cosy) -> None:
    greedy = Sampling(top_k=1, window=0)
    a, b = (cosy.say("a", PLAIN_PRESET, seed=seed, sampling=greedy) for seed in (1, 2))
    assert a.segments == b.segments


def test_a_recording_is_cloned_on_the_spot(cosy: Cosy) -> None:
    with_text = next(iter(cosy.stream("a", prompt=RECORDING, prompt_text=TRANSCRIPT, whole_segments=True)))
    assert with_text.details["mode"] == "zero_shot"
    without = next(iter(cosy.stream("a", prompt=RECORDING, whole_segments=True)))
    assert without.details["mode"] == "cross_lingual"


def test_a_voice_is_added_used_and_removed(cosy: Cosy) -> None:
    voice = cosy.add_voice("eve", RECORDING, TRANSCRIPT)
    assert [info.name for info in cosy.voices.list()] == [PRESET, PLAIN_PRESET, "eve"]
    by_name, by_object = cosy.say("a", "eve", seed=1), cosy.say("a", voice, seed=1)
    np.testing.assert_array_equal(by_name.samples, by_object.samples)
    with pytest.raises(VoiceError, match="exists already"):
        cosy.add_voice("eve", b"not even audio")
    cosy.add_voice("eve", RECORDING, replace=True)
    cosy.voices.remove("eve")
    with pytest.raises(VoiceError, match="no voice named 'eve'"):
        cosy.say("a", "eve")


def test_contradictions_are_refused(cosy: Cosy) -> None:
    with pytest.raises(ParameterError, match="exclude each other"):
        cosy.say("a", PRESET, prompt=RECORDING)
    with pytest.raises(ParameterError, match="transcript of a prompt"):
        cosy.say("a", prompt_text="hello")
    with pytest.raises(ParameterError, match="unknown mode 'loud'"):
        cosy.say("a", mode="loud")
    with pytest.raises(ParameterError, match="speed"):
        cosy.say("a", speed=5.0)
    with pytest.raises(TextError, match="nothing to speak"):
        cosy.say("")


def test_a_lexicon_says_how_to_read_a_word(small_model_dir: Path, tmp_path: Path) -> None:
    table = tmp_path / "lexicon.txt"
    table.write_text("x = a\n", encoding="utf-8")
    cosy = Cosy.load(small_model_dir, voices=tmp_path, lexicon=table)
    assert cosy.say("x", PLAIN_PRESET, seed=1).segments[0].text == "a."


def test_the_model_is_the_argument_then_the_environment_then_the_bundled_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("COSY_MODEL", str(tmp_path / "named"))
    assert find_model(tmp_path) == tmp_path
    assert find_model() == tmp_path / "named"
    monkeypatch.delenv("COSY_MODEL")
    monkeypatch.setattr("cosy.api.BUNDLED_MODEL", tmp_path)
    assert find_model() == tmp_path
    monkeypatch.setattr("cosy.api.BUNDLED_MODEL", tmp_path / "none")
    with pytest.raises(MissingFileError, match="cosy model pull"):
        find_model()


def test_a_missing_model_and_an_unknown_precision_are_clear_errors(small_model_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="does not exist"):
        Cosy.load(tmp_path / "none")
    with pytest.raises(ParameterError, match="unknown dtype 'int8'"):
        Cosy.load(small_model_dir, dtype="int8")

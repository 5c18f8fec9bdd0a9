"""One request from text to audio, on a small random model (whose speech always runs to the length limit)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cosy.checkpoint.load import LoadedModel, load_model
from cosy.errors import ParameterError, TextError, VoiceError
from cosy.synthesis import FADE, Synthesizer, pause_after
from cosy.text.frontend import Segment, TextFrontend
from cosy.types import AudioChunk, FinishReason, Mode, Samples, SpeechRequest
from cosy.voices.voice import Voice
from tests.model_dir import PLAIN_PRESET, PRESET
from tests.test_token2wav import TOLERANCE


class ByLine(TextFrontend):
    """Each line is a segment, however short."""

    def segments(
        self, text: str, language: str = "", split: bool = True, normalise: bool | None = None
    ) -> list[Segment]:
        return [Segment(line, "en", tuple(self.tokenizer.encode(line))) for line in text.splitlines()]


@pytest.fixture(scope="module")
def model(small_model_dir: Path) -> LoadedModel:
    return load_model(small_model_dir)


@pytest.fixture(scope="module")
def voice(model: LoadedModel) -> Voice:
    return Voice.from_speaker(PRESET, model.spk2info[PRESET], model.text_tokenizer)


@pytest.fixture(scope="module")
def plain_voice(model: LoadedModel) -> Voice:
    return Voice.from_speaker(PLAIN_PRESET, model.spk2info[PLAIN_PRESET], model.text_tokenizer)


@pytest.fixture(scope="module")
def synthesizer(model: LoadedModel) -> Synthesizer:
    return Synthesizer(model, frontend=ByLine(model.text_tokenizer))


def request(text: str = "hi", **options: Any) -> SpeechRequest:
    return SpeechRequest(text, **{"seed": 7, "stream": False, **options})


def joined(chunks: list[AudioChunk]) -> Samples:
    return np.concatenate([chunk.samples for chunk in chunks])


@pytest.fixture(scope="module")
def two_lines(synthesizer: Synthesizer, voice: Voice) -> list[AudioChunk]:
    return list(synthesizer.speak(request("hi,\nho."), voice))


def test_a_segment_is_one_chunk_that_tells_all(two_lines: list[AudioChunk]) -> None:
    first, second = two_lines
    assert (first.text, second.text) == ("hi,", "ho.")
    assert (first.segment, second.segment) == (0, 1)
    assert (first.offset_samples, second.offset_samples) == (0, len(first.samples))
    assert first.finish_reason is FinishReason.LENGTH
    assert first.samples.dtype == np.float32
    assert first.details["speech_tokens"] == len(first.details["tokens"]) == 20 * first.details["text_tokens"]
    assert first.details["seed"] == 7
    assert first.details["mode"] == "zero_shot"
    assert "length limit" in first.details["warnings"][0]
    assert {"lm", "flow", "vocoder"} <= first.timings_s.keys()


def test_audio_is_as_long_as_its_tokens_and_the_pause_between(two_lines: list[AudioChunk]) -> None:
    first, second = two_lines
    assert len(first.samples) == 960 * first.details["speech_tokens"] + round(0.12 * 24_000)
    assert len(second.samples) == 960 * second.details["speech_tokens"]


def test_segments_join_without_a_step(two_lines: list[AudioChunk]) -> None:
    first, second = two_lines
    pause = round(0.12 * 24_000)
    assert np.all(first.samples[-pause:] == 0.0)
    for edge in (first.samples[0], first.samples[-pause - 1], second.samples[0], second.samples[-1]):
        assert abs(edge) < 1e-3
    assert np.abs(first.samples[FADE : 5 * FADE]).max() > 0.01  # only 5 ms are faded


def test_a_stream_joins_to_the_one_shot_result(
    synthesizer: Synthesizer, voice: Voice, two_lines: list[AudioChunk]
) -> None:
    chunks = list(synthesizer.speak(request("hi,\nho.", stream=True), voice))
    assert len(chunks) > 2
    np.testing.assert_allclose(joined(chunks), joined(two_lines), atol=1.2 * TOLERANCE)  # 0.0054 on some processors
    positions = np.cumsum([0, *(len(chunk.samples) for chunk in chunks)])
    assert [chunk.offset_samples for chunk in chunks] == positions[:-1].tolist()
    assert [chunk.text for chunk in chunks if chunk.text] == ["hi,", "ho."]
    assert sum(chunk.finish_reason is not None for chunk in chunks) == 2
    assert all(len(chunk.samples) for chunk in chunks)


def test_a_seed_gives_the_same_audio_again(synthesizer: Synthesizer, voice: Voice, two_lines: list[AudioChunk]) -> None:
    (again,) = synthesizer.speak(request("hi,"), voice)
    size = len(again.samples)
    np.testing.assert_array_equal(again.samples[: size - FADE], two_lines[0].samples[: size - FADE])
    (other,) = synthesizer.speak(request("hi,", seed=8), voice)
    assert np.abs(other.samples - again.samples).max() > 0.01


def test_a_drawn_seed_is_reported(synthesizer: Synthesizer, plain_voice: Voice) -> None:
    (first,) = synthesizer.speak(request("a", seed=None), plain_voice)
    (again,) = synthesizer.speak(request("a", seed=first.details["seed"]), plain_voice)
    np.testing.assert_array_equal(first.samples, again.samples)


def test_global_random_state_and_modes_are_left_alone(synthesizer: Synthesizer, plain_voice: Voice) -> None:
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    stream = synthesizer.speak(request("ab", stream=True), plain_voice)
    next(stream)
    assert not torch.is_inference_mode_enabled(), "not even between two chunks"
    list(stream)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("speed", [0.5, 2.0])
def test_speed_changes_the_length_and_streams_alike(synthesizer: Synthesizer, plain_voice: Voice, speed: float) -> None:
    (whole,) = synthesizer.speak(request("ab", speed=speed), plain_voice)
    assert len(whole.samples) == 480 * int(2 * whole.details["speech_tokens"] / speed)
    streamed = joined(list(synthesizer.speak(request("ab", speed=speed, stream=True), plain_voice)))
    np.testing.assert_allclose(streamed, whole.samples, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("options", "mode"),
    [({}, "zero_shot"), ({"mode": Mode.CROSS_LINGUAL}, "cross_lingual"), ({"instruction": "softly"}, "instruct"),
     ({"mode": Mode.SFT}, "sft")],
)  # fmt: skip
def test_every_mode_speaks(synthesizer: Synthesizer, voice: Voice, options: dict[str, Any], mode: str) -> None:
    (chunk,) = synthesizer.speak(request("a", **options), voice)
    assert chunk.details["mode"] == mode
    assert np.isfinite(chunk.samples).all()
    assert len(chunk.samples) == 960 * 20


def test_a_request_that_cannot_be_served_fails_before_the_first_chunk(
    synthesizer: Synthesizer, model: LoadedModel, voice: Voice, plain_voice: Voice
) -> None:
    with pytest.raises(VoiceError, match="no recording"):
        synthesizer.speak(request(mode=Mode.ZERO_SHOT), plain_voice)
    with pytest.raises(TextError, match="takes no instruction"):
        synthesizer.speak(request(mode=Mode.SFT, instruction="softly"), voice)
    with pytest.raises(TextError, match="nothing to speak"):
        Synthesizer(model).speak(request("?!"), voice)


def test_text_in_pieces_is_spoken_as_it_arrives(synthesizer: Synthesizer, plain_voice: Voice) -> None:
    chunks = list(synthesizer.speak_pieces(["a", "b c", "d"], request("", stream=True), plain_voice))
    last = chunks[-1]
    assert last.finish_reason is not None
    assert last.text.startswith("ab cd")
    assert last.details["text_tokens"] == len(synthesizer.model.text_tokenizer.encode(last.text))
    assert len(joined(chunks)) == 960 * last.details["speech_tokens"]


def test_how_text_is_cut_does_not_change_the_audio(synthesizer: Synthesizer, plain_voice: Voice) -> None:
    def spoken(pieces: list[str]) -> Samples:
        return joined(list(synthesizer.speak_pieces(pieces, request(""), plain_voice)))

    np.testing.assert_array_equal(spoken(["ab c"]), spoken(["a", "b", " ", "c"]))


def test_no_pieces_are_an_empty_text(synthesizer: Synthesizer, plain_voice: Voice) -> None:
    with pytest.raises(TextError, match="the text is empty"):
        list(synthesizer.speak_pieces(iter([]), request(""), plain_voice))


def test_the_official_policy_keeps_to_its_plan(model: LoadedModel, plain_voice: Voice) -> None:
    official = Synthesizer(model, policy="official", frontend=ByLine(model.text_tokenizer))
    chunks = list(official.speak(request("abc", stream=True), plain_voice))
    assert [len(chunk.samples) for chunk in chunks[:2]] == [960 * 25 - 3840, 960 * 35 + 3840]
    with pytest.raises(ParameterError, match="speed of a stream"):
        official.speak(request("a", stream=True, speed=1.5), plain_voice)


def test_unknown_policies_are_refused(model: LoadedModel) -> None:
    with pytest.raises(ParameterError, match="policy must be one of exact, official"):
        Synthesizer(model, policy="fast")  # type: ignore[arg-type]


def test_a_model_that_says_nothing_gives_a_warning(model: LoadedModel, plain_voice: Voice) -> None:
    class Mute(ByLine):
        def segments(self, text: str, *args: Any, **options: Any) -> list[Segment]:
            return [replace(segment, ids=()) for segment in super().segments(text)]

    (chunk,) = Synthesizer(model, frontend=Mute(model.text_tokenizer)).speak(request("a"), plain_voice)
    assert len(chunk.samples) == 0
    assert chunk.finish_reason is not None
    assert chunk.details["warnings"] == ["the model said nothing for this text"]


def test_an_abandoned_stream_stops(synthesizer: Synthesizer, plain_voice: Voice) -> None:
    asked = 0

    def pieces() -> Iterator[str]:
        nonlocal asked
        while True:
            asked += 1
            yield "word "

    stream = synthesizer.speak_pieces(pieces(), request("", stream=True), plain_voice)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert asked < 100


@pytest.mark.parametrize(
    ("text", "seconds"), [("So.", 0.2), ("好。", 0.2), ("“So?”", 0.2), ("so,", 0.12), ("so", 0.12)]
)
def test_the_pause_follows_the_punctuation(text: str, seconds: float) -> None:
    assert pause_after(text) == seconds

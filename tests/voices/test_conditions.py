"""What a voice gives the models in each mode."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cosy.errors import TextError, VoiceError
from cosy.text.special_tokens import END_OF_PROMPT
from cosy.text.tokenizer import TextTokenizer
from cosy.types import Mode
from cosy.voices.conditions import conditions, suggested_mode
from cosy.voices.voice import Voice
from tests.voices.test_voice import some_voice


@pytest.fixture(scope="module")
def tokenizer(small_model_dir: Path) -> TextTokenizer:
    return TextTokenizer(small_model_dir / "CosyVoice-BlankEN")


def without_transcript() -> Voice:
    voice = some_voice()
    return replace(voice, info=replace(voice.info, transcript="", prompt_text=""))


def without_prompt() -> Voice:
    return some_voice(tokens=0)


def test_the_mode_follows_from_what_there_is() -> None:
    assert suggested_mode(some_voice(), "") is Mode.ZERO_SHOT
    assert suggested_mode(some_voice(), "softly") is Mode.INSTRUCT
    assert suggested_mode(without_transcript(), "") is Mode.CROSS_LINGUAL
    assert suggested_mode(without_prompt(), "") is Mode.SFT


def test_zero_shot_continues_text_and_speech(tokenizer: TextTokenizer) -> None:
    voice = some_voice()
    given = conditions(voice, tokenizer)
    assert given.prompt_text == tokenizer.encode(voice.prompt_text)
    assert given.prompt_speech == voice.prompt_tokens.tolist()
    assert given.flow.tokens.shape == (1, 75)
    assert given.flow.mel.shape == (1, 150, 80)
    assert given.flow.embedding.shape == (1, 192)


def test_cross_lingual_leaves_the_language_model_without_a_prompt(tokenizer: TextTokenizer) -> None:
    given = conditions(some_voice(), tokenizer, Mode.CROSS_LINGUAL)
    assert (given.prompt_text, given.prompt_speech) == ([], [])
    assert given.flow.tokens.shape == (1, 75)


@pytest.mark.parametrize("instruction", ["softly", f"softly{END_OF_PROMPT}", " softly "])
def test_an_instruction_ends_in_its_mark_once(tokenizer: TextTokenizer, instruction: str) -> None:
    given = conditions(some_voice(), tokenizer, None, instruction)
    assert given.prompt_text == [*tokenizer.encode("softly"), tokenizer.end_of_prompt_id]
    assert given.prompt_speech == []
    assert given.flow.tokens.shape == (1, 75)


def test_sft_uses_the_speaker_vector_alone(tokenizer: TextTokenizer) -> None:
    given = conditions(some_voice(), tokenizer, Mode.SFT)
    assert (given.prompt_text, given.prompt_speech) == ([], [])
    assert given.flow.tokens.shape == (1, 0)
    assert given.flow.mel.shape == (1, 0, 80)


@pytest.mark.parametrize("mode", [Mode.ZERO_SHOT, Mode.CROSS_LINGUAL])
def test_a_mode_with_a_prompt_needs_one(tokenizer: TextTokenizer, mode: Mode) -> None:
    with pytest.raises(VoiceError, match="no recording"):
        conditions(without_prompt(), tokenizer, mode)


def test_zero_shot_needs_a_transcript(tokenizer: TextTokenizer) -> None:
    with pytest.raises(VoiceError, match="no transcript"):
        conditions(without_transcript(), tokenizer, Mode.ZERO_SHOT)


def test_an_instruction_is_never_ignored_or_missing(tokenizer: TextTokenizer) -> None:
    with pytest.raises(TextError, match="takes no instruction"):
        conditions(some_voice(), tokenizer, Mode.ZERO_SHOT, "softly")
    with pytest.raises(TextError, match="needs an instruction"):
        conditions(some_voice(), tokenizer, Mode.INSTRUCT, " ")

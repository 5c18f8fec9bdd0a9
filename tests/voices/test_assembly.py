from __future__ import annotations

import pytest
import torch

from cosy.errors import ParameterError
from cosy.voices.assembly import INPUTS, Prompt, align_prompt, model_inputs

PROMPT = Prompt(torch.arange(49), torch.zeros(97, 80), torch.zeros(192))


@pytest.mark.parametrize(
    ("frames", "tokens", "kept"), [(100, 50, 50), (99, 50, 49), (101, 51, 50), (101, 40, 40), (1, 5, 0)]
)
def test_a_prompt_keeps_two_frames_per_token(frames: int, tokens: int, kept: int) -> None:
    assert align_prompt(frames, tokens) == kept


def test_a_prompt_is_trimmed_for_both_models() -> None:
    inputs = model_inputs("zero_shot", PROMPT, text=[1], prompt_text=[2, 3])
    assert inputs["llm_prompt_speech_token"].tolist() == [list(range(48))]
    assert inputs["flow_prompt_speech_token"].tolist() == [list(range(48))]
    assert inputs["prompt_speech_feat"].shape == (1, 96, 80)
    assert inputs["prompt_speech_feat_len"].tolist() == [96]


def test_voice_conversion_keeps_the_whole_prompt() -> None:
    inputs = model_inputs("vc", PROMPT, source_tokens=torch.arange(7))
    assert inputs["flow_prompt_speech_token"].shape == (1, 49)
    assert inputs["source_speech_token_len"].tolist() == [7]
    assert "text" not in inputs


@pytest.mark.parametrize("mode", INPUTS)
def test_every_sequence_has_its_length_beside_it(mode: str) -> None:
    inputs = model_inputs(mode, PROMPT, text=[1, 2], prompt_text=[3], source_tokens=torch.arange(7))
    for name, value in inputs.items():
        if f"{name}_len" in inputs:
            assert inputs[f"{name}_len"].tolist() == [value.shape[1]]


def test_an_unknown_mode_is_an_error() -> None:
    with pytest.raises(ParameterError, match="instruct2"):
        model_inputs("instruct", PROMPT)


def test_voice_conversion_needs_a_source() -> None:
    with pytest.raises(ParameterError, match="source_tokens"):
        model_inputs("vc", PROMPT)

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from cosy.api import Cosy
from cosy.eval.speaker import ModelSpeaker


def test_codes_to_wave_goes_on_from_the_presets_prompt_as_speech_does(monkeypatch: pytest.MonkeyPatch) -> None:
    speaker = ModelSpeaker(Cosy.load(), "diana")
    flow, heard = speaker.cosy.model.flow, []
    inference = type(flow).inference

    def watched(token: Tensor, *prompt: Tensor, streaming: bool, finalize: bool) -> Tensor:
        heard.append((token, *prompt))
        return inference(flow, token, *prompt, streaming=streaming, finalize=finalize)

    monkeypatch.setattr(flow, "inference", watched)
    recording, rate_hz = speaker.whole("你好。", 0)
    heard.clear()
    wave, _ = speaker.resynthesise(recording, rate_hz)
    (token, *prompt) = heard[0]
    voice = speaker.voice
    assert voice.has_prompt
    for given, own in zip(prompt, (voice.prompt_tokens, voice.prompt_mel, voice.embedding), strict=True):
        torch.testing.assert_close(given[0], own)
    assert token.shape == (1, round(25 * len(recording) / rate_hz))
    assert abs(len(wave) - len(recording)) < rate_hz / 25

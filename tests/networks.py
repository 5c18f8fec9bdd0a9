"""The small networks of `tests.model_dir` in memory, and a prompt for them."""

from __future__ import annotations

from typing import cast

import torch

from cosy.audio.constants import MEL_BANDS, SPEAKER_DIM, SPEECH_TOKENS
from cosy.checkpoint.layout import Part
from cosy.checkpoint.load import build, shapes_of
from cosy.models.flow import Flow
from cosy.models.vocoder import Vocoder
from cosy.voices.conditions import FlowPrompt
from tests.model_dir import SMALL, weights


def _filled(part: Part) -> torch.nn.Module:
    network = build(part, SMALL)
    network.load_state_dict(weights(shapes_of(network)))
    return network.eval()


def small_flow() -> Flow:
    return cast(Flow, _filled("flow"))


def small_vocoder() -> Vocoder:
    return cast(Vocoder, _filled("hift")).fold()


def some_tokens(count: int, seed: int = 0) -> list[int]:
    return torch.randint(SPEECH_TOKENS, (count,), generator=torch.Generator().manual_seed(seed)).tolist()  # type: ignore[no-any-return]


def some_prompt(tokens: int) -> FlowPrompt:
    generator = torch.Generator().manual_seed(1)
    mel = torch.randn(1, 2 * tokens, MEL_BANDS, generator=generator) - 6.0
    embedding = torch.randn(1, SPEAKER_DIM, generator=generator)
    return FlowPrompt(torch.tensor([some_tokens(tokens, seed=2)], dtype=torch.int64), mel, embedding)

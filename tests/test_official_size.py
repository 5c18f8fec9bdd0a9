"""The laws of streaming at the official size, with random weights: chunks at odd places join to the one-shot result."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from cosy.config import FlowConfig, Qwen2Config, SpeechLMConfig, VocoderConfig
from cosy.models.flow import Flow
from cosy.models.flow_stream import FlowStream
from cosy.models.source import harmonic_noise
from cosy.models.speech_lm import SpeechLM
from cosy.models.utterance import START, TASK, speech
from cosy.models.vocoder import Vocoder
from cosy.models.vocoder_stream import VocoderStream
from tests.networks import some_prompt, some_tokens

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(0)
        yield


def test_the_flow_in_odd_pieces_beside_another_stream() -> None:
    flow = Flow(FlowConfig()).eval()
    stream, prompt, tokens = FlowStream(flow), some_prompt(33), some_tokens(49)
    whole = flow.inference(torch.tensor([tokens]), *prompt, streaming=True, finalize=True)[0]
    voice = stream.open(*prompt)
    state = stream.start([voice, voice], 90)
    mels = [stream.push(state, [tokens[a:b], tokens[:3]])[0] for a, b in ((0, 1), (1, 20), (20, 46))]
    mels.append(stream.finish(state, [tokens[46:], ()])[0])
    torch.testing.assert_close(torch.cat(mels, 1), whole, atol=2e-4, rtol=0)


def test_the_vocoder_in_odd_pieces() -> None:
    vocoder = Vocoder(VocoderConfig()).eval().fold()
    mel = torch.randn(1, 80, 90)
    whole = vocoder(mel, harmonic_noise(5, 0, 90 * 480))[0][0]
    stream = VocoderStream(vocoder)
    state = stream.init_state(1)
    state.start(0, seed=5)
    pieces = [stream.push(state, part)[0] for part in mel.split([1, 49, 7, 33], dim=2)]
    error = torch.cat([*pieces, stream.finish(state)[0]]) - whole
    assert error.square().mean() < 1e-9 * whole.square().mean()  # 90 dB


def test_the_language_model_in_odd_pieces_beside_another_row() -> None:
    model = SpeechLM(SpeechLMConfig(backbone=Qwen2Config(num_hidden_layers=6))).eval()  # as wide, but a quarter as deep
    units = [START, *range(40), TASK, *speech(some_tokens(60))]
    whole = model.step(model.embed(units), model.init_state(1, len(units)))
    state = model.init_state(2, len(units))
    model.step(model.embed(units[:9]), state.rows(1, 2))
    for a, b in ((0, 1), (1, 50), (50, len(units) - 1)):
        model.step(model.embed(units[a:b]), state.rows(0, 1))
    last = model.embed(units[-1:]).expand(2, -1, -1)
    got = model.step(last, state)[0]
    torch.testing.assert_close(got, whole[0], atol=1e-4, rtol=0)

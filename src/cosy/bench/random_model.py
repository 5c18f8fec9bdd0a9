"""Networks of the official size with random weights: what they say is noise, how long it takes is the truth.

No checkpoint is needed.  The language model never ends of itself, so the number of text tokens decides how long it
speaks; each byte of text is one token.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from cosy.audio.constants import FRAMES_PER_TOKEN, MEL_BANDS, SPEAKER_DIM, SPEECH_TOKENS, TOKEN_RATE_HZ
from cosy.checkpoint.load import LoadedModel
from cosy.config import ModelConfig
from cosy.models.flow import Flow
from cosy.models.speech_lm import SpeechLM
from cosy.models.utterance import MAX_RATIO
from cosy.models.vocoder import Vocoder
from cosy.text.tokenizer import TextTokenizer, train_bpe
from cosy.voices.voice import Voice, VoiceInfo

NEVER = -1e4  # a logit
TEXT_TOKENS_PER_SECOND = 3  # of a prompt's transcript, about as in English
WORDS = "and so the long road goes on past hill and wood and stream to the far grey town by the sea "


def random_model(
    config: ModelConfig | None = None, *, device: str = "cpu", dtype: torch.dtype = torch.float32, seed: int = 0
) -> LoadedModel:
    """A model as `load_model` gives it, without files.  The same seed gives the same weights."""
    config = config or ModelConfig()
    model = LoadedModel(Path("random weights"), config, torch.device(device), dtype)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        llm, flow, vocoder = SpeechLM(config.llm), Flow(config.flow), Vocoder(config.hift)
    with torch.no_grad():
        llm.llm_decoder.bias[llm.eos_id] = NEVER
    model.llm = llm.eval().requires_grad_(False).to(device, dtype)
    model.flow = flow.eval().requires_grad_(False).to(device, dtype)
    model.hift = vocoder.eval().requires_grad_(False).to(device).fold()
    model.text_tokenizer = byte_tokenizer()
    model.spk2info = {}
    return model


def byte_tokenizer() -> TextTokenizer:
    """One token for each byte."""
    with tempfile.TemporaryDirectory() as folder:
        return train_bpe([WORDS], 256, Path(folder))


def random_voice(prompt_s: float, seed: int = 0) -> Voice:
    """A voice with a prompt of this length."""
    generator = torch.Generator().manual_seed(seed)
    count = round(prompt_s * TOKEN_RATE_HZ)
    text = filler(round(prompt_s * TEXT_TOKENS_PER_SECOND))
    return Voice(
        VoiceInfo(f"random-{seed}", text, text, count / TOKEN_RATE_HZ, preset=True),
        prompt_tokens=torch.randint(SPEECH_TOKENS, (count,), generator=generator),
        prompt_mel=torch.randn(FRAMES_PER_TOKEN * count, MEL_BANDS, generator=generator) - 6.0,
        embedding=torch.randn(SPEAKER_DIM, generator=generator),
    )


def filler(characters: int) -> str:
    """Text of exactly so many ASCII characters, one sentence."""
    if characters < 1:
        return ""
    body = (WORDS * (characters // len(WORDS) + 1))[: characters - 1]
    return (body[:-1] + "a" if body.endswith(" ") else body) + "."


def text_for(speech_s: float) -> str:
    """The shortest text that makes a random language model speak so long; a letter makes 0.8 s."""
    return filler(max(2, -(-round(speech_s * TOKEN_RATE_HZ) // round(MAX_RATIO))))

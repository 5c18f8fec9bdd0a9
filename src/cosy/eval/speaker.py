"""A model directory as the system under test: the whole chain, and cut open before the vocoder and the flow."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor

from cosy.api import Cosy, collected
from cosy.audio.constants import FRONT_END_RATE_HZ
from cosy.audio.features import log_mel_16k, mel_spectrogram
from cosy.audio.resample import resample
from cosy.eval.intelligibility import Sound
from cosy.eval.meta import Prompt
from cosy.token2wav import seeded_noise, solve, vocode
from cosy.types import Samples
from cosy.voices.conditions import conditions
from cosy.voices.prepare import prepare_voice
from cosy.voices.voice import Voice

NOISE_SEED = 0


class ModelSpeaker:
    """`intelligibility.Speaker` and `streaming.SpeaksBothWays` over a model and one of its voices.

    `voice` None is the first preset.  `streaming` says which way `text_to_wave` goes.
    """

    def __init__(self, cosy: Cosy, voice: str | None = None, streaming: bool = True) -> None:
        self.cosy, self.streaming = cosy, streaming
        self.voice = cosy.voices.load(voice)

    def text_to_wave(self, sentence: str, seed: int) -> Sound:
        """The whole chain with the official sampler."""
        return self.streamed(sentence, seed) if self.streaming else self.whole(sentence, seed)

    def whole(self, text: str, seed: int) -> Sound:
        """All at once."""
        speech = self.cosy.say(text, self.voice, seed=seed)
        return speech.samples, speech.rate_hz

    def streamed(self, text: str, seed: int) -> Sound:
        """The joined chunks of a stream."""
        speech = collected(self.cosy.stream(text, self.voice, seed=seed))
        return speech.samples, speech.rate_hz

    def copy_synthesis(self, wave: Samples, rate_hz: int) -> Sound:
        """Wave -> mel -> wave."""
        return copy_synthesis(self.cosy, wave, rate_hz)

    @torch.inference_mode()
    def resynthesise(self, wave: Samples, rate_hz: int) -> Sound:
        """Wave -> codes -> mel -> wave, conditioned as the speech of a text is."""
        model = self.cosy.model
        codes = model.speech_tokenizer(log_mel_16k(_resampled(self.cosy, wave, rate_hz, FRONT_END_RATE_HZ)))
        prompt = conditions(self.voice, model.text_tokenizer).flow.to(model.device)
        mel = solve(model.flow, codes.tolist(), prompt, streaming=True)
        return _vocoded(self.cosy, mel)


class ModelCloner:
    """`cloning.Clones` over a loaded model; every prompt is prepared once."""

    def __init__(self, cosy: Cosy) -> None:
        self.cosy = cosy
        self._voices: dict[Path, Voice] = {}

    def clone(self, prompt: Prompt, text: str, mode: str, language: str, seed: int) -> Sound:
        """The text in the prompt's voice, with the official sampler.  Raises InputError for an unusable prompt."""
        voice = self._voices.get(prompt.wav)
        if voice is None:
            voice = self._voices[prompt.wav] = self._prepared(prompt)
        speech = self.cosy.say(text, voice, mode=mode, language=language, seed=seed)
        return speech.samples, speech.rate_hz

    def copy_synthesis(self, wave: Samples, rate_hz: int) -> Sound:
        """Wave -> mel -> wave."""
        return copy_synthesis(self.cosy, wave, rate_hz)

    def _prepared(self, prompt: Prompt) -> Voice:
        normalise = self.cosy.synthesizer.frontend.prompt_text
        return prepare_voice(prompt.wav, prompt.text, self.cosy.model, name="prompt", normalise=normalise)


@torch.inference_mode()
def copy_synthesis(cosy: Cosy, wave: Samples, rate_hz: int) -> Sound:
    """Wave -> mel -> wave: what the vocoder alone loses."""
    return _vocoded(cosy, mel_spectrogram(_resampled(cosy, wave, rate_hz, cosy.rate_hz)[None]))


def _vocoded(cosy: Cosy, mel: Tensor) -> Sound:
    vocoder = cosy.model.hift
    wave = vocode(vocoder, mel, seeded_noise(NOISE_SEED, vocoder.m_source.harmonics))
    return wave.float().cpu().numpy(), cosy.rate_hz


def _resampled(cosy: Cosy, wave: Samples, from_hz: int, to_hz: int) -> Tensor:
    return resample(torch.from_numpy(wave), from_hz, to_hz).to(cosy.model.device)


def open_speaker(
    model: str | os.PathLike[str] | None = None, voice: str | None = None, streaming: bool = True
) -> ModelSpeaker:
    """Load a model directory (None: the bundled one) as the system under test."""
    return ModelSpeaker(Cosy.load(model), voice, streaming)

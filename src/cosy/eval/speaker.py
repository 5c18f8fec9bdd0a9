"""A model directory as the system under test: the whole chain, and cut open before the vocoder and the flow."""

from __future__ import annotations

import os

import torch
from torch import Tensor

from cosy.api import Cosy, collected
from cosy.audio.constants import FRONT_END_RATE_HZ
from cosy.audio.features import log_mel_16k, mel_spectrogram
from cosy.audio.resample import resample
from cosy.eval.intelligibility import Sound
from cosy.token2wav import seeded_noise, vocode
from cosy.types import Samples

NOISE_SEED = 0


class ModelSpeaker:
    """`intelligibility.Speaker` over a loaded model and one of its voices (None: the first preset).

    `streaming` speaks piece by piece, as a server does; the audio is to be the same.
    """

    def __init__(self, cosy: Cosy, voice: str | None = None, streaming: bool = False) -> None:
        self.cosy = cosy
        self.voice = cosy.voices.load(voice)
        self.streaming = streaming

    def text_to_wave(self, sentence: str, seed: int) -> Sound:
        """The whole chain with the official sampler."""
        chunks = self.cosy.stream(sentence, self.voice, seed=seed, whole_segments=not self.streaming)
        speech = collected(chunks)
        return speech.samples, speech.rate_hz

    @torch.inference_mode()
    def copy_synthesis(self, wave: Samples, rate_hz: int) -> Sound:
        """Wave -> mel -> wave."""
        return self._vocode(mel_spectrogram(self._resampled(wave, rate_hz, self.cosy.rate_hz)[None]))

    @torch.inference_mode()
    def resynthesise(self, wave: Samples, rate_hz: int) -> Sound:
        """Wave -> codes -> mel -> wave, with the voice's speaker vector and without a prompt."""
        model = self.cosy.model
        codes = model.speech_tokenizer(log_mel_16k(self._resampled(wave, rate_hz, FRONT_END_RATE_HZ)))
        embedding = torch.as_tensor(self.voice.embedding, device=model.device).reshape(1, -1)
        no_tokens = torch.zeros(1, 0, dtype=torch.int64, device=model.device)
        no_mel = torch.zeros(1, 0, model.config.flow.output_size, device=model.device)
        codes = codes[None].to(model.device)
        return self._vocode(model.flow.inference(codes, no_tokens, no_mel, embedding, streaming=True, finalize=True))

    def _vocode(self, mel: Tensor) -> Sound:
        vocoder = self.cosy.model.hift
        wave = vocode(vocoder, mel, seeded_noise(NOISE_SEED, vocoder.m_source.harmonics))
        return wave.float().cpu().numpy(), self.cosy.rate_hz

    def _resampled(self, wave: Samples, from_hz: int, to_hz: int) -> Tensor:
        return resample(torch.from_numpy(wave), from_hz, to_hz).to(self.cosy.model.device)


def open_speaker(
    model: str | os.PathLike[str] | None = None, voice: str | None = None, streaming: bool = False
) -> ModelSpeaker:
    """Load a model directory (None: the bundled one) as the system under test."""
    return ModelSpeaker(Cosy.load(model), voice, streaming)

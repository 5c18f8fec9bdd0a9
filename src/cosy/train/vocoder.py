"""Train the vocoder without an adversary: first the F0 predictor alone, then the decoder with spectral losses.

The source is driven by the measured F0, and towards the end by the predicted one, so that the decoder
meets what it will be given.  The adversarial losses of `models.vocoder_loss` want a GPU and are not used here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from cosy.config import VocoderConfig
from cosy.models.f0_predictor import F0Predictor
from cosy.models.vocoder import Vocoder
from cosy.models.vocoder_loss import f0_loss, stft_losses
from cosy.train.data.corpus import PER_TOKEN, Corpus

PREDICTED_F0_FROM = 0.7  # of the schedule


class Segments:
    """Random stretches of `tokens` speech tokens, speakers by the root of what they say; short ones are padded."""

    def __init__(self, corpus: Corpus, size: int, tokens: int) -> None:
        self.corpus, self.size, self.tokens = corpus, size, tokens
        self.speakers = list(corpus.by_speaker.values())
        shares = np.sqrt([sum(corpus.entries[i].tokens for i in indices) for indices in self.speakers])
        self.shares = shares / shares.sum()

    def _one(self, rng: np.random.Generator, names: Sequence[str]) -> dict[str, np.ndarray]:
        corpus = self.corpus
        index = int(rng.choice(self.speakers[int(rng.choice(len(self.speakers), p=self.shares))]))
        length = min(self.tokens, corpus.entries[index].tokens)
        start = int(rng.integers(corpus.entries[index].tokens - length + 1))
        segment = {name: corpus.slice(name, index, start, length) for name in names}
        for name, array in segment.items():
            missing = (self.tokens - length) * PER_TOKEN[name]
            widths = [(0, missing)] + [(0, 0)] * (array.ndim - 1)
            segment[name] = np.pad(array, widths, mode="edge" if name == "mel" else "constant")
        return segment

    def batch(self, rng: np.random.Generator, names: Sequence[str]) -> dict[str, Tensor]:
        """Float tensors, as named, mel among them: wave (B, L) in [-1, 1], mel (B, 80, T), f0 (B, T) in Hz."""
        rows = [self._one(rng, names) for _ in range(self.size)]
        stack = {name: torch.from_numpy(np.stack([r[name] for r in rows])).float() for name in names}
        if "wave" in stack:
            stack["wave"] = stack["wave"] / 32767
        stack["mel"] = stack["mel"].transpose(1, 2).contiguous()
        return stack


class F0Task:
    """The F0 predictor alone, on many frames a step: it costs a hundredth of the decoder; see `trainer.Task`."""

    def __init__(self, config: VocoderConfig, corpus: Corpus, batch: int = 32, tokens: int = 32) -> None:
        self.segments = Segments(corpus, batch, tokens)
        self.network = F0Predictor(config.f0_in_channels, config.f0_cond_channels, config.f0_num_class)

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        return self.segments.batch(rng, ("mel", "f0"))

    def loss(self, batch: dict[str, Tensor], progress: float) -> tuple[Tensor, dict[str, float]]:
        predicted = self.network(batch["mel"])
        voiced = batch["f0"] > 0
        wrong = ((predicted > 10) != voiced).float().mean()
        loss = f0_loss(predicted, batch["f0"])
        return loss, {"f0_hz": loss.item(), "voicing_errors": wrong.item()}


class VocoderTask:
    """Decoder and source, with a trained F0 predictor that stays as it is; see `trainer.Task`."""

    def __init__(
        self, config: VocoderConfig, corpus: Corpus, f0_predictor: nn.Module, batch: int = 8, tokens: int = 16
    ) -> None:
        self.segments = Segments(corpus, batch, tokens)
        self.network = Vocoder(config)
        self.network.f0_predictor.load_state_dict(f0_predictor.state_dict())
        self.network.f0_predictor.requires_grad_(False)

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        batch = self.segments.batch(rng, ("wave", "mel", "f0"))
        harmonics = self.network.m_source.harmonics
        noise = rng.standard_normal((*batch["wave"].shape, harmonics), dtype=np.float32)
        return {**batch, "noise": torch.from_numpy(noise), "coin": torch.tensor(rng.random())}

    def loss(self, batch: dict[str, Tensor], progress: float) -> tuple[Tensor, dict[str, float]]:
        predicted = progress > PREDICTED_F0_FROM and bool(batch["coin"] < 0.5)
        f0 = self.network.f0(batch["mel"]) if predicted else batch["f0"]
        wave = self.network.decode(batch["mel"], self.network.source(f0, batch["noise"]))
        losses = stft_losses(wave, batch["wave"])
        figures = {"mel": losses.mel, "magnitude": losses.magnitude, "convergence": losses.convergence}
        return losses.total, {name: value.item() for name, value in figures.items()}

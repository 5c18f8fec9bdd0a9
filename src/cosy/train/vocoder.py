"""Train the vocoder without an adversary: spectral losses on short segments, F0 predictor on the side.

The source is driven by the measured F0, and towards the end by the predicted one, so that the decoder
meets what it will be given.  The adversarial losses of `models.vocoder_loss` want a GPU and are not used here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from cosy.audio.constants import FRAMES_PER_TOKEN, HOP_SAMPLES
from cosy.config import VocoderConfig
from cosy.models.vocoder import Vocoder
from cosy.models.vocoder_loss import stft_losses
from cosy.train.data.corpus import Corpus

F0_WEIGHT = 0.02  # per Hz: the scale of the other losses, so that one clipping norm serves all
PREDICTED_F0_FROM = 0.8  # of the schedule


class VocoderTask:
    """Segments of `tokens` speech tokens from all corpora; see `trainer.Task`."""

    def __init__(
        self,
        config: VocoderConfig,
        corpora: Sequence[Corpus],
        weights: Sequence[float],
        batch: int = 8,
        tokens: int = 16,
    ) -> None:
        self.corpora, self.size, self.tokens = corpora, batch, tokens
        self.weights = np.array(weights) / np.sum(weights)
        self.network = Vocoder(config)

    def _segment(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        corpus = self.corpora[int(rng.choice(len(self.corpora), p=self.weights))]
        index = int(rng.integers(len(corpus)))
        start = int(rng.integers(max(1, corpus.entries[index].tokens - self.tokens + 1)))
        length = min(self.tokens, corpus.entries[index].tokens)
        segment = {name: corpus.slice(name, index, start, length) for name in ("wave", "mel", "f0")}
        if length < self.tokens:
            fill = {"wave": HOP_SAMPLES * FRAMES_PER_TOKEN, "mel": FRAMES_PER_TOKEN, "f0": FRAMES_PER_TOKEN}
            for name, per in fill.items():
                missing = (self.tokens - length) * per
                widths = [(0, missing)] + [(0, 0)] * (segment[name].ndim - 1)
                segment[name] = np.pad(segment[name], widths, mode="constant" if name != "mel" else "edge")
        return segment

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        rows = [self._segment(rng) for _ in range(self.size)]
        stack = {name: torch.from_numpy(np.stack([r[name] for r in rows])).float() for name in rows[0]}
        noise = rng.standard_normal((self.size, stack["wave"].shape[1], 9), dtype=np.float32)
        return {
            "wave": stack["wave"] / 32767,
            "mel": stack["mel"].transpose(1, 2).contiguous(),
            "f0": stack["f0"],
            "noise": torch.from_numpy(noise),
            "coin": torch.tensor(rng.random()),
        }

    def loss(self, batch: dict[str, Tensor], progress: float) -> tuple[Tensor, dict[str, float]]:
        predicted = self.network.f0(batch["mel"])
        pitch = (predicted - batch["f0"]).abs().mean()
        use_predicted = progress > PREDICTED_F0_FROM and batch["coin"] < 0.5
        source = self.network.source(predicted.detach() if use_predicted else batch["f0"], batch["noise"])
        wave = self.network.decode(batch["mel"], source)
        losses = stft_losses(wave, batch["wave"])
        figures = {"f0_hz": pitch, "mel": losses.mel, "magnitude": losses.magnitude, "convergence": losses.convergence}
        return losses.total + F0_WEIGHT * pitch, {name: value.item() for name, value in figures.items()}

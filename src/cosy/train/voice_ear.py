"""A small recogniser of speakers in a mel, which listens while the flow is trained; see `flow_solved`.

Every frame of a mel can be near to the recording's and the voice still be somebody else's: what tells voices apart is
what all frames have in common.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cosy.audio.constants import MEL_BANDS
from cosy.train.data.corpus import Corpus
from cosy.train.listener import unfinished

WIDTH, VECTOR = 128, 96
SCALE = 16.0  # of the cosines
MEAN, SPREAD = -6.0, 2.5  # of a log-mel, about


class VoiceEar(nn.Module):
    """Mel (B, 80, T) -> a vector (B, VECTOR) of length 1 for whoever speaks."""

    def __init__(self, speakers: int) -> None:
        super().__init__()
        self.front = nn.Conv1d(MEL_BANDS, WIDTH, 5, padding=2)
        self.blocks = nn.ModuleList(nn.Conv1d(WIDTH, WIDTH, 3, padding=1) for _ in range(3))
        self.norm = nn.BatchNorm1d(2 * WIDTH)
        self.vector = nn.Linear(2 * WIDTH, VECTOR)
        self.speakers = nn.Parameter(torch.randn(speakers, VECTOR))

    def forward(self, mel: Tensor, counted: Tensor | None = None) -> Tensor:
        """`counted` (B, T): which frames to hear; None: all."""
        x: Tensor = self.front((mel - MEAN) / SPREAD)
        for block in self.blocks:
            x = x + block(F.gelu(x))
        weight = torch.ones_like(mel[:, :1]) if counted is None else counted[:, None]
        weight = weight / weight.sum(-1, keepdim=True).clamp(min=1)
        x = F.gelu(x)
        mean = (x * weight).sum(-1)
        spread = ((x - mean[..., None]).square() * weight).sum(-1).clamp(min=1e-6).sqrt()
        return F.normalize(self.vector(self.norm(torch.cat([mean, spread], dim=1))), dim=1)

    def logits(self, vectors: Tensor) -> Tensor:
        """Of the speakers (B, speakers)."""
        return SCALE * vectors @ F.normalize(self.speakers, dim=1).T


class VoiceEarTask:
    """Who speaks in neutral utterances joined and cut to `frames`, in part unfinished; see `trainer.Task`."""

    def __init__(self, corpus: Corpus, batch: int = 24, frames: int = 120) -> None:
        self.corpus, self.size, self.frames = corpus, batch, frames
        self.neutral = corpus.neutral
        self.network = VoiceEar(len(self.neutral))

    def _mel(self, rng: np.random.Generator, speaker: int) -> np.ndarray:
        parts: list[np.ndarray] = []
        while (count := sum(map(len, parts))) < self.frames:
            parts.append(self.corpus.slice("mel", int(rng.choice(self.neutral[speaker]))).astype(np.float32))
        start = int(rng.integers(count - self.frames + 1))
        return np.concatenate(parts)[start : start + self.frames].T

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        speakers = rng.integers(len(self.neutral), size=self.size)
        mel = torch.from_numpy(np.stack([self._mel(rng, int(speaker)) for speaker in speakers]))
        return {"mel": unfinished(mel, rng), "speaker": torch.from_numpy(speakers)}

    def loss(self, batch: dict[str, Tensor], progress: float) -> tuple[Tensor, dict[str, float]]:
        logits = self.network.logits(self.network(batch["mel"])).float()
        entropy = F.cross_entropy(logits, batch["speaker"])
        accuracy = (logits.argmax(1) == batch["speaker"]).float().mean()
        return entropy, {"speaker": entropy.item(), "accuracy": accuracy.item()}

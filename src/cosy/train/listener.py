"""A small recogniser of phones in a mel, which listens while the flow is trained; see `flow_by_ear`.

It hears six frames to either side of each, too little to guess a word, so what it hears must be in the mel.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cosy.audio.constants import MEL_BANDS
from cosy.train.data.corpus import Corpus
from cosy.train.data.phones import PHONES
from cosy.train.vocoder import Segments

WIDTH = 128


class Listener(nn.Module):
    """Mel (B, 80, T) -> logits of the phones (B, phones, T)."""

    def __init__(self) -> None:
        super().__init__()
        self.front = nn.Conv1d(MEL_BANDS, WIDTH, 5, padding=2)
        self.blocks = nn.ModuleList(nn.Conv1d(WIDTH, WIDTH, 5, padding=2) for _ in range(2))
        self.norms = nn.ModuleList(nn.GroupNorm(1, WIDTH) for _ in range(2))
        self.head = nn.Conv1d(WIDTH, len(PHONES), 1)

    def features(self, mel: Tensor) -> Tensor:
        """Mel (B, 80, T) -> what the phones are told from (B, WIDTH, T)."""
        x: Tensor = self.front(mel)
        for norm, block in zip(self.norms, self.blocks, strict=True):
            x = x + block(F.gelu(norm(x)))
        return F.gelu(x)

    def forward(self, mel: Tensor) -> Tensor:
        y: Tensor = self.head(self.features(mel))
        return y


class ListenerTask:
    """Phones of random segments, in part noisy or blurred over time, as an unfinished mel is; see `trainer.Task`."""

    def __init__(self, corpus: Corpus, batch: int = 32, tokens: int = 32) -> None:
        self.segments = Segments(corpus, batch, tokens)
        self.network = Listener()

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        batch = self.segments.batch(rng, ("mel", "phone"))
        return {"mel": unfinished(batch["mel"], rng), "phone": batch["phone"].long()}

    def loss(self, batch: dict[str, Tensor], progress: float) -> tuple[Tensor, dict[str, float]]:
        logits = self.network(batch["mel"]).float()
        entropy = F.cross_entropy(logits, batch["phone"])
        accuracy = (logits.argmax(1) == batch["phone"]).float().mean()
        return entropy, {"phone": entropy.item(), "accuracy": accuracy.item()}


def unfinished(mel: Tensor, rng: np.random.Generator) -> Tensor:
    """Mels (B, 80, T), each somewhat blurred over time and noisy."""
    blurred = F.avg_pool1d(mel, 3, 1, 1, count_include_pad=False)
    share = torch.from_numpy(rng.uniform(0, 1, (len(mel), 1, 1)).astype(np.float32))
    level = torch.from_numpy(rng.uniform(0, 0.6, (len(mel), 1, 1)).astype(np.float32))
    noise = torch.from_numpy(rng.standard_normal(mel.shape, dtype=np.float32))
    return mel + share * (blurred - mel) + level * noise

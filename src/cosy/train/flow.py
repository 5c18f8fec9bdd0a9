"""Train the flow model: the official objective with real condition prefixes and both attention modes, plus an
L1 between the encoder's projection and the mel, which gives the encoder a direct signal and falls away at the end.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from cosy.audio.constants import FRAMES_PER_TOKEN
from cosy.config import FlowConfig
from cosy.models.flow import Flow
from cosy.models.flow_loss import FlowDraws, flow_loss
from cosy.train.data.corpus import Corpus

PRIOR_WEIGHT = 0.5  # of the auxiliary L1


class FlowTask:
    """Utterances of one speaker, joined so that a prompt comes first; see `trainer.Task`.

    The speaker vector is that of any neutral utterance of the speaker, as the one of a prompt will be.
    """

    def __init__(self, config: FlowConfig, corpus: Corpus, batch: int = 12, max_tokens: int = 100) -> None:
        self.corpus, self.size, self.max_tokens = corpus, batch, max_tokens
        self.speakers = list(corpus.by_speaker.values())
        entries = corpus.entries
        self.neutral = [np.array([i for i in s if not entries[i].style] or list(s)) for s in self.speakers]
        shares = np.sqrt([sum(entries[i].tokens for i in indices) for indices in self.speakers])
        self.shares = shares / shares.sum()
        self.network = Flow(config)
        some = range(0, len(corpus), max(1, len(corpus) // 200))
        means = [corpus.slice("mel", i).astype(np.float32).mean(0) for i in some]
        with torch.no_grad():  # the mel is not normalised: start at its mean
            self.network.encoder_proj.bias.copy_(torch.from_numpy(np.mean(means, axis=0)))

    def _example(self, rng: np.random.Generator, speaker: int, tokens: int) -> dict[str, np.ndarray]:
        """Utterances of one speaker joined until `tokens` are reached, cut there."""
        codes: list[np.ndarray] = []
        mel: list[np.ndarray] = []
        count = 0
        while count < tokens:
            index = int(rng.choice(self.speakers[speaker]))
            codes.append(self.corpus.tokens_of(index))
            mel.append(self.corpus.slice("mel", index))
            count += self.corpus.entries[index].tokens
        start = int(rng.integers(count - tokens + 1))
        return {
            "token": np.concatenate(codes)[start : start + tokens],
            "feat": np.concatenate(mel)[FRAMES_PER_TOKEN * start : FRAMES_PER_TOKEN * (start + tokens)],
            "embedding": self.corpus.vector_of(int(rng.choice(self.neutral[speaker]))),
        }

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        tokens = int(rng.integers(self.max_tokens // 2, self.max_tokens + 1))
        speakers = rng.choice(len(self.speakers), size=self.size * self.max_tokens // tokens, p=self.shares)
        rows = [self._example(rng, int(speaker), tokens) for speaker in speakers]
        batch = {name: torch.from_numpy(np.stack([r[name] for r in rows])) for name in rows[0]}
        return {
            "token": batch["token"].long(),
            "feat": batch["feat"].float(),
            "embedding": batch["embedding"].float(),
            "seed": torch.tensor(int(rng.integers(2**31))),
        }

    def loss(self, batch: dict[str, Tensor], progress: float) -> tuple[Tensor, dict[str, float]]:
        generator = torch.Generator().manual_seed(int(batch["seed"]))
        rows, tokens = batch["token"].shape
        lengths = torch.full((rows,), tokens)
        draws = FlowDraws.sample(generator, lengths, batch["feat"].shape[1], self.network.config)
        loss, details = flow_loss(self.network, batch["token"], lengths, batch["feat"], batch["embedding"], draws)
        prior = (details.mu.float() - batch["feat"]).abs().mean()
        total = loss + PRIOR_WEIGHT * (1 - progress) * prior
        return total, {"flow": loss.item(), "prior": prior.item()}

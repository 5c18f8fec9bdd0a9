"""Train the flow model: the official objective with real condition prefixes and both attention modes, plus an
L1 between the encoder's projection and the mel, which gives the encoder a direct signal and falls away at the end.
"""

from __future__ import annotations

from collections.abc import Sequence

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
    """Whole utterances, or pairs joined so that a prompt of the same speaker comes first; see `trainer.Task`."""

    def __init__(
        self,
        config: FlowConfig,
        corpora: Sequence[Corpus],
        weights: Sequence[float],
        batch: int = 12,
        max_tokens: int = 100,
    ) -> None:
        self.corpora, self.size, self.max_tokens = corpora, batch, max_tokens
        self.weights = np.array(weights) / np.sum(weights)
        self.network = Flow(config)
        means = [c.slice("mel", i).astype(np.float32).mean(0) for c in corpora for i in range(min(50, len(c)))]
        with torch.no_grad():  # the mel is not normalised: start at its mean
            self.network.encoder_proj.bias.copy_(torch.from_numpy(np.mean(means, axis=0)))

    def _example(self, rng: np.random.Generator, corpus: Corpus, tokens: int) -> dict[str, np.ndarray]:
        """Utterances of one speaker joined until `tokens` are reached, cut there."""
        parts: dict[str, list[np.ndarray]] = {"codes": [], "mel": []}
        count = 0
        vectors = corpus.vectors
        while count < tokens:
            index = int(rng.integers(len(corpus)))
            parts["codes"].append(corpus.tokens_of(index))
            parts["mel"].append(corpus.slice("mel", index))
            count += corpus.entries[index].tokens
        start = int(rng.integers(count - tokens + 1))
        return {
            "token": np.concatenate(parts["codes"])[start : start + tokens],
            "feat": np.concatenate(parts["mel"])[FRAMES_PER_TOKEN * start : FRAMES_PER_TOKEN * (start + tokens)],
            "embedding": vectors[int(rng.integers(len(vectors)))],
        }

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        tokens = int(rng.integers(self.max_tokens // 2, self.max_tokens + 1))
        rows = []
        for _ in range(self.size * self.max_tokens // tokens):
            corpus = self.corpora[int(rng.choice(len(self.corpora), p=self.weights))]
            rows.append(self._example(rng, corpus, tokens))
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

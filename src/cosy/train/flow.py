"""Train the flow model: the official objective with real condition prefixes and both attention modes, plus an
L1 between the encoder's projection and the mel, which gives the encoder a direct signal and falls away at the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from cosy.audio.constants import FRAMES_PER_TOKEN
from cosy.config import FlowConfig
from cosy.models.flow import Flow
from cosy.models.flow_loss import FlowDraws, FlowLossDetails, flow_loss
from cosy.models.vocoder import Vocoder
from cosy.train.buckets import Buckets
from cosy.train.data.corpus import Corpus
from cosy.train.journal import Picture, Sample
from cosy.train.vocoder import spoken

PRIOR_WEIGHT = 0.5  # of the auxiliary L1


class FlowTask:
    """Utterances of one speaker, joined so that a prompt comes first; see `trainer.Task`.

    The speaker vector is that of any neutral utterance of the speaker, as the one of a prompt will be.  `network` is
    one to be trained further.  `epochs` draws every utterance once an epoch, alone and whole, in padded batches of like
    length of `batch * max_tokens` tokens, as the official recipe does.  `cond_rate` is the share of items with a
    prompt, and `cond_share` the most it takes of them.  `cosine_time` draws early flow times more often, as a solver
    with cosine steps spends them, and `first_rate` is the share of items at the very first.  `noise_scale` is how much
    larger the noise is than that of the solver, which then draws less of what is rare.  `language_weights` and
    `speaker_weights` draw utterances of a language or a speaker more often than others, which count 1.  `vocoder` lets
    the samples be heard.
    """

    def __init__(
        self,
        config: FlowConfig,
        corpus: Corpus,
        batch: int = 12,
        max_tokens: int = 100,
        *,
        prior_weight: float = PRIOR_WEIGHT,
        cond_rate: float = 0.5,
        cond_share: float = 0.3,
        cosine_time: bool = False,
        first_rate: float = 0.0,
        noise_scale: float = 1.0,
        language_weights: Mapping[str, float] | None = None,
        speaker_weights: Mapping[str, float] | None = None,
        network: Flow | None = None,
        epochs: bool = False,
        vocoder: Vocoder | None = None,
    ) -> None:
        self.corpus, self.size, self.max_tokens, self.prior_weight = corpus, batch, max_tokens, prior_weight
        self.draws = partial(
            FlowDraws.sample,
            cond_rate=cond_rate,
            cond_share=cond_share,
            cosine_time=cosine_time,
            first_rate=first_rate,
            noise_scale=noise_scale,
        )
        self.vocoder = vocoder
        self.speakers = list(corpus.by_speaker.values())
        entries = corpus.entries
        self.neutral = corpus.neutral
        self.owner = {int(i): number for number, indices in enumerate(self.speakers) for i in indices}
        weights = np.array([(language_weights or {}).get(entry.language, 1.0) for entry in entries])
        self.shares = corpus.shares(speaker_weights, weights)
        self.among = [weights[indices] / weights[indices].sum() for indices in self.speakers]
        self.flow = network or self._initialised(Flow(config))
        self.network: nn.Module = self.flow
        self.buckets = Buckets(self._plan, batch * max_tokens) if epochs else None

    def _initialised(self, network: Flow) -> Flow:
        some = range(0, len(self.corpus), max(1, len(self.corpus) // 200))
        means = [self.corpus.slice("mel", i).astype(np.float32).mean(0) for i in some]
        with torch.no_grad():  # the mel is not normalised: start at its mean
            network.encoder_proj.bias.copy_(torch.from_numpy(np.mean(means, axis=0)))
        return network

    def _plan(self, rng: np.random.Generator) -> tuple[range, list[int]]:
        return range(len(self.corpus)), [entry.tokens for entry in self.corpus.entries]

    def _heard(self, index: int) -> dict[str, np.ndarray]:
        """What is cut along with the tokens of an utterance; all but the tokens by mel frames."""
        return {"token": self.corpus.tokens_of(index), "feat": self.corpus.slice("mel", index)}

    def _vector(self, rng: np.random.Generator, speaker: int) -> np.ndarray:
        return self.corpus.vector_of(int(rng.choice(self.neutral[speaker])))

    def _example(self, rng: np.random.Generator, speaker: int, tokens: int) -> dict[str, np.ndarray]:
        """Utterances of one speaker joined until `tokens` are reached, cut there."""
        parts: list[dict[str, np.ndarray]] = []
        count = 0
        while count < tokens:
            parts.append(self._heard(int(rng.choice(self.speakers[speaker], p=self.among[speaker]))))
            count += len(parts[-1]["token"])
        start = int(rng.integers(count - tokens + 1))

        def cut(name: str) -> np.ndarray:
            rate = 1 if name == "token" else FRAMES_PER_TOKEN
            return np.concatenate([part[name] for part in parts])[rate * start : rate * (start + tokens)]

        return {**{name: cut(name) for name in parts[0]}, "embedding": self._vector(rng, speaker)}

    def _whole(self, rng: np.random.Generator, index: int) -> dict[str, np.ndarray]:
        return {**self._heard(index), "embedding": self._vector(rng, self.owner[index])}

    def _rows(self, rng: np.random.Generator) -> list[dict[str, np.ndarray]]:
        if self.buckets is not None:
            return [self._whole(rng, index) for index in self.buckets.draw(rng)]
        tokens = int(rng.integers(self.max_tokens // 2, self.max_tokens + 1))
        speakers = rng.choice(len(self.speakers), size=self.size * self.max_tokens // tokens, p=self.shares)
        return [self._example(rng, int(speaker), tokens) for speaker in speakers]

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """token (B, T), their number length (B,), feat (B, 2T, 80), embedding (B, 192), and a seed for the loss."""
        rows = self._rows(rng)

        def padded(name: str) -> Tensor:
            return pad_sequence([torch.from_numpy(np.array(row[name])) for row in rows], batch_first=True).float()

        return {
            **{name: padded(name) for name in rows[0]},
            "token": padded("token").long(),
            "length": torch.tensor([len(row["token"]) for row in rows]),
            "seed": torch.tensor(int(rng.integers(2**31))),
        }

    def loss(self, batch: dict[str, Tensor], progress: float) -> tuple[Tensor, dict[str, float]]:
        loss, figures, _, _ = self._losses(batch, progress)
        return loss, figures

    def _losses(
        self, batch: dict[str, Tensor], progress: float
    ) -> tuple[Tensor, dict[str, float], FlowDraws, FlowLossDetails]:
        generator = torch.Generator().manual_seed(int(batch["seed"]))
        feat, lengths = batch["feat"], batch["length"]
        draws = self.draws(generator, lengths, feat.shape[1], self.flow.config)
        loss, details = flow_loss(self.flow, batch["token"], lengths, feat, batch["embedding"], draws)
        prior = ((details.mu.float() - feat).abs() * details.mask).sum() / (details.mask.sum() * feat.shape[-1])
        total = loss + self.prior_weight * (1 - progress) * prior
        return total, {"flow": loss.item(), "prior": prior.item()}, draws, details

    def samples(self, rng: np.random.Generator) -> dict[str, Sample]:
        """An utterance of the corpus beside what the flow makes of its tokens, and, with a vocoder, its sound."""
        row = self._whole(rng, int(rng.integers(len(self.corpus))))
        device = self.flow.encoder_proj.bias.device
        token = torch.from_numpy(row["token"].astype(np.int64))[None].to(device)
        nothing = token[:, :0], torch.zeros(1, 0, self.flow.config.output_size, device=device)
        vector = torch.from_numpy(np.array(row["embedding"]))[None].float().to(device)
        mel = self.flow.inference(token, *nothing, vector, streaming=False, finalize=True)
        found: dict[str, Sample] = {
            "made": Picture(mel[0].float().cpu().numpy()),
            "recorded": Picture(row["feat"].astype(np.float32).T),
        }
        if self.vocoder is not None:
            found["speech"] = spoken(self.vocoder.to(device), mel.float(), rng)
        return found

    def state(self) -> dict[str, int]:
        return {} if self.buckets is None else self.buckets.state()

    def restore(self, state: dict[str, int]) -> None:
        if self.buckets is not None and state:
            self.buckets.restore(state)

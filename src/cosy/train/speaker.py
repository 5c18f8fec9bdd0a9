"""Train a small speaker encoder: additive angular margin over the speakers of a corpus.

Playing a recording at another speed makes another speaker (the 3D-Speaker recipe), so that few
voices become many; the features are computed on the fly from random crops of 2 to 4 s.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cosy.audio.constants import FRONT_END_RATE_HZ, SAMPLE_RATE_HZ, TOKEN_RATE_HZ, TOKEN_SAMPLES
from cosy.audio.features import speaker_features
from cosy.audio.resample import resample
from cosy.config import SpeakerEncoderConfig
from cosy.models.speaker_encoder import SpeakerEncoder
from cosy.train.data.corpus import Corpus

SPEEDS = (0.88, 1.0, 1.14)
SCALE, MARGIN = 32.0, 0.2


class Classifier(nn.Module):
    """The encoder and, for training alone, a direction per class."""

    def __init__(self, config: SpeakerEncoderConfig, classes: int) -> None:
        super().__init__()
        self.encoder = SpeakerEncoder(config)
        self.centres = nn.Linear(config.embedding_size, classes, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """features (B, T, F) -> cosines between vector and centres (B, classes)."""
        vectors = F.normalize(self.encoder(features).float(), dim=-1)
        with torch.autocast(features.device.type, enabled=False):  # a cosine rounded to 1 is an angle without slope
            return vectors @ F.normalize(self.centres.weight.float(), dim=-1).T


class SpeakerTask:
    """Classify (speaker, speed) pairs; whispered speech is left out.  See `trainer.Task`.

    `start` is an encoder to be trained further.
    """

    def __init__(
        self,
        config: SpeakerEncoderConfig,
        corpus: Corpus,
        batch: int = 16,
        tokens: int = 75,
        *,
        start: SpeakerEncoder | None = None,
    ) -> None:
        self.corpus, self.size, self.tokens = corpus, batch, tokens
        entries = corpus.entries
        self.speakers = [
            [i for i in indices if entries[i].style != "whisper"] or list(indices)
            for indices in corpus.by_speaker.values()
        ]
        self.network = Classifier(config, len(self.speakers) * len(SPEEDS))
        if start is not None:
            self.network.encoder.load_state_dict(start.state_dict())

    def _crop(self, rng: np.random.Generator, label: int, tokens: int) -> Tensor:
        """A crop (640 * tokens,) at 16 kHz of a pseudo-speaker: joined utterances read at another rate."""
        indices, speed = self.speakers[label // len(SPEEDS)], SPEEDS[label % len(SPEEDS)]
        need = int(tokens * TOKEN_SAMPLES * speed) + TOKEN_SAMPLES
        parts, length = [], 0
        while length < need:
            parts.append(self.corpus.slice("wave", int(rng.choice(indices))))
            length += len(parts[-1])
        start = int(rng.integers(length - need + 1))
        wave = torch.from_numpy(np.concatenate(parts)[start : start + need]).float() / 32767
        from_hz = round(SAMPLE_RATE_HZ * speed / 100) * 100
        heard = resample(wave * 10 ** rng.uniform(-0.6, 0.3), from_hz, FRONT_END_RATE_HZ)
        noise = rng.standard_normal(len(heard), dtype=np.float32) * 10 ** rng.uniform(-4.5, -2.5)
        return (heard + torch.from_numpy(noise.astype(np.float32)))[: tokens * FRONT_END_RATE_HZ // TOKEN_RATE_HZ]

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        labels = rng.integers(len(self.speakers) * len(SPEEDS), size=self.size)
        tokens = int(rng.integers(self.tokens * 2 // 3, self.tokens * 4 // 3))
        features = torch.stack([speaker_features(self._crop(rng, int(s), tokens)) for s in labels])
        return {"features": features, "label": torch.from_numpy(labels)}

    def loss(self, batch: dict[str, Tensor], progress: float) -> tuple[Tensor, dict[str, float]]:
        cosine = self.network(batch["features"])
        own = F.one_hot(batch["label"], cosine.shape[1]).bool()
        margin = MARGIN * min(1.0, 2 * progress)
        angle = cosine.clamp(-1 + 1e-6, 1 - 1e-6).arccos()
        logits = SCALE * torch.where(own, (angle + margin).cos(), cosine)
        accuracy = (cosine.argmax(-1) == batch["label"]).float().mean()
        return F.cross_entropy(logits, batch["label"]), {"accuracy": accuracy.item()}


@torch.inference_mode()
def embed(corpus: Corpus, encoder: SpeakerEncoder) -> None:
    """Write `speakers.npy`, the raw vector (192,) of every utterance, into every shard of the corpus."""
    encoder.eval()
    found: list[list[np.ndarray]] = [[] for _ in corpus.shards]
    for index, entry in enumerate(corpus.entries):
        wave = torch.from_numpy(corpus.slice("wave", index).astype(np.float32)) / 32767
        features = speaker_features(resample(wave, SAMPLE_RATE_HZ, FRONT_END_RATE_HZ))
        found[entry.shard].append(encoder(features[None])[0].numpy().astype(np.float32))
    for shard, rows in zip(corpus.shards, found, strict=True):
        np.save(shard / "speakers.npy", np.stack(rows))

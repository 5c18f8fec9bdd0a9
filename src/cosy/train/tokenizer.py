"""Train the FSQ speech tokenizer: a recogniser of phones, voicing and pitch with a bottleneck of 8 ternary digits.

The kept part is `SpeechTokenizer`; everything behind the bottleneck exists for training alone and
predicts two frames (20 ms) per token, because closures and bursts get lost at one label per token.
The heads know the speaker, so that the code need not say who speaks.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cosy.audio.constants import FRAMES_PER_TOKEN
from cosy.config import SpeechTokenizerConfig
from cosy.models.speech_tokenizer import SpeechTokenizer
from cosy.train.data.corpus import PER_TOKEN, PHONES, Corpus

CEPSTRA = 20


class Recogniser(nn.Module):
    """Tokenizer plus the training-only stack: digits -> width, convolutions, heads at 50 Hz."""

    def __init__(self, config: SpeechTokenizerConfig, speakers: int) -> None:
        super().__init__()
        self.tokenizer = SpeechTokenizer(config)
        width = config.n_state
        self.outputs = len(PHONES) + 2 + CEPSTRA  # phones, voicing, pitch, cepstra
        self.up = nn.Linear(8, width)
        self.speaker = nn.Embedding(speakers, width)
        self.mix = nn.ModuleList(nn.Conv1d(width, width, 5, padding=2) for _ in range(2))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.head = nn.Linear(width, FRAMES_PER_TOKEN * self.outputs)

    def forward(self, mel: Tensor, lengths: Tensor, speaker: Tensor) -> Tensor:
        """mel (B, 128, T), lengths (B,), speaker (B,) -> predictions (B, T/2, outputs)."""
        hidden, _ = self.tokenizer.hidden(mel, lengths)
        z = self.tokenizer.project(hidden)
        x = self.up(SpeechTokenizer.straight_through(z)) + self.speaker(speaker)[:, None]
        for norm, mix in zip(self.norms, self.mix, strict=True):
            x = x + F.gelu(mix(norm(x).transpose(1, 2))).transpose(1, 2)
        out: Tensor = self.head(x)
        return out.reshape(x.shape[0], -1, self.outputs)


class TokenizerTask:
    """Random windows of `tokens` speech tokens (3 s) from all corpora; see `trainer.Task`."""

    def __init__(
        self, config: SpeechTokenizerConfig, corpora: Sequence[Corpus], batch: int = 16, tokens: int = 75
    ) -> None:
        self.corpora, self.size, self.tokens = corpora, batch, tokens
        self.network = Recogniser(config, len(corpora))
        shares = np.array([c.tokens for c in corpora], dtype=float)
        self.shares = np.sqrt(shares) / np.sqrt(shares).sum()
        self.pitch = [self._pitch_statistics(c) for c in corpora]
        basis = np.cos(np.pi / 80 * np.outer(np.arange(1, CEPSTRA + 1), np.arange(80) + 0.5)) / np.sqrt(40)
        self.basis = torch.from_numpy(basis.astype(np.float32))

    @staticmethod
    def _pitch_statistics(corpus: Corpus) -> tuple[float, float]:
        """Mean and deviation of the logarithm of F0 over voiced frames."""
        values = np.concatenate([corpus.slice("f0", i) for i in range(min(200, len(corpus)))])
        logs = np.log(values[values > 0])
        return float(logs.mean()), float(logs.std())

    def _window(self, rng: np.random.Generator) -> tuple[int, dict[str, np.ndarray]]:
        """Utterances of one corpus joined until the window is full, cut at a random start: corpus index and arrays."""
        which = int(rng.choice(len(self.corpora), p=self.shares))
        corpus = self.corpora[which]
        names = ("whisper", "phone", "f0", "mel")
        parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
        tokens = 0
        while tokens < self.tokens:
            index = int(rng.integers(len(corpus)))
            for name in names:
                parts[name].append(corpus.slice(name, index))
            tokens += corpus.entries[index].tokens
        start = int(rng.integers(tokens - self.tokens + 1))
        end = start + self.tokens
        return which, {n: np.concatenate(parts[n])[start * PER_TOKEN[n] : end * PER_TOKEN[n]] for n in names}

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        rows = [self._window(rng) for _ in range(self.size)]
        stack = {n: torch.from_numpy(np.stack([r[1][n] for r in rows])) for n in rows[0][1]}
        f0 = stack["f0"]
        mean, std = (torch.tensor([self.pitch[r[0]][i] for r in rows])[:, None] for i in (0, 1))
        return {
            "mel": stack["whisper"].float().transpose(1, 2).contiguous(),
            "speaker": torch.tensor([r[0] for r in rows]),
            "phone": stack["phone"].long(),
            "voiced": (f0 > 0).float(),
            "pitch": ((f0.clamp(min=1.0).log() - mean) / std).clamp(-3, 3),
            "cepstra": stack["mel"].float() @ self.basis.T,
        }

    def loss(self, batch: dict[str, Tensor], progress: float) -> tuple[Tensor, dict[str, float]]:
        lengths = torch.full((self.size,), batch["mel"].shape[-1])
        out = self.network(batch["mel"], lengths, batch["speaker"])
        out = out.float()
        phones, voicing, pitch, cepstra = out.split([len(PHONES), 1, 1, CEPSTRA], dim=-1)
        voiced = batch["voiced"]
        phone = F.cross_entropy(phones.flatten(0, 1), batch["phone"].flatten())
        voice = F.binary_cross_entropy_with_logits(voicing.squeeze(-1), voiced)
        tone = ((pitch.squeeze(-1) - batch["pitch"]).abs() * voiced).sum() / voiced.sum().clamp(min=1)
        shape = (cepstra - batch["cepstra"]).abs().mean()
        total = phone + 0.3 * voice + 0.5 * tone + 0.2 * shape
        accuracy = (phones.argmax(-1) == batch["phone"]).float().mean()
        return total, {
            "phone": phone.item(), "accuracy": accuracy.item(), "pitch": tone.item(), "cepstra": shape.item()
        }  # fmt: skip


def encode(corpus: Corpus, folder: Path, tokenizer: SpeechTokenizer) -> np.ndarray:
    """Write `codes.npy`, the speech tokens of every utterance, beside the corpus; return them."""
    codes = np.zeros(corpus.tokens, dtype=np.int16)
    tokenizer.eval()
    with torch.inference_mode():
        for index, entry in enumerate(corpus.entries):
            mel = torch.from_numpy(corpus.slice("whisper", index).astype(np.float32)).T[None]
            found, _ = tokenizer(mel, torch.tensor([mel.shape[-1]]))
            codes[entry.start : entry.start + entry.tokens] = found[0, : entry.tokens].numpy()
    np.save(folder / "codes.npy", codes)
    return codes

"""Train the FSQ speech tokenizer: a recogniser of phones, voicing, pitch and vocal effort behind a bottleneck of 8
ternary digits.

The kept part is `SpeechTokenizer`; everything behind the bottleneck exists for training alone and
predicts two frames (20 ms) per token, because closures and bursts get lost at one label per token.
The code is not to say who speaks: the heads are told the speaker, except the one of pitch, which hears how far from the
speaker's own pitch a frame is and so makes the code carry just that.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cosy.audio.constants import FRAMES_PER_TOKEN
from cosy.config import SpeechTokenizerConfig
from cosy.models.speech_tokenizer import SpeechTokenizer
from cosy.train.data.corpus import PER_TOKEN, Corpus
from cosy.train.data.phones import PHONES
from cosy.train.journal import Picture, Sample

CEPSTRA = 20
MIDDLE_PITCH = 5.0  # log F0 of 148 Hz
PITCH_UNIT = 0.12  # of log F0, two semitones: the deviation of a lively reader
EFFORTS = ("", "soft", "loud", "whisper")  # styles that are told apart; any other counts as the first


def own_pitch(corpus: Corpus, indices: np.ndarray) -> float:
    """Mean of the logarithm of a speaker's F0 over voiced frames of neutral speech; 0 if nothing is voiced."""
    neutral = [i for i in indices if not corpus.entries[i].style] or list(indices)
    values = np.concatenate([corpus.slice("f0", int(i)) for i in neutral[:100]])
    return float(np.log(values[values > 0]).mean()) if (values > 0).any() else 0.0


class Recogniser(nn.Module):
    """Tokenizer plus the training-only stack: digits -> width, convolutions, heads at 50 Hz."""

    def __init__(self, config: SpeechTokenizerConfig, speakers: int) -> None:
        super().__init__()
        self.tokenizer = SpeechTokenizer(config)
        width = config.n_state
        self.outputs = len(PHONES) + 1 + CEPSTRA + len(EFFORTS)  # phones, voicing, cepstra, effort
        self.up = nn.Linear(8, width)
        self.speaker = nn.Embedding(speakers, width)
        self.mix = nn.ModuleList(nn.Conv1d(width, width, 5, padding=2) for _ in range(2))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.head = nn.Linear(width, FRAMES_PER_TOKEN * self.outputs)
        self.pitch = nn.Linear(width, FRAMES_PER_TOKEN)
        self.heard_pitch = nn.Linear(width, FRAMES_PER_TOKEN * 2)

    def forward(self, mel: Tensor, lengths: Tensor, speaker: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """mel (B, 128, T), lengths (B,), speaker (B,) -> predictions (B, T/2, outputs), relative pitch (B, T/2), and
        absolute and relative pitch before the bottleneck (B, T/2, 2), without which the encoder is slow to hear it.
        """
        hidden, _ = self.tokenizer.hidden(mel, lengths)
        z = self.tokenizer.project(hidden)
        x = self.up(SpeechTokenizer.straight_through(z))
        for norm, mix in zip(self.norms, self.mix, strict=True):
            x = x + F.gelu(mix(norm(x).transpose(1, 2))).transpose(1, 2)
        out: Tensor = self.head(x + self.speaker(speaker)[:, None])
        heard = self.heard_pitch(hidden).reshape(x.shape[0], -1, 2)
        return out.reshape(x.shape[0], -1, self.outputs), self.pitch(x).flatten(1), heard


class TokenizerTask:
    """Random windows of `tokens` speech tokens (4 s), each of one speaker in several styles; see `trainer.Task`.

    `start` is a tokenizer to be trained further.  The corpus needs phones; without them see `transcripts`.
    """

    def __init__(
        self,
        config: SpeechTokenizerConfig,
        corpus: Corpus,
        batch: int = 12,
        tokens: int = 100,
        *,
        start: SpeechTokenizer | None = None,
    ) -> None:
        self.corpus, self.size, self.tokens = corpus, batch, tokens
        self.speakers = list(corpus.by_speaker.values())
        self.network = Recogniser(config, len(self.speakers))
        if start is not None:
            self.network.tokenizer.load_state_dict(start.state_dict())
        self.shares = corpus.shares()
        self.pitch = torch.tensor([own_pitch(corpus, indices) for indices in self.speakers])
        basis = np.cos(np.pi / 80 * np.outer(np.arange(1, CEPSTRA + 1), np.arange(80) + 0.5)) / np.sqrt(40)
        self.basis = torch.from_numpy(basis.astype(np.float32))

    def _window(self, rng: np.random.Generator) -> tuple[int, dict[str, np.ndarray]]:
        """Utterances of one speaker joined until the window is full, cut at a random start: speaker and arrays."""
        which = int(rng.choice(len(self.speakers), p=self.shares))
        names = ("whisper", "phone", "f0", "mel")
        parts: dict[str, list[np.ndarray]] = {name: [] for name in (*names, "effort")}
        tokens = 0
        while tokens < self.tokens:
            index = int(rng.choice(self.speakers[which]))
            entry = self.corpus.entries[index]
            for name in names:
                parts[name].append(self.corpus.slice(name, index))
            effort = EFFORTS.index(entry.style) if entry.style in EFFORTS else 0
            parts["effort"].append(np.full(entry.tokens * FRAMES_PER_TOKEN, effort))
            tokens += entry.tokens
        start = int(rng.integers(tokens - self.tokens + 1))
        per = {**PER_TOKEN, "effort": FRAMES_PER_TOKEN}
        cut = {n: np.concatenate(p)[start * per[n] : (start + self.tokens) * per[n]] for n, p in parts.items()}
        return which, cut

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        rows = [self._window(rng) for _ in range(self.size)]
        stack = {n: torch.from_numpy(np.stack([r[1][n] for r in rows])) for n in rows[0][1]}
        f0 = stack["f0"]
        speaker = torch.tensor([r[0] for r in rows])
        heard = [through_another_channel(r[1]["whisper"].astype(np.float32), rng) for r in rows]
        return {
            "mel": torch.from_numpy(np.stack(heard)).transpose(1, 2).contiguous(),
            "speaker": speaker,
            "phone": stack["phone"].long(),
            "voiced": (f0 > 0).float(),
            "absolute": (f0.clamp(min=1.0).log() - MIDDLE_PITCH) / PITCH_UNIT,
            "pitch": ((f0.clamp(min=1.0).log() - self.pitch[speaker, None]) / PITCH_UNIT).clamp(-4, 4),
            "cepstra": stack["mel"].float() @ self.basis.T,
            "effort": stack["effort"].long(),
        }

    def loss(self, batch: dict[str, Tensor], progress: float) -> tuple[Tensor, dict[str, float]]:
        lengths = torch.full((len(batch["mel"]),), batch["mel"].shape[-1], device=batch["mel"].device)
        out, pitch, heard = self.network(batch["mel"], lengths, batch["speaker"])
        phones, voicing, cepstra, efforts = out.float().split([len(PHONES), 1, CEPSTRA, len(EFFORTS)], dim=-1)
        voiced = batch["voiced"]
        phone = F.cross_entropy(phones.flatten(0, 1), batch["phone"].flatten())
        voice = F.binary_cross_entropy_with_logits(voicing.squeeze(-1), voiced)
        both = torch.stack([batch["absolute"], batch["pitch"]], dim=-1)
        tone = ((pitch.float() - batch["pitch"]).abs() * voiced).sum() / voiced.sum().clamp(min=1)
        heard = ((heard.float() - both).abs().sum(-1) * voiced).sum() / voiced.sum().clamp(min=1)
        shape = (cepstra - batch["cepstra"]).abs().mean()
        effort = F.cross_entropy(efforts.flatten(0, 1), batch["effort"].flatten())
        total = phone + 0.3 * voice + 0.7 * tone + 0.5 * heard + 0.2 * shape + 0.2 * effort
        accuracy = (phones.argmax(-1) == batch["phone"]).float().mean()
        return total, {
            "phone": phone.item(), "accuracy": accuracy.item(), "pitch": tone.item(), "heard": heard.item(),
            "cepstra": shape.item(), "effort": effort.item(),
        }  # fmt: skip

    def samples(self, rng: np.random.Generator) -> dict[str, Sample]:
        """The phones that are heard in a window beside those that are said."""
        batch = self.batch(rng)
        device = self.network.head.weight.device
        mel = batch["mel"][:1].to(device)
        out, _, _ = self.network(mel, torch.tensor([mel.shape[-1]], device=device), batch["speaker"][:1].to(device))
        heard = out[0, :, : len(PHONES)].float().softmax(-1).cpu()
        said = F.one_hot(batch["phone"][0], len(PHONES)).float()
        return {"heard": Picture(heard.T.numpy(), rows="phone"), "said": Picture(said.T.numpy(), rows="phone")}


def through_another_channel(mel: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Half the time another microphone and room: a smooth curve over the bands (T, 128), and a floor of noise."""
    if rng.random() < 0.5:
        return mel
    knots = rng.normal(0.0, 0.06, size=6)
    curve = np.interp(np.linspace(0, 5, mel.shape[1]), np.arange(6), knots)
    changed = mel + curve
    floor = changed.max() - rng.uniform(0.9, 2.0)  # 36 to 80 dB below the peak; one unit of the log-mel is 40 dB
    heard: np.ndarray = np.maximum(changed, floor + rng.normal(0.0, 0.04, size=mel.shape)).astype(np.float32)
    return heard


@torch.inference_mode()
def encode(corpus: Corpus, tokenizer: SpeechTokenizer) -> None:
    """Write `codes.npy`, the speech tokens of every utterance, into every shard of the corpus.

    A styled utterance is heard after a neutral one of its speaker: alone, a high voice is just another speaker.
    """
    tokenizer.eval()
    neutral = {e.speaker: i for i, e in reversed(list(enumerate(corpus.entries))) if not e.style}
    found: list[list[np.ndarray]] = [[] for _ in corpus.shards]
    for index, entry in enumerate(corpus.entries):
        before = neutral.get(entry.speaker) if entry.style else None
        heard = [corpus.slice("whisper", i).astype(np.float32) for i in (before, index) if i is not None]
        mel = torch.from_numpy(np.concatenate(heard)).T[None]
        tokens, _ = tokenizer(mel, torch.tensor([mel.shape[-1]]))
        skipped = 0 if before is None else corpus.entries[before].tokens
        found[entry.shard].append(tokens[0, skipped : skipped + entry.tokens].numpy().astype(np.int16))
    for shard, rows in zip(corpus.shards, found, strict=True):
        np.save(shard / "codes.npy", np.concatenate(rows))

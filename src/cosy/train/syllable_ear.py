"""A small recogniser of toned syllables in a mel and its F0, which listens while the flow is trained: `flow_by_ear`.

A tone is neither the pitch of a frame nor its slope, but what sets a syllable apart from others, so this network is
asked which it is: of every speech token, whether it is silence, and if not, of which initial, final and tone.

Letters: B batch, F frames of 20 ms, T speech tokens of 40 ms, W words.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cosy.audio.constants import FRAMES_PER_TOKEN, MEL_BANDS
from cosy.models.lm_loss import IGNORE
from cosy.train.data.corpus import Corpus, Entry
from cosy.train.data.phones import PAUSE, PHONES
from cosy.train.data.synth import pieces
from cosy.train.listener import unfinished
from cosy.train.lm import words_of_tokens
from cosy.train.lm_reading import NO_READING, SIZES, TONES, parts
from cosy.train.tokenizer import PITCH_UNIT
from cosy.train.voice_ear import MEAN, SPREAD

WIDTH = 192
VOICED_HZ = 40.0
SECOND, THIRD = TONES.index("2"), TONES.index("3")


def spoken(text: str) -> np.ndarray:
    """How the hanzi of a text are to be heard: the `parts` of each (W, 3); a third tone before another is a second."""
    read = [said for _, said in pieces(text, "zh") if said]
    found = [parts(said) for said in read]
    for i in range(len(found) - 1):
        if found[i][2:] == found[i + 1][2:] == (THIRD,) and read[i][-1].isdigit():
            found[i] = (*found[i][:2], SECOND)
    return np.array(found or [NO_READING])


def by_token(corpus: Corpus, index: int) -> np.ndarray:
    """What an entry says at each of its tokens (T, 4): whether that is not silence, and the `parts` of the syllable.

    All are IGNORE but in Mandarin with word times.
    """
    entry = corpus.entries[index]
    found = np.full((entry.tokens, 1 + len(SIZES)), IGNORE)
    said = spoken(entry.text) if entry.language == "zh" else ()
    if not entry.words or len(said) != len(entry.words):
        return found
    phone = corpus.slice("phone", index).reshape(-1, FRAMES_PER_TOKEN)
    sounds = (phone != PHONES.index(PAUSE)).any(1)
    word = words_of_tokens(entry, entry.tokens)
    inside = sounds & (word >= 0)
    found[:, 0] = inside
    found[inside, 1:] = said[word[inside]]
    return found


class SyllableEar(nn.Module):
    """Mel (B, 80, F) and F0 in Hz (B, F) -> logits of not blank, initial, final and tone (B, T, 1 + their number)."""

    def __init__(self) -> None:
        super().__init__()
        self.front = nn.Conv1d(MEL_BANDS + 2, WIDTH, 5, padding=2)
        self.early = nn.ModuleList(nn.Conv1d(WIDTH, WIDTH, 5, padding=2) for _ in range(2))
        self.halve = nn.Conv1d(WIDTH, WIDTH, FRAMES_PER_TOKEN, stride=FRAMES_PER_TOKEN)
        self.late = nn.ModuleList(nn.Conv1d(WIDTH, WIDTH, 5, padding=2) for _ in range(3))
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(6))
        self.head = nn.Linear(WIDTH, 1 + sum(SIZES))

    def forward(self, mel: Tensor, hz: Tensor) -> Tensor:
        voiced = (hz > VOICED_HZ).to(mel)
        height = hz.clamp(min=VOICED_HZ).log() / PITCH_UNIT
        middle = (height * voiced).sum(1, keepdim=True) / voiced.sum(1, keepdim=True).clamp(min=1)
        height = ((height - middle).clamp(-6, 6) * voiced)[:, None]
        x: Tensor = self.front(torch.cat([(mel - MEAN) / SPREAD, 0.5 * height, voiced[:, None]], dim=1))
        norms = iter(self.norms)
        for layers, then in ((self.early, self.halve), (self.late, None)):
            for layer in layers:
                x = x + layer(F.gelu(_over_channels(next(norms), x)))
            x = x if then is None else then(x)
        y: Tensor = self.head(F.gelu(_over_channels(next(norms), x)).mT)
        return y


def _over_channels(norm: nn.Module, x: Tensor) -> Tensor:
    y: Tensor = norm(x.mT).mT
    return y


def wrong(logits: Tensor, said: Tensor) -> Tensor:
    """Mean cross-entropy (scalar) of logits (B, T, C) with what is known `by_token` (B, T, 4); 0 if nothing is."""
    known, inside = said[..., 0] != IGNORE, (said[..., 0] == 1) & (said[..., 1] != IGNORE)
    if not inside.any():
        return logits.new_zeros(())
    silence = F.binary_cross_entropy_with_logits(logits[..., 0][known], said[..., 0][known].to(logits))
    heads = torch.split(logits[inside][:, 1:].float(), list(SIZES), dim=-1)
    labels = said[inside][:, 1:].unbind(-1)
    return silence + torch.stack([F.cross_entropy(*pair) for pair in zip(heads, labels, strict=True)]).sum()


class SyllableEarTask:
    """Mandarin utterances of random voices, cut to `tokens` and in part unfinished; see `trainer.Task`."""

    def __init__(self, corpus: Corpus, batch: int = 16, tokens: int = 96) -> None:
        self.corpus, self.size, self.tokens = corpus, batch, tokens
        self.said = {i: by_token(corpus, i) for i, entry in enumerate(corpus.entries) if _is_known(entry)}
        of_speakers = ([int(i) for i in group if int(i) in self.said] for group in corpus.by_speaker.values())
        self.speakers = [group for group in of_speakers if group]
        sizes = np.sqrt([len(group) for group in self.speakers])
        self.shares = sizes / sizes.sum()
        self.network = SyllableEar()

    def _example(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        group = self.speakers[int(rng.choice(len(self.speakers), p=self.shares))]
        index = group[int(rng.integers(len(group)))]
        start = int(rng.integers(max(1, self.corpus.entries[index].tokens - self.tokens)))
        mel, hz = (self.corpus.slice(name, index, start)[: FRAMES_PER_TOKEN * self.tokens] for name in ("mel", "f0"))
        said = self.said[index][start : start + self.tokens]
        short = self.tokens - len(said)
        frames = (0, FRAMES_PER_TOKEN * short)
        return (
            np.pad(mel.astype(np.float32).T, ((0, 0), frames), constant_values=MEAN - 2 * SPREAD),
            np.pad(hz, frames),
            np.pad(said, ((0, short), (0, 0)), constant_values=IGNORE),
        )

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        mel, hz, said = (np.stack(rows) for rows in zip(*(self._example(rng) for _ in range(self.size)), strict=True))
        off = np.exp(PITCH_UNIT * rng.normal(0, 0.05, hz.shape)).astype(np.float32)
        return {
            "mel": unfinished(torch.from_numpy(mel), rng),
            "hz": torch.from_numpy(hz * off),
            "said": torch.from_numpy(said),
        }

    def loss(self, batch: dict[str, Tensor], progress: float) -> tuple[Tensor, dict[str, float]]:
        logits, said = self.network(batch["mel"], batch["hz"]), batch["said"]
        loss = wrong(logits, said)
        inside = said[..., 1] != IGNORE
        tones = logits[inside][:, -SIZES[-1] :].argmax(-1) == said[inside][:, -1]
        return loss, {"syllables": loss.item(), "tones": tones.float().mean().item()}


def _is_known(entry: Entry) -> bool:
    return entry.language == "zh" and entry.style != "whisper"

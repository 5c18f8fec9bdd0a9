"""Train the FSQ speech tokenizer where nobody knows the phones: behind the bottleneck, the text itself is recognised.

CTC (Graves et al. 2006) over the bytes of the transcript, which serves every language and needs no vocabulary.  As
with phones, all that stands behind the bottleneck exists for training alone.

CTC begins with blanks, for which no speech is needed: left alone, the digits run into saturation meanwhile and stay
there, one code for everything.  So they are held balanced and spread (the variance term of VICReg, Bardes et al. 2022).
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from cosy.audio.constants import FRAMES_PER_TOKEN, TOKEN_RATE_HZ
from cosy.config import SpeechTokenizerConfig
from cosy.errors import MismatchError
from cosy.models.speech_tokenizer import FSQ_DIMS, SpeechTokenizer, length_mask
from cosy.train.buckets import Buckets
from cosy.train.data.corpus import Corpus
from cosy.train.journal import Picture, Sample
from cosy.train.tokenizer import through_another_channel

SPREAD = 0.6  # standard deviation that a digit is to have over the tokens of a batch, before rounding
BLANK = 0  # of CTC; byte b is class b + 1
CLASSES = 257
LONGEST = 30 * TOKEN_RATE_HZ  # tokens


class Transcriber(nn.Module):
    """Tokenizer plus the training-only stack: digits -> width, a recurrent layer both ways, bytes at 50 Hz."""

    def __init__(self, config: SpeechTokenizerConfig) -> None:
        super().__init__()
        self.tokenizer = SpeechTokenizer(config)
        width = config.n_state
        self.up = nn.Linear(FSQ_DIMS, width)
        self.mix = nn.GRU(width, width // 2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(width, FRAMES_PER_TOKEN * CLASSES)

    def forward(self, mel: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """mel (B, 128, T), lengths (B,) -> log-probabilities (B, T / 2, CLASSES), digits of all tokens (n, 8)."""
        hidden, tokens = self.tokenizer.hidden(mel, lengths)
        z = self.tokenizer.project(hidden)
        x = self.up(SpeechTokenizer.straight_through(z))
        x = x + self.mix(x)[0]
        out: Tensor = self.head(x).unflatten(-1, (FRAMES_PER_TOKEN, CLASSES)).flatten(1, 2)
        return out.float().log_softmax(-1), z[length_mask(tokens, z.shape[1])]


def imbalance(digits: Tensor) -> Tensor:
    """How far the digits (n, 8) are from mean 0 and the wanted spread; 0 at best."""
    return digits.mean(0).square().mean() + (SPREAD - digits.std(0)).clamp(min=0).mean()


class TranscriptTask:
    """Whole utterances of up to 30 s in batches of like length, `batch * tokens` tokens in all; see `trainer.Task`.

    `start` is a tokenizer to be trained further.  Raises MismatchError where no utterance can be used: text is needed,
    of not more bytes than the audio has frames.
    """

    def __init__(
        self,
        config: SpeechTokenizerConfig,
        corpus: Corpus,
        batch: int = 16,
        tokens: int = 75,
        *,
        start: SpeechTokenizer | None = None,
    ) -> None:
        self.corpus = corpus
        self.text = [
            np.frombuffer(entry.text.encode(), dtype=np.uint8).astype(np.int64) + 1 for entry in corpus.entries
        ]
        self.usable = [i for i in range(len(corpus)) if self._can_be_told(i)]
        if not self.usable:
            raise MismatchError(f"none of the {len(corpus)} utterances has a text that its audio has time for")
        self.network = Transcriber(config)
        if start is not None:
            self.network.tokenizer.load_state_dict(start.state_dict())
        self.buckets = Buckets(self._plan, batch * tokens)

    def _can_be_told(self, index: int) -> bool:
        """Whether CTC has a path: a frame for every byte, and one between equal neighbours."""
        text, tokens = self.text[index], self.corpus.entries[index].tokens
        frames = len(text) + int((text[1:] == text[:-1]).sum())
        return 0 < frames <= FRAMES_PER_TOKEN * tokens and tokens <= LONGEST

    def _plan(self, rng: np.random.Generator) -> tuple[list[int], list[int]]:
        return self.usable, [self.corpus.entries[i].tokens for i in self.usable]

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """mel (B, 128, T), frames (B,) of it, text (B, N) as classes, padded with blanks, bytes (B,) of it."""
        rows = self.buckets.draw(rng)
        mels = [torch.from_numpy(self._heard(index, rng)) for index in rows]
        text = [torch.from_numpy(self.text[index]) for index in rows]
        return {
            "mel": pad_sequence(mels, batch_first=True).transpose(1, 2).contiguous(),
            "frames": torch.tensor([len(mel) for mel in mels]),
            "text": pad_sequence(text, batch_first=True, padding_value=BLANK),
            "bytes": torch.tensor([len(t) for t in text]),
        }

    def _heard(self, index: int, rng: np.random.Generator) -> np.ndarray:
        return through_another_channel(self.corpus.slice("whisper", index).astype(np.float32), rng)

    def loss(self, batch: dict[str, Tensor], progress: float) -> tuple[Tensor, dict[str, float]]:
        scores, digits = self.network(batch["mel"], batch["frames"])
        lengths = batch["frames"] // 2, batch["bytes"]
        ctc = F.ctc_loss(scores.transpose(0, 1), batch["text"], *lengths, BLANK, zero_infinity=True)
        uneven = imbalance(digits)
        return ctc + uneven, {"ctc": ctc.item(), "imbalance": uneven.item()}

    def samples(self, rng: np.random.Generator) -> dict[str, Sample]:
        """How probable each byte is over an utterance."""
        scores = self._scores(int(rng.choice(self.usable)))
        return {"bytes": Picture(scores.exp().T.cpu().numpy(), rows="byte + 1")}

    def _scores(self, index: int) -> Tensor:
        mel = torch.from_numpy(self.corpus.slice("whisper", index).astype(np.float32)).T[None]
        mel = mel.to(self.network.head.weight.device)
        return cast(Tensor, self.network(mel, torch.tensor([mel.shape[-1]], device=mel.device))[0][0])

    @torch.inference_mode()
    def transcript(self, index: int) -> str:
        """What the network hears in an utterance: the best class of every frame, repeats and blanks taken out."""
        best = torch.unique_consecutive(self._scores(index).argmax(-1))
        return bytes((best[best != BLANK] - 1).tolist()).decode(errors="replace")

    def state(self) -> dict[str, int]:
        return self.buckets.state()

    def restore(self, state: dict[str, int]) -> None:
        self.buckets.restore(state)

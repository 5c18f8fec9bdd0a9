"""The flow's training by ear, for a small flow of many speakers, whose squared error alone finds pitch and phones late.

Its encoder does not know the speaker, and its projection, 80 values wide, is drawn towards the mean mel of all
speakers, in which no pitch is left, and little of what sets phones apart.  A reading of the projection, there for
training alone, asks it to keep voicing, the pitch relative to the speaker's own, and the phone, which the speech tokens
tell.  It is linear, but that of pitch is told the speaker, too, as the estimator is: what a token says of pitch is
not the same for everyone.

The estimator, which knows the speaker, has to make Hz of it, and the squared error of a mel cares little where the
harmonics are, or about the short and soft sounds that tell words apart.  So trained networks hear the mel that the
estimated velocity leads to: an F0 predictor, and a recogniser of phones.  What they hear wrong is part of the loss.

The flow's table of speech tokens is told their digits meanwhile (`shared_rows`); `folded` makes a plain flow again.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cosy.audio.constants import FRAMES_PER_TOKEN
from cosy.config import FlowConfig
from cosy.models.flow import Flow
from cosy.models.flow_loss import FlowDraws, FlowLossDetails
from cosy.models.lm_loss import IGNORE
from cosy.nn.masks import valid_positions
from cosy.train.assemble import averaged
from cosy.train.data.corpus import Corpus
from cosy.train.data.phones import PHONES
from cosy.train.flow import FlowTask
from cosy.train.listener import Listener
from cosy.train.shared_rows import digits, fold, share
from cosy.train.syllable_ear import SyllableEar, by_token, wrong
from cosy.train.tokenizer import PITCH_UNIT, own_pitch

READ_WEIGHT = 0.8
READER_WIDTH = 192
RARITY = 0.5, 4.0
SHAPE_FRAMES = 3
HEARD_PITCH_WEIGHT, HEARD_PHONES_WEIGHT, SYLLABLES_WEIGHT = 4.0, 0.6, 1.0
HUM_HZ = 150.0


class FlowAndReader(nn.Module):
    """The flow, its table told the digits, and the reading of its encoder's projection: voicing, pitch, phones."""

    def __init__(self, flow: Flow) -> None:
        super().__init__()
        self.flow = flow
        share(flow.input_embedding, digits(flow.config.vocab_size))
        mel, speaker = flow.config.output_size, flow.config.spk_embed_dim
        self.pitch = nn.Linear(mel, 2)
        self.own = nn.Sequential(nn.Linear(mel + speaker, READER_WIDTH), nn.GELU(), nn.Linear(READER_WIDTH, 1))
        self.phones = nn.Linear(mel, len(PHONES))

    def read_pitch(self, mu: Tensor, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """Voicing and pitch [B, F] of the projection `mu` [B, F, M], spoken by `embedding` [B, 192]."""
        speaker = F.normalize(embedding, dim=1) * embedding.shape[1] ** 0.5
        told = torch.cat([mu, speaker[:, None].expand(-1, mu.shape[1], -1)], dim=-1)
        voicing, pitch = self.pitch(mu).unbind(-1)
        return voicing, pitch + self.own(told)[..., 0]


@torch.no_grad()
def folded(run: Path, config: FlowConfig) -> Flow:
    """The flow of a training folder, its weights averaged, with a plain table."""
    flow = Flow(config)
    share(flow.input_embedding, digits(config.vocab_size))
    flow.load_state_dict(averaged(run, "flow."))
    fold(flow.input_embedding)
    return flow.eval()


class FlowByEarTask(FlowTask):
    """`FlowTask` on a corpus with F0, and with phones for a `listener`; the flow is `network.flow`.

    The F0 predictor and the ears stay as they are; what is None does not hear, and the syllables' ear needs an F0.
    `reading_only` trains the encoder alone, by what is read in its projection, phones too: a fraction of a step's cost.
    """

    def __init__(
        self,
        config: FlowConfig,
        corpus: Corpus,
        f0_predictor: nn.Module | None = None,
        listener: Listener | None = None,
        syllable_ear: SyllableEar | None = None,
        *,
        reading_only: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(config, corpus, **options)
        self.reading_only, self.phones_are_read = reading_only, reading_only or listener is not None
        self.f0_predictor = None if f0_predictor is None else f0_predictor.eval().requires_grad_(False)
        self.listener = None if listener is None else listener.eval().requires_grad_(False)
        self.syllable_ear = None if syllable_ear is None else syllable_ear.eval().requires_grad_(False)
        self.reader = FlowAndReader(self.flow)
        self.network = self.reader
        self.rarity = _rarity(corpus) if self.phones_are_read else torch.ones(len(PHONES))
        self.own_pitch = [own_pitch(corpus, indices) for indices in self.speakers]

    def _heard(self, index: int) -> dict[str, np.ndarray]:
        hz = self.corpus.slice("f0", index)
        relative = (np.log(np.maximum(hz, 1.0)) - self.own_pitch[self.owner[index]]) / PITCH_UNIT
        found = {**super()._heard(index), "voiced": hz > 0, "pitch": relative.clip(-4, 4), "hz": hz}
        if self.phones_are_read:
            found["phone"] = self.corpus.slice("phone", index)
        if self.syllable_ear is not None:  # counted from 1: padding, 0, is not known
            found["said"] = np.repeat(by_token(self.corpus, index) - IGNORE, FRAMES_PER_TOKEN, axis=0)
        return found

    def loss(self, batch: dict[str, Tensor], progress: float) -> tuple[Tensor, dict[str, float]]:
        if self.reading_only:
            return self._reading(batch)
        loss, figures, draws, details = self._losses(batch, progress)
        read = self._read(batch, details.mu, details.mask[..., 0])
        mel = _led_to(batch["feat"], draws, details)
        heard = self._hearing(mel, batch, details.mask[..., 0] * draws.keep[:, None])
        return with_parts(loss, figures, (READ_WEIGHT, read), *heard)

    def _hearing(self, mel: Tensor, batch: dict[str, Tensor], counted: Tensor) -> list[tuple[float, dict[str, Tensor]]]:
        """What is heard wrong in a mel (B, F, 80), where `counted` (B, F) is 1, and how much it weighs."""
        parts = []
        if self.listener is not None:
            phones = {"heard_phones": self._phone_error(self.listener(mel.mT), batch, counted)}
            parts.append((HEARD_PHONES_WEIGHT, phones))
        if self.f0_predictor is None:
            return parts
        hz = self._hz(mel)
        parts.append((HEARD_PITCH_WEIGHT, self._pitch_heard(hz, batch, counted, "heard")))
        if self.syllable_ear is not None:
            said = torch.where(counted[..., None] > 0, batch["said"].long() + IGNORE, IGNORE)
            voice = hz * batch["voiced"]  # or it would be glad of a hum in consonants, whose pitch it could bend
            syllables = wrong(self.syllable_ear(mel.mT, voice), said[:, ::FRAMES_PER_TOKEN])
            parts.append((SYLLABLES_WEIGHT, {"heard_syllables": syllables}))
        return parts

    def _hz(self, mel: Tensor) -> Tensor:
        """The F0 (B, F) that is heard in a mel (B, F, 80)."""
        assert self.f0_predictor is not None
        hz: Tensor = self.f0_predictor(mel.mT).float()
        return hz

    def _pitch_heard(self, hz: Tensor, batch: dict[str, Tensor], counted: Tensor, name: str) -> dict[str, Tensor]:
        """What is wrong in the F0 (B, F) that is heard, where `counted` (B, F) is 1."""
        return {f"{name}_pitch": _pitch_error(hz, batch, counted), f"{name}_hum": _hum(hz, batch, counted)}

    def _reading(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """The loss of the encoder's projection alone, chunk-masked half of the time."""
        lengths, feat = batch["length"], batch["feat"]
        streaming = bool(batch["seed"] % 2)
        mu = self.flow.encode(batch["token"], lengths, streaming=streaming)
        frames = valid_positions(FRAMES_PER_TOKEN * lengths, feat.shape[1])
        losses = self._read(batch, mu, frames)
        prior = mean_of((mu.float() - feat).abs().mean(-1), frames)
        figures = {name: value.item() for name, value in losses.items()}
        return READ_WEIGHT * sum(losses.values()) + self.prior_weight * prior, {**figures, "prior": prior.item()}

    def _read(self, batch: dict[str, Tensor], mu: Tensor, frames: Tensor) -> dict[str, Tensor]:
        """What is read wrong in the projection `mu` (B, F, M) where `frames` (B, F) are valid."""
        voicing, pitch = self.reader.read_pitch(mu, batch["embedding"])
        voiced = batch["voiced"]
        voice = mean_of(F.binary_cross_entropy_with_logits(voicing.float(), voiced, reduction="none"), frames)
        read = {"pitch": _height_and_shape(pitch.float() - batch["pitch"], voiced), "voicing": voice}
        if not self.phones_are_read:
            return read
        phones = self.reader.phones(mu).transpose(1, 2)
        return {**read, "phones": self._phone_error(phones, batch, frames)}

    def _phone_error(self, logits: Tensor, batch: dict[str, Tensor], counted: Tensor) -> Tensor:
        """Mean cross-entropy of logits (B, phones, F) where `counted` (B, F), rare phones counting more."""
        phone = batch["phone"].long()
        entropy = F.cross_entropy(logits.float(), phone, reduction="none")
        return mean_of(entropy, counted * self.rarity.to(phone.device)[phone])


def _rarity(corpus: Corpus) -> Tensor:
    """How much a frame of each phone counts, by the root of how rare it is: else nobody misses the short stops."""
    some = range(0, len(corpus), max(1, len(corpus) // 400))
    counts = np.bincount(np.concatenate([corpus.slice("phone", i) for i in some]), minlength=len(PHONES))
    return torch.from_numpy((counts.mean() / counts.clip(1)) ** 0.5).float().clamp(*RARITY)


def _led_to(feat: Tensor, draws: FlowDraws, details: FlowLossDetails) -> Tensor:
    """The mel (B, F, 80) that the estimated velocity leads to along a straight path."""
    return feat + (1 - draws.t)[:, None, None] * (details.velocity.float() - details.target)


def with_parts(
    loss: Tensor, figures: dict[str, float], *parts: tuple[float, dict[str, Tensor]]
) -> tuple[Tensor, dict[str, float]]:
    """A loss and its figures with further weighted losses."""
    for weight, losses in parts:
        loss = loss + weight * sum(losses.values())
        figures = figures | {name: value.item() for name, value in losses.items()}
    return loss, figures


def _pitch_error(hz: Tensor, batch: dict[str, Tensor], counted: Tensor) -> Tensor:
    """`_height_and_shape` of the F0 heard, in `PITCH_UNIT`, where there is one and `counted` (B, F).

    Half of its sum would be frames that the predictor takes for unvoiced, in recordings, too: see `_softly`.
    """
    off = (hz.clamp(min=20.0).log() - batch["hz"].clamp(min=20.0).log()) / PITCH_UNIT
    return _height_and_shape(off.clamp(-4.0, 4.0), batch["voiced"] * counted, _softly)


def _softly(error: Tensor) -> Tensor:
    """What an error >= 0 counts: the smaller, the more it pays to mend it."""
    return 0.75 * torch.log1p(3 * error)


def _height_and_shape(off: Tensor, counted: Tensor, weighed: Callable[[Tensor], Tensor] = lambda e: e) -> Tensor:
    """Mean size of an error of pitch (B, F) where `counted`, plus how much it changes within 60 ms.

    A tone is a shape: one that is flattened is another tone, though no frame of it is far off.
    """
    bend = off[:, SHAPE_FRAMES:] - off[:, :-SHAPE_FRAMES]
    both = counted[:, SHAPE_FRAMES:] * counted[:, :-SHAPE_FRAMES]
    return mean_of(weighed(off.abs()), counted) + mean_of(weighed(bend.abs()), both)


def _hum(hz: Tensor, batch: dict[str, Tensor], counted: Tensor) -> Tensor:
    """Mean of the F0 heard where there is none, as a part of `HUM_HZ`, where `counted` (B, F)."""
    return mean_of((hz / HUM_HZ).clamp(max=2.0), (1 - batch["voiced"]) * counted)


def mean_of(values: Tensor, counted: Tensor) -> Tensor:
    """Mean of `values` where `counted` is 1; 0 where it is nowhere."""
    mean: Tensor = (values * counted).sum() / counted.sum().clamp(min=1)
    return mean

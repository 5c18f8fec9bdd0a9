"""Train the vocoder: with critics, as CosyVoice 2 does, or without, which a CPU can bear.

Without critics the F0 predictor is trained first, alone, then the decoder with spectral losses.  Its source is driven
by the measured F0, and towards the end by the predicted one, so that the decoder meets what it will be given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cosy.audio.constants import HOP_SAMPLES, SAMPLE_RATE_HZ
from cosy.config import VocoderConfig
from cosy.models.discriminators import Discriminators
from cosy.models.f0_predictor import F0Predictor
from cosy.models.vocoder import Vocoder
from cosy.models.vocoder_loss import (
    discriminator_loss,
    f0_loss,
    generator_loss,
    repetition,
    stft_losses,
    takes_apart,
    transient_distance,
)
from cosy.train.data.corpus import PER_TOKEN, Corpus
from cosy.train.journal import Picture, Sample, Sound

REPETITION_WEIGHT, SHARP_WEIGHT = 2.0, 1.5


class Segments:
    """Random stretches of `tokens` speech tokens, speakers by `Corpus.shares`; short ones are padded."""

    def __init__(
        self, corpus: Corpus, size: int, tokens: int, speaker_weights: Mapping[str, float] | None = None
    ) -> None:
        self.corpus, self.size, self.tokens = corpus, size, tokens
        self.speakers = list(corpus.by_speaker.values())
        self.shares = corpus.shares(speaker_weights)

    def _one(self, rng: np.random.Generator, names: Sequence[str]) -> dict[str, np.ndarray]:
        corpus = self.corpus
        index = int(rng.choice(self.speakers[int(rng.choice(len(self.speakers), p=self.shares))]))
        length = min(self.tokens, corpus.entries[index].tokens)
        start = int(rng.integers(corpus.entries[index].tokens - length + 1))
        segment = {name: corpus.slice(name, index, start, length) for name in names}
        for name, array in segment.items():
            missing = (self.tokens - length) * PER_TOKEN[name]
            widths = [(0, missing)] + [(0, 0)] * (array.ndim - 1)
            segment[name] = np.pad(array, widths, mode="edge" if name == "mel" else "constant")
        return segment

    def batch(self, rng: np.random.Generator, names: Sequence[str]) -> dict[str, Tensor]:
        """Float tensors, as named, mel among them: wave (B, L) in [-1, 1], mel (B, 80, T), f0 (B, T) in Hz."""
        rows = [self._one(rng, names) for _ in range(self.size)]
        stack = {name: torch.from_numpy(np.stack([r[name] for r in rows])).float() for name in names}
        if "wave" in stack:
            stack["wave"] = stack["wave"] / 32767
        stack["mel"] = stack["mel"].transpose(1, 2).contiguous()
        return stack


class F0Task:
    """The F0 predictor alone, on many frames a step: it costs a hundredth of the decoder; see `trainer.Task`.

    `network` is one to be trained further: on mels of the flow, say, whose unvoiced frames one that has only seen
    measured mels takes for voiced.
    """

    def __init__(
        self,
        config: VocoderConfig,
        corpus: Corpus,
        batch: int = 32,
        tokens: int = 32,
        *,
        speaker_weights: Mapping[str, float] | None = None,
        network: F0Predictor | None = None,
    ) -> None:
        self.segments = Segments(corpus, batch, tokens, speaker_weights)
        self.network = network or F0Predictor(config.f0_in_channels, config.f0_cond_channels, config.f0_num_class)

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        return self.segments.batch(rng, ("mel", "f0"))

    def loss(self, batch: dict[str, Tensor], progress: float) -> tuple[Tensor, dict[str, float]]:
        predicted = self.network(batch["mel"])
        voiced = batch["f0"] > 0
        wrong = ((predicted > 10) != voiced).float().mean()
        loss = f0_loss(predicted, batch["f0"])
        return loss, {"f0_hz": loss.item(), "voicing_errors": wrong.item()}


class _Waves:
    """What both ways of training the decoder share: batches of segments with noise, and samples."""

    segments: Segments
    network: Vocoder

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        batch = self.segments.batch(rng, ("wave", "mel", "f0"))
        harmonics = self.network.m_source.harmonics
        noise = rng.standard_normal((*batch["wave"].shape, harmonics), dtype=np.float32)
        return {**batch, "noise": torch.from_numpy(noise), "coin": torch.tensor(rng.random())}

    def samples(self, rng: np.random.Generator) -> dict[str, Sample]:
        """An utterance of the corpus beside the one made from its mel."""
        corpus = self.segments.corpus
        index = int(rng.integers(len(corpus)))
        mel = torch.from_numpy(corpus.slice("mel", index).astype(np.float32)).T[None]
        made = spoken(self.network, mel.to(self.network.window.device), rng)
        recorded = Sound(corpus.slice("wave", index).astype(np.float32) / 32767, SAMPLE_RATE_HZ)
        return {"made": made, "recorded": recorded, "mel": Picture(mel[0].numpy())}


class VocoderTask(_Waves):
    """Decoder and source, with a trained F0 predictor that stays as it is; see `trainer.Task`.

    Every segment is made twice, from other noise.  Where nothing is voiced the distance of the two counts in their
    favour: by its distance from the recording alone a decoder does best to ignore the noise, and hums instead.  Nor may
    an unvoiced frame repeat the one before.

    `network` is one to be trained further; its own F0 predictor is replaced.  From `predicted_f0_from` of the schedule
    on it drives half of the batches; never (1.0) where mels are the flow's, whose F0 is not that of the waves.
    """

    def __init__(
        self,
        config: VocoderConfig,
        corpus: Corpus,
        f0_predictor: nn.Module,
        batch: int = 4,
        tokens: int = 16,
        *,
        predicted_f0_from: float = 0.7,
        speaker_weights: Mapping[str, float] | None = None,
        network: Vocoder | None = None,
    ) -> None:
        self.segments = Segments(corpus, batch, tokens, speaker_weights)
        self.predicted_f0_from = predicted_f0_from
        self.network = network or Vocoder(config)
        self.network.f0_predictor.load_state_dict(f0_predictor.state_dict())
        self.network.f0_predictor.requires_grad_(False)

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        batch = super().batch(rng)
        again = rng.standard_normal(batch["noise"].shape, dtype=np.float32)
        return {**batch, "noise": torch.cat([batch["noise"], torch.from_numpy(again)])}

    def loss(self, batch: dict[str, Tensor], progress: float) -> tuple[Tensor, dict[str, float]]:
        predicted = progress > self.predicted_f0_from and bool(batch["coin"] < 0.5)
        f0 = self.network.f0(batch["mel"]) if predicted else batch["f0"]
        mel, wave, f0 = (torch.cat([x, x]) for x in (batch["mel"], batch["wave"], f0))
        made = self.network.decode(mel, self.network.source(f0, batch["noise"]))
        near, unvoiced = stft_losses(made, wave), _unvoiced(batch["f0"])
        one, other = made.chunk(2)
        apart, repeated = takes_apart(one, other, unvoiced), repetition(made, unvoiced.repeat(2, 1))
        figures = {"mel": near.mel, "magnitude": near.magnitude, "convergence": near.convergence}
        edges = _not_voiced(batch["f0"]).repeat(2, 1)
        sharp = transient_distance(made, wave, edges) - 0.5 * transient_distance(one, other, unvoiced)
        figures |= {"apart": apart, "repeated": repeated, "sharp": sharp}
        total = near.total - 0.5 * apart + REPETITION_WEIGHT * repeated + SHARP_WEIGHT * sharp
        return total, {name: value.item() for name, value in figures.items()}


def _unvoiced(f0: Tensor) -> Tensor:
    """1 where a frame of (B, T) is unvoiced from its beginning to its end, which is the next one's beginning."""
    return 1 - _at_either_end(f0 > 0)


def _not_voiced(f0: Tensor) -> Tensor:
    """1 where a frame of (B, T) is unvoiced at its beginning or its end: all that `_unvoiced` has, and onsets."""
    return _at_either_end(f0 <= 0)


def _at_either_end(true: Tensor) -> Tensor:
    """1 where something is true of the beginning of a frame (B, T) or of that of the next one."""
    return F.max_pool1d(F.pad(true.float(), (0, 1)), 2, 1)


class AdversarialVocoderTask(_Waves):
    """The whole vocoder against period and spectrogram critics; see `trainer.Adversarial`.

    The predicted F0 drives the source, through which no gradient passes, so the F0 predictor learns by its own loss.
    """

    def __init__(
        self,
        config: VocoderConfig,
        corpus: Corpus,
        batch: int = 16,
        tokens: int = 26,  # a good second
        *,
        network: Vocoder | None = None,
        critics: Discriminators | None = None,
    ) -> None:
        self.segments = Segments(corpus, batch, tokens)
        self.network = network or Vocoder(config)
        self.critics = critics or Discriminators()

    def _generate(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Waveform (B, L) and F0 (B, T)."""
        f0 = self.network.f0(batch["mel"])
        source = self.network.source(f0.detach(), batch["noise"])
        return self.network.decode(batch["mel"], source), f0

    def critics_loss(self, batch: dict[str, Tensor], progress: float) -> tuple[Tensor, dict[str, float]]:
        with torch.no_grad():
            wave, _ = self._generate(batch)
        losses = discriminator_loss(self.critics(batch["wave"])[0], self.critics(wave)[0])
        return losses.total, {"tpr": losses.tpr.item()}

    def loss(self, batch: dict[str, Tensor], progress: float) -> tuple[Tensor, dict[str, float]]:
        wave, f0 = self._generate(batch)
        with torch.no_grad():
            real_scores, real_maps = self.critics(batch["wave"])
        scores, maps = self.critics(wave)
        losses = generator_loss(real_scores, scores, real_maps, maps, batch["wave"], wave, batch["f0"], f0)
        names = ("adversarial", "feature", "mel", "tpr", "f0")
        return losses.total, {name: getattr(losses, name).item() for name in names}


def spoken(vocoder: Vocoder, mel: Tensor, rng: np.random.Generator) -> Sound:
    """What the vocoder makes of a mel (1, 80, T)."""
    shape = (1, mel.shape[2] * HOP_SAMPLES, vocoder.m_source.harmonics)
    noise = torch.from_numpy(rng.standard_normal(shape, dtype=np.float32)).to(mel.device)
    wave, _ = vocoder(mel, noise)
    return Sound(wave[0].float().cpu().numpy(), SAMPLE_RATE_HZ)

"""Losses of the vocoder: adversarial training as in CosyVoice 2, and spectral distances for training without a critic.

All are means, so they do not depend on batch size or length.  Scores and feature maps are those of `Discriminators`:
one score (B, n) and a list of maps per critic.  Waveforms are (B, L) at 24 kHz.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from cosy.audio.constants import HOP_SAMPLES
from cosy.audio.features import mel_spectrogram

Maps = Sequence[Sequence[Tensor]]

FEATURE_WEIGHT = 2.0
MEL_WEIGHT = 45.0
TPR_WEIGHT = 1.0
TPR_TAU = 0.04
STFT_SIZES = (512, 1024, 2048)  # samples; hop a quarter
SHORT_SIZES = (128, 256)
MAGNITUDE_FLOOR = 1e-4  # under the rounding noise of 16-bit audio in one bin


def generator_adversarial(generated: Sequence[Tensor]) -> Tensor:
    """Least squares: every score of generated audio should be one."""
    return torch.stack([(1.0 - g).square().mean() for g in generated]).sum()


def discriminator_adversarial(real: Sequence[Tensor], generated: Sequence[Tensor]) -> Tensor:
    """Least squares: one on real audio, zero on generated audio."""
    return generator_adversarial(real) + torch.stack([g.square().mean() for g in generated]).sum()


def feature_matching(real: Maps, generated: Maps) -> Tensor:
    """Twice the sum of the mean absolute differences of all feature maps."""
    return (
        2.0
        * torch.stack(
            [
                F.l1_loss(g, r)
                for real_maps, generated_maps in zip(real, generated, strict=True)
                for r, g in zip(real_maps, generated_maps, strict=True)
            ]
        ).sum()
    )


def tpr(a: Sequence[Tensor], b: Sequence[Tensor], tau: float = TPR_TAU) -> Tensor:
    """Truncated pointwise relativistic loss (EVA-GAN, Liao et al., 2024): spread of a - b under its median.

    Where a falls short of b by more than the median, the squared excess is averaged; no critic adds more than `tau`.
    """
    return torch.stack([_relative(x, y).clamp(max=tau) for x, y in zip(a, b, strict=True)]).sum()


def _relative(a: Tensor, b: Tensor) -> Tensor:
    difference = a - b
    median = difference.median()  # the lower of the two middle values
    below = a < b + median
    excess = (difference - median).square() * below
    return excess.sum() / below.sum().clamp(min=1)  # scores that differ by a constant have nothing below


def mel_loss(generated: Tensor, real: Tensor, fmax: float | None = None) -> Tensor:
    """Mean absolute difference of the log-mels, up to 12 kHz by default."""
    return F.l1_loss(mel_spectrogram(generated, fmax=fmax), mel_spectrogram(real, fmax=fmax))


def f0_loss(predicted: Tensor, reference: Tensor) -> Tensor:
    """Mean absolute difference in Hz over all frames (B, T), unvoiced ones (0 Hz) included."""
    return F.l1_loss(predicted, reference)


@dataclass(frozen=True)
class GeneratorLoss:
    """The terms of the generator's step, before weighting."""

    adversarial: Tensor
    feature: Tensor
    mel: Tensor
    tpr: Tensor
    f0: Tensor

    @property
    def total(self) -> Tensor:
        weighted = FEATURE_WEIGHT * self.feature + MEL_WEIGHT * self.mel + TPR_WEIGHT * self.tpr
        return self.adversarial + weighted + self.f0


@dataclass(frozen=True)
class DiscriminatorLoss:
    """The terms of the critics' step, before weighting."""

    adversarial: Tensor
    tpr: Tensor

    @property
    def total(self) -> Tensor:
        return self.adversarial + TPR_WEIGHT * self.tpr


def generator_loss(
    real_scores: Sequence[Tensor],
    generated_scores: Sequence[Tensor],
    real_maps: Maps,
    generated_maps: Maps,
    real: Tensor,
    generated: Tensor,
    f0_real: Tensor,
    f0_predicted: Tensor,
) -> GeneratorLoss:
    """What the vocoder minimises; the verdicts on real audio need no gradient."""
    return GeneratorLoss(
        adversarial=generator_adversarial(generated_scores),
        feature=feature_matching(real_maps, generated_maps),
        mel=mel_loss(generated, real),
        tpr=tpr(generated_scores, real_scores),
        f0=f0_loss(f0_predicted, f0_real),
    )


def discriminator_loss(real_scores: Sequence[Tensor], generated_scores: Sequence[Tensor]) -> DiscriminatorLoss:
    """What the critics minimise; the generated audio is to be detached before they judge it."""
    return DiscriminatorLoss(
        adversarial=discriminator_adversarial(real_scores, generated_scores), tpr=tpr(real_scores, generated_scores)
    )


@dataclass(frozen=True)
class StftLosses:
    """Spectral distances of two waveforms, each a mean over the batch (and the resolutions)."""

    mel: Tensor  # log-mel, mean absolute difference
    magnitude: Tensor  # log-magnitude, mean absolute difference
    convergence: Tensor  # norm of the magnitude difference by the norm of the target

    @property
    def total(self) -> Tensor:
        return self.mel + self.magnitude + self.convergence


def stft_losses(pred: Tensor, target: Tensor, sizes: Sequence[int] = STFT_SIZES) -> StftLosses:
    """Multi-resolution spectral losses (Parallel WaveGAN, Yamamoto et al., 2020) for training without critics."""
    pairs = [_spectral_distance(pred, target, size) for size in sizes]
    magnitude, convergence = (torch.stack(values).mean() for values in zip(*pairs, strict=True))
    return StftLosses(mel_loss(pred, target), magnitude, convergence)


def takes_apart(one: Tensor, other: Tensor, unvoiced: Tensor, sizes: Sequence[int] = STFT_SIZES) -> Tensor:
    """Log-mel plus log-magnitude distance of two takes (B, L), where `unvoiced` (B, T) is 1: a mel frame without voice.

    Windows of two frames and more count only where the frames beside it are unvoiced, too.  A mean over all frames:
    what does not count adds nothing.  Half of it, taken from the distance of either to a recording, makes an energy
    distance (Gritsenko et al., 2020), which the spread of a hiss minimises, not its median.
    """
    amid = 1 - F.max_pool1d(1 - unvoiced, 3, 1, 1)
    mel = _counted_distance(mel_spectrogram(one, fmax=None), mel_spectrogram(other, fmax=None), amid)
    counted = [amid if size >= 2 * HOP_SAMPLES else unvoiced for size in sizes]
    pairs = [_magnitude_distance(one, other, size, where) for size, where in zip(sizes, counted, strict=True)]
    return mel + torch.stack(pairs).mean()


def transient_distance(one: Tensor, other: Tensor, counted: Tensor, sizes: Sequence[int] = SHORT_SIZES) -> Tensor:
    """Log-magnitude distance of two waves (B, L) in short windows, where `counted` (B, T) is 1; a mean over all frames.

    The burst of a stop lasts 5 ms; a window of 20 ms does not tell it from the vowel behind.  Where there is voice such
    windows see the single periods, whose places are the source's own, so they are not to be counted.
    """
    return torch.stack([_magnitude_distance(one, other, size, counted) for size in sizes]).mean()


def repetition(wave: Tensor, unvoiced: Tensor) -> Tensor:
    """How far a mel frame of (B, L) repeats the one before, where both are `unvoiced` (B, T): mean squared correlation.

    A decoder that does not know how to use its noise hisses with the same pattern in every frame, and so buzzes at the
    frame rate of 50 Hz, which spectra hardly show.
    """
    frames = F.normalize(wave.reshape(len(wave), -1, HOP_SAMPLES), dim=-1, eps=MAGNITUDE_FLOOR)
    alike = (frames[:, 1:] * frames[:, :-1]).sum(-1)
    counted = unvoiced[:, 1:] * unvoiced[:, :-1]
    mean: Tensor = (alike.square() * counted).sum() / counted.sum().clamp(min=1)
    return mean


def _magnitude_distance(one: Tensor, other: Tensor, size: int, counted: Tensor) -> Tensor:
    return _counted_distance(_magnitude(one, size).log(), _magnitude(other, size).log(), counted)


def _counted_distance(one: Tensor, other: Tensor, counted: Tensor) -> Tensor:
    frames = one.shape[2]
    nearest = torch.arange(frames, device=one.device) * counted.shape[1] // frames
    return ((one - other).abs() * counted[:, None, nearest]).mean()


def _spectral_distance(pred: Tensor, target: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Log-magnitude difference and spectral convergence at one resolution."""
    p, t = _magnitude(pred, size), _magnitude(target, size)
    norm = torch.linalg.vector_norm
    convergence = norm(p - t, dim=(1, 2)) / norm(t, dim=(1, 2))  # the floor keeps silence above zero
    return F.l1_loss(p.log(), t.log()), convergence.mean()


def _magnitude(wave: Tensor, size: int) -> Tensor:
    """(B, L) -> (B, bins, frames), not less than the floor, where the root has no finite slope."""
    spectrum = torch.stft(wave, size, size // 4, window=_hann(size, wave.device), return_complex=True)
    return torch.view_as_real(spectrum).square().sum(-1).clamp(min=MAGNITUDE_FLOOR**2).sqrt()


@lru_cache(maxsize=16)
def _hann(size: int, device: torch.device) -> Tensor:
    return torch.hann_window(size, device=device)

"""HiFT: mel and excitation -> waveform, a HiFi-GAN trunk with an inverse-STFT head (HiFTNet; CosyVoice 2, section 2.4).

The network knows nothing of chunks, seeds or files: noise comes in as a tensor, and a waveform sample depends on the
mel within 14 frames and on the source within 6878 samples of it.

Letters: B batch, T mel frames (50 Hz), C channels, N = 480 T samples, K = n_fft / 2 + 1 = 9 bins.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations

from cosy.config import VocoderConfig
from cosy.models.f0_predictor import F0Predictor
from cosy.models.source import Source, harmonic_noise

__all__ = ["ResBlock", "Snake", "Vocoder", "harmonic_noise", "normalise_keys"]

MAX_MAGNITUDE = 100.0


class Snake(nn.Module):
    """x + sin(alpha x)^2 / alpha, with one alpha per channel (Ziyin et al., 2020).  x: (B, C, time)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        alpha = self.alpha[:, None]
        sine = torch.sin(alpha * x)
        return torch.addcmul(x, sine, sine * (alpha + 1e-9).reciprocal())


class ResBlock(nn.Module):
    """Three residual pairs of convolutions, the first of each pair dilated.  (B, C, time) -> the same."""

    def __init__(self, channels: int, kernel_size: int, dilations: tuple[int, ...]) -> None:
        super().__init__()

        def conv(dilation: int) -> nn.Module:
            padding = (kernel_size - 1) * dilation // 2
            plain = nn.Conv1d(channels, channels, kernel_size, dilation=dilation, padding=padding)
            normed: nn.Module = weight_norm(plain)
            return normed

        self.convs1 = nn.ModuleList(conv(dilation) for dilation in dilations)
        self.convs2 = nn.ModuleList(conv(1) for _ in dilations)
        self.activations1 = nn.ModuleList(Snake(channels) for _ in dilations)
        self.activations2 = nn.ModuleList(Snake(channels) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        layers = zip(self.activations1, self.convs1, self.activations2, self.convs2, strict=True)
        for snake1, conv1, snake2, conv2 in layers:
            x = x + conv2(snake2(conv1(snake1(x))))
        return x


class Vocoder(nn.Module):
    """Log-mel (B, 80, T) -> waveform (B, N) in [-0.99, 0.99] at 24 kHz."""

    window: Tensor

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        self.config = config
        width, spectrum = config.base_channels, config.istft_n_fft + 2
        self.m_source = Source(config)
        self.conv_pre = weight_norm(nn.Conv1d(config.in_channels, width, 7, padding=3))
        self.ups = nn.ModuleList()
        self.source_downs = nn.ModuleList()
        self.source_resblocks = nn.ModuleList()
        self.resblocks = nn.ModuleList()
        for i, (rate, kernel) in enumerate(zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True)):
            width //= 2
            self.ups.append(
                weight_norm(nn.ConvTranspose1d(2 * width, width, kernel, rate, padding=(kernel - rate) // 2))
            )
            down = math.prod(config.upsample_rates[i + 1 :])  # from STFT frames to the rate of this stage
            self.source_downs.append(nn.Conv1d(spectrum, width, 2 * down if down > 1 else 1, down, padding=down // 2))
            self.source_resblocks.append(
                ResBlock(width, config.source_resblock_kernel_sizes[i], config.source_resblock_dilation_sizes[i])
            )
            for kernel, dilations in zip(config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True):
                self.resblocks.append(ResBlock(width, kernel, dilations))
        self.conv_post = weight_norm(nn.Conv1d(width, spectrum, 7, padding=3))
        self.f0_predictor = F0Predictor(config.f0_in_channels, config.f0_cond_channels, config.f0_num_class)
        self.register_buffer("window", torch.hann_window(config.istft_n_fft), persistent=False)

    def forward(self, mel: Tensor, noise: Tensor, cache_source: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Log-mel (B, 80, T) and standard normal noise (B, N, 9) -> waveform (B, N), source (B, 1, N).

        `cache_source` (B, 1, n) replaces the first n samples of the source.
        """
        s = self.source(self.f0(mel), noise)
        if cache_source is not None:
            s = torch.cat([cache_source, s[:, :, cache_source.shape[2] :]], 2)
        return self.decode(mel, s), s

    def f0(self, mel: Tensor) -> Tensor:
        """Log-mel (B, 80, T) -> F0 (B, T) in Hz: float64 in evaluation, the weights' precision in training."""
        return self.f0_predictor(mel) if self.training else self.f0_predictor.precise(mel)

    def source(self, f0: Tensor, noise: Tensor) -> Tensor:
        """F0 (B, T) and noise (B, N, 9) -> source (B, 1, N); see `Source`, also for streams."""
        return self.m_source(f0, noise)  # type: ignore[no-any-return]

    def decode(self, mel: Tensor, s: Tensor) -> Tensor:
        """Log-mel (B, 80, T) and source (B, 1, N) -> waveform (B, N)."""
        for x in self.stages(mel, self.stft(s)):  # noqa: B007  (the last one counts)
            pass
        wave = self.istft(self.conv_post(F.leaky_relu(x)))  # slope 0.01 here, as the checkpoints were trained
        return wave.clamp(-self.config.audio_limit, self.config.audio_limit)

    def stages(self, mel: Tensor, spectrum: Tensor) -> Iterator[Tensor]:
        """The trunk after each upsampling stage: (B, C, 8 T), (B, C / 2, 40 T), (B, C / 4, 120 T + 1)."""
        blocks = len(self.config.resblock_kernel_sizes)
        x = self.conv_pre(mel)
        for i, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, self.config.lrelu_slope))
            if i == len(self.ups) - 1:
                x = mirror_left(x)  # a centred STFT has one frame more
            x = x + self.source_resblocks[i](self.source_downs[i](spectrum))
            x = sum(block(x) for block in self.resblocks[i * blocks : (i + 1) * blocks]) / blocks
            yield x

    def stft(self, s: Tensor) -> Tensor:
        """Source (B, 1, N) -> real parts, then imaginary parts (B, 2 K, 120 T + 1)."""
        n_fft, hop = self.config.istft_n_fft, self.config.istft_hop_len
        spectrum = torch.stft(s.squeeze(1), n_fft, hop, window=self.window, return_complex=True)
        return torch.cat([spectrum.real, spectrum.imag], 1)

    def istft(self, head: Tensor) -> Tensor:
        """Log-magnitudes and arcsine phases (B, 2 K, 120 T + 1) -> waveform (B, N), not yet limited."""
        log_magnitude, phase = head.chunk(2, 1)
        spectrum = torch.polar(log_magnitude.exp().clamp(max=MAX_MAGNITUDE), phase.sin())
        return torch.istft(spectrum, self.config.istft_n_fft, self.config.istft_hop_len, window=self.window)

    def fold(self) -> Vocoder:
        """Make this an inference network, in place: one kernel per convolution, the F0 predictor in float64.

        Nothing is trainable afterwards; `normalise_keys` undoes it for a state dict.
        """
        self.f0_predictor.double()
        for module in list(self.modules()):
            if is_parametrized(module, "weight"):
                remove_parametrizations(module, "weight")
        return self.eval().requires_grad_(False)


def mirror_left(x: Tensor) -> Tensor:
    """(B, C, time) with one more position, the mirror image of the second; the memory keeps its order."""
    if x.is_contiguous():
        return F.pad(x, (1, 0), mode="reflect")
    return torch.cat([x.mT[:, 1:2], x.mT], 1).mT


# Of all kernels called `weight`, these are weight-normalised.
_NORMALISED = re.compile(r"(^|\.)(conv_pre|conv_post|ups\.\d+|convs[12]\.\d+|f0_predictor\.condnet\.\d+)\.weight$")
_OLD_NAMES = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}


def normalise_keys(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """The state dict of a vocoder in any of its spellings -> that of `Vocoder`.

    Accepts a whole adversarial training state (`generator.*`; the discriminators, `epoch` and `step` are left out),
    the older names `weight_g` and `weight_v`, and folded kernels, which become their own direction and norm.
    """
    result: dict[str, Tensor] = {}
    for key, value in state.items():
        if key.startswith("discriminator.") or key in ("epoch", "step"):
            continue
        key = key.removeprefix("generator.")
        stem, _, name = key.rpartition(".")
        if name in _OLD_NAMES:
            result[f"{stem}.{_OLD_NAMES[name]}"] = value
        elif _NORMALISED.search(key):
            result[f"{stem}.{_OLD_NAMES['weight_g']}"] = value.flatten(1).norm(dim=1)[:, None, None]
            result[f"{stem}.{_OLD_NAMES['weight_v']}"] = value
        else:
            result[key] = value
    return result

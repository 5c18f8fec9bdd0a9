"""The two critics of vocoder training: periodic folds of the waveform and spectrograms at three resolutions.

Multi-period discriminator: HiFi-GAN (Kong et al., 2020).  Multi-resolution spectrogram discriminator: UnivNet
(Jang et al., 2021).  The names of the parameters are those of a CosyVoice 2 training checkpoint under `discriminator.`.

Letters: B batch, L samples.  Every critic returns a score (B, n), one number per patch, and six feature maps, of
which the last is the score before flattening.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

PERIODS = (2, 3, 5, 7, 11)  # samples
RESOLUTIONS = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))  # n_fft, hop, window, in samples
LRELU_SLOPE = 0.1

Verdict = tuple[Tensor, list[Tensor]]  # score, feature maps


class NormedConv2d(nn.Module):
    """A weight-normalised convolution whose parameters have the older names `weight_g` and `weight_v`."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, int],
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int] = (0, 0),
    ) -> None:
        super().__init__()
        start = nn.Conv2d(in_channels, out_channels, kernel_size)
        assert start.bias is not None
        self.stride, self.padding = stride, padding
        self.bias = start.bias
        self.weight_g = nn.Parameter(start.weight.detach().flatten(1).norm(dim=1)[:, None, None, None])
        self.weight_v = start.weight

    def forward(self, x: Tensor) -> Tensor:
        weight = torch._weight_norm(self.weight_v, self.weight_g, 0)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


def judge(x: Tensor, layers: Iterable[nn.Module], last: nn.Module) -> Verdict:
    """Run the layers, collecting what each one puts out."""
    maps = []
    for layer in layers:
        x = F.leaky_relu(layer(x), LRELU_SLOPE)
        maps.append(x)
    x = last(x)
    return x.flatten(1), [*maps, x]


class PeriodDiscriminator(nn.Module):
    """Looks at every p-th sample: the waveform (B, L) as an image (B, 1, L / p, p)."""

    def __init__(self, period: int, channels: Sequence[int] = (32, 128, 512, 1024, 1024)) -> None:
        super().__init__()
        self.period = period
        widths = [1, *channels]
        strides = [3] * (len(channels) - 1) + [1]
        self.convs = nn.ModuleList(
            NormedConv2d(width, wider, (5, 1), (stride, 1), (2, 0))
            for width, wider, stride in zip(widths, channels, strides, strict=False)
        )
        self.conv_post = NormedConv2d(widths[-1], 1, (3, 1), padding=(1, 0))

    def forward(self, wave: Tensor) -> Verdict:
        """`wave`: (B, L), L at least the period."""
        missing = -wave.shape[1] % self.period
        x = F.pad(wave[:, None], (0, missing), mode="reflect") if missing else wave[:, None]
        return judge(x.reshape(len(x), 1, -1, self.period), self.convs, self.conv_post)


class SpectrogramDiscriminator(nn.Module):
    """Looks at the magnitude of one short-time Fourier transform, (B, 1, frames, bins)."""

    window: Tensor

    def __init__(self, n_fft: int, hop: int, window: int, channels: int = 32) -> None:
        super().__init__()
        self.n_fft, self.hop = n_fft, hop

        def conv(in_channels: int, width: int, stride: int) -> nn.Module:
            plain = nn.Conv2d(in_channels, channels, (3, width), (1, stride), padding=(1, width // 2))
            normed: nn.Module = weight_norm(plain)
            return normed

        strided = [conv(channels, 9, 2) for _ in range(3)]
        self.discriminators = nn.ModuleList([conv(1, 9, 1), *strided, conv(channels, 3, 1)])
        self.out = weight_norm(nn.Conv2d(channels, 1, 3, padding=1))
        self.register_buffer("window", torch.hann_window(window), persistent=False)

    def forward(self, wave: Tensor) -> Verdict:
        """`wave`: (B, L), L more than n_fft / 2."""
        spectrum = torch.stft(
            wave, self.n_fft, self.hop, len(self.window), window=self.window, pad_mode="reflect", return_complex=True
        )
        return judge(spectrum.abs().transpose(1, 2)[:, None], self.discriminators, self.out)


class Critics(nn.Module):
    """Several discriminators of one family."""

    def __init__(self, discriminators: Iterable[nn.Module]) -> None:
        super().__init__()
        self.discriminators = nn.ModuleList(discriminators)


class Discriminators(nn.Module):
    """All critics, period first.  `period_channels` and `spectrogram_channels` make small ones for small vocoders."""

    def __init__(
        self,
        period_channels: Sequence[int] = (32, 128, 512, 1024, 1024),
        spectrogram_channels: int = 32,
        periods: Sequence[int] = PERIODS,
        resolutions: Sequence[tuple[int, int, int]] = RESOLUTIONS,
    ) -> None:
        super().__init__()
        self.mpd = Critics(PeriodDiscriminator(period, period_channels) for period in periods)
        self.mrd = Critics(SpectrogramDiscriminator(*r, channels=spectrogram_channels) for r in resolutions)

    def forward(self, wave: Tensor) -> tuple[list[Tensor], list[list[Tensor]]]:
        """Waveform (B, L) -> the score (B, n) and the feature maps of every critic."""
        verdicts = [critic(wave) for critic in (*self.mpd.discriminators, *self.mrd.discriminators)]
        scores, maps = zip(*verdicts, strict=True)
        return list(scores), list(maps)

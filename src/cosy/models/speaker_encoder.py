"""Speaker encoder CAM++: filter banks of any length to a voice vector.

A small residual network over the time-frequency image, then a densely connected time-delay network
whose layers are gated by their context (Wang et al. 2023, "CAM++"), then statistics over time.
It knows nothing of audio: `cosy.audio.features` makes the filter banks.  The vector is not
length-normalised here.

Shape letters: B batch rows, T feature frames (100 per second), t = ceil(T / 2) frames after the
time-delay layer, F filter banks, C channels, S segments of the context pooling.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cosy.config import SpeakerEncoderConfig
from cosy.errors import AudioError

MIN_FRAMES = 3  # two frames after the stride: a deviation needs two


def norm_relu(channels: int) -> nn.Sequential:
    """Batch norm and ReLU over (B, C, t)."""
    return nn.Sequential(OrderedDict(batchnorm=nn.BatchNorm1d(channels), relu=nn.ReLU()))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions over (B, C, F, T) with a shortcut; only frequency is ever strided."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, stride=(stride, 1), padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential()
        if stride != 1:
            self.shortcut.append(nn.Conv2d(channels, channels, 1, stride=(stride, 1), bias=False))
            self.shortcut.append(nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, F, T) -> (B, C, ceil(F / stride), T)."""
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class Front(nn.Module):
    """The filter banks as a one-channel image; frequency is halved three times, time is kept."""

    def __init__(self, channels: int, feat_dim: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.layer1 = nn.Sequential(ResidualBlock(channels, 2), ResidualBlock(channels, 1))
        self.layer2 = nn.Sequential(ResidualBlock(channels, 2), ResidualBlock(channels, 1))
        self.conv2 = nn.Conv2d(channels, channels, 3, stride=(2, 1), padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.out_channels = channels * -(-feat_dim // 8)

    def forward(self, x: Tensor) -> Tensor:
        """(B, F, T) -> (B, channels * ceil(F / 8), T), channel-major."""
        x = F.relu(self.bn1(self.conv1(x.unsqueeze(1))))
        x = self.layer2(self.layer1(x))
        return F.relu(self.bn2(self.conv2(x))).flatten(1, 2)


class TimeDelay(nn.Module):
    """Convolution over five frames, halving time."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.linear = nn.Conv1d(in_channels, out_channels, 5, stride=2, padding=2, bias=False)
        self.nonlinear = norm_relu(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, C', ceil(T / 2))."""
        y: Tensor = self.nonlinear(self.linear(x))
        return y


class ContextGate(nn.Module):
    """A local convolution, each frame gated by the mean of the clip and of its segment."""

    def __init__(self, in_channels: int, out_channels: int, dilation: int, segment_frames: int) -> None:
        super().__init__()
        self.segment_frames = segment_frames
        self.linear_local = nn.Conv1d(in_channels, out_channels, 3, padding=dilation, dilation=dilation, bias=False)
        self.linear1 = nn.Conv1d(in_channels, in_channels // 2, 1)
        self.linear2 = nn.Conv1d(in_channels // 2, out_channels, 1)

    def forward(self, h: Tensor) -> Tensor:
        """(B, C, t) -> (B, g, t)."""
        size = self.segment_frames
        segments = F.avg_pool1d(h, size, stride=size, ceil_mode=True)  # (B, C, S); the last averages what it has
        context = h.mean(-1, keepdim=True) + segments
        gate = torch.sigmoid(self.linear2(F.relu(self.linear1(context))))  # (B, g, S): constant within a segment
        gate = gate.unsqueeze(-1).expand(-1, -1, -1, size).flatten(2)  # (B, g, S) -> (B, g, S * size)
        y: Tensor = self.linear_local(h) * gate[..., : h.shape[-1]]
        return y


class DenseLayer(nn.Module):
    """Bottleneck, then a gated convolution to `growth` new channels."""

    def __init__(self, in_channels: int, config: SpeakerEncoderConfig, dilation: int) -> None:
        super().__init__()
        bottleneck = config.bn_size * config.growth_rate
        self.nonlinear1 = norm_relu(in_channels)
        self.linear1 = nn.Conv1d(in_channels, bottleneck, 1, bias=False)
        self.nonlinear2 = norm_relu(bottleneck)
        self.cam_layer = ContextGate(bottleneck, config.growth_rate, dilation, config.segment_pool)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, t) -> (B, g, t)."""
        y: Tensor = self.cam_layer(self.nonlinear2(self.linear1(self.nonlinear1(x))))
        return y


class DenseBlock(nn.ModuleDict):
    """Layers `tdnnd1`, `tdnnd2` ..., each reading all that came before and appending its channels."""

    def __init__(self, in_channels: int, layers: int, config: SpeakerEncoderConfig, dilation: int) -> None:
        growth = config.growth_rate
        super().__init__(
            {f"tdnnd{j + 1}": DenseLayer(in_channels + j * growth, config, dilation) for j in range(layers)}
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, t) -> (B, C + layers * g, t)."""
        for layer in self.values():
            x = torch.cat([x, layer(x)], dim=1)
        return x


class Transit(nn.Module):
    """Halves the channels after a dense block."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.nonlinear = norm_relu(channels)
        self.linear = nn.Conv1d(channels, channels // 2, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, t) -> (B, C // 2, t)."""
        y: Tensor = self.linear(self.nonlinear(x))
        return y


class StatisticsPooling(nn.Module):
    """Mean and unbiased standard deviation over time, in float32."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, t) -> (B, 2C)."""
        x = x.float()
        return torch.cat([x.mean(-1), x.std(-1, unbiased=True)], dim=-1)


class Dense(nn.Module):
    """The voice vector: a linear map, then batch norm without gain."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.linear = nn.Conv1d(in_channels, out_channels, 1, bias=False)
        self.nonlinear = nn.Sequential(OrderedDict(batchnorm=nn.BatchNorm1d(out_channels, affine=False)))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C) -> (B, C')."""
        y: Tensor = self.nonlinear(self.linear(x.unsqueeze(-1)).squeeze(-1))
        return y


class SpeakerEncoder(nn.Module):
    """Mean-normalised log filter banks to a voice vector.  State-dict keys are 3D-Speaker's."""

    def __init__(self, config: SpeakerEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.head = Front(config.front_channels, config.feat_dim)
        channels = config.init_channels
        parts: OrderedDict[str, nn.Module] = OrderedDict(tdnn=TimeDelay(self.head.out_channels, channels))
        shapes = zip(config.block_layers, config.block_dilations, strict=True)
        for i, (layers, dilation) in enumerate(shapes, start=1):
            parts[f"block{i}"] = DenseBlock(channels, layers, config, dilation)
            channels += layers * config.growth_rate
            parts[f"transit{i}"] = Transit(channels)
            channels //= 2
        parts["out_nonlinear"] = norm_relu(channels)
        parts["stats"] = StatisticsPooling()
        parts["dense"] = Dense(2 * channels, config.embedding_size)
        self.xvector = nn.Sequential(parts)

    def forward(self, features: Tensor) -> Tensor:
        """features float (B, T, F), at least 3 frames of 10 ms -> embedding (B, embedding_size), not normalised.

        Raises AudioError for fewer frames.
        """
        if not torch.onnx.is_in_onnx_export() and features.shape[1] < MIN_FRAMES:
            raise AudioError(f"the speaker encoder needs at least {MIN_FRAMES} frames (30 ms), got {features.shape[1]}")
        embedding: Tensor = self.xvector(self.head(features.transpose(1, 2)))  # (B, T, F) -> (B, F, T)
        return embedding

"""Layers whose weights lie as the CPU's kernels want them: for inference only, and nothing is kept of the originals.

Every layer here takes what the one it replaces takes and returns float32 (or what `keep` says).  Products are summed
in float32 whatever the weights are stored in.  The kernels are oneDNN's; the order of the weights is theirs alone, so
these layers have no state dict and stay on the CPU.

Letters: B batch, T positions, C channels, K inputs, N outputs, k kernel size.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

_linear = torch.ops.mkldnn._linear_pointwise
_conv = torch.ops.mkldnn._convolution_pointwise
_conv_transpose = torch.ops.mkldnn._convolution_transpose_pointwise
_int8_linear = torch.ops.onednn.qlinear_pointwise

ROWS = 64  # a call is expected to have; the order of the weights that suits it is as good for 1 or 1000


class PackedLinear(nn.Module):
    """x W^T + b, optionally with the exact GELU: (..., K) -> (..., N)."""

    def __init__(
        self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype, *, gelu: bool = False, keep: bool = False
    ) -> None:
        """`dtype`: of the weights and of what they are multiplied with.  `keep`: return that, not float32."""
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.dtype, self.out_dtype = dtype, dtype if keep else torch.float32
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight.detach().to(dtype).contiguous(), ROWS)
        self.bias = None if bias is None else bias.detach().to(dtype)
        self.after: tuple[str, list[float], str] = ("gelu", [], "none") if gelu else ("none", [], "")

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = _linear(x.to(self.dtype), self.weight, self.bias, *self.after)
        return y.to(self.out_dtype)


class PackedWindows(PackedLinear):
    """A convolution without padding, [B, T, C] -> [B, T-k+1, N], as one product over windows of k positions."""

    def __init__(self, kernel: Tensor, bias: Tensor, dtype: torch.dtype) -> None:
        """`kernel` [N, C, k]."""
        super().__init__(kernel.transpose(1, 2).flatten(1), bias, dtype)
        self.taps = kernel.shape[2]

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self.dtype).contiguous()
        (batch, size, width), row = x.shape, x.stride(0)
        return super().forward(x.as_strided((batch, size - self.taps + 1, self.taps * width), (row, width, 1)))


class Int8Linear(nn.Module):
    """x W^T + b in integers, (..., K) -> (..., N).

    W has one scale per output and x one per row, found as it comes: a row's result does not depend, not by a bit,
    on which rows are beside it.  That is why the scale is not one per call, which would be faster.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        weight = weight.detach().float()
        self.scale = weight.abs().amax(1).clamp(min=torch.finfo(torch.float32).tiny) / 127.0
        integers = (weight / self.scale[:, None]).round_().to(torch.int8)
        self.weight = torch.ops.onednn.qlinear_prepack(integers, [ROWS, self.in_features])
        self.zero = torch.zeros(self.out_features, dtype=torch.int64)
        self.bias = None if bias is None else bias.detach().float()

    def forward(self, x: Tensor) -> Tensor:
        integers, step = quantise(x)
        y = self.sums(integers)
        return y.mul_(step) if self.bias is None else torch.addcmul(self.bias, y, step)

    def sums(self, x: Tensor) -> Tensor:
        """The product with an input (..., K) in whole steps around `ZERO`, uint8, in float32 and in those steps."""
        y: Tensor = _int8_linear(
            x, 1.0, ZERO, self.weight, self.scale, self.zero, None, 1.0, 0, torch.float32, "none", [], ""
        )
        return y


ZERO = 128  # the integer that stands for 0: the kernels want one side unsigned


def quantise(x: Tensor) -> tuple[Tensor, Tensor]:
    """(..., K) float32 -> the same in whole steps around `ZERO`, uint8, and the size of a step in each row (..., 1)."""
    step = x.abs().amax(-1, keepdim=True).clamp_(min=1e-30).div_(127.0)
    return (x / step).add_(ZERO + 0.5).to(torch.uint8), step  # the conversion cuts, so half a step more rounds


class PackedConv1d(nn.Module):
    """A convolution over (B, C, T).  The result lies channels last, and is fastest if the input does."""

    def __init__(self, conv: nn.Conv1d, dtype: torch.dtype) -> None:
        super().__init__()
        assert isinstance(conv.padding, tuple), f"padding {conv.padding} in words"
        self.dtype = dtype
        self.places = [0, *conv.padding], [1, *conv.stride], [1, *conv.dilation], conv.groups
        weight = conv.weight.detach().to(dtype)[:, :, None]
        self.weight = torch.ops.mkldnn._reorder_convolution_weight(weight, *self.places, None)
        self.bias = None if conv.bias is None else conv.bias.detach().to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        y = _conv(channels_last(x.to(self.dtype)), self.weight, self.bias, *self.places, "none", [], "")
        return cast(Tensor, y)[:, :, 0].float()


class PackedConvTranspose1d(nn.Module):
    """A transposed convolution over (B, C, T), as `PackedConv1d`."""

    def __init__(self, conv: nn.ConvTranspose1d, dtype: torch.dtype) -> None:
        super().__init__()
        assert isinstance(conv.padding, tuple)
        self.dtype = dtype
        places = [0, *conv.padding], [0, *conv.output_padding], [1, *conv.stride], [1, *conv.dilation], conv.groups
        weight = conv.weight.detach().to(dtype)[:, :, None]
        self.places = places
        self.weight = torch.ops.mkldnn._reorder_convolution_transpose_weight(weight, *places, None)
        self.bias = None if conv.bias is None else conv.bias.detach().to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        y = _conv_transpose(channels_last(x.to(self.dtype)), self.weight, self.bias, *self.places, "none", [], "")
        return cast(Tensor, y)[:, :, 0].float()


def channels_last(x: Tensor) -> Tensor:
    """(B, C, T) -> (B, C, 1, T) whose channels are neighbours in memory."""
    return x[:, :, None].contiguous(memory_format=torch.channels_last)

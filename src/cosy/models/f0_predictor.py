"""Fundamental frequency from the mel (the convolutional predictor of HiFT; CosyVoice 2, section 2.4).

Letters: B batch, T frames (50 Hz), C hidden channels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils.parametrizations import weight_norm

LAYERS = 5  # convolutions of kernel 3, so one F0 value sees five frames on both sides


class F0Predictor(nn.Module):
    """Log-mel (B, in_channels, T) -> F0 (B, T) in Hz, in the precision of the weights."""

    def __init__(self, in_channels: int = 80, cond_channels: int = 512, num_class: int = 1) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i in range(LAYERS):
            width = cond_channels if i else in_channels
            layers += [weight_norm(nn.Conv1d(width, cond_channels, 3, padding=1)), nn.ELU()]
        self.condnet = nn.Sequential(*layers)
        self.classifier = nn.Linear(cond_channels, num_class)

    def forward(self, mel: Tensor) -> Tensor:
        x: Tensor = self.condnet(mel.to(self.classifier.weight.dtype))
        x = self.classifier(x.transpose(1, 2))  # (B, C, T) -> (B, T, C) -> (B, T, 1)
        return x.squeeze(-1).abs()

    def precise(self, mel: Tensor) -> Tensor:
        """The same in float64, whatever the precision of the weights.

        The phase of the source is the integral of F0: an error of 1e-3 Hz turns harmonic h by 1.3e-4 h rad in
        every frame, so float32 rounding, which changes with chunking and batching, would be heard by a test.
        """
        if self.classifier.weight.dtype == torch.float64:
            return self(mel)  # type: ignore[no-any-return]
        weights = {key: value.double() for key, value in self.state_dict(keep_vars=True).items()}
        return functional_call(self, weights, (mel.double(),))  # type: ignore[no-any-return]

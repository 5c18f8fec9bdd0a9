"""The excitation of the vocoder: nine harmonics of F0, noise, and a learned mix (neural source filter).

Every sample's phase is exact: between the centres of frames i-1 and i the frequency is the F0 of frame i, phases
are summed in float64 and wrapped.  Randomness comes in as an argument.

Letters: B batch, T frames, H harmonics with the fundamental (9), N = 480 T samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from cosy.config import VocoderConfig
from cosy.nn.state import State

NOISE_BLOCK = 4800  # samples drawn at a time: 200 ms


def harmonic_noise(seed: int, start_sample: int, samples: int, harmonics: int = 9) -> Tensor:
    """Standard normal noise (1, samples, harmonics), float32, that belongs to absolute sample positions.

    The value at a sample depends on `seed` and its position alone, not on how a stream is cut.  `start_sample` may
    be negative (see `Source.extend`).
    """
    first, last = start_sample // NOISE_BLOCK, (start_sample + samples - 1) // NOISE_BLOCK
    blocks = [_noise_block(seed, block, harmonics) for block in range(first, last + 1)]
    if not blocks:
        return torch.empty(1, 0, harmonics)
    offset = start_sample - first * NOISE_BLOCK
    return torch.from_numpy(np.concatenate(blocks)[None, offset : offset + samples])


def _noise_block(seed: int, block: int, harmonics: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    key = np.array([seed, block % 2**64], dtype=np.uint64)
    generator = np.random.Generator(np.random.Philox(key=key))
    return generator.standard_normal((NOISE_BLOCK, harmonics), dtype=np.float32)


@dataclass
class SourceState(State):
    """Where the source of a stream stands.  Zeros are the start."""

    phase: Tensor  # (B, H) float64, cycles in [0, 1), at the centre of the last frame
    voiced: Tensor  # (B,) bool, of the last frame
    frames: Tensor  # (B,) int64, frames seen


class Source(nn.Module):
    """F0 -> excitation in (-1, 1).  No gradient reaches F0; only the mix of the harmonics learns."""

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        self.config = config
        self.hop = config.hop_samples
        self.harmonics = config.nb_harmonics + 1
        self.l_linear = nn.Linear(self.harmonics, 1)

    def forward(self, f0: Tensor, noise: Tensor) -> Tensor:
        """F0 (B, T) in Hz and noise (B, N, H) of a whole utterance -> excitation (B, 1, N)."""
        sines, voiced = self.sines(f0, self.init_state(len(f0)), final=True)
        half = self.hop // 2
        return self.mix(self.add_noise(sines[:, half:], voiced[:, half:], noise))

    def init_state(self, batch: int, capacity: int = 0) -> SourceState:
        """The start of `batch` streams; the size does not depend on their length, so `capacity` is ignored."""
        device = self.l_linear.weight.device
        return SourceState(
            phase=torch.zeros(batch, self.harmonics, dtype=torch.float64, device=device),
            voiced=torch.zeros(batch, dtype=torch.bool, device=device),
            frames=torch.zeros(batch, dtype=torch.int64, device=device),
        )

    def extend(self, f0: Tensor, noise: Tensor, state: SourceState, final: bool = False) -> Tensor:
        """Continue streams by F >= 1 frames: F0 (B, F) -> excitation (B, 1, 480 F), half a frame late.

        A sample is known once the frame centre after it is, so the output covers the samples from 480 p - 240 to
        480 (p + F) - 240 where p is the number of frames before; the first 240 samples of a stream lie before its
        start and are to be dropped.  `final` adds the last 240 samples.  `noise` (B, samples, H) covers the same
        samples.  `state` is advanced in place.
        """
        return self.mix(self.add_noise(*self.sines(f0, state, final), noise))

    @torch.no_grad()
    def sines(self, f0: Tensor, state: SourceState, final: bool) -> tuple[Tensor, Tensor]:
        """Sine channels (B, samples, H) and voicing (B, samples) of what `extend` covers; advances `state`."""
        half = self.hop // 2
        order = torch.arange(1, self.harmonics + 1, dtype=torch.float64, device=f0.device)
        rate = (f0.double()[..., None] * order / self.config.sampling_rate).remainder(1.0)  # cycles per sample
        centre = (state.phase[:, None] + (self.hop * rate).cumsum(1)).remainder(1.0)  # phase at frame centres
        voiced = torch.cat([state.voiced[:, None], f0 > self.config.nsf_voiced_threshold], 1)

        # One piece reaches from a frame centre to the next.  The sine stands still in the half frame before
        # the first centre and in the one after the last.
        start = torch.cat([state.phase[:, None], centre], 1)
        slope = torch.cat([rate, torch.zeros_like(rate[:, :1])], 1)
        fresh = (state.frames == 0)[:, None]
        start[:, 0] = torch.where(fresh, centre[:, 0], start[:, 0])
        slope[:, 0] = torch.where(fresh, 0.0, slope[:, 0])

        state.phase.copy_(centre[:, -1])
        state.voiced.copy_(voiced[:, -1])
        state.frames.add_(f0.shape[1])

        ramp = torch.arange(self.hop, dtype=torch.float64, device=f0.device) + 0.5
        phase = start[:, :, None] + slope[:, :, None] * ramp[:, None]  # (B, F + 1, 480, H)
        samples = self.hop * f0.shape[1] + (half if final else 0)
        phase = phase.remainder_(1.0).flatten(1, 2)[:, :samples].to(self.l_linear.weight.dtype)
        sines = phase.mul_(2.0 * math.pi).sin_().mul_(self.config.nsf_alpha)
        return sines, voiced.repeat_interleave(self.hop, 1)[:, half : half + samples]

    @torch.no_grad()
    def add_noise(self, sines: Tensor, voiced: Tensor, noise: Tensor) -> Tensor:
        """Sines where voiced, with a little noise; louder noise alone elsewhere.  All (B, samples, H)."""
        config = self.config
        amplitude = torch.where(voiced, config.nsf_sigma, config.nsf_alpha / 3.0).to(sines)
        return (sines * voiced[..., None]).addcmul_(noise.to(sines), amplitude[..., None])

    def mix(self, channels: Tensor) -> Tensor:
        """(B, samples, H) -> (B, 1, samples)."""
        return torch.tanh(self.l_linear(channels)).transpose(1, 2)

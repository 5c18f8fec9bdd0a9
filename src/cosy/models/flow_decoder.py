"""Conditional flow matching: from fixed noise to a mel in a few guided Euler steps.

Letters: B batch, F frames, M mel bands, S steps.  Source: Lipman et al. 2023; Matcha-TTS (Mehta et al.
2024), section 3; classifier-free guidance as in CosyVoice 2, section 2.5.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import repeat

import torch
from torch import Tensor, nn

from cosy.audio.constants import MEL_BANDS
from cosy.config import FlowConfig
from cosy.nn.estimator import Estimator, EstimatorState, conditions
from cosy.nn.masks import Masks, build_masks

NOISE_BLOCK = 15_000  # frames (300 s), the length of the official buffer


@lru_cache(maxsize=4)
def noise_block(index: int) -> Tensor:
    """Frames [index * NOISE_BLOCK, (index + 1) * NOISE_BLOCK) of the fixed noise; block 0 is the official draw."""
    generator = torch.Generator().manual_seed(index)
    with torch.inference_mode(False):  # kept for later callers, which may be training
        return torch.randn([1, MEL_BANDS, NOISE_BLOCK], generator=generator)


def fixed_noise(frames: int, start: int = 0) -> Tensor:
    """The noise every solve starts from, [1, 80, frames] float32 on the CPU, from absolute frame `start` on.

    The value at a frame depends on its absolute index alone, so pieces of a stream join.  No global random
    state is read or changed, and there is no longest length.
    """
    stop = start + frames
    indices = range(start // NOISE_BLOCK, max(stop - 1, start) // NOISE_BLOCK + 1)
    spans = [(max(start - i * NOISE_BLOCK, 0), stop - i * NOISE_BLOCK) for i in indices]
    return torch.cat([noise_block(i)[..., a:b] for i, (a, b) in zip(indices, spans, strict=True)], dim=-1)


def time_grid(n_timesteps: int) -> Tensor:
    """Flow times 1 - cos(pi k / 2S), k = 0..S, as float32 [S+1]: short steps first."""
    return 1 - torch.cos(torch.linspace(0, 1, n_timesteps + 1) * (0.5 * math.pi))


class FlowDecoder(nn.Module):
    """The estimator and the ordinary differential equation around it."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.guidance, self.temperature = config.inference_cfg_rate, config.temperature
        self.estimator = Estimator(config.estimator)

    @property
    def branches(self) -> int:
        """What the estimator is asked about every row: with its conditions and, where there is guidance, without."""
        return 2 if self.guidance else 1

    def masks(self, frames: int, lengths: Tensor | None, streaming: bool, device: torch.device) -> Masks:
        """Masks of a batch; `lengths` [B] in frames, None: no padding."""
        return build_masks(frames, lengths, self.estimator.chunk if streaming else None, device)

    def states(
        self,
        mu: Tensor,
        cond: Tensor,
        spks: Tensor,
        noise: Tensor,
        masks: Masks,
        n_timesteps: int,
        memory: Sequence[EstimatorState] | None = None,
    ) -> Iterator[Tensor]:
        """The mel state [B, F, M] after each Euler step; float32 whatever the network computes in.

        `mu`, `cond` [B, F, M]; `spks` [B, M]; `noise` [B or 1, M, F].  The estimator sees every row `branches`
        times in a row: with its conditions, then without; `masks` and `memory` (one state per step, in a stream) are
        of all these rows.
        """
        x = (self.temperature * noise.to(mu.device)).mT.expand_as(mu)
        given = conditions(mu, spks, cond)
        n = self.branches
        pair = torch.stack([given, torch.zeros_like(given)][:n], dim=1).flatten(0, 1)  # guidance drops everything
        grid = time_grid(n_timesteps)
        times = self.estimator.time_vectors(grid[:-1].to(mu.device))
        kept = memory or repeat(None, n_timesteps)
        for time, dt, state in zip(times, grid.diff().tolist(), kept, strict=True):
            v = self.estimator(x.repeat_interleave(n, dim=0).to(pair), pair, time[None], masks, state)
            conditional, *free = v.float().unflatten(0, (-1, n)).unbind(1)
            x = x + dt * self._guided(conditional, *free)
            yield x

    def _guided(self, conditional: Tensor, free: Tensor | None = None) -> Tensor:
        """The velocity led away from what it is without conditions, if it is known."""
        return conditional if free is None else (1 + self.guidance) * conditional - self.guidance * free

    def forward(
        self,
        mu: Tensor,
        cond: Tensor,
        spks: Tensor,
        *,
        streaming: bool,
        noise: Tensor,
        n_timesteps: int,
        lengths: Tensor | None = None,
    ) -> Tensor:
        """Solve the whole sequence -> mel [B, M, F] float32."""
        repeated = None if lengths is None else lengths.repeat_interleave(self.branches)
        masks = self.masks(mu.shape[1], repeated, streaming, mu.device)
        *_, mel = self.states(mu, cond, spks, noise, masks, n_timesteps)
        return mel.mT

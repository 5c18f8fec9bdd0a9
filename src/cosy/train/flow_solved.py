"""The flow trained on what its solver makes of nothing: no noise, few steps, and a loss on the mel itself.

A flow that starts from noise learns the velocity at any time of any path, and of a network this small each gets a
little.  Without noise there is one path, the solver's own.  Here it is walked in training as in use (`FlowDecoder`
with a temperature of 0 and no guidance), and where it ends is compared with the recording: by the mel's absolute
error, and by what trained networks hear in both (`flow_by_ear`), their classes as well as the features behind them
(perceptual loss, Johnson et al. 2016).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cosy.audio.constants import FRAMES_PER_TOKEN
from cosy.models.flow import time_grid
from cosy.models.flow_loss import FlowDraws
from cosy.nn.estimator import conditions
from cosy.nn.masks import valid_positions, zero_padding
from cosy.train.flow_by_ear import HEARD_PITCH_WEIGHT, READ_WEIGHT, FlowByEarTask, mean_of, with_parts
from cosy.train.voice_ear import VoiceEar

MEL_WEIGHT, MOVES_WEIGHT, FEATURE_WEIGHT, VOICE_WEIGHT = 2.0, 1.0, 1.0, 3.0
NEAR_FRAMES = 2  # of a rare phone: what tells a stop is how it ends


class SolvedFlowTask(FlowByEarTask):
    """`FlowByEarTask` on the path of a solver with the configured number of steps; `voice_ear` hears who speaks.

    With `teach_f0` the F0 predictor learns, too: to hear the pitch of what the flow makes, as the flow learns to be
    heard, and still that of recordings.  It is `network.f0_predictor` then.
    """

    def __init__(self, *args: Any, voice_ear: VoiceEar | None = None, teach_f0: bool = False, **options: Any) -> None:
        super().__init__(*args, **options)
        self.voice_ear = None if voice_ear is None else voice_ear.eval().requires_grad_(False)
        self.teach_f0 = teach_f0
        if teach_f0:
            assert self.f0_predictor is not None, "there is no F0 predictor to teach"
            self.reader.f0_predictor = self.f0_predictor.requires_grad_(True)

    def loss(self, batch: dict[str, Tensor], progress: float) -> tuple[Tensor, dict[str, float]]:
        feat, lengths = batch["feat"], batch["length"]
        generator = torch.Generator().manual_seed(int(batch["seed"]))
        draws = self.draws(generator, lengths, feat.shape[1], self.flow.config)
        frames = valid_positions(FRAMES_PER_TOKEN * lengths, feat.shape[1])
        new = (frames & ~valid_positions(draws.cond_len, feat.shape[1])).float()
        counted = new * self._weights(batch)
        mu, mel = self._solved(batch, draws)
        prior = mean_of((mu.float() - feat).abs().mean(-1), frames)
        moves = (mel.diff(dim=1) - feat.diff(dim=1)).abs().mean(-1)
        parts = [
            (MEL_WEIGHT, {"mel": mean_of((mel - feat).abs().mean(-1), counted)}),
            (MOVES_WEIGHT, {"moves": mean_of(moves, counted[:, 1:])}),
            (FEATURE_WEIGHT, {"features": self._features_off(mel, feat, counted)}),
            (READ_WEIGHT, self._read(batch, mu, frames)),
            *self._hearing(mel, batch, new),
        ]
        if self.teach_f0:
            parts.append((HEARD_PITCH_WEIGHT, self._pitch_heard(self._hz(feat), batch, frames.float(), "recorded")))
        if self.voice_ear is not None:
            with torch.no_grad():
                voice = self.voice_ear(feat.mT, new)
            parts.append((VOICE_WEIGHT, {"voice": 1 - (self.voice_ear(mel.mT, new) * voice).sum(1).mean()}))
        return with_parts(self.prior_weight * (1 - progress) * prior, {"prior": prior.item()}, *parts)

    def _weights(self, batch: dict[str, Tensor]) -> Tensor:
        """How much the frames count (B, F): those near a rare phone as much as it."""
        if not self.phones_are_read:
            return torch.ones_like(batch["hz"])
        rarity = self.rarity.to(batch["phone"].device)[batch["phone"].long()]
        return F.max_pool1d(rarity, 2 * NEAR_FRAMES + 1, 1, NEAR_FRAMES)

    def _solved(self, batch: dict[str, Tensor], draws: FlowDraws) -> tuple[Tensor, Tensor]:
        """The encoder's projection and the mel at the end of the path, both (B, F, 80)."""
        feat, decoder = batch["feat"], self.flow.decoder
        mu = self.flow.encode(batch["token"], batch["length"], streaming=draws.streaming)
        cond = zero_padding(feat, valid_positions(draws.cond_len, feat.shape[1])[:, :, None])
        given = conditions(mu, self.flow.speaker(batch["embedding"]), cond)
        masks = decoder.masks(feat.shape[1], FRAMES_PER_TOKEN * batch["length"], draws.streaming, feat.device)
        grid = time_grid(self.flow.config.n_timesteps)
        times = decoder.estimator.time_vectors(grid[:-1].to(feat.device))
        x = torch.zeros_like(feat)
        for time, dt in zip(times, grid.diff().tolist(), strict=True):
            x = x + dt * decoder.estimator(x, given, time[None], masks).float()
        return mu, x

    def _features_off(self, mel: Tensor, feat: Tensor, counted: Tensor) -> Tensor:
        """How far the listener's features of two mels are apart, as a part of their size, where `counted` (B, F)."""
        if self.listener is None:
            return mel.new_zeros(())
        with torch.no_grad():
            wanted = self.listener.features(feat.mT).float()
        off = (self.listener.features(mel.mT).float() - wanted).abs().mean(1)
        return mean_of(off, counted) / mean_of(wanted.abs().mean(1), counted).clamp(min=1e-3)

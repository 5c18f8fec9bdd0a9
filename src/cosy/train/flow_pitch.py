"""The flow's training with an ear for pitch, which a small flow of many speakers does not find by itself.

Its encoder does not know the speaker, and its projection, 80 values wide, is drawn towards the mean mel of all
speakers, in which no pitch is left.  A linear reading of the projection, there for training alone, asks it to keep
voicing and the pitch relative to the speaker's own, which the speech tokens tell.

The estimator, which knows the speaker, has to make Hz of it, and the squared error of a mel cares little where the
harmonics are: unseen voices come out up to 2.5 semitones nearer to the mean voice.  So a trained F0 predictor hears the
mel that the estimated velocity leads to, and the distance from the true F0 is part of the loss.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor, nn

from cosy.config import FlowConfig
from cosy.models.f0_predictor import F0Predictor
from cosy.models.flow import Flow
from cosy.models.flow_loss import FlowDraws, FlowLossDetails
from cosy.train.data.corpus import Corpus
from cosy.train.flow import FlowTask
from cosy.train.tokenizer import PITCH_UNIT, own_pitch

PITCH_WEIGHT = 0.4  # of the reading
HEARD_WEIGHT = 0.3  # of the F0 predictor's hearing


class FlowAndPitch(nn.Module):
    """The flow and the linear reading of its encoder's projection."""

    def __init__(self, flow: Flow) -> None:
        super().__init__()
        self.flow = flow
        self.pitch = nn.Linear(flow.config.output_size, 2)


class PitchedFlowTask(FlowTask):
    """`FlowTask` on a corpus with F0; the flow is `network.flow`.  Without `f0_predictor` the mel is not heard."""

    def __init__(
        self, config: FlowConfig, corpus: Corpus, f0_predictor: F0Predictor | None = None, **options: Any
    ) -> None:
        super().__init__(config, corpus, **options)
        self.f0_predictor = None if f0_predictor is None else f0_predictor.eval().requires_grad_(False)
        self.reader = FlowAndPitch(self.flow)
        self.network = self.reader
        self.own_pitch = [own_pitch(corpus, indices) for indices in self.speakers]

    def _heard(self, index: int) -> dict[str, np.ndarray]:
        hz = self.corpus.slice("f0", index)
        relative = (np.log(np.maximum(hz, 1.0)) - self.own_pitch[self.owner[index]]) / PITCH_UNIT
        return {**super()._heard(index), "voiced": hz > 0, "pitch": relative.clip(-4, 4), "hz": hz}

    def loss(self, batch: dict[str, Tensor], progress: float) -> tuple[Tensor, dict[str, float]]:
        loss, figures, draws, details = self._losses(batch, progress)
        voicing, pitch = self.reader.pitch(details.mu).float().unbind(-1)
        frames, voiced = details.mask[..., 0], batch["voiced"]
        voice = (F.binary_cross_entropy_with_logits(voicing, voiced, reduction="none") * frames).sum() / frames.sum()
        tone = ((pitch - batch["pitch"]).abs() * voiced).sum() / voiced.sum().clamp(min=1)
        loss, figures = loss + PITCH_WEIGHT * (tone + voice), {**figures, "pitch": tone.item(), "voicing": voice.item()}
        if self.f0_predictor is not None:
            heard = self._heard_wrong(batch, draws, details)
            loss, figures = loss + HEARD_WEIGHT * heard, {**figures, "heard": heard.item()}
        return loss, figures

    def _heard_wrong(self, batch: dict[str, Tensor], draws: FlowDraws, details: FlowLossDetails) -> Tensor:
        """Mean distance of the F0 heard from the true one, in `PITCH_UNIT`, where there is one and a speaker is given.

        Along the straight path the data that a velocity leads to from time t is `feat + (1 - t) (velocity - target)`.
        """
        assert self.f0_predictor is not None
        ahead = (1 - draws.t)[:, None, None]
        mel = batch["feat"] + ahead * (details.velocity.float() - details.target)
        hz: Tensor = self.f0_predictor(mel.transpose(1, 2)).float()
        counted = batch["voiced"] * draws.keep[:, None]
        off = (hz.clamp(min=20.0).log() - batch["hz"].clamp(min=20.0).log()).abs() / PITCH_UNIT
        wrong: Tensor = (off.clamp(max=4.0) * counted).sum() / counted.sum().clamp(min=1)
        return wrong

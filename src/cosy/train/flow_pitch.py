"""The flow's training with a reading of pitch, which a small flow of many speakers does not find by itself.

Its encoder does not know the speaker, and its projection, 80 values wide, is drawn towards the mean mel of all
speakers, in which no pitch is left.  A linear reading of the projection, there for training alone, asks it to keep
voicing and the pitch relative to the speaker's own, which the speech tokens tell; the estimator, which knows the
speaker, does the rest.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor, nn

from cosy.config import FlowConfig
from cosy.models.flow import Flow
from cosy.train.data.corpus import Corpus
from cosy.train.flow import FlowTask
from cosy.train.tokenizer import PITCH_UNIT, own_pitch

PITCH_WEIGHT = 0.4


class FlowAndPitch(nn.Module):
    """The flow and the linear reading of its encoder's projection."""

    def __init__(self, flow: Flow) -> None:
        super().__init__()
        self.flow = flow
        self.pitch = nn.Linear(flow.config.output_size, 2)


class PitchedFlowTask(FlowTask):
    """`FlowTask` on a corpus with F0; the flow is `network.flow`."""

    def __init__(self, config: FlowConfig, corpus: Corpus, **options: Any) -> None:
        super().__init__(config, corpus, **options)
        self.reader = FlowAndPitch(self.flow)
        self.network = self.reader
        self.own_pitch = [own_pitch(corpus, indices) for indices in self.speakers]

    def _heard(self, index: int) -> dict[str, np.ndarray]:
        hz = self.corpus.slice("f0", index)
        relative = (np.log(np.maximum(hz, 1.0)) - self.own_pitch[self.owner[index]]) / PITCH_UNIT
        return {**super()._heard(index), "voiced": hz > 0, "pitch": relative.clip(-4, 4)}

    def loss(self, batch: dict[str, Tensor], progress: float) -> tuple[Tensor, dict[str, float]]:
        loss, figures, details = self._losses(batch, progress)
        voicing, pitch = self.reader.pitch(details.mu).float().unbind(-1)
        frames, voiced = details.mask[..., 0], batch["voiced"]
        voice = (F.binary_cross_entropy_with_logits(voicing, voiced, reduction="none") * frames).sum() / frames.sum()
        tone = ((pitch - batch["pitch"]).abs() * voiced).sum() / voiced.sum().clamp(min=1)
        return loss + PITCH_WEIGHT * (tone + voice), {**figures, "pitch": tone.item(), "voicing": voice.item()}

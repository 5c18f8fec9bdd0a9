from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cosy.models.f0_predictor import F0Predictor
from cosy.models.flow_loss import FlowDraws, FlowLossDetails
from cosy.train.data.corpus import Corpus
from cosy.train.flow_pitch import PitchedFlowTask
from cosy.train.tokenizer import PITCH_UNIT
from tests.model_dir import SMALL


class FirstBand(nn.Module):
    """Takes the first band of the mel for log F0."""

    def forward(self, mel: Tensor) -> Tensor:
        return mel[:, 0].exp()


def test_reading_and_hearing_teach_the_flow_alone(corpus: Corpus) -> None:
    predictor = F0Predictor(SMALL.hift.f0_in_channels, SMALL.hift.f0_cond_channels, SMALL.hift.f0_num_class)
    task = PitchedFlowTask(SMALL.flow, corpus, predictor, batch=3, max_tokens=20)
    loss, figures = task.loss(task.batch(np.random.default_rng(0)), 0.5)
    loss.backward()
    assert {"flow", "prior", "pitch", "voicing", "heard"} == set(figures)
    assert all(p.grad is not None for p in task.reader.pitch.parameters())
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in task.flow.decoder.parameters())
    assert all(p.grad is None for p in predictor.parameters())
    assert not any(name.startswith("f0") for name in task.network.state_dict()), "the predictor is not trained"


def test_without_a_predictor_nothing_is_heard(corpus: Corpus) -> None:
    task = PitchedFlowTask(SMALL.flow, corpus, batch=3, max_tokens=20)
    _, figures = task.loss(task.batch(np.random.default_rng(0)), 0.5)
    assert "heard" not in figures


def test_what_is_heard_is_the_end_of_the_path(corpus: Corpus) -> None:
    task = PitchedFlowTask(SMALL.flow, corpus, FirstBand(), batch=4, max_tokens=20)  # type: ignore[arg-type]
    batch = task.batch(np.random.default_rng(1))
    assert batch["voiced"].any()
    batch["feat"][..., 0] = batch["hz"].clamp(min=20).log()
    draws = FlowDraws.sample(torch.Generator(), batch["length"], batch["feat"].shape[1], SMALL.flow)
    draws.keep[:] = torch.arange(len(draws.keep)) % 2 == 0
    target = torch.zeros_like(batch["feat"])
    mask = torch.ones(*target.shape[:2], 1, dtype=torch.bool)

    def heard(velocity: Tensor) -> float:
        return float(task._heard_wrong(batch, draws, FlowLossDetails(target, mask, velocity, target)))

    assert heard(target) == pytest.approx(0.0, abs=1e-5)
    counted = batch["voiced"] * draws.keep[:, None]
    expected = (counted * (1 - draws.t)[:, None]).sum() / counted.sum()
    assert heard(target + PITCH_UNIT) == pytest.approx(float(expected), rel=1e-4), "nearer to the end less is wrong"

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from cosy.config import SpeakerEncoderConfig
from cosy.errors import AudioError
from cosy.models.speaker_encoder import ContextGate, SpeakerEncoder

TINY = SpeakerEncoderConfig(
    feat_dim=20,
    embedding_size=12,
    front_channels=4,
    init_channels=16,
    growth_rate=4,
    bn_size=2,
    block_layers=(2, 3, 2),
    segment_pool=10,
)


@pytest.fixture
def model() -> SpeakerEncoder:
    torch.manual_seed(0)
    return SpeakerEncoder(TINY).eval()


def clip(frames: int, rows: int = 1) -> Tensor:
    return torch.randn(rows, frames, TINY.feat_dim, generator=torch.Generator().manual_seed(1))


def test_official_size_has_the_published_entries_and_parameters() -> None:
    with torch.device("meta"):
        model = SpeakerEncoder(SpeakerEncoderConfig())
    assert len(model.state_dict()) == 937
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 2) == 6.85


@pytest.mark.parametrize("frames", [3, 4, 19, 57, 200])
def test_any_length_gives_one_vector(model: SpeakerEncoder, frames: int) -> None:
    embedding = model(clip(frames))
    assert embedding.shape == (1, 12)
    assert embedding.isfinite().all()


def test_rows_of_a_batch_do_not_touch_each_other(model: SpeakerEncoder) -> None:
    batch = clip(57, rows=3)
    torch.testing.assert_close(model(batch)[1:2], model(batch[1:2]))


def test_too_few_frames_are_an_error(model: SpeakerEncoder) -> None:
    with pytest.raises(AudioError, match="at least 3 frames"):
        model(clip(2))


def test_the_gate_sees_the_clip_mean_and_its_own_segment() -> None:
    torch.manual_seed(0)
    gate = ContextGate(8, 4, dilation=2, segment_frames=10)
    h = torch.randn(2, 8, 27)
    context = torch.empty_like(h)
    for frame in range(27):
        first = frame // 10 * 10
        context[..., frame] = h.mean(-1) + h[..., first : first + 10].mean(-1)
    weight = torch.sigmoid(gate.linear2(torch.relu(gate.linear1(context))))
    torch.testing.assert_close(gate(h), gate.linear_local(h) * weight)


def test_training_reaches_every_parameter_with_finite_gradients(model: SpeakerEncoder) -> None:
    model.train()
    features = clip(40, rows=4)
    features[0] = 0.0  # a silent row: deviations of zero
    with torch.autocast("cpu", dtype=torch.bfloat16):
        model(features).square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())

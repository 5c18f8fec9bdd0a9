from __future__ import annotations

import pytest
import torch
from torch import Tensor

from cosy.audio.constants import SPEECH_TOKENS
from cosy.config import SpeechTokenizerConfig
from cosy.models.speech_tokenizer import FRAMES_PER_CODE, SpeechTokenizer, Windows, codes_in, window_plan

TINY = SpeechTokenizerConfig(n_mels=8, n_state=32, n_head=2, n_layer=2, fsmn_kernel=5)
SMALL_WINDOWS = Windows(frames=120, stride=80, drop_codes=5)


@pytest.fixture
def model() -> SpeechTokenizer:
    torch.manual_seed(0)
    model = SpeechTokenizer(TINY)
    for parameter in model.parameters():
        parameter.data.mul_(2.0)  # enough gain that all three levels occur
    return model.eval()


def clip(frames: int, seed: int = 1) -> Tensor:
    return torch.randn(1, TINY.n_mels, frames, generator=torch.Generator().manual_seed(seed))


def test_official_size_has_the_published_number_of_tensors() -> None:
    with torch.device("meta"):
        keys = SpeechTokenizer(SpeechTokenizerConfig()).state_dict()
    assert len(keys) == 102
    assert keys["encoder.blocks.5.attn.fsmn_block.weight"].shape == (1280, 1, 31)


@pytest.mark.parametrize("frames", [1, 2, 4, 5, 53, 100])
def test_four_frames_make_one_code(model: SpeechTokenizer, frames: int) -> None:
    codes, lengths = model(clip(frames), torch.tensor([frames]))
    assert codes.shape == (1, codes_in(frames))
    assert lengths.tolist() == [codes_in(frames)]
    assert codes.min() >= 0
    assert codes.max() < SPEECH_TOKENS


def test_a_clip_in_a_padded_batch_gives_what_it_gives_alone(model: SpeechTokenizer) -> None:
    lengths = [53, 40, 7]
    batch = torch.full((3, TINY.n_mels, 64), 9.0)  # rubbish beyond the ends
    for row, length in enumerate(lengths):
        batch[row, :, :length] = clip(length, row)
    codes, code_lengths = model(batch, torch.tensor(lengths))
    hidden, _ = model.hidden(batch, torch.tensor(lengths))
    for row, length in enumerate(lengths):
        alone, count = model(clip(length, row), torch.tensor([length]))
        assert code_lengths[row] == count
        assert codes[row, :count].equal(alone[0])
        assert not codes[row, count:].any()
        expected, _ = model.hidden(clip(length, row), torch.tensor([length]))
        torch.testing.assert_close(hidden[row, :count], expected[0], atol=1e-4, rtol=1e-4)
        assert not hidden[row, count:].any()


def test_every_code_survives_the_way_to_levels_and_back() -> None:
    codes = torch.arange(SPEECH_TOKENS)
    levels = SpeechTokenizer.levels_of(codes)
    assert set(levels.unique().tolist()) == {-1.0, 0.0, 1.0}
    assert SpeechTokenizer.codes_of(levels).equal(codes)


def test_the_first_dimension_is_the_least_significant_digit() -> None:
    levels = -torch.ones(8)
    levels[0] = 1.0
    assert SpeechTokenizer.codes_of(levels) == 2
    levels[7] = 0.0
    assert SpeechTokenizer.codes_of(levels) == 2 + 3**7


def test_halves_round_to_the_middle_level() -> None:
    assert SpeechTokenizer.quantise(torch.tensor([-0.51, -0.5, 0.5, 0.51])).tolist() == [-1.0, 0.0, 0.0, 1.0]


def test_gradients_cross_the_rounding_to_the_first_convolution(model: SpeechTokenizer) -> None:
    h, _ = model.hidden(clip(40), torch.tensor([40]))
    z = model.project(h)
    levels = model.straight_through(z)
    torch.testing.assert_close(levels, model.quantise(z))
    levels.square().sum().backward()
    gradient = model.encoder.conv1.weight.grad
    assert gradient is not None
    assert gradient.isfinite().all()
    assert gradient.abs().max() > 0


def test_autocast_training_keeps_the_bottleneck_in_float32(model: SpeechTokenizer) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        h, _ = model.hidden(clip(40).expand(2, -1, -1), torch.tensor([40, 30]))
        z = model.project(h)
    assert z.dtype == torch.float32
    z.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_a_short_clip_is_one_window(model: SpeechTokenizer) -> None:
    codes, _ = model(clip(120), torch.tensor([120]))
    assert model.tokenise_long(clip(120), windows=SMALL_WINDOWS).equal(codes[0])


@pytest.mark.parametrize("frames", [121, 123, 159, 160, 161, 200, 205, 390, 1003])
def test_windows_join_without_losing_a_code(model: SpeechTokenizer, frames: int) -> None:
    assert len(model.tokenise_long(clip(frames), windows=SMALL_WINDOWS)) == codes_in(frames)


@pytest.mark.parametrize("frames", [3000, 3001, 3400, 5300, 5601, 20_000])
def test_kept_codes_tile_the_clip_away_from_window_edges(frames: int) -> None:
    position = 0
    for window in window_plan(frames, Windows()):
        assert window.start // FRAMES_PER_CODE + window.first == position
        assert window.stop - window.start <= 3000
        assert window.start == 0 or window.first >= 50
        assert window.stop == frames or codes_in(window.stop - window.start) - window.last >= 50
        position += window.last - window.first
    assert position == codes_in(frames)


def test_both_rules_agree_where_the_windows_fit_exactly(model: SpeechTokenizer) -> None:
    ours = model.tokenise_long(clip(280), windows=SMALL_WINDOWS)
    official = model.tokenise_long(clip(280), windows=SMALL_WINDOWS, official_windows=True)
    assert len(ours) == len(official) == codes_in(280)
    assert ours[:-5].equal(official[:-5])  # the official rule adds a fourth window for the last five


def test_the_official_rule_loses_the_end_of_a_short_last_window(model: SpeechTokenizer) -> None:
    frames = 160 + 16  # the third window has four codes, fewer than the five dropped
    codes = model.tokenise_long(clip(frames), windows=SMALL_WINDOWS, official_windows=True)
    assert len(codes) < codes_in(frames)

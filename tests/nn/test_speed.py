from __future__ import annotations

import pytest
import torch
from torch import Tensor

from cosy.nn.speed import at_speed, extend_at_speed, frames_at_speed, init_speed, interpolate

SPEEDS = [0.5, 0.77, 0.9, 1.0, 1.1, 1.7, 2.0, 3.3, 4.0]


def some_mel(frames: int) -> Tensor:
    return torch.randn(1, 80, frames, generator=torch.Generator().manual_seed(3))


def test_a_rising_line_stays_a_line_with_another_slope() -> None:
    line = torch.arange(20.0, dtype=torch.float64).expand(1, 80, -1)
    slow = at_speed(line, 0.5)
    torch.testing.assert_close(slow[0, 0, :4], torch.tensor([0.0, 0.25, 0.75, 1.25], dtype=torch.float64))
    assert at_speed(line, 1.0) is line


def test_positions_beyond_the_ends_are_held() -> None:
    mel = some_mel(5)
    held = interpolate(mel, torch.tensor([-3.0, 9.0], dtype=torch.float64))
    torch.testing.assert_close(held, mel[:, :, [0, 4]])


@pytest.mark.parametrize("speed", SPEEDS)
def test_frames_of_an_unfinished_mel_do_not_change(speed: float) -> None:
    mel = some_mel(50)
    whole = at_speed(mel, speed)
    assert whole.shape[2] == int(50 / speed)
    for known in (1, 2, 3, 17, 50):
        partial = at_speed(mel[:, :, :known], speed, final=False)
        torch.testing.assert_close(partial, whole[:, :, : partial.shape[2]], atol=0, rtol=0)


@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize("sizes", [[1] * 41, [7, 0, 1, 3, 30], [41]])
def test_a_mel_in_pieces_is_resampled_as_the_whole(speed: float, sizes: list[int]) -> None:
    mel = some_mel(41)
    state = init_speed(1, 80, mel)
    state.speed[0] = speed
    parts = [extend_at_speed([piece], state, [False])[0] for piece in mel[0].split(sizes, 1)]
    parts += extend_at_speed([mel[0, :, :0]], state, [True])
    torch.testing.assert_close(torch.cat(parts, 1), at_speed(mel, speed)[0], atol=1e-6, rtol=0)


def test_the_extra_look_ahead_is_one_frame() -> None:
    for speed in SPEEDS:
        for frames in range(1, 60):
            assert frames_at_speed(frames + 1, speed, final=False) >= int(frames / speed)


def test_a_reset_row_starts_at_speed_one() -> None:
    state = init_speed(2, 80, some_mel(1))
    state.speed.fill_(1.3)
    state.reset(torch.tensor([1]))
    assert state.speed.tolist() == [1.3, 1.0]

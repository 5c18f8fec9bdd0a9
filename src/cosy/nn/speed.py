"""Tempo without pitch: a mel read faster or slower than it was made, whole or as it arrives.

Output frame j stands at position (j + 1/2) speed - 1/2 of the original, between two frames of it.  The ratio is
constant, so a frame does not depend on how long the utterance will be.

Letters: B batch, T frames.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cosy.nn.state import State

# A frame waits until the utterance is sure to be long enough for it, so the frame left of it may not be the last one:
# it is at least the last but (speed + 1) / 2.
KEPT = 3
FASTEST = 4.0


def frames_at_speed(frames: int, speed: float, final: bool = True) -> int:
    """How many frames come of so many; not `final`: of a mel that goes on, those that no later frame changes."""
    count = int(frames / speed)
    if final:
        return count
    return max(0, min(count, math.ceil((frames - 0.5) / speed - 0.5)))  # a frame needs the original one after it


def at_speed(mel: Tensor, speed: float, final: bool = True) -> Tensor:
    """Mel (1, 80, T) of an utterance from its start, played `speed` times as fast with the same pitch.

    Of a mel that goes on (not `final`), only the frames that will not change; of the whole, T / speed frames.
    """
    if speed == 1.0:
        return mel
    return interpolate(mel, _positions(0, frames_at_speed(mel.shape[2], speed, final), speed, mel.device))


def interpolate(mel: Tensor, positions: Tensor) -> Tensor:
    """Mel (1, 80, T) at fractional frame positions (n,), held at both ends -> (1, 80, n)."""
    last = mel.shape[2] - 1
    positions = positions.clamp(0, max(last, 0))
    left = positions.long()
    share = (positions - left).to(mel.dtype)
    return torch.lerp(mel[:, :, left], mel[:, :, (left + 1).clamp(max=last)], share)


@dataclass
class SpeedState(State):
    """Where mels at another speed stand.  A row starts at speed 1."""

    speed: Tensor  # (B,) float64
    frames: Tensor  # (B,) int64, original frames seen
    newest: Tensor  # (B, 80, KEPT), aligned to the right

    def reset(self, rows: Tensor) -> None:
        super().reset(rows)
        self.speed.index_fill_(0, rows, 1.0)


def init_speed(batch: int, bands: int, like: Tensor) -> SpeedState:
    """The start of `batch` mels in the dtype and on the device of `like`."""
    return SpeedState(
        speed=torch.ones(batch, dtype=torch.float64, device=like.device),
        frames=torch.zeros(batch, dtype=torch.int64, device=like.device),
        newest=torch.zeros(batch, bands, KEPT, dtype=like.dtype, device=like.device),
    )


def extend_at_speed(mel: Sequence[Tensor], state: SpeedState, final: Sequence[bool]) -> list[Tensor]:
    """Continue each row by original frames (80, T >= 0) -> the further frames (80, n) of `at_speed`.

    `state` is advanced in place.
    """
    played = []
    rows = zip(mel, state.speed.tolist(), state.frames.tolist(), final, strict=True)
    for row, (fresh, speed, seen, last) in enumerate(rows):
        kept = min(seen, KEPT)
        known, frames = torch.cat([state.newest[row, :, KEPT - kept :], fresh], 1), fresh.shape[1]
        if speed == 1.0 or known.shape[1] == 0:
            played.append(fresh)
            continue
        made, count = frames_at_speed(seen, speed, final=False), frames_at_speed(seen + frames, speed, last)
        positions = _positions(made, count, speed, fresh.device) - (seen - kept)
        played.append(interpolate(known[None], positions)[0])
        kept = min(seen + frames, KEPT)
        state.newest[row, :, KEPT - kept :] = known[:, known.shape[1] - kept :]
        state.frames[row] += frames
    return played


def _positions(first: int, end: int, speed: float, device: torch.device) -> Tensor:
    return (torch.arange(first, end, dtype=torch.float64, device=device) + 0.5) * speed - 0.5

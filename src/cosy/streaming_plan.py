"""When a stream is cut: pure functions of one request's own counts, no tensors, no clocks.

Letters: P prompt tokens, O tokens whose audio can be made (a cut), counted after the prompt.  A cut needs three
more tokens than it makes audio of: the look-ahead of the flow encoder.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cosy.audio.constants import FRAMES_PER_TOKEN, HOP_SAMPLES

BLOCK = 25  # tokens: attention of the flow sees whole blocks, counted from the first prompt token
LOOK_AHEAD = 3  # tokens
MOST_HOP = 100  # tokens
RELEASE_FRAMES = 20  # mel frames held back: a sample depends on the mel up to 19.75 frames after it

CACHED_FRAMES = 8  # mel frames that each official chunk renders twice
OVERLAP_SAMPLES = CACHED_FRAMES * HOP_SAMPLES  # 3840


def released(frames: int) -> int:
    """Samples that are final once so many mel frames are known and more will come."""
    return max(0, frames - RELEASE_FRAMES) * HOP_SAMPLES


def first_cut(prompt_tokens: int, look_ahead_frames: int = RELEASE_FRAMES) -> int:
    """The first cut that ends a block and gives audio when so many frames are held back."""
    cut = -prompt_tokens % BLOCK
    return cut if FRAMES_PER_TOKEN * cut > look_ahead_frames else cut + BLOCK


def cuts(prompt_tokens: int, hop: int = BLOCK, most: int = MOST_HOP) -> Iterator[int]:
    """Where to cut a stream: as early as there is audio to release, then in hops that double up to `most`.

    The audio does not depend on where the cuts are, because each ends a block.  Growing hops save work
    where each cut computes the past again; `most=BLOCK` cuts after every block.
    """
    cut = first_cut(prompt_tokens)
    while True:
        yield cut
        cut, hop = cut + hop, min(2 * hop, most)


def official_cuts(prompt_tokens: int, hop: int = BLOCK) -> Iterator[int]:
    """Where CosyVoice 2 cuts: the first hop is filled up to a whole number of hops, prompt included."""
    cut = -prompt_tokens % hop
    while True:
        cut += hop
        yield cut
        hop = next_hop(hop)


def next_hop(hop: int) -> int:
    return min(2 * hop, MOST_HOP)


@dataclass(frozen=True)
class OfficialCall:
    """One call of the official token-to-audio function."""

    tokens: int  # given to the flow
    streaming: bool  # chunk masks instead of full attention
    final: bool
    frames: int  # given to the vocoder, cached ones included
    samples: int  # handed out
    hop: int  # of the call after it


def official_plan(prompt_tokens: int, tokens: int, hop: int = BLOCK, stream: bool = True) -> list[OfficialCall]:
    """All calls of a request that generates `tokens` tokens, at speed 1."""
    calls: list[OfficialCall] = []
    off = 0
    for cut in official_cuts(prompt_tokens, hop):
        if not stream or tokens < cut + LOOK_AHEAD:
            break
        frames = FRAMES_PER_TOKEN * (cut - off) + (CACHED_FRAMES if calls else 0)
        off, hop = cut, next_hop(hop)
        calls.append(OfficialCall(cut + LOOK_AHEAD, True, False, frames, frames * HOP_SAMPLES - OVERLAP_SAMPLES, hop))
    frames = FRAMES_PER_TOKEN * (tokens - off) + (CACHED_FRAMES if calls else 0)
    return [*calls, OfficialCall(tokens, False, True, frames, frames * HOP_SAMPLES, hop)]

"""From speech tokens to audio as CosyVoice 2 itself does it, to compare with: cuts can be heard.

Every chunk starts the vocoder's phase again; its first eight frames repeat the chunk before, whose source is
pasted in and whose samples are cross-faded by a window that sums to 1.08.  The last call sees the whole utterance
at once (full attention).  Only the hop differs: here it belongs to the request and starts at 25 tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from cosy.audio.constants import FRAMES_PER_TOKEN, HOP_SAMPLES
from cosy.models.flow import Flow
from cosy.models.vocoder import Vocoder
from cosy.nn.speed import interpolate
from cosy.streaming_plan import CACHED_FRAMES, LOOK_AHEAD, OVERLAP_SAMPLES, official_cuts
from cosy.timing import Stopwatch
from cosy.token2wav import Noise, solve
from cosy.voices.conditions import FlowPrompt


class Call(NamedTuple):
    """What one call computed."""

    mel: Tensor  # (1, 80, T) given to the vocoder, cached frames first
    f0: Tensor  # (1, T) Hz
    source: Tensor  # (1, 1, 480 T), the cached part included
    audio: Tensor  # (1, n) handed out


class Cache(NamedTuple):
    """What a call leaves to the next."""

    mel: Tensor  # (1, 80, 8)
    source: Tensor  # (1, 1, 3840)
    audio: Tensor  # (1, 3840), not handed out yet


class OfficialStream:
    """One utterance.  `finish` alone is the official non-streaming call, the only one that heeds `speed`."""

    def __init__(
        self,
        flow: Flow,
        vocoder: Vocoder,
        prompt: FlowPrompt,
        noise: Noise,
        *,
        speed: float = 1.0,
        clock: Stopwatch | None = None,
    ) -> None:
        self.flow, self.vocoder, self.prompt, self.noise, self.speed = flow, vocoder, prompt, noise, speed
        self.clock = clock or Stopwatch()
        self.tokens: list[int] = []
        self.done = 0  # tokens of the calls so far
        self.plan = self.cuts()
        self.cut = next(self.plan)
        self.cache: Cache | None = None

    def cuts(self) -> Iterator[int]:
        return official_cuts(self.prompt.tokens.shape[1])

    def push(self, tokens: Sequence[int]) -> Tensor:
        return torch.cat([torch.zeros(0, device=self.prompt.mel.device), *(c.audio[0] for c in self.calls(tokens))])

    def finish(self, tokens: Sequence[int] = ()) -> Tensor:
        self.tokens += tokens
        return self.last_call().audio[0] if self.tokens else torch.zeros(0, device=self.prompt.mel.device)

    def calls(self, tokens: Sequence[int]) -> Iterator[Call]:
        """Take further tokens and make the calls that they allow."""
        self.tokens += tokens
        while len(self.tokens) >= self.cut + LOOK_AHEAD:
            with self.clock.stage("flow"):
                known = self.tokens[: self.cut + LOOK_AHEAD]
                mel = solve(self.flow, known, self.prompt, streaming=True, final=False)
            fresh = mel[:, :, FRAMES_PER_TOKEN * self.done :]
            self.done, self.cut = self.cut, next(self.plan)
            with self.clock.stage("vocoder"):
                call = self.vocode(fresh, final=False)
            yield call

    def last_call(self) -> Call:
        """All tokens, full attention, and what is left of the audio."""
        with self.clock.stage("flow"):
            mel = solve(self.flow, self.tokens, self.prompt, streaming=False)[:, :, FRAMES_PER_TOKEN * self.done :]
        if self.cache is None:
            mel = at_official_speed(mel, self.speed)
        with self.clock.stage("vocoder"):
            return self.vocode(mel, final=True)

    def vocode(self, mel: Tensor, final: bool) -> Call:
        """One vocoder call on fresh frames (1, 80, T)."""
        cache = self.cache
        if cache is not None:
            mel = torch.cat([cache.mel, mel], 2)
        start = FRAMES_PER_TOKEN * self.done * HOP_SAMPLES  # any position: phases start again anyway
        f0 = self.vocoder.f0(mel)
        source = self.vocoder.source(f0, self.noise(start, mel.shape[2] * HOP_SAMPLES))
        if cache is not None:
            source = torch.cat([cache.source, source[:, :, cache.source.shape[2] :]], 2)
        audio = self.vocoder.decode(mel, source)
        if cache is not None:
            audio = cross_fade(audio, cache.audio)
        if final:
            return Call(mel, f0, source, audio)
        held = OVERLAP_SAMPLES
        self.cache = Cache(mel[:, :, -CACHED_FRAMES:], source[:, :, -held:], audio[:, -held:])
        return Call(mel, f0, source, audio[:, :-held])


def cross_fade(new: Tensor, held: Tensor) -> Tensor:
    """`new` (B, n) with its first samples faded in over `held` (B, m), m <= n, under two halves of a Hamming window."""
    overlap = held.shape[1]
    window = torch.hamming_window(2 * overlap, periodic=False, dtype=torch.float64, device=new.device).to(new.dtype)
    mixed = new[:, :overlap] * window[:overlap] + held * window[overlap:]
    return torch.cat([mixed, new[:, overlap:]], 1)


def at_official_speed(mel: Tensor, speed: float) -> Tensor:
    """Mel (1, 80, T) stretched as a whole to int(T / speed) frames."""
    if speed == 1.0:
        return mel
    frames = mel.shape[2]
    count = max(1, int(frames / speed))
    positions = (torch.arange(count, dtype=torch.float64, device=mel.device) + 0.5) * (frames / count) - 0.5
    return interpolate(mel, positions)

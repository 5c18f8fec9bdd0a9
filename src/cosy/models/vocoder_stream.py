"""The vocoder on a mel that is still being made: the audio does not depend on how the frames are cut.

A waveform sample depends on 14.3 frames of mel and source on either side, the source on 5 frames of mel through F0,
and on all the past through nine phases.  F0 and source are cheap and streamed with a state.  The decoder, which is
nearly all the work, runs on a window that ends as if the utterance ended now; what later frames could change is not
handed out.  A push of F frames decodes F + 2 C of them (C frames of context), however long the stream is: 1.6 times
the work of one pass over the whole for F = 50, where a state in every layer would need 1.0.

How many frames R are held back is a choice of latency.  20 is exact.  With 16, the last samples of a piece are off
by some 70 to 90 dB below the signal in random networks, less in trained ones, whose kernels decay.  With fewer,
what has been heard stays as it was (the source goes on from its frozen phase), and a raised cosine joins the pieces.

Letters: B batch, T mel frames (50 Hz), F new ones, N = 480 T samples, H harmonics with the fundamental (9).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from cosy.errors import ParameterError
from cosy.models.f0_predictor import LAYERS as F0_REACH
from cosy.models.source import SourceState, harmonic_noise
from cosy.models.vocoder import Vocoder
from cosy.nn.speed import FASTEST, SpeedState, extend_at_speed, init_speed
from cosy.nn.state import State
from cosy.streaming_plan import RELEASE_FRAMES

EXACT = RELEASE_FRAMES  # of look-ahead
PRACTICAL = 16  # frames: what differs cannot be heard
CONTEXT = 15  # frames that the decoder sees on either side of what it makes: its reach is 14.3

NoiseSource = Callable[[int, int, int, int], Tensor]
"""(seed, first sample of the request, samples, H) -> standard normal noise (1, samples, H)."""


@dataclass
class VocoderState(State):
    """Where streams stand.  K = R + C frames of mel are kept, and the source that belongs to them.

    What is kept is aligned to the right: the newest comes last.
    """

    frames: Tensor  # (B,) int64, frames seen, after the change of speed
    mel: Tensor  # (B, 80, K)
    excitation: Tensor  # (B, 1, samples), as far as it is settled
    tail: Tensor  # (B, samples), what followed the audio handed out last; empty without blending
    source: SourceState
    pace: SpeedState
    seed: Tensor  # (B,) int64, of the noise
    first_sample: Tensor  # (B,) int64, where the utterance begins in its request

    def reset(self, rows: Tensor) -> None:
        super().reset(rows)
        self.pace.reset(rows)  # speed 1 is not a zero

    def start(self, row: int, seed: int = 0, speed: float = 1.0, first_sample: int = 0) -> None:
        """Begin another utterance in a row.

        `seed` and the position in the request, counted from `first_sample`, determine the noise.  `speed` changes
        the tempo, not the pitch; ParameterError unless it is positive and at most 4.
        """
        if not 0.0 < speed <= FASTEST:
            raise ParameterError(f"speed must be above 0 and at most {FASTEST:g}, got {speed}")
        self.reset(torch.tensor([row], device=self.seed.device))
        self.seed[row], self.pace.speed[row], self.first_sample[row] = seed, speed, first_sample


class VocoderStream:
    """Mel frames in, samples out.  Holds a network and options; all about a request is in the state.

    `look_ahead_frames` is R (2 to 20), `context_frames` C (15 is exact, 13 is so to float32), `blend_frames` the
    length of the joints, by default none where R is 16 or more and 3 below.  ParameterError if they do not fit.
    """

    def __init__(
        self,
        vocoder: Vocoder,
        look_ahead_frames: int = EXACT,
        *,
        context_frames: int = CONTEXT,
        blend_frames: int | None = None,
        noise: NoiseSource = harmonic_noise,
    ) -> None:
        if blend_frames is None:
            blend_frames = 0 if look_ahead_frames >= PRACTICAL else min(3, look_ahead_frames)
        _require(2 <= look_ahead_frames <= EXACT, f"the look-ahead must be 2 to {EXACT} frames", look_ahead_frames)
        _require(F0_REACH <= context_frames <= CONTEXT, f"the context must be 5 to {CONTEXT} frames", context_frames)
        most = min(look_ahead_frames, context_frames)
        _require(0 <= blend_frames <= most, f"joints must be 0 to {most} frames long", blend_frames)
        self.vocoder, self.noise = vocoder, noise
        self.look_ahead, self.context, self.blend = look_ahead_frames, context_frames, blend_frames
        # The F0 behind audio that was handed out must not change, and a sample needs the F0 of the next frame.
        self.f0_ahead = min(F0_REACH, look_ahead_frames - 1)
        self.kept = look_ahead_frames + context_frames
        self.hop = vocoder.config.hop_samples

    def init_state(self, batch: int, capacity: int = 0) -> VocoderState:
        """The start of `batch` streams with seed 0; the size does not depend on their length: `capacity` is ignored."""
        like, bands = self.vocoder.m_source.l_linear.weight, self.vocoder.config.in_channels
        settled = self.hop * (self.kept - self.f0_ahead) - self.hop // 2

        def zeros(*shape: int, dtype: torch.dtype = like.dtype) -> Tensor:
            return torch.zeros(batch, *shape, dtype=dtype, device=like.device)

        return VocoderState(
            frames=zeros(dtype=torch.int64),
            mel=zeros(bands, self.kept),
            excitation=zeros(1, settled),
            tail=zeros(self.hop * self.blend),
            source=self.vocoder.m_source.init_state(batch),
            pace=init_speed(batch, bands, like),
            seed=zeros(dtype=torch.int64),
            first_sample=zeros(dtype=torch.int64),
        )

    def released(self, frames: int) -> int:
        """Samples handed out once so many frames (after the change of speed) are known and more may come."""
        return self.hop * max(0, frames - self.look_ahead)

    @torch.no_grad()
    def push(
        self, state: VocoderState, mel: Tensor | Sequence[Tensor], final: bool | Sequence[bool] = False
    ) -> list[Tensor]:
        """Continue each row by its log-mel frames (80, any number, also 0) -> its further samples (n,).

        `mel` is (B, 80, F) or one tensor a row, of any lengths.  A `final` row gives all that remains and is reset.
        `state` is advanced in place.  Rows that stand alike are decoded together.
        """
        finals = [final] * len(state.frames) if isinstance(final, bool) else list(final)
        played = extend_at_speed(list(mel), state.pace, finals)
        groups: defaultdict[tuple[int, int, bool], list[int]] = defaultdict(list)
        for row, (x, frames) in enumerate(zip(played, state.frames.tolist(), strict=True)):
            if x.shape[1] or (finals[row] and frames):
                groups[min(frames, self.kept), x.shape[1], finals[row]].append(row)

        waves = [state.mel.new_zeros(0) for _ in played]
        for (seen, _, last), rows in groups.items():
            index = torch.tensor(rows, device=state.frames.device)
            part = state.select(index)
            fresh = self._advance(part, torch.stack([played[row] for row in rows]), seen, last)
            for row, wave in zip(rows, fresh, strict=True):
                waves[row] = wave
            state.write(index, part)
        state.reset(torch.tensor([row for row, last in enumerate(finals) if last], dtype=torch.int64).to(state.frames))
        return waves

    def finish(self, state: VocoderState) -> list[Tensor]:
        """End all rows -> their remaining samples (n,).  The rows are reset."""
        return self.push(state, [state.mel[row, :, :0] for row in range(len(state.mel))], final=True)

    def _advance(self, state: VocoderState, mel: Tensor, seen: int, final: bool) -> Tensor:
        """Continue rows that stand alike by mel (B, 80, F) -> samples (B, n).

        `seen` is how many earlier frames are kept.  The window begins with them: at the start of the utterance, or
        C frames before the audio to come.  Frames are counted from there.
        """
        known = torch.cat([_newest(state.mel, seen), mel], 2)
        frames = known.shape[2]
        begin, end = max(0, seen - self.look_ahead), frames if final else max(0, frames - self.look_ahead)
        wave = known.new_zeros(len(known), 0)
        if final or frames > self.f0_ahead:
            source = self._source(state, known, seen, final)
            if end > begin:
                stop = min(frames, end + self.context)
                wave = self.vocoder.decode(known[:, :, :stop], source[:, :, : self.hop * stop])[:, self.hop * begin :]
        if begin and self.blend:
            wave = self._join(state.tail, wave)
        _keep(state.mel, known)
        state.frames.add_(mel.shape[2])
        cut = self.hop * (end - begin)
        _keep(state.tail, wave[:, cut : cut + state.tail.shape[1]])
        return wave[:, :cut]

    def _source(self, state: VocoderState, known: Tensor, seen: int, final: bool) -> Tensor:
        """Source (B, 1, N) of all `known` frames; where later frames will change it, as if they did not come."""
        ahead, half = self.f0_ahead, self.hop // 2
        before = min(seen, ahead + F0_REACH)
        f0 = self.vocoder.f0(known[:, :, seen - before :])[:, max(0, before - ahead) :]  # from the first unsettled
        settled = f0.shape[1] if final else f0.shape[1] - ahead
        noise = self._noise(state, self.hop * f0.shape[1] + half)
        cut = self.hop * settled + (half if final else 0)

        fresh = self.vocoder.m_source.extend(f0[:, :settled], noise[:, :cut], state.source, final)
        if seen <= ahead:
            fresh = fresh[:, :, half:]  # what lies before the start
        past = _newest(state.excitation, max(0, self.hop * (seen - ahead) - half))
        source = torch.cat([past, fresh], 2)
        if final:
            return source
        _keep(state.excitation, source)
        preview = self.vocoder.m_source.extend(f0[:, settled:], noise[:, cut:], state.source.clone(), final=True)
        return torch.cat([source, preview], 2)

    def _noise(self, state: VocoderState, samples: int) -> Tensor:
        """Noise (B, samples, H) from the first unsettled sample on; zeros before the start of the utterance."""
        first = self.hop * (state.frames - self.f0_ahead).clamp(min=0) - self.hop // 2
        harmonics = self.vocoder.m_source.harmonics
        rows = []
        for seed, origin, at in torch.stack([state.seed, state.first_sample, first], 1).tolist():
            missing = max(0, -at)
            noise = self.noise(seed, origin + at + missing, samples - missing, harmonics)
            rows.append(F.pad(noise, (0, 0, missing, 0)))
        return torch.cat(rows)

    def _join(self, old: Tensor, new: Tensor) -> Tensor:
        """`new` (B, n), begun as `old` (B, m): complementary weights, whose sum is one."""
        n = old.shape[1]
        ramp = (torch.arange(n, dtype=old.dtype, device=old.device) + 0.5) / n
        weight = 0.5 - 0.5 * torch.cos(math.pi * ramp)
        return torch.cat([torch.lerp(old, new[:, :n], weight), new[:, n:]], 1)


def _newest(x: Tensor, count: int) -> Tensor:
    return x[..., x.shape[-1] - count :]


def _keep(memory: Tensor, x: Tensor) -> None:
    """The newest of `x`, as much as there is room for, aligned to the right."""
    count = min(memory.shape[-1], x.shape[-1])
    _newest(memory, count).copy_(_newest(x, count))


def _require(condition: bool, rule: str, value: int) -> None:
    if not condition:
        raise ParameterError(f"{rule}, got {value}")

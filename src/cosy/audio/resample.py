"""Sample-rate conversion with the filter the official features are computed with.

A windowed sinc (Hann window, six zero crossings a side, cut-off at 0.99 of the lower Nyquist
frequency).  Reading it as an explicit sum makes one formula serve files, batches and streams:
output sample q stands at input position p = q * from_hz / to_hz and is

    y[q] = sum over i of x[i] * h(i - p),   |i - p| < 6 * from_hz / cutoff

where h depends on q only through its phase, q mod n.  Input outside the signal is zero.

Letters: o, n the two rates divided by their greatest common divisor; K half the filter length in input
samples; q an output index.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from cosy.errors import ParameterError

ZERO_CROSSINGS = 6  # of the sinc, on each side
ROLLOFF = 0.99  # cut-off as a share of the lower Nyquist frequency
BLOCK = 1 << 16  # outputs computed at once: bounds the memory of the gathered windows


@dataclass(frozen=True)
class _Filter:
    """Taps (n, 2K) of every phase; row j starts K - 1 samples before floor(j * o / n)."""

    taps: Tensor
    o: int
    n: int
    K: int


@lru_cache(maxsize=64)
def _filter(from_hz: int, to_hz: int, device: torch.device) -> _Filter:
    if from_hz < 1 or to_hz < 1:
        raise ParameterError(f"sample rates must be positive, got {from_hz} and {to_hz} Hz")
    divisor = math.gcd(from_hz, to_hz)
    o, n = from_hz // divisor, to_hz // divisor
    cutoff = ROLLOFF * min(o, n)
    K = math.ceil(ZERO_CROSSINGS * o / cutoff)
    with torch.inference_mode(False):  # a cached inference tensor could not be used in training later
        phase = torch.arange(n)[:, None]
        i = phase * o // n + torch.arange(1 - K, K + 1)  # (n, 2K)
        u = (cutoff * (i.double() / o - phase.double() / n)).clamp(-ZERO_CROSSINGS, ZERO_CROSSINGS)
        window = torch.cos(math.pi * u / (2 * ZERO_CROSSINGS)) ** 2
        taps = torch.sinc(u) * window * (cutoff / o)
        return _Filter(taps.float().to(device), o, n, K)


class Resampler:
    """Converts one stream of chunks (..., samples); the joined output equals `resample` of the joined input.

    Output lags by at most K input samples (0.4 ms from 24 to 16 kHz); `finish` flushes them.
    Raises ParameterError if a rate is not positive.
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        _filter(from_hz, to_hz, torch.device("cpu"))  # refuses bad rates now, not at the first chunk
        self.from_hz, self.to_hz = from_hz, to_hz
        self._tail: Tensor | None = None  # input still needed, (..., at most 2K + o - 1)
        self._start = 0  # position of its first sample in the input padded by K - 1
        self._made = 0  # outputs so far

    def push(self, chunk: Tensor) -> Tensor:
        """Every output sample (..., any number) whose input is complete after this chunk (..., samples)."""
        if self.from_hz == self.to_hz:
            self._tail = chunk[..., :0]
            return chunk
        f = _filter(self.from_hz, self.to_hz, chunk.device)
        x = F.pad(chunk, (f.K - 1, 0)) if self._tail is None else torch.cat([self._tail, chunk], dim=-1)
        complete = self._start + x.shape[-1] - 2 * f.K + 1  # windows that end inside x
        first, self._made = self._made, max(self._made, -(-complete * f.n // f.o))
        y = _convolve(x, f, self._start, first, self._made)
        used = self._made * f.o // f.n - self._start  # the next window starts here, possibly beyond x
        drop = min(used, x.shape[-1])
        self._tail, self._start = x[..., drop:], self._start + drop
        return y

    def finish(self) -> Tensor:
        """The rest of the output (..., any number); the stream ends here."""
        if self._tail is None or self.from_hz == self.to_hz:
            return torch.zeros(0) if self._tail is None else self._tail
        K = _filter(self.from_hz, self.to_hz, self._tail.device).K
        return self.push(self._tail.new_zeros(*self._tail.shape[:-1], K))


def _convolve(x: Tensor, f: _Filter, start: int, first: int, last: int) -> Tensor:
    """Outputs first..last-1 from x (..., samples), which begins at padded input position `start`."""
    if first == last:
        return x[..., :0]
    windows = x.unfold(-1, 2 * f.K, 1)  # (..., positions, 2K)
    taps = f.taps.to(x.dtype)
    outputs = torch.split(torch.arange(first, last, device=x.device), BLOCK)
    return torch.cat([(windows[..., q * f.o // f.n - start, :] * taps[q % f.n]).sum(-1) for q in outputs], dim=-1)


def resample(wave: Tensor, from_hz: int, to_hz: int) -> Tensor:
    """Convert wave (..., L) from one rate to another: (..., ceil(L * to_hz / from_hz)), same type and device.

    Source: CosyVoice 2 front end, which uses the default windowed sinc of its audio library; the same
    to float32 rounding.  Differentiable.  Raises ParameterError if a rate is not positive.
    """
    if from_hz == to_hz:
        return wave
    resampler = Resampler(from_hz, to_hz)
    return torch.cat([resampler.push(wave), resampler.finish()], dim=-1)

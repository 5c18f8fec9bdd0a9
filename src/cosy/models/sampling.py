"""Repetition-aware sampling (VALL-E 2, section 3.2, as CosyVoice 2 uses it), batched and on the device.

A token is drawn from the nucleus; if the recent past holds it too often, it is struck out and one
final draw is made from the whole distribution.  Every row has its own generator and takes exactly two
numbers from it per step, whichever branch it goes, so a row draws the same alone and in a batch.

Letters: B rows, C classes, K the candidates kept at most.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from cosy.types import Sampling

Sampler = Callable[[Tensor, Sequence[int]], int]
"""(log-probabilities (C,), all tokens generated so far) -> the next token."""


class Candidates(NamedTuple):
    """The nucleus, most probable first."""

    ids: Tensor  # (B, K) int64, K = min(top_k, C)
    probs: Tensor  # (B, K) float32, softmax probabilities not renormalised; 0 beyond the nucleus


def candidates(log_probs: Tensor, sampling: Sampling) -> Candidates:
    """Nucleus of scores (B, C), log-probabilities up to a constant.

    A token belongs while those before it sum to less than `top_p` and number less than `top_k`, so the
    one that crosses `top_p` is in and the first always is.  Equal probabilities keep ascending ids.
    """
    probs, ids = _largest(log_probs.float().softmax(-1), sampling.top_k)
    before = probs.cumsum(-1).roll(1, -1)
    before[:, 0] = 0.0
    return Candidates(ids, probs * (before < sampling.top_p))


def _largest(probs: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The largest of non-negative `probs` (B, C) and their ids, in order, equal ones by ascending id.

    The bits of such numbers are ordered as they are; with the id below them all keys differ, and a selection, which
    takes a third of the time of a stable sort, has no choice among equals.
    """
    classes = probs.shape[1]
    backwards = torch.arange(classes - 1, -1, -1, device=probs.device)
    keys = (probs.contiguous().view(torch.int32).long() << 32) | backwards
    ids = classes - 1 - (keys.topk(min(count, classes), sorted=True).values & 0xFFFFFFFF)
    return probs.gather(1, ids), ids


def repeats(tokens: Tensor, recent: Tensor, sampling: Sampling) -> Tensor:
    """Whether each of `tokens` (B, n) occurs in `recent` (B, window) too often, (B, n) bool."""
    limit = max(1, math.ceil(sampling.window * sampling.tau))
    return (tokens[:, :, None] == recent[:, None, :]).sum(-1) >= limit


def without(log_probs: Tensor, tokens: Tensor) -> Tensor:
    """Distribution (B, C) of the second draw: the whole of `log_probs`, renormalised without `tokens` (B, 1)."""
    return log_probs.float().scatter(-1, tokens, -torch.inf).softmax(-1)


def remember(recent: Tensor, tokens: Tensor) -> Tensor:
    """`recent` (B, window) with `tokens` (B,) appended and the oldest forgotten; -1 marks an empty place."""
    return torch.cat([recent, tokens[:, None]], 1)[:, 1:]


def ras_sample(log_probs: Tensor, recent: Tensor, sampling: Sampling, generators: Sequence[torch.Generator]) -> Tensor:
    """Draw one token per row, (B,) int64.

    log_probs (B, C) may be masked with -inf; recent (B, window) holds the last tokens, -1 where there
    are none yet; `generators` has one per row and may live on any device.
    """
    uniform = torch.stack([torch.rand(2, generator=g, device=g.device, dtype=torch.float64) for g in generators])
    uniform = uniform.to(log_probs.device, non_blocking=True)
    nucleus = candidates(log_probs, sampling)
    first = nucleus.ids.gather(1, _draw(nucleus.probs, uniform[:, :1]))
    again = repeats(first, recent, sampling)
    if again.device.type == "cpu" and not again.any():  # a GPU would have to wait for the answer
        return first.squeeze(1)
    rest = without(log_probs, first)
    second = _draw(rest, uniform[:, 1:])
    again = again & rest[:, :1].isfinite()  # the only token allowed may repeat
    return torch.where(again, second, first).squeeze(1)


def _draw(weights: Tensor, uniform: Tensor) -> Tensor:
    """Index (B, 1) by inverse distribution function; float64, so that rounding never reaches a zero weight."""
    total = weights.double().cumsum(-1)
    return torch.searchsorted(total, uniform * total[:, -1:], right=True).clamp(max=weights.shape[1] - 1)


class RasSampler:
    """The sampler of one utterance."""

    def __init__(self, sampling: Sampling, generator: torch.Generator) -> None:
        self.sampling, self.generator = sampling, generator

    def __call__(self, log_probs: Tensor, history: Sequence[int]) -> int:
        window = self.sampling.window
        last = list(history[max(0, len(history) - window) :])
        recent = torch.tensor([[-1] * (window - len(last)) + last], dtype=torch.long, device=log_probs.device)
        return int(ras_sample(log_probs[None], recent, self.sampling, [self.generator]))

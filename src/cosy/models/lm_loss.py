"""Training the language model: sequences, cross-entropy, preference loss (CosyVoice 2, sections 2.3 and 2.7).

`layouts` decides which utterances are laid out for bi-streaming, `build_sequences` lays them out,
`embed` turns them into the model's input, `lm_loss` compares its logits with their targets.

Letters: B rows, T positions, C classes, N text tokens, M speech tokens of an utterance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from cosy.config import SpeechLMConfig
from cosy.models.speech_lm import SpeechLM

IGNORE = -1  # in targets
SPECIAL, TEXT, SPEECH, PADDING = 0, 1, 2, -1  # the table an input comes from
START, TASK = 0, 1  # rows of the special table


@dataclass(frozen=True)
class Sequences:
    """A padded batch, as indices: what to feed, what to predict, and which token stands where."""

    table: Tensor  # (B, T) SPECIAL, TEXT, SPEECH or PADDING
    row: Tensor  # (B, T) row of that table, -1 in padding
    target: Tensor  # (B, T) class to predict, or IGNORE
    text_index: Tensor  # (B, T) n where the input is the utterance's n-th text token (from 0), else -1
    speech_index: Tensor  # (B, T) m where the target is its m-th speech token (from 0), else -1
    lengths: Tensor  # (B,)

    def to(self, device: torch.device | str) -> Sequences:
        return Sequences(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


def layouts(
    text: Sequence[Tensor], speech: Sequence[Tensor], coins: Sequence[bool], mix_ratio: tuple[int, int]
) -> list[bool]:
    """Which utterances become bi-streaming: those whose coin says so and whose speech is long enough.

    Every n text tokens are followed by m speech tokens, so M / N must exceed m / n.
    """
    n, m = mix_ratio
    return [bool(coin) and len(s) * n > len(t) * m for t, s, coin in zip(text, speech, coins, strict=True)]


def build_sequences(
    text: Sequence[Tensor], speech: Sequence[Tensor], bistream: Sequence[bool], config: SpeechLMConfig
) -> Sequences:
    """Lay out utterances: ids (N,) and (M,) each, on the CPU; `bistream` as decided by `layouts`."""
    rows = [
        _mixed(t, s, config.mix_ratio) if mixed else _plain(t, s)
        for t, s, mixed in zip(text, speech, bistream, strict=True)
    ]
    pairs = pad_sequence([torch.cat(row) for row in rows], batch_first=True, padding_value=PADDING)
    table, row = pairs.unbind(-1)
    lengths = (table != PADDING).sum(1)
    return Sequences(table, row, *_targets(table, row, config.speech_token_size), lengths)


def _plain(text: Tensor, speech: Tensor) -> list[Tensor]:
    """`[start] text [task] speech`, as (table, row) pairs."""
    return [_special(START), _pairs(TEXT, text), _special(TASK), _pairs(SPEECH, speech)]


def _mixed(text: Tensor, speech: Tensor, mix_ratio: tuple[int, int]) -> list[Tensor]:
    """`[start] n text, m speech, n text, m speech ... rest of text [task] rest of speech`."""
    n, m = mix_ratio
    blocks = len(text) // n
    assert len(speech) >= blocks * m, f"{len(speech)} speech tokens cannot follow {len(text)} text tokens in blocks"
    parts = [_special(START)]
    for j in range(blocks):
        parts += [_pairs(TEXT, text[j * n : (j + 1) * n]), _pairs(SPEECH, speech[j * m : (j + 1) * m])]
    return [*parts, _pairs(TEXT, text[blocks * n :]), _special(TASK), _pairs(SPEECH, speech[blocks * m :])]


def _pairs(table: int, rows: Tensor) -> Tensor:
    rows = rows.long()
    return torch.stack([torch.full_like(rows, table), rows], 1)


def _special(row: int) -> Tensor:
    return torch.tensor([[SPECIAL, row]])


def _targets(table: Tensor, row: Tensor, speech_tokens: int) -> tuple[Tensor, Tensor, Tensor]:
    """target, text_index and speech_index of laid-out rows.

    Both layouts follow one rule: what precedes a speech token predicts it; a speech token (or the task)
    that none follows predicts fill if the sequence goes on, and eos if it ends.
    """
    eos, fill = speech_tokens, speech_tokens + 2
    following = F.pad(table[:, 1:], (0, 1), value=PADDING)
    speaking = (table == SPEECH) | ((table == SPECIAL) & (row == TASK))
    last = torch.where(following == PADDING, eos, fill)
    target = torch.where(speaking, last, IGNORE)
    target = torch.where(following == SPEECH, F.pad(row[:, 1:], (0, 1)), target)
    is_text, is_speech = table == TEXT, table == SPEECH
    text_index = torch.where(is_text, is_text.cumsum(1) - 1, -1)
    speech_index = torch.where(following == SPEECH, is_speech.cumsum(1), -1)
    return target, text_index, speech_index


def embed(model: SpeechLM, sequences: Sequences) -> Tensor:
    """Input embeddings (B, T, D); padding is the constant -1."""
    tables = {SPECIAL: model.llm_embedding, TEXT: model.backbone.embed_tokens, SPEECH: model.speech_embedding}
    weight = model.speech_embedding.weight
    x = weight.new_full((*sequences.table.shape, weight.shape[1]), -1.0, requires_grad=False)
    for kind, table in tables.items():
        here = sequences.table == kind
        x[here] = table(sequences.row[here])
    return x


class LMLoss(NamedTuple):
    """Cross-entropy of a batch."""

    loss: Tensor  # scalar
    accuracy: Tensor  # scalar, arg-max hits per target
    targets: Tensor  # scalar, how many positions count


def lm_loss(logits: Tensor, target: Tensor, *, label_smoothing: float = 0.0, length_normalized: bool = True) -> LMLoss:
    """Kullback-Leibler divergence from the smoothed targets to logits (B, T, C).

    The target distribution has 1 - e on the label and e / (C - 1) elsewhere; the sum over positions is
    divided by their number, or by B if not `length_normalized`.
    """
    counted = target != IGNORE
    labels, log_probs = target[counted], logits[counted].float().log_softmax(-1)  # (n,), (n, C)
    total = -log_probs.gather(1, labels[:, None]).sum()
    if label_smoothing > 0:
        e, other = label_smoothing, label_smoothing / (logits.shape[-1] - 1)
        negative_entropy = (1 - e) * math.log(1 - e) + e * math.log(other)
        total = (1 - e - other) * total - other * log_probs.sum() + len(labels) * negative_entropy
    accuracy = (log_probs.argmax(-1) == labels).float().mean()
    return LMLoss(total / (len(labels) if length_normalized else len(target)), accuracy, counted.sum())


def sequence_log_probs(logits: Tensor, target: Tensor) -> Tensor:
    """Mean log-probability of each row's targets, (B,)."""
    counted = target != IGNORE
    picked = logits.float().log_softmax(-1).gather(-1, target.clamp(min=0)[..., None]).squeeze(-1)
    return (picked * counted).sum(1) / counted.sum(1)


class DPOLoss(NamedTuple):
    """Preference loss of a batch of pairs."""

    loss: Tensor  # scalar
    chosen_rewards: Tensor  # (pairs,), without gradient
    rejected_rewards: Tensor


def dpo_loss(
    policy_chosen: Tensor,
    policy_rejected: Tensor,
    reference_chosen: Tensor,
    reference_rejected: Tensor,
    *,
    beta: float = 0.01,
    label_smoothing: float = 0.0,
    ipo: bool = False,
) -> DPOLoss:
    """Direct preference optimisation (Rafailov et al. 2023, eq. 7; `ipo`: Azar et al. 2023, eq. 17).

    Arguments are `sequence_log_probs` of chosen and rejected speech, (pairs,) each; `label_smoothing` is
    the chance that a preference is the wrong way round.
    """
    chosen, rejected = policy_chosen - reference_chosen, policy_rejected - reference_rejected
    x = chosen - rejected
    if ipo:
        loss = (x - 1 / (2 * beta)).square()
    else:
        loss = -F.logsigmoid(beta * x) * (1 - label_smoothing) - F.logsigmoid(-beta * x) * label_smoothing
    return DPOLoss(loss.mean(), beta * chosen.detach(), beta * rejected.detach())

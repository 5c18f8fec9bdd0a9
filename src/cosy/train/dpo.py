"""Train the language model on preferences: of two ways to say a text, which is better (CosyVoice 2, section 2.7).

A pair is a text with chosen and rejected speech tokens.  Only what the model is to say itself counts: neither text
nor prompt nor padding has a part in the likelihood of a row.  The reference is the model as it was at the start.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cosy.errors import InputError, MissingFileError, ParameterError
from cosy.models.lm_loss import (
    IGNORE,
    Sequences,
    build_sequences,
    dpo_loss,
    embed,
    layouts,
    lm_loss,
    sequence_log_probs,
)
from cosy.models.sampling import RasSampler
from cosy.models.speech_lm import SpeechLM, collect, generate
from cosy.text.tokenizer import TextTokenizer
from cosy.train.data.corpus import Corpus
from cosy.types import Sampling


@dataclass(frozen=True)
class Pair:
    """Two ways to say `text`, as speech tokens; both may follow the same prompt.  Raises InputError without speech."""

    text: str
    chosen: tuple[int, ...]
    rejected: tuple[int, ...]
    prompt_text: str = ""
    prompt_tokens: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.text.strip() or not self.chosen or not self.rejected:
            raise InputError(f"a pair needs a text and two lists of speech tokens, got {self.text!r}")


def write_pairs(path: Path, pairs: Sequence[Pair]) -> None:
    """As JSON lines; the file appears whole."""
    partial = path.with_name(path.name + ".partial")
    rows = (json.dumps(dataclasses.asdict(pair), ensure_ascii=False) for pair in pairs)
    partial.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    partial.replace(path)


def read_pairs(path: Path, speech_tokens: int) -> list[Pair]:
    """JSON lines of the fields of `Pair`.  Raises MissingFileError, or InputError naming the line that is wrong."""
    if not path.is_file():
        raise MissingFileError(f"{path} does not exist: `cosy train pairs` makes one")
    pairs = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            pairs.append(_pair(json.loads(line), speech_tokens))
        except (ValueError, TypeError) as error:  # JSON's errors and ours are ValueErrors
            raise InputError(f"{path}, line {number}: {error}") from error
    if not pairs:
        raise InputError(f"{path} holds no pairs")
    return pairs


def _pair(fields: object, speech_tokens: int) -> Pair:
    if not isinstance(fields, dict):
        raise InputError(f"expected an object, found {type(fields).__name__}")
    known = [field.name for field in dataclasses.fields(Pair)]
    unknown = sorted(set(fields) - set(known))
    missing = [name for name in ("text", "chosen", "rejected") if name not in fields]
    if unknown or missing:
        raise InputError(f"unknown fields {unknown}, missing {missing}; known are {', '.join(known)}")
    tokens = {name: tuple(int(t) for t in fields.get(name, ())) for name in ("chosen", "rejected", "prompt_tokens")}
    outside = [t for row in tokens.values() for t in row if not 0 <= t < speech_tokens]
    if outside:
        raise InputError(f"speech tokens must be between 0 and {speech_tokens - 1}, found {outside[0]}")
    return Pair(**{**fields, **tokens})


def own_targets(sequences: Sequences, prompt_lengths: Sequence[int]) -> Tensor:
    """The targets (B, T), with everything before the first speech token after the prompt ignored."""
    first = torch.tensor(prompt_lengths)[:, None]
    reached = (sequences.speech_index == first).cumsum(1) > 0
    return torch.where(reached, sequences.target, IGNORE)


class Batch(NamedTuple):
    """Chosen rows, then rejected ones, and their targets."""

    sequences: Sequences
    target: Tensor  # (2 pairs, T)


class DPOTask:
    """Prefer the chosen to the rejected speech, more than the reference does; see `trainer.Task`.

    `beta` says how far to move from the reference, `label_smoothing` how often a preference is wrong, `ipo` takes the
    squared loss instead.  `sft` weighs the cross-entropy of the chosen rows, which is added.  Without
    `length_normalised` the likelihood of a row is the sum over its tokens instead of the mean.
    """

    def __init__(
        self,
        network: SpeechLM,
        tokenizer: TextTokenizer,
        pairs: Sequence[Pair],
        batch: int = 4,
        *,
        beta: float = 0.01,
        label_smoothing: float = 0.0,
        ipo: bool = False,
        sft: float = 1.0,
        length_normalised: bool = True,
        bistream: float = 0.5,
    ) -> None:
        if beta <= 0:
            raise ParameterError(f"beta must be above 0, got {beta}")
        self.network, self.pairs, self.size = network, pairs, batch
        self.reference = copy.deepcopy(network).eval().requires_grad_(False)
        self.beta, self.label_smoothing, self.ipo = beta, label_smoothing, ipo
        self.sft, self.length_normalised, self.bistream = sft, length_normalised, bistream
        self.text = [torch.tensor([*tokenizer.encode(p.prompt_text), *tokenizer.encode(p.text)]) for p in pairs]

    def batch(self, rng: np.random.Generator) -> Batch:
        picked = rng.choice(len(self.pairs), size=min(self.size, len(self.pairs)), replace=False).tolist()
        pairs = [self.pairs[i] for i in picked]
        text = [self.text[i] for i in picked] * 2
        speech = [torch.tensor([*p.prompt_tokens, *p.chosen]) for p in pairs]
        speech += [torch.tensor([*p.prompt_tokens, *p.rejected]) for p in pairs]
        coins = (rng.random(len(text)) < self.bistream).tolist()
        config = self.network.config
        sequences = build_sequences(text, speech, layouts(text, speech, coins, config.mix_ratio), config)
        return Batch(sequences, own_targets(sequences, [len(p.prompt_tokens) for p in pairs] * 2))

    def loss(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, float]]:
        logits = self._logits(self.network, batch.sequences)
        with torch.no_grad():
            known = self._logits(self.reference.to(logits.device), batch.sequences)
        policy, reference = (self._likelihoods(x, batch.target) for x in (logits, known))
        found = dpo_loss(
            *policy.chunk(2), *reference.chunk(2), beta=self.beta, label_smoothing=self.label_smoothing, ipo=self.ipo
        )
        count = len(logits) // 2
        chosen = lm_loss(logits[:count], batch.target[:count])
        margin = found.chosen_rewards - found.rejected_rewards
        figures = {"dpo": found.loss, "ce": chosen.loss, "margin": margin.mean(), "wins": (margin > 0).float().mean()}
        return found.loss + self.sft * chosen.loss, {name: value.item() for name, value in figures.items()}

    @staticmethod
    def _logits(network: SpeechLM, sequences: Sequences) -> Tensor:
        logits: Tensor = network(embed(network, sequences), sequences.lengths).logits
        return logits

    def _likelihoods(self, logits: Tensor, target: Tensor) -> Tensor:
        means = sequence_log_probs(logits, target)
        return means if self.length_normalised else means * (target != IGNORE).sum(1)


def resynthesised(
    model: SpeechLM, tokenizer: TextTokenizer, corpus: Corpus, sampling: Sampling, seed: int, count: int
) -> Iterator[Pair]:
    """Recordings against what the model makes of their texts with the recording itself as prompt.

    `count` utterances, drawn without replacement; one that the model says nothing for is left out.
    """
    rng = np.random.default_rng(seed)
    for index in rng.permutation(len(corpus))[:count].tolist():
        text = corpus.entries[index].text
        tokens, ids = corpus.tokens_of(index).tolist(), tokenizer.encode(text)
        sampler = RasSampler(sampling, torch.Generator().manual_seed(seed + index))
        spoken, _ = collect(generate(model, ids, ids, tokens, sampler=sampler))
        if spoken:
            yield Pair(text, tuple(tokens), tuple(spoken))


def judged(
    model: SpeechLM,
    tokenizer: TextTokenizer,
    texts: Sequence[str],
    judge: Callable[[str, Sequence[int]], float],
    sampling: Sampling,
    seed: int,
    tries: int = 4,
) -> Iterator[Pair]:
    """The best against the worst of `tries` samples of every text, as the judge (text, tokens) scores them.

    A text whose samples are all alike to the judge is left out.
    """
    for number, text in enumerate(texts):
        ids, found = tokenizer.encode(text), []
        for attempt in range(tries):
            generator = torch.Generator().manual_seed(seed + number * tries + attempt)
            spoken, _ = collect(generate(model, ids, sampler=RasSampler(sampling, generator)))
            if spoken:
                found.append((judge(text, spoken), spoken))
        found.sort(key=lambda scored: scored[0])
        if found and found[0][0] < found[-1][0]:
            yield Pair(text, tuple(found[-1][1]), tuple(found[0][1]))

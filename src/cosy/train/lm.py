"""Train the language model: the official sequences in both layouts, plus guided attention.

Guided attention is what makes a small model read: in one lower layer, the heads that lead are pulled
towards the text tokens of the word being spoken, which the teacher's word times tell.  Without it the
cross-entropy falls faster while the text is hardly used.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cosy.audio.constants import TOKEN_RATE_HZ
from cosy.config import SpeechLMConfig
from cosy.models.lm_loss import IGNORE, SPEECH, Sequences, build_sequences, embed, layouts
from cosy.models.speech_lm import SpeechLM
from cosy.text.tokenizer import TextTokenizer
from cosy.train.data.corpus import Corpus, Entry
from cosy.train.data.instructions import INSTRUCTIONS

_WORD = re.compile(r"\s*\S+")
NO_WORD = -2  # of text that is not spoken


@dataclass(frozen=True)
class Utterance:
    """Text ids, the word each belongs to, speech tokens, and the word each of those falls in (-1: not known)."""

    text: np.ndarray  # (N,)
    text_word: np.ndarray  # (N,)
    speech: np.ndarray  # (M,)
    speech_word: np.ndarray  # (M,)

    @staticmethod
    def join(parts: Sequence[Utterance]) -> Utterance:
        """Several utterances as one; words are numbered on."""
        offsets = np.cumsum([0, *(int(p.text_word.max()) + 1 for p in parts[:-1])])
        return Utterance(
            np.concatenate([p.text for p in parts]),
            np.concatenate([p.text_word + o for p, o in zip(parts, offsets, strict=True)]),
            np.concatenate([p.speech for p in parts]),
            np.concatenate(
                [np.where(p.speech_word < 0, -1, p.speech_word + o) for p, o in zip(parts, offsets, strict=True)]
            ),
        )


def align(entry: Entry, codes: np.ndarray, tokenizer: TextTokenizer) -> Utterance:
    """Tokenise word by word (a word takes the space before it) and place every speech token in its word."""
    words = [word for word, _ in entry.words] or _WORD.findall(entry.text)
    pieces = [tokenizer.encode(word) for word in words]
    text_word = np.repeat(np.arange(len(words)), [len(p) for p in pieces])
    speech_word = np.full(len(codes), -1)
    if entry.words:
        centres = (np.arange(len(codes)) + 0.5) / TOKEN_RATE_HZ
        found = np.searchsorted([end for _, end in entry.words], centres)
        speech_word = np.where(found < len(words), found, -1)
    return Utterance(np.concatenate(pieces), text_word, codes.astype(np.int64), speech_word)


def _aligned(corpus: Corpus, tokenizer: TextTokenizer) -> list[Utterance]:
    return [align(entry, corpus.tokens_of(i), tokenizer) for i, entry in enumerate(corpus.entries)]


class Batch(NamedTuple):
    """Laid-out sequences, and the utterance of every row."""

    sequences: Sequences
    rows: list[Utterance]


@dataclass(frozen=True)
class Mix:
    """What a training sequence is made of, as shares of all sequences.

    A prompt is a neutral utterance before the one that is learnt.  Of the same speaker it teaches to go on in its
    manner, of any other that the text decides, not the prompt.
    """

    same_speaker: float = 0.15
    any_prompt: float = 0.25
    bistream: float = 0.3
    corrupt: float = 0.15  # of the speech inputs, replaced by random tokens
    neutral_instruction: float = 0.08  # of neutral utterances: one that changes nothing


class LMTask:
    """Utterances alone, after a prompt, or under an instruction, in both layouts; see `trainer.Task`."""

    def __init__(
        self,
        config: SpeechLMConfig,
        tokenizer: TextTokenizer,
        targets: Corpus,
        prompts: Corpus,
        *,
        mix: Mix = Mix(),
        positions: int = 1600,  # per batch
        guide_layer: int = 2,
        guide_heads: int = 2,
    ) -> None:
        self.network = SpeechLM(config)
        torch.nn.init.normal_(self.network.speech_embedding.weight, std=0.3)
        torch.nn.init.normal_(self.network.backbone.embed_tokens.weight, std=0.3)
        self.positions, self.mix = positions, mix
        self.guide_layer, self.guide_heads = guide_layer, guide_heads
        self.end_of_prompt = tokenizer.end_of_prompt_id
        self.instructions = {
            style: [np.array(tokenizer.encode(text)) for text in texts] for style, texts in INSTRUCTIONS.items()
        }
        self.targets = _aligned(targets, tokenizer)
        self.prompts = _aligned(prompts, tokenizer)
        self.styles = [entry.style for entry in targets.entries]
        self.neutral = [i for i, entry in enumerate(prompts.entries) if not entry.style]
        entries = prompts.entries
        groups = prompts.by_speaker.values()
        self.groups = [group for group in ([i for i in g if not entries[i].style] for g in groups) if len(group) > 1]

    def _draw(self, rng: np.random.Generator) -> Utterance:
        kind = rng.random()
        if self.groups and kind < self.mix.same_speaker:
            pair = rng.choice(self.groups[int(rng.integers(len(self.groups)))], size=2)
            return Utterance.join([self.prompts[int(i)] for i in pair])
        index = int(rng.integers(len(self.targets)))
        target, style = self.targets[index], self.styles[index]
        if style or rng.random() < self.mix.neutral_instruction:
            return self._instructed(target, style, rng)
        if self.neutral and kind < self.mix.same_speaker + self.mix.any_prompt:
            return Utterance.join([self.prompts[int(rng.choice(self.neutral))], target])
        return target

    def _instructed(self, utterance: Utterance, style: str, rng: np.random.Generator) -> Utterance:
        """With an instruction before the text, which is read but not spoken."""
        known = self.instructions[style]
        before = np.concatenate([known[int(rng.integers(len(known)))], [self.end_of_prompt]])
        text_word = np.concatenate([np.full(len(before), NO_WORD), utterance.text_word])
        return replace(utterance, text=np.concatenate([before, utterance.text]), text_word=text_word)

    def batch(self, rng: np.random.Generator) -> Batch:
        """Utterances of like length: the middle of a sorted draw, up to `positions`."""
        pool = sorted((self._draw(rng) for _ in range(64)), key=lambda u: len(u.speech))
        last = int(rng.integers(8, 64))
        size = max(1, self.positions // (len(pool[last].text) + len(pool[last].speech) + 2))
        rows = pool[max(0, last - size + 1) : last + 1]
        text = [torch.from_numpy(u.text) for u in rows]
        speech = [torch.from_numpy(u.speech) for u in rows]
        coins = [bool(c) for c in rng.random(len(rows)) < self.mix.bistream]
        config = self.network.config
        sequences = build_sequences(text, speech, layouts(text, speech, coins, config.mix_ratio), config)
        noise = torch.from_numpy(rng.random(sequences.row.shape) < self.mix.corrupt) & (sequences.table == SPEECH)
        random_ids = torch.from_numpy(rng.integers(config.speech_token_size, size=tuple(sequences.row.shape)))
        sequences.row[noise] = random_ids[noise]
        return Batch(sequences, rows)

    def loss(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, float]]:
        sequences, rows = batch
        x = embed(self.network, sequences)
        hidden, attention = self.network.backbone(x, attention_layers=(self.guide_layer,))
        counted = sequences.target != IGNORE
        head = self.network.llm_decoder
        logits = F.linear(hidden[counted], head.weight, head.bias).float()  # in bfloat16 under autocast: it is training
        labels = sequences.target[counted]
        entropy = F.cross_entropy(logits, labels)
        guide = self._guide(attention[self.guide_layer], sequences, rows)
        weight = 0.5 * (1 - progress) + 0.05 * progress
        accuracy = (logits.argmax(-1) == labels).float().mean()
        return entropy + weight * guide, {"ce": entropy.item(), "guide": guide.item(), "accuracy": accuracy.item()}

    def _guide(self, probs: Tensor, sequences: Sequences, rows: Sequence[Utterance]) -> Tensor:
        """Mean of -log(attention mass on the text of the word being spoken), over the leading heads.

        probs (B, H, T, T).  Positions whose word is not known do not count; if there is no other, the mean is 0.
        """
        text_index, speech_index = sequences.text_index, sequences.speech_index
        same = torch.zeros(text_index.shape[0], text_index.shape[1], text_index.shape[1], dtype=torch.bool)
        for b, row in enumerate(rows):
            text_word = torch.from_numpy(row.text_word)
            speech_word = torch.from_numpy(row.speech_word)
            of_text = torch.where(text_index[b] >= 0, text_word[text_index[b].clamp(min=0)], -2)
            of_speech = torch.where(speech_index[b] >= 0, speech_word[speech_index[b].clamp(min=0)], -1)
            same[b] = of_speech[:, None] == of_text[None]
        same &= torch.ones_like(same[0]).tril()  # in a bi-streaming sequence the word may not have been read yet
        known = same.any(-1)
        mass = (probs[:, : self.guide_heads] * same[:, None]).sum(-1)  # (B, heads, T)
        wanted = known[:, None].expand_as(mass)
        return -mass[wanted].clamp(min=1e-4).log().mean() if known.any() else mass.new_zeros(())

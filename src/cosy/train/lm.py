"""Train the language model: the official sequences in both layouts, plus guided attention where word times are known.

Guided attention is what makes a small model read: in one lower layer, the heads that lead are pulled
towards the text tokens of the word being spoken, which the teacher's word times tell.  Without it the
cross-entropy falls faster while the text is hardly used.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cosy.audio.constants import TOKEN_RATE_HZ
from cosy.config import SpeechLMConfig
from cosy.models.lm_loss import IGNORE, SPEECH, Sequences, build_sequences, embed, layouts
from cosy.models.speech_lm import SpeechLM
from cosy.text.tokenizer import TextTokenizer
from cosy.train.buckets import Buckets
from cosy.train.data.corpus import Corpus, Entry
from cosy.train.data.instructions import INSTRUCTIONS
from cosy.train.journal import Picture, Sample

_WORD = re.compile(r"\s*\S+")
NO_WORD = -2  # of text that is not spoken
IN_LETTERS = 0.1  # of the words that have a pronunciation
LONG_S = (6, 30)  # how long utterances in a row last


@dataclass(frozen=True)
class Utterance:
    """Text ids, the word each belongs to, speech tokens, and the word each of those falls in (-1: not known)."""

    text: np.ndarray  # (N,)
    text_word: np.ndarray  # (N,)
    speech: np.ndarray  # (M,)
    speech_word: np.ndarray  # (M,)
    reading: np.ndarray | None = None  # (W, R) of every word, what a task wants to know of it

    @staticmethod
    def join(parts: Sequence[Utterance]) -> Utterance:
        """Several utterances as one; words are numbered on."""
        offsets = np.cumsum([0, *(int(p.text_word.max()) + 1 for p in parts[:-1])])
        readings = [p.reading for p in parts if p.reading is not None]
        return Utterance(
            np.concatenate([p.text for p in parts]),
            np.concatenate([p.text_word + o for p, o in zip(parts, offsets, strict=True)]),
            np.concatenate([p.speech for p in parts]),
            np.concatenate(
                [np.where(p.speech_word < 0, -1, p.speech_word + o) for p, o in zip(parts, offsets, strict=True)]
            ),
            np.concatenate(readings) if len(readings) == len(parts) else None,
        )

    def __len__(self) -> int:
        """Positions it takes alone."""
        return len(self.text) + len(self.speech) + 2


def align(
    entry: Entry, codes: np.ndarray, tokenizer: TextTokenizer, rng: np.random.Generator | None = None
) -> Utterance:
    """Tokenise word by word (a word takes the space before it) and place every speech token in its word.

    With `rng` some words stay in letters, as one does that has no pronunciation.
    """
    words = [word for word, _ in entry.words] or _WORD.findall(entry.text)
    spelt = iter(tokenizer.sandhi.spell("".join(words)))  # of the same length
    words = ["".join(islice(spelt, len(word))) for word in words]
    in_letters = np.zeros(len(words), dtype=bool) if rng is None else rng.random(len(words)) < IN_LETTERS
    said = (w if kept else tokenizer.pronunciations.spell(w) for w, kept in zip(words, in_letters, strict=True))
    pieces = [tokenizer.encode_spelt(word) for word in said]
    text_word = np.repeat(np.arange(len(words)), [len(p) for p in pieces])
    return Utterance(np.concatenate(pieces), text_word, codes.astype(np.int64), words_of_tokens(entry, len(codes)))


def words_of_tokens(entry: Entry, tokens: int) -> np.ndarray:
    """The word that each of `tokens` speech tokens falls in (M,); -1 behind the last, or where no times are known."""
    if not entry.words:
        return np.full(tokens, -1)
    found = np.searchsorted([end for _, end in entry.words], (np.arange(tokens) + 0.5) / TOKEN_RATE_HZ)
    return np.where(found < len(entry.words), found, -1)


class Batch(NamedTuple):
    """Laid-out sequences, which text each position is to attend to, and how its word is read (None: not known)."""

    sequences: Sequences
    spoken: Tensor | None = None  # (B, T, T) bool
    reading: Tensor | None = None  # (B, T, R)


@dataclass(frozen=True)
class Mix:
    """What a training sequence is made of, as shares of all sequences.

    A prompt is a neutral utterance before the one that is learnt.  Of the same speaker it teaches to go on in its
    manner, of any other that the text decides, not the prompt.
    """

    same_speaker: float = 0.15
    any_prompt: float = 0.25
    joined: float = 0.25  # of neutral utterances drawn with replacement: several of one voice in a row, as a long text
    bistream: float = 0.3
    corrupt: float = 0.15  # of the speech inputs, replaced by random tokens
    sound: float = 0.04  # of neutral utterances: laughter or breath before or after it
    neutral_instruction: float = 0.08  # of neutral utterances: one that changes nothing


PLAIN = Mix(
    same_speaker=0.0, any_prompt=0.0, joined=0.0, bistream=0.5, corrupt=0.0, neutral_instruction=0.0
)  # the official recipe


class LMTask:
    """Utterances alone, after a prompt, or under an instruction, in both layouts; see `trainer.Task`.

    `network` is one to be trained further.  `epochs` draws every target once an epoch, in batches of like length,
    instead of with replacement.  Without word times in the corpus, or with `guide_layer` None, attention is not guided.
    """

    def __init__(
        self,
        config: SpeechLMConfig,
        tokenizer: TextTokenizer,
        targets: Corpus,
        prompts: Corpus | None = None,
        sounds: Corpus | None = None,
        *,
        mix: Mix = Mix(),
        positions: int = 1600,  # per batch
        guide_layer: int | None = 2,
        guide_heads: int = 2,
        network: SpeechLM | None = None,
        epochs: bool = False,
    ) -> None:
        self.lm = network or _initialised(SpeechLM(config))
        self.network: nn.Module = self.lm
        self.positions, self.mix = positions, mix
        last_layer = self.lm.config.backbone.num_hidden_layers - 1
        timed = any(entry.words for entry in targets.entries)
        self.guide_layer = None if guide_layer is None or not timed else min(guide_layer, last_layer)
        self.guide_heads = guide_heads
        self.tokenizer = tokenizer
        self.end_of_prompt = tokenizer.end_of_prompt_id
        self.instructions = {
            style: [np.array(tokenizer.encode(text)) for text in texts] for style, texts in INSTRUCTIONS.items()
        }
        self.told = {
            i: [np.array(tokenizer.encode(e.instruction))] for i, e in enumerate(targets.entries) if e.instruction
        }
        self.targets = self._aligned(targets)
        prompts = prompts or targets
        self.prompts = self.targets if prompts is targets else self._aligned(prompts)
        self.sounds = self._aligned(sounds) if sounds else []
        self.styles = [entry.style for entry in targets.entries]
        self.speakers = [entry.speaker for entry in targets.entries]
        self.first_words = [entry.words[0][0] if entry.words else "" for entry in targets.entries]
        self.company = {s: [i for i in g if not self.styles[i]] for s, g in targets.by_speaker.items()}
        entries = prompts.entries
        if prompts is not targets:
            styled = [index for index, entry in enumerate(entries) if entry.style]  # whoever speaks it
            self.targets += [self.prompts[index] for index in styled]
            self.styles += [entries[index].style for index in styled]
            self.speakers += [entries[index].speaker for index in styled]
        self.neutral = [i for i, entry in enumerate(entries) if not entry.style]
        groups = {s: [i for i in g if not entries[i].style] for s, g in prompts.by_speaker.items()}
        self.of_speaker = {speaker: group for speaker, group in groups.items() if len(group) > 1}
        self.groups = list(self.of_speaker.values())
        self.buckets = Buckets(self._plan, positions) if epochs else None

    def _aligned(self, corpus: Corpus) -> list[Utterance]:
        rng = np.random.default_rng(0)
        return [align(entry, corpus.tokens_of(i), self.tokenizer, rng) for i, entry in enumerate(corpus.entries)]

    def _draw(self, rng: np.random.Generator) -> Utterance:
        kind = rng.random()
        if self.groups and kind < self.mix.same_speaker:
            pair = rng.choice(self.groups[int(rng.integers(len(self.groups)))], size=2)
            return Utterance.join([self.prompts[int(i)] for i in pair])
        index = int(rng.integers(len(self.targets)))
        if self._is_instructed(index, rng):
            return self._instructed(index, rng)
        if self.sounds and rng.random() < self.mix.sound:
            parts = [self.sounds[int(rng.integers(len(self.sounds)))], self.targets[index]]
            return Utterance.join(parts if rng.random() < 0.6 else parts[::-1])
        if self.neutral and kind < self.mix.same_speaker + self.mix.any_prompt:
            return Utterance.join([self.prompts[int(rng.choice(self.neutral))], self.targets[index]])
        return self._joined(index, rng) if rng.random() < self.mix.joined else self.targets[index]

    def _joined(self, index: int, rng: np.random.Generator) -> Utterance:
        """An utterance and others of its voice in a row, so that a long text is nothing new."""
        company = self.company.get(self.speakers[index], [])
        parts, wanted = [self.targets[index]], int(rng.integers(*LONG_S)) * TOKEN_RATE_HZ
        while company and sum(len(part.speech) for part in parts) < wanted:
            parts.append(self._further(company[int(rng.integers(len(company)))]))
        return Utterance.join(parts)

    def _further(self, index: int) -> Utterance:
        """A target as it reads in the middle of a text: after a space, where its script has spaces."""
        utterance, word = self.targets[index], self.first_words[index]
        if not word or not word.isascii():
            return utterance
        first = np.array(self.tokenizer.encode(f" {word}"), dtype=utterance.text.dtype)
        rest = utterance.text_word > 0
        return replace(
            utterance,
            text=np.concatenate([first, utterance.text[rest]]),
            text_word=np.concatenate([np.zeros_like(first), utterance.text_word[rest]]),
        )

    def _plan(self, rng: np.random.Generator) -> tuple[list[tuple[int, int]], list[int]]:
        """Every target with the prompt it is given (-1: none), and how many positions the two take."""
        items = [(index, self._prompt_of(index, rng)) for index in range(len(self.targets))]
        return items, [len(self.targets[i]) + (len(self.prompts[p]) if p >= 0 else 0) for i, p in items]

    def _prompt_of(self, index: int, rng: np.random.Generator) -> int:
        kind, group = rng.random(), self.of_speaker.get(self.speakers[index], [])
        if group and kind < self.mix.same_speaker:
            return int(rng.choice(group))
        if self.neutral and kind < self.mix.same_speaker + self.mix.any_prompt:
            return int(rng.choice(self.neutral))
        return -1

    def _planned(self, item: tuple[int, int], rng: np.random.Generator) -> Utterance:
        index, prompt = item
        if self._is_instructed(index, rng):
            return self._instructed(index, rng)
        target = self.targets[index]
        return target if prompt < 0 else Utterance.join([self.prompts[prompt], target])

    def _is_instructed(self, index: int, rng: np.random.Generator) -> bool:
        wanted = index in self.told or self.styles[index] or rng.random() < self.mix.neutral_instruction
        return bool(wanted) and (index in self.told or self.styles[index] in self.instructions)

    def _instructed(self, index: int, rng: np.random.Generator) -> Utterance:
        """With an instruction before the text, which is read but not spoken."""
        utterance = self.targets[index]
        known = self.told.get(index) or self.instructions[self.styles[index]]
        before = np.concatenate([known[int(rng.integers(len(known)))], [self.end_of_prompt]])
        text_word = np.concatenate([np.full(len(before), NO_WORD), utterance.text_word])
        return replace(utterance, text=np.concatenate([before, utterance.text]), text_word=text_word)

    def _rows(self, rng: np.random.Generator) -> list[Utterance]:
        """Utterances of like length: the next bucket, or the middle of a sorted draw, up to `positions`."""
        if self.buckets is not None:
            return [self._planned(item, rng) for item in self.buckets.draw(rng)]
        pool = sorted((self._draw(rng) for _ in range(64)), key=lambda u: len(u.speech))
        last = int(rng.integers(8, 64))
        size = max(1, self.positions // len(pool[last]))
        return pool[max(0, last - size + 1) : last + 1]

    def batch(self, rng: np.random.Generator) -> Batch:
        rows = self._rows(rng)
        text = [torch.from_numpy(u.text) for u in rows]
        speech = [torch.from_numpy(u.speech) for u in rows]
        coins = [bool(c) for c in rng.random(len(rows)) < self.mix.bistream]
        config = self.lm.config
        sequences = build_sequences(text, speech, layouts(text, speech, coins, config.mix_ratio), config)
        noise = torch.from_numpy(rng.random(sequences.row.shape) < self.mix.corrupt) & (sequences.table == SPEECH)
        random_ids = torch.from_numpy(rng.integers(config.speech_token_size, size=tuple(sequences.row.shape)))
        sequences.row[noise] = random_ids[noise]
        return self._laid_out(sequences, rows)

    def _laid_out(self, sequences: Sequences, rows: Sequence[Utterance]) -> Batch:
        return Batch(sequences, None if self.guide_layer is None else spoken_text(sequences, rows))

    def loss(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, float]]:
        sequences, spoken = batch.sequences, batch.spoken
        x = embed(self.lm, sequences)
        layers = () if self.guide_layer is None else (self.guide_layer,)
        hidden, attention = self.lm.backbone(x, attention_layers=layers)
        counted = sequences.target != IGNORE
        head = self.lm.llm_decoder
        logits = F.linear(hidden[counted], head.weight, head.bias).float()  # in bfloat16 under autocast: it is training
        labels = sequences.target[counted]
        entropy = F.cross_entropy(logits, labels)
        accuracy = (logits.argmax(-1) == labels).float().mean()
        figures = {"ce": entropy.item(), "accuracy": accuracy.item()}
        if self.guide_layer is None or spoken is None:
            return entropy, figures
        guide = guidance(attention[self.guide_layer][:, : self.guide_heads], spoken)
        weight = 0.5 * (1 - progress) + 0.05 * progress
        return entropy + weight * guide, {**figures, "guide": guide.item()}

    def samples(self, rng: np.random.Generator) -> dict[str, Sample]:
        """Where the first heads of one layer look while a training utterance is read to the model."""
        utterance = self.targets[int(rng.integers(len(self.targets)))]
        ids = [torch.from_numpy(utterance.text)], [torch.from_numpy(utterance.speech)]
        sequences = build_sequences(*ids, [False], self.lm.config).to(self.lm.llm_decoder.weight.device)
        layer = self.guide_layer or 0
        _, attention = self.lm.backbone(embed(self.lm, sequences), attention_layers=(layer,))
        mass = attention[layer][0, : self.guide_heads].mean(0)[len(utterance.text) + 1 :, : len(utterance.text) + 2]
        return {"attention": Picture(mass.T.float().cpu().numpy(), rows="position in the text")}

    def state(self) -> dict[str, int]:
        return {} if self.buckets is None else self.buckets.state()

    def restore(self, state: dict[str, int]) -> None:
        if self.buckets is not None and state:
            self.buckets.restore(state)


def _initialised(network: SpeechLM) -> SpeechLM:
    torch.nn.init.normal_(network.speech_embedding.weight, std=0.3)
    torch.nn.init.normal_(network.backbone.embed_tokens.weight, std=0.3)
    return network


def spoken_text(sequences: Sequences, rows: Sequence[Utterance]) -> Tensor:
    """(B, T, T) bool: whether the text at the second place is of the word that the first is about to say."""
    text_index, speech_index = sequences.text_index, sequences.speech_index
    size = text_index.shape[1]
    same = torch.zeros(len(rows), size, size, dtype=torch.bool)
    for b, row in enumerate(rows):
        text_word = torch.from_numpy(row.text_word)
        speech_word = torch.from_numpy(row.speech_word)
        of_text = torch.where(text_index[b] >= 0, text_word[text_index[b].clamp(min=0)], -2)
        of_speech = torch.where(speech_index[b] >= 0, speech_word[speech_index[b].clamp(min=0)], -1)
        same[b] = of_speech[:, None] == of_text[None]
    return same & torch.ones_like(same[0]).tril()  # in a bi-streaming sequence the word may not have been read yet


def guidance(probs: Tensor, spoken: Tensor) -> Tensor:
    """Mean of -log(attention mass on the text of the word being spoken) over heads and positions.

    probs (B, H, T, T), spoken (B, T, T).  Positions whose word is not known do not count; if there is no other, the
    mean is 0.
    """
    known = spoken.any(-1)
    mass = (probs * spoken[:, None]).sum(-1)  # (B, H, T)
    wanted = known[:, None].expand_as(mass)
    return -mass[wanted].clamp(min=1e-4).log().mean() if known.any() else mass.new_zeros(())

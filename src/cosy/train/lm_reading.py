"""The language model's training where readings of hanzi are known: what a small model else learns last is tones.

A hanzi is a row of a table, and says nothing of how it sounds.  Here the rows share their usual readings (and speech
tokens their digits, see `shared_rows`), and a reading of the hidden states, there for training alone, asks which
initial, final and tone is being spoken, as the sentence has it: 了 is `le5` or `liao3`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from cosy.config import SpeechLMConfig
from cosy.models.lm_loss import IGNORE, Sequences
from cosy.models.speech_lm import SpeechLM
from cosy.text.tokenizer import TextTokenizer
from cosy.train.assemble import averaged
from cosy.train.data.corpus import Corpus, Entry
from cosy.train.data.pinyin import pinyin
from cosy.train.data.synth import pieces
from cosy.train.lm import Batch, LMTask, Utterance
from cosy.train.shared_rows import digits, fold, share

INITIALS = ("", *"b p m f d t n l g k h j q x zh ch sh r z c s y w".split())
FINALS = tuple(
    """a ai an ang ao e ei en eng er i ia ian iang iao ie in ing iong iu o ong ou u ua uai uan uang ue ui un uo v van ve
    vn ueng""".split()
)
TONES = tuple("12345")
READ_LAYER = 3  # behind the one that is guided to the text
READ_WEIGHT = 0.4, 0.1  # at the beginning and at the end
_HANZI = re.compile(r"[\u4e00-\u9fff]")
_SYLLABLE = re.compile(r"(zh|ch|sh|[bpmfdtnlgkhjqxrzcsyw]?)([a-z]+)([1-5])")
SIZES = len(INITIALS), len(FINALS), len(TONES)
NO_READING = (IGNORE,) * len(SIZES)


def parts(said: str) -> tuple[int, ...]:
    """Toned pinyin as the indices of initial, final and tone; `NO_READING` if it is not Mandarin."""
    found = _SYLLABLE.match(said)
    if found is None or found[2] not in FINALS:
        return NO_READING
    return INITIALS.index(found[1]), FINALS.index(found[2]), TONES.index(found[3])


def readings(entry: Entry, words: int) -> np.ndarray:
    """The `parts` of every word of an utterance (W, 3); of one that is not cut into hanzi nothing is known."""
    said = [parts(read) for _, read in pieces(entry.text, "zh") if read] if entry.language == "zh" else []
    return np.array(said if len(said) == words else [NO_READING] * words)


def usual_readings(tokenizer: TextTokenizer, rows: int) -> Tensor:
    """Features of `rows` text tokens (rows, 66): the usual reading of each that is a hanzi."""
    features = torch.zeros(rows, sum(SIZES))
    for token in range(tokenizer.vocab_size):
        said = pinyin(character) if _HANZI.fullmatch(character := tokenizer.decode([token])) else []
        found = parts(said[0].pinyin) if said else NO_READING
        if found != NO_READING:
            for offset, part in zip((0, *np.cumsum(SIZES)), found, strict=False):
                features[token, offset + part] = 1
    return features


class LMAndReader(nn.Module):
    """The language model, its tables shared, and the reading of its hidden states."""

    def __init__(self, lm: SpeechLM, features: Tensor) -> None:
        super().__init__()
        self.lm = lm
        share(lm.backbone.embed_tokens, features)
        for table in (lm.speech_embedding, lm.llm_decoder):
            share(table, digits(lm.classes))
        width = lm.config.backbone.hidden_size
        self.reading = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, sum(SIZES)))


@torch.no_grad()
def folded(run: Path, config: SpeechLMConfig, tokenizer: TextTokenizer) -> SpeechLM:
    """The language model of a training folder, its weights averaged, with plain tables."""
    both = LMAndReader(SpeechLM(config), usual_readings(tokenizer, config.backbone.vocab_size))
    both.load_state_dict(averaged(run))
    for table in (both.lm.backbone.embed_tokens, both.lm.speech_embedding, both.lm.llm_decoder):
        fold(table)
    return both.lm.eval()


class ReadingLMTask(LMTask):
    """`LMTask` on corpora with word times, in part in Mandarin; the language model is `network.lm`."""

    def __init__(self, config: SpeechLMConfig, tokenizer: TextTokenizer, *corpora: Corpus, **options: Any) -> None:
        super().__init__(config, tokenizer, *corpora, **options)
        self.reader = LMAndReader(self.lm, usual_readings(tokenizer, config.backbone.vocab_size))
        self.network = self.reader
        layers = self.lm.backbone.layers
        layers[min(READ_LAYER, len(layers) - 1)].register_forward_hook(self._keep)

    def _keep(self, layer: nn.Module, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor | None]) -> None:
        self.hidden = output[0]  # of the layer that is read

    def _aligned(self, corpus: Corpus) -> list[Utterance]:
        found = zip(super()._aligned(corpus), corpus.entries, strict=True)
        return [replace(u, reading=readings(entry, int(u.text_word.max()) + 1)) for u, entry in found]

    def _laid_out(self, sequences: Sequences, rows: Sequence[Utterance]) -> Batch:
        batch = super()._laid_out(sequences, rows)
        read = torch.full((*sequences.row.shape, len(SIZES)), IGNORE)
        for b, row in enumerate(rows):
            assert row.reading is not None
            speaking = sequences.speech_index[b] >= 0
            word = torch.from_numpy(row.speech_word)[sequences.speech_index[b][speaking]]
            read[b, speaking] = torch.where(word[:, None] < 0, IGNORE, torch.from_numpy(row.reading)[word])
        if batch.spoken is not None:
            read[~batch.spoken.any(-1)] = IGNORE  # in a bi-streaming sequence the word may not have been read yet
        return batch._replace(reading=read)

    def loss(self, batch: Batch, progress: float) -> tuple[Tensor, dict[str, float]]:
        with parametrize.cached():
            loss, figures = super().loss(batch, progress)
        assert batch.reading is not None
        known = batch.reading[..., 0] != IGNORE
        logits = self.reader.reading(self.hidden[known]).float().split(SIZES, dim=-1)
        if not known.any():
            return loss, {**figures, "reading": 0.0}
        labels = batch.reading[known].unbind(-1)
        wrong = torch.stack([F.cross_entropy(*pair) for pair in zip(logits, labels, strict=True)]).sum()
        first, last = READ_WEIGHT
        weight = first * (1 - progress) + last * progress
        return loss + weight * wrong, {**figures, "reading": wrong.item()}

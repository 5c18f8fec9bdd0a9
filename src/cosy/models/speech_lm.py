"""The text-speech language model: text tokens in, speech tokens out, 25 a second (CosyVoice 2, section 2.3).

A Qwen2 backbone reads `[start] prompt text, text [task] prompt speech` and continues with speech tokens
until it says `eos`.  When the text arrives in pieces, blocks of 5 text and 15 speech tokens alternate and
the model says `fill` where it wants more text: the plans of both are in `utterance`.

`generate` and `generate_bistream` speak one utterance each; both are generators that yield speech tokens
and *return* a `FinishReason` (`reason = yield from generate(...)`, or `collect(generate(...))`).
Batching is the engine's business, through `step` and the state.

Letters: B rows, T positions, D width, S real speech tokens, C = S + 3 classes.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Sequence
from itertools import groupby
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from cosy.config import SpeechLMConfig
from cosy.models.qwen2 import KVCache, Qwen2
from cosy.models.sampling import Sampler
from cosy.models.utterance import (
    MAX_RATIO,
    MIN_RATIO,
    SPEECH,
    START,
    TASK,
    Classes,
    MoreText,
    Plan,
    in_pieces,
    speech,
    whole,
)
from cosy.types import FinishReason

Ids = Sequence[int] | Tensor  # (T,) for one row or (B, T)
SpeechTokens = Generator[int, None, FinishReason]

ROOM = 512  # positions a cache has at first


class SpeechLMOutput(NamedTuple):
    """What the training pass returns."""

    logits: Tensor  # (B, T, C) float32
    attention: dict[int, Tensor]  # layer -> (B, H, T, T), of the layers asked for


class SpeechLM(nn.Module):
    """Embedding tables, backbone and head; parameter names are those of `llm.pt`."""

    def __init__(self, config: SpeechLMConfig) -> None:
        super().__init__()
        self.config = config
        self.eos_id = config.speech_token_size
        self.reserved_id = config.speech_token_size + 1  # a stop id in the checkpoint, never a training target
        self.fill_id = config.speech_token_size + 2  # "give me more text"
        self.classes = config.speech_token_size + 3
        self.known = Classes.of(config)
        size = config.backbone.hidden_size
        self.llm_embedding = nn.Embedding(2, size)
        self.llm = nn.ModuleDict({"model": nn.ModuleDict({"model": Qwen2(config.backbone)})})
        self.llm_decoder = nn.Linear(size, self.classes)
        self.speech_embedding = nn.Embedding(self.classes, size)

    @property
    def backbone(self) -> Qwen2:
        return cast(Qwen2, cast(nn.ModuleDict, self.llm["model"])["model"])

    def embed_text(self, ids: Ids) -> Tensor:
        """Text ids -> (B, T, D)."""
        return cast(Tensor, self.backbone.embed_tokens(self._batched(ids)))

    def embed_speech(self, ids: Ids) -> Tensor:
        """Speech ids -> (B, T, D)."""
        return cast(Tensor, self.speech_embedding(self._batched(ids)))

    def _batched(self, ids: Ids) -> Tensor:
        tensor = torch.as_tensor(ids, dtype=torch.long, device=self.speech_embedding.weight.device)
        return tensor if tensor.ndim == 2 else tensor[None]

    def embed(self, units: Sequence[int]) -> Tensor:
        """Units of `utterance`, in any mixture -> (1, T, D)."""
        parts = []
        for table, run in groupby(units, key=_table):
            ids = [unit - _FIRST[table] for unit in run]
            parts.append(self._tables[table](self._batched(ids)))
        return torch.cat(parts, 1)

    @property
    def _tables(self) -> tuple[nn.Embedding, nn.Embedding, nn.Embedding]:
        return self.backbone.embed_tokens, self.speech_embedding, self.llm_embedding

    def prefix(self, text: Sequence[int], prompt_text: Sequence[int] = (), prompt_speech: Sequence[int] = ()) -> Tensor:
        """What the model reads before it speaks: `[start] prompt_text text [task] prompt_speech`, (1, T, D)."""
        return self.embed([START, *prompt_text, *text, TASK, *speech(prompt_speech)])

    def init_state(self, batch: int, capacity: int) -> KVCache:
        """An empty state for `batch` rows of up to `capacity` positions."""
        return self.backbone.init_state(batch, capacity)

    def forward(
        self, x: Tensor, lengths: Tensor | None = None, attention_layers: Collection[int] = ()
    ) -> SpeechLMOutput:
        """Logits at every position of whole sequences of embeddings (B, T, D), for training."""
        hidden, attention = self.backbone(x, lengths=lengths, attention_layers=attention_layers)
        return SpeechLMOutput(self.logits(hidden), attention)

    @torch.no_grad()
    def step(self, embeddings: Tensor, state: KVCache, lengths: Tensor | None = None) -> Tensor:
        """Feed embeddings (B, T, D) and return float32 log-probabilities (B, C) after each row's last position.

        Of row b only the first lengths[b] positions count (None: all); a row of length 0 stands still and
        its log-probabilities mean nothing.
        """
        hidden = self.backbone(embeddings, state, lengths).hidden
        if lengths is None:
            last = hidden[:, -1]
        else:
            last = hidden[torch.arange(len(hidden), device=hidden.device), (lengths - 1).clamp(min=0)]
        return self.logits(last).log_softmax(-1)

    def logits(self, hidden: Tensor) -> Tensor:
        """The speech head, (..., D) -> (..., C), in float32 even under autocast: 6564 classes need the digits."""
        if not torch.is_autocast_enabled(hidden.device.type):
            return self._head(hidden)
        with torch.autocast(hidden.device.type, enabled=False):
            return self._head(hidden)

    def _head(self, hidden: Tensor) -> Tensor:
        head = self.llm_decoder
        if not isinstance(head, nn.Linear):  # see `cosy.nn.precision`
            return cast(Tensor, head(hidden))
        return nn.functional.linear(hidden.float(), head.weight.float(), head.bias.float())


_FIRST = (0, SPEECH, START)  # unit of the first row of each table: text, speech, start and task


def _table(unit: int) -> int:
    return 0 if unit < SPEECH else 1 if unit < START else 2


def collect(tokens: SpeechTokens) -> tuple[list[int], FinishReason]:
    """Run a generator to its end: all speech tokens, and why it ended."""
    spoken: list[int] = []
    while True:
        try:
            spoken.append(next(tokens))
        except StopIteration as end:
            return spoken, end.value


def generate(
    model: SpeechLM,
    text_ids: Sequence[int],
    prompt_text_ids: Sequence[int] = (),
    prompt_speech: Sequence[int] = (),
    *,
    sampler: Sampler,
    min_ratio: float = MIN_RATIO,
    max_ratio: float = MAX_RATIO,
    official_stops: bool = False,
) -> SpeechTokens:
    """Speak a text that is known as a whole; yields speech tokens, returns STOP or LENGTH.

    Options as in `utterance.whole`.
    """
    ratios = {"min_ratio": min_ratio, "max_ratio": max_ratio}
    plan = whole(model.known, text_ids, prompt_text_ids, prompt_speech, **ratios, official_stops=official_stops)
    return (yield from speak(model, plan, sampler))


def generate_bistream(
    model: SpeechLM,
    text_pieces: Iterable[int | Sequence[int]],
    prompt_text: Sequence[int] = (),
    prompt_speech: Sequence[int] = (),
    *,
    sampler: Sampler,
    min_ratio: float = MIN_RATIO,
    max_ratio: float = MAX_RATIO,
    official: bool = False,
) -> SpeechTokens:
    """Speak while the text still arrives; yields speech tokens, returns STOP or LENGTH.

    `text_pieces` gives single ids or runs of them.  Options: `utterance.in_pieces`.
    """
    ratios = {"min_ratio": min_ratio, "max_ratio": max_ratio}
    plan = in_pieces(model.known, prompt_text, prompt_speech, **ratios, official=official)
    return (yield from speak(model, plan, sampler, text_pieces))


def speak(
    model: SpeechLM, plan: Plan, sampler: Sampler, text_pieces: Iterable[int | Sequence[int]] = ()
) -> SpeechTokens:
    """Run one plan on its own: the oracle of any batch.  Yields speech tokens."""
    pieces, state = iter(text_pieces), model.init_state(1, min(ROOM, model.known.positions))
    answer: int | Sequence[int] | None = None
    used = 0
    while True:
        try:
            asked = plan.send(answer)  # the first answer must be None: the plan has not begun
        except StopIteration as end:
            reason: FinishReason = end.value
            return reason
        if isinstance(asked, MoreText):
            piece = next(pieces, None)
            answer = [piece] if isinstance(piece, int) else piece
            continue
        used += len(asked.feed)
        if used > state.capacity:  # doubling keeps the cost of growing linear
            state = state.grown(min(2 * used, model.known.positions))
        log_probs = model.step(model.embed(asked.feed), state)[0]
        if asked.forced is not None:
            answer = asked.forced
            continue
        log_probs[asked.banned.start : asked.banned.stop] = -torch.inf
        answer = sampler(log_probs, asked.history)
        if answer < model.eos_id:
            yield answer

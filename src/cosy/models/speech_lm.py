"""The text-speech language model: text tokens in, speech tokens out, 25 a second (CosyVoice 2, section 2.3).

A Qwen2 backbone reads `[start] prompt text, text [task] prompt speech` and continues with speech tokens
until it says `eos`.  When the text arrives in pieces, blocks of 5 text and 15 speech tokens alternate and
the model says `fill` where it wants more text.

`generate` and `generate_bistream` speak one utterance each; both are generators that yield speech tokens
and *return* a `FinishReason` (`reason = yield from generate(...)`, or `collect(generate(...))`).
Batching is the engine's business, through `step` and the state.

Letters: B rows, T positions, D width, S real speech tokens, C = S + 3 classes.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from cosy.config import SpeechLMConfig
from cosy.errors import EngineError
from cosy.models.qwen2 import KVCache, Qwen2
from cosy.models.sampling import Sampler
from cosy.types import FinishReason

Ids = Sequence[int] | Tensor  # (T,) for one row or (B, T)
SpeechTokens = Generator[int, None, FinishReason]

MIN_RATIO, MAX_RATIO = 2.0, 20.0  # speech tokens per text token
START, TASK = 0, 1  # rows of `llm_embedding`


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
        size = config.backbone.hidden_size
        self.llm_embedding = nn.Embedding(2, size)
        self.llm = nn.ModuleDict({"model": nn.ModuleDict({"model": Qwen2(config.backbone)})})
        self.llm_decoder = nn.Linear(size, self.classes)
        self.speech_embedding = nn.Embedding(self.classes, size)

    @property
    def backbone(self) -> Qwen2:
        return cast(Qwen2, cast(nn.ModuleDict, self.llm["model"])["model"])

    @property
    def start(self) -> Tensor:
        """Embedding that opens every sequence, (1, 1, D)."""
        return self.llm_embedding.weight[None, START : START + 1]

    @property
    def task(self) -> Tensor:
        """Embedding that ends the text, (1, 1, D)."""
        return self.llm_embedding.weight[None, TASK : TASK + 1]

    def embed_text(self, ids: Ids) -> Tensor:
        """Text ids -> (B, T, D)."""
        return cast(Tensor, self.backbone.embed_tokens(self._batched(ids)))

    def embed_speech(self, ids: Ids) -> Tensor:
        """Speech ids -> (B, T, D)."""
        return cast(Tensor, self.speech_embedding(self._batched(ids)))

    def _batched(self, ids: Ids) -> Tensor:
        tensor = torch.as_tensor(ids, dtype=torch.long, device=self.speech_embedding.weight.device)
        return tensor if tensor.ndim == 2 else tensor[None]

    def prefix(self, text: Ids, prompt_text: Ids = (), prompt_speech: Ids = ()) -> Tensor:
        """What the model reads before it speaks: `[start] prompt_text text [task] prompt_speech`, (1, T, D)."""
        words = [self.embed_text(prompt_text), self.embed_text(text)]
        return torch.cat([self.start, *words, self.task, self.embed_speech(prompt_speech)], 1)

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
        with torch.autocast(hidden.device.type, enabled=False):
            head = self.llm_decoder
            return nn.functional.linear(hidden.float(), head.weight.float(), head.bias.float())


def collect(tokens: SpeechTokens) -> tuple[list[int], FinishReason]:
    """Run a generator to its end: all speech tokens, and why it ended."""
    spoken: list[int] = []
    while True:
        try:
            spoken.append(next(tokens))
        except StopIteration as end:
            return spoken, end.value


def length_limits(text_tokens: int, min_ratio: float = MIN_RATIO, max_ratio: float = MAX_RATIO) -> tuple[int, int]:
    """Fewest and most speech tokens for a text, which is counted without its prompt."""
    return int(text_tokens * min_ratio), int(text_tokens * max_ratio)


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

    Nothing can end the utterance before `min_ratio` tokens per text token, and only `eos` after that.
    `official_stops` keeps the official rule instead: before the minimum only `eos` is masked, and the two
    other special ids end the utterance wherever they are drawn.  The length is limited to `max_ratio`
    tokens per text token and by the positions the model knows.
    """
    pending = model.prefix(text_ids, prompt_text_ids, prompt_speech)
    fewest, most = length_limits(len(text_ids), min_ratio, max_ratio)
    most = min(most, model.config.backbone.max_position_embeddings - pending.shape[1])
    state = model.init_state(1, pending.shape[1] + max(most, 0))
    history: list[int] = []
    while len(history) < most:
        log_probs = model.step(pending, state)[0]
        if official_stops:
            log_probs[model.eos_id : model.eos_id + (len(history) < fewest)] = -torch.inf
        else:
            log_probs[model.eos_id + (len(history) >= fewest) :] = -torch.inf
        token = sampler(log_probs, history)
        if token >= model.eos_id:
            return FinishReason.STOP
        history.append(token)
        yield token
        pending = model.embed_speech([token])
    return FinishReason.LENGTH


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

    `text_pieces` gives single ids or runs of them; how they are grouped does not change the tokens.
    A text that ends before anything could be said is spoken as `generate` does.  The length limits
    of `generate` hold once the text is complete; until then every 15 speech tokens need 5 text tokens.

    `official` keeps the official procedure with its oddities: the last speech embedding is fed twice
    when the text ends, at most one block follows each piece, an unread rest of the prompt speech is
    dropped, nothing limits the length, and a reserved id raises EngineError.
    """
    stream = _BiStream(model, prompt_text, prompt_speech, sampler, official)
    heard: list[int] = []
    for piece in text_pieces:
        arrived = [piece] if isinstance(piece, int) else list(piece)
        heard += arrived
        stream.text += arrived
        stream.read_prompt()
        while arrived and stream.next_block():
            reason = yield from stream.speak_block()
            if reason is not None:
                return reason
            if official:
                break
    if not official and not stream.history:
        whole = generate(
            model, heard, prompt_text, prompt_speech, sampler=sampler, min_ratio=min_ratio, max_ratio=max_ratio
        )
        return (yield from whole)
    return (yield from stream.speak_rest(*length_limits(len(heard), min_ratio, max_ratio)))


class _BiStream:
    """One bi-streaming utterance between its text pieces."""

    def __init__(
        self,
        model: SpeechLM,
        prompt_text: Sequence[int],
        prompt_speech: Sequence[int],
        sampler: Sampler,
        official: bool,
    ) -> None:
        self.model, self.sampler, self.official = model, sampler, official
        self.text_block, self.speech_block = model.config.mix_ratio
        self.text = list(prompt_text)  # not read yet
        self.prompt = list(prompt_speech)  # not read yet
        self.pending = model.start  # embeddings to feed next
        self.history: list[int] = []  # every chosen id, fills included
        self.spoken = 0  # without fills
        self.next_fill = self.speech_block - len(self.prompt) % self.speech_block  # index in `history`
        if self.prompt and self.next_fill == self.speech_block and not official:
            self.next_fill = 0  # the prompt's last block is full: as in training, text comes next
        self.used = 0  # positions fed
        self.state = model.init_state(1, min(512, self._limit))

    @property
    def _limit(self) -> int:
        return self.model.config.backbone.max_position_embeddings

    def read_prompt(self) -> None:
        """Queue blocks of prompt text and prompt speech, as far as the text reaches."""
        while self.prompt and len(self.text) >= self.text_block:
            speech, self.prompt = self.prompt[: self.speech_block], self.prompt[self.speech_block :]
            self._queue(self._take_text(), self.model.embed_speech(speech))

    def next_block(self) -> bool:
        """Queue the next block's text; False if more must arrive first."""
        if self.prompt:
            return False
        if not self.history and self.pending.shape[1] > 1:
            return True  # the prompt's last block goes on
        if len(self.text) < self.text_block:
            return False
        if self.history:
            self.pending = self._take_text()  # what was fed last is behind us
        else:
            self._queue(self._take_text())
        return True

    def speak_block(self) -> Generator[int, None, FinishReason | None]:
        """Decode up to and including a fill; returns LENGTH when the positions run out."""
        model = self.model
        first, last = model.eos_id, model.reserved_id if self.official else model.fill_id  # masked ids
        while self._fits():
            log_probs = self._feed()
            if len(self.history) == self.next_fill:
                token = model.fill_id
            else:
                log_probs[first:last] = -torch.inf
                token = self.sampler(log_probs, self.history)
            if token == model.fill_id:
                self.next_fill = len(self.history) + self.speech_block + 1
                self.history.append(token)
                return None
            yield self._spoken(token)
        return FinishReason.LENGTH

    def speak_rest(self, fewest: int, most: int) -> SpeechTokens:
        """The text is complete: queue what is left of it and decode to the end.

        At least `fewest` tokens are spoken in all, at most `most` from here on.
        """
        model, most = self.model, self.spoken + most
        self._queue(model.embed_text(self.text), model.task)
        while self._fits() and (self.official or self.spoken < most):
            log_probs = self._feed()
            if not self.official:
                log_probs[model.eos_id + (self.spoken >= fewest) :] = -torch.inf
            token = self.sampler(log_probs, self.history)
            if token == model.eos_id:
                return FinishReason.STOP
            yield self._spoken(token)
        return FinishReason.LENGTH

    def _spoken(self, token: int) -> int:
        if token >= self.model.eos_id:
            raise EngineError(f"the language model chose the special id {token} where speech must follow")
        self.history.append(token)
        self.spoken += 1
        self.pending = self.model.embed_speech([token])
        return token

    def _take_text(self) -> Tensor:
        ids, self.text = self.text[: self.text_block], self.text[self.text_block :]
        return self.model.embed_text(ids)

    def _queue(self, *embeddings: Tensor) -> None:
        self.pending = torch.cat([self.pending, *embeddings], 1)

    def _fits(self) -> bool:
        return self.used + self.pending.shape[1] <= self._limit

    def _feed(self) -> Tensor:
        """Feed what is pending; log-probabilities (C,)."""
        self.used += self.pending.shape[1]
        if self.used > self.state.capacity:  # doubling keeps the cost of growing linear
            self.state = self.state.grown(min(2 * self.used, self._limit))
        log_probs = self.model.step(self.pending, self.state)[0]
        if not self.official:
            self.pending = self.pending[:, :0]  # the official procedure may feed it again
        return log_probs

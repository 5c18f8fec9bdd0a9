"""What the language model is to read and may say next: the plan of one utterance, as plain Python.

A plan is a generator that asks and is told.  It yields an `Ask`: read these units, then choose a token that is not
banned; and is sent the token.  Where it lacks text it yields `MORE_TEXT` and is sent ids, or None when there are no
more.  It returns why it ended.  Whoever runs plans, one at a time or many in a batch, owns tensors, caches and
chance; a plan knows none of them.

    plan = whole(classes, text_ids)
    ask = next(plan)
    while True:
        token = choose(read(ask.feed), ask.banned, ask.history)
        ask = plan.send(token)  # StopIteration at the end, with the reason

Tokens below `classes.eos` are speech.  Source: CosyVoice 2, sections 2.3 and 2.4.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Final

from cosy.config import SpeechLMConfig
from cosy.errors import EngineError
from cosy.types import FinishReason

MIN_RATIO, MAX_RATIO = 2.0, 20.0  # speech tokens per text token

# --- units: everything the model reads, in one range of integers ------------------------------------------------

SPEECH: Final = 1 << 24  # the unit of speech token s is SPEECH + s; below are text ids
START: Final = 1 << 25  # opens every sequence
TASK: Final = START + 1  # ends the text


def speech(tokens: Sequence[int]) -> list[int]:
    """The units of speech tokens."""
    return [SPEECH + token for token in tokens]


@dataclass(frozen=True)
class Classes:
    """The ids behind the real speech tokens, and what limits an utterance."""

    eos: int  # ends the utterance
    reserved: int  # a stop id in the checkpoint, never a training target
    fill: int  # "give me more text"
    mix_ratio: tuple[int, int]  # text and speech tokens of a block
    positions: int  # the model knows

    @classmethod
    def of(cls, config: SpeechLMConfig) -> Classes:
        size = config.speech_token_size
        return cls(size, size + 1, size + 2, config.mix_ratio, config.backbone.max_position_embeddings)


# --- what passes between a plan and whoever runs it -------------------------------------------------------------


@dataclass(frozen=True)
class Ask:
    """Read `feed`, then choose."""

    feed: Sequence[int]  # units
    history: Sequence[int]  # every id chosen so far, fills included; grows later: look at it now
    banned: range = range(0)  # ids that must not be chosen
    forced: int | None = None  # the token, if there is no choice


class MoreText:
    """What a plan yields when it cannot go on without text."""


MORE_TEXT: Final = MoreText()

Said = Ask | MoreText
Told = int | Sequence[int] | None
Plan = Generator[Said, Told, FinishReason]


def length_limits(text_tokens: int, min_ratio: float = MIN_RATIO, max_ratio: float = MAX_RATIO) -> tuple[int, int]:
    """Fewest and most speech tokens for a text, which is counted without its prompt."""
    return int(text_tokens * min_ratio), int(text_tokens * max_ratio)


# --- the plans --------------------------------------------------------------------------------------------------


def whole(
    classes: Classes,
    text: Sequence[int],
    prompt_text: Sequence[int] = (),
    prompt_speech: Sequence[int] = (),
    *,
    min_ratio: float = MIN_RATIO,
    max_ratio: float = MAX_RATIO,
    official_stops: bool = False,
) -> Plan:
    """Read `[start] prompt text, text [task] prompt speech`, then speak until `eos` or the length limit.

    Nothing can end the utterance before `min_ratio` tokens per text token, and only `eos` after that.
    `official_stops` keeps the official rule instead: before the minimum only `eos` is banned, and the two other
    special ids end the utterance wherever they are drawn.  The length is limited to `max_ratio` tokens per text
    token and by the positions the model knows.
    """
    feed = [START, *prompt_text, *text, TASK, *speech(prompt_speech)]
    fewest, most = length_limits(len(text), min_ratio, max_ratio)
    most = min(most, classes.positions - len(feed))
    history: list[int] = []
    while len(history) < most:
        early = len(history) < fewest
        if official_stops:
            banned = range(classes.eos, classes.eos + early)
        else:
            banned = range(classes.eos + (not early), classes.fill + 1)
        token = yield from _chosen(Ask(feed, history, banned))
        if token >= classes.eos:
            return FinishReason.STOP
        history.append(token)
        feed = speech([token])
    return FinishReason.LENGTH


def in_pieces(
    classes: Classes,
    prompt_text: Sequence[int] = (),
    prompt_speech: Sequence[int] = (),
    *,
    min_ratio: float = MIN_RATIO,
    max_ratio: float = MAX_RATIO,
    official: bool = False,
) -> Plan:
    """Blocks of text and speech alternate while the text arrives; how it is grouped does not change the tokens.

    A text that ends before anything could be said is spoken as `whole` does.  The length limits of `whole` hold
    once the text is complete; until then every 15 speech tokens need 5 text tokens.

    `official` keeps the official procedure with its oddities: the last speech embedding is fed twice when the text
    ends, at most one block follows each piece, an unread rest of the prompt speech is dropped, nothing limits the
    length, and a reserved id raises EngineError.
    """
    blocks = _Blocks(classes, prompt_text, prompt_speech, official)
    heard: list[int] = []
    while (arrived := (yield MORE_TEXT)) is not None:
        assert not isinstance(arrived, int), "a plan that asks for text is sent a sequence of ids"
        heard += arrived
        blocks.text += arrived
        blocks.read_prompt()
        while arrived and blocks.next_block():
            reason = yield from blocks.speak_block()
            if reason is not None:
                return reason
            if official:
                break
    if not official and not blocks.history:
        return (yield from whole(classes, heard, prompt_text, prompt_speech, min_ratio=min_ratio, max_ratio=max_ratio))
    return (yield from blocks.speak_rest(*length_limits(len(heard), min_ratio, max_ratio)))


def _chosen(ask: Ask) -> Generator[Said, Told, int]:
    token = yield ask
    assert isinstance(token, int), "a plan that asks for a token is sent one"
    return token


class _Blocks:
    """One utterance between its text pieces."""

    def __init__(
        self, classes: Classes, prompt_text: Sequence[int], prompt_speech: Sequence[int], official: bool
    ) -> None:
        self.classes, self.official = classes, official
        self.text_block, self.speech_block = classes.mix_ratio
        self.text = list(prompt_text)  # not read yet
        self.prompt = list(prompt_speech)  # not read yet
        self.pending = [START]  # units to feed next
        self.history: list[int] = []  # every chosen id, fills included
        self.spoken = 0  # without fills
        self.next_fill = self.speech_block - len(self.prompt) % self.speech_block  # index in `history`
        if self.prompt and self.next_fill == self.speech_block and not official:
            self.next_fill = 0  # the prompt's last block is full: as in training, text comes next
        self.used = 0  # positions fed

    def read_prompt(self) -> None:
        """Queue blocks of prompt text and prompt speech, as far as the text reaches."""
        while self.prompt and len(self.text) >= self.text_block:
            block, self.prompt = self.prompt[: self.speech_block], self.prompt[self.speech_block :]
            self.pending += [*self._take_text(), *speech(block)]

    def next_block(self) -> bool:
        """Queue the next block's text; False if more must arrive first."""
        if self.prompt:
            return False
        if not self.history and len(self.pending) > 1:
            return True  # the prompt's last block goes on
        if len(self.text) < self.text_block:
            return False
        if self.history:
            self.pending = self._take_text()  # what was fed last is behind us
        else:
            self.pending += self._take_text()
        return True

    def speak_block(self) -> Generator[Said, Told, FinishReason | None]:
        """Speak up to and including a fill; returns LENGTH when the positions run out."""
        fill = self.classes.fill
        banned = range(self.classes.eos, self.classes.reserved if self.official else fill)
        while self._fits():
            token = yield from _chosen(self._ask(banned, fill if len(self.history) == self.next_fill else None))
            if token == fill:
                self.next_fill = len(self.history) + self.speech_block + 1
                self.history.append(token)
                return None
            self._say(token)
        return FinishReason.LENGTH

    def speak_rest(self, fewest: int, most: int) -> Generator[Said, Told, FinishReason]:
        """The text is complete: queue what is left of it and speak to the end.

        At least `fewest` tokens are spoken in all, at most `most` from here on.
        """
        eos, most = self.classes.eos, self.spoken + most
        self.pending += [*self.text, TASK]
        while self._fits() and (self.official or self.spoken < most):
            banned = range(0) if self.official else range(eos + (self.spoken >= fewest), self.classes.fill + 1)
            token = yield from _chosen(self._ask(banned))
            if token == eos:
                return FinishReason.STOP
            self._say(token)
        return FinishReason.LENGTH

    def _ask(self, banned: range, forced: int | None = None) -> Ask:
        feed = self.pending
        self.used += len(feed)
        if not self.official:
            self.pending = []  # the official procedure may feed it again
        return Ask(feed, self.history, banned, forced)

    def _say(self, token: int) -> None:
        if token >= self.classes.eos:
            raise EngineError(f"the language model chose the special id {token} where speech must follow")
        self.history.append(token)
        self.spoken += 1
        self.pending = speech([token])

    def _take_text(self) -> list[int]:
        ids, self.text = self.text[: self.text_block], self.text[self.text_block :]
        return ids

    def _fits(self) -> bool:
        return self.used + len(self.pending) <= self.classes.positions


# --- what every utterance of a voice begins with ----------------------------------------------------------------


def shared_whole(prompt_text: Sequence[int]) -> list[int]:
    """The first units of `whole` that do not depend on the text."""
    return [START, *prompt_text]


def shared_in_pieces(classes: Classes, prompt_text: Sequence[int], prompt_speech: Sequence[int]) -> list[int]:
    """The first units of `in_pieces` that do not depend on the text, if any text comes at all."""
    blocks = _Blocks(classes, prompt_text, prompt_speech, official=False)
    blocks.read_prompt()
    return blocks.pending

"""From a request's text to the segments that are synthesised, with an account of every change.

    lexicon -> clean -> write out -> split

Text with a mark such as `<|endofprompt|>` is the caller's own: it is spoken as it stands, in one segment.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from cosy.errors import TextError
from cosy.text import official
from cosy.text.lexicon import Lexicon
from cosy.text.normalize import clean, language_of, write_out
from cosy.text.rules import Log, Rewrite, differing
from cosy.text.special_tokens import END_OF_PROMPT
from cosy.text.split import SEGMENT_LIMIT, is_speakable, split_text

if TYPE_CHECKING:
    from cosy.text.tokenizer import TextTokenizer

Policy = Literal["cosy", "official"]
MARK = re.compile(r"<\|[^<>|\s]{1,40}\|>")
SHOWN = 40  # characters of a text in an error message


@dataclass(frozen=True)
class Segment:
    """A stretch of text that is one utterance."""

    text: str
    language: str  # "en", "zh", "ja", "ko" or "other"
    ids: tuple[int, ...] = field(repr=False)  # text tokens

    @property
    def tokens(self) -> int:
        return len(self.ids)


class TextFrontend:
    """Reads text for one vocabulary.

    With `normalise` off numbers and signs stay as they are.  The policy "official" is the chain of
    CosyVoice 2 without a normaliser package, which splits "3.14" and cuts no long sentence.
    """

    def __init__(
        self,
        tokenizer: TextTokenizer,
        lexicon: Lexicon | None = None,
        normalise: bool = True,
        policy: Policy = "cosy",
    ) -> None:
        self.tokenizer, self.lexicon, self.normalise, self.policy = tokenizer, lexicon, normalise, policy
        self.limit = min(SEGMENT_LIMIT, tokenizer.max_length)  # of a segment

    def segments(
        self, text: str, language: str = "", split: bool = True, normalise: bool | None = None
    ) -> list[Segment]:
        """The segments of `text`, at least one.

        `language` is a hint (a tag such as "en"); empty looks at the letters.  `normalise` overrides
        the front end's own setting.  Raises TextError if nothing in the text can be spoken.
        """
        normalise = self.normalise if normalise is None else normalise
        spoken = self._spoken(text, language, normalise, None)
        code = language_of(spoken, language)
        texts = self._split(spoken, code, normalise) if split else [spoken]
        texts = [each for each in texts if is_speakable(each)]
        if not texts:
            raise TextError(f"there is nothing to speak in {_shown(text)}: it has no letter and no digit")
        return [self._segment(each, code, language) for each in texts]

    def explain(self, text: str, language: str = "", normalise: bool | None = None) -> list[Rewrite]:
        """Every change made to `text` before it is split, in order."""
        log: Log = []
        self._spoken(text, language, self.normalise if normalise is None else normalise, log)
        return log

    def prompt_text(self, transcript: str, language: str = "") -> str:
        """A prompt's transcript as the language model reads it; never split, may be empty."""
        return self._spoken(transcript, language, self.normalise, None)

    def instruction(self, text: str) -> str:
        """An instruction as the language model reads it: not normalised, `<|endofprompt|>` at its end.

        Raises TextError if it is empty.
        """
        text = text.strip().removesuffix(END_OF_PROMPT)
        if not is_speakable(text):
            raise TextError(f"the instruction {_shown(text)} says nothing; say how to speak, or leave it out")
        return text if END_OF_PROMPT in text else text + END_OF_PROMPT

    def _spoken(self, text: str, language: str, normalise: bool, log: Log | None) -> str:
        if MARK.search(text):
            return text
        if self.lexicon is not None:
            text = self.lexicon.apply(text, log)
        if self.policy == "official":
            return self._official(text, normalise, log)
        text = clean(text, log)
        return write_out(text, language_of(text, language), log) if normalise else text

    def _official(self, text: str, normalise: bool, log: Log | None) -> str:
        spoken = str(official.text_normalize(text, self._length, split=False, text_frontend=normalise))
        if spoken != text and log is not None:
            log.append(differing("official", text, spoken))
        return spoken

    def _split(self, text: str, language: str, normalise: bool) -> list[str]:
        if MARK.search(text):
            return [text]
        if self.policy == "cosy":
            return split_text(text, self._length, language, self.limit)
        return official.segments(text, self._length) if normalise else [text]

    def _segment(self, text: str, language: str, hint: str) -> Segment:
        own = language if hint else language_of(text)
        return Segment(text, own, tuple(self.tokenizer.encode(text)))

    def _length(self, text: str) -> int:
        return len(self.tokenizer.encode(text))


def _shown(text: str) -> str:
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + "...")

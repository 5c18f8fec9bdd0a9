"""Text that arrives in pieces, read as it comes: what a language model writes, spoken while it writes.

    pieces -> stretches between borders -> read, each by itself -> segments -> ids

What comes out depends on the text alone, never on how it was cut: borders follow from the text
(`cosy.text.borders`), and so does everything made of what lies between them.  The price of not knowing the
rest is small: a language is told from the last 200 characters instead of from all, an abbreviation with an
unusual dot may end a sentence, and segments end at the first good place rather than at the best.

Text with a mark such as `<|endofprompt|>` is the caller's own: from the stretch with the mark to the end
nothing is changed and no segment ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from cosy.text.borders import BLANKS, Kind, next_border
from cosy.text.frontend import MARK, TextFrontend
from cosy.text.normalize import clean, language_of, write_out
from cosy.text.split import cut_long, is_speakable
from cosy.text.tokenizer import TokenStream
from cosy.text.unicode import drop_lone_surrogates

SEGMENT_TOKENS = 40  # a segment ends with the sentence that brings it here; at half of the limit a clause will do
BLOCK = 1024  # characters looked at together: what is held is copied with every stretch
LANGUAGE_WINDOW = 200  # characters from which the language is told

_EAST_ASIAN = ("zh", "ja")  # words without blanks; commas that would become full stops at the end of a stretch
_COMMAS = "，,、"
_CLOSERS = '"”’」』）)】]»'
_ENDED = ".?!;:…。？！；：؟۔।"


@dataclass(frozen=True)
class TextPiece:
    """What became certain: text as it will be spoken, and ids.

    Joined over a segment, `text` is `segment_text`, and `ids` are those of `segment_text` tokenised at once.
    The ids of a piece may lag a word behind its text, because the next word can still join it.
    """

    text: str
    ids: tuple[int, ...] = field(repr=False)
    ends_segment: bool = False
    segment_text: str = ""  # the whole segment, where this piece ends it


class _Stretch(NamedTuple):
    gap: str  # the white space before it
    text: str


class IncrementalText:
    """Reads one text for one vocabulary, piece by piece.  Raises TextError for an unknown language.

    `language`, `normalise` and `split` are those of `TextFrontend.segments`.  A front end with a lexicon
    releases text by clauses, for an entry may have several words; the policy "official" leaves streamed
    text untouched, as CosyVoice does.
    """

    def __init__(
        self, frontend: TextFrontend, language: str = "", normalise: bool | None = None, split: bool = True
    ) -> None:
        self._lexicon = frontend.lexicon
        self._tokenizer = frontend.tokenizer
        self._limit = frontend.limit
        enough = min(SEGMENT_TOKENS, self._limit // 2)
        self._enough = {Kind.CLAUSE: self._limit // 2, Kind.SENTENCE: enough, Kind.PARAGRAPH: enough}
        self._normalise = frontend.normalise if normalise is None else normalise
        self._split = split
        self._verbatim = frontend.policy == "official"
        hint = language.strip()
        self._hint = language_of("", hint) if hint and hint.lower() != "auto" else ""
        self._half = ""  # the first half of a surrogate pair
        self._held = ""  # text from the start of a stretch on
        self._gap = ""  # white space before it
        self._seen = ""  # the last characters before that
        self._language = self._hint
        self._begin_segment()

    def push(self, piece: str) -> list[TextPiece]:
        """Add a piece of any length; returns what no later piece can change."""
        piece = self._half + piece
        self._half = piece[-1:] if "\ud800" <= piece[-1:] <= "\udbff" else ""
        piece = drop_lone_surrogates(piece[: len(piece) - len(self._half)])
        pieces: list[TextPiece] = []
        for at in range(0, len(piece), BLOCK):
            self._held += piece[at : at + BLOCK]
            pieces += self._released(ended=False)
        return pieces

    def finish(self) -> list[TextPiece]:
        """The rest; its last piece ends the last segment.  The reader is spent afterwards."""
        pieces = list(self._released(ended=True))
        pieces += self._add(self._take(len(self._held)), Kind.NONE, last=True)
        return pieces + self._end_text()

    def _released(self, ended: bool) -> Iterator[TextPiece]:
        while True:
            kept = len(self._held) - len(self._held.lstrip(BLANKS))
            self._gap, self._held = self._gap + self._held[:kept], self._held[kept:]
            border = next_border(self._held, ended, self._cuts_at_blanks, runs=self._lexicon is None)
            if border is None:
                return
            yield from self._add(self._take(border.at), border.kind)

    def _cuts_at_blanks(self, text: str) -> bool:
        """Not in Chinese and Japanese: whether English in between is read as English shows in its whole clause."""
        return self._lexicon is None and self._language_of(text) not in _EAST_ASIAN

    def _language_of(self, stretch: str) -> str:
        return self._hint or language_of((self._seen + stretch)[-LANGUAGE_WINDOW:])

    def _take(self, length: int) -> _Stretch:
        text, gap = self._held[:length], self._gap
        self._language = self._language_of(text)
        self._held, self._gap = self._held[length:], ""
        self._seen = (self._seen + gap + text)[-LANGUAGE_WINDOW:]
        return _Stretch(gap, text)

    def _add(self, stretch: _Stretch, kind: Kind, last: bool = False) -> Iterator[TextPiece]:
        self._verbatim = self._verbatim or MARK.search(stretch.text) is not None
        if self._verbatim:
            if stretch.gap or stretch.text:
                yield self._emit(stretch.gap + stretch.text)
            return
        spoken = self._read(stretch.text, last)
        if kind is Kind.PARAGRAPH and self._normalise and spoken[-1:].isalnum():
            spoken += self._full_stop
        if not spoken:  # an emoji, say: it parts the words around it
            self._gap = stretch.gap or " "
            return
        enough = self._enough.get(kind) if self._split else None
        joint = self._joint(stretch.gap, spoken[0])
        for part in cut_long(spoken, self._size, self._limit) if self._split else [spoken]:
            yield from self._place(joint, part, enough)
            joint = ""

    def _read(self, stretch: str, last: bool) -> str:
        """A stretch as it is spoken.  Commas at its end stay commas, unless it is the last of the text."""
        ends_in_comma = self._language in _EAST_ASIAN and not last
        text = stretch.rstrip(_COMMAS) if ends_in_comma else stretch
        commas = stretch[len(text) :]
        text = clean(text if self._lexicon is None else self._lexicon.apply(text))
        spoken = write_out(text, self._language).strip() if self._normalise else text
        return spoken.rstrip(_COMMAS).rstrip() if last and self._split else spoken + commas

    def _joint(self, gap: str, first: str) -> str:
        """What is left of the white space between the segment so far and a stretch that begins with `first`."""
        if not self._text or not gap:
            return ""
        if not self._normalise:
            return clean(f"a{gap}a")[1:-1]
        if self._language not in _EAST_ASIAN or (self._text[-1].isascii() and first.isascii()):
            return " "
        return " " if self._language == "ja" and " " in clean(f"a{gap}a") else ""

    def _place(self, joint: str, part: str, enough: int | None) -> Iterator[TextPiece]:
        """Put a part into the segment, or, where it would grow too long, into a new one."""
        if not self._split:
            yield self._emit(joint + part)
            return
        if self._text and self._size(self._text + joint + part) > self._limit:
            yield self._emit("", ends=True)
        if not self._text:
            joint, part = "", part.lstrip()
            if not is_speakable(part):
                return
        ends = enough is not None and self._size(self._text + joint + part) >= enough
        yield self._emit(joint + part, ends)

    def _end_text(self) -> list[TextPiece]:
        if not self._text:
            return []
        ended = self._verbatim or not self._split or self._text.rstrip(_CLOSERS).endswith(tuple(_ENDED))
        return [self._emit("" if ended else self._full_stop, ends=True)]

    def _emit(self, text: str, ends: bool = False) -> TextPiece:
        self._text += text
        ids = self._ids.push(text)
        if not ends:
            return TextPiece(text, tuple(ids))
        piece = TextPiece(text, (*ids, *self._ids.finish()), True, self._text)
        self._begin_segment()
        return piece

    def _begin_segment(self) -> None:
        self._text = ""
        self._ids = TokenStream(self._tokenizer)

    @property
    def _full_stop(self) -> str:
        return "。" if self._language in _EAST_ASIAN else "."

    def _size(self, text: str) -> int:
        return len(self._tokenizer.encode(text))

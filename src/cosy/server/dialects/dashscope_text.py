"""Text as DashScope counts, cuts and corrects it: characters, flushes, replacements, and slices of what was sent.

Source: "CosyVoice WebSocket API" of Alibaba Cloud Model Studio.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from difflib import SequenceMatcher

from cosy.server.joined import Part
from cosy.server.text import TextQueue

HAN = re.compile("[\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
FLUSH = "\0"  # among pieces of text, which hold no such character
LONGEST_COMPARED = 600  # characters of a segment; beyond that its length decides
_BORDERS = re.compile(r"[。！？!?.;；,，、:：…\n]+[\"'”’」』）)\]]*\s*|\s+")
_SENTENCE_END = re.compile(r"(?:[。！？][\"'”’」』）)\]]*|[.!?][\"'”’)\]]*(?=\s)|\n)\s*")


def characters(text: str) -> int:
    """As they are charged: every Han ideograph counts two, everything else one."""
    return len(text) + len(HAN.findall(text))


class FlushableText(TextQueue):
    """A text queue that takes FLUSH as a piece, which is no text and counts for nothing."""

    async def put(self, piece: str) -> None:
        if piece == FLUSH:
            await self._pieces.put(piece)
        else:
            await super().put(piece)


class _Passage(AsyncIterator[str]):
    """The pieces up to the next flush.  `head` has been read already."""

    def __init__(self, head: str, rest: AsyncIterator[str]) -> None:
        self._head = head
        self._rest = rest
        self._over = False

    async def __anext__(self) -> str:
        if self._head:
            head, self._head = self._head, ""
            return head
        piece = FLUSH if self._over else await anext(self._rest)
        if piece == FLUSH:
            self._over = True
            raise StopAsyncIteration
        return piece


async def passages(text: AsyncIterator[str]) -> AsyncGenerator[Part, None]:
    """A text as it comes, one part for all that lies between two flushes and can be spoken.

    What has neither letter nor digit waits for the next part; at the end it is left out, if anything was said.
    """
    head, spoken = "", False
    async for piece in text:
        head += "" if piece == FLUSH else piece
        if any(letter.isalnum() for letter in head):
            yield Part(_Passage(head, text))
            head, spoken = "", True
    if head and not spoken:
        yield Part(head)


class Replacements:
    """Replaces words in a text that comes in pieces.  What may be the beginning of a word is held back."""

    def __init__(self, words: Mapping[str, str]) -> None:
        self._words = {word: other for word, other in words.items() if word}
        longest_first = sorted(self._words, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)))
        self._ahead = max(map(len, longest_first), default=1) - 1
        self._held = ""

    def push(self, piece: str) -> str:
        """The text that no later piece can change."""
        self._held += piece
        sure, done, at = len(self._held) - self._ahead, "", 0
        for found in self._pattern.finditer(self._held) if self._words else ():
            if found.start() >= sure:
                break
            done += self._held[at : found.start()] + self._words[found[0]]
            at = found.end()
        done += self._held[at : max(at, sure)]
        self._held = self._held[max(at, sure, 0) :]
        return done

    def finish(self) -> str:
        """The rest."""
        rest, self._held = self._held, ""
        return self._pattern.sub(lambda found: self._words[found[0]], rest) if self._words else rest


class Slices:
    """Which stretch of the text that was sent a segment has spoken.

    A segment's text is normalised ("3" became "three"), so where it ends in the raw text is found by likeness: at
    the border of words or clauses before which most of it is found.  All slices joined are the raw text.
    """

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._ahead = ""  # what no segment has spoken yet, without the pieces
        self.charged = 0  # characters of all slices

    def add(self, piece: str) -> None:
        self._pieces.append(piece)

    def peek(self, spoken: str) -> str:
        """What `take` would return; without the segment's text, what has come, up to the end of a sentence."""
        ahead = self._all_ahead()
        if spoken.strip():
            return ahead[: _extent(ahead, spoken.strip())]
        found = _SENTENCE_END.search(ahead, len(ahead) - len(ahead.lstrip()))
        return ahead[: found.end()] if found else ahead

    def take(self, spoken: str) -> str:
        """The slice of the next segment, by its text; what was skipped before it belongs to it."""
        return self._cut(_extent(self._all_ahead(), spoken.strip()))

    def rest(self) -> str:
        """All that is left."""
        return self._cut(len(self._all_ahead()))

    def _all_ahead(self) -> str:
        self._ahead += "".join(self._pieces)
        self._pieces.clear()
        return self._ahead

    def _cut(self, length: int) -> str:
        found, self._ahead = self._ahead[:length], self._ahead[length:]
        self.charged += characters(found)
        return found


def _extent(ahead: str, spoken: str) -> int:
    """How many characters of the raw text `ahead` a segment covers."""
    window = ahead[: 2 * len(spoken) + 64]
    start = len(window) - len(window.lstrip())
    if not spoken:
        return 0
    if window.startswith(spoken, start):
        end = start + len(spoken)
        return end + len(window[end:]) - len(window[end:].lstrip())
    ends = [found.end() for found in _BORDERS.finditer(window) if found.end()] + [len(window)]
    if len(spoken) > LONGEST_COMPARED:
        return min(ends, key=lambda end: abs(end - len(spoken)))
    blocks = SequenceMatcher(None, window, spoken, autojunk=False).get_matching_blocks()

    def likeness(end: int) -> int:
        """Characters found again before `end`, less those that are not."""
        found = sum(min(block.size, max(0, end - block.a)) for block in blocks)
        return 2 * found - end

    return max(ends, key=likeness)

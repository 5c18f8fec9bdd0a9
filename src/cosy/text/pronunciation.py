"""English words as the phones they are said with: for vocabularies that read phones instead of letters.

A large language model learns English spelling by the way; a small one says a word well that it was taught, and guesses
the others.  Such a vocabulary has a pronouncing dictionary beside it and entries for runs of phones, and a word of the
dictionary is read as its phones, each a letter of a small phonetic alphabet.  Any other word stays as it is.  The
dictionary has the form of CMU's: a line for each word, its phones in ARPAbet (with `ax`, the schwa), and a digit behind
each vowel, 1 if its syllable is stressed and 0 if not.

    # a remark
    hello hh ax0 l ow1
"""

from __future__ import annotations

import re
import unicodedata
from collections import deque
from collections.abc import Mapping
from pathlib import Path

from cosy.errors import MismatchError, MissingFileError
from cosy.text.special_tokens import SPECIAL, unfinished

VOWELS = "aa ae ah ao aw ax ay eh er ey ih iy ow oy uh uw".split()
LETTERS = {  # consonants are the small capitals; no English text has any of these
    **dict(zip(VOWELS, "ɑɐʌɔɒəᴀɛɜᴇɪɨᴏɶʊᴜ", strict=True)),
    **dict(zip("b ch d dh f g hh jh k l m n ng".split(), "ʙᴄᴅðꜰɢʜᴊᴋʟᴍɴɳ", strict=True)),
    **dict(zip("p r s sh t th v w y z zh".split(), "ᴘʀꜱʃᴛθᴠᴡʏᴢʒ", strict=True)),
}
STRESS = "ˈ"  # before a stressed vowel
_SPELT = {  # phones as a dictionary has them
    **{phone: letter for phone, letter in LETTERS.items() if phone not in VOWELS},
    **{f"{vowel}0": LETTERS[vowel] for vowel in VOWELS},
    **{f"{vowel}1": STRESS + LETTERS[vowel] for vowel in VOWELS},
}
_HISSES = frozenset("s z sh zh ch jh".split())
_VOICELESS = frozenset("p t k f th".split())
_LETTER = "[A-Za-z\u00c0-\u024f\u0300-\u036f]"
WORDS = re.compile(f"(?P<special>{SPECIAL.pattern})|{_LETTER}+(?:['’]{_LETTER}+)*")  # and what is none
PRONUNCIATIONS_FILE = "pronunciations.txt"
LONGEST = 40  # characters of a word in a dictionary
LONGEST_INITIALS = 5
_NAME_OF_A = "ey1"  # by itself it is a word


class Pronunciations:
    """Writes the words of `entries` (in lower case, to phones such as "hh ax0 l ow1") as their phones.

    Raises ValueError for a phone that is not known and a word that is too long.
    """

    def __init__(self, entries: Mapping[str, str] | None = None) -> None:
        self.entries = entries or {}
        for wrong in {phone for phones in self.entries.values() for phone in phones.split()} - _SPELT.keys():
            word = next(word for word, phones in self.entries.items() if wrong in phones.split())
            raise ValueError(f"{word!r} has the unknown phone {wrong!r}; known: {' '.join(_SPELT)}")
        if long := next((word for word in self.entries if len(word) > LONGEST), ""):
            raise ValueError(f"{long!r} has more than {LONGEST} characters")

    @classmethod
    def load(cls, path: Path) -> Pronunciations:
        """Read a dictionary.  Raises MissingFileError or MismatchError naming the file and what is wrong."""
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
            return cls(dict(line.split(maxsplit=1) for line in lines if not line.startswith("#")))
        except FileNotFoundError as error:
            raise MissingFileError(f"{path} is missing: it says how the words of this vocabulary are read") from error
        except ValueError as error:  # not UTF-8, not a word and its phones, or not known
            raise MismatchError(f"{path} must give a word and its phones in every line: {error}") from error

    def phones(self, word: str) -> str:
        """The phones of a word, of the possessive of a known one, of the letters of a few in capitals, or ""."""
        key = unicodedata.normalize("NFC", word).lower().replace("’", "'")
        if key in self.entries:
            return self.entries[key]
        if word.isupper() and len(word) <= LONGEST_INITIALS:
            names = [_NAME_OF_A if letter == "a" else self.entries.get(letter, "") for letter in key]
            return " ".join(names) if all(names) else ""
        if not key.endswith("'s") or not (owner := self.entries.get(key[:-2])):
            return ""
        last = owner.split()[-1]
        return f"{owner} {'ax0 z' if last in _HISSES else 's' if last in _VOICELESS else 'z'}"

    def spell(self, text: str) -> str:
        """`text` with its words as their phones."""
        if not self.entries:
            return text
        return WORDS.sub(lambda found: found[0] if found.lastgroup else self._spelt(found[0]), text)

    def unknown(self, text: str) -> list[str]:
        """The words of `text` that stay as they are written, each once; none if there is no dictionary."""
        words = (found[0] for found in WORDS.finditer(text) if not found.lastgroup)
        return list(dict.fromkeys(word for word in words if self.entries and not self.phones(word)))

    def _spelt(self, word: str) -> str:
        return "".join(_SPELT[phone] for phone in self.phones(word).split()) or word


class PronunciationStream:
    """Spells a text that arrives in pieces as `Pronunciations.spell` does the whole: a word waits for its end."""

    def __init__(self, pronunciations: Pronunciations) -> None:
        self._pronunciations = pronunciations
        self._held = ""

    def push(self, piece: str) -> str:
        """Add a piece; returns what no later piece can change."""
        self._held += piece
        if not self._pronunciations.entries:
            return self.finish()
        end = self._open()
        ready, self._held = self._held[:end], self._held[end:]
        return self._pronunciations.spell(ready) + self._shortened()

    def finish(self) -> str:
        """The rest; the stream is empty afterwards."""
        rest, self._held = self._pronunciations.spell(self._held), ""
        return rest

    def _open(self) -> int:
        """Where the special token or the word begins that the text ends in the middle of."""
        text = self._held
        found = deque(WORDS.finditer(text), maxlen=1)  # the last
        words = (word.start() for word in found if not word.lastgroup and text[word.end() :] in ("", "'", "’"))
        return min(unfinished(text), next(words, len(text)))

    def _shortened(self) -> str:
        """The beginning of a word without end, as it is: its last letters are enough to know it for none."""
        text = self._held
        if len(text) <= 4 * LONGEST:
            return ""
        kept = max(at for at in range(len(text) - LONGEST - len("'s")) if text[at].isalpha())
        self._held = text[kept:]
        return text[:kept]

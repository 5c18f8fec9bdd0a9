"""A pronouncing dictionary of English: the words of CMU's, with the stress and the schwa of festival's.

CMU's dictionary, inside the pocketsphinx package (BSD), has neither.  Where festival, saying a word by itself, agrees
with it otherwise, the word is said as the teacher `slt` says it.  Where not, CMU's phones count: festival's dictionary
is older, and it guesses what it lacks ("fbi").
"""

from __future__ import annotations

import re
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from cosy.dependencies import optional
from cosy.text.pronunciation import VOWELS
from cosy.train.data.phones import PAUSE, PHONES, phone_index
from cosy.train.data.teachers import FESTIVAL_VOICE, require, run

_PATH = "en-us/cmudict-en-us.dict"
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)*")
_LONG = frozenset("aw ay ey iy ow oy uw".split())  # no schwa stands for these
_SHORT = frozenset(VOWELS) - _LONG
_ALIKE = tuple(map(set, (("ah", "ax"), ("aa", "ao"), ("ih", "iy"), ("uh", "uw"))))
_SCRIPT = """(define (say word)
  (let ((utt (eval (list 'Utterance 'Text word))))
    (mapcar (lambda (module) (module utt))
            (list Initialize Text Token_POS Token POS Phrasify Word Pauses Intonation PostLex))
    (format t "%s" word)
    (mapcar (lambda (seg)
              (format t " %s%s" (item.name seg)
                      (if (string-equal (item.feat seg "ph_vc") "+")
                          (item.feat seg "R:SylStructure.parent.stress") "")))
            (utt.relation.items utt 'Segment))
    (format t "\\n")))"""


def cmu_lines() -> list[str]:
    """The lines of pocketsphinx's dictionary: a word, "read" or "read(2)", and its phones.

    Raises MissingDependencyError without the `train` extra.
    """
    path = Path(optional("pocketsphinx", "train").get_model_path(_PATH))
    return path.read_text(encoding="utf-8").splitlines()


def cmu() -> dict[str, list[list[str]]]:
    """The words of that dictionary and every way of saying them; possessives follow from their owners."""
    words: dict[str, list[list[str]]] = defaultdict(list)
    for line in cmu_lines():
        name, *phones = line.lower().split()
        word = name.partition("(")[0]  # "read(2)" is another way
        if _WORD.fullmatch(word) and not word.endswith("'s"):
            words[word].append(phones)
    return dict(words)


def pronounced(words: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """Each word with its phones as festival says it, stress behind vowels: hh, ax0, l, ow1.

    Raises what `teachers.require` does, and EngineError.
    """
    require("slt")
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "words.scm"
        script.write_text("\n".join([FESTIVAL_VOICE, _SCRIPT, *(f'(say "{word}")' for word in words)]))
        for line in run(["festival", "-b", str(script)]).splitlines():
            word, *phones = line.split()
            yield word, [name for phone in phones if not (name := _shared(phone)).startswith(PAUSE)]


def _shared(phone: str) -> str:
    """A phone under the name that all engines share, with its stress."""
    name = phone.rstrip("01")
    return PHONES[phone_index(name)] + phone[len(name) :]


def agree(said: Sequence[str], written: Sequence[str]) -> bool:
    """Whether festival's phones are those of the dictionary: it may reduce any vowel that has no stress."""
    after = [*written[1:], ""]
    return len(said) == len(written) and all(map(_same, said, written, after))


def _same(said: str, written: str, after: str) -> bool:
    name, stress = said.rstrip("01"), said[-1]
    if stress == "0":
        return written in (_SHORT if name == "ax" else VOWELS)
    pairs = _ALIKE if after == "r" else _ALIKE[:2]  # "ship" and "sheep" are two words
    return name == written or {name, written} in pairs


def stressed(written: Sequence[str], said: Sequence[str]) -> list[str]:
    """The dictionary's phones with festival's stresses, if it has as many vowels; otherwise the first is stressed."""
    vowels = [at for at, phone in enumerate(written) if phone in VOWELS]
    digits = [phone[-1] for phone in said if phone[-1] in "01"]
    if len(digits) != len(vowels) or "1" not in digits:
        digits = ["1", *"0" * (len(vowels) - 1)]
    found = list(written)
    for at, digit in zip(vowels, digits, strict=False):
        is_schwa = written[at] == "ah" and (digit == "0" or (at == len(written) - 1 and len(vowels) > 1))
        found[at] = "ax0" if is_schwa else written[at] + digit
    return found


def merged(words: Mapping[str, Sequence[Sequence[str]]]) -> Iterator[tuple[str, Sequence[str]]]:
    """Each word of `cmu` with its phones; of one that is spelt out ("mri") every letter is stressed."""
    for word, said in pronounced(words):
        ways = words[word]
        if ways[0] == [phone for letter in word for phone in words.get(letter, [[]])[-1]]:
            yield word, [phone + "1" if phone in VOWELS else phone for phone in ways[0]]
        else:
            yield word, said if any(agree(said, way) for way in ways) else stressed(ways[0], said)


def write_dictionary(path: Path, notice: str = "") -> None:
    """Write `notice`, lines that begin with "#", and all words, as `cosy.text.pronunciation` reads them."""
    lines = (f"{word} {' '.join(phones)}\n" for word, phones in merged(cmu()))
    path.write_text("".join([notice, *lines]), encoding="utf-8")

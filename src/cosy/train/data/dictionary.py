"""A pronouncing dictionary of English, by festival: how the teacher `slt` says a word by itself.

The words are those of the dictionary inside the pocketsphinx package (CMU's, BSD); the phones are festival's own, which
knows stress and the schwa, and what it does with letters, "tv", and apostrophes.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from cosy.dependencies import optional
from cosy.train.data.phones import PAUSE, PHONES, phone_index
from cosy.train.data.teachers import FESTIVAL_VOICE, require, run

_WORD = re.compile(r"[a-z]+(?:'[a-z]+)*")
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


def known_words() -> list[str]:
    """The words of pocketsphinx's dictionary, sorted, each once; possessives follow from their owners.

    Raises MissingDependencyError without the `train` extra.
    """
    path = Path(optional("pocketsphinx", "train").get_model_path("en-us/cmudict-en-us.dict"))
    words = {line.split(maxsplit=1)[0] for line in path.read_text(encoding="utf-8").splitlines()}
    return sorted(word for word in words if _WORD.fullmatch(word) and not word.endswith("'s"))


def pronounced(words: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each word with its phones, "hh ax0 l ow1".  Raises what `teachers.require` does, and EngineError."""
    require("slt")
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "words.scm"
        script.write_text("\n".join([FESTIVAL_VOICE, _SCRIPT, *(f'(say "{word}")' for word in words)]))
        for line in run(["festival", "-b", str(script)]).splitlines():
            word, *phones = line.split()
            yield word, " ".join(name for phone in phones if not (name := _shared(phone)).startswith(PAUSE))


def write_dictionary(path: Path, notice: str = "") -> None:
    """Write `notice`, lines that begin with "#", and the phones of `known_words`, for `cosy.text.pronunciation`."""
    lines = (f"{word} {phones}\n" for word, phones in pronounced(known_words()) if phones)
    path.write_text("".join([notice, *lines]), encoding="utf-8")


def _shared(phone: str) -> str:
    """A phone under the name that all engines share, with its stress."""
    name = phone.rstrip("01")
    return PHONES[phone_index(name)] + phone[len(name) :]

"""What an offline recogniser hears: pocketsphinx and its English model, in three searches.

`slot` knows sentences of the form "the ADJ NOUN VERB PREP the ADJ NOUN" only, `loop` any
sequence of the same words, `free` the recogniser's own language model.  The first two ask
whether the words can be told apart, the third whether the speech would pass among strangers.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import soxr

from cosy.dependencies import optional
from cosy.eval.sentences import ADJECTIVES, NOUNS, PREPOSITIONS, VERBS
from cosy.eval.wer import words_of
from cosy.types import Samples

RATE_HZ = 16_000  # of the recogniser's acoustic model
PEAK = 0.7
MARGIN_S = 0.3  # near-silence on both sides, so that the first and the last phone are whole
MARGIN_NOISE = 1e-4  # standard deviation; digital zero upsets the noise estimate

Search = Literal["slot", "loop", "free"]
SEARCHES: tuple[Search, ...] = get_args(Search)

_SLOT = ("the", ADJECTIVES, NOUNS, VERBS, PREPOSITIONS, "the", ADJECTIVES, NOUNS)


def is_slot_sentence(text: str) -> bool:
    """Whether the slot grammar can produce `text`."""
    words = words_of(text)
    return len(words) == len(_SLOT) and all(
        word == slot if isinstance(slot, str) else word in slot for word, slot in zip(words, _SLOT, strict=True)
    )


def slot_grammar() -> str:
    """JSGF for exactly the slot sentences."""
    rules = {"adj": ADJECTIVES, "noun": NOUNS, "verb": VERBS, "prep": PREPOSITIONS}
    lines = [f"<{name}> = {' | '.join(words)};" for name, words in rules.items()]
    sentence = "public <sentence> = the <adj> <noun> <verb> <prep> the <adj> <noun>;"
    return "\n".join(["#JSGF V1.0;", "grammar slot;", *lines, sentence]) + "\n"


def loop_grammar() -> str:
    """JSGF for any sequence of one or more of the slot sentences' words."""
    words = " | ".join(["the", *ADJECTIVES, *NOUNS, *VERBS, *PREPOSITIONS])
    return f"#JSGF V1.0;\ngrammar loop;\npublic <words> = ( {words} )+;\n"


def to_rate(wave: Samples, rate_hz: int) -> Samples:
    """Mono samples (n,) at `rate_hz` -> float32 at 16 kHz."""
    wave = np.asarray(wave, dtype=np.float32)
    assert wave.ndim == 1, f"a mono wave (n,) is needed, got shape {wave.shape}"
    return wave if rate_hz == RATE_HZ else soxr.resample(wave, rate_hz, RATE_HZ).astype(np.float32)


def prepare(wave: Samples, rate_hz: int) -> Samples:
    """16 kHz, peak 0.7 (silence stays silent), 0.3 s of near-silence on both sides; the same noise every time."""
    wave = to_rate(wave, rate_hz)
    peak = float(np.abs(wave).max(initial=0.0))
    margin = round(MARGIN_S * RATE_HZ)
    padded = np.pad(wave * (PEAK / peak) if peak > 0 else wave, margin)
    noise = MARGIN_NOISE * np.random.default_rng(0).standard_normal(2 * margin)
    padded[:margin] += noise[:margin].astype(np.float32)
    padded[-margin:] += noise[margin:].astype(np.float32)
    return padded


class Recogniser:
    """Hears English.  One instance serves any number of waves; a hearing does not depend on earlier ones.

    Raises MissingDependencyError without the `eval` extra.
    """

    def __init__(self) -> None:
        sphinx: Any = optional("pocketsphinx", "eval")
        self._decoder = sphinx.Decoder(loglevel="FATAL", cmn="batch", dither=False)  # its default search is the free LM
        self._free = self._decoder.current_search()
        self._decoder.add_jsgf_string("slot", slot_grammar())
        self._decoder.add_jsgf_string("loop", loop_grammar())

    def hear(self, wave: Samples, rate_hz: int, search: Search) -> str:
        """The words heard in mono samples (n,), lower case; empty if none."""
        self._decoder.activate_search(self._free if search == "free" else search)
        pcm = (prepare(wave, rate_hz) * 32767).round().astype("<i2")
        self._decoder.reinit_feat()  # forgets the preceding wave, which otherwise colours the next hearing
        self._decoder.start_utt()
        self._decoder.process_raw(pcm.tobytes(), full_utt=True)
        self._decoder.end_utt()
        hypothesis = self._decoder.hyp()
        return hypothesis.hypstr if hypothesis is not None else ""

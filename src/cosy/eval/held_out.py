"""What `cosy eval` lets a model say: nothing is to be trained on it."""

from __future__ import annotations

from cosy.eval.mandarin import held_out_sentences
from cosy.eval.sentences import EVERYDAY, MANDARIN_EVERYDAY, MIXED, PROSE, slot_sentences

MOST_SLOT_SENTENCES = 400  # of an evaluation


def held_out() -> dict[str, list[str]]:
    """The sentences of every evaluation, by language."""
    judged = (sentence.text for sentence in held_out_sentences())
    return {
        "en": [*slot_sentences(MOST_SLOT_SENTENCES), *EVERYDAY, *PROSE],
        "zh": [*MANDARIN_EVERYDAY, *MIXED, *judged],
    }

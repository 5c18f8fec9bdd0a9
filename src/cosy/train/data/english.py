"""English training text, drawn rather than collected.

Sentences come from our own templates (`english_templates`) and word lists (`english_words`), from
numbers, dates and times written out, and from "salad": frequent words in random order, which teaches pronunciation
without a language model to lean on.  Everything is a pure function of a seed.

The acceptance sentences of `cosy.eval` share words with these lists but never a whole
sentence: `draw` refuses every sentence named in `held_out`, and near copies of it.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Collection, Iterator, Sequence

from cosy.dependencies import optional
from cosy.train.data.dictionary import cmu_lines
from cosy.train.data.english_templates import EVERYDAY, GRAMMAR, PHRASES, SLOT_TEMPLATE
from cosy.train.data.english_words import LISTS

SALAD_SHARE, SLOT_SHARE = 0.20, 0.10  # of the texts; the rest is natural
GLUE_SHARE = 0.3  # of the words of a salad that have a small one before them, as in a sentence
GLUE = "the a of and to in on with for from by that is was his her their our this as".split()
LONG_SHARE = 0.06  # of all texts: 3 to 5 sentences
LONG_WORDS = 60  # at most, in a long text
NEAR_COPY_WORDS = 5  # from this length on, one other word does not make a new sentence

ONES = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen""".split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
ORDINALS = """first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth
fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth""".split()

_FIELD = re.compile(r"\{(\w+)\}")
_ARTICLE = re.compile(r"\b([Aa]) (?=[aeio]|u(?!n?i|s)|hour|honest)")
_SENTENCE_END = re.compile(r"(?<=[.?!]) ")


def number_words(n: int) -> str:
    """Spell `n` (0..9999) in English words."""
    if not 0 <= n <= 9999:
        raise ValueError(f"number_words takes 0..9999, got {n}")
    if n < 20:
        return ONES[n]
    if n < 100:
        tens, one = divmod(n, 10)
        return TENS[tens - 2] + (f" {ONES[one]}" if one else "")
    size, name = (1000, "thousand") if n >= 1000 else (100, "hundred")
    head, rest = divmod(n, size)
    return f"{number_words(head)} {name}" + (f" {number_words(rest)}" if rest else "")


def _special(kind: str, rng: random.Random) -> str:
    if kind == "number":
        return number_words(
            rng.choice((rng.randrange(21), rng.randrange(100), rng.randrange(1000), rng.randrange(10000)))
        )
    if kind == "small":
        return number_words(rng.randint(2, 20))
    if kind == "tens":
        return number_words(rng.randint(2, 99))
    if kind == "digit":
        return rng.choice(ONES[:10])
    if kind == "digits":
        return " ".join(rng.choice(ONES[:10]) for _ in range(rng.randint(4, 8)))
    if kind == "ordinal":
        return rng.choice((*ORDINALS, *(f"twenty {day}" for day in ORDINALS[:9]), "thirtieth", "thirty first"))
    if kind == "year":
        century, rest = rng.choice((17, 18, 19, 20)), rng.randrange(100)
        if rest < 10:
            return f"two thousand {ONES[rest]}" if rest else "two thousand"
        return f"{number_words(century)} {number_words(rest)}"
    if kind == "clock":
        hour = number_words(rng.randint(1, 12))
        minutes = rng.choice(("o'clock", "fifteen", "thirty", "forty five", number_words(rng.randint(10, 59))))
        return f"{hour} {minutes}" + rng.choice(("", " in the morning", " in the evening"))
    raise KeyError(kind)


def fill(template: str, rng: random.Random) -> str:
    """Replace every `{field}` of `template` by a draw, fix a/an, and start with a capital."""
    text = template
    while _FIELD.search(text):  # a drawn entry may hold fields of its own
        text = _FIELD.sub(lambda m: rng.choice(LISTS[m[1]]) if m[1] in LISTS else _special(m[1], rng), text)
    text = _ARTICLE.sub(r"\1n ", text)
    return text[0].upper() + text[1:]


def salad(words: Sequence[str], rng: random.Random) -> str:
    """Between 3 and 8 words of a frequency list and small ones, sometimes with a comma or as a question.

    A word is drawn by the root of how frequent it is: that of rank r with 1 / sqrt(r), since its frequency is 1 / r.
    """
    chosen = []
    for _ in range(rng.randint(3, 8)):
        glue = [rng.choice(GLUE)] if rng.random() < GLUE_SHARE else []
        chosen += [*glue, words[int(len(words) * rng.random() ** 2)]]
    if len(chosen) > 5 and rng.random() < 0.4:
        chosen[len(chosen) // 2] += ","
    text = " ".join(chosen)
    return text[0].upper() + text[1:] + rng.choice("...?")


def frequent_words(count: int) -> list[str]:
    """The `count` most frequent English words that the pronouncing dictionary of pocketsphinx knows.

    Raises MissingDependencyError without the `train` extra.
    """
    ranked = optional("wordfreq", "train").top_n_list("en", 2 * count)
    known = {line.split(maxsplit=1)[0] for line in cmu_lines()}
    words = (w for w in ranked if len(w) > 1 and w.isascii() and w.isalpha() and w in known)
    return list(itertools.islice(words, count))


def normal_form(text: str) -> str:
    """The sentence without case and punctuation: what must not be shared with the evaluation."""
    return " ".join(re.findall(r"[a-z']+", text.lower()))


def near_forms(form: str) -> Iterator[str]:
    """The normal form itself and, for a sentence of five words or more, the form with each word blanked in turn.

    Two sentences share a near form when they differ in at most one word.
    """
    yield form
    words = form.split()
    if len(words) >= NEAR_COPY_WORDS:
        yield from (" ".join((*words[:i], "*", *words[i + 1 :])) for i in range(len(words)))


def natural(rng: random.Random) -> str:
    """One sentence: everyday English mostly, short phrases and the plain grammar for the rest."""
    templates = rng.choices((EVERYDAY, GRAMMAR, PHRASES), (0.65, 0.2, 0.15))[0]
    return fill(rng.choice(templates), rng)


def long_text(rng: random.Random) -> str:
    """Between 3 and 5 natural sentences of at most `LONG_WORDS` words together."""
    while True:
        text = " ".join(natural(rng) for _ in range(rng.randint(3, 5)))
        if len(text.split()) <= LONG_WORDS:
            return text


def draw(
    seed: int, words: Sequence[str], held_out: Collection[str] = (), salad_share: float = SALAD_SHARE
) -> Iterator[str]:
    """Yield distinct training texts of one to five sentences for ever.

    `words` is the frequency list of the salad, which is `salad_share` of the texts.  The sentences of `held_out` must
    not appear, nor (from five words on) a sentence that differs in one word from one of them.
    """
    rng = random.Random(seed)
    seen = {normal_form(sentence) for sentence in held_out}
    refused = frozenset(itertools.chain.from_iterable(map(near_forms, seen)))
    while True:
        kind = rng.random()
        if kind < salad_share:
            text = salad(words, rng)
        elif kind < salad_share + SLOT_SHARE:
            text = fill(SLOT_TEMPLATE, rng)
        elif kind < salad_share + SLOT_SHARE + LONG_SHARE:
            text = long_text(rng)
        else:
            text = natural(rng)
            if rng.random() < 0.15:
                text = f"{text} {natural(rng)}"
        form = normal_form(text)
        sentences = map(normal_form, _SENTENCE_END.split(text))
        if form not in seen and refused.isdisjoint(itertools.chain.from_iterable(map(near_forms, sentences))):
            seen.add(form)
            yield text

"""English training text, drawn rather than collected.

Sentences come from a small grammar over our own word lists, from numbers, dates and times
written out, and from "salad": frequent words in random order, which teaches pronunciation
without a language model to lean on.  Everything is a pure function of a seed.

The acceptance sentences of `cosy.eval` share words with these lists but never a whole
sentence: `draw` refuses every sentence named in `held_out`.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Collection, Iterator, Sequence

from cosy.dependencies import optional

LISTS: dict[str, tuple[str, ...]] = {
    "adj": tuple(
        """old young little happy quiet brown green heavy clever gentle hungry yellow big small tall short
        red blue black white bright dark warm cold hot cool new clean dirty soft hard loud strong weak brave
        kind busy lazy tired angry sad lucky proud simple strange famous lovely pretty rich poor fresh sweet
        bitter empty full deep wide narrow round sharp smooth wet dry early late friendly lonely careful
        golden silver wooden broken hidden perfect secret ancient modern local foreign common special
        wonderful beautiful enormous tiny cheerful thoughtful comfortable""".split()
    ),
    "noun": tuple(
        """man woman child teacher doctor farmer river garden window table mountain village horse kitchen market
        bridge house street city town car train boat ship plane bus road school church office shop store hotel
        station airport library museum hospital theater restaurant room door wall floor roof chair bed lamp
        clock phone computer camera picture letter book paper story song game ball box bag bottle cup plate
        knife spoon bowl apple orange banana cherry bread cheese butter sugar water coffee milk dinner
        breakfast lunch dog cat bird fish cow sheep pig rabbit mouse lion tiger bear wolf fox monkey elephant
        tree flower grass leaf forest field hill valley lake island beach ocean sea sky cloud star moon sun
        rain snow wind storm fire stone boy girl baby mother father brother sister son daughter uncle aunt
        friend neighbor king queen prince soldier sailor driver pilot writer singer dancer painter student
        lawyer engineer manager captain nurse cook baker guest stranger family team company country nation
        language question answer problem idea reason number machine engine wheel bell key ring coat hat shirt
        shoe dress glove blanket pillow mirror candle newspaper magazine ticket message meeting journey
        morning evening afternoon night summer winter spring autumn""".split()
    ),
    "verb": tuple(
        """walks runs looks jumps moves travels sleeps waits turns listens sits stands falls climbs swims flies
        drives rides dances sings works plays stays lives hides stops points shouts laughs smiles cries
        whispers rests wanders marches hurries""".split()
    ),
    "prep": tuple(
        """near behind under over toward beside around through above below across along against inside outside
        before after past without beyond""".split()
    ),
    "past": tuple(
        """found lost bought sold made broke opened closed painted cleaned washed carried dropped moved pushed
        pulled watched heard saw liked loved hated wanted needed remembered forgot left took gave kept built
        used followed helped called visited noticed chose brought caught held showed sent cut threw
        ordered shared borrowed covered fixed touched""".split()
    ),
    "tverb": tuple(
        """find lose buy sell make break open close paint clean wash carry drop move push pull watch hear see like
        love hate want need remember forget leave take give keep build use follow help call visit notice
        choose bring catch hold show send cut throw order share borrow cover fix touch read write learn
        understand explain describe finish start change check""".split()
    ),
    "ving": tuple(
        """walking running looking waiting talking reading writing singing dancing cooking eating drinking
        sleeping working playing driving swimming thinking laughing learning teaching building painting
        cleaning fishing shopping traveling listening leaving coming going""".split()
    ),
    "adv": tuple(
        """slowly quickly quietly loudly carefully happily sadly easily suddenly finally usually always never
        often sometimes today tomorrow yesterday tonight again together alone early late soon now
        outside inside upstairs everywhere here there""".split()
    ),
    "name": tuple(
        """John Mary Peter Anna David Sarah Michael Laura James Emma Robert Alice Thomas Julia George Helen
        Daniel Kate Paul Lucy Henry Susan Martin Nancy Frank Rose Jack Jane Simon Linda Mark Carol Alex Diana
        Charles Bella Benjamin Claire""".split()
    ),
    "place": tuple(
        """London Paris Berlin China Japan America England France Germany India Canada Africa Europe Asia
        Australia Boston Chicago Texas California Tokyo Rome Spain Italy Mexico Russia Korea""".split()
    ),
    "day": tuple("Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()),
    "month": tuple("January February March April May June July August September October November December".split()),
    "sub": tuple("I you we they".split()),
    "sub3": tuple("he she it".split()),
    "obj": tuple("me you him her us them it".split()),
    "poss": tuple("my your his her our their".split()),
    "det": tuple("the a this that the the my your his her our their every another".split()),
    "much": tuple("very really quite so too rather almost".split()),
    "when": (
        "today",
        "tomorrow",
        "yesterday",
        "tonight",
        "this morning",
        "this evening",
        "last night",
        "last week",
        "next week",
        "next year",
        "every day",
        "right now",
        "in the morning",
        "in the afternoon",
        "at night",
        "after dinner",
        "before lunch",
        "a long time ago",
        "in a few minutes",
        "at the end of the day",
    ),
    "where": (
        "at home",
        "in the garden",
        "in the kitchen",
        "at the station",
        "near the river",
        "at school",
        "in the city",
        "by the window",
        "on the table",
        "under the bridge",
        "behind the house",
        "in the middle of the street",
        "on the way home",
        "at the office",
        "in the park",
        "on the beach",
        "next to the door",
        "over there",
    ),
    "wh": tuple("what where when why how who".split()),
    "modal": tuple("can could will would should must may might".split()),
    "polite": ("please", "thank you", "excuse me", "of course", "I am sorry", "no problem", "you are welcome"),
    "greet": (
        "good morning",
        "good afternoon",
        "good evening",
        "good night",
        "hello",
        "hi",
        "hello there",
        "welcome",
        "welcome back",
        "goodbye",
        "see you later",
        "see you soon",
        "see you tomorrow",
        "take care",
        "how do you do",
    ),
    "feel": tuple(
        """fine good great well happy sad tired hungry thirsty sorry sure ready afraid glad angry sick
        better worse busy free late early right wrong""".split()
    ),
    "thing": tuple(
        """music weather time money work food news help love life peace history science art business health
        information water air light sound speech voice language""".split()
    ),
}

ONES = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen""".split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
ORDINALS = """first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth
fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth""".split()

TEMPLATES: tuple[str, ...] = (
    "{greet}.",
    "{greet}, {name}.",
    "{greet}, how are you?",
    "{greet}, how are you today?",
    "{greet}, my name is {name}.",
    "{greet}, how can I help you?",
    "how are you {when}?",
    "I am {feel}, {polite}.",
    "{polite}, {name}.",
    "{polite}, I {modal} {tverb} {obj} {when}.",
    "nice to meet you, {name}.",
    "what is your name?",
    "what time is it?",
    "what time is the {noun}?",
    "where is the {noun}?",
    "where is {poss} {adj} {noun}?",
    "{wh} is {det} {noun}?",
    "{wh} did you {tverb} the {noun}?",
    "{wh} do you {tverb} {obj}?",
    "{wh} are they {ving} {where}?",
    "who {past} {poss} {noun}?",
    "do you {tverb} the {adj} {noun}?",
    "did {name} {tverb} the {noun} {when}?",
    "are you {feel}?",
    "is {sub3} {feel} {when}?",
    "{modal} you {tverb} the {noun}, please?",
    "{modal} I {tverb} {poss} {noun}?",
    "please {tverb} the {noun}.",
    "please {tverb} {obj} {when}.",
    "do not {tverb} the {adj} {noun}.",
    "let us {tverb} the {noun} {when}.",
    "the {noun} is {feel}.",
    "the {noun} is {much} {adj}.",
    "the {adj} {noun} is {where}.",
    "this is {poss} {noun}.",
    "that is a {adj} {noun}.",
    "there is a {adj} {noun} {where}.",
    "there are {number} people {where}.",
    "it is {much} {adj} {when}.",
    "it was a {adj} {noun}.",
    "it will be {adj} {when}.",
    "the weather is {adj} {when}.",
    "the {noun} {verb} {adv}.",
    "{name} {verb} {prep} the {noun}.",
    "the {adj} {noun} {verb} {prep} the {noun}.",
    "{det} {noun} {verb} {prep} {det} {adj} {noun}.",
    "{name} and {name} are {ving} {where}.",
    "{sub} are {ving} {prep} the {noun}.",
    "{sub3} is {ving} {where} {when}.",
    "I was {ving} when {sub3} {past} the {noun}.",
    "{sub} {past} the {adj} {noun} {where}.",
    "{sub3} {past} {poss} {noun} {when}.",
    "{name} {past} a {noun} {when}.",
    "the {noun} {past} the {adj} {noun}.",
    "my {noun} {past} {poss} {noun} {adv}.",
    "{sub} {modal} {tverb} {det} {noun}.",
    "{sub3} {modal} not {tverb} the {noun} {when}.",
    "{name} {modal} {tverb} {obj} {adv}.",
    "I think {sub3} {past} the {noun}.",
    "I do not {tverb} {obj} {adv}.",
    "{sub} do not {tverb} {thing}.",
    "I like {thing} and {thing}.",
    "I like {ving} {where}.",
    "we love {ving} and {ving}.",
    "{thing} is {adj}.",
    "{thing} is more important than {thing}.",
    "if {sub} {tverb} the {noun}, {sub} {modal} {tverb} the {noun}.",
    "when the {noun} {verb}, the {noun} {verb} {adv}.",
    "the {noun} in {place} is {adj}.",
    "{name} lives in {place}.",
    "{sub} came from {place} {when}.",
    "the train from {place} to {place} is {feel}.",
    "we will go to {place} on {day}.",
    "{name} was born in {place} in {month}.",
    "today is {day}.",
    "the {noun} opens on {day}.",
    "today is {day}, {month} {ordinal}.",
    "the meeting is on {month} {ordinal}.",
    "it is {clock}.",
    "the {noun} starts at {clock}.",
    "call me at {clock}.",
    "{name} is {number} years old.",
    "I have {number} {noun}s.",
    "the {noun} costs {number} dollars.",
    "{number} plus {number} is {number}.",
    "{number} and {number}.",
    "{number}, {number}, {number}, {number}.",
    "the number is {number}.",
    "my phone number is {digits}.",
    "{number} percent of the {noun}s are {adj}.",
    "in {year}, {name} {past} the {noun}.",
    "page {number}, line {number}.",
    "room {number} is {where}.",
    "yes, {sub} {modal}.",
    "no, it is not {adj}.",
    "yes, that is {feel}.",
    "well, I {past} it {when}.",
    "oh, what a {adj} {noun}!",
    "the {noun} and the {noun} are {adj}.",
    "the {adj} {noun} and the {adj} {noun} {past} {obj}.",
    "a {adj} {noun}, a {adj} {noun} and a {noun}.",
    "{noun}, {noun}, {noun}.",
    "not the {noun}, but the {noun}.",
    "the {noun} of the {noun} is {adj}.",
    "{poss} {noun} is not as {adj} as {poss} {noun}.",
    "he said that the {noun} was {adj}.",
    "she asked if the {noun} was {where}.",
    "nobody {past} the {adj} {noun}.",
    "everyone {past} {poss} {noun} {when}.",
    "something is {where}.",
    "I have never {past} such a {adj} {noun}.",
    "the quick {adj} {noun} jumps over the {adj} {noun}.",
    "once upon a time, there was a {adj} {noun}.",
    "I want to {tverb} the {noun} {when}.",
    "it is time to {tverb} the {noun}.",
    "we have to {tverb} {obj} {when}.",
)
SLOT_TEMPLATE = "the {adj} {noun} {verb} {prep} the {adj} {noun}."

_FIELD = re.compile(r"\{(\w+)\}")
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
    if kind == "digits":
        return " ".join(rng.choice(ONES[:10]) for _ in range(rng.randint(4, 8)))
    if kind == "ordinal":
        return rng.choice(ORDINALS)
    if kind == "year":
        century, rest = rng.choice((17, 18, 19, 20)), rng.randrange(10, 100)
        return f"{number_words(century)} {number_words(rest)}"
    if kind == "clock":
        hour = number_words(rng.randint(1, 12))
        minutes = rng.choice(("o'clock", "fifteen", "thirty", "forty five", number_words(rng.randint(10, 59))))
        return f"{hour} {minutes}" + rng.choice(("", " in the morning", " in the evening"))
    raise KeyError(kind)


def fill(template: str, rng: random.Random) -> str:
    """Replace every `{field}` of `template` by a draw, fix a/an, and start with a capital."""
    text = _FIELD.sub(lambda m: rng.choice(LISTS[m[1]]) if m[1] in LISTS else _special(m[1], rng), template)
    text = re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", text)
    return text[0].upper() + text[1:]


def salad(words: Sequence[str], rng: random.Random) -> str:
    """Between 3 and 8 words of a frequency list in random order, sometimes with a comma or as a question."""
    chosen = [rng.choice(words) for _ in range(rng.randint(3, 8))]
    if len(chosen) > 5 and rng.random() < 0.4:
        chosen[len(chosen) // 2] += ","
    text = " ".join(chosen)
    return text[0].upper() + text[1:] + rng.choice("...?")


def frequent_words(count: int) -> list[str]:
    """The `count` most frequent English words that the pronouncing dictionary of pocketsphinx knows.

    Raises MissingDependencyError without the `train` extra.
    """
    path = optional("pocketsphinx", "train").get_model_path("en-us/cmudict-en-us.dict")
    ranked = optional("wordfreq", "train").top_n_list("en", 2 * count)
    with open(path, encoding="utf-8") as dictionary:
        known = {line.split(maxsplit=1)[0] for line in dictionary}
    words = (w for w in ranked if len(w) > 1 and w.isascii() and w.isalpha() and w in known)
    return list(itertools.islice(words, count))


def normal_form(text: str) -> str:
    """The sentence without case and punctuation: what must not be shared with the evaluation."""
    return " ".join(re.findall(r"[a-z']+", text.lower()))


def draw(seed: int, words: Sequence[str], held_out: Collection[str] = ()) -> Iterator[str]:
    """Yield distinct training texts of one or two sentences for ever.

    `words` is the frequency list of the salad; `held_out` holds normal forms (`normal_form`) of
    sentences that must not appear.
    """
    rng = random.Random(seed)
    refused, seen = frozenset(held_out), set(held_out)
    while True:
        kind = rng.random()
        if kind < 0.18:
            text = fill(SLOT_TEMPLATE, rng)
        elif kind < 0.66:
            text = fill(rng.choice(TEMPLATES), rng)
            if rng.random() < 0.15:
                text = f"{text} {fill(rng.choice(TEMPLATES), rng)}"
        else:
            text = salad(words, rng)
        form = normal_form(text)
        if form not in seen and refused.isdisjoint(map(normal_form, _SENTENCE_END.split(text))):
            seen.add(form)
            yield text

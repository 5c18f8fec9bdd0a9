"""The acceptance sentences: a fixed list that training never sees (`train.data.english.draw` refuses them).

Slot sentences have the form "the ADJ NOUN VERB PREP the ADJ NOUN" over small word lists, so a
grammar of exactly that form recognises them; everyday sentences are for a recogniser's own
language model.  The slot list is drawn once from a fixed seed, the everyday list is written out.
"""

from __future__ import annotations

import random

ADJECTIVES = "old young little happy quiet brown green heavy clever gentle hungry yellow".split()
NOUNS = """man woman child teacher doctor farmer river garden window table mountain village horse kitchen market
bridge""".split()
VERBS = "walks runs looks jumps moves travels sleeps waits turns listens".split()
PREPOSITIONS = "near behind under over toward beside around through".split()

EVERYDAY = (
    "Could you tell me the way to the station, please?",
    "I would like a cup of coffee with milk.",
    "The children are playing in the garden after school.",
    "My brother works in a hospital near the city.",
    "We are going to the beach next week.",
    "It was raining when she left the house this morning.",
    "He did not know what to say to his father.",
    "There is a letter for you on the kitchen table.",
    "Please close the door and open the window.",
    "The train to London leaves at half past nine.",
    "She has been learning English for three years.",
    "I think we should wait until tomorrow.",
    "Nobody remembered the name of the old hotel.",
    "The water in the lake is very cold today.",
    "They bought a new car because the old one was broken.",
    "Thank you very much for your help yesterday.",
    "You can see the mountains from the top of the hill.",
    "The doctor told him to stay at home and rest.",
    "What would you like to eat for dinner tonight?",
    "This is the best book that I have ever read.",
)


def slot_sentences(count: int = 40, seed: int = 20_250) -> tuple[str, ...]:
    """The first `count` slot sentences; a smaller count is a prefix of a larger one."""
    rng = random.Random(seed)
    pick = rng.choice
    return tuple(
        f"The {pick(ADJECTIVES)} {pick(NOUNS)} {pick(VERBS)} {pick(PREPOSITIONS)} the {pick(ADJECTIVES)} {pick(NOUNS)}."
        for _ in range(count)
    )

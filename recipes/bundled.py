"""The bundled checkpoint, version 2: English and Mandarin, many voices, from free speech engines.

    python recipes/bundled.py FOLDER STAGE...
"""

from __future__ import annotations

import itertools
import logging
import random
import sys
from collections.abc import Iterator
from pathlib import Path

from cosy.eval.sentences import EVERYDAY, slot_sentences
from cosy.train.data.english import draw, frequent_words, normal_form
from cosy.train.data.espeak import EspeakVoice
from cosy.train.data.speakers import STYLES, Voice
from cosy.train.data.synth import ALL, LM_ONLY, Job, Line, run

ENGLISH_VOICES, BILINGUAL_VOICES, MANDARIN_VOICES = 160, 72, 48
STYLED = 0.3  # share of a voice's utterances that are spoken in a style
VARIANTS = "f1 f2 f3 f4 f5 m1 m2 m3 m4 m5 m6 m7 m8".split()
FEMALE_BASES, MALE_BASES = ("slt",), ("rms", "awb", "kal16")
PLAIN = {"slt": 300, "rms": 240, "awb": 120, "kal16": 80}  # utterances of the unchanged teachers


def english_voice(name: str, rng: random.Random) -> Voice:
    """A WORLD variant within what its teacher bears: a woman's tract grows, a man's shrinks."""
    if rng.random() < 0.4:
        teacher, formants, pitch = "slt", rng.uniform(0.84, 1.05), rng.uniform(0.55, 1.12)
    else:
        teacher = rng.choice(MALE_BASES)
        formants = rng.uniform(0.95, 1.2)
        pitch = rng.uniform(0.85, 1.25) * (1 + 0.45 * (formants - 0.95) / 0.25)
    return Voice(name, teacher, pitch, formants, rng.uniform(0.7, 1.4), rng.uniform(0.92, 1.08))


def espeak_voice(rng: random.Random) -> EspeakVoice:
    return EspeakVoice(rng.choice(VARIANTS), rng.randint(15, 85), rng.randint(30, 75), rng.randint(215, 255))


def _styled(texts: Iterator[str], count: int, language: str, rng: random.Random) -> tuple[Line, ...]:
    styles = list(STYLES)[1:]
    return tuple(
        Line(text, language, rng.choice(styles) if rng.random() < STYLED else "")
        for text in itertools.islice(texts, count)
    )


def english_jobs() -> list[Job]:
    rng = random.Random(1)
    held_out = {normal_form(s) for s in (*slot_sentences(400), *EVERYDAY)}
    texts = draw(11, frequent_words(6000), held_out)
    jobs = []
    for teacher, count in PLAIN.items():
        for part in range(count // 20):
            jobs.append(Job(f"{teacher}-{part:02d}", Voice(teacher, teacher), _styled(texts, 20, "en", rng)))
    for number in range(ENGLISH_VOICES):
        voice = english_voice(f"en-{number:03d}", rng)
        jobs.append(Job(voice.name, voice, _styled(texts, 18, "en", rng)))
    return jobs


def main(folder: str, *stages: str) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    for stage in stages:
        for job, tokens in run(Path(folder) / stage, globals()[stage + "_jobs"](), 2):
            logging.info("%s %.1f s", job.name, tokens / 25)


if __name__ == "__main__":
    main(*sys.argv[1:])

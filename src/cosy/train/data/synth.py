"""A corpus from speech engines: shards are planned, then spoken by several processes; a finished shard is not redone.

The plan is data (who says which text how), a pure function of a seed (`plan`), and so is what comes of it: it does not
depend on the number of processes, nor on what else they said.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cosy.train.data import teachers
from cosy.train.data.corpus import _ARRAYS, build
from cosy.train.data.espeak import EspeakVoice, speak
from cosy.train.data.parallel import interruptible, write_shards
from cosy.train.data.pinyin import pinyin
from cosy.train.data.speakers import LEVELS_DB, Voice, spoken_by
from cosy.train.data.teachers import Span, Utterance

ALL, LM_ONLY = tuple(_ARRAYS), ("whisper",)


@dataclass(frozen=True)
class Line:
    """One utterance to be spoken; a sound without words has a mark for its text and says something else."""

    text: str
    language: str = "en"
    style: str = ""
    said: str = ""


def laughter(language: str, syllables: int) -> Line:
    """`[laughter]`: ha ha ha."""
    return Line("[laughter]", language, "cheerful", ("哈" if language == "zh" else "ha ") * syllables + ".")


def breath(language: str) -> Line:
    """`[breath]`: a whispered vowel."""
    return Line("[breath]", language, "whisper", "呵。" if language == "zh" else "huh.")


@dataclass(frozen=True)
class Job:
    """A shard: what one voice says."""

    name: str
    voice: Voice
    lines: tuple[Line, ...]
    arrays: Collection[str] = ALL


def synthesise(folder: Path, jobs: Sequence[Job], workers: int) -> Generator[tuple[Job, int], None, None]:
    """Speak every job whose shard is not there yet; yield it with its length in tokens when it is done.

    Raises what a teacher raises, and what `write_shards` does; finished shards stay.
    """
    return write_shards(folder, _write, jobs, workers)


def _write(shard: Path, job: Job) -> int:
    spoken = zip(job.lines, interruptible(utterances(job.voice, job.lines)), strict=True)
    shaped = (_as_written(line, spoken_by(job.voice, utterance, line.style)) for line, utterance in spoken)
    return build(shard, (u for u in shaped if np.any(u.audio)), job.arrays, LEVELS_DB)


def _as_written(line: Line, utterance: Utterance) -> Utterance:
    """A sound without words goes by its mark, and is a neutral thing to do."""
    if not line.said:
        return utterance
    whole = Span(line.text, utterance.phones[0].start_s, utterance.phones[-1].end_s)
    return replace(utterance, text=line.text, words=(whole,), style="")


def utterances(voice: Voice, lines: Sequence[Line]) -> Iterator[Utterance]:
    """What the voice's teacher says, before the voice changes it."""
    if isinstance(voice.teacher, EspeakVoice):
        return (speak(voice.teacher, line.language, pieces(line.said or line.text, line.language)) for line in lines)
    return teachers.synthesise(voice.teacher, [line.said or line.text for line in lines])


_MARKS = {"，": ",", "。": ";", "？": "?", "！": "!", "、": ",", "；": ";", "：": ","}


def pieces(text: str, language: str) -> list[tuple[str, str]]:
    """`text` cut for `espeak.speak`: what is written, joined the text again, beside what espeak-ng is to read."""
    if language != "zh":
        return [(match.group(), match.group().strip()) for match in re.finditer(r"\s*\S+", text)]
    found: list[tuple[str, str]] = []
    end = 0
    for piece in pinyin(text):
        start, end = end, text.index(piece.text, end) + len(piece.text)
        if piece.language == "" and found:
            written, said = found[-1]
            found[-1] = (written + text[start:end], said + _MARKS.get(piece.text, piece.text))
        else:
            found.append((text[start:end], piece.pinyin.replace("ü", "v") or piece.text))
    return found

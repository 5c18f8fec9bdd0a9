"""Free speech engines as teachers: text in, waveform and phone/word times out.

Teachers are Debian packages used as programs (no part of them is shipped): `slt` is festival with
the HTS voice `festvox-us-slt-hts` (female, 32 kHz); `rms`, `awb` and `kal16` are flite's built-in
voices of these names (male, 16 kHz).  Their licences permit any use of their output.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import soundfile

from cosy.errors import EngineError, MissingDependencyError, ParameterError

FLITE_VOICES = ("rms", "awb", "kal16")
TEACHERS = ("slt", *FLITE_VOICES)
_PROGRAMS = {"slt": "festival"} | dict.fromkeys(FLITE_VOICES, "flite")
_REMEDY = {"festival": "apt-get install festival festvox-us-slt-hts", "flite": "apt-get install flite"}
FESTIVAL_VOICE = "(voice_cmu_us_slt_arctic_hts)"


@dataclass(frozen=True)
class Span:
    """A labelled stretch of time: a phone or a word."""

    label: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Utterance:
    """What was said: `audio` (samples,) float32 at `rate_hz`, with phone and word spans where they are known.

    Who says it (`speaker`), and how: `style`, of an engine a name of `speakers.STYLES` ("" is neutral), and
    `instruction`, the same in words.
    """

    text: str
    audio: np.ndarray
    rate_hz: int
    phones: tuple[Span, ...] = ()
    words: tuple[Span, ...] = ()  # their labels joined are the text, if there is one for each of its words
    language: str = "en"
    speaker: str = ""
    style: str = ""
    instruction: str = ""


def synthesise(teacher: str, texts: Sequence[str]) -> Iterator[Utterance]:
    """Speak every text.

    Raises ParameterError for an unknown teacher, MissingDependencyError for one that is not installed, EngineError if
    it fails.
    """
    require(teacher)
    return _festival(texts) if teacher == "slt" else _flite(teacher, texts)


def require(teacher: str) -> None:
    """Raises ParameterError for an unknown teacher, MissingDependencyError for one that cannot speak here."""
    if teacher not in TEACHERS:
        raise ParameterError(f"unknown teacher {teacher!r}; known: {', '.join(TEACHERS)}")
    if not is_installed(teacher):
        program = _PROGRAMS[teacher]
        raise MissingDependencyError(f"the teacher {teacher!r} needs the program {program!r}: {_REMEDY[program]}")


def is_installed(teacher: str) -> bool:
    """Whether a teacher's program is there; of festival, also its voice, which is a package of its own."""
    program = _PROGRAMS[teacher]
    if shutil.which(program) is None:
        return False
    return program != "festival" or _has_voice()


@cache
def _has_voice() -> bool:
    return subprocess.run(["festival", "-b", FESTIVAL_VOICE], capture_output=True, check=False).returncode == 0


def run(command: Sequence[str]) -> str:
    """What a program prints.  Raises EngineError if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        told = (done.stderr.strip() or "no message").splitlines()[-1]
        raise EngineError(f"{command[0]} ended with status {done.returncode}: {told}")
    return done.stdout


def _quote(text: str) -> str:
    return '"' + re.sub(r'["\\]', "", text) + '"'


def _spans(path: Path) -> tuple[Span, ...]:
    """Read a festival label file: a line `end_s code label` per segment, after a `#`."""
    spans, start = [], 0.0
    for line in path.read_text().splitlines()[1:]:
        end, _, label = line.split(maxsplit=2)
        spans.append(Span(label, start, float(end)))
        start = float(end)
    return tuple(spans)


def _festival(texts: Sequence[str]) -> Iterator[Utterance]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        lines = [FESTIVAL_VOICE]
        for i, text in enumerate(texts):
            lines.append(f"(set! utt (utt.synth (Utterance Text {_quote(text)})))")
            lines.append(f'(utt.save.wave utt "{root}/{i}.wav" \'riff)')
            lines.append(f'(utt.save.segs utt "{root}/{i}.seg")')
            lines.append(f'(utt.save.words utt "{root}/{i}.word")')
        script = root / "batch.scm"
        script.write_text("\n".join(lines))
        run(["festival", "-b", str(script)])
        for i, text in enumerate(texts):
            audio, rate = soundfile.read(root / f"{i}.wav", dtype="float32")
            yield Utterance(text, audio, rate, _spans(root / f"{i}.seg"), _written(text, _spans(root / f"{i}.word")))


def _written(text: str, spoken: Sequence[Span]) -> tuple[Span, ...]:
    """The engine's words as they are written, with blanks and marks; none if their numbers differ."""
    words = re.findall(r"\s*\S+", text)
    if len(words) != len(spoken):
        return ()
    return tuple(Span(word, span.start_s, span.end_s) for word, span in zip(words, spoken, strict=True))


def _flite(voice: str, texts: Sequence[str]) -> Iterator[Utterance]:
    """flite prints `phone:end_s` pairs; it gives no word times, so `words` is empty."""
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "out.wav"
        for text in texts:
            command = ["flite", "-voice", voice, "-psdur", "-t", text, "-o", str(wav)]
            phones, start = [], 0.0
            for pair in run(command).split():
                label, _, end = pair.rpartition(":")
                phones.append(Span(label, start, float(end)))
                start = float(end)
            audio, rate = soundfile.read(wav, dtype="float32")
            yield Utterance(text, audio, rate, tuple(phones), ())

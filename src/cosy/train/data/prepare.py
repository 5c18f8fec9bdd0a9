"""From a recording and its text to an `Utterance`, or to the reason why it is of no use.

Text is written as the front end would give it to the language model (numbers as words), unless it holds marks such as
`<|...|>`, which are the corpus's own.  Silence at the ends is cut by energy; loudness is brought to one level later,
when a corpus is written.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cosy.audio.constants import FRONT_END_RATE_HZ
from cosy.audio.io import load_audio
from cosy.audio.silence import clipped_share, trim_silence
from cosy.errors import AudioError
from cosy.text.frontend import MARK
from cosy.text.normalize import clean, language_of, write_out
from cosy.text.split import is_speakable
from cosy.text.unicode import letters
from cosy.train.data.corpus import LEAD_S, TAIL_S
from cosy.train.data.listing import Row
from cosy.train.data.teachers import Utterance
from cosy.types import Samples

REASONS = {
    "no text": "the text has no letter and no digit",
    "unreadable": "the file is missing, damaged or not audio",
    "low rate": f"the sample rate in Hz is below {FRONT_END_RATE_HZ}",
    "too long": "seconds of speech; of a much longer file only the beginning is decoded",
    "silent": "nothing is louder than -60 dBFS",
    "too short": "seconds of speech",
    "clipped": "share of samples at full scale, in runs",
    "no speech": "dB between loud and soft stretches: a steady sound",
    "wrong pace": "letters per second, where hanzi, kana and hangul count as three: text and speech differ",
}
MIN_S, MAX_S = 0.5, 30.0  # of speech
MAX_CLIPPED_SHARE = 5e-3
MIN_RANGE_DB = 6.0  # noise and hum have less than 2 dB, speech has 20
MIN_LETTERS_PER_S, MAX_LETTERS_PER_S = 3.0, 35.0  # English reads at 13
_FRAME_S = 0.02  # of the level curve


@dataclass(frozen=True)
class Dropped:
    """A row that is not used: one of `REASONS`, and the value that decided."""

    row: Row
    reason: str
    value: float | str


class _DropError(Exception):
    def __init__(self, reason: str, value: float | str) -> None:
        super().__init__(reason)
        self.reason, self.value = reason, value


def prepare(row: Row, max_s: float = MAX_S) -> Utterance | Dropped:
    """Decode, check and trim a recording with up to `max_s` seconds of speech.  Raises nothing for a bad one."""
    try:
        return _prepared(row, max_s)
    except _DropError as drop:
        value = drop.value if isinstance(drop.value, str) else round(drop.value, 4)
        return Dropped(row, drop.reason, value)


def _prepared(row: Row, max_s: float) -> Utterance:
    text = _spoken(row)
    if not is_speakable(text):
        raise _DropError("no text", row.text)
    wave, rate_hz = _decoded(row, 2 * max_s)
    speech, start, end = _speech(wave, rate_hz)
    _check_length(len(speech) / rate_hz, max_s)
    _check_sound(speech, rate_hz)
    pace = letters(text) / (len(speech) / rate_hz)
    if not MIN_LETTERS_PER_S <= pace <= MAX_LETTERS_PER_S:
        raise _DropError("wrong pace", pace)
    return Utterance(
        text,
        wave[max(0, start - round(LEAD_S * rate_hz)) : end + round(TAIL_S * rate_hz)],
        rate_hz,
        language=row.language,
        speaker=row.speaker,
        style=row.style,
        instruction=row.instruction,
    )


def _spoken(row: Row) -> str:
    if MARK.search(row.text):
        return row.text
    return write_out(clean(row.text), language_of(row.text, row.language))


def _decoded(row: Row, limit_s: float) -> tuple[Samples, int]:
    try:
        wave, rate_hz = load_audio(row.audio, max_s=limit_s)
    except AudioError as error:
        raise _DropError("unreadable", str(error)) from error
    if rate_hz < FRONT_END_RATE_HZ:
        raise _DropError("low rate", rate_hz)
    return wave, rate_hz


def _speech(wave: Samples, rate_hz: int) -> tuple[Samples, int, int]:
    """From the first to the last sound, and where it lies."""
    try:
        return trim_silence(wave, rate_hz, margin_s=0.0)
    except AudioError as error:
        raise _DropError("silent", float(np.abs(wave).max())) from error


def _check_length(seconds: float, max_s: float) -> None:
    if not MIN_S <= seconds <= max_s:
        raise _DropError("too short" if seconds < MIN_S else "too long", seconds)


def _check_sound(speech: Samples, rate_hz: int) -> None:
    if (share := clipped_share(speech)) > MAX_CLIPPED_SHARE:
        raise _DropError("clipped", share)
    if (spread := _range_db(speech, rate_hz)) < MIN_RANGE_DB:
        raise _DropError("no speech", spread)


def _range_db(wave: Samples, rate_hz: int) -> float:
    """How far the level of loud stretches lies above that of soft ones (95 % and 10 % of its curve)."""
    frame = round(_FRAME_S * rate_hz)
    power = np.square(wave[: len(wave) // frame * frame], dtype=np.float64).reshape(-1, frame).mean(axis=1)
    soft, loud = np.percentile(10 * np.log10(power + 1e-10), (10, 95))
    return float(loud - soft)

"""espeak-ng as a teacher, through its C interface: a hundred times faster than real time, with phone and word times.

Text comes as pieces, one per word (Mandarin: one per character, given as toned pinyin, which fixes the reading), so
that the library's word events can be laid beside the written text.

What the library says depends on what it said before (phases and flutter run on), and its noise on the clock.  So it is
loaded anew for every utterance, which takes a millisecond, and its noise gets a seed: the same words sound the same.
"""

from __future__ import annotations

import _ctypes
import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from cosy.dependencies import optional
from cosy.errors import EngineError, ParameterError
from cosy.train.data.phones import PAUSE, PHONES, phone_index
from cosy.train.data.teachers import Span, Utterance

LANGUAGES = {"en": "en-us", "zh": "cmn-latn-pinyin"}
_NOISE_SEED = 1
_SYNCHRONOUS, _PHONEME_EVENTS = 2, 1
_RATE, _PITCH, _RANGE = 1, 3, 4  # espeak_PARAMETER
_UTF8, _PHONEME_INPUT = 1, 0x100
_WORD, _PHONEME = 1, 7  # espeak_EVENT_TYPE
_PAUSES = ("_", "_:", "_::", "_!", "?", "")
_BORDER = "_|"  # between syllables: the closure of the next phone
# espeak-ng spells these three syllables out in English; its phonemes say them (tones in Chao's digits)
_REPAIRED = {"jiong": "tS;i", "qiong": "tS;hi", "xiong": "S;i"}
_TONES = {"1": "55", "2": "35", "3": "214", "4": "51", "5": "11"}


@dataclass(frozen=True)
class EspeakVoice:
    """How espeak-ng speaks: a variant (another vocal tract), pitch and pitch range (0..99), words a minute."""

    variant: str = "f2"
    pitch: int = 50
    pitch_range: int = 50
    words_per_minute: int = 170


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),  # in characters, from 1
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # ms
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class _Engine:
    def __init__(self) -> None:
        loader: Any = optional("espeakng_loader", "train")
        self.library = ctypes.CDLL(loader.get_library_path())
        self.rate_hz = self.library.espeak_Initialize(_SYNCHRONOUS, 0, loader.get_data_path().encode(), _PHONEME_EVENTS)
        self.library.espeak_ng_SetRandSeed(ctypes.c_long(_NOISE_SEED))
        self.callback = _Callback(self._receive)  # kept: the library does not
        self.library.espeak_SetSynthCallback(self.callback)
        self.audio: list[np.ndarray] = []
        self.events: list[tuple[int, int, float, str]] = []  # type, character, seconds, phone

    def _receive(self, samples: Any, count: int, events: Any) -> int:
        if samples and count > 0:
            self.audio.append(np.ctypeslib.as_array(samples, (count,)).copy())
        for event in iter(events):
            if event.type == 0:
                break
            name = event.id.string.decode() if event.type == _PHONEME else ""
            self.events.append((event.type, event.text_position - 1, event.sample / self.rate_hz, name))
        return 0

    def speak(self, voice: EspeakVoice, name: str, text: str) -> np.ndarray:
        self.audio, self.events = [], []
        if self.library.espeak_SetVoiceByName(f"{name}+{voice.variant}".encode()) != 0:
            raise ParameterError(f"espeak-ng has no voice {name}+{voice.variant}")
        values = ((_RATE, voice.words_per_minute), (_PITCH, voice.pitch), (_RANGE, voice.pitch_range))
        for parameter, value in values:
            self.library.espeak_SetParameter(parameter, value, 0)
        data = text.encode()
        self.library.espeak_Synth(data, len(data) + 1, 0, 1, 0, _UTF8 | _PHONEME_INPUT, None, None)
        self.library.espeak_Synchronize()
        if not self.audio:
            raise EngineError(f"espeak-ng says nothing for {text!r}")
        return np.concatenate(self.audio).astype(np.float32) / 32768


@contextmanager
def _engine() -> Iterator[_Engine]:
    """A library that has said nothing yet.  One at a time: it is the same for the whole process."""
    engine = _Engine()
    try:
        yield engine
    finally:
        engine.library.espeak_Terminate()
        _ctypes.dlclose(engine.library._handle)


def speak(voice: EspeakVoice, language: str, pieces: Sequence[tuple[str, str]]) -> Utterance:
    """Say `pieces` (written, as espeak-ng reads it) in a language ("en", "zh"); the text is what is written, joined.

    The second part of a piece is a word, toned pinyin ("ni3"), or "" for what only belongs to the piece before it;
    punctuation stays at its end ("hao3,").  Raises ParameterError for a language or variant that is not there,
    MissingDependencyError without the `train` extra, EngineError if nothing is said.
    """
    if language not in LANGUAGES:
        raise ParameterError(f"language {language!r} is not taught by espeak-ng here; known: {', '.join(LANGUAGES)}")
    written: list[str] = []
    starts: list[int] = []
    text = ""
    for shown, said in pieces:
        if said or not written:
            starts.append(len(text))
            written.append(shown)
            text += _read(said) + " "
        else:
            written[-1] += shown
    with _engine() as engine:
        audio = engine.speak(voice, LANGUAGES[language], text)
    phones = _phones(engine.events, language, len(audio) / engine.rate_hz)
    words = _words(engine.events, written, starts, phones)
    return Utterance("".join(written), audio, engine.rate_hz, phones, words, language=language)


def _read(piece: str) -> str:
    syllable, tail = piece.rstrip(",.?!;:"), piece[len(piece.rstrip(",.?!;:")) :]
    if syllable[:-1] in _REPAIRED:
        return f"[[{_REPAIRED[syllable[:-1]]}'ong{_TONES[syllable[-1]]}]]{tail}"
    return piece


def _phones(events: Sequence[tuple[int, int, float, str]], language: str, end_s: float) -> tuple[Span, ...]:
    """Phoneme events as spans labelled by our own phones; "(en)" inside Mandarin switches the spelling."""
    names, found, border_s = language, [], None
    for kind, _, start_s, label in events:
        label = label.lstrip("',%=")
        if kind != _PHONEME:
            continue
        if label == _BORDER:
            border_s = start_s
        elif label.startswith("("):
            names = "en" if label.startswith("(en") else "zh"
        elif label in _PAUSES:
            found.append((PAUSE, start_s if border_s is None else border_s))
            border_s = None
        else:
            found.append((PHONES[phone_index(label, names)], start_s if border_s is None else border_s))
            border_s = None
    ends = [start for _, start in found[1:]] + [end_s]
    return tuple(Span(p, s, e) for (p, s), e in zip(found, ends, strict=True) if e > s)


def _words(
    events: Sequence[tuple[int, int, float, str]], written: Sequence[str], starts: Sequence[int], phones: Sequence[Span]
) -> tuple[Span, ...]:
    """A span per written piece, or none at all if the engine skipped or split one."""
    begins: dict[int, float] = {}
    for kind, character, start_s, _ in events:
        if kind == _WORD:
            index = int(np.searchsorted(starts, character, side="right")) - 1
            begins.setdefault(index, start_s)
    if sorted(begins) != list(range(len(written))):
        return ()
    times = [begins[i] for i in range(len(written))]
    ends = [*times[1:], max((p.end_s for p in phones if p.label != PAUSE), default=times[-1])]
    return tuple(Span(w, s, e) for w, s, e in zip(written, times, ends, strict=True))

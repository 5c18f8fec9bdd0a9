"""A prepared corpus on disk: flat memory-mapped arrays, one entry per utterance.

Everything the four trainers read is computed once: the waveform at 24 kHz, the flow's log-mel, the
tokenizer's log-mel, F0 and phone labels per 20 ms frame, word times.  An utterance is trimmed to
short silences and padded to whole speech tokens (960 samples), so that it has exactly 2 mel frames
and 4 tokenizer frames per token.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cosy.audio.constants import FRAMES_PER_TOKEN, FRONT_END_RATE_HZ, HOP_SAMPLES, SAMPLE_RATE_HZ, TOKEN_SAMPLES
from cosy.audio.features import log_mel_16k, mel_spectrogram
from cosy.audio.resample import resample
from cosy.dependencies import optional
from cosy.errors import MismatchError, MissingFileError, ParameterError
from cosy.train.data.teachers import Span, Utterance

PAUSE = "pau"
LEAD_S, TAIL_S = 0.12, 0.20  # silence kept around the speech
LEVEL_DBFS = -22.0  # RMS of the speech
PHONES = (
    PAUSE,
    *"""aa ae ah ao aw ax ay b ch d dh eh er ey f g hh ih iy jh k l m n ng ow oy p r s sh t th uh uw v w y z
    zh""".split(),
)
_ALIASES = {
    "ssil": PAUSE,
    "brth": PAUSE,
    "h#": PAUSE,
    "axr": "er",
    "el": "l",
    "em": "m",
    "en": "n",
    "dx": "t",
    "hv": "hh",
}
_ARRAYS = {"wave": np.int16, "mel": np.float16, "whisper": np.float16, "f0": np.float32, "phone": np.uint8}
PER_TOKEN = {
    "wave": TOKEN_SAMPLES,
    "mel": FRAMES_PER_TOKEN,
    "whisper": 4,
    "f0": FRAMES_PER_TOKEN,
    "phone": FRAMES_PER_TOKEN,
}


@dataclass(frozen=True)
class Entry:
    """One utterance of a corpus: where it lies in the arrays, in tokens, and what is said when."""

    text: str
    start: int  # tokens before it in the arrays
    tokens: int
    words: tuple[tuple[str, float], ...]  # (word, end in seconds)


def phone_index(label: str) -> int:
    """The index of a teacher's phone label in `PHONES`.  Raises ParameterError for one that is not there."""
    name = _ALIASES.get(label, label)
    if name not in PHONES:
        raise ParameterError(f"unknown phone {label!r}; known: {', '.join(PHONES)}")
    return PHONES.index(name)


def pitch(wave: np.ndarray) -> np.ndarray:
    """F0 in Hz (0 unvoiced) at the centre of every 20 ms frame of a 24 kHz waveform, by WORLD's DIO and StoneMask.

    Raises MissingDependencyError without the `train` extra.
    """
    world: Any = optional("pyworld", "train")
    period_ms = 1000 * HOP_SAMPLES / SAMPLE_RATE_HZ
    signal = wave.astype(np.float64)
    coarse, times = world.dio(signal, SAMPLE_RATE_HZ, frame_period=period_ms / 2, f0_floor=60.0, f0_ceil=600.0)
    fine = world.stonemask(signal, coarse, times, SAMPLE_RATE_HZ)
    return np.asarray(fine[1::2][: len(wave) // HOP_SAMPLES], dtype=np.float32)


def _trim(utterance: Utterance, factor: float) -> tuple[np.ndarray, list[Span], list[Span]]:
    """Cut long silences off both ends and play at `factor` of the speed: audio at 24 kHz and the spans, shifted."""
    speech = [s for s in utterance.phones if _ALIASES.get(s.label, s.label) != PAUSE]
    begin = max(0.0, speech[0].start_s - LEAD_S)
    end = min(len(utterance.audio) / utterance.rate_hz, speech[-1].end_s + TAIL_S)
    audio = utterance.audio[int(begin * utterance.rate_hz) : int(end * utterance.rate_hz)]
    source_rate = round(utterance.rate_hz * factor / 100) * 100  # reading faster raises pitch and formants together
    scale = utterance.rate_hz / source_rate
    wave = resample(torch.from_numpy(audio), source_rate, SAMPLE_RATE_HZ).numpy()

    def shift(spans: Iterable[Span]) -> list[Span]:
        return [Span(s.label, (s.start_s - begin) * scale, (s.end_s - begin) * scale) for s in spans]

    return wave, shift(utterance.phones), shift(utterance.words)


def _level(wave: np.ndarray) -> np.ndarray:
    gain = 10 ** (LEVEL_DBFS / 20) / max(1e-4, float(np.sqrt(np.mean(wave**2))))
    return wave * min(gain, 0.95 / max(1e-4, float(np.abs(wave).max())))


def _features(utterance: Utterance, factor: float, names: Collection[str]) -> tuple[dict[str, np.ndarray], list[Span]]:
    wave, phones, words = _trim(utterance, factor)
    tokens = -(-len(wave) // TOKEN_SAMPLES)
    wave = np.pad(_level(wave), (0, tokens * TOKEN_SAMPLES - len(wave))).astype(np.float32)
    tensor = torch.from_numpy(wave)
    frames = tokens * FRAMES_PER_TOKEN
    centres = (np.arange(frames) + 0.5) * HOP_SAMPLES / SAMPLE_RATE_HZ
    owner = np.searchsorted([s.end_s for s in phones[:-1]], centres)
    recipes: dict[str, Callable[[], np.ndarray]] = {
        "wave": lambda: np.clip(wave * 32767, -32768, 32767),
        "mel": lambda: mel_spectrogram(tensor[None])[0].T.numpy(),
        "whisper": lambda: log_mel_16k(resample(tensor, SAMPLE_RATE_HZ, FRONT_END_RATE_HZ))[0].T.numpy(),
        "f0": lambda: pitch(wave),
        "phone": lambda: np.array([phone_index(s.label) for s in phones], dtype=np.uint8)[owner],
    }
    arrays = {name: recipes[name]() for name in names}
    for name, array in arrays.items():
        assert len(array) == tokens * PER_TOKEN[name], (name, len(array), tokens)
    return arrays, words


def build(
    folder: Path, utterances: Iterable[Utterance], factor: float = 1.0, names: Collection[str] = tuple(_ARRAYS)
) -> int:
    """Write a corpus of `utterances` into `folder`; return its length in tokens.

    `factor` plays every recording faster (>1) or slower: a pseudo-speaker with other pitch and formants.
    `names` limits the arrays: a language model needs only what its tokens are made from ("whisper").
    """
    folder.mkdir(parents=True, exist_ok=True)
    total = 0
    with ExitStack() as stack:
        files = {name: stack.enter_context((folder / f"{name}.raw").open("wb")) for name in names}
        listing = stack.enter_context((folder / "entries.jsonl").open("w", encoding="utf-8"))
        for utterance in utterances:
            arrays, words = _features(utterance, factor, names)
            for name, array in arrays.items():
                files[name].write(np.ascontiguousarray(array, dtype=_ARRAYS[name]).tobytes())
            name, array = next(iter(arrays.items()))
            tokens = len(array) // PER_TOKEN[name]
            ends = [(w.label, round(w.end_s, 4)) for w in words]
            listing.write(json.dumps({"text": utterance.text, "start": total, "tokens": tokens, "words": ends}) + "\n")
            total += tokens
    return total


class Corpus:
    """Read access to what `build` wrote.  Arrays are memory-mapped; entries are in memory.

    Raises MismatchError if an array does not have the length of the entries: a build was cut short, or `codes.npy`
    belongs to an earlier one.
    """

    def __init__(self, folder: Path) -> None:
        with (folder / "entries.jsonl").open(encoding="utf-8") as listing:
            rows = [json.loads(line) for line in listing]
        self.entries = [Entry(r["text"], r["start"], r["tokens"], tuple(map(tuple, r["words"]))) for r in rows]
        self.tokens = sum(e.tokens for e in self.entries)
        widths = {"mel": 80, "whisper": 128}
        self.folder = folder
        self._arrays: dict[str, np.ndarray] = {}
        for name, dtype in _ARRAYS.items():
            if not (folder / f"{name}.raw").exists():
                continue
            flat = np.memmap(folder / f"{name}.raw", dtype=dtype, mode="r")
            self._arrays[name] = flat.reshape(-1, widths[name]) if name in widths else flat
            self._check(name, len(self._arrays[name]), PER_TOKEN[name])
        codes = folder / "codes.npy"
        self.codes: np.ndarray | None = np.load(codes, mmap_mode="r") if codes.exists() else None
        if self.codes is not None:
            self._check("codes", len(self.codes), 1)
        speakers = folder / "speakers.npy"
        self.speakers: np.ndarray | None = np.load(speakers, mmap_mode="r") if speakers.exists() else None

    def _check(self, name: str, found: int, per_token: int) -> None:
        expected = self.tokens * per_token
        if found != expected:
            message = f"{name!r} has {found} rows, the entries need {expected}: make it again"
            raise MismatchError(f"{self.folder}: {message}")

    def __len__(self) -> int:
        return len(self.entries)

    def slice(self, name: str, index: int, start: int = 0, tokens: int | None = None) -> np.ndarray:
        """Array `name` of entry `index`, from token `start` on, `tokens` long (default: to the end).

        Raises MissingFileError if the corpus was built without it.
        """
        if name not in self._arrays:
            raise MissingFileError(f"{self.folder / name}.raw is missing: build the corpus with the array {name!r}")
        entry = self.entries[index]
        tokens = entry.tokens - start if tokens is None else tokens
        per = PER_TOKEN[name]
        return self._arrays[name][(entry.start + start) * per : (entry.start + start + tokens) * per]

    def tokens_of(self, index: int) -> np.ndarray:
        """Speech tokens of an entry.  Raises MissingFileError before `cosy.train.tokenizer.encode`."""
        if self.codes is None:
            raise MissingFileError(f"{self.folder / 'codes.npy'} is missing: encode the corpus first")
        entry = self.entries[index]
        return self.codes[entry.start : entry.start + entry.tokens]

    @property
    def vectors(self) -> np.ndarray:
        """Speaker vectors (n, 192) of its utterances.  Raises MissingFileError before `cosy.train.speaker.embed`."""
        if self.speakers is None:
            raise MissingFileError(f"{self.folder / 'speakers.npy'} is missing: embed the corpus first")
        return self.speakers

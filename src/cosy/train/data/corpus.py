"""A prepared corpus on disk: shards of flat memory-mapped arrays, one entry per utterance.

Everything the trainers read is computed once: the waveform at 24 kHz, the flow's log-mel, the tokenizer's log-mel, F0
and, where a teacher tells them, phone labels per 20 ms frame and word times.  An utterance is trimmed to short
silences and padded to whole speech tokens (960 samples), so that it has exactly 2 mel frames and 4 tokenizer frames
per token.

    corpus/
        00000/  entries.jsonl  wave.raw  mel.raw  whisper.raw  f0.raw  phone.raw    a shard: written whole or not at all
                codes.npy  speakers.npy                                             added by `encode` and `embed`
        00001/  ...
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cosy.audio.constants import FRAMES_PER_TOKEN, FRONT_END_RATE_HZ, HOP_SAMPLES, SAMPLE_RATE_HZ, TOKEN_SAMPLES
from cosy.audio.features import log_mel_16k, mel_spectrogram
from cosy.audio.resample import resample
from cosy.dependencies import optional
from cosy.errors import MismatchError, MissingFileError
from cosy.train.data.phones import is_pause, phone_index
from cosy.train.data.teachers import Span, Utterance

DIO_S = 0.005  # a frame of DIO
VOICED = 0.5  # least correlation of a period with the next
LEAD_S, TAIL_S = 0.12, 0.20  # silence kept around the speech
LEVEL_DBFS = -22.0  # RMS of neutral speech
_ARRAYS = {"wave": np.int16, "mel": np.float16, "whisper": np.float16, "f0": np.float32, "phone": np.uint8}
_WIDTHS = {"mel": 80, "whisper": 128}
PER_TOKEN = {
    "wave": TOKEN_SAMPLES,
    "mel": FRAMES_PER_TOKEN,
    "whisper": 4,
    "f0": FRAMES_PER_TOKEN,
    "phone": FRAMES_PER_TOKEN,
}


@dataclass(frozen=True)
class Entry:
    """One utterance of a corpus: where it lies, in tokens, and what is said by whom, when and how."""

    text: str
    start: int  # tokens before it in its shard
    tokens: int
    words: tuple[tuple[str, float], ...] = ()  # (word, end in seconds); empty: not known
    speaker: str = ""
    language: str = ""
    style: str = ""
    instruction: str = ""  # how to say it, in words, where the recording came with such a text
    shard: int = 0
    row: int = 0  # of its shard


def pitch(wave: np.ndarray) -> np.ndarray:
    """F0 in Hz (0 unvoiced) at the beginning of every 20 ms frame of a 24 kHz waveform, by WORLD's DIO and StoneMask.

    DIO's frames are those it is tuned for: how far F0 may move from one to the next is a constant.  It holds on to a
    pitch into the consonant; a frame whose next period is not like the last one is unvoiced.

    The beginning, because the vocoder's source has the F0 of a frame from the centre of the frame before to its own.
    Raises MissingDependencyError without the `train` extra.
    """
    world: Any = optional("pyworld", "train")
    signal = wave.astype(np.float64)
    coarse, times = world.dio(signal, SAMPLE_RATE_HZ, frame_period=1000 * DIO_S, f0_floor=60.0, f0_ceil=600.0)
    fine = world.stonemask(signal, coarse, times, SAMPLE_RATE_HZ)
    hz = fine[:: round(HOP_SAMPLES / SAMPLE_RATE_HZ / DIO_S)][: len(wave) // HOP_SAMPLES]
    recurs = [f > 0 and _recurrence(signal, i * HOP_SAMPLES, SAMPLE_RATE_HZ / f) >= VOICED for i, f in enumerate(hz)]
    return np.where(recurs, hz, 0).astype(np.float32)


def _recurrence(signal: np.ndarray, centre: int, period: float) -> float:
    """Correlation of the periods before and after a sample, at the best lag within a semitone; 0 at the ends."""
    size, lags = round(period), np.arange(round(0.94 * period), round(1.06 * period) + 1)
    first = centre - (size + lags) // 2
    if first.min() < 0 or (first + lags).max() + size > len(signal):
        return 0.0
    a, b = (signal[start[:, None] + np.arange(size)] for start in (first, first + lags))
    together = (a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1) + 1e-12)
    return float(together.max())


def _trim(utterance: Utterance) -> tuple[np.ndarray, list[Span], list[Span]]:
    """Cut long silences off both ends: audio at 24 kHz and the spans, shifted.  Without phones all of it stays."""
    speech = [s for s in utterance.phones if not is_pause(s.label)]
    begin = max(0.0, speech[0].start_s - LEAD_S) if speech else 0.0
    whole_s = len(utterance.audio) / utterance.rate_hz
    end = min(whole_s, speech[-1].end_s + TAIL_S) if speech else whole_s
    audio = utterance.audio[int(begin * utterance.rate_hz) : int(end * utterance.rate_hz)]
    wave = resample(torch.from_numpy(audio), utterance.rate_hz, SAMPLE_RATE_HZ).numpy()

    def shift(spans: Iterable[Span]) -> list[Span]:
        return [Span(s.label, s.start_s - begin, s.end_s - begin) for s in spans]

    return wave, shift(utterance.phones), shift(utterance.words)


def level(wave: np.ndarray, dbfs: float = LEVEL_DBFS) -> np.ndarray:
    """Bring samples (n,) to an RMS of `dbfs`, with the peak kept below full scale."""
    gain = 10 ** (dbfs / 20) / max(1e-4, float(np.sqrt(np.mean(wave**2))))
    scaled: np.ndarray = wave * min(gain, 0.95 / max(1e-4, float(np.abs(wave).max())))
    return scaled


def _features(
    utterance: Utterance, names: Collection[str], level_db: float
) -> tuple[dict[str, np.ndarray], list[Span]]:
    wave, phones, words = _trim(utterance)
    tokens = -(-len(wave) // TOKEN_SAMPLES)
    wave = np.pad(level(wave, LEVEL_DBFS + level_db), (0, tokens * TOKEN_SAMPLES - len(wave))).astype(np.float32)
    tensor = torch.from_numpy(wave)
    centres = (np.arange(tokens * FRAMES_PER_TOKEN) + 0.5) * HOP_SAMPLES / SAMPLE_RATE_HZ
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


def partial_of(folder: Path) -> Path:
    """Where the shard `folder` is written until it is whole."""
    return folder.with_name(folder.name + ".partial")


def build(
    folder: Path,
    utterances: Iterable[Utterance],
    names: Collection[str] = tuple(_ARRAYS),
    levels_db: Mapping[str, float] | None = None,
) -> int:
    """Write `utterances` as the shard `folder` and return its length in tokens; a crash leaves nothing of that name.

    `names` limits the arrays: a language model needs only what its tokens are made from ("whisper").
    `levels_db` says how much louder than neutral a style is.
    """
    partial = partial_of(folder)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        total = _write(partial, utterances, names, levels_db or {})
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return total


def _write(
    folder: Path, utterances: Iterable[Utterance], names: Collection[str], levels_db: Mapping[str, float]
) -> int:
    total = 0
    with ExitStack() as stack:
        files = {name: stack.enter_context((folder / f"{name}.raw").open("wb")) for name in names}
        listing = stack.enter_context((folder / "entries.jsonl").open("w", encoding="utf-8"))
        for utterance in utterances:
            arrays, words = _features(utterance, names, levels_db.get(utterance.style, 0.0))
            for name, array in arrays.items():
                files[name].write(np.ascontiguousarray(array, dtype=_ARRAYS[name]).tobytes())
            name, array = next(iter(arrays.items()))
            tokens = len(array) // PER_TOKEN[name]
            row = {
                "text": utterance.text,
                "start": total,
                "tokens": tokens,
                "words": [(w.label, round(w.end_s, 4)) for w in words],
                "speaker": utterance.speaker,
                "language": utterance.language,
                "style": utterance.style,
                "instruction": utterance.instruction,
            }
            listing.write(json.dumps(row, ensure_ascii=False) + "\n")
            total += tokens
    return total


def shards_of(folder: Path) -> list[Path]:
    """The finished shards of a corpus, by name; a folder that is a shard itself is the only one.

    Raises MissingFileError if there is none.
    """
    if (folder / "entries.jsonl").is_file():
        return [folder]
    shards = sorted(p.parent for p in folder.glob("*/entries.jsonl") if p.parent.suffix != ".partial")
    if not shards:
        raise MissingFileError(f"{folder} holds no corpus: build one with `cosy data build` or `cosy data synth`")
    return shards


class Corpus:
    """Read access to one or several built corpora.  Arrays are memory-mapped; entries are in memory.

    Raises MismatchError if an array does not have the length of the entries, MissingFileError if there is nothing.
    """

    def __init__(self, *folders: Path) -> None:
        self.shards = [shard for folder in folders for shard in shards_of(folder)]
        self.entries: list[Entry] = []
        self._arrays: list[dict[str, np.ndarray]] = []
        for number, shard in enumerate(self.shards):
            with (shard / "entries.jsonl").open(encoding="utf-8") as listing:
                rows = [json.loads(line) for line in listing]
            for row, fields in enumerate(rows):
                fields["words"] = tuple(map(tuple, fields["words"]))
                self.entries.append(Entry(**fields, shard=number, row=row))
            self._arrays.append(_mapped(shard, sum(r["tokens"] for r in rows), len(rows)))
        self.tokens = sum(e.tokens for e in self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    @cached_property
    def by_speaker(self) -> dict[str, np.ndarray]:
        """Indices of every speaker's entries."""
        found: dict[str, list[int]] = {}
        for index, entry in enumerate(self.entries):
            found.setdefault(entry.speaker, []).append(index)
        return {speaker: np.array(indices) for speaker, indices in sorted(found.items())}

    @cached_property
    def neutral(self) -> list[np.ndarray]:
        """Indices of the entries without a style, or else of all, of every speaker in the order of `by_speaker`."""
        of_speakers = self.by_speaker.values()
        return [np.array([i for i in group if not self.entries[i].style] or list(group)) for group in of_speakers]

    def shares(
        self, speaker_weights: Mapping[str, float] | None = None, entry_weights: np.ndarray | None = None
    ) -> np.ndarray:
        """Probabilities of the speakers: the root of what each says, in weighted tokens, times its own weight.

        What has no weight counts 1.
        """
        said = np.array([entry.tokens for entry in self.entries]) * (1.0 if entry_weights is None else entry_weights)
        of_speaker = speaker_weights or {}
        shares = np.array([of_speaker.get(s, 1.0) * math.sqrt(said[own].sum()) for s, own in self.by_speaker.items()])
        whole: np.ndarray = shares / shares.sum()
        return whole

    def has(self, name: str) -> bool:
        """Whether every shard has the array `name`."""
        return all(name in arrays for arrays in self._arrays)

    def slice(self, name: str, index: int, start: int = 0, tokens: int | None = None) -> np.ndarray:
        """Array `name` of entry `index`, from token `start` on, `tokens` long (default: to the end).

        Raises MissingFileError if the corpus was built without it.
        """
        entry = self.entries[index]
        array = self._array(name, entry, f"build the corpus with the array {name!r}")
        tokens = entry.tokens - start if tokens is None else tokens
        per = PER_TOKEN[name]
        return array[(entry.start + start) * per : (entry.start + start + tokens) * per]

    def tokens_of(self, index: int) -> np.ndarray:
        """Speech tokens of an entry.  Raises MissingFileError before `cosy.train.tokenizer.encode`."""
        entry = self.entries[index]
        return self._array("codes", entry, "encode the corpus first")[entry.start : entry.start + entry.tokens]

    def vector_of(self, index: int) -> np.ndarray:
        """Speaker vector (192,) of an entry.  Raises MissingFileError before `cosy.train.speaker.embed`."""
        entry = self.entries[index]
        vector: np.ndarray = self._array("speakers", entry, "embed the corpus first")[entry.row]
        return vector

    def _array(self, name: str, entry: Entry, remedy: str) -> np.ndarray:
        arrays = self._arrays[entry.shard]
        if name not in arrays:
            raise MissingFileError(f"{self.shards[entry.shard]} has no {name!r}: {remedy}")
        return arrays[name]


def _mapped(shard: Path, tokens: int, entries: int) -> dict[str, np.ndarray]:
    arrays = {}
    for name, dtype in _ARRAYS.items():
        if (path := shard / f"{name}.raw").exists():
            # An empty file cannot be mapped: of a shard whose every row was dropped.
            flat = np.memmap(path, dtype=dtype, mode="r") if path.stat().st_size else np.zeros(0, dtype=dtype)
            arrays[name] = flat.reshape(-1, _WIDTHS[name]) if name in _WIDTHS else flat
    for name in ("codes", "speakers"):
        if (shard / f"{name}.npy").exists():
            arrays[name] = np.load(shard / f"{name}.npy", mmap_mode="r")
    for name, array in arrays.items():
        expected = entries if name == "speakers" else tokens * PER_TOKEN.get(name, 1)
        if len(array) != expected:
            message = f"{name!r} has {len(array)} rows, the entries need {expected}: make it again"
            raise MismatchError(f"{shard}: {message}")
    return arrays

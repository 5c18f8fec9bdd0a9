"""Speech tokens and speaker vectors of a corpus, by the front ends of a model directory.

corpus/  front_ends.json            which front ends: tokens of two tokenizers never meet in one corpus
         00000/  codes.npy          speech tokens (tokens of the shard,) int16
                 speakers.npy       speaker vectors (utterances, 192) float32
"""

from __future__ import annotations

import json
from collections.abc import Generator
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch

from cosy.audio.constants import FRONT_END_RATE_HZ, SAMPLE_RATE_HZ, SPEAKER_DIM
from cosy.audio.features import speaker_features
from cosy.audio.resample import resample
from cosy.checkpoint.layout import SPEAKER_ENCODER, SPEECH_TOKENIZER, Layout
from cosy.checkpoint.load import LoadedModel, load_model
from cosy.checkpoint.pull import sha256_of
from cosy.errors import MismatchError
from cosy.train.data.corpus import Corpus, shards_of
from cosy.train.data.parallel import in_processes, interruptible

IDENTITY = "front_ends.json"
CODES, VECTORS = "codes.npy", "speakers.npy"


def identity_of(model: Path) -> dict[str, str]:
    """SHA-256 of the two files that decide.  Raises MissingFileError for a directory that lacks one."""
    layout = Layout(model)
    files = {name: layout.file(name) for name in (SPEECH_TOKENIZER, SPEAKER_ENCODER)}
    return {name: sha256_of(path) for name, path in files.items()}


def annotate(folder: Path, model: Path, workers: int) -> Generator[tuple[Path, None], None, None]:
    """Write what is missing of the two arrays into every shard of a corpus; yield each shard when it is done.

    A shard without the array "wave" gets no speaker vectors.  Raises MissingFileError without the array "whisper",
    MismatchError if other front ends began, and what `in_processes` raises.
    """
    shards = shards_of(folder)
    _claim(folder, shards, identity_of(model))
    left = [shard for shard in shards if any(not (shard / name).exists() for name in _wanted(shard))]
    return in_processes(partial(_annotate, model), left, workers)


def _claim(folder: Path, shards: list[Path], identity: dict[str, str]) -> None:
    """Arrays are only worth something beside the note of what made them."""
    path = folder / IDENTITY
    if not path.exists():
        for shard in shards:
            for name in (CODES, VECTORS):
                (shard / name).unlink(missing_ok=True)
        path.write_text(json.dumps(identity, indent=1) + "\n", encoding="utf-8")
    elif json.loads(path.read_text(encoding="utf-8")) != identity:
        raise MismatchError(
            f"the speech tokens in {folder} were made by another model: name that one, or delete {path} to make "
            "all of them anew"
        )


def _wanted(shard: Path) -> tuple[str, ...]:
    return (CODES, VECTORS) if (shard / "wave.raw").exists() else (CODES,)


def _annotate(model: Path, shard: Path) -> None:
    corpus = Corpus(shard)
    makers = {CODES: _codes, VECTORS: _vectors}
    for name in _wanted(shard):
        if not (shard / name).exists():
            _save(shard / name, makers[name](corpus, _loaded(model)))


@cache
def _loaded(model: Path) -> LoadedModel:
    return load_model(model, parts=())


def _codes(corpus: Corpus, model: LoadedModel) -> np.ndarray:
    found = [np.zeros(0, dtype=np.int16)]
    for index in interruptible(range(len(corpus))):
        mel = torch.from_numpy(corpus.slice("whisper", index).astype(np.float32)).T[None]  # (1, 128, frames)
        found.append(model.speech_tokenizer(mel).numpy().astype(np.int16))
    return np.concatenate(found)


def _vectors(corpus: Corpus, model: LoadedModel) -> np.ndarray:
    found = np.zeros((len(corpus), SPEAKER_DIM), dtype=np.float32)
    for index in interruptible(range(len(corpus))):
        wave = torch.from_numpy(corpus.slice("wave", index).astype(np.float32)) / 32767
        found[index] = model.speaker_encoder(speaker_features(resample(wave, SAMPLE_RATE_HZ, FRONT_END_RATE_HZ)))
    return found


def _save(path: Path, array: np.ndarray) -> None:
    """Whole or not at all."""
    partial_path = path.with_name(path.name + ".partial")
    try:
        with partial_path.open("wb") as file:
            np.save(file, array)
        partial_path.replace(path)
    finally:
        partial_path.unlink(missing_ok=True)

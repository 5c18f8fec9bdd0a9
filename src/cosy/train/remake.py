"""Corpora whose mels the flow made: what a vocoder is given in use, beside the waves it should make of them.

A mel of the flow is smoother than a measured one.  A vocoder that has only seen measured ones makes it sound hollow.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from cosy.models.flow import Flow
from cosy.train.data.corpus import Corpus, partial_of

PROMPT_TOKENS = 60  # at most
KEPT = ("wave.raw", "f0.raw", "entries.jsonl")


def remake(corpus: Corpus, flow: Flow, folder: Path, seed: int = 0) -> Iterator[Path]:
    """Write every shard of an encoded and embedded corpus anew below `folder`, its mel by the flow; yield it when done.

    As in use, the flow goes on from a neutral utterance of the speaker, in chunks or at once by chance.  Shards that
    are there stay.  Raises MissingFileError for a corpus without waves, F0, tokens or speaker vectors.
    """
    neutral = {s: [i for i in group if not corpus.entries[i].style] for s, group in corpus.by_speaker.items()}
    for number, shard in enumerate(corpus.shards):
        target = folder / shard.name
        if target.exists():
            continue
        partial = partial_of(target)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for name in KEPT:
            shutil.copyfile(shard / name, partial / name)
        rng = np.random.default_rng([seed, number])
        with (partial / "mel.raw").open("wb") as file:
            for index, entry in enumerate(corpus.entries):
                if entry.shard == number:
                    prompt = int(rng.choice(neutral[entry.speaker] or [index]))
                    file.write(_made(corpus, flow, index, prompt, rng).astype(np.float16).tobytes())
        partial.rename(target)
        yield target


def _made(corpus: Corpus, flow: Flow, index: int, prompt: int, rng: np.random.Generator) -> np.ndarray:
    """The mel (2T, 80) of an utterance's T tokens after the beginning of another."""
    tokens = min(PROMPT_TOKENS, corpus.entries[prompt].tokens)

    def batch(array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.array(array))[None]

    mel = flow.inference(
        batch(corpus.tokens_of(index)).long(),
        batch(corpus.tokens_of(prompt)[:tokens]).long(),
        batch(corpus.slice("mel", prompt, 0, tokens)).float(),
        batch(corpus.vector_of(prompt)).float(),
        streaming=bool(rng.random() < 0.5),
        finalize=True,
    )
    made: np.ndarray = mel[0].T.numpy()
    return made

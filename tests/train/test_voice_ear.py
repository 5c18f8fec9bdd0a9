from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch

from cosy.train.data.corpus import Corpus
from cosy.train.trainer import Schedule, Trainer
from cosy.train.voice_ear import VoiceEar, VoiceEarTask


def test_it_learns_who_speaks(corpus: Corpus, tmp_path: Path) -> None:
    task = VoiceEarTask(corpus, batch=8, frames=30)
    rows = list(Trainer(task, Schedule(5e-3, math.inf, 40, warmup_steps=1, log_steps=10), tmp_path).run())
    assert rows[-1]["speaker"] < 0.6 * rows[0]["speaker"]


def test_what_does_not_count_is_not_heard() -> None:
    ear = VoiceEar(3).eval()
    mel = torch.randn(2, 80, 40, generator=torch.Generator().manual_seed(0))
    other = mel.clone()
    other[:, :, 30:] += 1.0
    counted = torch.zeros(2, 40)
    counted[:, :24] = 1  # what is changed is beyond what a frame's vector hears
    torch.testing.assert_close(ear(mel, counted), ear(other, counted))
    assert not torch.allclose(ear(mel), ear(other))
    torch.testing.assert_close(ear(mel).norm(dim=1), torch.ones(2))


def test_a_segment_is_one_neutral_speakers(corpus: Corpus) -> None:
    task = VoiceEarTask(corpus, batch=4, frames=30)
    batch = task.batch(np.random.default_rng(0))
    assert batch["mel"].shape == (4, 80, 30)
    assert all(not corpus.entries[i].style for group in task.neutral for i in group)
    assert len(task.neutral) == len(corpus.by_speaker)

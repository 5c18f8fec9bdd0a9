"""A tiny network of every kind learns a handful of utterances, and what it then does is measured."""

from __future__ import annotations

import math
from dataclasses import replace
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cosy.config import EstimatorConfig
from cosy.models.speech_lm import collect, generate
from cosy.models.vocoder_loss import mel_loss
from cosy.text.tokenizer import TextTokenizer
from cosy.train.data.corpus import Corpus
from cosy.train.data.phones import PHONES
from cosy.train.flow import FlowTask
from cosy.train.lm import PLAIN, LMTask
from cosy.train.speaker import SpeakerTask, embed
from cosy.train.tokenizer import TokenizerTask
from cosy.train.trainer import Schedule, Task, Trainer
from cosy.train.transcripts import TranscriptTask
from cosy.train.vocoder import F0Task, VocoderTask, spoken
from tests.model_dir import SMALL, SMALL_SPEAKER_ENCODER, SMALL_TOKENIZER
from tests.train.speakers import write_speakers

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """One utterance of each of two speakers."""
    pytest.importorskip("pyworld", reason="F0 of a corpus needs the extra `train`")
    return write_speakers(tmp_path_factory.mktemp("two"), 1)


def learn(task: Task, folder: Path, steps: int, rate: float, **options: Any) -> None:
    settings = {"warmup_steps": 10, "precision": "float32", "weight_decay": 0.0, "clip_norm": 5.0, **options}
    list(Trainer(task, Schedule(rate, math.inf, steps=steps, **settings), folder).run())
    task.network.eval()


def test_the_language_model_says_the_very_tokens(two: Corpus, text_tokenizer: TextTokenizer, tmp_path: Path) -> None:
    backbone = replace(SMALL.llm.backbone, hidden_size=64, intermediate_size=128)
    config = replace(SMALL.llm, backbone=backbone)
    task = LMTask(config, text_tokenizer, two, mix=replace(PLAIN, bistream=0.0), guide_layer=None, epochs=True)
    learn(task, tmp_path, 150, 5e-3)
    for index, entry in enumerate(two.entries):
        ids = text_tokenizer.encode(entry.text)
        said, reason = collect(generate(task.network, ids, sampler=lambda scores, _: int(scores.argmax())))
        assert said == two.tokens_of(index).tolist()
        assert reason.value == "stop"


@torch.inference_mode()
def flow_error(task: FlowTask, corpus: Corpus, index: int) -> float:
    """Mean absolute difference of the log-mels."""
    row = task._whole(np.random.default_rng(0), index)
    nothing = torch.zeros(1, 0, dtype=torch.long), torch.zeros(1, 0, 80)
    token, vector = (
        torch.from_numpy(row["token"].astype(np.int64))[None],
        torch.tensor(np.array(row["embedding"]))[None],
    )
    mel = task.network.inference(token, *nothing, vector, streaming=False, finalize=True)
    return float((mel[0].T - torch.from_numpy(row["feat"].astype(np.float32))).abs().mean())


def test_the_flow_makes_the_very_mel(two: Corpus, tmp_path: Path) -> None:
    off = {"dropout_rate": 0.0, "positional_dropout_rate": 0.0, "attention_dropout_rate": 0.0}
    config = replace(
        SMALL.flow,
        encoder=replace(SMALL.flow.encoder, **off),
        estimator=EstimatorConfig(channels=64, attention_head_dim=32, num_heads=2, n_blocks=1, num_mid_blocks=1),
    )
    task = FlowTask(config, two, batch=4, max_tokens=40)
    before = flow_error(task, two, 0)
    learn(task, tmp_path, 900, 4e-3)
    mel = two.slice("mel", 0).astype(np.float32)
    spread = float(np.abs(mel - mel.mean(0)).mean())  # of a network that knows no more than the average frame
    assert flow_error(task, two, 0) < 0.5 * spread < before


def test_the_vocoder_makes_the_very_spectrum(two: Corpus, tmp_path: Path) -> None:
    pitch = F0Task(SMALL.hift, two, batch=8, tokens=16)
    learn(pitch, tmp_path / "f0", 200, 5e-3, clip_norm=100.0)
    task = VocoderTask(SMALL.hift, two, pitch.network, batch=2, tokens=8)

    @torch.inference_mode()
    def distance() -> float:
        task.network.eval()
        mel = torch.from_numpy(two.slice("mel", 0).astype(np.float32)).T[None]
        made = torch.from_numpy(spoken(task.network, mel, np.random.default_rng(0)).samples)[None]
        recorded = torch.from_numpy(two.slice("wave", 0).astype(np.float32) / 32767)[None]
        return float(mel_loss(made, recorded, fmax=8000.0))

    before = distance()
    learn(task, tmp_path / "vocoder", 700, 5e-3, clip_norm=20.0)
    assert distance() < 0.4 * before


@torch.inference_mode()
def phone_accuracy(task: TokenizerTask) -> float:
    batch = task.batch(np.random.default_rng(100))
    out, _, _ = task.network(batch["mel"], torch.full((len(batch["mel"]),), batch["mel"].shape[-1]), batch["speaker"])
    return float((out[..., : len(PHONES)].argmax(-1) == batch["phone"]).float().mean())


def test_the_tokenizer_tells_the_phones_apart(two: Corpus, tmp_path: Path) -> None:
    task = TokenizerTask(SMALL_TOKENIZER, two, batch=4, tokens=40)
    learn(task, tmp_path, 300, 4e-3)
    assert phone_accuracy(task) > 0.85


def test_the_tokenizer_hears_the_text_where_nobody_knows_the_phones(two: Corpus, tmp_path: Path) -> None:
    task = TranscriptTask(SMALL_TOKENIZER, two)
    learn(task, tmp_path, 900, 1.2e-3, warmup_steps=50)
    for index, entry in enumerate(two.entries):
        assert SequenceMatcher(None, task.transcript(index), entry.text).ratio() > 0.9


def test_the_speaker_encoder_finds_the_speaker_again(tmp_path: Path) -> None:
    pytest.importorskip("pyworld", reason="F0 of a corpus needs the extra `train`")
    corpus = write_speakers(tmp_path / "corpus", 3)
    task = SpeakerTask(SMALL_SPEAKER_ENCODER, corpus, batch=12, tokens=25)
    learn(task, tmp_path / "run", 160, 2e-3)
    embed(corpus, task.network.encoder)
    again = Corpus(tmp_path / "corpus")
    vectors = F.normalize(torch.tensor(np.stack([again.vector_of(i) for i in range(len(again))])), dim=-1)
    likeness = vectors @ vectors.T - 2 * torch.eye(len(again))
    nearest = [again.entries[int(i)].speaker for i in likeness.argmax(1)]
    assert nearest == [entry.speaker for entry in again.entries]

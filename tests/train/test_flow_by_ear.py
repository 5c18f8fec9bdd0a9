from __future__ import annotations

import copy
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cosy.models.f0_predictor import F0Predictor
from cosy.models.flow_loss import FlowDraws, FlowLossDetails
from cosy.train.assemble import averaged
from cosy.train.data.corpus import Corpus
from cosy.train.data.phones import PHONES
from cosy.train.flow import FlowTask
from cosy.train.flow_by_ear import (
    HUM_HZ,
    SYLLABLES_WEIGHT,
    FlowByEarTask,
    _height_and_shape,
    _hum,
    _led_to,
    _pitch_error,
    _softly,
    folded,
)
from cosy.train.listener import Listener, ListenerTask
from cosy.train.syllable_ear import SyllableEar
from cosy.train.tokenizer import PITCH_UNIT
from cosy.train.trainer import Schedule, Trainer
from tests.model_dir import SMALL


class FirstBand(nn.Module):
    """Takes the first band of the mel for log F0."""

    def forward(self, mel: Tensor) -> Tensor:
        return mel[:, 0].exp()


def own_ears() -> tuple[F0Predictor, Listener]:
    return F0Predictor(SMALL.hift.f0_in_channels, SMALL.hift.f0_cond_channels, SMALL.hift.f0_num_class), Listener()


def test_reading_and_hearing_teach_the_flow_alone(corpus: Corpus) -> None:
    ears = own_ears()
    task = FlowByEarTask(SMALL.flow, corpus, *ears, batch=3, max_tokens=20)
    loss, figures = task.loss(task.batch(np.random.default_rng(0)), 0.5)
    loss.backward()
    assert {"flow", "prior", "pitch", "voicing", "phones", "heard_pitch", "heard_hum", "heard_phones"} == set(figures)
    readings = (task.reader.pitch, task.reader.own, task.reader.phones)
    assert all(p.grad is not None for reading in readings for p in reading.parameters())
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in task.flow.decoder.parameters())
    assert all(p.grad is None for ear in ears for p in ear.parameters())
    trained = {id(p) for p in task.network.parameters()}
    assert not any(id(p) in trained for ear in ears for p in ear.parameters())


def test_an_ear_for_syllables_teaches_the_flow_alone(corpus: Corpus) -> None:
    mandarin = copy.copy(corpus)
    mandarin.entries = [
        replace(e, text="妈马。", language="zh", words=(("妈", 0.02 * e.tokens), ("马。", 0.04 * e.tokens)))
        for e in corpus.entries
    ]
    ears = (*own_ears(), SyllableEar())
    task = FlowByEarTask(SMALL.flow, mandarin, *ears, batch=3, max_tokens=20)
    batch = task.batch(np.random.default_rng(0))
    mel = batch["feat"].clone().requires_grad_()
    counted = (torch.arange(mel.shape[1]) >= 20).float().expand(len(mel), -1)
    parts = dict(task._hearing(mel, batch, counted))
    (heard,) = parts[SYLLABLES_WEIGHT].values()
    heard.backward()
    assert mel.grad is not None
    assert mel.grad.abs().sum() > 0
    assert all(p.grad is None for ear in ears for p in ear.parameters())
    batch["said"][:, 20:] = 0  # what is not known does not count, nor what is said in the prompt
    assert dict(task._hearing(mel, batch, counted))[SYLLABLES_WEIGHT]["heard_syllables"] == 0


def test_without_ears_nothing_is_heard(corpus: Corpus) -> None:
    task = FlowByEarTask(SMALL.flow, corpus, batch=3, max_tokens=20)
    _, figures = task.loss(task.batch(np.random.default_rng(0)), 0.5)
    assert {"flow", "prior", "pitch", "voicing"} == set(figures)


def test_the_encoder_can_be_taught_to_read_alone(corpus: Corpus) -> None:
    task = FlowByEarTask(SMALL.flow, corpus, reading_only=True, batch=3, max_tokens=20)
    loss, figures = task.loss(task.batch(np.random.default_rng(0)), 0.5)
    loss.backward()
    assert {"prior", "pitch", "voicing", "phones"} == set(figures)
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in task.flow.encoder.parameters())
    assert all(p.grad is None for p in task.flow.decoder.parameters())


def test_a_folded_flow_is_the_one_that_was_trained(corpus: Corpus, tmp_path: Path) -> None:
    task = FlowByEarTask(SMALL.flow, corpus, batch=3, max_tokens=20)
    list(Trainer(task, Schedule(1e-2, math.inf, 3, warmup_steps=1, ema=0.5), tmp_path).run())
    task.network.load_state_dict(averaged(tmp_path))
    token = torch.randint(6561, (2, 7), generator=torch.Generator().manual_seed(0))
    flow = folded(tmp_path, SMALL.flow)
    assert type(flow.input_embedding) is nn.Embedding
    alone = task.flow.input_embedding.state_dict()["parametrizations.weight.original"]
    assert not torch.equal(flow.input_embedding.weight, alone)
    torch.testing.assert_close(flow.encode(token), task.flow.eval().encode(token))


def test_what_is_heard_is_the_end_of_the_path(corpus: Corpus) -> None:
    task = FlowByEarTask(SMALL.flow, corpus, FirstBand(), batch=4, max_tokens=20)
    batch = task.batch(np.random.default_rng(1))
    assert batch["voiced"].any()
    batch["feat"][..., 0] = batch["hz"].clamp(min=20).log()
    draws = FlowDraws.sample(torch.Generator(), batch["length"], batch["feat"].shape[1], SMALL.flow)
    draws.keep[:] = torch.arange(len(draws.keep)) % 2 == 0
    target = torch.zeros_like(batch["feat"])
    mask = torch.ones(*target.shape[:2], 1, dtype=torch.bool)

    def heard(velocity: Tensor) -> float:
        mel = _led_to(batch["feat"], draws, FlowLossDetails(target, mask, velocity, target))
        return float(_pitch_error(FirstBand()(mel.mT), batch, draws.keep[:, None]))

    assert heard(target) == pytest.approx(0.0, abs=1e-5)
    counted = batch["voiced"] * draws.keep[:, None]
    expected = (counted * _softly(1 - draws.t)[:, None]).sum() / counted.sum()
    assert heard(target + PITCH_UNIT) == pytest.approx(float(expected), rel=1e-4), "nearer to the end less is wrong"


def test_a_flattened_tone_is_worse_than_a_shifted_one() -> None:
    voiced = torch.ones(1, 12)
    rise = torch.linspace(-1, 1, 12)[None]
    shifted, flattened = _height_and_shape(torch.full((1, 12), 0.6), voiced), _height_and_shape(-rise, voiced)
    assert shifted == pytest.approx(0.6)
    assert flattened == pytest.approx(float(rise.abs().mean()) + 6 / 11)
    voiced[:, ::3] = 0
    assert _height_and_shape(rise * (1 - voiced), voiced) == 0, "what is unvoiced has no pitch"


def test_rare_phones_count_more(corpus: Corpus) -> None:
    task = FlowByEarTask(SMALL.flow, corpus, None, Listener(), batch=3, max_tokens=20)
    batch = task.batch(np.random.default_rng(0))
    logits = torch.zeros(*batch["phone"].shape, len(PHONES)).mT
    rare, common = int(task.rarity.argmax()), int(task.rarity.argmin())
    assert task.rarity[rare] > task.rarity[common]
    batch["phone"][:] = common
    batch["phone"][:, 0] = rare
    logits[:, common] = 3.0  # common phones are heard
    plain = F.cross_entropy(logits, batch["phone"].long())
    assert task._phone_error(logits, batch, torch.ones_like(batch["phone"])) > plain


def test_a_hum_is_pitch_where_there_is_none(corpus: Corpus) -> None:
    task = FlowByEarTask(SMALL.flow, corpus, batch=4, max_tokens=20)
    batch = task.batch(np.random.default_rng(1))
    everywhere = torch.ones_like(batch["hz"])
    assert _hum(batch["hz"], batch, everywhere) == 0
    assert 0 < _hum(everywhere * HUM_HZ / 2, batch, everywhere) == pytest.approx(0.5)


def test_the_listener_learns_the_phones(corpus: Corpus, tmp_path: Path) -> None:
    trainer = Trainer(ListenerTask(corpus, 4, 16), Schedule(5e-3, math.inf, 40, warmup_steps=1, log_steps=10), tmp_path)
    rows = list(trainer.run())
    assert rows[-1]["phone"] < 0.6 * rows[0]["phone"]


def test_a_language_can_be_drawn_more_often(corpus: Corpus) -> None:
    plain, often = (
        FlowTask(SMALL.flow, corpus, language_weights=weights) for weights in (None, {corpus.entries[0].language: 9.0})
    )
    assert plain.among[0] == pytest.approx(np.full(len(plain.speakers[0]), 1 / len(plain.speakers[0])))
    languages = [corpus.entries[i].language for i in often.speakers[0]]
    assert often.among[0].sum() == pytest.approx(1.0)
    assert len({round(float(p), 9) for p in often.among[0]}) == len(set(languages))

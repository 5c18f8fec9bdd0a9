from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from cosy.models.f0_predictor import LAYERS
from cosy.models.flow import fixed_noise
from cosy.models.flow_loss import FlowDraws
from cosy.train.data.corpus import Corpus
from cosy.train.flow_solved import NEAR_FRAMES, SolvedFlowTask
from cosy.train.listener import Listener
from cosy.train.voice_ear import VoiceEar
from tests.model_dir import SMALL
from tests.train.test_flow_by_ear import own_ears

CONFIG = replace(SMALL.flow, temperature=0.0, inference_cfg_rate=0.0, n_timesteps=2)


def test_the_path_in_training_is_that_of_the_solver(corpus: Corpus) -> None:
    task = SolvedFlowTask(CONFIG, corpus, batch=3, max_tokens=20, cond_rate=1.0)
    batch = task.batch(np.random.default_rng(0))
    feat = batch["feat"]
    for streaming in (False, True):
        draws = FlowDraws.sample(
            torch.Generator(), batch["length"], feat.shape[1], CONFIG, streaming_rate=float(streaming), cond_rate=1.0
        )
        mu, mel = task._solved(batch, draws)
        cond = feat * (torch.arange(feat.shape[1]) < draws.cond_len[:, None])[..., None]
        noise = fixed_noise(feat.shape[1])
        made = task.flow.solve(
            mu, cond, task.flow.speaker(batch["embedding"]), streaming=streaming, noise=noise, n_timesteps=2
        )
        torch.testing.assert_close(mel, made.mT)


def test_every_ear_teaches_the_flow_alone(corpus: Corpus) -> None:
    ears, voice_ear = own_ears(), VoiceEar(len(corpus.by_speaker))
    task = SolvedFlowTask(CONFIG, corpus, *ears, voice_ear=voice_ear, batch=3, max_tokens=20)
    loss, figures = task.loss(task.batch(np.random.default_rng(0)), 0.5)
    loss.backward()
    made, read = {"mel", "moves", "features", "voice"}, {"prior", "pitch", "voicing", "phones"}
    assert set(figures) == {*made, *read, "heard_pitch", "heard_hum", "heard_phones"}
    for part in (task.flow.encoder, task.flow.decoder):
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters())
    assert all(p.grad is None for ear in (*ears, voice_ear) for p in ear.parameters())


def test_ears_hear_no_difference_between_equal_mels(corpus: Corpus) -> None:
    task = SolvedFlowTask(CONFIG, corpus, *own_ears(), batch=3, max_tokens=20)
    feat = task.batch(np.random.default_rng(0))["feat"]
    everywhere = torch.ones(feat.shape[:2])
    assert task._features_off(feat, feat, everywhere) == 0
    assert task._features_off(feat + 0.5, feat, everywhere) > 0
    changed = feat.clone()
    changed[:, 20:] += 0.5
    heard = torch.zeros_like(everywhere)
    heard[:, : 20 - LAYERS] = 1  # the listener hears the level of all
    assert SolvedFlowTask(CONFIG, corpus, own_ears()[0])._features_off(changed, feat, heard) == 0


def test_near_a_rare_phone_every_frame_counts_as_much(corpus: Corpus) -> None:
    task = SolvedFlowTask(CONFIG, corpus, None, Listener(), batch=3, max_tokens=20)
    batch = task.batch(np.random.default_rng(0))
    rare, common = int(task.rarity.argmax()), int(task.rarity.argmin())
    batch["phone"][:] = common
    batch["phone"][:, 10] = rare
    weights = task._weights(batch)
    near = (torch.arange(weights.shape[1]) - 10).abs() <= NEAR_FRAMES
    assert (weights[:, near] == task.rarity[rare]).all()
    assert (weights[:, ~near] == task.rarity[common]).all()

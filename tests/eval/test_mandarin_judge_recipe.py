"""What the judge learns from: other voices than the models', and the right labels."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from cosy.cli.evaluate_mandarin import TEACHERS
from cosy.eval.mandarin_judge import BLANK, FEATURES, SYLLABLES, JudgeConfig
from cosy.eval.syllables import spoken
from cosy.train.data.plan import VARIANTS

RECIPES = Path(__file__).parents[2] / "recipes"

pytestmark = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("espeakng_loader", "jieba", "pypinyin"))),
    reason="the train extra is not installed",
)


def recipe(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"recipe_{name}", RECIPES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where named tuples look for their module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def judge_recipe() -> ModuleType:
    return recipe("mandarin_judge")


@pytest.fixture(scope="module")
def task(judge_recipe: ModuleType) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return judge_recipe.JudgeTask(JudgeConfig(32, 32, 1, 1, 3), batch=2, sentence_count=5)


def test_the_judge_shares_no_voice_with_the_models_nor_with_its_own_trial(judge_recipe: ModuleType) -> None:
    own = {*judge_recipe.LOW_VOICES, *judge_recipe.HIGH_VOICES}
    assert own.isdisjoint(VARIANTS)
    assert all(own.isdisjoint(variants) for variants in TEACHERS.values())
    assert TEACHERS["teacher"] == VARIANTS


@pytest.mark.parametrize(
    ("pinyin", "same"),
    [("wo3 hen3 hao3 ma5", "wo2 hen2 hao3 ma5"), ("jie3 jie5 hao3, ni3 hao3", "jie3 jie5 hao3, ni2 hao3")],
)
def test_the_labels_of_third_tones_are_what_espeak_speaks(pinyin: str, same: str) -> None:
    from cosy.train.data.espeak import EspeakVoice, speak

    def audio(text: str) -> np.ndarray:
        return speak(EspeakVoice("adam"), "zh", [(s, s) for s in text.split()]).audio

    assert [each.usual for each in spoken(pinyin)] == [s.rstrip(",") for s in same.split()]
    np.testing.assert_array_equal(audio(pinyin), audio(same))


def test_an_example_is_labelled_step_by_step(task: Any) -> None:
    for example in task.batch(np.random.default_rng(3)):
        assert example.features.shape == (example.features.shape[0], FEATURES)
        assert len(example.owners) == len(example.features) // 2
        places = example.owners.unique_consecutive()
        assert places[places != BLANK].tolist() == example.classes.tolist(), [SYLLABLES[c - 1] for c in example.classes]


def test_the_same_chance_draws_the_same_batch(task: Any) -> None:
    first, again, other = (task.batch(np.random.default_rng(seed))[0].features for seed in (5, 5, 6))
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert first.shape != other.shape or not torch.equal(first, other)


def test_a_batch_can_be_learned_by_heart(task: Any) -> None:
    batch = task.batch(np.random.default_rng(4))
    optimizer = torch.optim.AdamW(task.network.parameters(), lr=5e-3)
    figures = []
    for _ in range(60):
        loss, told = task.loss(batch, 0.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        figures.append(told)
    assert figures[-1]["ctc"] < 0.5 * figures[0]["ctc"]
    assert figures[-1]["placed"] < 0.5 * figures[0]["placed"]

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cosy.api import Cosy
from cosy.bench.random_model import filler, random_model, random_voice, text_for
from cosy.bench.subject import Choice, Voices, engine_settings, english, open_subject, plain_model, variant
from cosy.errors import ParameterError
from tests.bench.fakes import loaded_subject, random_subject
from tests.model_dir import PRESET, SMALL


def test_the_same_seed_gives_the_same_random_model() -> None:
    one, same, other = (random_model(SMALL, seed=seed).flow.state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert not all(torch.equal(one[key], other[key]) for key in one)


def test_making_a_random_model_leaves_the_global_chance_alone() -> None:
    before = torch.random.get_rng_state()
    random_model(SMALL)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("characters", [1, 2, 13, 90, 91, 92, 93, 150])
def test_filler_is_of_the_length_asked_for_to_the_text_token(characters: int) -> None:
    subject = random_subject()
    segments = subject.frontend.segments("x" if characters == 1 else filler(characters), normalise=False)
    assert len(filler(characters)) == characters
    assert len(segments) == 1
    if characters > 1:
        assert len(segments[0].ids) == characters


@pytest.mark.parametrize(("seconds", "letters"), [(0.1, 2), (1.6, 2), (1.7, 3), (10.0, 13), (60.0, 75)])
def test_text_for_random_weights_is_long_enough(seconds: float, letters: int) -> None:
    assert len(text_for(seconds)) == letters


def test_a_random_voice_has_a_prompt_of_the_length_asked_for() -> None:
    voice = random_voice(2.0)
    assert len(voice.prompt_tokens) == 50
    assert voice.info.duration_s == 2.0
    assert voice.prompt_text


def test_english_text_is_about_as_long_as_asked() -> None:
    for characters in (10, 140, 840):
        assert abs(len(english(characters)) - characters) < 100


def test_a_new_voice_shares_neither_prefix_nor_flow_state() -> None:
    subject = random_subject(new_voice=True)
    names = [subject.request(number).voice for number in range(3)]
    voices = [Voices([subject.voice]).load(str(name)) for name in names]
    assert len(set(names)) == len({voice.prompt_text for voice in voices}) == 3
    assert len({float(voice.embedding[0]) for voice in voices}) == 3
    assert {len(voice.prompt_tokens) for voice in voices} == {subject.prompt_tokens}
    assert len(variant(subject.voice, 700).prompt_text) == len(subject.voice.prompt_text)


def test_a_cached_voice_is_the_same_for_all_requests() -> None:
    subject = random_subject()
    assert subject.request(0).voice == subject.request(9).voice
    assert subject.request(0).seed != subject.request(9).seed


@pytest.mark.parametrize(
    "options",
    [
        {"dtype": "int3"},
        {"memory": "some"},
        {"seconds": 0.0},
        {"prompt_s": 3.0},
        {"random_weights": True, "voice": "anna"},
        {"recipe": "packed", "dtype": "bfloat16"},
    ],
)
def test_choices_that_make_no_sense_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ParameterError):
        Choice(**options)  # type: ignore[arg-type]


def test_memory_that_does_not_suffice_is_refused_with_the_remedy() -> None:
    with pytest.raises(ParameterError, match="memory"):
        random_subject(memory_gib=1e-4).engine(8)


@pytest.mark.parametrize(
    ("memory", "name"), [("half", "FullCache float16"), ("full", "FullCache as computed"), ("bounded", "BoundedCache")]
)
def test_the_memory_policy_is_the_one_asked_for(memory: str, name: str) -> None:
    assert engine_settings(random_subject(memory=memory).engine())["memory"].startswith(name)


def test_a_subject_can_be_opened_from_a_directory(small_model_dir: Path) -> None:
    subject = open_subject(Choice(model=small_model_dir, seconds=2.0, recipe="float32"))
    assert subject.voice.name == PRESET
    assert subject.described()["prompt_s"] == 3.0
    assert subject.segments()
    assert plain_model(subject) is subject.model


def test_the_reference_has_networks_of_its_own_if_ours_were_changed(small_model_dir: Path) -> None:
    subject = loaded_subject(small_model_dir, dtype="bfloat16")
    assert plain_model(subject).dtype is torch.float32
    assert plain_model(subject) is not subject.model


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(ParameterError, match="cannot be used"):
        open_subject(Choice(random_weights=True, device="no such thing"))


def test_the_bundled_model_is_the_default() -> None:
    assert Cosy.load().model.directory == open_subject(Choice()).model.directory

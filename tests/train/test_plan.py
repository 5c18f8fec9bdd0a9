from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cosy.errors import ParameterError
from cosy.train.data import english
from cosy.train.data.espeak import EspeakVoice
from cosy.train.data.plan import EVERY_TEACHER, Wish, english_voice, in_language, jobs, planned, speaker
from cosy.train.data.synth import Job

for package in ("wordfreq", "pocketsphinx", "jieba", "pypinyin"):
    pytest.importorskip(package, reason="texts need the extra `train`")

WISH = Wish(hours=0.2, speakers=8, seed=3)


@pytest.fixture(scope="module")
def found() -> list[Job]:
    return jobs(WISH, {})


def lines_of(found: list[Job]) -> list[str]:
    return [line.text for job in found for line in job.lines]


def test_a_plan_is_a_pure_function_of_the_wish(found: list[Job]) -> None:
    assert jobs(WISH, {}) == found


def test_another_seed_makes_other_voices_and_texts(found: list[Job]) -> None:
    others = jobs(Wish(hours=0.2, speakers=8, seed=4), {})
    assert not {job.voice for job in found} & {job.voice for job in others}
    assert len(set(lines_of(found)) & set(lines_of(others))) < 0.1 * len(lines_of(found))


def test_a_shard_is_one_voice_in_one_language(found: list[Job]) -> None:
    assert len({job.name for job in found}) == len(found)
    assert all(len({line.language for line in job.lines}) == 1 for job in found)
    assert len({job.voice.name for job in found}) == WISH.speakers


def test_speakers_take_the_languages_in_turn(found: list[Job]) -> None:
    homes = [name[:2] for name in sorted({job.voice.name for job in found}, key=lambda name: name[3:])]
    assert homes == ["en", "zh"] * 4


def test_every_voice_of_espeak_speaks_both_languages_and_others_english_alone(found: list[Job]) -> None:
    spoken: dict[str, set[str]] = {}
    for job in found:
        spoken.setdefault(job.voice.name, set()).add(job.lines[0].language)
    for job in found:
        expected = {"en", "zh"} if isinstance(job.voice.teacher, EspeakVoice) else {"en"}
        assert spoken[job.voice.name] == expected


def test_no_text_is_said_twice(found: list[Job]) -> None:
    assert max(Counter(lines_of(found)).values()) == 1


def test_some_lines_are_spoken_in_a_style(found: list[Job]) -> None:
    styles = [line.style for job in found for line in job.lines]
    assert 0.15 < sum(map(bool, styles)) / len(styles) < 0.45  # of about 240 draws at 0.3


def test_held_out_sentences_are_not_said() -> None:
    wish = Wish(hours=0.02, speakers=2, languages=("en",))
    unwanted = list(lines_of(jobs(wish, {})))
    said = lines_of(jobs(wish, {"en": unwanted}))
    assert {english.normal_form(t) for t in unwanted}.isdisjoint(english.normal_form(t) for t in said)


def test_more_hours_are_more_shards_of_the_same_voices() -> None:
    short, long = (
        jobs(Wish(hours=hours, speakers=1, languages=("en",), teachers=("rms",)), {}) for hours in (0.05, 0.2)
    )
    assert [len(short), len(long)] == [1, 3]
    assert {job.voice for job in short} == {job.voice for job in long}


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"hours": 0.0}, "0.0 hours of 20 speakers are nothing"),
        ({"speakers": 0}, "1.0 hours of 0 speakers are nothing"),
        ({"languages": ("en", "tlh")}, "language 'en, tlh' cannot be had; known: en, zh"),
        ({"languages": ()}, "language '' cannot be had"),
        ({"teachers": ("hal",)}, "teacher 'hal' cannot be had; known: espeak, slt"),
        ({"teachers": ("slt", "rms")}, "only the teacher 'espeak' speaks 'zh'"),
    ],
)
def test_a_wish_that_cannot_be_granted_is_refused(wish: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        Wish(**wish)


def test_a_plan_is_written_down_and_another_wish_is_refused(tmp_path: Path) -> None:
    wish = Wish(hours=0.01, speakers=1, languages=("en",), teachers=("rms",))
    assert planned(tmp_path, wish, {}) == planned(tmp_path, wish, {})
    assert json.loads((tmp_path / "plan.json").read_text())["seed"] == 0
    with pytest.raises(ParameterError, match=r"another plan \(seed 0, now 1\)"):
        planned(tmp_path, Wish(hours=0.01, speakers=1, languages=("en",), teachers=("rms",), seed=1), {})
    text = english.normal_form(planned(tmp_path, wish, {})[0].lines[0].text)
    with pytest.raises(ParameterError, match=r"another plan \(jobs "):
        planned(tmp_path, wish, {"en": {text}})


# ---- voices


@pytest.mark.parametrize("teachers", [("rms",), ("slt",), ("awb", "kal16"), EVERY_TEACHER[1:]])
def test_a_voice_is_made_of_the_teachers_that_are_there(teachers: tuple[str, ...]) -> None:
    rng = random.Random(0)
    found = {english_voice("x", rng, teachers).teacher for _ in range(60)}
    assert found == set(teachers)


def test_a_speaker_of_mandarin_is_one_of_espeak() -> None:
    rng = random.Random(0)
    assert all(isinstance(speaker("x", "zh", rng).teacher, EspeakVoice) for _ in range(20))


def test_speakers_differ() -> None:
    rng = random.Random(0)
    assert len({speaker("x", "en", rng) for _ in range(50)}) == 50


def test_espeak_is_slower_in_english() -> None:
    voice = speaker("x", "zh", random.Random(0))
    assert isinstance(voice.teacher, EspeakVoice)
    english_one = in_language(voice, "en").teacher
    assert isinstance(english_one, EspeakVoice)
    assert english_one.words_per_minute == round(0.7 * voice.teacher.words_per_minute)
    assert in_language(voice, "zh") == voice

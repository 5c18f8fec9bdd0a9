from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cosy.train.data.corpus import LEVEL_DBFS, Corpus
from cosy.train.data.espeak import EspeakVoice
from cosy.train.data.speakers import Voice
from cosy.train.data.synth import Job, Line, breath, laughter, synthesise

for package in ("espeakng_loader", "pypinyin", "pyworld"):
    pytest.importorskip(package, reason="espeak-ng and pseudo-speakers need the extra `train`")

ANN, BOB = Voice("ann", EspeakVoice("f2")), Voice("bob", EspeakVoice("m5", 60), pitch=1.1, formants=1.05)
JOBS = [
    Job("00-ann", ANN, (Line("Good morning."), Line("Where is the old house?", "en", "whisper"))),
    Job("01-ann", ANN, (Line("你好，我是小明。", "zh"), laughter("zh", 3))),
    Job("02-bob", BOB, (Line("Good evening.", "en", "soft"), breath("en"))),
]


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synth")
    done = {job.name: tokens for job, tokens in synthesise(folder, JOBS, workers=1)}
    assert sum(done.values()) == Corpus(folder).tokens
    return folder


def test_every_line_is_spoken_by_its_voice(folder: Path) -> None:
    entries = Corpus(folder).entries
    assert [entry.text for entry in entries] == [
        "Good morning.", "Where is the old house?", "你好，我是小明。", "[laughter]", "Good evening.", "[breath]",
    ]  # fmt: skip
    assert [entry.speaker for entry in entries] == ["ann"] * 4 + ["bob"] * 2
    assert [entry.language for entry in entries] == ["en", "en", "zh", "zh", "en", "en"]
    assert [entry.style for entry in entries] == ["", "whisper", "", "", "soft", ""]


def test_words_and_phones_are_known(folder: Path) -> None:
    corpus = Corpus(folder)
    for index, entry in enumerate(corpus.entries):
        assert "".join(word for word, _ in entry.words) == entry.text
        assert len(set(corpus.slice("phone", index).tolist())) > 1


def test_levels_are_those_of_the_styles(folder: Path) -> None:
    corpus = Corpus(folder)
    waves = [corpus.slice("wave", i).astype(np.float32) / 32767 for i in range(len(corpus))]
    levels = [20 * np.log10(np.sqrt(np.mean(wave**2))) for wave in waves]
    assert levels[0] == pytest.approx(LEVEL_DBFS, abs=0.5)
    assert levels[4] == pytest.approx(LEVEL_DBFS - 9.0, abs=0.5)


def test_two_workers_in_another_order_say_the_same(folder: Path, tmp_path: Path) -> None:
    for _ in synthesise(tmp_path, JOBS[::-1], workers=2):
        pass
    assert contents(tmp_path) == contents(folder)


def test_an_interrupted_run_is_continued(folder: Path, tmp_path: Path) -> None:
    run = synthesise(tmp_path, JOBS, workers=1)
    job, _ = next(run)
    run.close()
    assert (tmp_path / job.name).exists()
    assert {done.name for done, _ in synthesise(tmp_path, JOBS, workers=1)}.isdisjoint({job.name})
    assert contents(tmp_path) == contents(folder)

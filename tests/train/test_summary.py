from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cosy.train.data.corpus import LEVEL_DBFS, Corpus, build
from cosy.train.data.plots import PLOT, draw
from cosy.train.data.recordings import DROPPED
from cosy.train.data.summary import SUMMARY, as_text, measure, summarise, write_summary
from tests.train.tones import sayings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two speakers of two languages, one utterance sad, and two rows dropped; without pitch."""
    ann = [replace(u, speaker="ann", style="sad" if i else "") for i, u in enumerate(sayings(2))]
    bob = [replace(sayings(1)[0], speaker="bob", language="zh", text="你好 two", instruction="Smile.")]
    build(tmp_path / "00000", ann, ("wave",))
    build(tmp_path / "00001", bob, ("wave",))
    rows = [{"reason": "silent"}, {"reason": "clipped"}, {"reason": "silent"}]
    (tmp_path / DROPPED).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def test_a_summary_counts_what_is_there(folder: Path) -> None:
    tokens = [entry.tokens for entry in Corpus(folder).entries]
    assert summarise(folder) == {
        "hours": round(sum(tokens) / 25 / 3600, 4),
        "utterances": 3,
        "speakers": 2,
        "shards": 2,
        "seconds": {
            name: pytest.approx(at, abs=0.01)
            for name, at in zip(("shortest", "median", "longest"), np.array(sorted(tokens)) / 25, strict=True)
        },
        "languages": {
            "en": round(sum(tokens[:2]) / 25 / 3600, 4),
            "zh": round(tokens[2] / 25 / 3600, 4),
        },
        "styles": {
            "neutral": round((tokens[0] + tokens[2]) / 25 / 3600, 4),
            "sad": round(tokens[1] / 25 / 3600, 4),
        },
        "instructions": 1,
        "arrays": ["wave"],
        "dropped": {"silent": 2, "clipped": 1},
    }


def test_the_summary_is_written_as_it_is_shown(folder: Path) -> None:
    assert write_summary(folder) == json.loads((folder / SUMMARY).read_text(encoding="utf-8"))


def test_a_summary_can_be_read(folder: Path) -> None:
    lines = as_text(summarise(folder)).splitlines()
    assert "dropped       silent 2, clipped 1" in lines
    assert "utterances    3 in 2 shards" in lines
    assert "arrays        wave" in lines


def test_a_corpus_without_an_utterance_has_a_summary(tmp_path: Path) -> None:
    build(tmp_path / "00000", [], ("wave", "f0"))
    assert as_text(summarise(tmp_path)).startswith("hours         0.00")
    assert draw(tmp_path).exists()


def test_measures_are_those_of_the_recordings(tmp_path: Path) -> None:
    pytest.importorskip("pyworld", reason="F0 of a corpus needs the extra `train`")
    build(tmp_path / "00000", sayings(2, f0_hz=170.0), ("wave", "f0"))
    found, corpus = measure(Corpus(tmp_path)), Corpus(tmp_path)
    np.testing.assert_allclose(found.pitches_hz, 170.0, rtol=0.02)
    np.testing.assert_allclose(found.levels_dbfs, LEVEL_DBFS, atol=0.5)
    np.testing.assert_allclose(found.durations_s, [entry.tokens / 25 for entry in corpus.entries])
    words = [len(entry.text.split()) for entry in corpus.entries]
    np.testing.assert_allclose(found.words_per_s * found.durations_s, words)


def test_signs_that_stand_for_a_syllable_count_as_words(folder: Path) -> None:
    found = measure(Corpus(folder))
    assert found.words_per_s[2] * found.durations_s[2] == pytest.approx(3)
    assert len(found.pitches_hz) == 0, "there is no F0 in this corpus"


def test_a_corpus_is_drawn(folder: Path) -> None:
    pytest.importorskip("matplotlib", reason="plots need the extra `train`")
    assert draw(folder) == folder / PLOT
    assert (folder / PLOT).read_bytes().startswith(b"\x89PNG")

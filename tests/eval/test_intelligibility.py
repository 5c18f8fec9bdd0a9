"""With fake systems and, where festival is installed, with a real voice."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from cosy.cli.evaluate import eval_app
from cosy.errors import MissingFileError
from cosy.eval import intelligibility
from cosy.eval.intelligibility import Row, acceptance_sentences, chance_row, compare, evaluate, noise_row
from cosy.eval.quality import Mos
from cosy.eval.recognise import SEARCHES
from cosy.eval.report import as_data, markdown
from cosy.eval.sentences import EVERYDAY, slot_sentences
from cosy.eval.wer import word_error_rate

JUDGES = ("pocketsphinx", "speechmos", "pyworld")
needs_judges = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, JUDGES)), reason="the eval extra is not installed"
)
RATE_HZ = 16_000


def noise(seconds: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(int(seconds * RATE_HZ)).astype(np.float32)


def heard_row(*pairs: tuple[str, str]) -> Row:
    return Row("fake", len(pairs), 2.0, {"slot": word_error_rate(pairs)}, heard={"slot": list(pairs)})


def test_a_smaller_count_is_a_prefix_so_that_recordings_keep_their_index() -> None:
    assert acceptance_sentences(40)[:25] == acceptance_sentences(5)


def test_chance_is_measured_on_the_wrong_sentences() -> None:
    row = chance_row(heard_row(("a b", "a b"), ("c d", "c d")))
    assert row.wer["slot"].rate == 1.0
    assert row.note == "hearings of 'fake', every wrong sentence"


@needs_judges
def test_noise_is_not_speech() -> None:
    waves = [(sentence, noise(1.5, i)) for i, sentence in enumerate(slot_sentences(2))]
    row = noise_row(waves, RATE_HZ, searches=("slot",))
    assert row.wer["slot"].rate > 0.6
    assert row.mos is not None
    assert row.mos.overall < 1.3


@needs_judges
def test_noise_is_of_all_kinds_of_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intelligibility, "NOISE_CLIPS", 2)
    sentences = (*EVERYDAY[:2], *slot_sentences(2))
    row = noise_row([(sentence, noise(0.5, i)) for i, sentence in enumerate(sentences)], RATE_HZ)
    assert row.sentences == 2
    assert set(row.wer) == set(SEARCHES)


@needs_judges
def test_the_searches_share_the_sentences_by_their_form() -> None:
    sentences = (acceptance_sentences(1)[0], acceptance_sentences(1)[-1])
    row = evaluate("noise", [(s, noise(1.0, 1)) for s in sentences], RATE_HZ, mos_clips=0)
    assert {search: len(pairs) for search, pairs in row.heard.items()} == {"slot": 1, "loop": 1, "free": 1}
    assert row.heard["free"][0][1] == sentences[0]
    assert row.mos is None


def test_an_evaluation_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no recordings"):
        evaluate("nothing", [], RATE_HZ)


def test_the_table_shows_a_dash_where_nothing_was_measured() -> None:
    row = Row("mine", 2, 3.4, heard_row(("a b", "a b"), ("c x", "c d")).wer, Mos(2.5, 3.0), None, "a note")
    assert markdown([row]).splitlines()[2:] == [
        "| mine | 25.0 ± 25.0 | - | - | 2.50 / 3.00 | - | 2 | 3 |",
        "",
        "- mine: a note",
    ]


def test_the_data_holds_every_hearing_and_survives_json() -> None:
    (data,) = json.loads(json.dumps(as_data([heard_row(("a", "a b"))])))
    assert data["wer"]["slot"] == {"rate": 0.5, "errors": 1, "words": 2, "standard_error": None}
    assert data["heard"]["slot"] == [{"heard": "a", "expected": "a b"}]


def test_words_never_trained_are_told_apart_where_the_trained_ones_are_given() -> None:
    rows, known = [heard_row(("a b", "a lynx"))], frozenset({"a"})
    assert "words missed, fake, slot: known 0.0 ± 0.0 % of 1, unknown 100.0 ± 0.0 % of 1" in markdown(rows, known)
    (data,) = as_data(rows, known)
    assert data["missed_words"]["slot"]["unknown"]["count"] == 1
    assert "missed_words" not in as_data(rows)[0]


def test_a_teacher_folder_must_be_complete(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "0.wav", np.zeros(100), RATE_HZ)
    result = CliRunner().invoke(eval_app, ["intelligibility", "--teacher-dir", str(tmp_path), "--count", "2"])
    assert isinstance(result.exception, MissingFileError)
    assert "1.wav is absent: the teacher folder needs 0.wav to 21.wav" in str(result.exception)


class Parrot:
    """Says what the teacher said, whatever it is asked for: a system as good as its teacher."""

    def __init__(self, sounds: dict[str, tuple[np.ndarray, int]]) -> None:
        self._sounds = sounds

    def text_to_wave(self, sentence: str, seed: int) -> tuple[np.ndarray, int]:
        return self._sounds[sentence]

    def copy_synthesis(self, wave: np.ndarray, rate_hz: int) -> tuple[np.ndarray, int]:
        return wave, rate_hz

    def resynthesise(self, wave: np.ndarray, rate_hz: int) -> tuple[np.ndarray, int]:
        return wave, rate_hz


@needs_judges
def test_without_a_teacher_its_rows_are_left_out_and_the_report_says_so() -> None:
    sentences = slot_sentences(2)
    rows = compare(Parrot({s: (noise(1.0, i), RATE_HZ) for i, s in enumerate(sentences)}), sentences)
    assert [row.name for row in rows] == ["text to wave", "chance", "white noise"]
    assert "left out" in markdown(rows)


def test_recordings_of_another_number_or_rate_are_refused() -> None:
    sentences = slot_sentences(2)
    short, mixed = [(noise(0.1, 0), RATE_HZ)], [(noise(0.1, 0), RATE_HZ), (noise(0.1, 0), 8_000)]
    with pytest.raises(ValueError, match="as many recordings, got 1"):
        compare(Parrot({}), sentences, short)
    with pytest.raises(ValueError, match="share one rate"):
        compare(Parrot({}), sentences, mixed)


@pytest.mark.slow
@needs_judges
@pytest.mark.skipif(shutil.which("festival") is None, reason="festival is not installed")
def test_a_real_voice_is_understood_and_beats_its_measured_chance() -> None:
    from cosy.train.data.teachers import synthesise

    sentences = (acceptance_sentences(0)[0], *slot_sentences(5))
    sounds = [(u.audio, u.rate_hz) for u in synthesise("slt", sentences)]
    parrot = Parrot(dict(zip(sentences, sounds, strict=True)))
    teacher, vocoder, codes, text, by_chance, white = compare(parrot, sentences, sounds)
    assert teacher.wer["slot"].rate <= 0.05
    assert teacher.wer["loop"].rate <= 0.15
    assert text.wer == codes.wer == vocoder.wer == teacher.wer
    assert vocoder.f0_correlation == pytest.approx(1.0)
    assert 0.5 < by_chance.wer["slot"].rate < 0.85
    assert white.wer["slot"].rate > 0.6
    assert teacher.mos is not None
    assert teacher.mos.overall > 2.6

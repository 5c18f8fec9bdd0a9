"""With tones for voices, and judges that know what was said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cosy.errors import MissingDependencyError, MissingFileError, ParameterError
from cosy.eval.meta import Prompt
from cosy.eval.similarity import Judge
from cosy.eval.takes import Bench, Figures, Job, Judges, Sound, Take, by_system, failures, table
from tests.eval.tones import PITCH_JUDGE, RATE_HZ, Hears, ear, prompts, tone

pytest.importorskip("pyworld", reason="the eval extra is not installed")


@pytest.fixture
def prompt(tmp_path: Path) -> Prompt:
    return prompts(tmp_path)[0]


def job(prompt: Prompt, sound: Sound | Exception, name: str = "one", text: str = "Wait here!", **options: bool) -> Job:
    def make() -> Sound:
        if isinstance(sound, Exception):
            raise sound
        return sound

    return Job("zero_shot en", name, text, "en", prompt, make, **options)


def bench(folder: Path | None, heard: str = "wait here", similarity: Judge = PITCH_JUDGE) -> Bench:
    return Bench(Judges([ear(heard)], similarity, mos=False), folder, {"seed": 0})


def test_everything_is_measured_of_a_take(prompt: Prompt, tmp_path: Path) -> None:
    (take,) = bench(tmp_path / "run", "wait there").run([job(prompt, (tone(220.0), RATE_HZ))])
    assert (take.errors, take.units, take.error_rate) == (1, 2, 0.5)
    assert take.semitones == pytest.approx(12.0, abs=0.1)
    assert take.similarity == pytest.approx(np.cos(0.55), abs=0.01)
    assert take.seconds == 1.0
    assert (tmp_path / "run" / take.wav).is_file()


@pytest.mark.parametrize(
    ("sound", "reason"),
    [
        (ValueError("the prompt is too short"), "ValueError: the prompt is too short"),
        ((np.zeros(0, np.float32), RATE_HZ), "AudioError: the audio is empty"),
        ((np.zeros(800, np.float32), RATE_HZ), "AudioError: the audio is silent"),
    ],
)
def test_a_failure_counts_the_worst_and_says_why(prompt: Prompt, sound: Sound | Exception, reason: str) -> None:
    (take,) = bench(None).run([job(prompt, sound)])
    assert (take.failure, take.error_rate, take.similarity) == (reason, 1.0, 0.0)
    figures = Figures.over([take])
    assert figures.close is not None
    assert (figures.close.count, figures.failures.count) == (0, 1)


def test_an_empty_hearing_is_a_failure_with_a_voice(prompt: Prompt) -> None:
    (take,) = bench(None, heard=" ").run([job(prompt, (tone(110.0), RATE_HZ))])
    assert (take.failure, take.error_rate) == ("nothing was heard", 1.0)
    assert take.similarity == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("error", [MissingDependencyError("not installed"), MissingFileError("no campplus.onnx")])
def test_a_missing_package_or_file_is_no_failure_of_the_speech(prompt: Prompt, error: Exception) -> None:
    def absent(wave: np.ndarray, rate_hz: int) -> np.ndarray:
        raise error

    with pytest.raises(type(error)):
        list(bench(None, similarity=Judge("absent", absent)).run([job(prompt, (tone(110.0), RATE_HZ))]))


def test_a_cut_run_goes_on_and_its_takes_are_not_made_again(prompt: Prompt, tmp_path: Path) -> None:
    good, never = (tone(110.0), RATE_HZ), AssertionError("made twice")
    (first,) = bench(tmp_path / "run").run([job(prompt, good)])
    again = bench(tmp_path / "run")
    kept, second = again.run([job(prompt, never), job(prompt, good, "two")])
    assert kept == first
    assert second.name == "two"
    vector = again.vector(kept)
    assert vector is not None
    assert vector.tolist() == pytest.approx(PITCH_JUDGE.embeds(*good).tolist())
    with pytest.raises(ParameterError, match="recognisers differ"):
        Bench(Judges([], PITCH_JUDGE, mos=False), tmp_path / "run", {"seed": 0})


def test_words_that_are_not_known_are_not_listened_to(prompt: Prompt) -> None:
    listener = Hears()
    judges = Judges([ear()], None, mos=False)
    object.__setattr__(judges.ears[0], "hears", listener)
    (take,) = Bench(judges, None, {}).run([job(prompt, (tone(110.0), RATE_HZ), text="")])
    assert take.error_rate is None
    assert listener.heard == 0


def test_the_prompt_itself_is_not_compared_with_itself(prompt: Prompt) -> None:
    (take,) = bench(None).run([job(prompt, (tone(110.0), RATE_HZ), is_prompt=True)])
    assert (take.similarity, take.semitones, take.error_rate) == (None, None, 0.0)


def test_the_rate_is_the_mean_of_utterance_rates() -> None:
    short = Take("a", "1", "hi", "en", "p", errors=1, units=1)
    long = Take("a", "2", "nine words", "en", "p", errors=0, units=9)
    (row,) = by_system([short, long])
    assert row.error_rate is not None
    assert row.error_rate.value == 0.5  # pooled it would be 0.1


def test_systems_and_languages_have_a_row_each_and_a_dash_where_nobody_was_asked() -> None:
    takes = [Take("a", "1", "hi", language, "p", seconds=2.0) for language in ("en", "zh")]
    assert table(by_system(takes)).splitlines()[2:] == [
        "| a | en | - | - | - | - | - | - | 0 | 1 | 2 |",
        "| a | zh | - | - | - | - | - | - | 0 | 1 | 2 |",
    ]


def test_many_failures_are_listed_in_part() -> None:
    takes = [Take("a", str(i), "hi", "en", "p", failure="OSError: disk") for i in range(22)]
    assert failures(takes).splitlines()[0] == "- a, 0: OSError: disk"
    assert failures(takes).splitlines()[-1] == "- and 2 more"

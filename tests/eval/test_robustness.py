"""With speakers that go wrong on purpose, and once with the bundled checkpoint."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cosy.api import Cosy
from cosy.cli.evaluate import eval_app
from cosy.engine.watch import Alarms
from cosy.eval.journal import Journal
from cosy.eval.robustness import (
    Robustness,
    Spoken,
    Trial,
    language_model_alone,
    letters,
    pace,
    run,
    verdict,
    whole_chain,
)
from cosy.eval.trials import Sentence, trial_sentences
from cosy.types import FinishReason

PACE = 15.0  # letters a second
TEXT = "The old bridge near the river was closed because of the rain."
TEXT_TOKENS = 20


def varied(count: int) -> tuple[int, ...]:
    return tuple(random.Random(count).choices(range(6000), k=count))


def trial(tokens: tuple[int, ...], reason: FinishReason = FinishReason.STOP, failure: str = "") -> Trial:
    return Trial(0, 12, TEXT, (Spoken(TEXT, TEXT_TOKENS, tokens, reason),), failure)


EXPECTED = round(25 * (0.4 + letters(TEXT) / PACE))


@pytest.mark.parametrize(
    ("tokens", "reason", "kind"),
    [
        (varied(EXPECTED), FinishReason.STOP, ""),
        (varied(2 * TEXT_TOKENS), FinishReason.STOP, "early_stop"),  # the watch: under 2.5 for each text token
        (varied(EXPECTED) + (7,) * 80, FinishReason.STOP, "repetition"),
        (varied(EXPECTED) + (1, 2, 3, 4, 5) * 20, FinishReason.STOP, "repetition"),
        (varied(round(2.1 * EXPECTED)), FinishReason.STOP, "repetition"),  # no loop, but far too long
        (varied(EXPECTED) + tuple(t % 8 for t in varied(100)), FinishReason.STOP, "silence"),
        (varied(EXPECTED), FinishReason.LENGTH, "length"),
    ],
)
def test_every_kind_of_wrong_is_told(tokens: tuple[int, ...], reason: FinishReason, kind: str) -> None:
    assert verdict(trial(tokens, reason), PACE, Alarms(silent=frozenset(range(8)))) == kind


def test_half_the_expected_time_is_an_early_stop_even_where_the_tokens_suffice() -> None:
    spoken = Spoken(TEXT, 10, varied(round(0.45 * EXPECTED)), FinishReason.STOP)
    assert verdict(Trial(0, 12, TEXT, (spoken,)), PACE, Alarms()) == "early_stop"


def test_a_failure_is_one_whatever_was_spoken() -> None:
    assert verdict(trial(varied(EXPECTED), failure="EngineError: no"), PACE, Alarms()) == "failure"


def test_the_pace_is_the_median_of_the_run() -> None:
    trials = [trial(varied(25)), trial(varied(50)), trial(varied(75)), Trial(3, 1, "Yes.", (), "OSError: disk")]
    assert pace(trials) == letters(TEXT) / 2


def test_a_hanzi_counts_as_three_letters() -> None:
    assert letters("我是Anna, 5!") == 3 + 3 + 4 + 1


class Fails:
    """Says five tokens and then breaks, at the second sentence."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    def __call__(self, text: str, seed: int) -> Iterator[Spoken]:
        self.asked.append((text, seed))
        yield Spoken(text, 3, varied(5), FinishReason.STOP)
        if text == "two":
            raise OSError("the disk is full")


def test_a_failure_is_a_row_and_the_run_goes_on_where_it_was_cut(tmp_path: Path) -> None:
    sentences = [Sentence(text, 1) for text in ("one", "two", "three")]
    first, again = Fails(), Fails()
    list(run(sentences[:2], first, Journal(tmp_path / "trials.jsonl", {}), seed=10))
    trials = list(run(sentences, again, Journal(tmp_path / "trials.jsonl", {}), seed=10))
    assert first.asked == [("one", 10), ("two", 11)]
    assert again.asked == [("three", 12)]
    assert [t.failure for t in trials] == ["", "OSError: the disk is full", ""]
    assert trials[1].segments[0].tokens == varied(5)
    assert trials == list(run(sentences, again, Journal(tmp_path / "trials.jsonl", {}), seed=10))


def test_the_figures_count_every_sentence_once() -> None:
    good, bad = trial(varied(EXPECTED)), trial(varied(EXPECTED), FinishReason.LENGTH)
    figures = Robustness.over([good, good, good, bad], Alarms())
    assert {name: share.count for name, share in figures.shares.items() if share.count} == {"any": 1, "length": 1}
    assert figures.bands["11 to 30"].of == 4
    assert "| length | 25.0 ± 21.7 % |" in figures.markdown()
    assert figures.as_data()["wrong"][0]["text"] == TEXT


def test_both_speakers_say_the_same_tokens() -> None:
    cosy = Cosy.load()
    voice = cosy.voices.load()
    (whole,) = whole_chain(cosy, voice)("Wait here, it is 9:30.", 3)
    assert [whole] == list(language_model_alone(cosy, voice)("Wait here, it is 9:30.", 3))
    assert whole.text_tokens > 3
    assert "nine thirty" in whole.text


def test_the_command_writes_a_report_and_keeps_its_trials(tmp_path: Path) -> None:
    arguments = ["robustness", "--count", "4", "--tokens-only", "--report", str(tmp_path)]
    result = CliRunner().invoke(eval_app, arguments)
    assert result.exit_code == 0, result.output
    assert "4 sentences" in (tmp_path / "report.md").read_text()
    assert json.loads((tmp_path / "report.json").read_text())["trials"] == 4
    assert len((tmp_path / "trials.jsonl").read_text().splitlines()) == 5
    assert trial_sentences(4)[3].text in (tmp_path / "trials.jsonl").read_text()

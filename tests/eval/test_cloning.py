from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cosy.cli.evaluate import eval_app
from cosy.errors import InputError, ParameterError
from cosy.eval.cloning import Cloning, jobs
from cosy.eval.takes import Bench, Judges
from tests.eval.tones import PITCH_JUDGE, ToneCloner, ear, prompts, tone

pytest.importorskip("pyworld", reason="the eval extra is not installed")
TEXTS = {"en": ["Wait here.", "Come in."], "zh": ["请等一下。"]}


def cloned(folder: Path, system: ToneCloner, others: bool = False) -> Cloning:
    voices = prompts(folder, others)
    bench = Bench(Judges([ear()], PITCH_JUDGE, mos=False), None, {})
    takes = list(bench.run(jobs(system, voices, TEXTS)))
    return Cloning.over(takes, voices, bench.vectors_of(voices), bench.vector)


def test_prompts_take_the_sentences_in_turn_in_every_mode_and_language(tmp_path: Path) -> None:
    system = ToneCloner()
    for job in jobs(system, prompts(tmp_path), TEXTS, each=1, seed=5):
        job.make()
    assert system.asked[:4] == [
        ("voice0", "Wait here.", "zero_shot", "en", 5),
        ("voice1", "Come in.", "zero_shot", "en", 6),
        ("voice2", "Wait here.", "zero_shot", "en", 7),
        ("voice0", "请等一下。", "zero_shot", "zh", 5),
    ]
    assert len(system.asked) == 12


def test_a_perfect_cloner_is_always_recognised_and_in_tune(tmp_path: Path) -> None:
    told = cloned(tmp_path, ToneCloner(), others=True)
    assert list(told.identified) == [
        "recording",
        "copy synthesis",
        "zero_shot en",
        "zero_shot zh",
        "cross_lingual en",
        "cross_lingual zh",
    ]
    assert all(each.right.value == 1.0 for each in told.identified.values())
    assert list(told.across) == ["zero_shot en / zero_shot zh", "cross_lingual en / cross_lingual zh"]
    assert told.across["zero_shot en / zero_shot zh"].right.value == 1.0
    assert all(row.close is not None and row.close.value == 1.0 for row in told.figures)
    assert told.similarity.argmax(axis=1).tolist() == [0, 1, 2]


def test_a_cloner_that_is_out_of_tune_is_told(tmp_path: Path) -> None:
    told = cloned(tmp_path, ToneCloner(semitones=2.0))
    row = next(row for row in told.figures if row.system == "zero_shot en")
    assert row.semitones == pytest.approx(2.0, abs=0.1)
    assert row.close is not None
    assert row.close.value == 0.0


def test_a_prompt_that_cannot_be_cloned_counts_as_not_recognised(tmp_path: Path) -> None:
    told = cloned(tmp_path, ToneCloner(cannot=("voice1",)))
    right = told.identified["zero_shot en"].right
    assert (right.count, right.of) == (4, 6)
    assert "zero_shot en, voice1-0: ValueError: this prompt is too short" in told.markdown()
    assert json.loads(json.dumps(told.as_data()))["figures"][1]["failures"]["count"] == 2


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    voices = prompts(tmp_path)
    with pytest.raises(ParameterError, match="two prompts or more"):
        list(jobs(ToneCloner(), voices[:1], TEXTS))
    with pytest.raises(ParameterError, match="different names"):
        list(jobs(ToneCloner(), [voices[0], voices[0]], TEXTS))
    with pytest.raises(ParameterError, match="nothing to say"):
        list(jobs(ToneCloner(), voices, {"en": []}))
    with pytest.raises(ParameterError, match="unknown mode 'sing'"):
        list(jobs(ToneCloner(), voices, TEXTS, modes=["sing"]))


def test_the_command_clones_with_the_bundled_model(tmp_path: Path) -> None:
    from cosy.audio.io import save_audio

    folder = tmp_path / "prompts"
    folder.mkdir()
    for name, pitch_hz in (("low", 110.0), ("high", 200.0)):
        save_audio(folder / f"{name}.wav", tone(pitch_hz, 3.2), 16_000)
        (folder / f"{name}.txt").write_text("Nobody remembered the name of the old hotel.")
    texts = tmp_path / "texts.txt"
    texts.write_text("Wait here.\n")
    arguments = ["cloning", "--prompts", str(folder), "--texts", str(texts), "--each", "1", "--no-mos"]
    arguments += ["--modes", "cross_lingual", "--recogniser", "none", "--similarity", "campplus"]
    result = CliRunner().invoke(eval_app, [*arguments, "--report", str(tmp_path / "report")])
    assert result.exit_code == 0, result.output
    data = json.loads((tmp_path / "report" / "report.json").read_text())
    assert [row["system"] for row in data["figures"]] == ["copy synthesis", "cross_lingual en"]
    assert all(row["failures"]["count"] == 0 for row in data["figures"])
    assert "circular" in (tmp_path / "report" / "report.md").read_text()
    assert len(list((tmp_path / "report" / "wavs" / "cross_lingual_en").glob("*.wav"))) == 2


def test_a_language_without_sentences_asks_for_some(tmp_path: Path) -> None:
    prompts(tmp_path)
    result = CliRunner().invoke(eval_app, ["cloning", "--prompts", str(tmp_path), "--language", "fr"])
    assert isinstance(result.exception, InputError)
    assert "give a file of them with --texts" in str(result.exception)


def test_a_sentence_of_another_language_is_not_left_out_in_silence(tmp_path: Path) -> None:
    prompts(tmp_path)
    texts = tmp_path / "texts.txt"
    texts.write_text("Wait here.\n请等一下。\n", encoding="utf-8")
    result = CliRunner().invoke(eval_app, ["cloning", "--prompts", str(tmp_path), "--texts", str(texts)])
    assert isinstance(result.exception, InputError)
    assert "is in 'zh'" in str(result.exception)

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cosy.train.data.corpus import Corpus
from tests.cli.fakes import run
from tests.train.sounds import buzz, write
from tests.train.tones import write_corpus


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    write(folder / "ada" / "1.wav", buzz(1.5))
    write(folder / "ada" / "2.flac", buzz(0.3))
    return folder


def test_recordings_become_a_corpus(recordings: Path, small_model_dir: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyworld", reason="F0 of a corpus needs the extra `train`")
    pytest.importorskip("matplotlib", reason="plots need the extra `train`")
    told = run("data", "build", recordings, "--out", tmp_path / "new", "--model", small_model_dir, "--workers", "1")
    assert told.exit_code == 0, told.output
    assert "utterances    1 in 1 shards" in told.stdout
    assert "dropped       too short 1" in told.stdout
    corpus = Corpus(tmp_path / "new")
    assert len(corpus.tokens_of(0)) == corpus.tokens
    assert corpus.vector_of(0).shape == (192,)
    assert json.loads((tmp_path / "new" / "summary.json").read_text())["arrays"] == [
        "wave", "mel", "whisper", "f0", "codes", "speakers",
    ]  # fmt: skip
    assert (tmp_path / "new" / "summary.png").exists()
    assert (tmp_path / "new" / "dropped.jsonl").read_text().count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--arrays", "wave,mels"], 2, "unknown array 'mels'; known: wave, mel, whisper, f0"),
        (["--arrays", ","], 2, "no array is named"),
        (["--arrays", "phone"], 2, "unknown array 'phone'"),
        (["--model", "/nowhere"], 3, "the model directory /nowhere does not exist"),
        (["--max-seconds", "0"], 2, "--max-seconds"),
        (["--workers", "0"], 2, "--workers"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_written(
    recordings: Path, tmp_path: Path, arguments: list[str], status: int, message: str
) -> None:
    told = run("data", "build", recordings, "--out", tmp_path / "new", *arguments)
    assert told.exit_code == status
    assert message in told.stderr
    assert not (tmp_path / "new").exists()


def test_a_corpus_is_shown_as_text_and_as_json(tmp_path: Path) -> None:
    pytest.importorskip("pyworld", reason="F0 of a corpus needs the extra `train`")
    corpus = write_corpus(tmp_path, count=2)
    assert "utterances    2 in 1 shards" in run("data", "show", tmp_path).stdout
    assert json.loads(run("data", "show", tmp_path, "--json").stdout)["utterances"] == len(corpus)


def test_a_folder_without_a_corpus_cannot_be_shown(tmp_path: Path) -> None:
    told = run("data", "show", tmp_path)
    assert told.exit_code == 3
    assert "holds no corpus: build one with `cosy data build`" in told.stderr


SYNTH = ("--hours", "0.002", "--speakers", "1", "--languages", "en")


def test_engines_make_a_corpus(tmp_path: Path) -> None:
    for package in ("espeakng_loader", "pyworld", "matplotlib", "wordfreq", "jieba"):
        pytest.importorskip(package, reason="speech engines need the extra `train`")
    told = run("data", "synth", "--out", tmp_path / "new", *SYNTH, "--teachers", "espeak", "--workers", "1")
    assert told.exit_code == 0, told.output
    corpus = Corpus(tmp_path / "new")
    assert {entry.speaker for entry in corpus.entries} == {"en-0000"}
    assert all(corpus.has(name) for name in ("wave", "mel", "whisper", "f0", "phone"))
    assert corpus.tokens / 25 == pytest.approx(7.2, abs=5)
    again = run("data", "synth", "--out", tmp_path / "new", *SYNTH, "--teachers", "espeak")
    assert again.stdout == told.stdout


def test_a_teacher_that_is_not_installed_is_named_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    told = run("data", "synth", "--out", tmp_path / "new", *SYNTH, "--teachers", "slt")
    assert told.exit_code == 4
    assert "apt-get install festival festvox-us-slt-hts" in told.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--teachers", "hal"], "unknown teacher 'hal'; known: espeak, slt, rms, awb, kal16"),
        (["--languages", "tlh"], "unknown language 'tlh'; known: en, zh"),
        (["--arrays", "tone"], "unknown array 'tone'; known: wave"),
        (["--hours", "0", "--teachers", "espeak"], "0.0 hours of 20 speakers are nothing"),
    ],
)
def test_a_wish_that_cannot_be_granted_is_refused(tmp_path: Path, arguments: list[str], message: str) -> None:
    told = run("data", "synth", "--out", tmp_path / "new", *arguments)
    assert told.exit_code == 2
    assert message in told.stderr
    assert not (tmp_path / "new").exists()

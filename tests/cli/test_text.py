from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cosy.checkpoint.layout import BACKBONE_DIRECTORY
from cosy.cli.app import app
from cosy.text.tokenizer import add_pronunciations, train_bpe


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory with nothing but its text vocabulary."""
    directory = tmp_path_factory.mktemp("model")
    train_bpe(["hello there"], 260, directory / BACKBONE_DIRECTORY)
    return directory


def run(model: Path, *arguments: str, stdin: str | bytes | None = None) -> Result:
    return CliRunner().invoke(app, ["text", *arguments, "--model", str(model)], input=stdin)


def test_changes_and_segments_are_printed(model: Path) -> None:
    result = run(model, "It is 5%.")
    assert result.exit_code == 0
    assert "percent  '5%' -> 'five percent'" in result.stdout
    assert "tokens] It is five percent." in result.stdout


def test_json_holds_the_same(model: Path) -> None:
    report = json.loads(run(model, "5", "--json").stdout)
    assert report["rewrites"] == [{"rule": "cardinal", "before": "5", "after": "five"}]
    (segment,) = report["segments"]
    assert (segment["text"], segment["language"], segment["tokens"]) == ("five.", "en", len(segment["ids"]))


def test_words_that_the_dictionary_lacks_are_told(model: Path, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("hello hh ax0 l ow1\n", encoding="utf-8")
    add_pronunciations(model / BACKBONE_DIRECTORY, tmp_path / "words.txt", ["hello"], 20, tmp_path / BACKBONE_DIRECTORY)
    arguments = ("Hello there, [breath] there. Cosy's.",)
    assert run(tmp_path, *arguments).stdout.endswith("\n\nnot in the dictionary, read by letters: there, Cosy's\n")
    assert json.loads(run(tmp_path, *arguments, "--json").stdout)["unknown_words"] == ["there", "Cosy's"]
    assert "dictionary" not in run(model, *arguments).stdout


def test_text_comes_from_a_pipe_or_a_file(model: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello", encoding="utf-8")
    assert run(model, "-", stdin="hello").stdout == run(model, "--file", str(tmp_path / "a.txt")).stdout


def test_options_reach_the_front_end(model: Path, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("ABC = alphabet\n", encoding="utf-8")
    assert "alphabet." in run(model, "abc", "--lexicon", str(tmp_path / "words.txt"), "--ignore-case").stdout
    assert "5." in run(model, "5", "--no-normalise").stdout
    assert "three.fourteen." in run(model, "3.14", "--policy", "official").stdout
    assert "[zh," in run(model, "5", "--language", "zh").stdout


@pytest.mark.parametrize(
    ("arguments", "stdin"), [((), None), (("...",), None), (("-",), b"\xff"), (("hi", "--language", "klingon"), None)]
)
def test_wrong_input_exits_with_status_2(model: Path, arguments: tuple[str, ...], stdin: bytes | None) -> None:
    result = run(model, *arguments, stdin=stdin)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")


def test_a_directory_without_a_vocabulary_exits_with_status_3(tmp_path: Path) -> None:
    result = run(tmp_path, "hello")
    assert result.exit_code == 3
    assert "vocab.json" in result.stderr

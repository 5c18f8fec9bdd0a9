from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from cosy.cli.tools import Tools
from cosy.voices.store import VoiceStore
from cosy.voices.voice import Voice, VoiceInfo
from tests.cli.fakes import FakeCosy, run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one registered voice, `carla`."""
    info = VoiceInfo("carla", "hello there", "hello there", 2.0, warnings=("the recording is quiet: -45 dBFS",))
    tokens, mel = torch.zeros(50, dtype=torch.int64), torch.zeros(100, 80)
    VoiceStore(tmp_path / "voices").add(Voice(info, tokens, mel, torch.ones(192)))
    return tmp_path / "voices"


def test_list_tells_presets_first(small_model_dir: Path, folder: Path) -> None:
    result = run("voice", "list", "--model", small_model_dir, "--voices", folder, tools=Tools())
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0][:4] == ["ada", "3.0", "s", "preset"]
    assert lines[1] == ["bob", "no", "recording", "preset"]
    assert lines[2] == ["carla", "2.0", "s", "hello", "there"]


def test_list_as_json_is_one_array(small_model_dir: Path, folder: Path) -> None:
    result = run("voice", "list", "--json", "--model", small_model_dir, "--voices", folder, tools=Tools())
    voices = json.loads(result.stdout)
    assert [(voice["name"], voice["preset"]) for voice in voices] == [("ada", True), ("bob", True), ("carla", False)]


def test_show_tells_every_warning(small_model_dir: Path, folder: Path) -> None:
    place = ("--model", small_model_dir, "--voices", folder)
    lines = run("voice", "show", "carla", *place, tools=Tools()).stdout.splitlines()
    assert "duration_s: 2.0" in lines
    assert "warnings: the recording is quiet: -45 dBFS" in lines
    told = json.loads(run("voice", "show", "ada", "--json", *place, tools=Tools()).stdout)
    assert told["transcript"] == "the quick brown fox"


def test_rm_removes_a_registered_voice_but_no_preset(small_model_dir: Path, folder: Path) -> None:
    place = ("--model", small_model_dir, "--voices", folder)
    assert json.loads(run("voice", "rm", "carla", "--json", *place, tools=Tools()).stdout) == {"removed": "carla"}
    assert VoiceStore(folder).names() == []
    refused = run("voice", "rm", "ada", *place, tools=Tools())
    assert refused.exit_code == 2
    assert "is a preset of the model and cannot be removed" in refused.stderr


@pytest.mark.parametrize("command", ["show", "rm"])
def test_an_unknown_voice_is_an_input_error(small_model_dir: Path, folder: Path, command: str) -> None:
    result = run("voice", command, "zoe", "--model", small_model_dir, "--voices", folder, tools=Tools())
    assert result.exit_code == 2
    assert result.stderr == "error: there is no voice named 'zoe'; there are: ada, bob, carla\n"


def test_without_a_default_model_the_registered_voices_are_listed_and_a_note_says_so(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COSY_MODEL", str(tmp_path / "absent"))
    result = run("voice", "list", "--voices", folder, tools=Tools())
    assert (result.exit_code, result.stdout) == (0, "carla  2.0 s  hello there\n")
    assert result.stderr.startswith("note: preset voices are unknown: the model directory")
    assert run("voice", "list", "--model", tmp_path / "absent", tools=Tools()).exit_code == 3


def test_add_prints_the_name_and_every_warning_in_plain_words(tmp_path: Path) -> None:
    recording = tmp_path / "ref.wav"
    recording.write_bytes(b"x")
    cosy = FakeCosy(warnings=("the recording is quiet: -45 dBFS",))
    result = run("voice", "add", "dora", recording, "--text", "hi", "--replace", "--voices", tmp_path, cosy=cosy)
    assert (result.exit_code, result.stdout) == (0, "dora\n")
    assert result.stderr == "warning: the recording is quiet: -45 dBFS\n"
    assert cosy.asked == [(["hi"], "dora", {"trim": True, "replace": True})]
    assert cosy.loaded == [(None, {"voices": tmp_path})]
    told = run("voice", "add", "dora", recording, "--json", cosy=cosy)
    assert json.loads(told.stdout)["warnings"] == ["the recording is quiet: -45 dBFS"]
    assert "cross-lingual" in told.stderr


def test_add_refuses_a_bad_name_before_the_model_is_loaded(tmp_path: Path) -> None:
    recording, cosy = tmp_path / "ref.wav", FakeCosy()
    recording.write_bytes(b"x")
    result = run("voice", "add", "../x", recording, cosy=cosy)
    assert result.exit_code == 2
    assert "cannot name a voice" in result.stderr
    assert not cosy.loaded

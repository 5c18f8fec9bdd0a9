from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cosy.errors import MissingDependencyError, ParameterError
from cosy.eval.recognisers import ear_for, open_ear, toned_syllables, units
from tests.eval.tones import ear, tone


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("It's 5 o'clock, isn't it?", "en", ["it's", "5", "o'clock", "isn't", "it"]),
        ("A well-known “place” — $5!", "en", ["a", "wellknown", "place", "5"]),
        ("你好， Anna！", "zh", ["你", "好", "a", "n", "n", "a"]),
        ("ですね。", "ja", ["で", "す", "ね"]),
        ("…", "en", []),
    ],
)
def test_what_is_counted(text: str, language: str, expected: list[str]) -> None:
    assert units(text, language) == expected


def test_errors_are_counted_over_what_was_to_be_said() -> None:
    assert ear().errors("Wait, there now", "wait here.", "en") == (2, 2)
    assert ear().errors("", "你好", "zh") == (2, 2)


def test_chinese_is_read_as_toned_syllables() -> None:
    pytest.importorskip("pypinyin", reason="pypinyin is not installed")
    assert toned_syllables("我们去 London，很绿吗？") == ["wo3", "men5", "qu4", "london", "hen3", "lü4", "ma5"]


def test_the_first_ear_that_knows_a_language_is_asked() -> None:
    english, any_language = open_ear_of("en"), ear()
    assert ear_for("en", [english, any_language]) is english
    assert ear_for("zh", [english, any_language]) is any_language
    with pytest.raises(ParameterError, match="no recogniser for 'zh' among en"):
        ear_for("zh", [english])
    with pytest.raises(ParameterError, match="among none"):
        ear_for("zh", [])


def open_ear_of(language: str) -> Any:
    from dataclasses import replace

    return replace(ear(), name=language, languages=frozenset({language}))


@pytest.mark.skipif(importlib.util.find_spec("pocketsphinx") is None, reason="the eval extra is not installed")
def test_pocketsphinx_needs_nothing_else_and_repeats_itself() -> None:
    told = open_ear("pocketsphinx")
    assert told.knows("en")
    assert not told.knows("zh")
    assert told.hears(tone(120.0), 16_000, "en") == told.hears(tone(120.0), 16_000, "en")


def test_an_unknown_recogniser_or_a_model_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="choose one of pocketsphinx"):
        open_ear("dictaphone")
    for name in ("whisper", "paraformer"):
        with pytest.raises(ParameterError, match=f"--recogniser {name}="):
            open_ear(name)
    with pytest.raises(ParameterError, match="is no whisper model"):
        open_ear("whisper", tmp_path)


def files(folder: Path) -> dict[str, Path]:
    """A model of each kind, by the package that reads it."""
    paths = {"whisper": folder / "tiny.pt", "faster_whisper": folder / "fast", "transformers": folder / "hub"}
    paths["funasr"] = folder / "paraformer"
    paths["whisper"].touch()
    for name, marker in (("faster_whisper", "model.bin"), ("transformers", "config.json"), ("funasr", "model.pt")):
        paths[name].mkdir()
        (paths[name] / marker).touch()
    return paths


@pytest.mark.parametrize(
    ("module", "name", "remedy"),
    [
        ("whisper", "whisper", "pip install openai-whisper"),
        ("faster_whisper", "whisper", "pip install faster-whisper"),
        ("transformers", "whisper", "pip install transformers"),
        ("funasr", "paraformer", "pip install funasr"),
    ],
)
def test_an_absent_package_is_told_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, name: str, remedy: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependencyError, match=remedy):
        open_ear(name, files(tmp_path)[module])


@pytest.mark.parametrize(
    ("text", "heard", "errors"),
    [
        ("你好。", "ni3 hao4", (1, 2)),
        ("你好。", "ni2 hao3", (0, 2)),
        ("一个人不去。", "yi2 ge4 ren2 bu2 qu4", (0, 5)),
        ("绿 London！", "lü4", (1, 2)),
    ],
)
def test_the_mandarin_judge_is_scored_by_sound_and_tone(
    monkeypatch: pytest.MonkeyPatch, text: str, heard: str, errors: tuple[int, int]
) -> None:
    pytest.importorskip("pypinyin", reason="pypinyin is not installed")
    monkeypatch.setattr("cosy.eval.mandarin_judge.hear", lambda wave, rate_hz: heard.split())
    told = open_ear("syllables")
    assert told.errors(told.hears(tone(120.0), 16_000, "zh"), text, "zh") == errors
    assert "circular" in told.note


def test_the_packages_are_asked_at_their_rate_and_in_the_language(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, Any]] = []

    def openai(wave: np.ndarray, language: str, fp16: bool) -> dict[str, str]:
        asked.append((len(wave), language))
        return {"text": " openai"}

    def faster(wave: np.ndarray, language: str) -> tuple[list[Any], None]:
        asked.append((len(wave), language))
        return [SimpleNamespace(text=" faster"), SimpleNamespace(text=" whisper")], None

    def funasr(input: np.ndarray, fs: int) -> list[dict[str, str]]:
        asked.append((len(input), fs))
        return [{"text": "你好"}]

    fakes = {
        "whisper": {"load_model": lambda path: SimpleNamespace(transcribe=openai)},
        "faster_whisper": {"WhisperModel": lambda path: SimpleNamespace(transcribe=faster)},
        "funasr": {"AutoModel": lambda model, **_: SimpleNamespace(generate=funasr)},
    }
    for module, members in fakes.items():
        fake = ModuleType(module)
        fake.__dict__.update(members)
        monkeypatch.setitem(sys.modules, module, fake)
    paths, wave = files(tmp_path), tone(120.0, 1.0, 24_000)
    told = [open_ear("paraformer" if m == "funasr" else "whisper", paths[m]).hears(wave, 24_000, "zh") for m in fakes]
    assert told == [" openai", "faster whisper", "你好"]
    assert asked == [(16_000, "zh"), (16_000, "zh"), (16_000, 16_000)]

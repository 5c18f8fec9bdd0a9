from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import Any

import pytest

from cosy.cli import doctor
from cosy.cli.doctor import Status, examine
from tests.cli.fakes import run


def told(*arguments: str | Path) -> tuple[int, dict[str, Any]]:
    result = run("doctor", "--json", *arguments)
    report = json.loads(result.stdout)
    return result.exit_code, {finding["topic"]: finding for finding in report["findings"]} | {"ok": report["ok"]}


def test_a_complete_installation_is_ready(small_model_dir: Path, tmp_path: Path) -> None:
    status, report = told("--model", small_model_dir, "--voices", tmp_path / "voices")
    assert (status, report["ok"]) == (0, True)
    assert report["torch"]["facts"]["version"]
    assert report["processor"]["facts"]["threads"] >= 1
    assert report["model"]["facts"]["works"]["speak with a preset voice"]
    assert report["voices"]["facts"] == {"directory": str(tmp_path / "voices"), "names": [], "writable": True}
    assert report["disk"]["facts"]["free_bytes"] > 0
    assert report["writes"]["facts"]["formats"] == ["wav", "pcm", "flac", "mp3", "opus", "aac"]
    assert {"wav", "flac", "mp3", "opus", "aac", "m4a", "webm"} <= set(report["reads"]["facts"]["formats"])


def test_an_absent_model_is_a_problem_with_a_remedy(tmp_path: Path) -> None:
    result = run("doctor", "--model", tmp_path / "absent", "--voices", tmp_path)
    assert result.exit_code == 3
    assert "cosy model pull" in result.stdout
    assert result.stdout.splitlines()[-1] == "cosy say does not work yet: see the problems above"


def test_an_incomplete_model_is_a_problem_naming_the_file(small_model_dir: Path, tmp_path: Path) -> None:
    for path in small_model_dir.iterdir():
        if path.name != "hift.pt":
            (tmp_path / path.name).symlink_to(path)
    findings = {finding.topic: finding for finding in examine(tmp_path, tmp_path / "voices")}
    assert findings["model"].status is Status.PROBLEM
    assert findings["model hift.pt"].summary == "missing"


def test_a_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: ["absent-a>=1", "absent-b; extra == 'play'"])
    needed, optional = doctor._packages()
    assert (needed.status, needed.summary, needed.remedy) == (Status.PROBLEM, "not installed", "pip install absent-a")
    assert (optional.status, optional.remedy) == (Status.NOTE, "pip install 'cosy[play]'")


def test_a_damaged_voice_is_noted(small_model_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.safetensors").write_bytes(b"nonsense")
    status, report = told("--model", small_model_dir, "--voices", tmp_path)
    assert status == 0
    assert report["voice broken"]["status"] == "note"


def test_a_check_that_cannot_run_is_itself_a_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail() -> list[doctor.Finding]:
        raise ImportError("libfoo.so is absent")

    monkeypatch.setattr(doctor, "_formats", fail)
    finding = examine(tmp_path / "absent", tmp_path)[-1]
    assert (finding.topic, finding.status) == ("formats", Status.PROBLEM)
    assert "libfoo.so is absent" in finding.summary

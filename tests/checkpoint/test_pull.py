"""Fetching a model directory, from a hub that exists only here."""

from __future__ import annotations

import errno
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cosy.checkpoint.layout import OFFICIAL_MODEL
from cosy.checkpoint.pull import KNOWN_MODELS, NEEDED, REQUIRED, RemoteFile, connect, pull, resolve
from cosy.cli.app import app
from cosy.cli.model import model_app
from cosy.errors import CheckpointError, MissingDependencyError, ParameterError

REPOSITORY = "someone/small"
UNNEEDED = (
    "CosyVoice-BlankEN/model.safetensors",
    "flow.decoder.estimator.fp32.onnx",
    "flow.encoder.fp16.zip",
    "llm.text_encoder.fp16.zip",
    "asset/dingding.png",
    "../escape.txt",
)


class FakeHub:
    """A repository in memory.  A transfer listed in `failures` raises once; one in `damage` delivers other bytes."""

    def __init__(self, names: Sequence[str] = (*sorted(NEEDED), *UNNEEDED)) -> None:
        self.content = {name: name.encode() * 10 for name in names}
        self.failures: dict[str, Exception] = {}
        self.damage: set[str] = set()
        self.sizes: dict[str, int] = {}
        self.fetched: list[str] = []

    def files(self, repository: str, revision: str | None) -> list[RemoteFile]:
        assert repository == REPOSITORY
        return [
            RemoteFile(name, self.sizes.get(name, len(data)), hashlib.sha256(data).hexdigest())
            for name, data in self.content.items()
        ]

    def download(self, repository: str, revision: str | None, path: str, directory: Path) -> None:
        if path in self.failures:
            raise self.failures.pop(path)
        self.fetched.append(path)
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(b"damaged" if path in self.damage else self.content[path])


def present(directory: Path) -> set[str]:
    return {path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()}


def test_exactly_the_needed_files_are_fetched(tmp_path: Path) -> None:
    hub = FakeHub()
    assert pull(REPOSITORY, tmp_path / "model", hub=hub) == tmp_path / "model"
    assert present(tmp_path / "model") == NEEDED
    assert sorted(hub.fetched) == sorted(NEEDED)


def test_an_interrupted_fetch_continues_where_it_stopped(tmp_path: Path) -> None:
    hub = FakeHub()
    hub.failures["hift.pt"] = ConnectionError("the line went dead")
    with pytest.raises(CheckpointError, match=r"hift\.pt from someone/small failed: the line went dead; run the same"):
        pull(REPOSITORY, tmp_path, hub=hub)
    before = list(hub.fetched)
    pull(REPOSITORY, tmp_path, hub=hub)
    assert before
    assert sorted(hub.fetched) == sorted(NEEDED), "each file was fetched once"


def test_a_second_fetch_brings_nothing(tmp_path: Path) -> None:
    pull(REPOSITORY, tmp_path, hub=FakeHub())
    hub = FakeHub()
    pull(REPOSITORY, tmp_path, hub=hub)
    assert hub.fetched == []


def test_files_that_differ_from_the_hubs_are_fetched_again(tmp_path: Path) -> None:
    pull(REPOSITORY, tmp_path, hub=FakeHub())
    (tmp_path / "llm.pt").write_bytes(b"short")
    (tmp_path / "flow.pt").write_bytes(b"x" * (tmp_path / "flow.pt").stat().st_size)
    hub = FakeHub()
    pull(REPOSITORY, tmp_path, hub=hub)
    assert hub.fetched == ["flow.pt", "llm.pt"]


def test_a_wrong_checksum_removes_the_file(tmp_path: Path) -> None:
    hub = FakeHub()
    hub.damage.add("flow.pt")
    with pytest.raises(CheckpointError, match=r"flow\.pt .* arrived damaged: its sha256 is .* it was removed"):
        pull(REPOSITORY, tmp_path, hub=hub)
    assert not (tmp_path / "flow.pt").exists()


def test_the_published_checksum_counts_more_than_the_hubs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repositories = KNOWN_MODELS[OFFICIAL_MODEL].repositories
    monkeypatch.setitem(repositories, "huggingface", REPOSITORY)
    with pytest.raises(CheckpointError, match=r"speech_tokenizer_v2\.onnx .* expected d43342aa"):
        pull(OFFICIAL_MODEL, tmp_path, hub=FakeHub())


def test_a_full_disk_is_reported(tmp_path: Path) -> None:
    hub = FakeHub()
    hub.failures["llm.pt"] = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(CheckpointError, match=r"llm\.pt .* the disk is full; free some space"):
        pull(REPOSITORY, tmp_path, hub=hub)


def test_lack_of_space_is_found_before_anything_is_fetched(tmp_path: Path) -> None:
    hub = FakeHub()
    hub.sizes["llm.pt"] = 10**18
    with pytest.raises(CheckpointError, match=r"not enough space in .* are needed, .* are free"):
        pull(REPOSITORY, tmp_path, hub=hub)
    assert hub.fetched == []


@pytest.mark.parametrize("name", REQUIRED)
def test_a_repository_of_something_else_is_refused(name: str, tmp_path: Path) -> None:
    hub = FakeHub([other for other in NEEDED if other != name])
    with pytest.raises(CheckpointError, match=f"is not a CosyVoice 2 model: it has no {name}"):
        pull(REPOSITORY, tmp_path / "model", hub=hub)
    assert not (tmp_path / "model").exists()


def test_known_models_have_a_repository_on_each_hub() -> None:
    assert resolve(OFFICIAL_MODEL, "huggingface")[0] == "FunAudioLLM/CosyVoice2-0.5B"
    assert resolve(OFFICIAL_MODEL, "modelscope")[0] == "iic/CosyVoice2-0.5B"
    assert resolve("iic/CosyVoice2-0.5B", "modelscope")[1], "its checksums are known under that name too"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("CosyVoice9", "unknown model 'CosyVoice9'; known are CosyVoice2-0.5B"),
        ("Fun-CosyVoice3-0.5B", "not supported yet"),
    ],
)
def test_unknown_models_are_errors(name: str, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        resolve(name, "huggingface")


@pytest.mark.parametrize(("source", "package"), [("huggingface", "huggingface_hub"), ("modelscope", "modelscope")])
def test_a_missing_library_names_the_extra(source: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (package, f"{package}.hub.api"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'cosy\[pull\]'"):
        connect(source)


def test_an_unknown_source_is_an_error() -> None:
    with pytest.raises(ParameterError, match="known are huggingface, modelscope"):
        connect("attic")


def test_the_command_fetches_and_prints_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cosy.checkpoint.pull.connect", lambda source: FakeHub())
    result = CliRunner().invoke(model_app, ["pull", REPOSITORY, "--to", str(tmp_path / "model")])
    assert result.exit_code == 0
    assert result.stdout.strip() == str(tmp_path / "model")
    assert "flow.pt" in result.stderr


def test_the_command_reports_an_unknown_name() -> None:
    result = CliRunner().invoke(app, ["model", "pull", "CosyVoice9"])
    assert result.exit_code == 2
    assert "error: unknown model" in result.stderr

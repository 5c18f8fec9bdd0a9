"""The files that answers point to: named, bounded, gone after their time."""

from __future__ import annotations

from pathlib import Path

import pytest

from cosy.server.dialects.dashscope_results import SWEEP_S, ResultFile, ResultFiles
from cosy.server.store.objects import ObjectStore


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def files(tmp_path: Path, clock: Clock) -> ResultFiles:
    return ResultFiles(ObjectStore(str(tmp_path)), ttl_s=100.0, max_bytes=1000, clock=clock)


def kept(tmp_path: Path) -> int:
    return len(list((tmp_path / "results").iterdir()))


def add(files: ResultFiles, size: int = 10) -> ResultFile:
    return files.add(bytes(size), "mp3", files.expiry())


def test_a_file_is_there_until_it_expires(files: ResultFiles, clock: Clock) -> None:
    file = files.add(b"sound", "wav", files.expiry())
    assert files.read(file.name) == b"sound"
    assert ResultFile.parse(file.name) == file
    clock.now += 101
    with pytest.raises(FileNotFoundError):
        files.read(file.name)


def test_names_cannot_be_guessed(files: ResultFiles) -> None:
    tokens = {add(files).token for _ in range(20)}
    assert len(tokens) == 20
    assert all(len(token) == 32 for token in tokens)


@pytest.mark.parametrize("name", ["", "x", "../cosy.db", "0" * 32 + "-1-1.exe", "0" * 32 + "-2000000-10.wav\n"])
def test_other_names_are_no_files(files: ResultFiles, name: str) -> None:
    with pytest.raises(FileNotFoundError):
        files.read(name)


def test_an_expired_name_is_no_file_even_if_its_time_is_forged(files: ResultFiles) -> None:
    file = add(files)
    with pytest.raises(FileNotFoundError):
        files.read(ResultFile(file.token, file.expires_at + 1000, file.size, file.format).name)


def test_expired_files_are_swept(files: ResultFiles, clock: Clock, tmp_path: Path) -> None:
    for _ in range(3):
        add(files)
    clock.now += 101 + SWEEP_S
    file = add(files)
    assert kept(tmp_path) == 1
    assert files.read(file.name)


def test_all_files_together_are_bounded_and_the_oldest_go_first(
    files: ResultFiles, clock: Clock, tmp_path: Path
) -> None:
    names = []
    for _ in range(12):
        names.append(add(files, 100).name)
        clock.now += 1
    assert kept(tmp_path) == 10
    assert files.read(names[-1])
    with pytest.raises(FileNotFoundError):
        files.read(names[0])


def test_files_of_another_process_count(clock: Clock, tmp_path: Path) -> None:
    one, other = (ResultFiles(ObjectStore(str(tmp_path)), 100.0, 1000, clock) for _ in range(2))
    name = add(one, 600).name
    clock.now += 1
    add(other, 600)
    with pytest.raises(FileNotFoundError):
        one.read(name)

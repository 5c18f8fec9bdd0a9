from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cosy.errors import AbortedError, EngineError, ParameterError
from cosy.train.data.corpus import build, partial_of
from cosy.train.data.parallel import in_processes, interruptible, write_shards
from cosy.train.data.teachers import Utterance
from tests.train.tones import utterance


@dataclass(frozen=True)
class Job:
    name: str
    act: str = "write"


def act(shard: Path, job: Job) -> int:
    """What a worker may meet."""
    return build(shard, utterances(shard, job), ("whisper",))


def utterances(shard: Path, job: Job) -> Iterator[Utterance]:
    yield utterance(["one"])
    if job.act == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if job.act == "disk":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(shard))
    if job.act == "object":
        raise ParameterError("no such voice")
    if job.act == "linger":
        for _ in interruptible(range(600)):
            time.sleep(0.1)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_every_missing_shard_is_written(tmp_path: Path) -> None:
    build(tmp_path / "b", [], ("whisper",))
    jobs = [Job("a"), Job("b"), Job("c")]
    done = list(write_shards(tmp_path, act, jobs, workers=2))
    assert sorted(job.name for job, _ in done) == ["a", "c"]
    assert {tokens for _, tokens in done} == {16}
    assert names_in(tmp_path) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("end", "error", "message"),
    [
        ("die", EngineError, "worker process was killed.*run the same again"),
        ("disk", EngineError, "No space left on device.*make room"),
        ("object", ParameterError, "no such voice"),
    ],
)
def test_a_run_that_fails_leaves_the_finished_shards_alone(
    tmp_path: Path, end: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        list(write_shards(tmp_path, act, [Job("a"), Job("b", end), Job("c")], workers=1))
    assert "a" in names_in(tmp_path)
    assert set(names_in(tmp_path)) <= {"a", "c"}


def test_a_run_that_is_left_stops_its_workers_and_leaves_nothing_half(tmp_path: Path) -> None:
    run = write_shards(tmp_path, act, [Job("a"), *(Job(f"b{i}", "linger") for i in range(4))], workers=2)
    next(run)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("*.partial")) and time.monotonic() < deadline:
        time.sleep(0.05)
    run.close()
    assert names_in(tmp_path) == ["a"]


def test_what_an_earlier_run_left_half_is_removed(tmp_path: Path) -> None:
    partial_of(tmp_path / "a").mkdir()
    assert list(write_shards(tmp_path, act, [], workers=1)) == []
    assert names_in(tmp_path) == []


def test_without_work_no_process_starts() -> None:
    assert list(in_processes(abs, [], workers=10**6)) == []


def test_outside_a_worker_nothing_is_interrupted() -> None:
    assert list(interruptible([1, 2])) == [1, 2]


def test_a_worker_is_told_by_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    import multiprocessing

    from cosy.train.data import parallel

    stop = multiprocessing.get_context("spawn").Event()
    monkeypatch.setattr(parallel, "_stop", stop)
    items = interruptible([1, 2])
    assert next(items) == 1
    stop.set()
    with pytest.raises(AbortedError):
        next(items)

"""Killed at any step, a server leaves whole voices and none by halves; a sweep takes the rest.

A step is a write, a flush to the disk, a removal of an object, a commit.  Each test kills one process after another,
each a step later, until one gets through.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import anyio
import pytest
import sqlalchemy as sa

from cosy.server.store.database import Database
from cosy.server.store.objects import ObjectStore
from cosy.server.store.records import Prepared
from cosy.server.store.voices import VoiceRecord, VoiceRegistry, VoiceUpload
from tests.server.store.conftest import MakeRegistry
from tests.server.store.sounds import prepare, recording

OLD, NEW = recording(2.0), recording(3.0)
MOST_STEPS = 40

Change = Callable[[VoiceRegistry], Awaitable[object]]


async def add(registry: VoiceRegistry) -> None:
    await registry.add(VoiceUpload(NEW, "name", id="mine"))


async def replace(registry: VoiceRegistry) -> None:
    await registry.replace_audio("mine", NEW, "")


async def remove(registry: VoiceRegistry) -> None:
    await registry.remove("mine")


class Steps:
    """Kills its own process at the given step."""

    def __init__(self, last: int) -> None:
        self.left = last

    def __call__(self, *_: Any) -> None:
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1


class Mortal(ObjectStore):
    """Takes a step before and after each change."""

    step: Steps

    def write(self, key: str, data: bytes) -> None:
        self.step()
        super().write(key, data)
        self.step()

    def remove(self, key: str) -> None:
        self.step()
        super().remove(key)
        self.step()


def run_until_killed(change: Change, url: str, folder: str, last: int) -> None:
    """The whole life of a process."""
    step, database, objects = Steps(last), Database(url), Mortal(folder)
    registry = VoiceRegistry(database, objects, prepare)
    anyio.run(registry.start)
    objects.step = step
    flush = os.fsync
    os.fsync = lambda handle: (step(), flush(handle))[1]  # type: ignore[assignment,func-returns-value]
    sa.event.listen(database._engine, "commit", step)
    anyio.run(change, registry)


def kill_at_each_step(change: Change, url: str, folder: str) -> Iterator[int]:
    """Yields the step after each kill; ends once the change was made."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload([__name__])
    for last in range(MOST_STEPS):
        process = server.Process(target=run_until_killed, args=(change, url, folder, last))
        process.start()
        process.join(30)
        assert process.exitcode in (0, -signal.SIGKILL)
        yield last
        if process.exitcode == 0:
            return
    pytest.fail(f"still not done after {MOST_STEPS} steps")


def never(audio: bytes, transcript: str, name: str) -> Prepared:
    """For a registry that must find everything prepared."""
    pytest.fail("a prepared voice was missing")


def whole(registry: VoiceRegistry) -> list[VoiceRecord]:
    """All voices, each of which must be complete."""
    voices = anyio.run(registry.list)
    for voice in voices:
        audio = anyio.run(registry.audio, voice.id)
        assert hashlib.sha256(audio).hexdigest() == voice.sha256
        assert registry.prepared(voice.id)
    return voices


def url_of(database: Database) -> str:
    return database._url.render_as_string(hide_password=False)


@pytest.mark.parametrize("change", [add, replace, remove])
def test_a_killed_server_leaves_whole_voices(
    change: Change, make_registry: MakeRegistry, database: Database, objects: ObjectStore
) -> None:
    registry, strict = make_registry(), make_registry(prepare=never)
    outcomes = set()

    def check(step: int) -> None:
        voices = whole(strict)
        outcomes.add(tuple(voice.bytes for voice in voices))
        registry.sweep(-60.0)
        assert len(list(objects.list("voices"))) == 2 * len(voices), f"orphans after step {step}"
        assert whole(strict) == voices
        if change is add and voices:
            anyio.run(registry.remove, "mine")
        elif change is not add:
            anyio.run(registry.add, VoiceUpload(OLD, "name", id="mine", replace=True))

    if change is not add:
        anyio.run(registry.add, VoiceUpload(OLD, "name", id="mine"))
    for step in kill_at_each_step(change, url_of(database), str(objects)):
        check(step)
    expected = {add: {(), (len(NEW),)}, replace: {(len(OLD),), (len(NEW),)}, remove: {(len(OLD),), ()}}
    assert outcomes == expected[change]

"""Two servers on one database: nothing is lost, nothing is locked."""

from __future__ import annotations

import multiprocessing
from datetime import datetime, timezone

import anyio

from cosy.server.store.database import Database
from cosy.server.store.keys import KeyRing
from cosy.server.store.objects import ObjectStore
from cosy.server.store.usage import Usage
from cosy.server.store.voices import VoiceRegistry, VoiceUpload
from tests.server.store.sounds import prepare, recording

SERVERS, UPLOADS = 2, 15
NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


def serve(url: str, folder: str, secret: str, number: int) -> None:
    """One server: uploads, checks of a key, and counts of its use, all at once."""
    database = Database(url)
    database.migrate()
    voices = VoiceRegistry(database, ObjectStore(folder), prepare)
    keys, usage = KeyRing(database, max_age_s=0.0), Usage(database, clock=lambda: NOON)

    async def one(upload: int) -> None:
        await voices.add(VoiceUpload(recording(1.5), f"{number}-{upload}"))
        assert await keys.verify(secret)
        usage.add("key", characters=10)
        await usage.flush()

    async def all_at_once() -> None:
        await voices.start()
        async with anyio.create_task_group() as group:
            for upload in range(UPLOADS):
                group.start_soon(one, upload)

    anyio.run(all_at_once)
    database.close()


def test_two_servers_share_a_database(database: Database, objects: ObjectStore) -> None:
    async def make_key() -> str:
        return (await KeyRing(database).create("key", ["speech"]))[1]

    secret, url = anyio.run(make_key), database._url.render_as_string(hide_password=False)
    server = multiprocessing.get_context("forkserver")
    processes = [server.Process(target=serve, args=(url, str(objects), secret, number)) for number in range(SERVERS)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * SERVERS

    registry = VoiceRegistry(database, objects, prepare)
    names = {voice.name for voice in anyio.run(registry.list)}
    assert names == {f"{number}-{upload}" for number in range(SERVERS) for upload in range(UPLOADS)}
    (used,) = anyio.run(Usage(database).report)
    assert (used.requests, used.characters) == (SERVERS * UPLOADS, SERVERS * UPLOADS * 10)

"""The object store, on a folder and on an S3 server on loopback."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from cosy.errors import MissingDependencyError, OverloadedError, ParameterError
from cosy.server.store.errors import StorageError
from cosy.server.store.objects import ObjectStore

WRITTEN = b"recording" * 1000


@pytest.fixture(scope="module")
def s3_address() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    if request.param == "folder":
        return ObjectStore(str(tmp_path / "objects"))
    address = request.getfixturevalue("s3_address")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    made = ObjectStore(f"s3://bucket-{os.urandom(4).hex()}/prefix", {"endpoint_url": address})
    made._fs.mkdir(made._root.partition("/")[0])
    return made


def test_what_was_written_is_read(store: ObjectStore) -> None:
    store.write("voices/a-recording", WRITTEN)
    assert store.read("voices/a-recording") == WRITTEN
    assert store.cached("voices/a-recording") == WRITTEN


def test_what_is_not_there_cannot_be_read(store: ObjectStore) -> None:
    with pytest.raises(FileNotFoundError):
        store.read("voices/none")
    with pytest.raises(FileNotFoundError):
        store.cached("voices/none")


def test_writing_again_replaces(store: ObjectStore) -> None:
    store.write("voices/a", b"old")
    store.write("voices/a", b"new")
    assert store.read("voices/a") == b"new"
    assert [each.key for each in store.list("voices")] == ["voices/a"]


def test_removing_twice_is_no_error(store: ObjectStore) -> None:
    store.write("voices/a", b"1")
    store.remove("voices/a")
    store.remove("voices/a")
    assert list(store.list("voices")) == []


def test_a_listing_tells_stem_and_age(store: ObjectStore) -> None:
    store.write("voices/abc-prepared-1", b"1")
    store.write("presets/def", b"2")
    (listed,) = store.list("voices")
    assert (listed.key, listed.stem, listed.partial) == ("voices/abc-prepared-1", "abc", False)
    assert -5.0 < listed.age_s < 60.0


def test_a_sweep_takes_what_is_not_alive(store: ObjectStore) -> None:
    for key in ("voices/a-recording", "voices/b-recording", "voices/b-prepared-1"):
        store.write(key, b"1")
    assert store.sweep("voices", lambda: {"a"}, -60.0) == 2
    assert [each.stem for each in store.list("voices")] == ["a"]


def test_a_sweep_leaves_young_objects(store: ObjectStore) -> None:
    store.write("voices/a-recording", b"1")
    assert store.sweep("voices", set, 3600.0) == 0
    assert len(list(store.list("voices"))) == 1


def test_a_sweep_of_nothing_asks_nobody(store: ObjectStore) -> None:
    assert store.sweep("voices", lambda: pytest.fail("asked"), 0.0) == 0


def test_a_sweep_takes_unfinished_objects_of_the_living(tmp_path: Path) -> None:
    store = ObjectStore(str(tmp_path))
    store.write("presets/a", b"1")
    (tmp_path / "presets" / ".b-0123").write_bytes(b"half")
    assert store.sweep("presets", None, -60.0) == 1
    assert [each.key for each in store.list("presets")] == ["presets/a"]


def test_an_object_is_not_seen_before_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, flush, seen = ObjectStore(str(tmp_path)), os.fsync, []

    def look(handle: int) -> None:
        flush(handle)
        seen.append(store.read("voices/a"))

    store.write("voices/a", b"old")
    monkeypatch.setattr(os, "fsync", look)
    store.write("voices/a", b"new")
    assert seen == [b"old", b"new"]  # the file flushed, then the folder


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    store = ObjectStore(str(tmp_path))
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OverloadedError, match="no space left"):
        store.write("voices/a", WRITTEN)
    assert list((tmp_path / "voices").iterdir()) == []


def test_a_file_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "voices").write_text("not a folder")
    with pytest.raises(StorageError, match="cannot write objects in"):
        ObjectStore(str(tmp_path)).write("voices/a", b"1")


def test_a_bucket_that_is_not_there_is_told(s3_address: str) -> None:
    secrets = {"key": "testing", "secret": "testing", "endpoint_url": s3_address}
    with pytest.raises(StorageError, match="check the address"):
        ObjectStore("s3://nobodys-bucket", secrets).write("voices/a", b"1")


def test_a_server_that_is_not_there_is_told() -> None:
    secrets = {"key": "testing", "secret": "testing", "endpoint_url": "http://127.0.0.1:1"}
    store = ObjectStore("s3://bucket", {**secrets, "config_kwargs": {"retries": {"max_attempts": 0}}})
    store._fs.retries = 1
    with pytest.raises(StorageError, match="cannot read objects in s3://bucket"):
        store.read("voices/a")


def test_an_address_of_no_known_kind_is_refused() -> None:
    with pytest.raises(ParameterError, match="name a folder"):
        ObjectStore("nonsense://bucket")


def test_a_missing_package_is_named() -> None:
    with pytest.raises(MissingDependencyError, match="ossfs"):
        ObjectStore("oss://bucket/prefix")

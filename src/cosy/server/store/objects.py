"""Recordings and prepared voices as objects: in a local folder by default, in S3 or OSS by address.

An object is there whole or not at all.  On S3 one put does that; in a folder it is written under a name that
starts with a dot, flushed to the disk, then renamed.  Objects are never changed, only written and removed.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import fsspec
from fsspec.implementations.local import LocalFileSystem

from cosy.errors import MissingDependencyError, OverloadedError, ParameterError
from cosy.server.store.errors import StorageError

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
NO_SPACE_RETRY_S = 300.0
ORPHAN_AGE_S = 3600.0  # of objects without a row; younger ones may belong to an upload on its way
CACHED = 64  # objects in memory; a prepared voice has some 200 kB
PARTIAL = "."  # what the last part of an unfinished object's key starts with


class StoredObject(NamedTuple):
    """An entry of a listing."""

    key: str
    age_s: float  # since it was written, by this machine's clock

    @property
    def stem(self) -> str:
        """The last part of the key up to the first dash, without the mark of an unfinished object."""
        return self.key.rpartition("/")[2].lstrip(PARTIAL).partition("-")[0]

    @property
    def partial(self) -> bool:
        """Whether writing it has not been finished, or was broken off."""
        return self.key.rpartition("/")[2].startswith(PARTIAL)


class ObjectStore:
    """Objects below `url`: a folder, `s3://bucket/prefix`, `oss://bucket/prefix`.

    `options` go to the file system of fsspec, such as `endpoint_url` for S3; without them it reads its usual
    environment (AWS_ACCESS_KEY_ID ...).  Keys are made by this program, `kind/name`.  Methods block, and raise
    StorageError if the store does not work.

    Raises ParameterError for an address nobody knows, MissingDependencyError where its package is absent.
    """

    def __init__(self, url: str, options: Mapping[str, Any] | None = None) -> None:
        remote = {"use_listings_cache": False} if "://" in url else {}  # other processes write too
        try:
            self._fs, root = fsspec.core.url_to_fs(url, **remote, **(options or {}))
        except ImportError as error:
            raise MissingDependencyError(f"the object store {url} needs another package: {error}") from error
        except ValueError as error:
            raise ParameterError(
                f"objects cannot be kept in {url!r}: {error}; name a folder, s3:// or oss://"
            ) from error
        self._root = root.rstrip("/")
        self._local = isinstance(self._fs, LocalFileSystem)
        self._cached = lru_cache(CACHED)(self.read)  # an object never changes; what is missing is asked for again

    def __str__(self) -> str:
        return str(self._fs.unstrip_protocol(self._root))

    def write(self, key: str, data: bytes) -> None:
        """Keep `data`.  Raises OverloadedError if there is no space left; then nothing is left behind."""
        with self._translated("write"):
            if self._local:
                _write_file(Path(self._path(key)), data)
            else:
                self._fs.pipe_file(self._path(key), data)

    def read(self, key: str) -> bytes:
        """What was written.  Raises FileNotFoundError if there is no such object."""
        with self._translated("read"):
            data: bytes = self._fs.cat_file(self._path(key))
            return data

    def cached(self, key: str) -> bytes:
        """As `read`, keeping what was used last in memory."""
        return self._cached(key)

    def remove(self, key: str) -> None:
        """Forget an object, if it is there."""
        with self._translated("remove"), suppress(FileNotFoundError):
            self._fs.rm_file(self._path(key))

    def list(self, kind: str) -> Iterator[StoredObject]:
        """All objects of a kind, unfinished ones too."""
        with self._translated("list"):
            try:
                found = self._fs.ls(self._path(kind), detail=True)
            except FileNotFoundError:
                return
        now = time.time()
        for entry in found:
            if entry["type"] == "file":
                name = entry["name"].rpartition("/")[2]
                yield StoredObject(f"{kind}/{name}", now - _written_at(entry))

    def sweep(self, kind: str, living: Callable[[], Container[str]] | None, min_age_s: float) -> int:
        """Remove what crashes have left: unfinished objects, and those whose stem is not among `living()`.

        Younger ones than `min_age_s` are left alone: another process may be about to need them.  None for
        `living` means that every finished object is.  Returns how many went.
        """
        old = [each for each in self.list(kind) if each.age_s >= min_age_s]
        alive = living() if old and living else ()  # asked after the listing: no object may be younger than its row
        dead = [each for each in old if each.partial or (living is not None and each.stem not in alive)]
        for each in dead:
            self.remove(each.key)
        return len(dead)

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}"

    @contextmanager
    def _translated(self, action: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # every cloud's package has its own
            if isinstance(error, FileNotFoundError) and action != "write":
                raise
            if getattr(error, "errno", None) in NO_SPACE:
                raise OverloadedError(
                    "the server has no space left to keep recordings; try later, or ask its operator to free some",
                    NO_SPACE_RETRY_S,
                ) from error
            raise StorageError(
                f"cannot {action} objects in {self}: {error}; check the address and its rights"
            ) from error


def _write_file(path: Path, data: bytes) -> None:
    """Atomic, and lasting once it returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{PARTIAL}{path.name}-{uuid4().hex}")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    _flush_folder(path.parent)


def _flush_folder(folder: Path) -> None:
    """Make a rename in it last; systems that cannot open a folder need no such thing."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _written_at(entry: Mapping[str, Any]) -> float:
    """Seconds since 1970, whatever the file system calls it."""
    moment = entry.get("mtime", entry.get("LastModified", entry.get("modified", 0.0)))
    return moment.timestamp() if isinstance(moment, datetime) else float(moment)

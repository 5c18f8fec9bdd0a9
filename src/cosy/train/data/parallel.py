"""Work on the shards of a corpus in several processes, which can be stopped at any time and continued.

A shard that is there is whole, so a run begins with those that are missing.  When a run ends early (an error, Ctrl-C, a
killed worker) the other workers stop at their next utterance and remove what they had begun.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from functools import partial
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Protocol, TypeVar

import torch

from cosy.errors import AbortedError, EngineError

J = TypeVar("J")
R = TypeVar("R")
T = TypeVar("T")


class Named(Protocol):
    @property
    def name(self) -> str:
        """Of the shard."""
        ...


N = TypeVar("N", bound=Named)

_stop: Event | None = None  # of the run that this worker belongs to


def write_shards(
    folder: Path, write: Callable[[Path, N], int], jobs: Sequence[N], workers: int
) -> Generator[tuple[N, int], None, None]:
    """Call `write(shard folder, job)` for every job whose shard is missing; yield the job and the shard's tokens.

    Raises what `write` raises, and what `in_processes` does; finished shards stay, unfinished ones do not.
    """
    left = [job for job in jobs if not (folder / job.name / "entries.jsonl").exists()]
    _remove_unfinished(folder)
    try:
        yield from in_processes(partial(_write, folder, write), left, workers)
    finally:
        _remove_unfinished(folder)  # of a worker that was killed


def _write(folder: Path, write: Callable[[Path, N], int], job: N) -> int:
    return write(folder / job.name, job)


def _remove_unfinished(folder: Path) -> None:
    for path in folder.glob("*.partial"):
        shutil.rmtree(path, ignore_errors=True)


def in_processes(function: Callable[[J], R], jobs: Sequence[J], workers: int) -> Generator[tuple[J, R], None, None]:
    """`function` of every job, in the order in which they are done; `function` and jobs can be pickled.

    Raises what `function` raises; EngineError for a full disk or a worker that was killed.
    """
    if not jobs:
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy the threads' locks
    stop = context.Event()
    pool = ProcessPoolExecutor(min(workers, len(jobs)), context, initializer=_begin, initargs=(stop,))
    try:
        futures = {pool.submit(function, job): job for job in jobs}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool as error:
        raise EngineError(
            "a worker process was killed, perhaps for want of memory; what is finished stays: "
            "run the same again, with fewer workers if memory is short"
        ) from error
    except OSError as error:
        raise EngineError(
            f"a worker failed: {error}; what is finished stays: make room if the disk is full, and run the same again"
        ) from error
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def interruptible(items: Iterable[T]) -> Iterator[T]:
    """The items, until the run ends early.  Raises AbortedError then."""
    for item in items:
        if _stop is not None and _stop.is_set():
            raise AbortedError("the run has ended early")
        yield item


def _begin(stop: Event) -> None:
    global _stop
    _stop = stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the first one decides
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker waits for work for ever, even if nobody is left to give it any."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    with suppress(OSError):
        parent.join()
    os._exit(1)

"""A corpus from recordings: rows of like length make a shard, which one process writes; a finished one is not redone.

corpus/
    plan.json               what it is made of (`resume`)
    00000/ 00001/ ...       shards (`corpus`), from short utterances to long ones, each with its `dropped.jsonl`
    dropped.jsonl           rows that are not used, and why
    summary.json .png       (`summary`, `plots`)
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from cosy.audio.io import stated_seconds
from cosy.errors import AudioError
from cosy.train.data.corpus import build, partial_of
from cosy.train.data.listing import Row
from cosy.train.data.parallel import interruptible, write_shards
from cosy.train.data.prepare import MAX_S, Dropped, prepare
from cosy.train.data.resume import begin, begun, digest
from cosy.train.data.teachers import Utterance

ARRAYS = ("wave", "mel", "whisper", "f0")  # phones are known of engines alone
DROPPED = "dropped.jsonl"
_SHARD_S = 600.0  # as recorded
_SHORTEST_S = 1.0  # what a row counts at least: a header may tell nothing
_PROBES = 8  # headers read at once: it is waiting for a disk


@dataclass(frozen=True)
class Options:
    """What decides how a corpus comes out, beside its rows."""

    max_s: float = MAX_S  # of speech in an utterance
    arrays: tuple[str, ...] = ARRAYS
    shard_s: float = _SHARD_S


@dataclass(frozen=True)
class Part:
    """A shard to be."""

    name: str
    rows: tuple[Row, ...]


def plan(folder: Path, rows: Sequence[Row], options: Options) -> list[Part]:
    """Every shard of the corpus `folder`, finished or not; written down there at the first call.

    Raises ParameterError if it was begun with other rows or options.
    """
    identity = {
        "made by": "cosy data build",
        **asdict(options),
        "arrays": list(options.arrays),
        "rows": len(rows),
        "list": digest([asdict(row) for row in rows]),
    }
    earlier = begun(folder, identity)
    if earlier is None:
        earlier = {**identity, "shards": _bucketed(list(_lengths(rows)), options.shard_s)}
        begin(folder, earlier)
    return [Part(f"{i:05d}", tuple(rows[row] for row in shard)) for i, shard in enumerate(earlier["shards"])]


def write(
    folder: Path, parts: Sequence[Part], options: Options, workers: int
) -> Generator[tuple[Part, int], None, None]:
    """Write the shards that are missing; yield each with its length in tokens.  Errors as in `write_shards`."""
    return write_shards(folder, partial(_write, options), parts, workers)


def gather_dropped(folder: Path, parts: Sequence[Part]) -> None:
    """Join the `dropped.jsonl` of all shards.  Raises AudioError if no row at all could be used."""
    with (folder / DROPPED).open("wb") as joined:
        for part in parts:
            with (folder / part.name / DROPPED).open("rb") as file:
                shutil.copyfileobj(file, joined)
    if not any((folder / part.name / "entries.jsonl").stat().st_size for part in parts):
        raise AudioError(f"no recording could be used: {folder / DROPPED} says why, row by row")


def _lengths(rows: Sequence[Row]) -> Iterator[float]:
    with ThreadPoolExecutor(_PROBES) as pool:
        yield from pool.map(stated_seconds, (row.audio for row in rows))


def _bucketed(lengths_s: Sequence[float], shard_s: float) -> list[list[int]]:
    """Rows by length, cut where `shard_s` is reached."""
    shards: list[list[int]] = []
    full_s = shard_s
    for row in sorted(range(len(lengths_s)), key=lambda row: (lengths_s[row], row)):
        if full_s >= shard_s:
            shards.append([])
            full_s = 0.0
        shards[-1].append(row)
        full_s += max(lengths_s[row], _SHORTEST_S)
    return shards


def _write(options: Options, folder: Path, part: Part) -> int:
    return build(folder, _utterances(folder, part.rows, options.max_s), options.arrays)


def _utterances(folder: Path, rows: Sequence[Row], max_s: float) -> Iterator[Utterance]:
    """What can be used of the rows; what cannot is written beside it."""
    with (partial_of(folder) / DROPPED).open("w", encoding="utf-8") as listing:
        for row in interruptible(rows):
            found = prepare(row, max_s)
            if isinstance(found, Dropped):
                told = {"reason": found.reason, "value": found.value, **asdict(found.row)}
                listing.write(json.dumps(told, ensure_ascii=False, default=str) + "\n")
            else:
                yield found

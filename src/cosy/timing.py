"""How long each stage of a request took."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Stopwatch:
    """Adds up seconds by stage.  Stages do not overlap: work inside another stage's time counts twice."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = perf_counter()
        try:
            yield
        finally:
            self._seconds[name] += perf_counter() - start

    def timed(self, name: str, items: Generator[Item, None, Result]) -> Generator[Item, None, Result]:
        """The same items and result; the time between asking for an item and getting it counts as `name`."""
        while True:
            with self.stage(name):
                try:
                    item = next(items)
                except StopIteration as end:
                    result: Result = end.value
                    return result
            yield item

    def take(self) -> dict[str, float]:
        """Stage -> seconds since the last call."""
        taken, self._seconds = dict(self._seconds), defaultdict(float)
        return taken

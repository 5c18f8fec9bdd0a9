"""Things that go wrong on purpose: stages of an engine that fail now and then, and listeners that leave.

Nothing of the engine changes but that the objects its core computes with are wrapped.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from itertools import islice
from random import Random
from time import monotonic
from typing import Any, cast

from cosy.engine.acoustic_runner import AcousticRunner
from cosy.engine.core import Core
from cosy.engine.lm_runner import LMRunner
from cosy.errors import EngineError

LM_STAGES = ("prefill", "step")
ACOUSTIC_STAGES = ("prepare", "advance", "render")


class InjectedError(EngineError):
    """A stage failed because it was told to."""


class Chaos:
    """While it is armed, makes stages fail now and then, before or after their work is done."""

    def __init__(self, chance: Random, clock: Callable[[], float] = monotonic) -> None:
        self.chance, self.clock = chance, clock
        self.failures: dict[str, int] = {}
        self._every_s = 0.0
        self._due: float | None = None  # None: not armed

    @property
    def armed(self) -> bool:
        return self._due is not None

    def arm(self, every_s: float) -> None:
        """From now on a stage fails about every `every_s` seconds."""
        self._every_s = every_s
        self._due = self.clock() + self.chance.expovariate(1 / every_s)

    def disarm(self) -> None:
        self._due = None

    def through(self, stage: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """The work of a stage, which may fail."""

        def shaky(*arguments: Any, **named: Any) -> Any:
            if self._due is None or self.clock() < self._due:
                return work(*arguments, **named)
            self.arm(self._every_s)
            self.failures[stage] = self.failures.get(stage, 0) + 1
            failure = InjectedError(f"{stage} was told to fail")
            if self.chance.random() < 0.5:
                done = work(*arguments, **named)
                if isinstance(done, Iterator):
                    return _broken(done, failure)
            raise failure

        return shaky


def _broken(results: Iterator[Any], failure: InjectedError) -> Iterator[Any]:
    """The first of what a stage hands out bit by bit, then the failure."""
    yield from islice(results, 1)
    raise failure


class Unreliable:
    """Stands for a runner whose `stages` may fail."""

    def __init__(self, runner: object, stages: tuple[str, ...], chaos: Chaos) -> None:
        self._runner, self._stages, self._chaos = runner, stages, chaos

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._runner, name)
        return self._chaos.through(name, found) if name in self._stages else found


def make_unreliable(core: Core, chaos: Chaos) -> None:
    """Wrap what an engine that has not started computes with."""
    core.speaking.lm = cast(LMRunner, Unreliable(core.speaking.lm, LM_STAGES, chaos))
    core.rendering.acoustics = cast(AcousticRunner, Unreliable(core.rendering.acoustics, ACOUSTIC_STAGES, chaos))


@contextmanager
def unlogged() -> Iterator[None]:
    """What was made to fail need not be logged."""
    logger = logging.getLogger("cosy.engine.core")

    def keep(record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], InjectedError))

    logger.addFilter(keep)
    try:
        yield
    finally:
        logger.removeFilter(keep)


class Manner(Enum):
    """How a listener behaves."""

    STAYS = "stays"
    ABORTS = "aborts"  # asks the engine to cancel the request
    LEAVES = "leaves"  # closes the iterator after some chunks
    IS_CANCELLED = "is cancelled"  # its task is


MANNERS = {Manner.STAYS: 7, Manner.ABORTS: 1, Manner.LEAVES: 1, Manner.IS_CANCELLED: 1}  # of ten


def some_manner(chance: Random) -> Manner:
    return chance.choices(list(MANNERS), list(MANNERS.values()))[0]

"""Run every golden case: the golden folder's, where it is, and those of our own making.

A case that no runner knows is a failure, in either folder.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from pathlib import Path

import pytest

import tests.golden
from tests.golden import FOLDER, Case, discover
from tests.golden.drafts import OWN

NOT_COVERED = ("flow_v3/", "vocoder_v3/", "lm/lm3_", "token2wav/v3_")  # CosyVoice 3 is not built yet

Matcher = Callable[[Case], bool]
Runner = Callable[[Case], None]


def runners() -> list[tuple[Matcher, Runner]]:
    """All (matches, run) pairs of the `cases_*` modules."""
    found: list[tuple[Matcher, Runner]] = []
    for module in pkgutil.iter_modules(tests.golden.__path__):
        if module.name.startswith("cases_"):
            found += importlib.import_module(f"tests.golden.{module.name}").RUNNERS
    return found


def runner_of(case: Case) -> Runner:
    """The one runner that knows the case."""
    matching = [run for matches, run in runners() if matches(case)]
    assert len(matching) == 1, f"{len(matching)} runners know {case.path}, module {case.spec.get('module')!r}"
    return matching[0]


def relative(path: Path) -> str:
    return path.relative_to(FOLDER).as_posix()


def label(path: Path) -> str:
    return f"own/{path.relative_to(OWN).as_posix()}" if path.is_relative_to(OWN) else relative(path)


def covered(path: Path) -> bool:
    return not relative(path).startswith(NOT_COVERED)


CASES = [path for path in discover(FOLDER) if covered(path)] if FOLDER.is_dir() else []


@pytest.mark.skipif(
    not CASES, reason=f"no golden cases in {FOLDER}: set COSY_GOLDEN to the folder; own cases still run"
)
def test_the_golden_folder_has_cases() -> None:
    assert CASES


def test_there_are_cases_of_our_own_making() -> None:
    assert discover(OWN)


@pytest.mark.parametrize("path", [*CASES, *discover(OWN)], ids=label)
def test_golden_case(path: Path) -> None:
    case = Case(path)
    runner_of(case)(case)

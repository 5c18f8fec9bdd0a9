"""Run every golden case found in the folder; a case that no runner knows is a failure."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from pathlib import Path

import pytest

import tests.golden
from tests.golden import FOLDER, Case, discover

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


def relative(path: Path) -> str:
    return path.relative_to(FOLDER).as_posix()


def covered(path: Path) -> bool:
    return not relative(path).startswith(NOT_COVERED)


CASES = [path for path in discover(FOLDER) if covered(path)] if FOLDER.is_dir() else []


@pytest.mark.skipif(not CASES, reason=f"no golden cases in {FOLDER.name!r}: set COSY_GOLDEN to run them")
def test_the_golden_folder_has_cases() -> None:
    assert CASES


@pytest.mark.parametrize("path", CASES, ids=relative)
def test_golden_case(path: Path) -> None:
    case = Case(path)
    matching = [run for matches, run in runners() if matches(case)]
    assert len(matching) == 1, f"{len(matching)} runners know {relative(path)}, module {case.spec.get('module')!r}"
    matching[0](case)

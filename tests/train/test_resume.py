from __future__ import annotations

from pathlib import Path

import pytest

from cosy.errors import ParameterError
from cosy.train.data.resume import begin, begun, digest

IDENTITY = {"made by": "a test", "max_s": 30.0, "arrays": ["wave", "mel"]}


def test_a_new_or_empty_folder_has_no_plan(tmp_path: Path) -> None:
    assert begun(tmp_path, IDENTITY) is None
    assert begun(tmp_path / "new", IDENTITY) is None


def test_the_same_plan_is_continued(tmp_path: Path) -> None:
    begin(tmp_path / "new", {**IDENTITY, "shards": [[0, 1]]})
    plan = begun(tmp_path / "new", IDENTITY)
    assert plan is not None
    assert plan["shards"] == [[0, 1]]


@pytest.mark.parametrize("change", [{"max_s": 20.0}, {"arrays": ["wave"]}, {"made by": "another"}, {"seed": 1}])
def test_another_plan_is_refused_by_the_name_of_what_changed(tmp_path: Path, change: dict[str, object]) -> None:
    begin(tmp_path, IDENTITY)
    with pytest.raises(ParameterError, match=rf"another plan \({next(iter(change))}.*choose another folder"):
        begun(tmp_path, {**IDENTITY, **change})


def test_a_folder_of_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(ParameterError, match="holds other things"):
        begun(tmp_path, IDENTITY)


def test_a_plan_that_was_never_finished_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "plan.json.partial").touch()
    assert begun(tmp_path, IDENTITY) is None


def test_a_digest_tells_values_apart() -> None:
    assert digest([1, "a"]) == digest([1, "a"])
    assert len({digest([1]), digest([2]), digest(["1"]), digest([Path("1"), 2])}) == 4

from __future__ import annotations

from pathlib import Path

import pytest

from cosy.errors import ParameterError
from cosy.eval.journal import Journal, fingerprint


def test_a_run_goes_on_where_it_was_cut(tmp_path: Path) -> None:
    path = tmp_path / "new" / "rows.jsonl"
    Journal(path, {"seed": 1}).append({"i": 0, "text": "早"})
    with path.open("a") as file:
        file.write('{"i": 1, "te')  # cut while it wrote
    journal = Journal(path, {"seed": 1})
    assert journal.rows == [{"i": 0, "text": "早"}]
    journal.append({"i": 1})
    assert Journal(path, {"seed": 1}).rows == [{"i": 0, "text": "早"}, {"i": 1}]


def test_rows_of_other_settings_are_not_mixed_in(tmp_path: Path) -> None:
    Journal(tmp_path / "rows.jsonl", {"seed": 1, "voice": "anna"})
    with pytest.raises(ParameterError, match="of another run: seed differ"):
        Journal(tmp_path / "rows.jsonl", {"seed": 2, "voice": "anna"})


@pytest.mark.parametrize("content", ["a letter\n", "[]\n", "3\n", '{"i": 0}\n'])
def test_another_file_is_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(content)
    with pytest.raises(ParameterError, match="no journal"):
        Journal(path, {})
    assert path.read_text() == content


def test_without_a_path_rows_are_kept_in_memory() -> None:
    journal = Journal(None, {})
    journal.append({"i": 0})
    assert journal.rows == [{"i": 0}]


def test_a_changed_model_has_another_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "llm.pt").write_bytes(b"abc")
    before = fingerprint(tmp_path)
    assert fingerprint(tmp_path) == before
    (tmp_path / "llm.pt").write_bytes(b"abcd")
    assert fingerprint(tmp_path) != before

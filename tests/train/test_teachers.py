from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from cosy.errors import EngineError, MissingDependencyError
from cosy.train.data.phones import phone_index
from cosy.train.data.teachers import FLITE_VOICES, TEACHERS, Span, Utterance, _spans, is_installed, run, synthesise

TEXT = 'Hello "there", five o\'clock.'


@cache
def spoken(teacher: str) -> Utterance:
    if not is_installed(teacher):
        pytest.skip(f"the teacher {teacher!r} (festival with its voice, or flite) is not installed")
    return next(iter(synthesise(teacher, [TEXT])))


each_teacher = pytest.mark.parametrize("teacher", TEACHERS)


@each_teacher
def test_a_teacher_speaks(teacher: str) -> None:
    said = spoken(teacher)
    assert said.text == TEXT
    assert said.audio.dtype == np.float32
    assert said.audio.ndim == 1
    assert said.rate_hz == (32_000 if teacher == "slt" else 16_000)
    assert np.abs(said.audio).max() > 0.05


@each_teacher
def test_phones_follow_each_other_to_the_end_of_the_audio(teacher: str) -> None:
    said = spoken(teacher)
    assert said.phones[0].start_s == 0.0
    assert all(a.end_s == b.start_s for a, b in zip(said.phones[:-1], said.phones[1:], strict=True))
    assert said.phones[-1].end_s == pytest.approx(len(said.audio) / said.rate_hz, abs=0.15)  # kal16 cuts its tail


@each_teacher
def test_every_phone_is_known(teacher: str) -> None:
    assert {phone_index(span.label) for span in spoken(teacher).phones} > {phone_index("l"), phone_index("pau")}


def test_slt_tells_when_each_word_ends() -> None:
    words = spoken("slt").words
    assert [w.label for w in words] == ["Hello", ' "there",', " five", " o'clock."]
    ends = [w.end_s for w in words]
    assert ends == sorted(ends)


@pytest.mark.parametrize("teacher", FLITE_VOICES)
def test_flite_gives_no_word_times(teacher: str) -> None:
    assert spoken(teacher).words == ()


def test_an_unknown_teacher_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'hal'; known: slt, rms"):
        synthesise("hal", [TEXT])


@each_teacher
def test_a_teacher_that_is_not_installed_is_an_error_that_names_the_remedy(
    teacher: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingDependencyError, match="apt-get install"):
        synthesise(teacher, [TEXT])


def test_label_files_are_read_as_spans(tmp_path: Path) -> None:
    path = tmp_path / "a.seg"
    path.write_text("#\n0.25 100 pau\n0.5 100 ah\n")
    assert _spans(path) == (Span("pau", 0.0, 0.25), Span("ah", 0.25, 0.5))


def test_an_engine_that_fails_is_an_error_that_tells_what_it_said() -> None:
    with pytest.raises(EngineError, match="sh ended with status 3: out of breath"):
        run(["sh", "-c", "echo out of breath >&2; exit 3"])

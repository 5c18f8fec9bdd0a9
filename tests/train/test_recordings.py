from __future__ import annotations

import json
from pathlib import Path

import pytest

from cosy.errors import AudioError, ParameterError
from cosy.train.data.corpus import Corpus
from cosy.train.data.listing import Row, read_rows
from cosy.train.data.recordings import DROPPED, Options, gather_dropped, plan, write
from tests.train.sounds import buzz
from tests.train.sounds import write as write_sound

OPTIONS = Options(shard_s=4.0)
SECONDS = {"ada/1.wav": 3.0, "ada/2.flac": 1.0, "bob/1.mp3": 2.0, "bob/2.wav": 2.5, "bob/3.ogg": 1.5}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five recordings of two speakers, one without a text and one that is no audio."""
    folder = tmp_path_factory.mktemp("recordings")
    for number, (name, seconds) in enumerate(SECONDS.items()):
        write_sound(folder / name, buzz(seconds, 110.0 + 20 * number), text="one two three four"[: round(8 * seconds)])
    write_sound(folder / "cat" / "mute.wav", buzz(1.2), text=None)
    (folder / "cat" / "broken.wav").write_bytes(b"RIFF")
    (folder / "cat" / "broken.txt").write_text("nothing")
    return folder


def made(folder: Path, source: Path, workers: int) -> Path:
    parts = plan(folder, read_rows(source), OPTIONS)
    for _ in write(folder, parts, OPTIONS, workers):
        pass
    gather_dropped(folder, parts)
    return folder


@pytest.fixture(scope="module")
def corpus(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("pyworld", reason="F0 of a corpus needs the extra `train`")
    return made(tmp_path_factory.mktemp("corpus") / "new", source, workers=2)


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_shard_holds_rows_of_like_length(source: Path, tmp_path: Path) -> None:
    parts = plan(tmp_path, read_rows(source), OPTIONS)
    names = [(part.name, " ".join(row.audio.stem for row in part.rows)) for part in parts]
    assert names == [("00000", "broken 2 mute 3"), ("00001", "1 2"), ("00002", "1")]


def test_every_recording_that_can_be_used_is_there(corpus: Path) -> None:
    entries = Corpus(corpus).entries
    assert sorted(entry.speaker for entry in entries) == ["ada", "ada", "bob", "bob", "bob"]
    durations = [entry.tokens / 25 for entry in entries]
    assert durations == sorted(durations)
    assert durations == pytest.approx(sorted(SECONDS.values()), abs=0.12)


def test_what_was_dropped_is_told_with_the_reason(corpus: Path, source: Path) -> None:
    rows = [json.loads(line) for line in (corpus / DROPPED).read_text(encoding="utf-8").splitlines()]
    assert {(row["audio"], row["reason"]) for row in rows} == {
        (str(source / "cat" / "mute.wav"), "no text"),
        (str(source / "cat" / "broken.wav"), "unreadable"),
    }
    assert all({"value", "text", "speaker"} <= set(row) for row in rows)


def test_an_interrupted_build_by_one_worker_ends_up_the_same(corpus: Path, source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "again"
    run = write(folder, plan(folder, read_rows(source), OPTIONS), OPTIONS, workers=1)
    part, _ = next(run)
    run.close()
    finished = folder / part.name
    stamp = (finished / "wave.raw").stat().st_mtime_ns
    made(folder, source, workers=1)
    assert contents(folder) == contents(corpus)
    assert (finished / "wave.raw").stat().st_mtime_ns == stamp, "the finished shard was not written again"


def test_a_changed_list_is_noticed(corpus: Path, source: Path) -> None:
    rows = read_rows(source)
    with pytest.raises(ParameterError, match="another plan \\(rows 7, now 6\\)"):
        plan(corpus, rows[1:], OPTIONS)
    other = [Row(rows[0].audio, "another text", "ada", "en"), *rows[1:]]
    with pytest.raises(ParameterError, match="another plan \\(list "):
        plan(corpus, other, OPTIONS)


def test_a_changed_option_is_noticed(corpus: Path, source: Path) -> None:
    with pytest.raises(ParameterError, match=r"another plan \(max_s 30\.0, now 20"):
        plan(corpus, read_rows(source), Options(max_s=20, shard_s=4.0))


def test_a_build_that_uses_nothing_is_an_error_that_names_the_reasons(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.wav").touch()
    with pytest.raises(AudioError, match=r"no recording could be used: .*dropped\.jsonl says why"):
        made(tmp_path / "out", tmp_path / "in", workers=1)
    assert json.loads((tmp_path / "out" / DROPPED).read_text())["reason"] == "no text"

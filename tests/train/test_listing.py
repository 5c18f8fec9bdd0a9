from __future__ import annotations

import json
from pathlib import Path

import pytest

from cosy.errors import ParameterError
from cosy.train.data.listing import Row, read_rows


def written(folder: Path, **files: str | bytes) -> Path:
    """Files by their names, of which `__` stands for a slash and `_dot_` for a dot."""
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def one(source: Path) -> Row:
    (row,) = read_rows(source)
    return row


# ---- folders


@pytest.mark.parametrize("suffix", ["normalized.txt", "txt", "lab"])
def test_a_recording_has_its_text_beside_it(tmp_path: Path, suffix: str) -> None:
    written(tmp_path, ada__1_dot_wav="")
    (tmp_path / "ada" / f"1.{suffix}").write_text("Good \n morning.\n")
    assert one(tmp_path) == Row(tmp_path / "ada" / "1.wav", "Good morning.", "ada", "en")


def test_a_normalised_text_is_preferred(tmp_path: Path) -> None:
    written(tmp_path, a__1_dot_wav="", a__1_dot_txt="At 5.", a__1_dot_lab="at", a__1_dot_normalized_dot_txt="At five.")
    assert one(tmp_path).text == "At five."


def test_a_recording_without_a_text_is_listed(tmp_path: Path) -> None:
    assert one(written(tmp_path, a__1_dot_flac="")).text == ""


def test_files_are_listed_by_name_and_others_are_passed_over(tmp_path: Path) -> None:
    written(tmp_path, b__1_dot_MP3="", a__2_dot_wav="", a__10_dot_ogg="", a__notes_dot_txt="?", a__cover_dot_png="")
    assert [row.audio.name for row in read_rows(tmp_path)] == ["10.ogg", "2.wav", "1.MP3"]


def test_the_speaker_of_libritts_is_the_folder_above_the_chapter(tmp_path: Path) -> None:
    row = one(written(tmp_path, **{"84__121123__84_121123_000007_dot_wav": ""}))
    assert row.speaker == "84"


def test_ljspeech_is_one_speaker_and_its_last_column_counts(tmp_path: Path) -> None:
    folder = tmp_path / "LJ"
    written(folder, metadata_dot_csv="a|In 1455|In fourteen\nb|Yes\n", wavs__a_dot_flac="")
    assert read_rows(folder) == [
        Row(folder / "wavs" / "a.flac", "In fourteen", "LJ", "en"),
        Row(folder / "wavs" / "b.wav", "Yes", "LJ", "en"),
    ]


def test_kaldi_joins_its_tables_by_name(tmp_path: Path) -> None:
    written(tmp_path, wav_dot_scp="u1\tx/1.wav\nu2 /far/2.wav\n", text="u2 two\nu1  one more\n", utt2spk="u1 ann\n")
    assert read_rows(tmp_path) == [
        Row(tmp_path / "x" / "1.wav", "one more", "ann", "en"),
        Row(Path("/far/2.wav"), "two", "far", "en"),
    ]


# ---- lists


def test_every_kind_of_list_gives_the_same_rows(tmp_path: Path) -> None:
    table = [
        ("audio", "text", "speaker", "language", "style", "instruction"),
        ("a.wav", 'He said "no", twice.', "ada", "en", "sad", "Sigh."),
        ("b/c.wav", "你好。", "", "", "", ""),
    ]
    (tmp_path / "list.tsv").write_text("\n".join("\t".join(row) for row in table), encoding="utf-8")
    quoted = [",".join('"' + field.replace('"', '""') + '"' for field in row) for row in table]
    (tmp_path / "list.csv").write_text("\ufeff" + "\r\n".join(quoted), encoding="utf-8")
    objects = [json.dumps(dict(zip(table[0], row, strict=True))) for row in table[1:]]
    (tmp_path / "list.jsonl").write_text("\n\n".join(objects), encoding="utf-8")
    expected = [
        Row(tmp_path / "a.wav", 'He said "no", twice.', "ada", "en", "sad", "Sigh."),
        Row(tmp_path / "b" / "c.wav", "你好。", "b", "zh"),
    ]
    for suffix in ("tsv", "csv", "jsonl"):
        assert read_rows(tmp_path / f"list.{suffix}") == expected, suffix


@pytest.mark.parametrize(
    ("text", "given", "language"),
    [
        ("Hello", "", "en"),
        ("你好", "", "zh"),
        ("おはよう", "", "ja"),
        ("안녕하세요", "", "ko"),
        ("Привет", "", "other"),
        ("Hello", "English", "en"),
        ("你好", "zh-CN", "zh"),
        ("Bonjour", "FR", "fr"),
    ],
)
def test_the_language_is_the_one_that_is_given_or_that_of_the_letters(
    tmp_path: Path, text: str, given: str, language: str
) -> None:
    (tmp_path / "list.tsv").write_text(f"audio\ttext\tlanguage\na.wav\t{text}\t{given}\n", encoding="utf-8")
    assert one(tmp_path / "list.tsv").language == language


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("list.tsv", "audio\ttext\na.wav\tyes\nb.wav\n", r"list\.tsv, line 3: it has 1 fields, the first line names 2"),
        ("list.tsv", "audio\ttxt\n", r"line 1: unknown column 'txt'; known: audio, text"),
        ("list.tsv", "audio\n", r"line 1: there is no column 'text'"),
        ("list.tsv", "", r"line 1: there is no column 'audio'"),
        ("list.tsv", "audio\ttext\n \tyes\n", r"line 2: the column 'audio' is empty"),
        ("list.tsv", "audio\ttext\tlanguage\na\tb\t7?\n", r"line 2: language '7\?' is not known"),
        ("list.tsv", "audio\ttext\n", r"lists no recording"),
        ("list.csv", 'audio,text\na.wav,"two\nlines"\nb.wav\n', r"line 4: it has 1 fields"),
        ("list.jsonl", '{"audio": "a.wav", "text": "b"}\n\nno\n', r"line 3: not JSON"),
        (
            "list.jsonl",
            '{"audio": "a.wav", "text": 5}',
            r"line 1: every line must be an object whose values are strings",
        ),
        ("list.jsonl", '["a.wav"]', r"line 1: every line must be an object"),
        ("list.jsonl", '{"audio": "a.wav", "words": "b"}', r"line 1: unknown column 'words'"),
        ("list.txt", "a.wav b", r"its name ends in '\.txt', known are \.tsv, \.csv, \.jsonl"),
        ("list.tsv", b"audio\ttext\na.wav\tna\xefve\n", r"line 2: not UTF-8"),
        ("metadata.csv", "a|b\nno bar here\n", r"metadata\.csv, line 2: 'no bar here' is not id\|text"),
        ("wav.scp", "u1 sph2pipe u1.sph |\n", r"wav\.scp, line 1: .* names no file"),
    ],
)
def test_a_bad_list_is_an_error_that_names_the_line(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    (tmp_path / "text").touch()
    with pytest.raises(ParameterError, match=message):
        read_rows(tmp_path if name in ("metadata.csv", "wav.scp") else path)


def test_kaldi_segments_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="segments cuts recordings into pieces"):
        read_rows(written(tmp_path, wav_dot_scp="u 1.wav", text="u one", segments="u u 0 1"))


@pytest.mark.parametrize("name", ["nothing", "nothing.tsv"])
def test_a_source_that_does_not_exist_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(ParameterError, match="does not exist: name a folder of recordings"):
        read_rows(tmp_path / name)

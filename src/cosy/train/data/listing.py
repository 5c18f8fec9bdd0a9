"""What a corpus is to be made of: recordings and their texts, however they are listed.

    a folder       audio files with their text beside them: NAME.normalized.txt, NAME.txt or NAME.lab
    LJSpeech       a folder with `metadata.csv` (id|text or id|text|text in words) and `wavs/`
    Kaldi          a folder with `wav.scp`, `text` and, if there are several speakers, `utt2spk`
    a list         .tsv or .csv with a first line of column names, or .jsonl; see `COLUMNS`

Nothing is decoded here: whether a recording can be used is decided in `prepare`.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cosy.errors import ParameterError, TextError
from cosy.text.normalize import OTHER, language_of

COLUMNS = ("audio", "text", "speaker", "language", "style", "instruction")  # of a list; the first two are needed
AUDIO_SUFFIXES = frozenset(
    ".wav .flac .mp3 .ogg .oga .opus .m4a .aac .mp4 .mov .webm .mka .mkv .aif .aiff .caf .au .amr .wma".split()
)
TEXT_SUFFIXES = (".normalized.txt", ".txt", ".lab")  # in order of preference
LISTS = (".tsv", ".csv", ".jsonl")


@dataclass(frozen=True)
class Row:
    """A recording and what is known of it; `text` may be empty, `style` and `instruction` say how it is spoken."""

    audio: Path
    text: str
    speaker: str
    language: str  # "en", "zh", "ja", "ko", "other", or the tag that was given
    style: str = ""
    instruction: str = ""


def read_rows(source: Path) -> list[Row]:
    """Every recording of a folder or list, in its order (files: by name).

    Raises ParameterError, naming the file and line, for a list that cannot be read.
    """
    source = source.absolute()
    if not source.exists():
        raise ParameterError(f"{source} does not exist: name a folder of recordings, or a list ({', '.join(LISTS)})")
    rows = list(_folder(source) if source.is_dir() else _list(source))
    if not rows:
        raise ParameterError(f"{source} lists no recording: it needs audio files with their texts, or a list of both")
    return rows


def _folder(folder: Path) -> Iterator[Row]:
    if (folder / "metadata.csv").is_file():
        return _ljspeech(folder)
    if (folder / "wav.scp").is_file():
        return _kaldi(folder)
    return _pairs(folder)


def _pairs(folder: Path) -> Iterator[Row]:
    for audio in sorted(folder.rglob("*")):
        if audio.suffix.lower() in AUDIO_SUFFIXES and audio.is_file():
            texts = (audio.with_name(audio.stem + suffix) for suffix in TEXT_SUFFIXES)
            found = next((path for path in texts if path.is_file()), None)
            yield _row(audio, _read(found) if found else "", _speaker_of(audio))


def _speaker_of(audio: Path) -> str:
    """The name of its folder; in SPEAKER/CHAPTER/SPEAKER_CHAPTER_....wav, as LibriTTS has it, of the one above."""
    chapter = audio.parent
    if audio.name.startswith(f"{chapter.parent.name}_{chapter.name}_"):
        return chapter.parent.name
    return chapter.name


def _ljspeech(folder: Path) -> Iterator[Row]:
    path = folder / "metadata.csv"
    for number, line in _lines(path):
        name, *texts = line.split("|")
        if not 1 <= len(texts) <= 2:
            raise _wrong(
                path, number, f"{line[:40]!r} is not id|text or id|text|text in words; use a .tsv list instead"
            )
        yield _row(_named(folder / "wavs", name), texts[-1] or texts[0], folder.name)


def _named(folder: Path, name: str) -> Path:
    """The audio file of a name that is given without its extension."""
    known = (folder / (name + suffix) for suffix in sorted(AUDIO_SUFFIXES))
    return next((path for path in known if path.is_file()), folder / f"{name}.wav")


def _kaldi(folder: Path) -> Iterator[Row]:
    if (folder / "segments").is_file():
        raise ParameterError(f"{folder / 'segments'} cuts recordings into pieces: cut them first, one file each")
    texts = _table(folder / "text")
    speakers = _table(folder / "utt2spk") if (folder / "utt2spk").is_file() else {}
    path = folder / "wav.scp"
    for number, line in _lines(path):
        name, place = _cut(line)
        if not place or place.endswith("|"):
            raise _wrong(path, number, f"{line[:40]!r} names no file: a command cannot be read, write its output first")
        audio = folder / place
        yield _row(audio, texts.get(name, ""), speakers.get(name, _speaker_of(audio)))


def _table(path: Path) -> dict[str, str]:
    """A Kaldi table: a name and, after a blank, its value."""
    return dict(_cut(line) for _, line in _lines(path))


def _cut(line: str) -> tuple[str, str]:
    name, *value = line.split(maxsplit=1)
    return name, "".join(value)


def _list(path: Path) -> Iterator[Row]:
    suffix = path.suffix.lower()
    if suffix not in LISTS:
        raise ParameterError(f"{path} is not a list: its name ends in {suffix!r}, known are {', '.join(LISTS)}")
    for number, fields in _objects(path) if suffix == ".jsonl" else _records(path, suffix):
        yield _listed(path, number, fields)


def _objects(path: Path) -> Iterator[tuple[int, Mapping[str, str]]]:
    for number, line in _lines(path):
        try:
            fields = json.loads(line)
        except ValueError as error:
            raise _wrong(path, number, f"not JSON: {error}") from error
        if not isinstance(fields, dict) or not all(isinstance(value, str) for value in fields.values()):
            raise _wrong(path, number, "every line must be an object whose values are strings")
        yield number, fields


def _records(path: Path, suffix: str) -> Iterator[tuple[int, Mapping[str, str]]]:
    lines = io.StringIO(_read(path), newline="")
    tabs = suffix == ".tsv"  # in it quotation marks are just that
    reader = csv.reader(lines, delimiter="\t" if tabs else ",", quoting=csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL)
    try:
        names = next(reader, [])
        _check_columns(path, 1, names)
        for fields in reader:
            if len(fields) not in (0, len(names)):
                raise _wrong(path, reader.line_num, f"it has {len(fields)} fields, the first line names {len(names)}")
            if fields:
                yield reader.line_num, dict(zip(names, fields, strict=True))
    except csv.Error as error:
        raise _wrong(path, reader.line_num, str(error)) from error


def _check_columns(path: Path, number: int, names: list[str]) -> None:
    unknown = [name for name in names if name not in COLUMNS]
    missing = [name for name in COLUMNS[:2] if name not in names]
    if unknown or missing:
        what = f"unknown column {unknown[0]!r}" if unknown else f"there is no column {missing[0]!r}"
        raise _wrong(path, number, f"{what}; known: {', '.join(COLUMNS)}")


def _listed(path: Path, number: int, fields: Mapping[str, str]) -> Row:
    _check_columns(path, number, list(fields))
    if not fields["audio"].strip():
        raise _wrong(path, number, "the column 'audio' is empty")
    audio = path.parent / fields["audio"].strip()
    details = {name: fields.get(name, "").strip() for name in COLUMNS[2:]}
    try:
        return _row(audio, fields["text"], details.pop("speaker") or _speaker_of(audio), **details)
    except TextError as error:
        raise _wrong(path, number, str(error)) from error


def _row(audio: Path, text: str, speaker: str, language: str = "", style: str = "", instruction: str = "") -> Row:
    text = " ".join(text.split())
    code = language_of(text, language)
    return Row(audio, text, speaker, language.lower() if language and code == OTHER else code, style, instruction)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines that are not blank, with their numbers."""
    for number, line in enumerate(_read(path).split("\n"), 1):
        if line.strip():
            yield number, line.strip()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise _wrong(path, line, "not UTF-8; save it as UTF-8") from error
    except OSError as error:
        raise ParameterError(f"{path} cannot be read: {error.strerror}") from error


def _wrong(path: Path, line: int, what: str) -> ParameterError:
    return ParameterError(f"{path}, line {line}: {what}")

"""What a benchmark wants said, and in whose voice: the list formats of Seed-TTS-eval and CV3-Eval.

Seed-TTS-eval (github.com/BytedanceSpeech/seed-tts-eval, `meta.lst`): a text file, a line for each utterance,

    utt|prompt_text|prompt_wav|text
    utt|prompt_text|prompt_wav|text|target_wav

with paths relative to the list's folder.  `utt` may end in `.wav`.  `target_wav` is a recording of `text` by the same
speaker.

CV3-Eval (github.com/FunAudioLLM/CV3-Eval, a folder for each set), as Kaldi writes tables, a key and a value a line:

    text             utt what is to be said
    prompt_text      utt what the prompt says
    prompt_wav.scp   utt path of the prompt

with paths relative to the folder, or to one of the folders above it (a list and its recordings are kept apart there).
All three must have the same keys.  Order is that of `text`.

JSONL: an object a line, with the keys `utt` (or `id`), `text`, `prompt_text`, `prompt_wav`, and `target_wav` if there
is one; paths relative to the file.  Other keys are left alone.

A folder of prompts, for cloning: `NAME.wav` with its transcript in `NAME.txt`, and if there is one another recording
of the same speaker in `NAME.other.wav`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosy.errors import InputError

OTHER = ".other.wav"


@dataclass(frozen=True)
class Prompt:
    """A recording to speak like."""

    name: str
    wav: Path
    text: str  # its transcript
    other: Path | None = None  # another recording of the same speaker


@dataclass(frozen=True)
class Item:
    """A line of a benchmark."""

    utt: str
    text: str  # to be said
    prompt: Prompt
    target_wav: Path | None = None  # the same said by the speaker of the prompt


def read_items(path: Path) -> list[Item]:
    """All items of a list: a folder is CV3-Eval's, `.jsonl` an object a line, anything else Seed-TTS-eval's.

    Raises InputError for a file that is missing, empty or wrong, naming the line.
    """
    if path.is_dir():
        items = list(_cv3(path))
    elif not path.is_file():
        raise InputError(f"{path} does not exist: name a meta list, or a folder with text, prompt_text, prompt_wav.scp")
    else:
        items = list(_jsonl(path) if path.suffix == ".jsonl" else _seed_tts(path))
    if not items:
        raise InputError(f"{path} holds no utterance")
    seen: set[str] = set()
    for item in items:
        if item.utt in seen:
            raise InputError(f"{path}: the utterance {item.utt!r} is there twice; names must differ")
        seen.add(item.utt)
    return items


def read_prompts(path: Path) -> list[Prompt]:
    """Prompts of a folder of recordings, or the distinct ones of a list.  Raises InputError."""
    if path.is_dir() and not (path / "prompt_wav.scp").is_file():
        return _folder(path)
    prompts: dict[Path, Prompt] = {}
    for item in read_items(path):
        prompts.setdefault(item.prompt.wav, item.prompt)
    return list(prompts.values())


# --- formats ----------------------------------------------------------------------------------------------------


def _seed_tts(path: Path) -> Iterator[Item]:
    for place, line in _lines(path):
        fields = [field.strip() for field in line.split("|")]
        if len(fields) not in (4, 5) or not all(fields):
            raise InputError(f"{place}: expected utt|prompt_text|prompt_wav|text[|target_wav], got {line!r}")
        utt, prompt_text, prompt_wav, text, *target = fields
        yield _item(place, path.parent, utt.removesuffix(".wav"), text, prompt_text, prompt_wav, *target)


def _cv3(folder: Path) -> Iterator[Item]:
    texts, prompt_texts, wavs = (_table(folder / name) for name in ("text", "prompt_text", "prompt_wav.scp"))
    for name, table in (("prompt_text", prompt_texts), ("prompt_wav.scp", wavs)):
        differing = sorted(texts.keys() ^ table.keys())
        if differing:
            raise InputError(f"{folder}: the utterance {differing[0]!r} is not both in text and in {name}")
    for utt, (place, text) in texts.items():
        wav_place, wav = wavs[utt]
        yield _item(f"{place}, {wav_place}", folder, utt, text, prompt_texts[utt][1], wav)


def _jsonl(path: Path) -> Iterator[Item]:
    for place, line in _lines(path):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(f"{place}: not JSON ({error}): {line!r}") from error
        if not isinstance(row, dict):
            raise InputError(f"{place}: expected an object, got {line!r}")
        utt = _string(place, {"utt": row.get("utt", row.get("id"))}, "utt")
        fields = [_string(place, row, key) for key in ("text", "prompt_text", "prompt_wav")]
        target = [_string(place, row, "target_wav")] if row.get("target_wav") else []
        yield _item(place, path.parent, utt, *fields, *target)


def _folder(folder: Path) -> list[Prompt]:
    prompts = []
    for wav in sorted(folder.glob("*.wav")):
        if wav.name.endswith(OTHER):
            continue
        transcript, other = wav.with_suffix(".txt"), wav.with_name(wav.stem + OTHER)
        if not transcript.is_file():
            raise InputError(f"{transcript} is absent: every prompt needs its transcript beside it")
        text = transcript.read_text(encoding="utf-8").strip()
        prompts.append(Prompt(wav.stem, wav, text, other if other.is_file() else None))
    if not prompts:
        raise InputError(f"{folder} holds no prompt: NAME.wav with its transcript in NAME.txt")
    return prompts


# --- parts ------------------------------------------------------------------------------------------------------


def _item(
    place: str, folder: Path, utt: str, text: str, prompt_text: str, prompt_wav: str, target_wav: str = ""
) -> Item:
    wav = _found(place, folder, prompt_wav)
    target = _found(place, folder, target_wav) if target_wav else None
    return Item(utt, text, Prompt(wav.stem, wav, prompt_text, target), target)


def _found(place: str, folder: Path, name: str) -> Path:
    """A recording, relative to the folder or one above it."""
    for base in (folder, *folder.resolve().parents):
        if (base / name).is_file():
            return base / name
    raise InputError(f"{place}: the recording {name!r} does not exist, neither in {folder} nor above it")


def _table(path: Path) -> dict[str, tuple[str, str]]:
    """Key -> where it is, and its value."""
    if not path.is_file():
        raise InputError(f"{path} is absent: a CV3-Eval folder holds text, prompt_text and prompt_wav.scp")
    table: dict[str, tuple[str, str]] = {}
    for place, line in _lines(path):
        key, *value = line.split(maxsplit=1)
        if not value:
            raise InputError(f"{place}: expected a name and a value, got {line!r}")
        if key in table:
            raise InputError(f"{place}: the name {key!r} is there twice")
        table[key] = place, value[0]
    return table


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Where each line is, and the line; empty ones left out."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not text in UTF-8 ({error}); convert it") from error
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield f"{path}, line {number}", line.strip()


def _string(place: str, row: dict[str, Any], key: str) -> str:
    value = row.get(key)
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{place}: {key!r} must be a text that is not empty, got {value!r}")
    return value.strip()

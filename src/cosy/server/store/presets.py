"""Voices that are there from the start: the model's own, and a folder of recordings that the operator fills.

In the folder, `name.wav` (or mp3, flac ...) is a voice, `name.txt` beside it the transcript, and `aliases.json` maps
further names to voices.  Names that clients of other services are used to are slots: those nobody filled speak in
the default voice, or where the name says man or woman, in a voice whose name does so too.
"""

from __future__ import annotations

import builtins
import hashlib
import json
import logging
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from cosy.errors import AudioError, VoiceError
from cosy.server.store.admission import admit, clean_text
from cosy.server.store.objects import ObjectStore
from cosy.server.store.records import Prepare, Prepared, VoiceLimits, VoiceRecord

logger = logging.getLogger(__name__)

CACHE = "presets"  # kind of the objects that keep prepared recordings of the folder
ALIASES = "aliases.json"
SUFFIXES = (".wav", ".mp3", ".flac", ".ogg", ".opus", ".m4a", ".aac", ".webm")
EPOCH = datetime.fromtimestamp(0, timezone.utc)  # of presets that came without a date
LOGGED = 1000  # names, at most: some are the client's choice

WOMEN = frozenset(
    [
        *"anna bella claire diana".split(),  # SiliconFlow
        *"中文女 粤语女 英文女 韩语女".split(),  # CosyVoice SFT, then in the words of Compute Nest
        *(f"{language} female" for language in "chinese cantonese english korean".split()),
    ]
)
MEN = frozenset(
    [
        *"alex benjamin charles david".split(),
        *"中文男 日语男 英文男".split(),
        *(f"{language} male" for language in "chinese japanese english".split()),
    ]
)
OPENAI = frozenset("alloy ash ballad coral echo fable onyx nova sage shimmer verse marin cedar".split())
WELL_KNOWN = WOMEN | MEN | OPENAI  # casefolded
WELL_KNOWN_PATTERN = re.compile(r"(long|loong)[\w.\-]{0,60}", re.IGNORECASE)  # DashScope


@dataclass(frozen=True)
class Preset:
    """A voice given as data: its name, and how to get its prepared file when it is spoken with."""

    name: str
    load: Callable[[], builtins.bytes]
    duration_s: float = 0.0
    transcript: str = ""
    warnings: tuple[str, ...] = ()
    recording: Path | None = None  # the original, where there is one
    bytes: int = 0  # of the original
    sha256: str = ""  # of the original
    created_at: datetime = EPOCH

    def record(self) -> VoiceRecord:
        """What listings say of it."""
        return VoiceRecord(
            id=self.name,
            name=self.name,
            kind="preset",
            transcript=self.transcript,
            filename=self.recording.name if self.recording else "",
            bytes=self.bytes,
            sha256=self.sha256,
            duration_s=self.duration_s,
            warnings=self.warnings,
            surface="",
            owner="",
            consent="",
            created_at=self.created_at,
            modified_at=self.created_at,
        )


class Names:
    """What names mean besides ids of uploads; letter case does not matter.

    `fallback` is whether well-known names that nobody filled speak in the default voice.
    """

    def __init__(self, presets: Sequence[str], aliases: Mapping[str, str], default: str, *, fallback: bool) -> None:
        self.default = default
        self._fallback = fallback
        self._names = {name.casefold(): name for name in presets}
        self._aliases = {name.casefold(): target for name, target in aliases.items()}
        self._logged: set[str] = set()

    def find(self, name: str) -> str | None:
        """The id of the voice that `name` means; None if it means none here."""
        folded = name.casefold()
        found = self._names.get(folded) or self._aliases.get(folded)
        if found is None and self._fallback and self.default and is_well_known(name):
            found = self._stand_in(folded)
            self._log_once(folded, found)
        return found

    def reserved(self, name: str) -> bool:
        """Whether no upload may have this id."""
        return name.casefold() in self._names | self._aliases or is_well_known(name)

    def _stand_in(self, name: str) -> str:
        """The default voice, but for a name that tells a man from a woman one that does so likewise, if there is."""
        alike = next((names for names in (WOMEN, MEN) if name in names), frozenset[str]())
        fitting = [voice for folded, voice in self._names.items() if folded in alike]
        return self.default if self.default in fitting or not fitting else fitting[0]

    def _log_once(self, name: str, voice: str) -> None:
        if name not in self._logged and len(self._logged) < LOGGED:
            self._logged.add(name)
            logger.warning(
                "no voice is named %r: speaking with %r; a recording of that name in the folder of presets fills it",
                name,
                voice,
            )


def is_well_known(name: str) -> bool:
    """Whether clients of other services expect a voice of this name."""
    return name.casefold() in WELL_KNOWN or WELL_KNOWN_PATTERN.fullmatch(name) is not None


def load_folder(
    folder: Path, objects: ObjectStore, prepare: Prepare, limits: VoiceLimits, model: str
) -> Iterator[Preset]:
    """The recordings of a folder, each prepared unless that was done before with the same `model`.

    Raises VoiceError naming the file that cannot be used.
    """
    if not folder.is_dir():
        raise VoiceError(f"the folder of presets {folder} does not exist; make it, or unset presets_dir")
    seen: dict[str, Path] = {}
    for path in sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.name[0] != "."):
        name = unicodedata.normalize("NFC", path.stem)
        if name.casefold() in seen:
            raise VoiceError(f"{seen[name.casefold()]} and {path} are presets of one name; remove one of them")
        seen[name.casefold()] = path
        try:
            yield _from_file(path, name, objects, prepare, limits, model)
        except (AudioError, OSError, UnicodeDecodeError) as error:
            raise VoiceError(f"the preset {path} cannot be used: {error}") from error


def load_aliases(folder: Path) -> dict[str, str]:
    """Further names of voices, from `aliases.json`.  Raises VoiceError if it maps anything but names to names."""
    path = folder / ALIASES
    if not path.is_file():
        return {}
    try:
        aliases = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise VoiceError(f"{path} is not JSON in UTF-8: {error}") from error
    if not isinstance(aliases, dict) or not all(isinstance(target, str) for target in aliases.values()):
        raise VoiceError(f'{path} must map names to names of voices, such as {{"alloy": "anna"}}')
    return aliases


def _from_file(
    path: Path, name: str, objects: ObjectStore, prepare: Prepare, limits: VoiceLimits, model: str
) -> Preset:
    audio = path.read_bytes()
    text = path.with_suffix(".txt")
    transcript = clean_text(text.read_text(encoding="utf-8-sig")) if text.is_file() else ""
    sha256 = hashlib.sha256(audio).hexdigest()
    digest = hashlib.sha256(f"{sha256}\n{model}\n{transcript}".encode()).hexdigest()
    key = f"{CACHE}/{digest}"

    def prepared() -> Prepared:
        """From the cache; prepared again should somebody have emptied it."""
        try:
            return _unpack(objects.cached(key))
        except FileNotFoundError:
            recording = admit(path.read_bytes(), transcript, limits)
            made = prepare(recording.readable, recording.transcript, digest[:32])
            made = Prepared(made.data, made.duration_s, (*recording.warnings, *made.warnings), made.transcript)
            objects.write(key, _pack(made))
            return made

    now = prepared()
    for warning in now.warnings:
        logger.info("preset %s: %s", path, warning)
    return Preset(
        name=name,
        load=lambda: prepared().data,
        duration_s=now.duration_s,
        transcript=transcript or now.transcript,
        warnings=now.warnings,
        recording=path,
        bytes=len(audio),
        sha256=sha256,
        created_at=datetime.fromtimestamp(path.stat().st_mtime, timezone.utc),
    )


def _pack(prepared: Prepared) -> bytes:
    """One object, so that it is there whole or not at all: a line of JSON, then the voice file."""
    about = {"duration_s": prepared.duration_s, "warnings": prepared.warnings, "transcript": prepared.transcript}
    return json.dumps(about).encode() + b"\n" + prepared.data


def _unpack(packed: bytes) -> Prepared:
    line, _, data = packed.partition(b"\n")
    about = json.loads(line)
    return Prepared(data, about["duration_s"], tuple(about["warnings"]), about["transcript"])

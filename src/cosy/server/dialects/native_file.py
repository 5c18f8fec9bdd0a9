"""Voice files (`.cosyvoice`): a voice's recording and what is said in it, to carry from one server to another.

A zip archive of two members: `voice.json` (`{"format", "version", "name", "transcript", "consent"}`) and
`recording.<suffix>`, the original.  An archive comes from anybody: nothing is written to disk, no name in it is used
as a path, and nothing is unpacked beyond what a recording may have.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
import zlib
from dataclasses import dataclass
from typing import NoReturn

from pydantic import Field
from pydantic_core import from_json

from cosy.server.dialects.v1_body import Body, Text, parse
from cosy.server.errors import ApiError, Kind
from cosy.server.limits import upload_too_large

SUFFIX = ".cosyvoice"
MEDIA_TYPE = "application/zip"
FORMAT, VERSION = "cosyvoice", 1
DESCRIPTION = "voice.json"
MOST_DESCRIPTION_BYTES = 64 * 1024
MOST_MEMBERS = 16  # looked at; more are refused before the archive's directory is read, which takes memory for each
MEMBER_MARK = b"PK\x01\x02"  # starts each entry of the directory
RECORDING = re.compile(r"recording(\.[a-z0-9]{1,8})?")
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others unpack without a bound
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError)
MADE = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can say: the same voice gives the same bytes

SOUNDS = (
    (re.compile(rb"RIFF....WAVE", re.DOTALL), "audio/wav", "wav"),
    (re.compile(rb"fLaC"), "audio/flac", "flac"),
    (re.compile(rb"OggS"), "audio/ogg", "ogg"),
    (re.compile(rb"\x1aE\xdf\xa3"), "audio/webm", "webm"),
    (re.compile(rb"....ftyp", re.DOTALL), "audio/mp4", "m4a"),
    (re.compile(rb"\xff[\xf0\xf1\xf8\xf9]"), "audio/aac", "aac"),
    (re.compile(rb"ID3|\xff[\xe0-\xff]"), "audio/mpeg", "mp3"),
)


@dataclass(frozen=True)
class VoiceFile:
    """What such a file holds."""

    name: str
    transcript: str
    consent: str
    recording: bytes
    recording_name: str = ""  # of the archive's member


class _Description(Body):
    """`voice.json`."""

    format: str
    version: int
    name: Text = Field(min_length=1)
    transcript: Text = ""
    consent: Text = ""


def sound_type(audio: bytes) -> tuple[str, str]:
    """Media type and suffix of a recording, by its content; a browser must not guess."""
    for head, media_type, suffix in SOUNDS:
        if head.match(audio):
            return media_type, suffix
    return "application/octet-stream", "bin"


def pack(voice: VoiceFile) -> bytes:
    """The file of a voice."""
    about = {"format": FORMAT, "version": VERSION, "name": voice.name, "transcript": voice.transcript}
    description = json.dumps({**about, "consent": voice.consent}, ensure_ascii=False, indent=2)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:  # recordings are compressed as far as they can be
        archive.writestr(zipfile.ZipInfo(DESCRIPTION, MADE), description)
        archive.writestr(zipfile.ZipInfo(f"recording.{sound_type(voice.recording)[1]}", MADE), voice.recording)
    return file.getvalue()


def unpack(data: bytes, most: int) -> VoiceFile:
    """A voice of its file; at most so many bytes of recording.

    Raises ApiError for anything but an archive of exactly the two members, TOO_LARGE for one that unpacks to more.
    """
    if data.count(MEMBER_MARK) > MOST_MEMBERS:
        _refuse("it has too many members")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            about, sound = _members(archive)
            described = _read(archive, about, MOST_DESCRIPTION_BYTES)
            recording = _read(archive, sound, most)
    except DAMAGED as error:
        _refuse(f"it cannot be unpacked ({str(error)[:80]})")
    if described is None:
        _refuse(f"{DESCRIPTION} is larger than {MOST_DESCRIPTION_BYTES // 1024} KiB")
    if recording is None:
        raise upload_too_large(most)
    found = _description(described)
    return VoiceFile(found.name, found.transcript, found.consent, recording, sound.filename)


def _members(archive: zipfile.ZipFile) -> tuple[zipfile.ZipInfo, zipfile.ZipInfo]:
    """The description and the recording."""
    members = archive.infolist()
    about = [each for each in members if each.filename == DESCRIPTION]
    sound = [each for each in members if RECORDING.fullmatch(each.filename)]
    if len(members) != 2 or len(about) != 1 or len(sound) != 1:
        shown = ", ".join(repr(each.filename[:40]) for each in members[:4])
        _refuse(f"it must hold {DESCRIPTION} and one recording, nothing else; it holds {shown or 'nothing'}")
    for each in members:
        if each.compress_type not in METHODS:
            _refuse(f"{each.filename} is compressed by a method other than deflate")
    return about[0], sound[0]


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int) -> bytes | None:
    """A member's bytes; None if there are more than allowed, whatever the directory says of them."""
    with archive.open(member) as file:
        data = file.read(most + 1)
    return data if len(data) <= most else None


def _description(data: bytes) -> _Description:
    try:
        raw = from_json(data, allow_inf_nan=False)
    except (ValueError, RecursionError):  # also of bytes that are not UTF-8, and of halves of surrogate pairs
        _refuse(f"{DESCRIPTION} is not JSON in UTF-8")
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        _refuse(f'{DESCRIPTION} does not say "format": "{FORMAT}"')
    found = parse(_Description, raw)
    if found.version != VERSION:
        _refuse(f"it is of version {found.version}, this server reads version {VERSION}")
    return found


def _refuse(reason: str) -> NoReturn:
    message = f"the file is no voice file ({SUFFIX}): {reason}; export the voice again"
    raise ApiError(Kind.INVALID, message, "file")

"""Voice files: what is packed comes back, and what somebody made up to do harm does not come in."""

from __future__ import annotations

import io
import json
import struct
import time
import tracemalloc
import zipfile

import pytest

from cosy.server.dialects.native_file import VoiceFile, pack, sound_type, unpack
from cosy.server.errors import ApiError, Kind
from tests.server.dialects.recordings import clip

MOST = 1 << 20
ABOUT = {"format": "cosyvoice", "version": 1, "name": "Ada", "transcript": "Good day."}


def zipped(*members: tuple[str, str | bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return file.getvalue()


def voice(recording: bytes = b"sound", **changes: object) -> bytes:
    return zipped(("voice.json", json.dumps({**ABOUT, **changes})), ("recording.wav", recording))


def link(target: str) -> bytes:
    """An archive whose recording is a symbolic link, as far as the archive can say so."""
    member = zipfile.ZipInfo("recording")
    member.external_attr = 0o120777 << 16
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("voice.json", json.dumps(ABOUT))
        archive.writestr(member, target)
    return file.getvalue()


def patched(data: bytes, mark: bytes, at: int, value: bytes) -> bytes:
    """`data` with bytes changed in every header that begins with a mark."""
    changed = bytearray(data)
    start = changed.find(mark)
    while start >= 0:
        changed[start + at : start + at + len(value)] = value
        start = changed.find(mark, start + 1)
    return bytes(changed)


def test_what_is_packed_comes_back() -> None:
    given = VoiceFile("Ada / 山田\u3000x", "Good day; 早安。", "said yes", clip())
    found = unpack(pack(given), MOST)
    assert (found.name, found.transcript, found.consent) == (given.name, given.transcript, given.consent)
    assert (found.recording, found.recording_name) == (given.recording, "recording.wav")


def test_the_same_voice_gives_the_same_file() -> None:
    given = VoiceFile("Ada", "", "", b"sound")
    assert pack(given) == pack(given)


def test_a_file_made_by_hand_is_taken() -> None:
    assert unpack(voice(), MOST) == VoiceFile("Ada", "Good day.", "", b"sound", "recording.wav")
    assert unpack(zipped(("recording", b"sound"), ("voice.json", json.dumps(ABOUT))), MOST).recording == b"sound"


REFUSED = {
    "no archive": (b"", "cannot be unpacked"),
    "another kind of file": (clip(), "cannot be unpacked"),
    "half of one": (voice()[:-30], "cannot be unpacked"),
    "nothing in it": (zipped(), "holds nothing"),
    "no recording": (zipped(("voice.json", json.dumps(ABOUT))), "nothing else"),
    "no description": (zipped(("recording.wav", b"sound")), "nothing else"),
    "a third member": (zipped(("voice.json", "{}"), ("recording.wav", b""), ("readme.txt", b"")), "nothing else"),
    "two recordings": (zipped(("voice.json", "{}"), ("recording.wav", b""), ("recording.mp3", b"")), "nothing else"),
    "a path upwards": (zipped(("voice.json", "{}"), ("../recording.wav", b"")), "nothing else"),
    "a path upwards for the description": (zipped(("../voice.json", "{}"), ("recording.wav", b"")), "nothing else"),
    "an absolute path": (zipped(("voice.json", "{}"), ("/etc/recording.wav", b"")), "nothing else"),
    "a path of Windows": (zipped(("voice.json", "{}"), ("C:\\recording.wav", b"")), "nothing else"),
    "a path in the suffix": (zipped(("voice.json", "{}"), ("recording.a/../b", b"")), "nothing else"),
    "a folder": (zipped(("voice.json", "{}"), ("recording.wav/", b"")), "nothing else"),
    "many members": (zipped(*((f"{i}", b"") for i in range(40))), "too many members"),
    "bzip2": (zipped(("voice.json", "{}"), ("recording.wav", b""), method=zipfile.ZIP_BZIP2), "other than deflate"),
    "lzma": (zipped(("voice.json", "{}"), ("recording.wav", b""), method=zipfile.ZIP_LZMA), "other than deflate"),
    "a password": (patched(voice(), b"PK\x01\x02", 8, b"\x01"), "cannot be unpacked"),
    "a wrong checksum": (patched(voice(), b"PK\x01\x02", 16, b"\0\0\0\0"), "cannot be unpacked"),
    "a long description": (voice(transcript="a" * 70_000), "larger than 64 KiB"),
    "no JSON": (zipped(("voice.json", "name: Ada"), ("recording.wav", b"")), "not JSON"),
    "no UTF-8": (zipped(("voice.json", b'{"name": "\xff"}'), ("recording.wav", b"")), "not JSON"),
    "deep JSON": (zipped(("voice.json", "[" * 60_000), ("recording.wav", b"")), "not JSON"),
    "a list": (zipped(("voice.json", "[]"), ("recording.wav", b"")), "format"),
    "another format": (voice(format="midi"), "format"),
    "a later version": (voice(version=2), "version 2"),
    "a name that is a number": (voice(name=5), "name"),
    "no name": (voice(name=""), "name"),
    "a transcript that is a list": (voice(transcript=["a"]), "transcript"),
    "NUL": (voice(consent="a\0b"), "consent"),
}


@pytest.mark.parametrize(("data", "reason"), REFUSED.values(), ids=REFUSED)
def test_anything_else_is_refused_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(ApiError, match=reason) as raised:
        unpack(data, MOST)
    assert raised.value.problem.status == 400


def test_a_bomb_is_not_unpacked() -> None:
    bomb = voice(bytes(200 << 20))
    assert len(bomb) < MOST
    tracemalloc.start()
    with pytest.raises(ApiError, match="larger than 1 MiB") as raised:
        unpack(bomb, MOST)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert raised.value.problem.kind is Kind.TOO_LARGE
    assert peak < 8 * MOST


def test_a_bomb_that_lies_about_its_size_is_not_unpacked() -> None:
    bomb = patched(voice(bytes(20 << 20)), b"PK\x01\x02", 24, struct.pack("<I", 100))
    with pytest.raises(ApiError, match="cannot be unpacked"):
        unpack(bomb, MOST)


def test_a_directory_of_a_hundred_thousand_entries_is_not_read() -> None:
    started = time.perf_counter()
    with pytest.raises(ApiError, match="too many members"):
        unpack(voice() + b"PK\x01\x02".ljust(46, b"\0") * 100_000, MOST)
    assert time.perf_counter() - started < 1


def test_a_link_is_no_more_than_its_bytes() -> None:
    assert unpack(link("/etc/passwd"), MOST).recording == b"/etc/passwd"


@pytest.mark.parametrize(
    ("format", "media_type"),
    [("WAV", "audio/wav"), ("FLAC", "audio/flac"), ("OGG", "audio/ogg"), ("MP3", "audio/mpeg")],
)
def test_a_recording_is_known_by_its_content(format: str, media_type: str) -> None:
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, [0.0] * 16_000, 16_000, format=format)
    assert sound_type(file.getvalue())[0] == media_type


def test_what_is_no_sound_gets_no_type_that_a_browser_would_run() -> None:
    for data in (b"<html><script>alert(1)</script>", b"", b"\0\0", b"%PDF"):
        assert sound_type(data) == ("application/octet-stream", "bin")

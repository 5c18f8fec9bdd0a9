"""Cosy's own API over HTTP, by the calls of the studio and by ones that are wrong."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
import requests

from cosy.errors import AudioError
from cosy.types import InlineVoice
from tests.server.conftest import Serve, Served, running
from tests.server.dialects.recordings import RATE_HZ, bomb, clip, silence, wav
from tests.server.fake import FakeEngine, NoVoices, make_parts

BASE = "/cosy/v1"
KEY = "a-secret-key"
VOICE_FIELDS = {
    "id",
    "name",
    "kind",
    "transcript",
    "duration_s",
    "warnings",
    "created_at",
    "surface",
    "has_recording",
}


class Preparing(NoVoices):
    """Voices of an engine that can prepare recordings, with an opinion on each."""

    def prepare(self, recording: InlineVoice) -> Any:
        if recording.transcript == "refuse":
            raise AudioError("the recording holds only 0.3 s of speech")
        return SimpleNamespace(info=SimpleNamespace(warnings=(f"said: {recording.transcript}",)))


@dataclass(eq=False)
class Talented(FakeEngine):
    """An engine with everything that is optional."""

    heard: list[bytes] = field(default_factory=list)

    @property
    def voices(self) -> Preparing:
        return Preparing()

    async def segments(self, text: str, language: str = "") -> list[str]:
        return [f"{language}:{each.strip()}" for each in text.split(".") if each.strip()]

    async def transcribe(self, audio: bytes, language: str = "") -> str:
        self.heard.append(audio)
        return f"so it spoke ({language})"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for all tests that do not mind each other's voices."""
    with make_parts(tmp_path_factory.mktemp("shared")) as parts, running(parts) as url:
        yield Served(url, parts)


def call(server: Served, method: str, path: str, **options: Any) -> requests.Response:
    return requests.request(method, server.url + BASE + path, timeout=20, **options)


def get(server: Served, path: str, **options: Any) -> Any:
    answer = call(server, "GET", path, **options)
    assert answer.status_code == 200, answer.text
    return answer.json()


def form(audio: bytes | None = None, filename: str = "clip.wav", **fields: str) -> dict[str, Any]:
    return {"files": {"file": (filename, clip() if audio is None else audio)}, "data": fields}


def make(server: Served, name: str = "Ada", **fields: str) -> dict[str, Any]:
    answer = call(server, "POST", "/voices", **form(name=name, **fields))
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


def refused(answer: requests.Response, status: int, code: str, param: str = "") -> str:
    """Checks the error body, and returns its message."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body.keys() == {"error", "request_id"}
    assert body["error"].keys() == {"code", "message", "param", "retry_after_s"}
    assert (body["error"]["code"], body["error"]["param"]) == (code, param), body
    assert body["request_id"] == answer.headers["X-Request-Id"]
    return str(body["error"]["message"])


# What runs here


def test_info_says_what_can_be_done(shared: Served) -> None:
    info = get(shared, "/info")
    assert (info["name"], info["needs_key"], info["transcription"]) == ("Cosy", False, False)
    assert info["limits"] == {"max_text_characters": 200_000, "max_upload_bytes": 20 << 20, "recording_s": [1, 30]}
    assert info["formats"] == ["wav", "pcm", "flac", "mp3", "opus", "aac"]
    assert info["modes"] == ["zero_shot", "cross_lingual", "instruct"]
    assert 24_000 in info["sample_rates_hz"]


def test_info_tells_of_the_model_but_not_where_it_lies(serve: Serve, tmp_path: Path) -> None:
    folder = tmp_path / "secret place" / "my model"
    folder.mkdir(parents=True)
    (folder / "README.md").write_text("---\nlicence: MIT\n---\n\n# A great voice\n\nIt speaks.\n", encoding="utf-8")
    answer = call(serve(model=str(folder)), "GET", "/info")
    assert "secret place" not in answer.text
    model = answer.json()["model"]
    assert (model["name"], model["directory"], model["bundled"]) == ("A great voice", "my model", False)
    assert model["card"].endswith("It speaks.\n")


def test_a_model_without_a_card_is_called_by_its_directory(serve: Serve, tmp_path: Path) -> None:
    model = get(serve(model=str(tmp_path / "plain")), "/info")["model"]
    assert (model["name"], model["card"], model["sample_rate_hz"]) == ("plain", "", 24_000)


def test_the_bundled_model_says_so(shared: Served) -> None:
    model = get(shared, "/info")["model"]
    assert model["bundled"] is True
    assert model["name"] in model["card"]


# Voices


def test_a_voice_is_made_spoken_with_renamed_and_deleted(serve: Serve) -> None:
    server = serve()
    made = make(server, "Ada", transcript="Good day.", consent="she agreed")
    assert made.keys() == VOICE_FIELDS | {"uri"}
    assert made["uri"] == made["id"]
    assert made["id"].startswith("speech:Ada:")
    assert len(made["id"].split(":")) == 4
    assert (made["kind"], made["transcript"], made["surface"]) == ("user", "Good day.", "cosy")
    assert made["has_recording"] is True
    assert datetime.fromisoformat(made["created_at"]).utcoffset() is not None
    assert "there are only 3.0 s of speech" in made["warnings"][0]
    spoken = requests.post(
        server.url + "/v1/audio/speech", json={"model": "tts-1", "voice": made["id"], "input": "Hello."}, timeout=20
    )
    assert spoken.status_code == 200
    renamed = call(server, "PATCH", f"/voices/{made['id']}", json={"name": " Grace "})
    assert renamed.json() == {key: value for key, value in made.items() if key != "uri"} | {"name": "Grace"}
    deleted = call(server, "DELETE", f"/voices/{made['id']}")
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert [each["id"] for each in get(server, "/voices")["voices"]] == ["alex"]


def test_the_listing_searches_selects_and_pages(serve: Serve) -> None:
    server = serve()
    ada, bob = make(server, "Ada Ärger", transcript="Good day."), make(server, "Bob", transcript="Guten Tag.")

    def ids(query: str) -> tuple[list[str], int]:
        found = get(server, "/voices" + query)
        assert all(each.keys() == VOICE_FIELDS for each in found["voices"])
        return [each["id"] for each in found["voices"]], found["total"]

    assert ids("") == (["alex", bob["id"], ada["id"]], 3)
    assert ids("?search=&kind=&limit=&offset=") == (["alex", bob["id"], ada["id"]], 3)
    assert ids("?kind=preset") == (["alex"], 1)
    assert ids("?kind=user&limit=1") == ([bob["id"]], 2)
    assert ids("?kind=user&limit=1&offset=1") == ([ada["id"]], 2)
    assert ids("?offset=9") == ([], 3)
    assert ids("?search=%C3%84RGER") == ([ada["id"]], 1)
    assert ids("?search=guten") == ([bob["id"]], 1)
    assert ids(f"?search={bob['id']}") == ([bob["id"]], 1)
    assert ids("?search=nobody") == ([], 0)


def test_a_recording_is_played_back_as_it_came(shared: Served) -> None:
    audio = clip(format="FLAC")
    made = call(shared, "POST", "/voices", **form(audio, "page.html", name="Ada")).json()
    answer = call(shared, "GET", f"/voices/{made['id']}/recording")
    assert answer.content == audio
    assert answer.headers["Content-Type"] == "audio/flac"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_ids_with_slashes_are_found_in_the_path(shared: Served) -> None:
    made = make(shared, "and/or/recording")
    path = f"/voices/{requests.utils.quote(made['id'], safe='')}"
    assert "/" in made["id"]
    assert call(shared, "GET", path + "/recording").status_code == 200
    assert call(shared, "PATCH", path, json={"name": "x"}).json()["name"] == "x"
    assert call(shared, "DELETE", path).status_code == 204


def test_a_preset_with_a_recording_can_be_played_and_exported(serve: Serve, tmp_path: Path) -> None:
    folder = tmp_path / "presets"
    folder.mkdir()
    (folder / "carol.wav").write_bytes(clip())
    server = serve(presets_dir=folder)
    shown = {each["id"]: each["has_recording"] for each in get(server, "/voices")["voices"]}
    assert shown == {"alex": False, "carol": True}
    assert call(server, "GET", "/voices/carol/recording").content == clip()
    assert call(server, "GET", "/voices/carol/export").status_code == 200


@pytest.mark.parametrize("what", ["recording", "export"])
def test_a_preset_without_a_recording_has_none_to_give(shared: Served, what: str) -> None:
    message = refused(call(shared, "GET", f"/voices/alex/{what}"), 404, "not_found", "id")
    assert "came without its recording" in message


@pytest.mark.parametrize(("method", "path"), [("PATCH", ""), ("DELETE", ""), ("GET", "/recording"), ("GET", "/export")])
def test_a_voice_that_is_not_there_is_404(shared: Served, method: str, path: str) -> None:
    answer = call(shared, method, f"/voices/speech:none:a:b{path}", json={"name": "x"} if method == "PATCH" else None)
    assert "speech:none:a:b" in refused(answer, 404, "unknown_voice", "id")


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_preset_cannot_be_changed(shared: Served, method: str) -> None:
    assert "preset" in refused(call(shared, method, "/voices/alex", json={"name": "x"}), 400, "invalid")


# The check


def test_the_check_measures_and_keeps_nothing(serve: Serve) -> None:
    server = serve()
    audio = wav([0.0] * RATE_HZ + list(0.3 * 2**0.5 * _tone(4.0)) + [0.0] * RATE_HZ)
    found = call(server, "POST", "/voices/check", **form(audio)).json()
    assert found.keys() == {"ok", "warnings", "duration_s", "level_dbfs", "speech_s"}
    assert found["ok"] is True
    assert (found["duration_s"], found["speech_s"]) == (6.0, pytest.approx(4.1, abs=0.05))
    assert found["level_dbfs"] == pytest.approx(-10.5, abs=0.5)
    assert any("4.1 s of speech" in warning for warning in found["warnings"])
    assert get(server, "/voices")["total"] == 1


def _tone(seconds: float) -> Any:
    import numpy as np

    return np.sin(2 * np.pi * 300 * np.arange(round(seconds * RATE_HZ)) / RATE_HZ)


UNUSABLE = {
    "empty": (b"\0", "not audio"),
    "no audio": (b"<html>hello</html>" * 100, "not audio"),
    "too short": (clip(0.5), "at least 1 s"),
    "silence": (silence(), "silence"),
}


@pytest.mark.parametrize(("audio", "reason"), UNUSABLE.values(), ids=UNUSABLE)
def test_an_unusable_recording_is_an_answer_with_the_reason(shared: Served, audio: bytes, reason: str) -> None:
    answer = call(shared, "POST", "/voices/check", **form(audio))
    assert answer.status_code == 200
    found = answer.json()
    assert found["ok"] is False
    assert reason in found["warnings"][0]


def test_what_could_be_measured_of_an_unusable_recording_is_told(shared: Served) -> None:
    found = call(shared, "POST", "/voices/check", **form(silence())).json()
    assert (found["duration_s"], found["level_dbfs"], found["speech_s"]) == (3.0, -100.0, 0.0)
    found = call(shared, "POST", "/voices/check", **form(b"nothing")).json()
    assert (found["duration_s"], found["level_dbfs"], found["speech_s"]) == (None, None, None)


def test_hours_of_silence_are_not_decoded(shared: Served) -> None:
    found = call(shared, "POST", "/voices/check", **form(bomb())).json()
    assert (found["ok"], found["duration_s"]) == (False, 31.0)


def test_an_engine_that_prepares_voices_is_asked_what_it_thinks(serve: Serve) -> None:
    server = serve(Talented())
    found = call(server, "POST", "/voices/check", **form(transcript="Good day.")).json()
    assert (found["ok"], found["warnings"][-1]) == (True, "said: Good day.")
    found = call(server, "POST", "/voices/check", **form(transcript="refuse")).json()
    assert (found["ok"], found["warnings"]) == (False, ["the recording holds only 0.3 s of speech"])
    assert found["speech_s"] == pytest.approx(3.0, abs=0.1)


# Export and import


def test_a_voice_moves_to_another_server(serve: Serve, tmp_path: Path) -> None:
    here = serve()
    made = make(here, "Ada / 山田", transcript="Good day.", consent="she agreed")
    exported = call(here, "GET", f"/voices/{made['id']}/export")
    assert exported.headers["Content-Type"] == "application/zip"
    name = requests.utils.unquote(exported.headers["Content-Disposition"].partition("''")[2])
    assert name == "Ada / 山田.cosyvoice"
    with make_parts(tmp_path / "other", require_consent=True) as parts, running(parts) as url:
        there = Served(url, parts)
        imported = call(there, "POST", "/voices/import", **form(exported.content, name)).json()
        assert imported["id"] != made["id"]
        for key in ("name", "transcript", "duration_s", "warnings"):
            assert imported[key] == made[key]
        assert call(there, "GET", f"/voices/{imported['id']}/recording").content == clip()
        assert anyio.run(parts.voices.get, imported["id"]).consent == "she agreed"


def test_consent_records_of_this_server_stay_here(shared: Served) -> None:
    """Their ids mean nothing elsewhere."""

    async def recorded() -> str:
        from cosy.server.store.consents import ConsentUpload

        return (await shared.consents.add(ConsentUpload(clip(), "Ada", "en"))).id

    made = make(shared, consent=anyio.run(recorded))
    exported = call(shared, "GET", f"/voices/{made['id']}/export").content
    with zipfile.ZipFile(io.BytesIO(exported)) as archive:
        assert json.loads(archive.read("voice.json"))["consent"] == ""


def test_bare_samples_cannot_be_exported(shared: Served) -> None:
    samples = clip()[44:]
    made = call(shared, "POST", "/voices", **form(samples, "clip.pcm", name="bare")).json()
    message = refused(call(shared, "GET", f"/voices/{made['id']}/export"), 400, "invalid", "id")
    assert "upload it again as WAV" in message


def archive(recording: bytes, member: str = "recording.wav", **about: Any) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("voice.json", json.dumps({"format": "cosyvoice", "version": 1, "name": "x", **about}))
        made.writestr(member, recording)
    return file.getvalue()


BAD_IMPORTS = {
    "no archive": (clip(), 400, "invalid", "file"),
    "a path": (archive(clip(), "../../recording.wav"), 400, "invalid", "file"),
    "a bomb": (archive(bytes(40 << 20)), 413, "too_large", ""),
    "no sound in it": (archive(b"#!/bin/sh"), 400, "bad_audio", ""),
    "silence": (archive(silence()), 400, "bad_audio", ""),
    "half a character": (archive(clip(), transcript="a\ud800"), 400, "invalid", "file"),
    "an endless name": (archive(clip(), name="n" * 200), 400, "invalid", "name"),
    "a name of blanks": (archive(clip(), name=" \t"), 400, "invalid", "name"),
    "an endless transcript": (archive(clip(), transcript="t" * 6000), 400, "invalid", ""),
    "a consent that nobody recorded": (archive(clip(), consent="cons_none"), 400, "invalid", ""),
}


@pytest.mark.parametrize(("data", "status", "code", "param"), BAD_IMPORTS.values(), ids=BAD_IMPORTS)
def test_what_cannot_be_imported_leaves_nothing(
    serve: Serve, tmp_path: Path, data: bytes, status: int, code: str, param: str
) -> None:
    server = serve()
    before = sorted(tmp_path.rglob("*"))
    refused(call(server, "POST", "/voices/import", **form(data, "../x.cosyvoice")), status, code, param)
    assert get(server, "/voices")["total"] == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_line_ends_in_a_file_become_spaces(shared: Served) -> None:
    made = call(shared, "POST", "/voices/import", **form(archive(clip(), name="a\r\nb", transcript="c\nd"))).json()
    assert (made["name"], made["transcript"]) == ("a  b", "c d")


# Text and recordings


def test_an_engine_that_knows_tells_the_segments(serve: Serve) -> None:
    server = serve(Talented())
    answer = call(server, "POST", "/segments", json={"text": " One. Two. ", "language": "en"})
    assert answer.json() == {"segments": [{"text": "en:One"}, {"text": "en:Two"}]}


def test_without_such_an_engine_a_text_is_one_segment(shared: Served) -> None:
    answer = call(shared, "POST", "/segments", json={"text": " One. Two. ", "language": None})
    assert answer.json() == {"segments": [{"text": "One. Two."}]}
    assert call(shared, "POST", "/segments", json={"text": "  "}).json() == {"segments": []}


def test_a_recogniser_proposes_the_transcript(serve: Serve) -> None:
    engine = Talented()
    server = serve(engine)
    assert get(server, "/info")["transcription"] is True
    assert call(server, "POST", "/transcriptions", **form(language="en")).json() == {"text": "so it spoke (en)"}
    assert engine.heard == [clip()]
    refused(call(server, "POST", "/transcriptions", **form(b"no sound")), 400, "bad_audio")


def test_without_a_recogniser_transcriptions_are_501(shared: Served) -> None:
    assert "no speech recogniser" in refused(call(shared, "POST", "/transcriptions", **form()), 501, "not_found")


# Bad requests

FORM = {"files": {"file": ("clip.wav", clip())}}
BAD: list[tuple[str, str, dict[str, Any], int, str, str]] = [
    ("POST", "/voices", {}, 400, "invalid", "file"),
    ("POST", "/voices", FORM, 400, "invalid", "name"),
    ("POST", "/voices", form(name=" "), 400, "invalid", "name"),
    ("POST", "/voices", form(name="n" * 129), 400, "invalid", "name"),
    ("POST", "/voices", form(name="a\0b"), 400, "invalid", "name"),
    ("POST", "/voices", form(b"", name="x"), 400, "invalid", "file"),
    ("POST", "/voices", form(b"no sound", name="x"), 400, "bad_audio", ""),
    ("POST", "/voices", form(silence(), name="x"), 400, "bad_audio", ""),
    ("POST", "/voices", form(clip(31), name="x", transcript="Hello."), 400, "bad_audio", ""),
    ("POST", "/voices", form(name="x", consent="cons_none"), 400, "invalid", ""),
    ("POST", "/voices", {"json": {"file": "aGVsbG8=", "name": "x"}}, 400, "invalid", "file"),
    ("POST", "/voices", {"data": b"x", "headers": {"Content-Type": "text/plain"}}, 400, "invalid", "body"),
    ("POST", "/voices/check", {}, 400, "invalid", "file"),
    ("POST", "/voices/check", form(transcript="t" * 6000), 400, "invalid", ""),
    ("POST", "/voices/import", {}, 400, "invalid", "file"),
    ("POST", "/voices/import", {"data": {"file": "text"}}, 400, "invalid", "file"),
    ("PATCH", "/voices/any", {"data": b"no JSON"}, 400, "invalid", ""),
    ("PATCH", "/voices/any", {"json": []}, 400, "invalid", ""),
    ("PATCH", "/voices/any", {"json": {}}, 400, "invalid", "name"),
    ("PATCH", "/voices/any", {"json": {"name": ""}}, 400, "invalid", "name"),
    ("PATCH", "/voices/any", {"json": {"name": 5}}, 400, "invalid", "name"),
    ("GET", "/voices?kind=strange", {}, 400, "invalid", "kind"),
    ("GET", "/voices?limit=0", {}, 400, "invalid", "limit"),
    ("GET", "/voices?limit=1001", {}, 400, "invalid", "limit"),
    ("GET", "/voices?limit=many", {}, 400, "invalid", "limit"),
    ("GET", "/voices?offset=-1", {}, 400, "invalid", "offset"),
    ("GET", "/voices/any", {}, 405, "method", ""),
    ("GET", "/voices/check", {}, 405, "method", ""),
    ("POST", "/segments", {"data": b"{"}, 400, "invalid", ""),
    ("POST", "/segments", {"json": {}}, 400, "invalid", "text"),
    ("POST", "/segments", {"json": {"text": 5}}, 400, "invalid", "text"),
    ("POST", "/segments", {"json": {"text": "x", "language": "l" * 17}}, 400, "invalid", "language"),
    ("POST", "/segments", {"json": {"text": "x" * 200_001}}, 413, "too_large", "text"),
    ("GET", "/usage?days=0", {}, 400, "invalid", "days"),
    ("GET", "/usage?days=367", {}, 400, "invalid", "days"),
    ("GET", "/nothing", {}, 404, "not_found", ""),
    ("POST", "/info", {}, 405, "method", ""),
]


@pytest.mark.parametrize(("method", "path", "options", "status", "code", "param"), BAD)
def test_bad_requests_are_refused(
    shared: Served, method: str, path: str, options: dict[str, Any], status: int, code: str, param: str
) -> None:
    assert refused(call(shared, method, path, **options), status, code, param)


def test_a_recording_beyond_the_limit_is_refused(serve: Serve) -> None:
    server = serve(max_upload_bytes=50_000)
    for path in ("/voices", "/voices/check", "/voices/import"):
        message = refused(call(server, "POST", path, **form(name="x")), 413, "too_large")
        assert "larger than" in message


def test_consent_is_required_where_the_settings_say_so(serve: Serve) -> None:
    server = serve(require_consent=True)
    assert "consent" in refused(call(server, "POST", "/voices", **form(name="x")), 400, "invalid")
    make(server, consent="she agreed")


# The server


def test_the_server_tells_how_it_does(serve: Serve) -> None:
    server = serve()
    speech = {"model": "tts-1", "voice": "alex", "input": "Hello.", "response_format": "pcm"}
    assert requests.post(server.url + "/v1/audio/speech", json=speech, timeout=20).status_code == 200
    found = get(server, "/server")
    assert found.keys() == {"health", "stats", "histograms", "active", "queue"}
    assert found["health"] == {"ready": True, "reason": ""}
    assert found["stats"]["chunks"] == 3
    assert (found["active"], found["queue"]) == (0, 0)
    for name in ("first_audio_s", "slack_s"):
        bounds, counts = zip(*found["histograms"][name], strict=True)
        assert bounds[-1] is None
        assert list(bounds[:-1]) == sorted(bounds[:-1])
        assert list(counts) == sorted(counts)
    assert found["histograms"]["first_audio_s"][-1] == [None, 1]
    assert found["histograms"]["slack_s"][-1] == [None, 2]


def test_a_server_that_cannot_speak_says_why(serve: Serve) -> None:
    health = get(serve(FakeEngine(ready=False)), "/server")["health"]
    assert health == {"ready": False, "reason": "the model is loading"}


def test_figures_that_json_has_no_word_for_are_null(serve: Serve) -> None:
    class Odd(FakeEngine):
        def stats(self) -> dict[str, float]:
            return {"a": float("inf"), "b": float("nan"), "c": 1.5}

    assert get(serve(Odd()), "/server")["stats"] == {"a": None, "b": None, "c": 1.5}


def test_usage_is_told_by_day_and_key(serve: Serve) -> None:
    server = serve()
    for _ in range(2):
        speech = {"model": "tts-1", "voice": "alex", "input": "Hello.", "response_format": "pcm"}
        requests.post(server.url + "/v1/audio/speech", json=speech, timeout=20)
    (row,) = get(server, "/usage")["usage"]
    assert row.keys() == {"key_id", "name", "day", "requests", "characters", "utf8_bytes", "audio_s", "errors"}
    assert (row["requests"], row["characters"], row["key_id"]) == (2, 12, "")
    assert row["audio_s"] == pytest.approx(0.96)


# Keys


def keyed(server: Served, scope: str) -> tuple[str, dict[str, str]]:
    """A new key of one scope: its id, and headers with it."""

    async def create() -> tuple[str, str]:
        key, secret = await server.keys.create(f"the {scope} key", [scope])
        return key.id, secret

    key_id, secret = anyio.run(create)
    return key_id, {"Authorization": f"Bearer {secret}"}


NEEDS = [  # method, path, and the scope it takes
    ("GET", "/voices", "speech"),
    ("POST", "/voices", "voices"),
    ("POST", "/voices/check", "speech"),
    ("POST", "/voices/import", "voices"),
    ("PATCH", "/voices/any", "voices"),
    ("DELETE", "/voices/any", "voices"),
    ("GET", "/voices/any/recording", "voices"),
    ("GET", "/voices/any/export", "voices"),
    ("POST", "/segments", "speech"),
    ("POST", "/transcriptions", "speech"),
    ("GET", "/server", "any"),
    ("GET", "/usage", "any"),
]


def test_every_call_but_info_takes_a_key_of_its_scope(serve: Serve) -> None:
    server = serve(api_keys=[KEY])
    headers = {scope: keyed(server, scope)[1] for scope in ("speech", "voices", "admin")}
    assert get(server, "/info")["needs_key"] is True
    for method, path, needed in NEEDS:
        refused(call(server, method, path), 401, "unauthorized")
        refused(call(server, method, path, headers={"Authorization": "Bearer wrong"}), 401, "unauthorized")
        for scope, given in headers.items():
            status = call(server, method, path, headers=given).status_code
            assert (status != 403) == (needed in (scope, "any")), (method, path, scope, status)


def test_a_key_in_the_query_plays_a_recording(serve: Serve) -> None:
    server = serve(api_keys=[KEY])
    made = call(server, "POST", "/voices", headers={"X-API-Key": KEY}, **form(name="x")).json()
    assert call(server, "GET", f"/voices/{made['id']}/recording?token={KEY}").content == clip()


def test_usage_of_other_keys_is_for_administrators(serve: Serve) -> None:
    server = serve(api_keys=[KEY])
    speech = {"model": "tts-1", "voice": "alex", "input": "Hello.", "response_format": "pcm"}
    own_id, own = keyed(server, "speech")
    for headers in (own, {"Authorization": f"Bearer {KEY}"}):
        assert (
            requests.post(server.url + "/v1/audio/speech", json=speech, headers=headers, timeout=20).status_code == 200
        )
    (row,) = get(server, "/usage", headers=own)["usage"]
    assert (row["key_id"], row["name"]) == (own_id, "the speech key")
    rows = get(server, "/usage", headers=keyed(server, "admin")[1])["usage"]
    assert {(each["key_id"], each["name"]) for each in rows} == {(own_id, "the speech key"), ("static-1", "static-1")}


def test_work_counts_towards_the_rate_of_a_key(serve: Serve) -> None:
    server = serve(Talented(), api_keys=[KEY], requests_per_minute=1)
    headers = {"Authorization": f"Bearer {KEY}"}
    assert call(server, "POST", "/segments", json={"text": "x"}, headers=headers).status_code == 200
    for path in ("/segments", "/voices/check", "/transcriptions", "/voices"):
        answer = call(server, "POST", path, headers=headers)
        refused(answer, 429, "rate_limited")
        assert answer.json()["error"]["retry_after_s"] > 0
        assert answer.headers["Retry-After"]
    for path in ("/voices", "/server", "/usage"):
        assert get(server, path, headers=headers)


def test_pages_of_other_origins_may_change_voices(shared: Served) -> None:
    headers = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "PATCH"}
    answer = call(shared, "OPTIONS", "/voices/any", headers=headers)
    assert answer.status_code == 200
    assert "PATCH" in answer.headers["Access-Control-Allow-Methods"]


def test_the_description_of_the_interfaces_has_them(shared: Served) -> None:
    paths = requests.get(shared.url + "/openapi.json", timeout=20).json()["paths"]
    upload = paths[BASE + "/voices"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert upload["required"] == ["file", "name"]
    assert BASE + "/voices/{voice_id}/export" in paths

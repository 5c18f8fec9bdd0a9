"""SiliconFlow's API by the calls that its clients make with `requests`, and by ones that are wrong."""

from __future__ import annotations

import asyncio
import base64
import re
import struct
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import numpy as np
import pytest
import requests

from cosy.errors import OverloadedError
from cosy.types import InlineVoice, Mode
from tests.server.conftest import Serve, Served
from tests.server.dialects.answers import heard, lasts
from tests.server.dialects.recordings import RATE_HZ, bomb, clip, silence, wav
from tests.server.fake import FakeEngine

MODEL = "FunAudioLLM/CosyVoice2-0.5B"
TEXT = "Hello, I am a voice."
SECONDS = 0.08 * len(TEXT)
PRESETS = "alex benjamin charles david anna bella claire diana".split()
SPEECH: dict[str, Any] = {"model": MODEL, "input": TEXT, "voice": f"{MODEL}:alex"}
UPLOAD = {"model": MODEL, "customName": "my voice", "text": "What I say in it."}
PLACEHOLDER = "在一无所知中, 梦里的一天结束了，一个新的轮回便会开始"
PAGE = {"Origin": "https://amadeus.example.org", "Authorization": "Bearer secret"}


def speak(server: Served, **fields: Any) -> requests.Response:
    return requests.post(f"{server.url}/v1/audio/speech", json={**SPEECH, **fields}, timeout=20)


def data_url(audio: bytes, media_type: str = "audio/mpeg") -> str:
    return f"data:{media_type};base64,{base64.b64encode(audio).decode()}"


def parts(fields: dict[str, Any]) -> list[tuple[str, tuple[None, str]]]:
    """A multipart body of text parts alone, as a browser's FormData makes it of strings."""
    return [(name, (None, value)) for name, value in fields.items()]


def upload(server: Served, **options: Any) -> str:
    answer = requests.post(f"{server.url}/v1/uploads/audio/voice", timeout=20, **options)
    assert answer.status_code == 200, answer.text
    assert list(answer.json()) == ["uri"]
    return str(answer.json()["uri"])


def refused(answer: requests.Response, status: int, number: int, param: str | None = None) -> dict[str, Any]:
    """Checks the superset body, and returns it."""
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body["code"], body["data"]) == (status, number, None), body
    assert body["error"]["param"] == param, body
    assert body["message"]
    assert body["error"]["message"]
    return body


@pytest.fixture
def site() -> Iterator[str]:
    """The address of a recording on a web server."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            audio = clip()
            self.send_response(200)
            self.send_header("Content-Length", str(len(audio)))
            self.end_headers()
            self.wfile.write(audio)

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/prompt.wav"
    server.shutdown()
    thread.join()
    server.server_close()


def test_every_preset_speaks_by_both_its_names(serve: Serve) -> None:
    server = serve()
    for name in PRESETS:
        for voice in (f"{MODEL}:{name}", f"RVC-Boss/GPT-SoVITS:{name}", f"CosyVoice2-0.5B:{name}", name):
            assert speak(server, voice=voice, response_format="pcm").status_code == 200
    assert {request.voice for request in server.engine.requests} == {"alex"}


@pytest.mark.parametrize(
    ("format", "default_hz", "others_hz"),
    [
        ("mp3", 32_000, (44_100,)),
        ("wav", 44_100, (8_000, 16_000, 24_000, 32_000)),
        ("pcm", 44_100, (8_000, 16_000, 24_000, 32_000)),
        ("opus", 48_000, ()),
    ],
)
def test_formats_have_the_providers_rates(serve: Serve, format: str, default_hz: int, others_hz: tuple[int]) -> None:
    server = serve()
    for rate_hz in (None, default_hz, *others_hz):
        answer = speak(server, response_format=format, sample_rate=rate_hz)
        expected_hz = rate_hz or default_hz
        assert lasts(answer.content, format, SECONDS, expected_hz)
        assert heard(answer.content, format, expected_hz)[1] == expected_hz
        assert answer.headers["X-Sample-Rate"] == str(expected_hz)
        assert answer.headers["Content-Type"].startswith("audio/")
        assert re.fullmatch(r"ti_[0-9a-z]{18}", answer.headers["x-siliconcloud-trace-id"])


def test_mp3_is_the_default_and_comes_in_chunks(serve: Serve) -> None:
    answer = speak(serve())
    assert answer.headers["Content-Type"] == "audio/mpeg"
    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert answer.content[:1] == b"\xff"


def test_a_wav_has_sizes_where_they_are_known(serve: Serve) -> None:
    server = serve()
    streamed = speak(server, response_format="wav").content
    assert struct.unpack_from("<I", streamed, 40)[0] == 0xFFFFFFFF
    whole = speak(server, response_format="wav", stream=False)
    assert int(whole.headers["Content-Length"]) == len(whole.content)
    assert struct.unpack_from("<I", whole.content, 40)[0] == len(whole.content) - 44
    assert lasts(whole.content, "wav", SECONDS)


def test_the_streaming_backend_reads_samples_at_32000_hz(serve: Serve) -> None:
    body = {"model": MODEL, "input": TEXT, "voice": f"{MODEL}:anna", "response_format": "pcm", "sample_rate": 32_000}
    headers = {"Authorization": "Bearer anything"}
    url = f"{serve().url}/v1/audio/speech"
    with requests.post(url, json=body, headers=headers, stream=True, timeout=20) as answer:
        pieces = [np.frombuffer(piece, dtype=np.int16) for piece in answer.iter_content(chunk_size=4096)]
    assert len(np.concatenate(pieces)) / 32_000 == pytest.approx(SECONDS, abs=0.01)


def test_openais_names_for_things_select_its_dialect(serve: Serve) -> None:
    server = serve()
    for fields in ({"voice": "alloy"}, {"model": "tts-1"}, {"stream_format": "audio"}):
        assert speak(server, response_format="pcm", **fields).headers["X-Sample-Rate"] == "24000"
    assert speak(server, response_format="pcm").headers["X-Sample-Rate"] == "44100"


def test_text_before_the_marker_says_how_to_speak(serve: Serve) -> None:
    server = serve()
    text = (
        "Can you say it with a happy emotion? <|endofprompt|>I'm so happy, [laughter] <strong>Spring</strong> is here!"
    )
    assert speak(server, input=text, speed=1.5, gain=-3.5, max_tokens=2048, seed=3).status_code == 200
    request = server.engine.requests[0]
    assert request.instruction == "Can you say it with a happy emotion?"
    assert request.text == "I'm so happy, [laughter] <strong>Spring</strong> is here!"
    assert (request.mode, request.speed, request.gain_db, request.seed) == (Mode.INSTRUCT, 1.5, -3.5, 3)


def test_format_is_understood_for_response_format(serve: Serve) -> None:
    server = serve()
    assert speak(server, format="wav").content[:4] == b"RIFF"
    assert speak(server, format="wav", response_format="pcm").content[:4] != b"RIFF"


@pytest.mark.parametrize("voice", ["", None, f"{MODEL}:alex"])
def test_a_reference_is_the_voice(serve: Serve, voice: str | None) -> None:
    server = serve()
    audio = clip()
    encoded = base64.b64encode(audio).decode()
    for value in (data_url(audio), data_url(audio, ""), encoded, "\n".join(re.findall(".{1,76}", encoded))):
        reference = {"audio": value, "text": "What I say in it."}
        answer = speak(server, voice=voice, references=[reference, {"audio": "unused"}], response_format="wav")
        assert lasts(answer.content, "wav", SECONDS), answer.text
    assert {request.voice for request in server.engine.requests} == {InlineVoice(audio, "What I say in it.")}


def test_a_reference_by_address_is_fetched_where_that_is_allowed(serve: Serve, site: str) -> None:
    server = serve(fetch="any")
    assert speak(server, references=[{"audio": site, "text": None}]).status_code == 200
    assert server.engine.requests[0].voice == InlineVoice(clip(), "")
    for mode in ("off", "public"):
        refused(speak(serve(fetch=mode), references=[{"audio": site}]), 400, 20015, "references")


def test_bare_samples_and_the_pages_sample_sentence_are_recognised(serve: Serve) -> None:
    server = serve()
    samples = clip()[44:]
    assert speak(server, references=[{"audio": data_url(samples, "audio/pcm"), "text": PLACEHOLDER}]).status_code == 200
    voice = server.engine.requests[0].voice
    assert isinstance(voice, InlineVoice)
    assert heard(voice.audio, "wav") == (3.0, RATE_HZ)
    assert voice.transcript == ""


def test_bare_samples_are_uploaded_with_their_rate(serve: Serve) -> None:
    server = serve()
    files = {"file": ("voice.pcm", clip()[44:])}
    for fields, seconds in (({}, 3.0), ({"sample_rate": "8000"}, 6.0)):
        uri = upload(server, files=files, data={**UPLOAD, **fields})
        assert asyncio.run(server.voices.get(uri)).duration_s == seconds


def test_a_file_becomes_a_voice_that_speaks_is_listed_and_deleted(serve: Serve) -> None:
    server = serve()
    uri = upload(server, files={"file": ("../../my voice.wav", clip(), "audio/wav")}, data=UPLOAD)
    assert re.fullmatch(r"speech:my-voice:[0-9a-z]{25}:[0-9a-z]{20}", uri)
    assert asyncio.run(server.voices.get(uri)).filename == "my voice.wav"
    assert lasts(speak(server, voice=uri, response_format="wav").content, "wav", SECONDS)
    assert server.engine.requests[0].voice == uri
    entry = {"model": MODEL, "customName": "my voice", "text": "What I say in it.", "uri": uri}
    listed = requests.get(f"{server.url}/v1/audio/voice/list", timeout=9).json()
    assert listed == {"result": [entry], "results": [entry]}
    gone = requests.post(f"{server.url}/v1/audio/voice/deletions", json={"uri": uri}, timeout=9)
    assert (gone.status_code, gone.json()) == (200, {})
    again = requests.post(f"{server.url}/v1/audio/voice/delete", json={"uri": uri}, timeout=9)
    assert refused(again, 404, 404, "uri")["error"]["code"] == "voice_not_found"
    assert refused(speak(server, voice=uri), 400, 20015, "voice")["message"] == "Invalid voice"


def test_a_recording_comes_as_text_too(serve: Serve) -> None:
    server = serve()
    audio = wav(
        np.tile(np.frombuffer(clip(2.0)[44:], np.int16) / 32768, 18), 44_100
    )  # more than a megabyte, as from a microphone
    assert len(audio) > 2**20
    for media_type in ("audio/wav", "audio/x-m4a", "application/octet-stream", ""):
        fields = {**UPLOAD, "audio": data_url(audio, media_type)}
        assert upload(server, files=parts(fields)).startswith("speech:my-voice:")
        assert upload(server, json=fields).startswith("speech:my-voice:")
    assert upload(server, files={"audio": ("blob", audio)}, data=UPLOAD)
    voices = asyncio.run(server.voices.list(kind="user"))
    assert len({voice.id for voice in voices}) == 9
    assert {voice.sha256 for voice in voices} == {voices[0].sha256}


def test_names_may_be_in_any_script_and_repeat(serve: Serve) -> None:
    server = serve()
    names = ["声音", "声音", "a:b\tc", "../../etc/passwd", "x" * 64, " padded "]
    uris = [upload(server, json={**UPLOAD, "customName": name, "audio": data_url(clip())}) for name in names]
    assert [uri.split(":")[1] for uri in uris] == ["声音", "声音", "a-b-c", "../../etc/passwd", "x" * 64, "padded"]
    assert all(len(uri.split(":")) == 4 for uri in uris)
    listed = requests.get(f"{server.url}/audio/voice/list", timeout=9).json()["result"]
    assert [entry["uri"] for entry in listed] == uris
    for uri in uris:
        assert speak(server, voice=uri).status_code == 200


def test_voices_outlast_a_restart(serve: Serve) -> None:
    uri = upload(serve(), json={**UPLOAD, "audio": data_url(clip())})
    assert speak(serve(), voice=uri).status_code == 200


def test_the_clone_page_works_from_another_origin(serve: Serve) -> None:
    server = serve(api_keys=("secret",))
    for path, method in (
        ("/v1/uploads/audio/voice", "POST"),
        ("/v1/audio/speech", "POST"),
        ("/v1/audio/voice/list", "GET"),
        ("/v1/audio/voice/deletions", "POST"),
    ):
        asked = {
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": "authorization,content-type",
        }
        preflight = requests.options(server.url + path, headers={"Origin": PAGE["Origin"], **asked}, timeout=9)
        assert preflight.status_code in (200, 204)
        assert preflight.headers["Access-Control-Allow-Origin"] == "*"
        assert method in preflight.headers["Access-Control-Allow-Methods"]
        assert "authorization" in preflight.headers["Access-Control-Allow-Headers"].lower()
    fields = {**UPLOAD, "text": PLACEHOLDER, "audio": data_url(clip(), "audio/webm")}
    uri = upload(server, files=parts(fields), headers=PAGE)
    spoken = requests.post(f"{server.url}/v1/audio/speech", json={**SPEECH, "voice": uri}, headers=PAGE, timeout=9)
    assert spoken.headers["Access-Control-Allow-Origin"] == "*"
    assert "x-siliconcloud-trace-id" in spoken.headers["Access-Control-Expose-Headers"].lower()
    assert lasts(spoken.content, "mp3", SECONDS)
    assert asyncio.run(server.voices.get(uri)).transcript == ""
    failed = requests.post(f"{server.url}/v1/audio/speech", json={}, headers=PAGE, timeout=9)
    assert (failed.status_code, failed.headers["Access-Control-Allow-Origin"]) == (400, "*")


def test_without_a_key_the_answer_is_invalid_token(serve: Serve) -> None:
    server = serve(api_keys=("secret",))
    for method, path in (
        ("POST", "/v1/audio/speech"),
        ("POST", "/v1/uploads/audio/voice"),
        ("GET", "/v1/audio/voice/list"),
        ("POST", "/v1/audio/voice/deletions"),
        ("GET", "/v1/models"),
    ):
        headers = {"Origin": PAGE["Origin"], "Authorization": "Bearer wrong"}
        answer = requests.request(method, server.url + path, headers=headers, timeout=9)
        body = refused(answer, 401, 401)
        assert (body["message"], body["error"]["code"]) == ("Invalid token", "invalid_api_key")
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
    listed = requests.get(f"{server.url}/v1/models", headers={"Authorization": "bearer secret"}, timeout=9)
    assert listed.status_code == 200


def test_limits_answer_with_the_providers_words(serve: Serve) -> None:
    full = speak(serve(FakeEngine(error=OverloadedError("no slot is free", 2.0))))
    assert refused(full, 503, 50505)["message"] == "Model service overloaded. Please try again later."
    assert full.headers["Retry-After"] == "2"
    server = serve(api_keys=("secret",), requests_per_minute=1)
    url, headers = f"{server.url}/v1/audio/speech", {"Authorization": "Bearer secret"}
    assert requests.post(url, json=SPEECH, headers=headers, timeout=9).status_code == 200
    limited = requests.post(url, json=SPEECH, headers=headers, timeout=9)
    assert refused(limited, 429, 429)["message"].startswith("Request was rejected due to rate limiting")
    assert int(limited.headers["Retry-After"]) >= 1


def test_models_are_filtered(serve: Serve) -> None:
    url = f"{serve().url}/v1/models"
    for query in ({}, {"type": "audio"}, {"type": "audio", "sub_type": "text-to-speech"}):
        assert MODEL in [model["id"] for model in requests.get(url, params=query, timeout=9).json()["data"]]
    for query in ({"type": "image"}, {"sub_type": "speech-to-text"}):
        assert requests.get(url, params=query, timeout=9).json() == {"object": "list", "data": []}


def test_required_consent_is_a_field_of_the_upload(serve: Serve) -> None:
    server = serve(require_consent=True)
    fields = {**UPLOAD, "audio": data_url(clip())}
    answer = requests.post(f"{server.url}/v1/uploads/audio/voice", json=fields, timeout=9)
    assert "consent" in refused(answer, 400, 20015)["message"]
    uri = upload(server, json={**fields, "consent": "agreed in writing"})
    assert asyncio.run(server.voices.get(uri)).consent == "agreed in writing"


BAD_SPEECH: dict[str, tuple[dict[str, Any], int, int, str | None]] = {  # fields -> status, number, param
    "no model": ({"model": None}, 400, 20015, "model"),
    "unknown model": ({"model": "other/tts"}, 400, 20012, "model"),
    "no input": ({"input": None}, 400, 20015, "input"),
    "empty input": ({"input": ""}, 400, 20015, "input"),
    "blank input": ({"input": "  "}, 400, 20015, "input"),
    "input of a wrong type": ({"input": 5}, 400, 20015, "input"),
    "10 MB of text": ({"input": "word " * 2_000_000}, 413, 413, "input"),
    "no voice": ({"voice": None}, 400, 20052, "voice"),
    "empty voice": ({"voice": "", "references": []}, 400, 20052, "voice"),
    "unknown voice": ({"voice": f"{MODEL}:nobody"}, 400, 20015, "voice"),
    "unknown upload": ({"voice": "speech:a:b:c"}, 400, 20015, "voice"),
    "a path for a voice": ({"voice": "speech:../../etc/passwd:b:c"}, 400, 20015, "voice"),
    "voice of a wrong type": ({"voice": ["alex"]}, 400, 20015, "voice"),
    "format not offered": ({"response_format": "flac"}, 400, 20015, "response_format"),
    "unknown format": ({"response_format": "amr"}, 400, 20015, "response_format"),
    "mp3 at a rate of wav": ({"sample_rate": 24_000}, 400, 20015, "sample_rate"),
    "opus at another rate": ({"response_format": "opus", "sample_rate": 24_000}, 400, 20015, "sample_rate"),
    "pcm at 48000": ({"response_format": "pcm", "sample_rate": 48_000}, 400, 20015, "sample_rate"),
    "rate as text": ({"sample_rate": "high"}, 400, 20015, "sample_rate"),
    "slow": ({"speed": 0.2}, 400, 20015, "speed"),
    "fast": ({"speed": 4.5}, 400, 20015, "speed"),
    "quiet": ({"gain": -10.5}, 400, 20015, "gain"),
    "loud": ({"gain": 10.5}, 400, 20015, "gain"),
    "stream as a number": ({"stream": 1}, 400, 20015, "stream"),
    "reference without audio": ({"references": [{"text": "a"}]}, 400, 20015, "references"),
    "reference of a wrong type": ({"references": ["a"]}, 400, 20015, "references"),
    "empty reference": ({"references": [{"audio": "data:audio/wav;base64,"}]}, 400, 20015, "references"),
    "reference that is not base64": ({"references": [{"audio": "data:;base64,%%%"}]}, 400, 20015, "references"),
    "corrupt reference": ({"references": [{"audio": data_url(b"RIFF" + bytes(99))}]}, 400, 20015, "references"),
    "silent reference": ({"references": [{"audio": data_url(silence())}]}, 400, 20015, "references"),
    "short reference": ({"references": [{"audio": data_url(clip(0.5))}]}, 400, 20015, "references"),
    "long reference with text": (
        {"references": [{"audio": data_url(clip(31)), "text": "a"}]},
        400,
        20015,
        "references",
    ),
    "a bomb": ({"references": [{"audio": data_url(bomb(1.0))}]}, 400, 20015, "references"),
    "a file for a reference": ({"references": [{"audio": "file:///etc/passwd"}]}, 400, 20015, "references"),
}


def test_bad_speech_requests_are_refused_with_the_providers_numbers(serve: Serve) -> None:
    server = serve()
    for name, (fields, status, number, param) in BAD_SPEECH.items():
        answer = speak(server, **fields)
        assert (answer.status_code, answer.json()["code"]) == (status, number), (name, answer.text[:300])
        refused(answer, status, number, param)
    assert server.engine.requests == []
    assert speak(server, voice=None).json()["message"] == "Voice or reference audio should be set"
    assert speak(server, voice="nobody").json()["error"]["message"] == "Invalid voice"
    assert speak(server, model="a/b").json()["message"] == "Model does not exist. Please check it carefully."


def test_bad_uploads_are_refused_by_name(serve: Serve) -> None:
    server = serve(max_upload_bytes=2**20)
    url = f"{server.url}/v1/uploads/audio/voice"
    good = {**UPLOAD, "audio": data_url(clip())}
    table: dict[str, tuple[dict[str, Any], int, str | None]] = {
        "no model": ({"model": None}, 400, "model"),
        "no name": ({"customName": None}, 400, "customName"),
        "blank name": ({"customName": " "}, 400, "customName"),
        "long name": ({"customName": "x" * 65}, 400, "customName"),
        "no transcript": ({"text": None}, 400, "text"),
        "no recording": ({"audio": None}, 400, "audio"),
        "empty recording": ({"audio": "data:audio/wav;base64,"}, 400, "audio"),
        "not base64": ({"audio": "data:audio/wav;base64,@@@"}, 400, "audio"),
        "not audio": ({"audio": data_url(b"<html>" * 50)}, 400, None),
        "corrupt": ({"audio": data_url(b"RIFF" + bytes(99))}, 400, None),
        "too short": ({"audio": data_url(clip(0.5))}, 400, None),
        "too long": ({"audio": data_url(clip(31))}, 400, None),
        "silence": ({"audio": data_url(silence())}, 400, None),
        "a bomb": ({"audio": data_url(bomb(1.0))}, 400, None),
        "too large": ({"audio": data_url(bytes(2**20 + 4))}, 413, "audio"),
    }
    for number, (name, (fields, status, param)) in enumerate(table.items()):
        sent = {key: value for key, value in {**good, **fields}.items() if value is not None}
        answer = requests.post(url, timeout=20, **({"files": parts(sent)} if number % 2 else {"json": sent}))
        assert answer.status_code == status, (name, answer.text[:300])
        refused(answer, status, 20015 if status == 400 else status, param)
    large = {"file": ("a.wav", bytes(2**20 + 1))}
    refused(requests.post(url, files=large, data=UPLOAD, timeout=9), 413, 413)
    assert asyncio.run(server.voices.list(kind="user")) == []


def test_uploads_that_cannot_be_read_at_all_are_refused(serve: Serve) -> None:
    url = f"{serve().url}/v1/uploads/audio/voice"
    name = {**UPLOAD, "customName": b"\xff\xfe", "audio": data_url(clip())}
    refused(requests.post(url, files=parts(name), timeout=9), 400, 20015, "customName")
    numbers = {**UPLOAD, "audio": 5}
    refused(requests.post(url, json=numbers, timeout=9), 400, 20015, "audio")
    for body, media_type in (
        (b"{", "application/json"),
        (b"[]", "application/json"),
        (b"\xff\xfe", "application/json"),
        (b"text", "text/plain"),
        (b"--x\r\nbroken", "multipart/form-data; boundary=x"),
        (b"", "multipart/form-data"),
    ):
        answer = requests.post(url, data=body, headers={"Content-Type": media_type}, timeout=9)
        assert answer.status_code == 400, answer.text
        assert answer.json()["code"] == 20015


def test_bad_deletions_are_refused(serve: Serve) -> None:
    url = f"{serve().url}/v1/audio/voice/deletions"
    for body, param in (({}, "uri"), ({"uri": ""}, "uri"), ({"uri": 3}, "uri"), ({"uri": None}, "uri"), ([], None)):
        refused(requests.post(url, json=body, timeout=9), 400, 20015, param)
    refused(requests.post(url, json={"uri": "speech:../../x:b:c"}, timeout=9), 404, 404, "uri")
    refused(requests.post(url, json={"uri": "alex"}, timeout=9), 400, 20015)
    refused(requests.get(url, timeout=9), 405, 405)

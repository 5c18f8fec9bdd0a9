"""OpenAI's speech API by its official SDK, and by what front ends and mistaken callers send."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import struct
import time
import wave
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
import requests
from openai import OpenAI

from cosy.errors import EngineError, OverloadedError
from cosy.types import Mode
from tests.server.conftest import Serve, Served
from tests.server.dialects.answers import events, heard, lasts
from tests.server.dialects.recordings import bomb, clip, silence
from tests.server.fake import FakeEngine

TEXT = "Hello, I am a voice."
SECONDS = 0.08 * len(TEXT)
FORMATS = ("mp3", "opus", "aac", "flac", "wav", "pcm")
VOICES = "alloy ash ballad coral echo fable onyx nova sage shimmer verse marin cedar".split()
AGENTS_DEFAULT = "You will receive partial sentences. Do not complete the sentence just read out the text."
SPEECH: dict[str, Any] = {"model": "tts-1", "input": TEXT, "voice": "alloy"}


def client_of(server: Served, key: str = "any", **options: Any) -> OpenAI:
    return OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0, **options)


def post(server: Served, body: Any, path: str = "/v1/audio/speech", **options: Any) -> requests.Response:
    return requests.post(server.url + path, json=body, timeout=20, **options)


@pytest.mark.parametrize("format", FORMATS)
def test_the_sdk_gets_every_format_at_24000_hz(serve: Serve, format: Any) -> None:
    with client_of(serve()) as client:
        answer = client.audio.speech.create(**SPEECH, response_format=format)
    seconds, rate_hz = heard(answer.content, format)
    assert lasts(answer.content, format, SECONDS), seconds
    assert rate_hz == 24_000
    headers = answer.response.headers
    assert headers["content-type"] == {"mp3": "audio/mpeg"}.get(format, f"audio/{format}")
    assert headers["x-sample-rate"] == ("48000" if format == "opus" else "24000")  # what players of Opus report
    assert headers["x-request-id"]
    assert "content-length" not in headers


def test_mp3_is_the_default_and_starts_with_a_frame(serve: Serve) -> None:
    with client_of(serve()) as client:
        data = client.audio.speech.create(**SPEECH).content
    assert data[0] == 0xFF
    assert data[1] & 0xE0 == 0xE0


def test_a_streamed_wav_reads_with_the_standard_library(serve: Serve, tmp_path: Path) -> None:
    with client_of(serve()) as client:
        request = client.audio.speech.with_streaming_response.create(**SPEECH, response_format="wav")
        with request as answer:
            answer.stream_to_file(tmp_path / "speech.wav")
    data = (tmp_path / "speech.wav").read_bytes()
    assert struct.unpack_from("<I", data, 40)[0] == 0xFFFFFFFF
    with wave.open(io.BytesIO(data)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (24_000, 1, 2)


def test_audio_comes_while_the_rest_is_being_made(serve: Serve) -> None:
    server = serve(FakeEngine(delay_s=0.1))
    with client_of(server) as client:
        request = client.audio.speech.with_streaming_response.create(**SPEECH, response_format="pcm")
        with request as answer:
            chunks = answer.iter_bytes()
            first = next(chunks)
            assert server.engine.finished == 0
            assert lasts(first + b"".join(chunks), "pcm", SECONDS)


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_hangs_up_stops_the_engine(serve: Serve, stream: bool) -> None:
    engine = FakeEngine(delay_s=0.05)
    server = serve(engine)
    connection = HTTPConnection(server.url.removeprefix("http://"), timeout=20)
    connection.request("POST", "/v1/audio/speech", json.dumps({**SPEECH, "input": TEXT * 50, "stream": stream}))
    assert happens(lambda: engine.made > 1)
    connection.close()
    assert happens(lambda: engine.aborted == 1)
    assert (engine.running, engine.finished) == (0, 0)


def happens(event: Callable[[], bool]) -> bool:
    """Whether it comes true soon."""
    deadline = time.monotonic() + 10
    while not event() and time.monotonic() < deadline:
        time.sleep(0.01)
    return event()


def test_a_complete_file_states_its_length(serve: Serve) -> None:
    answer = post(serve(), {**SPEECH, "response_format": "wav", "stream": False})
    data = answer.content
    assert int(answer.headers["Content-Length"]) == len(data)
    assert struct.unpack_from("<I", data, 4)[0] == len(data) - 8
    assert struct.unpack_from("<I", data, 40)[0] == len(data) - 44
    assert lasts(data, "wav", SECONDS)
    assert answer.headers["X-Sample-Rate"] == "24000"


@pytest.mark.parametrize("format", FORMATS)
def test_events_carry_one_file_and_count_tokens(serve: Serve, format: str) -> None:
    server = serve()
    answer = post(server, {**SPEECH, "response_format": format, "stream_format": "sse"})
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    *deltas, done = events(answer.content)
    assert {event["type"] for event in deltas} == {"speech.audio.delta"}
    assert all(event["audio"] for event in deltas)
    assert len(deltas) == 1 if format == "flac" else len(deltas) > 3
    assert lasts(b"".join(base64.b64decode(event["audio"]) for event in deltas), format, SECONDS)
    spoken = round(SECONDS * 25)
    usage = {"input_tokens": len(TEXT), "output_tokens": spoken, "total_tokens": len(TEXT) + spoken}
    assert done == {"type": "speech.audio.done", "usage": usage}


def test_the_sdk_reads_events(serve: Serve) -> None:
    with client_of(serve()) as client:
        request = client.audio.speech.with_streaming_response.create(
            **SPEECH, response_format="pcm", stream_format="sse"
        )
        with request as answer:
            found = events(answer.read())
    assert found[-1]["type"] == "speech.audio.done"


def test_a_failure_half_way_is_an_event_and_the_last(serve: Serve) -> None:
    server = serve(FakeEngine(error=EngineError("the vocoder failed"), fail_at=3))
    *deltas, last = events(post(server, {**SPEECH, "stream_format": "sse"}).content)
    assert deltas
    error = {"message": "the vocoder failed", "type": "server_error", "param": None, "code": "synthesis_failed"}
    assert last == {"type": "error", "error": error}


def test_a_failure_half_way_breaks_the_connection(serve: Serve) -> None:
    server = serve(FakeEngine(error=EngineError("the vocoder failed"), fail_at=3))
    with client_of(server) as client, pytest.raises((httpx2.RemoteProtocolError, openai.APIConnectionError)):
        client.audio.speech.create(**SPEECH)


def test_the_async_client_speaks_many_at_once(serve: Serve) -> None:
    server = serve(FakeEngine(delay_s=0.01))

    async def speak() -> list[bytes]:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0) as client:
            calls = [client.audio.speech.create(**SPEECH, response_format="pcm") for _ in range(5)]
            return [answer.content for answer in await asyncio.gather(*calls)]

    assert all(lasts(data, "pcm", SECONDS) for data in asyncio.run(speak()))


@pytest.mark.parametrize(
    ("fields", "instruction", "text"),
    [
        ({}, "", TEXT),
        ({"instructions": None}, "", TEXT),
        ({"instructions": "Speak \n cheerfully. "}, "Speak cheerfully.", TEXT),
        ({"instructions": "Speak cheerfully.<|endofprompt|>"}, "Speak cheerfully.", TEXT),
        ({"instructions": "word " * 200}, ("word " * 103)[:512].strip(), TEXT),
        ({"instructions": AGENTS_DEFAULT}, "", TEXT),
        ({"input": f" Sadly: <|endofprompt|> {TEXT} "}, "Sadly:", TEXT),
        ({"input": f"Sadly:<|endofprompt|>{TEXT}", "instructions": "Gladly."}, "Gladly.", TEXT),
    ],
)
def test_instructions_steer_and_are_not_spoken(serve: Serve, fields: Any, instruction: str, text: str) -> None:
    server = serve()
    assert post(server, {**SPEECH, **fields}).status_code == 200
    request = server.engine.requests[0]
    assert (request.instruction, request.text) == (instruction, text)
    assert request.mode is (Mode.INSTRUCT if instruction else None)


def test_a_setting_ignores_instructions(serve: Serve) -> None:
    server = serve(ignore_instructions=True)
    assert post(server, {**SPEECH, "instructions": "Speak cheerfully."}).status_code == 200
    assert server.engine.requests[0].instruction == ""


def test_every_name_of_openais_voices_speaks(serve: Serve) -> None:
    server = serve()
    for name in VOICES:
        assert post(server, {**SPEECH, "voice": name, "response_format": "pcm"}).status_code == 200
    assert post(server, {**SPEECH, "voice": {"id": "alex"}}).status_code == 200
    assert {request.voice for request in server.engine.requests} == {"alex"}


def test_the_other_providers_fields_are_honoured(serve: Serve) -> None:
    server = serve()
    extra = {"sample_rate": 16_000, "gain": -6, "seed": 5, "speed": 2, "response_format": "wav", "unknown": 1}
    answer = post(server, {**SPEECH, **extra})
    assert heard(answer.content, "wav") == (pytest.approx(SECONDS / 2, abs=0.01), 16_000)
    request = server.engine.requests[0]
    assert (request.gain_db, request.seed, request.speed) == (-6, 5, 2)


@pytest.mark.parametrize("path", ["/audio/speech", "/v1/audio/speech/", "/audio/speech/"])
def test_speech_has_other_addresses(serve: Serve, path: str) -> None:
    server = serve(api_keys=("secret",))
    answer = post(server, SPEECH, f"{path}?api-version=2025-01-01", headers={"api-key": "secret"})
    assert answer.status_code == 200
    assert lasts(answer.content, "mp3", SECONDS)


def test_a_body_with_an_object_for_input_is_pai_eas(serve: Serve) -> None:
    server = serve()
    body = {
        "model": "CosyVoice2-0.5B",
        "stream": False,
        "input": {"mode": "cross_lingual_replication", "text": TEXT, "reference_audio_id": "alex"},
    }
    answer = post(server, body).json()
    assert lasts(base64.b64decode(answer["output"]["audio"]["data"]), "wav", SECONDS)


def test_the_sdk_lists_models_and_finds_one_with_a_slash(serve: Serve) -> None:
    server = serve()
    with client_of(server) as client:
        names = [model.id for model in client.models.list()]
        assert {"FunAudioLLM/CosyVoice2-0.5B", "CosyVoice2-0.5B", "cosyvoice-v2", "tts-1", "tts-1-hd"} <= set(names)
        assert all(client.models.retrieve(name).id == name for name in names)
        with pytest.raises(openai.NotFoundError) as error:
            client.models.retrieve("whisper-1")
    assert error.value.code == "model_not_found"
    assert requests.get(f"{server.url}/v1/models/FunAudioLLM/CosyVoice2-0.5B", timeout=9).json()["object"] == "model"


def test_the_sdk_makes_a_voice_speaks_with_it_and_deletes_it(serve: Serve) -> None:
    server = serve()
    with client_of(server) as client:
        sample = ("../../ada.wav", clip())
        voice = client.audio.voices.create(
            name="Ada", audio_sample=sample, consent="agreed", extra_body={"transcript": "What I say."}
        )
        assert voice.id.startswith("voice_")
        assert len(voice.id) == len("voice_") + 24
        assert (voice.name, voice.type, voice.object) == ("Ada", "audio_sample", "audio.voice")
        assert abs(voice.created_at - time.time()) < 60
        record = asyncio.run(server.voices.get(voice.id))
        assert (record.transcript, record.consent, record.filename) == ("What I say.", "agreed", "ada.wav")
        client.audio.speech.create(**{**SPEECH, "voice": {"id": voice.id}})
        client.audio.speech.create(**{**SPEECH, "voice": voice.id})
        assert [request.voice for request in server.engine.requests] == [voice.id] * 2
        gone = client.audio.voices.delete(voice.id)
        assert (gone.id, gone.object, gone.deleted) == (voice.id, "audio.voice.deleted", True)
        with pytest.raises(openai.NotFoundError) as error:
            client.audio.voices.delete(voice.id)
        assert error.value.code == "voice_not_found"
        with pytest.raises(openai.BadRequestError) as refused:
            client.audio.speech.create(**{**SPEECH, "voice": voice.id})
    assert (refused.value.code, refused.value.param) == ("invalid_voice", "voice")


def test_a_voice_from_a_description_is_unsupported(serve: Serve) -> None:
    server = serve()
    with client_of(server) as client, pytest.raises(openai.BadRequestError) as error:
        client.audio.voices.create(name="Ada", type="prompt", prompt="A low, warm voice.")
    assert (error.value.code, error.value.param) == ("unsupported", "type")
    answer = post(server, {"name": "Ada", "type": "prompt", "prompt": "low"}, "/v1/audio/voices")
    assert answer.json()["error"]["code"] == "unsupported"


def test_the_sdk_manages_consents(serve: Serve) -> None:
    with client_of(serve()) as client:
        consents = client.audio.voice_consents
        made = [consents.create(name=f"C{i}", language="en-US", recording=("agreed.wav", clip())) for i in range(3)]
        assert made[0].id.startswith("cons_")
        assert (made[0].object, made[0].language) == ("audio.voice_consent", "en-US")
        assert [each.id for each in consents.list(limit=2)] == [each.id for each in reversed(made)]
        assert consents.update(made[1].id, name="Other").name == "Other"
        assert consents.retrieve(made[1].id).name == "Other"
        voice = client.audio.voices.create(name="Ada", audio_sample=("a.wav", clip()), consent=made[1].id)
        assert voice.id
        gone = consents.delete(made[1].id)
        assert (gone.object, gone.deleted) == ("audio.voice_consent", True)
        for call in (consents.retrieve, consents.delete, lambda id: consents.update(id, name="x")):
            with pytest.raises(openai.NotFoundError) as error:
                call(made[1].id)
            assert error.value.code == "consent_not_found"


def test_a_page_of_consents_says_whether_there_are_more(serve: Serve) -> None:
    server = serve()
    url = f"{server.url}/v1/audio/voice_consents"
    empty = {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}
    assert requests.get(url, timeout=9).json() == empty
    with client_of(server) as client:
        ids = [
            client.audio.voice_consents.create(name="C", language="en", recording=("c.wav", clip())).id for _ in "ab"
        ]
    page = requests.get(url, params={"limit": 1}, timeout=9).json()
    assert (page["first_id"], page["last_id"], page["has_more"]) == (ids[1], ids[1], True)
    for query in ({"limit": 0}, {"limit": 101}, {"limit": "x"}, {"after": "cons_none"}):
        answer = requests.get(url, params=query, timeout=9)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, next(iter(query)))


def test_front_ends_list_voices_without_a_key_but_see_no_uploads(serve: Serve) -> None:
    server = serve(api_keys=("secret",))
    with client_of(server, "secret") as client:
        voice = client.audio.voices.create(name="Ada", audio_sample=("a.wav", clip()), consent="agreed")
    for path in ("/v1/audio/voices", "/audio/voices"):
        open_list = requests.get(server.url + path, timeout=9).json()
        names = [each["id"] for each in open_list["voices"]]
        assert {"alex", *VOICES} == set(names)
        assert open_list["data"][0] == {"object": "audio.voice", **open_list["voices"][0]}
    ours = requests.get(f"{server.url}/v1/audio/voices", headers={"Authorization": "bearer secret"}, timeout=9).json()
    assert {"id": voice.id, "name": "Ada"} in ours["voices"]
    models = requests.get(f"{server.url}/audio/models", timeout=9).json()["models"]
    assert {"id": "tts-1", "name": "tts-1"} in models


def test_without_the_fallback_only_voices_that_speak_are_listed(serve: Serve) -> None:
    server = serve(voice_fallback=False)
    listed = requests.get(f"{server.url}/v1/audio/voices", timeout=9).json()["voices"]
    assert listed == [{"id": "alex", "name": "alex"}]
    assert post(server, SPEECH).json()["error"]["code"] == "invalid_voice"


def test_strict_models_are_refused_by_name(serve: Serve) -> None:
    server = serve(strict_models=True)
    for model in ("tts-1", "gpt-4o-mini-tts-2025-12-15", "FunAudioLLM/CosyVoice2-0.5B"):
        assert post(server, {**SPEECH, "model": model}).status_code == 200
    with client_of(server) as client, pytest.raises(openai.NotFoundError) as error:
        client.audio.speech.create(**{**SPEECH, "model": "tts-9"})
    assert (error.value.code, error.value.param) == ("model_not_found", "model")


@pytest.mark.parametrize(
    ("problem", "exception", "type", "code"),
    [
        (OverloadedError("no slot is free", 3.0), openai.InternalServerError, "server_error", None),
        (EngineError("the model failed"), openai.InternalServerError, "server_error", None),
        (RuntimeError("a bug"), openai.InternalServerError, "server_error", None),
    ],
)
def test_failures_before_the_first_byte_are_the_sdks_exceptions(
    serve: Serve, problem: Exception, exception: type[openai.APIStatusError], type: str, code: str | None
) -> None:
    with client_of(serve(FakeEngine(error=problem))) as client, pytest.raises(exception) as error:
        client.audio.speech.create(**SPEECH)
    assert (error.value.type, error.value.code) == (type, code)
    assert "bug" not in str(error.value)
    assert error.value.request_id
    if isinstance(problem, OverloadedError):
        assert (error.value.status_code, error.value.response.headers["retry-after"]) == (503, "3")
        assert error.value.response.json()["code"] == 50505


def test_keys_are_wanted_where_there_are_some(serve: Serve) -> None:
    server = serve(api_keys=("secret",), requests_per_minute=2)
    with client_of(server, "wrong") as client, pytest.raises(openai.AuthenticationError) as error:
        client.audio.speech.create(**SPEECH)
    assert (error.value.type, error.value.code) == ("invalid_request_error", "invalid_api_key")
    assert error.value.response.json()["code"] == 401
    for method, path in (
        ("GET", "/v1/models"),
        ("GET", "/v1/models/tts-1"),
        ("POST", "/v1/audio/voices"),
        ("DELETE", "/v1/audio/voices/x"),
        ("GET", "/v1/audio/voice_consents"),
    ):
        assert requests.request(method, server.url + path, timeout=9).status_code == 401, path
    with client_of(server, "secret") as client:
        client.audio.speech.create(**SPEECH)
        client.audio.speech.create(**SPEECH)
        with pytest.raises(openai.RateLimitError) as limited:
            client.audio.speech.create(**SPEECH)
    assert (limited.value.type, limited.value.code) == ("rate_limit_error", "rate_limit_exceeded")
    assert int(limited.value.response.headers["retry-after"]) >= 1


BAD_SPEECH: dict[str, tuple[Any, int, str | None, str]] = {  # fields -> status, param, code
    "no model": ({"model": None}, 400, "model", "invalid_value"),
    "empty model": ({"model": ""}, 400, "model", "invalid_value"),
    "model of a wrong type": ({"model": 7}, 400, "model", "invalid_value"),
    "model with a slash": ({"model": "other/tts"}, 404, "model", "model_not_found"),
    "no input": ({"input": None}, 400, "input", "invalid_value"),
    "empty input": ({"input": ""}, 400, "input", "invalid_value"),
    "blank input": ({"input": " \n"}, 400, "input", "invalid_value"),
    "nothing after the marker": ({"input": "Sadly<|endofprompt|> "}, 400, "input", "invalid_value"),
    "input of a wrong type": ({"input": ["a"]}, 400, "input", "invalid_value"),
    "input with NUL": ({"input": "a\0b"}, 400, "input", "invalid_value"),
    "half a character": ({"input": "a\ud800"}, 400, None, "invalid_value"),
    "10 MB of text": ({"input": "word " * 2_000_000}, 413, "input", "too_large"),
    "no voice": ({"voice": None}, 400, "voice", "invalid_value"),
    "empty voice": ({"voice": ""}, 400, "voice", "invalid_value"),
    "unknown voice": ({"voice": "nobody"}, 400, "voice", "invalid_voice"),
    "unknown voice object": ({"voice": {"id": "voice_0"}}, 400, "voice", "invalid_voice"),
    "a path for a voice": ({"voice": "../../etc/passwd"}, 400, "voice", "invalid_voice"),
    "voice of a wrong type": ({"voice": 3}, 400, "voice", "invalid_value"),
    "voice object without id": ({"voice": {"name": "alloy"}}, 400, "voice", "invalid_value"),
    "unknown format": ({"response_format": "ogg"}, 400, "response_format", "invalid_value"),
    "slow": ({"speed": 0.24}, 400, "speed", "invalid_value"),
    "fast": ({"speed": 4.1}, 400, "speed", "invalid_value"),
    "speed as text": ({"speed": "fast"}, 400, "speed", "invalid_value"),
    "loud": ({"gain": 11}, 400, "gain", "invalid_value"),
    "odd rate": ({"sample_rate": 12_345}, 400, "sample_rate", "invalid_value"),
    "negative seed": ({"seed": -1}, 400, "seed", "invalid_value"),
    "huge seed": ({"seed": 2**63}, 400, "seed", "invalid_value"),
    "unknown stream format": ({"stream_format": "ws"}, 400, "stream_format", "invalid_value"),
    "stream as text": ({"stream": "yes"}, 400, "stream", "invalid_value"),
    "instructions of a wrong type": ({"instructions": 3}, 400, "instructions", "invalid_value"),
    "references of a wrong type": ({"references": "x"}, 400, "references", "invalid_value"),
    "corrupt reference": ({"references": [{"audio": "AAAA"}]}, 400, "references", "invalid_audio"),
}


def refused(answer: requests.Response, status: int, param: str | None, code: str | None) -> None:
    """Checks the superset body."""
    body = answer.json()
    error = body["error"]
    assert (answer.status_code, error["param"], error["code"]) == (status, param, code), body
    assert error["message"]
    assert error["type"] == "invalid_request_error"
    assert (body["message"], body["data"]) == (error["message"], None)
    assert answer.headers["X-Request-Id"]


def test_bad_speech_requests_are_refused_by_name(serve: Serve) -> None:
    server = serve()
    for name, (fields, status, param, code) in BAD_SPEECH.items():
        answer = post(server, {**SPEECH, **fields})
        assert answer.status_code == status, (name, answer.text[:300])
        refused(answer, status, param, code)
    assert server.engine.requests == []


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"text"', b'{"model": "tts-1", "input": "\xff\xfe"}', b'{"speed": NaN}', b"[" * 100_000]
)
def test_a_body_that_is_no_json_object_is_refused(serve: Serve, body: bytes) -> None:
    answer = requests.post(f"{serve().url}/v1/audio/speech", data=body, timeout=9)
    refused(answer, 400, None, "invalid_value")


def test_bad_voice_uploads_are_refused_by_name(serve: Serve) -> None:
    server = serve(max_upload_bytes=2**20)
    good: dict[str, Any] = {"name": (None, "Ada"), "audio_sample": ("a.wav", clip())}
    table: dict[str, tuple[dict[str, Any], int, str | None, str]] = {
        "no name": ({"name": None}, 400, "name", "invalid_value"),
        "blank name": ({"name": (None, " ")}, 400, "name", "invalid_value"),
        "long name": ({"name": (None, "x" * 129)}, 400, "name", "invalid_value"),
        "name not in UTF-8": ({"name": (None, b"\xff\xfe")}, 400, "name", "invalid_value"),
        "no sample": ({"audio_sample": None}, 400, "audio_sample", "invalid_value"),
        "empty sample": ({"audio_sample": ("a.wav", b"")}, 400, "audio_sample", "invalid_value"),
        "sample as text": ({"audio_sample": (None, "AAAA")}, 400, "audio_sample", "invalid_value"),
        "corrupt sample": ({"audio_sample": ("a.wav", b"RIFF" + bytes(99))}, 400, None, "invalid_audio"),
        "not audio": ({"audio_sample": ("a.wav", b"<html>" * 99)}, 400, None, "invalid_audio"),
        "too short": ({"audio_sample": ("a.wav", clip(0.5))}, 400, None, "invalid_audio"),
        "silence": ({"audio_sample": ("a.wav", silence())}, 400, None, "invalid_audio"),
        "too long for a transcript": (
            {"audio_sample": ("a.wav", clip(31)), "transcript": (None, "words")},
            400,
            None,
            "invalid_audio",
        ),
        "bomb": ({"audio_sample": ("a.flac", bomb(1.0))}, 400, None, "invalid_audio"),
        "too large": ({"audio_sample": ("a.wav", bytes(2**20 + 1))}, 413, None, "too_large"),
        "unknown consent": ({"consent": (None, "cons_none")}, 400, None, "invalid_value"),
        "unknown type": ({"type": (None, "clone")}, 400, "type", "unsupported"),
    }
    for name, (parts, status, param, code) in table.items():
        files = {key: value for key, value in {**good, **parts}.items() if value is not None}
        answer = requests.post(f"{server.url}/v1/audio/voices", files=files, timeout=20)
        assert answer.status_code == status, (name, answer.text[:300])
        refused(answer, status, param, code)
    assert [voice for voice in asyncio.run(server.voices.list()) if voice.kind == "user"] == []


def test_presets_and_strange_ids_are_not_deleted(serve: Serve) -> None:
    server = serve()
    url = f"{server.url}/v1/audio/voices"
    assert requests.delete(f"{url}/alex", timeout=9).status_code == 400
    for id in ("nobody", "a/b/c", "..%2F..%2Fetc%2Fpasswd", "%00", "%FF"):
        refused(requests.delete(f"{url}/{id}", timeout=9), 404, "id", "voice_not_found")


def test_unknown_paths_and_methods_answer_in_the_same_shape(serve: Serve) -> None:
    server = serve()
    missing = requests.get(f"{server.url}/v1/chat/completions", timeout=9)
    assert (missing.status_code, missing.json()["code"]) == (404, 404)
    wrong = requests.get(f"{server.url}/v1/audio/speech", timeout=9)
    refused(wrong, 405, None, "method_not_allowed")


def test_the_openapi_page_describes_the_bodies(serve: Serve) -> None:
    page = requests.get(f"{serve().url}/openapi.json", timeout=9).json()
    content = page["paths"]["/v1/audio/speech"]["post"]["requestBody"]["content"]
    schema = content["application/json"]["schema"]
    assert schema["required"] == ["model", "input"]
    assert schema["properties"]["speed"]["maximum"] == 4.0
    assert "/audio/speech" not in page["paths"]
    assert "multipart/form-data" in page["paths"]["/v1/audio/voices"]["post"]["requestBody"]["content"]

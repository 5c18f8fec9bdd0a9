"""PAI-EAS over HTTP, by the calls of its published clients and by ones that are wrong."""

from __future__ import annotations

import base64
import io
import json
import socket
import time
import uuid
import wave
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from sseclient import SSEClient

from cosy.errors import EngineError
from cosy.server.dialects.pai_eas import file_name
from cosy.types import Mode
from tests.server.conftest import Serve, Served, running
from tests.server.dialects.pai_calls import (
    METRICS,
    RESULT_KEYS,
    TEXT,
    at_rest,
    check_audio,
    decoded,
    error_db,
    options,
    seconds_of,
    until,
)
from tests.server.dialects.recordings import bomb, clip, silence
from tests.server.fake import FakeEngine, make_parts

REFERENCES = "/api/v1/audio/reference_audio"
SPEECH = "/api/v1/audio/speech"
TRANSCRIPT = "I hope you can do even better than me in the future."


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for all tests that leave nothing behind."""
    with make_parts(tmp_path_factory.mktemp("shared")) as parts, running(parts) as url:
        yield Served(url, parts)


def upload(served: Served, name: str = "zero_shot_prompt.wav", data: bytes | None = None, **fields: str) -> Any:
    files = {"file": (name, clip() if data is None else data)}
    form = {"text": TRANSCRIPT, **fields}
    return requests.post(served.url + REFERENCES, files=files, data=form, timeout=10)


def speak(served: Served, stream: bool | None = False, path: str = SPEECH, **changes: Any) -> requests.Response:
    body = {"model": "CosyVoice2-0.5B", "input": options(text=TEXT) | changes}
    if stream is not None:
        body["stream"] = stream
    return requests.post(served.url + path, json=body, timeout=10)


def events(response: requests.Response) -> list[dict[str, Any]]:
    """As the published client reads them: every event is JSON and is indexed without a look."""
    found = [json.loads(message.data) for message in SSEClient(response).events()]
    for each in found:
        assert each.keys() == RESULT_KEYS | {"request_id"}
        assert {"finish_reason", "audio"} == each["output"].keys()
    return found


def joined(found: list[dict[str, Any]]) -> bytes:
    return b"".join(base64.b64decode(each["output"]["audio"]["data"], validate=True) for each in found)


# Reference audio


def test_a_recording_is_uploaded_listed_shown_and_deleted(serve: Serve, tmp_path: Path) -> None:
    served = serve()
    path = tmp_path / "zero_shot_prompt.wav"
    path.write_bytes(clip())
    url = served.url + REFERENCES
    with path.open("rb") as file:
        answer = requests.post(url, files={"file": file}, data={"text": TRANSCRIPT}, timeout=10)
    assert answer.status_code == 200
    made = answer.json()
    assert list(made) == ["id", "filename", "bytes", "created_at", "text"]
    assert uuid.UUID(made["id"]).version == 4
    assert (made["filename"], made["bytes"], made["text"]) == (path.name, path.stat().st_size, TRANSCRIPT)
    assert abs(made["created_at"] - time.time()) < 10
    assert requests.get(f"{url}?limit=10&order=desc", timeout=10).json() == [made]
    assert requests.get(f"{url}/{made['id']}", timeout=10).json() == made
    gone = requests.delete(f"{url}/{made['id']}", timeout=10)
    assert gone.json() == {"code": "OK", "message": f"reference audio: {made['id']} deleted.", "data": {}}
    assert requests.get(url, timeout=10).json() == []
    missing = {"code": "NotFound", "message": f"reference audio: {made['id']} not found.", "data": {}}
    for verb in ("GET", "DELETE"):
        again = requests.request(verb, f"{url}/{made['id']}", timeout=10)
        assert (again.status_code, again.json()) == (404, missing)


def test_the_list_is_newest_first_unless_asked_otherwise(serve: Serve) -> None:
    served = serve()
    ids = [upload(served, f"{number}.wav").json()["id"] for number in range(3)]

    def listed(**query: Any) -> list[str]:
        return [each["id"] for each in requests.get(served.url + REFERENCES, params=query, timeout=10).json()]

    assert listed() == listed(order="desc") == ids[::-1]
    assert listed(order="asc") == ids
    assert listed(limit=2) == ids[:0:-1]
    assert listed(limit=2, order="asc") == ids[:2]


@pytest.mark.parametrize("path", ["/v1/audio/reference_audio", "/audio/reference_audio", f"{REFERENCES}/"])
def test_older_paths_of_reference_audio_work(serve: Serve, path: str) -> None:
    served = serve()
    made = requests.post(served.url + path, files={"file": clip()}, data={"text": TRANSCRIPT}, timeout=10).json()
    url = served.url + path.rstrip("/")
    assert requests.get(served.url + path, timeout=10).json() == [made]
    assert requests.get(f"{url}/{made['id']}", timeout=10).json() == made
    assert requests.delete(f"{url}/{made['id']}", timeout=10).json()["code"] == "OK"
    assert requests.get(f"{url}/nobody", timeout=10).json()["code"] == "NotFound"


def test_a_file_named_pcm_is_samples_without_a_header(serve: Serve) -> None:
    served = serve()
    samples = clip(2.0)[44:]
    assert upload(served, "voice.pcm", samples).json()["bytes"] == len(samples)
    too_fast = upload(served, "voice.pcm", samples, sample_rate="48000")
    assert too_fast.status_code == 400  # the same samples are too short then
    assert "least 1 s" in too_fast.json()["message"]


def test_a_consent_can_be_required_and_is_kept(serve: Serve) -> None:
    served = serve(require_consent=True)
    refused = upload(served)
    assert (refused.status_code, refused.json()["code"]) == (400, "InvalidParameter")
    assert "consent" in refused.json()["message"]
    assert upload(served, consent="by the speaker, on paper").status_code == 200


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("prompt.wav", "prompt.wav"),
        ("提示 音.wav", "提示 音.wav"),
        ("提示.wav".encode().decode("latin-1"), "提示.wav"),
        ("%E6%8F%90%E7%A4%BA.wav", "提示.wav"),
        ("=?utf-8?B?5o+Q56S6Lndhdg==?=", "提示.wav"),
        ("=?nonsense?B?5o+Q56S6?=", "=?nonsense?B?5o+Q56S6?="),
        ("100%.wav", "100%.wav"),
        ("%FF.wav", "%FF.wav"),
        ("../../etc/passwd", "passwd"),
        ("%2e%2e%2fetc%2fpasswd", "passwd"),
        ("C:\\sounds\\me.wav", "me.wav"),
        ("..", ".."),
        ("", ""),
    ],
)
def test_a_file_name_is_read_as_it_was_meant_and_has_no_folders(sent: str, kept: str) -> None:
    assert file_name(sent) == kept


@pytest.mark.parametrize(
    "name", ["../../../evil.wav", "/etc/passwd", "..\\..\\evil.wav", "..", "提示音.wav", "a" * 999]
)
def test_a_file_name_never_becomes_a_path(serve: Serve, tmp_path: Path, name: str) -> None:
    made = upload(serve(), name)
    assert made.status_code == 200
    assert made.json()["filename"] == name.replace("\\", "/").rpartition("/")[2][-255:]
    assert not [path for path in tmp_path.parent.rglob("*") if "evil" in path.name or "passwd" in path.name]


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("voice.wav", bytes(20_000_000))
    return file.getvalue()


@pytest.mark.parametrize(
    ("files", "form", "named"),
    [
        ({}, {"text": TRANSCRIPT}, "file"),
        ({"file": clip()}, {}, "text"),
        ({"file": clip()}, {"text": " "}, "text"),
        ({"file": b""}, {"text": TRANSCRIPT}, "file"),
        ({"file": b"RIFF1234WAVEfmt broken"}, {"text": TRANSCRIPT}, ""),
        ({"file": clip()[:1000]}, {"text": TRANSCRIPT}, ""),
        ({"file": bytes(range(256)) * 100}, {"text": TRANSCRIPT}, ""),
        ({"file": zipped()}, {"text": TRANSCRIPT}, ""),
        ({"file": bomb(0.5)}, {"text": TRANSCRIPT}, "longer than 30 s"),
        ({"file": silence()}, {"text": TRANSCRIPT}, "silen"),
        ({"file": clip(0.5)}, {"text": TRANSCRIPT}, "least 1 s"),
        ({"file": clip()}, {"text": b"\xff\xfe\xfa"}, "text"),
        ({"file": clip()}, {"text": "a\0b"}, "text"),
        ({"file": clip(), "text": ("t.txt", b"words")}, {}, "text"),
        ({}, {"file": "aGVsbG8=", "text": TRANSCRIPT}, "file"),
        ({"file": ("a.pcm", clip())}, {"text": TRANSCRIPT, "sample_rate": "fast"}, "sample_rate"),
        ({"file": ("a.pcm", clip()[44:])}, {"text": TRANSCRIPT, "sample_rate": "4"}, "sample_rate"),
    ],
)
def test_a_bad_upload_is_refused_and_leaves_nothing(shared: Served, files: Any, form: Any, named: str) -> None:
    answer = requests.post(shared.url + REFERENCES, files=files, data=form, timeout=20)
    assert answer.status_code == 400
    assert list(answer.json()) == ["code", "message", "data"]
    assert answer.json()["code"] == "InvalidParameter"
    assert named in answer.json()["message"]
    assert requests.get(shared.url + REFERENCES, timeout=10).json() == []


def test_an_upload_may_not_be_too_large(serve: Serve) -> None:
    served = serve(max_upload_bytes=20_000, max_body_bytes=100_000)
    for size in (50_000, 200_000):
        refused = upload(served, data=bytes(size))
        assert (refused.status_code, refused.json()["code"], refused.json()["data"]) == (413, "TooLarge", {})


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=-1", "limit=many", "limit=1.5", "order=up", "order=", "limit=%00"]
)
def test_a_bad_list_query_is_refused(shared: Served, query: str) -> None:
    answer = requests.get(f"{shared.url}{REFERENCES}?{query}", timeout=10)
    assert (answer.status_code, answer.json()["code"], answer.json()["data"]) == (400, "InvalidParameter", {})
    assert query.partition("=")[0] in answer.json()["message"]


@pytest.mark.parametrize("id", ["nobody", "%00", "%FF", "%F0%9F%98%80", "..%2f..%2fetc%2fpasswd", "a" * 3000])
@pytest.mark.parametrize("verb", ["GET", "DELETE"])
def test_a_strange_id_is_not_found(shared: Served, verb: str, id: str) -> None:
    answer = requests.request(verb, f"{shared.url}{REFERENCES}/{id}", timeout=10)
    assert (answer.status_code, answer.json()["code"]) == (404, "NotFound")


def test_an_id_of_another_dialect_may_hold_a_slash(shared: Served) -> None:
    name, form = "one/two", {"model": "any", "text": "Hello."}
    files = {"file": ("clip.wav", clip())}
    upload = requests.post(f"{shared.url}/v1/uploads/audio/voice", data={**form, "customName": name}, files=files)
    id = upload.json()["uri"]
    for path in (id, id.replace("/", "%2F")):
        assert requests.get(f"{shared.url}{REFERENCES}/{path}", timeout=10).json()["id"] == id
    deleted = requests.delete(f"{shared.url}{REFERENCES}/{id}", timeout=10).json()
    assert deleted == {"code": "OK", "message": f"reference audio: {id} deleted.", "data": {}}


def test_a_preset_cannot_be_deleted(shared: Served) -> None:
    answer = requests.delete(f"{shared.url}{REFERENCES}/alex", timeout=10)
    assert (answer.status_code, answer.json()["code"]) == (400, "InvalidParameter")


# Speech


def test_the_published_call_without_streaming_gets_a_complete_file(serve: Serve) -> None:
    served = serve()
    id = upload(served).json()["id"]
    with requests.post(
        served.url + SPEECH,
        headers={"Authorization": "Bearer <EAS_TOKEN>", "Content-Type": "application/json"},
        json={
            "model": "CosyVoice2-0.5B",
            "input": {
                "mode": "natural_language_replication",
                "reference_audio_id": id,
                "text": TEXT,
                "output_format": "mp3",
                "sample_rate": 24000,
                "speed": 1.0,
                "bit_rate": "48k",
                "volume": 1.0,
                "instruct": "Speak in Sichuan dialect",
            },
            "stream": False,
        },
        timeout=10,
    ) as response:
        assert response.status_code == 200
        data = json.loads(response.content)
    audio = base64.b64decode(data["output"]["audio"]["data"])
    check_audio(audio, TEXT, "mp3")
    assert response.headers["Content-Type"] == "application/json"
    assert list(data) == ["output", "usage", "error", "metrics", "request_id"]
    assert (data["usage"], data["error"], data["metrics"]) == (len(audio), None, None)
    assert data["output"]["finish_reason"] is None
    assert data["output"]["audio"]["id"] == f"audio_{data['request_id']}"
    request = served.engine.requests[0]
    assert (request.mode, request.instruction) == (Mode.INSTRUCT, "Speak in Sichuan dialect")
    assert (request.voice, request.bit_rate_bps, request.stream) == (id, 48_000, False)


def test_the_published_streaming_call_gets_one_file_in_events(serve: Serve) -> None:
    served = serve(FakeEngine(delay_s=0.002))
    body = {"model": "CosyVoice2-0.5B", "input": options(text=TEXT, output_format="mp3", bit_rate="48k", debug=True)}
    with requests.post(served.url + SPEECH, json=body, timeout=10) as response:
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert response.headers["Cache-Control"] == "no-cache"
        messages = list(SSEClient(response).events())
    assert {message.event for message in messages} == {"message"}
    found = [json.loads(message.data) for message in messages]
    check_audio(joined(found), TEXT, "mp3")
    assert len(found) > 5
    assert [each["output"]["finish_reason"] for each in found] == [None] * (len(found) - 1) + ["stop"]
    assert all(each["error"] is None and each["output"]["audio"]["data"] for each in found)
    assert len({each["request_id"] for each in found}) == 1
    assert {each["output"]["audio"]["id"] for each in found} == {f"audio_{found[0]['request_id']}"}
    assert found[0]["request_id"] == response.headers["X-Request-Id"]


def test_every_event_is_one_line_of_compact_json(shared: Served) -> None:
    raw = speak(shared, stream=None, text="Hi, world").content
    blocks = raw.split(b"\n\n")
    assert blocks.pop() == b""
    assert all(block.startswith(b'data: {"output":{"finish_reason":') and b"\n" not in block for block in blocks)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("output_format", "sample_rate"),
    [("wav", 8000), ("wav", 24000), ("wav", 44100), ("pcm", 16000), ("pcm", 48000), ("mp3", 11025), ("mp3", 32000)],
)
def test_format_rate_and_length_are_as_asked(
    shared: Served, stream: bool, output_format: str, sample_rate: int
) -> None:
    answer = speak(shared, stream, output_format=output_format, sample_rate=sample_rate)
    found = events(answer) if stream else [answer.json()]
    audio = joined(found)
    check_audio(audio, TEXT, output_format, sample_rate)
    assert found[-1]["usage"] == len(audio)


@pytest.mark.parametrize("bit_rate", ["16k", "192k", "384k"])
def test_a_bit_rate_that_the_sample_rate_does_not_allow_becomes_the_nearest(shared: Served, bit_rate: str) -> None:
    audio = joined([speak(shared, output_format="mp3", bit_rate=bit_rate).json()])
    check_audio(audio, TEXT, "mp3")
    kbps = 8 * len(audio) / 1000 / seconds_of(TEXT)
    assert kbps == pytest.approx({"16k": 16, "192k": 160, "384k": 160}[bit_rate], rel=0.1)


def test_only_a_complete_wav_knows_its_length(shared: Served) -> None:
    whole = joined([speak(shared).json()])
    with wave.open(io.BytesIO(whole)) as reader:
        assert (reader.getframerate(), reader.getnchannels(), reader.getsampwidth()) == (24_000, 1, 2)
        assert reader.getnframes() == (len(whole) - 44) // 2
    streamed = joined(events(speak(shared, True)))
    assert streamed[4:8] == streamed[40:44] == b"\xff" * 4
    assert streamed[44:] == whole[44:]
    assert streamed.count(b"RIFF") == 1


def test_metrics_are_measured(serve: Serve) -> None:
    delay_s = 0.05
    served = serve(FakeEngine(delay_s=delay_s))
    started = time.perf_counter()
    found = [each["metrics"] for each in events(speak(served, True))]
    wall_s = time.perf_counter() - started
    assert all(each.keys() == METRICS and each["speech_len"] > 0 for each in found)
    assert sum(each["speech_len"] for each in found) == pytest.approx(seconds_of(TEXT), abs=1e-6)
    assert all(each["generate_time"] >= 0.9 * delay_s for each in found[:-1])
    assert all(each["rtf"] == pytest.approx(each["generate_time"] / each["speech_len"], abs=1e-5) for each in found)
    assert found[0]["server_cost_time"] >= found[0]["generate_time"]
    generated, passed = (sum(each[key] for each in found) for key in ("generate_time", "server_cost_time"))
    assert 0.9 * delay_s * served.engine.made <= generated <= passed * 1.01 <= wall_s * 1.02


@pytest.mark.parametrize(
    ("changes", "mode", "instruction"),
    [
        ({"mode": "fast_replication"}, None, ""),  # the voice decides: zero-shot where there is a transcript
        ({"mode": "fast_replication", "instruct": "softly"}, None, ""),
        ({"mode": "cross_lingual_replication", "instruct": "softly"}, Mode.CROSS_LINGUAL, ""),
        ({"mode": "natural_language_replication", "instruct": " softly "}, Mode.INSTRUCT, "softly"),
        ({"mode": "natural_language_replication"}, Mode.CROSS_LINGUAL, ""),
        ({"mode": "natural_language_replication", "instruct": None}, Mode.CROSS_LINGUAL, ""),
        ({"text": f"softly<|endofprompt|>{TEXT}"}, Mode.INSTRUCT, "softly"),
    ],
)
def test_modes_reach_the_engine(shared: Served, changes: Any, mode: Mode | None, instruction: str) -> None:
    assert speak(shared, **changes).status_code == 200
    request = shared.engine.requests[-1]
    assert (request.mode, request.instruction, request.text) == (mode, instruction, TEXT)


def test_defaults_are_those_of_the_contract_and_null_is_absent(shared: Served) -> None:
    nothing = dict.fromkeys(["instruct", "sample_rate", "bit_rate", "volume", "speed", "output_format", "seed"])
    for changes in ({}, nothing, {"unknown": 1}):
        answer = speak(shared, None, **changes)
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        request = shared.engine.requests[-1]
        assert (request.format, request.sample_rate_hz, request.speed) == ("wav", 24_000, 1.0)
        assert (request.gain_db, request.seed, request.bit_rate_bps, request.stream) == (0.0, None, None, True)


@pytest.mark.parametrize(("volume", "level"), [(0, 0.0), (0.1, 0.05), (0.8, 0.4), (1, 0.5), (1.5, 0.75)])
def test_volume_is_a_factor(shared: Served, volume: float, level: float) -> None:
    samples = decoded(joined([speak(shared, volume=volume).json()]), "wav", 24_000)
    assert np.abs(samples).max() == pytest.approx(level, abs=1e-3)


def test_much_volume_saturates_and_never_wraps_around(shared: Served) -> None:
    samples = decoded(joined([speak(shared, volume=10).json()]), "wav", 24_000)
    assert 0.95 < np.abs(samples).max() <= 1
    assert np.abs(np.diff(samples)).max() < 0.5


@pytest.mark.parametrize("speed", [0.5, 2.0])
def test_speed_changes_the_length(shared: Served, speed: float) -> None:
    samples = decoded(joined(events(speak(shared, True, speed=speed))), "wav", 24_000)
    assert len(samples) / 24_000 == pytest.approx(seconds_of(TEXT, speed), abs=0.01)
    assert error_db(samples, 24_000) < -60


@pytest.mark.parametrize("path", ["/v1/audio/speech", f"{SPEECH}/"])
def test_other_paths_serve_a_body_of_this_dialect(shared: Served, path: str) -> None:
    check_audio(joined(events(speak(shared, True, path))), TEXT)


def test_a_failure_in_mid_stream_is_the_last_event(serve: Serve) -> None:
    found = events(speak(serve(FakeEngine(error=EngineError("the vocoder broke"), fail_at=3)), True))
    last = found.pop()
    assert found
    assert all(each["error"] is None and each["output"]["finish_reason"] is None for each in found)
    assert last["error"] == {"code": "InternalError", "message": "the vocoder broke"}
    assert last["output"]["finish_reason"] == "error"
    assert (last["output"]["audio"]["data"], last["metrics"]) == ("", None)
    assert last["usage"] == len(joined(found))


@pytest.mark.parametrize("stream", [True, False])
def test_a_failure_before_any_audio_is_an_error_answer(serve: Serve, stream: bool) -> None:
    answer = speak(serve(FakeEngine(error=RuntimeError("secret detail"))), stream)
    assert (answer.status_code, answer.json()["code"]) == (500, "InternalError")
    assert "secret" not in answer.text


def test_a_failure_of_a_whole_answer_is_an_error_answer(serve: Serve) -> None:
    answer = speak(serve(FakeEngine(error=EngineError("the vocoder broke"), fail_at=3)))
    assert (answer.status_code, answer.json()) == (
        500,
        {"code": "InternalError", "message": "the vocoder broke", "data": {}},
    )


def test_events_come_while_the_rest_is_made(serve: Serve) -> None:
    served = serve(FakeEngine(delay_s=0.03))
    body = {"model": "m", "input": options(text=TEXT * 10)}
    with requests.post(served.url + SPEECH, json=body, stream=True, timeout=10) as response:
        events = SSEClient(response).events()  # dropping it would close the connection
        assert json.loads(next(events).data)["output"]["audio"]["data"]
        assert served.engine.made < 10
        assert served.engine.running == 1
    until(lambda: at_rest(served))
    assert served.engine.aborted == 1  # and leaving stops it
    assert served.engine.made < 20


def test_a_client_that_hangs_up_on_a_whole_answer_stops_the_engine(serve: Serve) -> None:
    served = serve(FakeEngine(delay_s=0.02))
    body = json.dumps({"model": "m", "stream": False, "input": options(text=TEXT * 50)}).encode()
    address = served.url.removeprefix("http://").split(":")
    with socket.create_connection((address[0], int(address[1]))) as raw:
        raw.sendall(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (SPEECH.encode(), len(body)) + body)
        until(lambda: served.engine.made > 2)
    until(lambda: served.engine.aborted == 1)
    assert at_rest(served)


INVALID, NOT_FOUND = (400, "InvalidParameter"), (404, "NotFound")


@pytest.mark.parametrize(
    ("changes", "expected", "named"),
    [
        ({"mode": None}, INVALID, "input.mode"),
        ({"mode": "zero_shot"}, INVALID, "input.mode"),
        ({"mode": 3}, INVALID, "input.mode"),
        ({"text": None}, INVALID, "input.text"),
        ({"text": ""}, INVALID, "input.text"),
        ({"text": " \n\t"}, INVALID, "input.text"),
        ({"text": 5}, INVALID, "input.text"),
        ({"text": ["a"]}, INVALID, "input.text"),
        ({"text": "a\0b"}, INVALID, "input.text"),
        ({"text": "a" * 20_001}, INVALID, "20000"),
        ({"text": "a" * 10_000_000}, INVALID, "20000"),
        ({"text": "softly<|endofprompt|>"}, INVALID, "text"),
        ({"reference_audio_id": None}, INVALID, "input.reference_audio_id"),
        ({"reference_audio_id": ""}, INVALID, "input.reference_audio_id"),
        ({"reference_audio_id": 17}, INVALID, "input.reference_audio_id"),
        ({"reference_audio_id": "nobody"}, NOT_FOUND, "reference audio: nobody not found."),
        ({"reference_audio_id": "../alex"}, NOT_FOUND, "reference audio: ../alex not found."),
        ({"instruct": 1}, INVALID, "input.instruct"),
        ({"sample_rate": 12345}, INVALID, "input.sample_rate"),
        ({"sample_rate": "24000"}, INVALID, "input.sample_rate"),
        ({"sample_rate": 0}, INVALID, "input.sample_rate"),
        ({"bit_rate": "96k"}, INVALID, "input.bit_rate"),
        ({"bit_rate": 48}, INVALID, "input.bit_rate"),
        ({"volume": -0.1}, INVALID, "input.volume"),
        ({"volume": 10.1}, INVALID, "input.volume"),
        ({"volume": "loud"}, INVALID, "input.volume"),
        ({"speed": 0.49}, INVALID, "input.speed"),
        ({"speed": 2.01}, INVALID, "input.speed"),
        ({"speed": True}, INVALID, "input.speed"),
        ({"output_format": "opus"}, INVALID, "input.output_format"),
        ({"output_format": "WAV"}, INVALID, "input.output_format"),
        ({"debug": "yes"}, INVALID, "input.debug"),
        ({"seed": -1}, INVALID, "input.seed"),
        ({"seed": 2**63}, INVALID, "input.seed"),
        ({"seed": 1.5}, INVALID, "input.seed"),
    ],
)
def test_a_bad_parameter_is_refused_by_name(
    shared: Served, changes: Any, expected: tuple[int, str], named: str
) -> None:
    before = len(shared.engine.requests)
    answer = speak(shared, None, **changes)
    assert (answer.status_code, answer.json()["code"]) == expected
    assert list(answer.json()) == ["code", "message", "data"]
    assert answer.json()["data"] == {}
    assert named in answer.json()["message"]
    assert len(shared.engine.requests) == before


GOOD = options(text=TEXT)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"", "JSON"),
        (b"{", "JSON"),
        (b"[]", "object"),
        (b'"text"', "object"),
        (b'{"model": "\xff\xfe"}', "JSON"),
        (b'{"model": "\\ud800"}', "JSON"),
        (b'{"model": NaN}', "JSON"),
        (b"[" * 100_000, "JSON"),
        (json.dumps({"input": GOOD}).encode(), "model"),
        (json.dumps({"model": "", "input": GOOD}).encode(), "model"),
        (json.dumps({"model": 2, "input": GOOD}).encode(), "model"),
        (json.dumps({"model": "m"}).encode(), "input"),
        (json.dumps({"model": "m", "input": TEXT}).encode(), "input"),
        (json.dumps({"model": "m", "input": [GOOD]}).encode(), "input"),
        (json.dumps({"model": "m", "input": GOOD, "stream": "no"}).encode(), "stream"),
        (json.dumps({"model": "m", **GOOD}).encode(), "input"),
    ],
)
def test_a_bad_body_is_refused(shared: Served, body: bytes, named: str) -> None:
    answer = requests.post(shared.url + SPEECH, body, headers={"Content-Type": "application/json"}, timeout=10)
    assert (answer.status_code, answer.json()["code"], answer.json()["data"]) == (*INVALID, {})
    assert named in answer.json()["message"]


def test_a_body_that_is_too_large_is_refused(serve: Serve) -> None:
    answer = speak(serve(max_body_bytes=2**20, max_upload_bytes=2**20), text="a" * 2**21)
    assert (answer.status_code, answer.json()["code"]) == (413, "TooLarge")


def test_wrong_methods_and_paths_are_told_in_the_same_shape(shared: Served) -> None:
    url = shared.url
    for verb, path, expected in [
        ("GET", SPEECH, (405, "MethodNotAllowed")),
        ("PUT", REFERENCES, (405, "MethodNotAllowed")),
        ("POST", "/api/v1/audio/nothing", NOT_FOUND),
    ]:
        answer = requests.request(verb, url + path, timeout=10)
        assert (answer.status_code, answer.json()["code"]) == expected
        assert list(answer.json()) == ["code", "message", "data"]


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({"Authorization": "Bearer token"}, True),
        ({"Authorization": "bearer token"}, True),
        ({"Authorization": "token"}, True),
        ({"X-API-Key": "token"}, True),
        ({"Authorization": "Bearer wrong"}, False),
        ({"Authorization": "Basic token"}, False),
        ({}, False),
    ],
)
def test_a_token_is_needed_where_there_is_one(serve: Serve, headers: dict[str, str], allowed: bool) -> None:
    served = serve(api_keys=("token",))
    body = {"model": "m", "input": GOOD}
    for verb, path in [("POST", SPEECH), ("GET", REFERENCES)]:
        answer = requests.request(verb, served.url + path, json=body, headers=headers, timeout=10)
        assert answer.status_code == (200 if allowed else 401)
        if not allowed:
            assert (answer.json()["code"], answer.json()["data"]) == ("Unauthorized", {})
    assert bool(served.engine.requests) == allowed


def test_overload_says_when_to_come_back(serve: Serve) -> None:
    served = serve(FakeEngine(delay_s=0.02), max_active=1, max_queued=0)
    body = {"model": "m", "input": options(text=TEXT * 20)}
    with requests.post(served.url + SPEECH, json=body, stream=True, timeout=10):
        answer = speak(served)
    assert (answer.status_code, answer.json()["code"]) == (503, "ServiceUnavailable")
    assert int(answer.headers["Retry-After"]) >= 1


def test_too_many_requests_of_a_key_are_refused(serve: Serve) -> None:
    served = serve(api_keys=("token",), requests_per_minute=1)
    for expected in (200, 429):
        answer = requests.post(
            served.url + SPEECH,
            json={"model": "m", "stream": False, "input": GOOD},
            headers={"Authorization": "Bearer token"},
            timeout=10,
        )
        assert answer.status_code == expected
    assert answer.json()["code"] == "TooManyRequests"
    assert int(answer.headers["Retry-After"]) >= 1

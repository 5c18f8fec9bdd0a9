"""The program itself, with the voice that comes with it, asked by every dialect's own client over loopback."""

from __future__ import annotations

import base64
import gc
import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import dashscope
import numpy as np
import pytest
import requests
import websocket
from dashscope.audio.http_tts import HttpSpeechSynthesizer
from dashscope.audio.tts_v2 import AudioFormat, ResultCallback, SpeechSynthesizer, VoiceEnrollmentService
from openai import OpenAI
from sseclient import SSEClient

from cosy.client import Client, InlineVoice
from tests.server.dialects.answers import heard
from tests.server.processes import Server, speaking

pytestmark = pytest.mark.slow

TEXT = "Good morning. How are you today?"
SEED = 11
ROUNDING = 4  # of 32768: chunks are cut differently where nobody waits for the first one
CODEC_S = 0.15  # by which a lossy file may be longer
WAIT_S = 60
MODEL = "FunAudioLLM/CosyVoice2-0.5B"
PAI = {"mode": "fast_replication", "reference_audio_id": "alex", "seed": SEED, "sample_rate": 24_000}
RECORDED = "The children are playing in the garden after school, and the dog is running with them."
CONTAINERS = {"wav": "wav", "mp3": "mp3", "aac": "aac", "flac": "flac", "opus": "ogg"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with speaking(tmp_path_factory.mktemp("cosy") / "data") as started:
        yield started


@pytest.fixture(scope="module")
def recording(server: Server) -> bytes:
    """A voice to clone."""
    return openai(server, "wav", text=RECORDED)


@pytest.fixture(scope="module")
def seconds(server: Server) -> float:
    """How long the text is in the voice of alex, with the seed."""
    return heard(openai(server), "pcm")[0]


def openai(server: Server, format: str = "pcm", voice: str = "alex", text: str = TEXT) -> bytes:
    with OpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0, timeout=WAIT_S) as client:
        answer = client.audio.speech.create(
            model="tts-1", voice=voice, input=text, response_format=format, extra_body={"seed": SEED}  # type: ignore[arg-type]
        )  # fmt: skip
        return answer.content


def openai_streamed(server: Server) -> bytes:
    with (
        OpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0, timeout=WAIT_S) as client,
        client.audio.speech.with_streaming_response.create(
            model="tts-1", voice="alex", input=TEXT, response_format="pcm", extra_body={"seed": SEED}
        ) as answer,
    ):
        return b"".join(answer.iter_bytes())


def openai_events(server: Server) -> bytes:
    with (
        OpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0, timeout=WAIT_S) as client,
        client.audio.speech.with_streaming_response.create(
            model="tts-1",
            voice="alex",
            input=TEXT,
            response_format="pcm",
            stream_format="sse",
            extra_body={"seed": SEED},
        ) as answer,
    ):
        events = [json.loads(line.removeprefix("data: ")) for line in answer.iter_lines() if line]
    assert [event["type"] for event in events] == ["speech.audio.delta"] * (len(events) - 1) + ["speech.audio.done"]
    return b"".join(base64.b64decode(event["audio"]) for event in events[:-1])


def siliconflow(server: Server, format: str = "wav", rate_hz: int = 24_000, **fields: Any) -> bytes:
    wanted = {"model": MODEL, "voice": f"{MODEL}:alex", "input": TEXT, "seed": SEED, **fields}
    wanted |= {"response_format": format, "sample_rate": rate_hz}
    return post(server, "/v1/audio/speech", json=wanted).content


def siliconflow_recording(server: Server, recording: bytes) -> bytes:
    audio = "data:audio/wav;base64," + base64.b64encode(recording).decode()
    return siliconflow(server, voice="", references=[{"audio": audio, "text": RECORDED}])


def pai_json(server: Server) -> bytes:
    wanted = {"model": "CosyVoice2-0.5B", "stream": False, "input": {**PAI, "text": TEXT}}
    answer = post(server, "/api/v1/audio/speech", json=wanted).json()
    return base64.b64decode(answer["output"]["audio"]["data"])


def pai_events(server: Server) -> bytes:
    wanted = {"model": "CosyVoice2-0.5B", "stream": True, "input": {**PAI, "text": TEXT}}
    with post(server, "/api/v1/audio/speech", json=wanted, stream=True) as answer:
        results = [json.loads(event.data) for event in SSEClient(answer).events()]
    assert results[-1]["output"]["finish_reason"] == "stop"
    return b"".join(base64.b64decode(result["output"]["audio"]["data"]) for result in results)


def pai_socket(server: Server) -> bytes:
    connection = websocket.create_connection(server.ws_url + "/api-ws/v1/audio/speech", timeout=WAIT_S)
    task, audio = uuid.uuid4().hex, b""

    def send(action: str, **payload: Any) -> None:
        header = {"action": action, "task_id": task, "streaming": "duplex"}
        connection.send(json.dumps({"header": header, "payload": payload}))

    send("run-task", parameters=PAI, input={})
    while (message := json.loads(connection.recv()))["header"]["event"] != "task-finished":
        match message["header"]["event"]:
            case "task-started":
                for piece in TEXT.partition(" How"):
                    send("continue-task", input={"text": piece})
                send("finish-task", input={})
            case "result-generated":
                audio += base64.b64decode(message["payload"]["output"]["audio"]["data"])
            case _:
                pytest.fail(str(message))
    connection.close()
    return audio


@contextmanager
def dashscope_at(server: Server) -> Iterator[None]:
    """The SDK, whose addresses are global, and which leaves sockets to the garbage collector."""
    names = ("base_http_api_url", "base_websocket_api_url", "api_key")
    before = {name: getattr(dashscope, name) for name in names}
    dashscope.base_http_api_url = server.url + "/api/v1"
    dashscope.base_websocket_api_url, dashscope.api_key = server.ws_url + "/api-ws/v1/inference", "any"
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(dashscope, name, value)
        gc.collect()


def dashscope_socket(server: Server, voice: str = "alex") -> bytes:
    with dashscope_at(server):
        format = AudioFormat.WAV_24000HZ_MONO_16BIT
        return bytes(SpeechSynthesizer(model="cosyvoice-v2", voice=voice, format=format, seed=SEED).call(TEXT))


def dashscope_pieces(server: Server) -> bytes:
    class Recorder(ResultCallback):
        data = b""

        def on_data(self, data: bytes) -> None:
            self.data += data

    recorder = Recorder()
    with dashscope_at(server):
        synthesizer = SpeechSynthesizer(
            model="cosyvoice-v2", voice="alex", format=AudioFormat.MP3_24000HZ_MONO_256KBPS, callback=recorder
        )
        for piece in TEXT.partition(" How"):
            synthesizer.streaming_call(piece)
        synthesizer.streaming_complete()
    return recorder.data


def dashscope_http(server: Server) -> bytes:
    with dashscope_at(server):
        result = HttpSpeechSynthesizer.call("cosyvoice-v3-flash", TEXT, "alex", seed=SEED, sample_rate=24_000)
    return requests.get(result.audio_url, timeout=WAIT_S).content


def compute_nest(server: Server) -> bytes:
    return compute_nest_stream(server, "sft", {"spk_id": "alex"})


def compute_nest_recording(server: Server, recording: bytes) -> bytes:
    file = ("prompt_wav", recording, "application/octet-stream")
    return compute_nest_stream(server, "zero_shot", {"prompt_text": RECORDED}, files=[("prompt_wav", file)])


def compute_nest_stream(server: Server, name: str, form: dict[str, Any], files: Any = None) -> bytes:
    form = {"tts_text": TEXT, "seed": SEED, **form}
    url = f"{server.url}/inference_{name}"
    with requests.request("GET", url, data=form, files=files, stream=True, timeout=WAIT_S) as answer:
        assert answer.status_code == 200
        return b"".join(answer.iter_content(16_000))


def stream_service(server: Server) -> bytes:
    return post(server, "/synthesize", data={"text": TEXT, "seed": SEED}).content


def own_client(server: Server) -> bytes:
    with Client(server.url) as client, client.stream(TEXT, "alex", format="mp3", seed=SEED) as stream:
        return b"".join(stream)


def own_client_recording(server: Server, recording: bytes) -> bytes:
    with Client(server.url) as client:
        return client.speech(TEXT, InlineVoice(recording, RECORDED), format="wav", seed=SEED).audio


def post(server: Server, path: str, **options: Any) -> requests.Response:
    answer = requests.post(server.url + path, timeout=WAIT_S, **options)
    assert answer.status_code == 200, answer.text
    return answer


CLIENTS: dict[str, tuple[Callable[[Server], bytes], str, int]] = {
    "openai": (openai, "pcm", 24_000),
    "openai, streamed": (openai_streamed, "pcm", 24_000),
    "openai, events": (openai_events, "pcm", 24_000),
    "openai, wav": (lambda server: openai(server, "wav"), "wav", 24_000),
    "openai, mp3": (lambda server: openai(server, "mp3"), "mp3", 24_000),
    "openai, opus": (lambda server: openai(server, "opus"), "opus", 24_000),
    "openai, aac": (lambda server: openai(server, "aac"), "aac", 24_000),
    "openai, flac": (lambda server: openai(server, "flac"), "flac", 24_000),
    "siliconflow": (siliconflow, "wav", 24_000),
    "siliconflow, mp3": (lambda server: siliconflow(server, "mp3", 32_000), "mp3", 32_000),
    "siliconflow, whole": (lambda server: siliconflow(server, rate_hz=44_100, stream=False), "wav", 44_100),
    "pai-eas, json": (pai_json, "wav", 24_000),
    "pai-eas, events": (pai_events, "wav", 24_000),
    "dashscope, http": (dashscope_http, "wav", 24_000),
    "compute nest": (compute_nest, "pcm", 22_050),
    "own client": (own_client, "mp3", 24_000),
}
OTHER_SPEECH: dict[str, tuple[Callable[[Server], bytes], str, int]] = {
    "pai-eas, socket": (pai_socket, "wav", 24_000),  # spoken while it is written, which is spoken otherwise
    "dashscope, socket": (dashscope_socket, "wav", 24_000),
    "dashscope, in pieces": (dashscope_pieces, "mp3", 24_000),
    "stream service": (stream_service, "pcm", 24_000),  # with an instruction of its own
}
CLONES: dict[str, tuple[Callable[[Server, bytes], bytes], str, int]] = {
    "siliconflow": (siliconflow_recording, "wav", 24_000),
    "compute nest": (compute_nest_recording, "pcm", 22_050),
    "own client": (own_client_recording, "wav", 24_000),
}


def duration_s(data: bytes, format: str, rate_hz: int) -> float:
    """Of an answer, which must be a file of that kind and rate, and no silence."""
    if format != "pcm":
        with av.open(BytesIO(data)) as file:
            assert file.format.name == CONTAINERS[format]
    found_s, heard_hz = heard(data, format, rate_hz)
    assert heard_hz == rate_hz
    return found_s


@pytest.mark.parametrize("name", CLIENTS)
def test_every_client_hears_the_sentence_at_its_length(name: str, server: Server, seconds: float) -> None:
    ask, format, rate_hz = CLIENTS[name]
    found_s = duration_s(ask(server), format, rate_hz)
    assert abs(found_s - seconds) < (0.01 if format in ("pcm", "wav", "flac") else CODEC_S)


@pytest.mark.parametrize("name", OTHER_SPEECH)
def test_what_has_no_fixed_length_is_about_as_long(name: str, server: Server) -> None:
    ask, format, rate_hz = OTHER_SPEECH[name]
    assert 1.0 < duration_s(ask(server), format, rate_hz) < 5.0


@pytest.mark.parametrize("name", CLONES)
def test_every_client_speaks_with_a_recording(name: str, server: Server, recording: bytes) -> None:
    ask, format, rate_hz = CLONES[name]
    assert 1.0 < duration_s(ask(server, recording), format, rate_hz) < 5.0


def test_the_same_seed_is_the_same_speech_in_every_framing(server: Server) -> None:
    expected = samples(openai(server))
    for data in (openai_streamed(server), siliconflow(server)[44:], pai_json(server)[44:], pai_events(server)[44:]):
        got = samples(data)
        assert len(got) == len(expected)
        assert np.abs(got - expected).max() <= ROUNDING


def samples(pcm: bytes) -> np.ndarray:
    return np.frombuffer(pcm, "<i2").astype(int)


def upload_to_siliconflow(server: Server, recording: bytes) -> str:
    form = {"model": MODEL, "customName": "me", "text": RECORDED}
    files = {"file": ("me.wav", recording, "audio/wav")}
    return str(post(server, "/v1/uploads/audio/voice", data=form, files=files).json()["uri"])


def upload_to_pai(server: Server, recording: bytes) -> str:
    files = {"file": ("me.wav", recording, "audio/wav")}
    return str(post(server, "/api/v1/audio/reference_audio", data={"text": RECORDED}, files=files).json()["id"])


def enrol_at_dashscope(server: Server, recording: bytes) -> str:
    with dashscope_at(server):
        url = "data:audio/wav;base64," + base64.b64encode(recording).decode()
        return str(VoiceEnrollmentService().create_voice("cosyvoice-v2", "me", url))


def test_voices_of_uploads_outlive_the_server(recording: bytes, tmp_path: Path) -> None:
    with speaking(tmp_path) as server:
        uploads = (upload_to_siliconflow, upload_to_pai, enrol_at_dashscope)
        voices = [upload(server, recording) for upload in uploads]
        before = [openai(server, voice=voice) for voice in voices]
        assert openai(server) not in before
        server.terminate()
        assert server.status() == 0
    with speaking(tmp_path) as server:
        assert [openai(server, voice=voice) for voice in voices] == before
        assert 1.0 < duration_s(dashscope_socket(server, voices[0]), "wav", 24_000) < 5.0
        answer = requests.get(f"{server.url}/v1/audio/voice/list", timeout=WAIT_S).json()
        assert voices[0] in [each["uri"] for each in answer["result"]]
        assert "error" not in {line["level"] for line in server.lines}

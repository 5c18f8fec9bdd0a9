"""DashScope as its own SDK sees it: nothing but the address is changed."""

from __future__ import annotations

import gc
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import dashscope
import numpy as np
import pytest
import requests
from dashscope.audio.http_tts import HttpSpeechSynthesizer
from dashscope.audio.tts_v2 import AudioFormat, ResultCallback, SpeechSynthesizer, VoiceEnrollmentService
from dashscope.audio.tts_v2.enrollment import VoiceEnrollmentException
from dashscope.common.error import RequestFailure

from cosy.audio.io import load_audio
from cosy.errors import EngineError
from tests.server.conftest import Serve, Served, running
from tests.server.dialects.answers import heard, lasts
from tests.server.dialects.dashscope_calls import PATH, TEXT, TTS, seconds_of
from tests.server.dialects.pai_calls import at_rest, until
from tests.server.dialects.recordings import bomb, clip, silence
from tests.server.fake import FakeEngine, make_parts

pytestmark = pytest.mark.filterwarnings(  # the SDK leaves sockets to the garbage collector
    "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
)

VOICE = "longxiaochun"  # a well-known name nobody filled
FORMATS = [
    AudioFormat.WAV_8000HZ_MONO_16BIT,
    AudioFormat.WAV_48000HZ_MONO_16BIT,
    AudioFormat.MP3_22050HZ_MONO_256KBPS,
    AudioFormat.MP3_44100HZ_MONO_256KBPS,
    AudioFormat.PCM_16000HZ_MONO_16BIT,
    AudioFormat.OGG_OPUS_16KHZ_MONO_16KBPS,
    AudioFormat.OGG_OPUS_48KHZ_MONO_64KBPS,
]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for all tests that leave nothing behind."""
    with make_parts(tmp_path_factory.mktemp("shared"), fetch="any") as parts, running(parts) as url:
        yield Served(url, parts)


@pytest.fixture
def sdk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """`sdk(served)` points the SDK at a server."""

    def point(served: Served, key: str = "any") -> None:
        monkeypatch.setattr(dashscope, "api_key", key)
        monkeypatch.setattr(dashscope, "base_http_api_url", served.url + "/api/v1")
        monkeypatch.setattr(dashscope, "base_websocket_api_url", served.ws_url + PATH)

    yield point
    gc.collect()  # here, where it is known whose sockets are left open


class Recorder(ResultCallback):
    """Keeps what the SDK calls back."""

    def __init__(self) -> None:
        self.data, self.events, self.calls = b"", [], []
        self.heard, self.closed = threading.Event(), threading.Event()

    def on_open(self) -> None:
        self.calls.append("open")

    def on_complete(self) -> None:
        self.calls.append("complete")

    def on_error(self, message: str) -> None:
        self.calls.append(json.loads(message)["header"]["error_code"])

    def on_close(self) -> None:
        self.closed.set()

    def on_event(self, message: str) -> None:
        self.events.append(json.loads(message)["payload"])

    def on_data(self, data: bytes) -> None:
        self.data += data
        self.heard.set()


# The WebSocket


def test_a_call_with_nothing_chosen_is_mp3_at_22050_hz(shared: Served, sdk: Any) -> None:
    sdk(shared)
    synthesizer = SpeechSynthesizer(model="cosyvoice-v2", voice=VOICE)
    audio = synthesizer.call(TEXT)
    assert audio[0] == 0xFF
    assert heard(audio, "mp3")[1] == 22_050
    assert lasts(audio, "mp3", seconds_of(TEXT))
    last = synthesizer.get_response()
    assert last["payload"]["usage"] == {"characters": len(TEXT)}
    assert last["header"]["attributes"]["request_uuid"]


@pytest.mark.parametrize("chosen", FORMATS, ids=lambda each: each.name)
def test_a_format_of_the_sdk_is_what_it_says(shared: Served, sdk: Any, chosen: AudioFormat) -> None:
    sdk(shared)
    audio = SpeechSynthesizer(model="cosyvoice-v2", voice=VOICE, format=chosen).call("Good day.")
    assert heard(audio, chosen.format, chosen.sample_rate)[1] == chosen.sample_rate
    assert lasts(audio, chosen.format, seconds_of("Good day."), chosen.sample_rate)


@pytest.mark.parametrize("text", ["你好。", "a < b & c", "x <speak>"])
def test_plain_text_of_a_call_is_spoken_as_it_is_although_the_sdk_says_ssml(
    shared: Served, sdk: Any, text: str
) -> None:
    sdk(shared)
    audio = SpeechSynthesizer(model="cosyvoice-v2", voice=VOICE, format=AudioFormat.PCM_24000HZ_MONO_16BIT).call(text)
    assert shared.engine.pieces[-1] == text
    assert lasts(audio, "pcm", seconds_of(text))


def test_parameters_reach_the_engine(shared: Served, sdk: Any) -> None:
    sdk(shared)
    synthesizer = SpeechSynthesizer(
        model="cosyvoice-v3-flash",
        voice="alex",
        format=AudioFormat.PCM_24000HZ_MONO_16BIT,
        volume=25,
        speech_rate=2.0,
        pitch_rate=1.25,
        seed=99,
        instruction="请非常开心地说一句话。" + "x" * 200,
        language_hints=["zh", "en"],
        hot_fix={"pronunciation": [{"草地": "cao3 di4"}], "replace": [{"gift": "present"}]},
    )
    audio = synthesizer.call(TEXT)
    request = shared.engine.requests[-1]
    assert (request.voice, request.seed, request.language, request.speed) == ("alex", 99, "zh", 2.0 / 1.25)
    assert request.instruction == ("请非常开心地说一句话。" + "x" * 200)[:128]
    assert "".join(shared.engine.pieces[-2:]) == TEXT.replace("gift", "present")
    assert lasts(audio, "pcm", seconds_of(TEXT.replace("gift", "present"), 2.0))
    assert np.abs(np.frombuffer(audio, "<i2")).max() / 32768 == pytest.approx(0.25, abs=0.01)
    assert synthesizer.get_response()["payload"]["usage"]["characters"] == len(TEXT)


def test_text_is_spoken_while_it_is_written(serve: Serve, sdk: Any) -> None:
    sdk(serve())
    told = Recorder()
    synthesizer = SpeechSynthesizer("cosyvoice-v2", VOICE, AudioFormat.WAV_24000HZ_MONO_16BIT, callback=told)
    synthesizer.streaming_call("床前明月光，")
    assert told.heard.wait(5), "no audio before the end of the text"
    synthesizer.streaming_call("疑是地上霜。")
    synthesizer.streaming_flush()
    synthesizer.streaming_call("举头望明月")
    synthesizer.streaming_complete()
    assert told.closed.wait(5)
    assert told.calls == ["open", "complete"]
    assert told.data.startswith(b"RIFF")
    assert told.data.count(b"RIFF") == 1
    assert lasts(told.data, "wav", seconds_of("床前明月光，疑是地上霜。举头望明月"))
    ends = [event for event in told.events if event["output"]["type"] == "sentence-end"]
    assert [event["output"]["original_text"] for event in ends] == ["床前明月光，", "疑是地上霜。", "举头望明月"]
    assert [event["usage"]["characters"] for event in ends] == [11, 22, 32]


def test_a_cancelled_call_ends_at_once(serve: Serve, sdk: Any) -> None:
    served = serve(FakeEngine(delay_s=0.02))
    sdk(served)
    told = Recorder()
    synthesizer = SpeechSynthesizer("cosyvoice-v2", VOICE, callback=told)
    synthesizer.streaming_call(TEXT * 30)
    assert told.heard.wait(5)
    synthesizer.streaming_cancel()
    assert told.calls == ["open", "complete"]
    assert (served.engine.running, served.engine.aborted) == (0, 1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"voice": "nobody"}, "[tts:]Engine return error code: 418"),
        ({"voice": VOICE, "volume": 101}, "volume"),
        ({"voice": VOICE, "speech_rate": 3.0}, "rate"),
        ({"voice": VOICE, "seed": 65_536}, "seed"),
    ],
)
def test_the_sdk_raises_what_the_server_refuses(shared: Served, sdk: Any, given: dict[str, Any], message: str) -> None:
    sdk(shared)
    with pytest.raises(RequestFailure) as caught:
        SpeechSynthesizer(model="cosyvoice-v2", **given).call(TEXT)
    assert caught.value.name == "InvalidParameter"
    assert message in caught.value.message


def test_a_failure_in_mid_stream_reaches_the_callback(serve: Serve, sdk: Any) -> None:
    sdk(serve(FakeEngine(error=EngineError("the vocoder broke"), fail_at=3)))
    told = Recorder()
    SpeechSynthesizer("cosyvoice-v2", VOICE, AudioFormat.PCM_24000HZ_MONO_16BIT, callback=told).call(TEXT)
    assert told.closed.wait(5)
    assert told.calls == ["open", "InternalError"]
    assert told.data


def test_ssml_of_a_call(shared: Served, sdk: Any) -> None:
    sdk(shared)
    synthesizer = SpeechSynthesizer("cosyvoice-v2", VOICE, AudioFormat.PCM_24000HZ_MONO_16BIT)
    audio = synthesizer.call('<speak>你好<break time="500ms"/>世界</speak>')
    assert shared.engine.pieces[-2:] == ["你好", "世界"]
    assert lasts(audio, "pcm", seconds_of("你好世界") + 0.5)
    samples = np.frombuffer(audio, "<i2")
    gap = samples[round(24_000 * seconds_of("你好")) :][:12_000]
    assert not gap.any()
    assert synthesizer.get_response()["payload"]["usage"]["characters"] == 8


# HTTP


@pytest.mark.parametrize(("chosen", "rate_hz"), [("wav", 24000), ("mp3", 16000), ("pcm", 48000), ("opus", 48000)])
def test_http_speech_is_a_file_to_fetch(shared: Served, sdk: Any, chosen: str, rate_hz: int) -> None:
    sdk(shared)
    result = HttpSpeechSynthesizer.call(
        "cosyvoice-v3-flash", TEXT, VOICE, audio_format=chosen, sample_rate=rate_hz, volume=50
    )
    assert result.status_code == 200
    assert result.output["finish_reason"] == "stop"
    assert result.output["audio"]["data"] == ""
    assert result.audio_id == f"audio_{result.request_id}"
    assert result.usage["characters"] == len(TEXT)
    answer = requests.get(result.audio_url, timeout=5)  # without any key
    assert answer.headers["content-type"].startswith("audio/")
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert lasts(answer.content, chosen, seconds_of(TEXT), rate_hz)
    if chosen == "wav":
        assert int.from_bytes(answer.content[4:8], "little") == len(answer.content) - 8


def test_http_speech_streams_as_events(shared: Served, sdk: Any) -> None:
    sdk(shared)
    *parts, last = HttpSpeechSynthesizer.call("cosyvoice-v3-flash", TEXT, VOICE, stream=True)
    assert len(parts) > 2
    streamed = b"".join(part.audio_data for part in parts)
    assert streamed == last.audio_data
    assert lasts(streamed, "wav", seconds_of(TEXT))
    fetched = requests.get(last.audio_url, timeout=5).content
    assert fetched[44:] == streamed[44:]
    assert int.from_bytes(fetched[40:44], "little") == len(fetched) - 44
    assert last.expires_at > 0


@pytest.mark.parametrize("streaming", [False, True])
def test_a_file_to_fetch_may_say_that_a_machine_speaks(serve: Serve, streaming: bool) -> None:
    server = serve(ai_label=True)
    body = {"model": "cosyvoice-v3-flash", "input": {"text": TEXT, "voice": VOICE, "format": "opus"}}
    headers = {"X-DashScope-SSE": "enable"} if streaming else {}
    answer = requests.post(server.url + TTS + "/SpeechSynthesizer", json=body, headers=headers, timeout=5).text
    last = json.loads(answer.strip().split("\n")[-1].removeprefix("data:"))
    fetched = requests.get(last["output"]["audio"]["url"], timeout=5).content
    assert b"AI-generated" in fetched
    assert lasts(fetched, "opus", seconds_of(TEXT))


def test_events_are_written_as_the_sdk_reads_them(shared: Served) -> None:
    body = {"model": "cosyvoice-v3-flash", "input": {"text": "你好。", "voice": VOICE}}
    url = shared.url + TTS + "/SpeechSynthesizer"
    text = requests.post(url, json=body, headers={"X-DashScope-SSE": "enable"}, timeout=5).content.decode()
    *blocks, rest = text.split("\n\n")
    assert rest == ""
    lines = [block.split("\n") for block in blocks]
    assert [each[:3] for each in lines] == [
        [f"id:{i}", "event:result", ":HTTP_STATUS/200"] for i in range(1, len(lines) + 1)
    ]
    told = [json.loads(each[3].removeprefix("data:")) for each in lines]
    types = [each["output"].get("type") for each in told]
    assert types == ["sentence-begin", *["sentence-synthesis"] * (len(types) - 3), "sentence-end", None]
    assert [each["output"]["finish_reason"] for each in told] == ["null"] * (len(told) - 1) + ["stop"]
    assert told[0]["output"]["original_text"] == "你好。"
    assert [told[0]["usage"], told[-1]["usage"]] == [{"characters": 0}, {"characters": 5}]


def test_a_failure_after_the_start_is_an_error_event(serve: Serve, sdk: Any) -> None:
    sdk(serve(FakeEngine(error=EngineError("the vocoder broke"), fail_at=3)))
    parts = HttpSpeechSynthesizer.call("cosyvoice-v3-flash", TEXT, VOICE, stream=True)
    assert next(parts).audio_data
    with pytest.raises(RuntimeError, match="Request failed: 500 the vocoder broke"):
        list(parts)


def test_a_client_that_leaves_an_http_stream_stops_the_engine(serve: Serve) -> None:
    served = serve(FakeEngine(delay_s=0.02))
    body = {"model": "m", "input": {"text": TEXT * 20, "voice": VOICE}}
    url, headers = served.url + TTS + "/SpeechSynthesizer", {"X-DashScope-SSE": "enable"}
    with requests.post(url, json=body, headers=headers, stream=True, timeout=5) as answer:
        next(answer.iter_lines())
    until(lambda: served.engine.aborted == 1)
    assert at_rest(served)


def test_the_ssml_of_an_http_call(shared: Served, sdk: Any) -> None:
    sdk(shared)
    text = '<speak><prosody rate="2.0">fast</prosody> slow</speak>'
    result = HttpSpeechSynthesizer.call("cosyvoice-v3-flash", text, VOICE, enable_ssml=True)
    audio = requests.get(result.audio_url, timeout=5).content
    assert lasts(audio, "wav", seconds_of("fast", 2.0) + seconds_of("slow"))


def test_results_expire(serve: Serve, sdk: Any) -> None:
    served = serve(result_ttl_s=0.01)
    sdk(served)
    result = HttpSpeechSynthesizer.call("cosyvoice-v3-flash", "Hi.", VOICE)
    until(lambda: requests.get(result.audio_url, timeout=5).status_code == 404)


def test_addresses_begin_with_the_public_url(serve: Serve, sdk: Any) -> None:
    sdk(serve(public_url="https://speech.example.org/"))
    result = HttpSpeechSynthesizer.call("cosyvoice-v3-flash", "Hi.", VOICE)
    assert result.audio_url.startswith(f"https://speech.example.org{TTS}/results/")


def speak(served: Served, **given: Any) -> requests.Response:
    body = {"model": "cosyvoice-v3-flash", "input": {"text": TEXT, "voice": VOICE, **given}}
    return requests.post(served.url + TTS + "/SpeechSynthesizer", json=body, timeout=5)


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"text": None}, "text"),
        ({"text": ""}, "empty"),
        ({"text": " \n"}, "empty"),
        ({"text": 5}, "text"),
        ({"text": "a" * 20_001}, "20000"),
        ({"text": "\0"}, "NUL"),
        ({"text": "\ud800"}, ""),
        ({"text": "<speak>", "enable_ssml": True}, "well-formed"),
        ({"text": "<speak><audio/></speak>", "enable_ssml": True}, "<audio>"),
        ({"text": "<speak></speak>", "enable_ssml": True}, "empty"),
        ({"voice": None}, "voice"),
        ({"voice": "nobody"}, "[cosyvoice:]Engine return error code: 418"),
        ({"voice": "../../etc/passwd"}, "[cosyvoice:]Engine return error code: 418"),
        ({"format": "aac"}, "format"),
        ({"sample_rate": 11025}, "sample_rate"),
        ({"volume": -1}, "volume"),
        ({"volume": "50"}, "volume"),
        ({"rate": 0.4}, "rate"),
        ({"pitch": 2.1}, "pitch"),
        ({"seed": -1}, "seed"),
        ({"language_hints": "zh"}, "language_hints"),
        ({"format": "opus", "bit_rate": 5}, "bit_rate"),
    ],
)
def test_bad_requests_over_http(shared: Served, given: dict[str, Any], message: str, streaming: bool) -> None:
    url, headers = shared.url + TTS + "/SpeechSynthesizer", {"X-DashScope-SSE": "enable"} if streaming else {}
    body = {"model": "cosyvoice-v3-flash", "input": {"text": TEXT, "voice": VOICE, **given}}
    answer = requests.post(url, json=body, headers=headers, timeout=5)
    assert answer.status_code == 400
    told = answer.json()
    assert told.keys() == {"code", "message", "request_id"}
    assert told["code"] == "InvalidParameter"
    assert message in told["message"]
    assert told["request_id"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"model": "\xff"}', b"null", b"[" * 100_000, b'{"model": "m", "input": "text"}']
)
@pytest.mark.parametrize("path", ["/SpeechSynthesizer", "/customization"])
def test_bodies_that_are_no_request(shared: Served, path: str, body: bytes) -> None:
    answer = requests.post(shared.url + TTS + path, data=body, timeout=5)
    assert (answer.status_code, answer.json()["code"]) == (400, "InvalidParameter")


@pytest.mark.parametrize("model", ["qwen3-tts-flash", "sambert-zhichu-v1"])
def test_models_of_other_protocols_are_not_found(shared: Served, model: str) -> None:
    body = {"model": model, "input": {"text": TEXT, "voice": VOICE}}
    answer = requests.post(shared.url + TTS + "/SpeechSynthesizer", json=body, timeout=5)
    assert (answer.status_code, answer.json()["code"]) == (404, "ModelNotFound")


def test_overload_over_http_is_a_quota(serve: Serve) -> None:
    served = serve(FakeEngine(delay_s=0.02), max_active=1, max_queued=0)
    url, body = served.url + TTS + "/SpeechSynthesizer", {"model": "m", "input": {"text": TEXT * 9, "voice": VOICE}}
    with requests.post(url, json=body, headers={"X-DashScope-SSE": "enable"}, stream=True, timeout=5) as busy:
        lines = busy.iter_lines()
        next(lines)
        answer = requests.post(url, json=body, timeout=5)
    assert (answer.status_code, answer.json()["code"]) == (429, "Throttling.RateQuota")
    assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize("name", ["x.wav", "..%2f..%2fcosy.db", "0" * 32 + "-9999999999-10.wav"])
def test_results_that_are_none(shared: Served, name: str) -> None:
    answer = requests.get(f"{shared.url}{TTS}/results/{name}", timeout=5)
    assert (answer.status_code, answer.json()["code"]) == (404, "NotFound")


@pytest.mark.parametrize("name", ["nobody", "%00", "a%2Fb", "%ff", "%F0%9F%99%82"])
def test_recordings_of_nobody(shared: Served, name: str) -> None:
    answer = requests.get(f"{shared.url}{TTS}/recordings/{name}", timeout=5)
    assert (answer.status_code, answer.json()["code"]) == (400, "BadRequest.ResourceNotExist")


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/customization", 405), ("POST", "/nothing", 404)])
def test_wrong_paths_and_methods_have_the_shape_too(shared: Served, method: str, path: str, status: int) -> None:
    answer = requests.request(method, shared.url + TTS + path, timeout=5)
    assert answer.status_code == status
    assert answer.json().keys() == {"code", "message", "request_id"}


@pytest.mark.parametrize("path", ["/SpeechSynthesizer", "/customization", "/recordings/x"])
def test_a_wrong_key_over_http(serve: Serve, path: str) -> None:
    served = serve(api_keys=("secret",))
    method = "GET" if "recordings" in path else "POST"
    answer = requests.request(
        method, served.url + TTS + path, json={}, headers={"Authorization": "Bearer no"}, timeout=5
    )
    assert answer.status_code == 401
    told = answer.json()
    assert (told["code"], told["message"]) == ("InvalidApiKey", "Invalid API-key provided.")
    assert told["request_id"]


# Enrolment


@contextmanager
def hosted(*files: bytes) -> Iterator[list[str]]:
    """Addresses on loopback where these files can be fetched."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            number = int(self.path.strip("/"))
            self.send_response(200 if number < len(files) else 404)
            self.end_headers()
            self.wfile.write(files[number] if number < len(files) else b"")

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield [f"http://127.0.0.1:{server.server_port}/{number}" for number in range(len(files) + 1)]
        finally:
            server.shutdown()


def test_a_voice_from_its_enrolment_to_its_end(serve: Serve, sdk: Any) -> None:
    served = serve(fetch="any")
    sdk(served)
    first, second = clip(4.0), clip(5.0, "FLAC")
    service = VoiceEnrollmentService()
    with hosted(first, second) as (url, other, _):
        voice = service.create_voice("cosyvoice-v2", "mine", url, language_hints=["zh"], max_prompt_audio_length=20.0)
        kind, prefix, number = voice.rsplit("-", 2)
        assert (kind, prefix, len(number)) == ("cosyvoice-v2", "mine", 32)
        assert service.get_last_request_id()
        told = service.query_voice(voice)
        assert told.keys() == {"gmt_create", "gmt_modified", "resource_link", "target_model", "status"}
        assert (told["target_model"], told["status"]) == ("cosyvoice-v2", "OK")
        assert requests.get(told["resource_link"], timeout=5).content == first
        audio = SpeechSynthesizer("another-model", voice, AudioFormat.WAV_16000HZ_MONO_16BIT).call(TEXT)
        assert lasts(audio, "wav", seconds_of(TEXT))
        assert served.engine.requests[-1].voice == voice
        service.update_voice(voice, other)
        assert requests.get(told["resource_link"], timeout=5).content == second
    assert [each["voice_id"] for each in service.list_voices()] == [voice]
    service.delete_voice(voice)
    assert service.list_voices() == []
    with pytest.raises(VoiceEnrollmentException, match=r"400.*BadRequest\.ResourceNotExist"):
        service.query_voice(voice)


def test_voices_are_listed_by_prefix_and_page(serve: Serve, sdk: Any) -> None:
    sdk(serve(fetch="any"))
    service = VoiceEnrollmentService()
    with hosted(clip()) as (url, _):
        made = [service.create_voice("cosyvoice-v2", prefix, url) for prefix in ("ab", "abc", "ab")]
    found = service.list_voices()
    assert [each["voice_id"] for each in found] == made[::-1]
    assert all(each.keys() == {"voice_id", "gmt_create", "gmt_modified", "status"} for each in found)
    assert [each["voice_id"] for each in service.list_voices(prefix="ab")] == [made[2], made[0]]
    assert [each["voice_id"] for each in service.list_voices(page_index=1, page_size=2)] == [made[0]]


def test_a_recording_may_come_as_a_data_url(serve: Serve, sdk: Any) -> None:
    import base64

    sdk(serve(fetch="off"))
    url = "data:audio/wav;base64," + base64.b64encode(clip()).decode()
    assert VoiceEnrollmentService().create_voice("cosyvoice-v2", "data", url)


RECORDINGS = {
    "short": (clip(2.0), "Audio.AudioShortError"),
    "silent": (silence(), "Audio.AudioSilentError"),
    "long": (silence(61.0), "Audio.DurationLimitError"),
    "bomb": (bomb(1.0), "Audio.DurationLimitError"),
    "text": (b"no audio at all", "BadRequest.UnsupportedFileFormat"),
    "cut": (clip()[:1000], "Audio.DecoderError"),
    "empty": (b"", "BadRequest.UnsupportedFileFormat"),
    "large": (clip() + bytes(10_000_000), "BadRequest.TooLarge"),
}


@pytest.mark.parametrize("name", RECORDINGS)
def test_recordings_that_make_no_voice(shared: Served, sdk: Any, name: str) -> None:
    sdk(shared)
    recording, code = RECORDINGS[name]
    with hosted(recording) as (url, _), pytest.raises(VoiceEnrollmentException) as caught:
        VoiceEnrollmentService().create_voice("cosyvoice-v2", "bad", url)
    assert (caught.value._status_code, caught.value._code) == (400, code)
    assert caught.value._request_id
    assert VoiceEnrollmentService().list_voices() == []


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "http://127.0.0.1:1/x", "", "file:///etc/passwd", "data:,"])
def test_addresses_that_lead_nowhere(shared: Served, sdk: Any, url: str) -> None:
    sdk(shared)
    with pytest.raises(VoiceEnrollmentException, match=r"400.*BadRequest\."):
        VoiceEnrollmentService().create_voice("cosyvoice-v2", "bad", url)


def test_an_address_that_answers_404(shared: Served, sdk: Any) -> None:
    sdk(shared)
    with hosted() as (url,), pytest.raises(VoiceEnrollmentException, match=r"BadRequest\.InputDownloadFailed"):
        VoiceEnrollmentService().create_voice("cosyvoice-v2", "bad", url)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({}, "InvalidParameter"),
        ({"action": "sing"}, "InvalidParameter"),
        ({"action": ["create_voice"]}, "InvalidParameter"),
        ({"action": "create_voice"}, "InvalidParameter"),
        (
            {"action": "create_voice", "target_model": "m", "prefix": "too-long-a-prefix", "url": "u"},
            "InvalidParameter",
        ),
        ({"action": "create_voice", "target_model": "../m", "prefix": "a", "url": "u"}, "InvalidParameter"),
        ({"action": "create_voice", "target_model": "m", "prefix": "a/b", "url": "u"}, "InvalidParameter"),
        ({"action": "list_voice", "page_size": 0}, "InvalidParameter"),
        ({"action": "list_voice", "page_index": "0"}, "InvalidParameter"),
        ({"action": "query_voice"}, "InvalidParameter"),
        ({"action": "query_voice", "voice_id": "nobody"}, "BadRequest.ResourceNotExist"),
        ({"action": "update_voice", "voice_id": "nobody", "url": "http://127.0.0.1:1/"}, "BadRequest.ResourceNotExist"),
        ({"action": "delete_voice", "voice_id": "nobody"}, "BadRequest.ResourceNotExist"),
        ({"action": "delete_voice", "voice_id": "alex"}, "InvalidParameter"),
        ({"action": "delete_voice", "voice_id": "\ud800"}, "InvalidParameter"),
    ],
)
def test_bad_calls_of_the_enrolment(shared: Served, given: dict[str, Any], code: str) -> None:
    body = {"model": "voice-enrollment", "input": given, "parameters": {}}
    answer = requests.post(shared.url + TTS + "/customization", json=body, timeout=5)
    told = answer.json()
    assert (answer.status_code, told["code"]) == (400, code)
    assert told.keys() == {"code", "message", "request_id"}


def test_a_stored_result_decodes_as_a_whole(shared: Served) -> None:
    url = speak(shared, format="opus", sample_rate=22050).json()["output"]["audio"]["url"]
    assert load_audio(requests.get(url, timeout=5).content)[1] == 48_000

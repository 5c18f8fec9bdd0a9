"""PAI-EAS's duplex WebSocket, by the published client's steps and by ones that are wrong."""

from __future__ import annotations

import base64
import json
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import websocket

from cosy.errors import EngineError
from cosy.types import Mode
from tests.server.calls import close_code, reset, web_socket
from tests.server.conftest import Serve, Served, running
from tests.server.dialects.pai_calls import METRICS, RESULT_KEYS, TEXT, at_rest, check_audio, options, seconds_of, until
from tests.server.fake import FakeEngine, make_parts

PATH = "/api-ws/v1/audio/speech"
NORMAL = 1000


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for all tests that leave nothing behind."""
    with make_parts(tmp_path_factory.mktemp("shared")) as parts, running(parts) as url:
        yield Served(url, parts)


class Socket:
    """A client that says what it is told to, and checks every message it gets."""

    def __init__(self, connection: websocket.WebSocket) -> None:
        self.connection = connection
        self.task = "task-1"
        self.audio = b""  # of this task

    def send(self, action: str, payload: Any = None, task: str | None = None) -> None:
        header = {"action": action, "task_id": task or self.task, "streaming": "duplex"}
        self.raw(json.dumps({"header": header, "payload": payload or {}}))

    def raw(self, data: str | bytes, opcode: int = websocket.ABNF.OPCODE_TEXT) -> None:
        self.connection.send(data, opcode)

    def run(self, task: str | None = None, **parameters: Any) -> None:
        self.task, self.audio = task or self.task, b""
        fixed = {"task_group": "audio", "task": "tts", "function": "SpeechSynthesizer", "model": "cosyvoice-v2"}
        self.send("run-task", {**fixed, "parameters": options(**parameters), "input": {}})

    def start(self, task: str | None = None, **parameters: Any) -> None:
        self.run(task, **parameters)
        assert self.get() == {
            "header": {"task_id": self.task, "event": "task-started", "attributes": {}},
            "payload": {},
        }

    def say(self, text: Any) -> None:
        self.send("continue-task", {"input": {"text": text}})

    def finish(self, **given: Any) -> None:
        self.send("finish-task", {"input": given})

    def get(self) -> dict[str, Any]:
        opcode, data = self.connection.recv_data()
        assert opcode == websocket.ABNF.OPCODE_TEXT, f"a frame of opcode {opcode}: {data!r}"
        message = json.loads(data)
        assert message.keys() == {"header", "payload"}
        assert message["header"]["task_id"] == self.task
        return message

    def result(self) -> dict[str, Any]:
        """The payload of the next message, a result."""
        message = self.get()
        assert message["header"] == {"task_id": self.task, "event": "result-generated", "attributes": {}}
        return self.checked(message["payload"])

    def checked(self, payload: dict[str, Any]) -> dict[str, Any]:
        """What the published client relies on."""
        self.audio += base64.b64decode(payload["output"]["audio"]["data"], validate=True)
        assert payload.keys() == RESULT_KEYS
        assert payload["metrics"].keys() == METRICS
        assert payload["metrics"]["speech_len"] > 0
        assert (payload["error"], payload["usage"]) == (None, len(self.audio))
        return payload

    def rest(self) -> tuple[bytes, list[dict[str, Any]], dict[str, Any]]:
        """All audio of the task, the payloads of the results that were left, and the message after them."""
        results = []
        while (message := self.get())["header"]["event"] == "result-generated":
            results.append(self.checked(message["payload"]))
        return self.audio, results, message

    def closed(self) -> int:
        """The code with which the server closes, which it must do next."""
        return close_code(self.connection)

    def hang_up(self) -> None:
        """Vanish without a word, as a killed process does."""
        reset(self.connection.sock)


@contextmanager
def connected(served: Served, query: str = "", **given: Any) -> Iterator[Socket]:
    with web_socket(served.ws_url + PATH + query, **given) as connection:
        yield Socket(connection)


class PublishedClient:
    """The steps of the published client: callbacks, text sent from `task-started`, metrics indexed unseen."""

    def __init__(self, url: str, parameters: dict[str, Any], texts: list[str]) -> None:
        self.task_id, self.parameters, self.texts = str(uuid.uuid4()), parameters, texts
        self.audio, self.metrics, self.failures = b"", [], []
        self.first_package_s = self.rtf = 0.0
        self.app = websocket.WebSocketApp(
            url,
            header={"Authorization": "Bearer <EAS_TOKEN>"},
            on_open=lambda app: self.send("run-task", parameters=self.parameters, input={}),
            on_message=self.on_message,
            on_error=lambda app, error: self.failures.append(error),
        )
        self.app.run_forever()

    def send(self, action: str, **payload: Any) -> None:
        header = {"action": action, "task_id": self.task_id, "streaming": "duplex"}
        self.app.send(json.dumps({"header": header, "payload": payload}))

    def on_message(self, app: websocket.WebSocketApp, text: str) -> None:
        message = json.loads(text)
        event = message["header"]["event"]
        if event == "task-started":
            for each in self.texts:
                self.send("continue-task", input={"text": each})
            self.send("finish-task", input={})
        elif event == "result-generated":
            self.metrics.append(message["payload"]["metrics"])
            self.audio += base64.b64decode(message["payload"]["output"]["audio"]["data"])
        elif event == "task-finished":
            lengths = [each["speech_len"] for each in self.metrics]
            self.first_package_s = self.metrics[0]["server_cost_time"]
            self.rtf = sum(each["server_cost_time"] / each["speech_len"] for each in self.metrics) / sum(lengths)
            app.close()
        else:
            self.failures.append(message)
            app.close()


@pytest.mark.parametrize(
    ("output_format", "sample_rate"), [("wav", 24000), ("mp3", 24000), ("mp3", 44100), ("pcm", 8000), ("wav", 48000)]
)
def test_the_published_client_speaks(shared: Served, output_format: str, sample_rate: int) -> None:
    asked = {
        "mode": "natural_language_replication",
        "reference_audio_id": "alex",
        "output_format": output_format,
        "sample_rate": sample_rate,
        "bit_rate": "192k",
        "volume": 1.0,
        "instruct": "Speak in a calm tone",
        "speed": 1.0,
        "debug": True,
    }
    client = PublishedClient(shared.ws_url + PATH, asked, [TEXT])
    assert not client.failures
    check_audio(client.audio, TEXT, output_format, sample_rate)
    assert sum(each["speech_len"] for each in client.metrics) == pytest.approx(seconds_of(TEXT), abs=1e-6)
    assert client.first_package_s > 0 < client.rtf
    request = shared.engine.requests[-1]
    assert (request.mode, request.instruction, request.voice) == (Mode.INSTRUCT, "Speak in a calm tone", "alex")


def test_the_example_of_the_documentation_works(
    shared: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[3] / "docs/api/pai_eas.md").read_text(encoding="utf-8")
    [example] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(example.replace("ws://127.0.0.1:8000", shared.ws_url).replace("<id>", "alex"), names)
    names["socket"].close()
    check_audio((tmp_path / "speech.mp3").read_bytes(), "Good morning. The weather is fine.", "mp3")


def test_speech_starts_before_finish_task_and_text_reaches_the_engine_as_it_comes(serve: Serve) -> None:
    served = serve()
    with connected(served) as client:
        client.start()
        assert not served.engine.requests  # a task without text holds no place in the engine
        first, second = "Good morning to all. ", "And good night."
        client.say(first)
        payload = client.result()
        assert (payload["output"]["finish_reason"], served.engine.pieces) == (None, [first])
        assert served.engine.running == 1
        client.say(second)
        until(lambda: served.engine.pieces == [first, second])
        client.finish()
        audio, _, message = client.rest()
        check_audio(audio, first + second)
        assert message["header"]["event"] == "task-finished"
        assert message["payload"] == {"output": {}, "usage": {"characters": len(first + second)}}
    assert (served.engine.finished, served.engine.aborted) == (1, 0)


def test_text_in_single_characters_makes_the_same_file(shared: Served) -> None:
    files = []
    for pieces in (list(TEXT), [TEXT]):
        with connected(shared) as client:
            client.start(output_format="wav")
            for each in pieces:
                client.say(each)
            client.finish()
            files.append(client.rest()[0])
    assert files[0] == files[1]


def test_blank_pieces_wait_for_the_first_word(serve: Serve) -> None:
    served = serve()
    with connected(served) as client:
        client.start()
        for each in ("", None, "  ", "\n"):
            client.say(each)
        client.say("Hello.")
        client.finish()
        assert client.rest()[2]["payload"]["usage"] == {"characters": 9}
    assert served.engine.pieces == ["  ", "\n", "Hello."]


def test_only_the_last_result_says_stop(shared: Served) -> None:
    with connected(shared) as client:
        client.start()
        client.say(TEXT)
        client.finish()
        results = client.rest()[1]
    assert [each["output"]["finish_reason"] for each in results] == [None] * (len(results) - 1) + ["stop"]
    assert len({each["output"]["audio"]["id"] for each in results}) == 1


def test_metrics_count_from_the_first_text(serve: Serve) -> None:
    with connected(serve(FakeEngine(delay_s=0.04))) as client:
        client.start()
        time.sleep(0.3)
        sent = time.perf_counter()
        client.say(TEXT)
        first = client.result()["metrics"]
        passed = time.perf_counter() - sent
        assert 0.04 <= first["server_cost_time"] <= passed
        assert 0.036 <= first["generate_time"] <= first["server_cost_time"]
        assert first["rtf"] == pytest.approx(first["generate_time"] / first["speech_len"], abs=1e-5)


def test_a_socket_takes_one_task_after_another(shared: Served) -> None:
    audio_ids = set()
    with connected(shared) as client:
        for task, output_format in [("one", "wav"), ("two", "mp3"), ("three", "wav"), ("one", "pcm")]:
            client.start(task, output_format=output_format)
            client.say(TEXT)
            client.finish()
            audio, results, message = client.rest()
            assert message["header"]["event"] == "task-finished"
            check_audio(audio, TEXT, output_format)
            audio_ids.add(results[0]["output"]["audio"]["id"])
    assert len(audio_ids) == 4


def test_a_new_task_ends_the_running_one_at_once(serve: Serve) -> None:
    served = serve(FakeEngine(delay_s=0.01))
    with connected(served) as client:
        client.start("one")
        client.say(TEXT * 20)
        client.result()
        client.run("two")
        while (message := json.loads(client.connection.recv()))["header"]["task_id"] == "one":
            assert message["header"]["event"] == "result-generated"
        assert message["header"]["event"] == "task-started"
        assert (served.engine.running, served.engine.aborted) == (0, 1)
        client.say("Hello.")
        client.finish()
        check_audio(client.rest()[0], "Hello.")


def test_cancelling_drops_the_rest(serve: Serve) -> None:
    served = serve(FakeEngine(delay_s=0.01))
    with connected(served) as client:
        client.start("one")
        client.say(TEXT * 20)
        client.result()
        client.finish(directive="cancel")
        assert client.rest()[2]["header"]["event"] == "task-finished"
        assert (served.engine.running, served.engine.aborted) == (0, 1)
        client.finish(directive="cancel")  # it crossed with the end of the task: nothing to do
        client.start("two")


def test_a_cancel_that_crosses_the_end_of_its_task_is_answered_once(shared: Served) -> None:
    with connected(shared) as client:
        for number in range(20):
            client.start(f"task-{number}")
            client.say("Yes.")
            client.finish()
            time.sleep(0.001 * (number % 5))
            client.finish(directive="cancel")
            assert client.rest()[2]["header"]["event"] == "task-finished"


def test_more_text_than_the_engine_takes_does_not_block_the_socket(serve: Serve) -> None:
    served = serve(FakeEngine(delay_s=0.05))
    with connected(served) as client:
        client.start("one")
        for _ in range(30):
            client.say("a" * 1000)
        client.finish(directive="cancel")
        assert client.rest()[2]["header"]["event"] == "task-finished"
    assert served.engine.made < 50


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("polite", [True, False])
def test_a_client_that_leaves_stops_the_engine(serve: Serve, polite: bool, finished: bool) -> None:
    served = serve(FakeEngine(delay_s=0.02))
    with connected(served) as client:
        client.start()
        client.say(TEXT * 20)
        if finished:
            client.finish()
        client.result()
        made = served.engine.made
        client.connection.close() if polite else client.hang_up()
        until(lambda: served.engine.aborted == 1)
    assert at_rest(served)
    assert served.engine.made <= made + 5


def test_many_abrupt_ends_leave_nothing(shared: Served) -> None:
    for stage in range(20):
        with connected(shared) as client:
            if stage % 4 > 0:
                client.start()
            if stage % 4 > 1:
                client.say(TEXT * 5)
            if stage % 4 > 2:
                client.result()
            client.hang_up()
    until(lambda: at_rest(shared))
    with connected(shared) as client:
        client.start()


def test_an_idle_socket_is_closed(serve: Serve) -> None:
    with connected(serve(idle_timeout_s=0.2)) as client:
        assert client.closed() == NORMAL


def test_a_task_whose_client_falls_silent_fails(serve: Serve) -> None:
    served = serve(idle_timeout_s=0.2)
    with connected(served) as client:
        client.start()
        client.say(TEXT)
        message = client.rest()[2]
        assert message["header"]["event"] == "task-failed"
        assert "timeout" in message["header"]["error_message"]
        assert client.closed() == NORMAL
    until(lambda: at_rest(served))


def test_a_task_may_speak_for_longer_than_a_client_may_be_silent(serve: Serve) -> None:
    with connected(serve(FakeEngine(delay_s=0.05), idle_timeout_s=0.2)) as client:
        client.start()
        client.say(TEXT)
        client.finish()
        assert client.rest()[2]["header"]["event"] == "task-finished"
        assert client.closed() == NORMAL  # after that silence


@pytest.mark.parametrize(
    ("query", "header", "allowed"),
    [
        ("", ["Authorization: Bearer token"], True),
        ("", ["Authorization: bearer token"], True),
        ("?token=token", [], True),
        ("?api_key=token", [], True),
        ("", ["Authorization: Bearer wrong"], False),
        ("?token=wrong", [], False),
        ("", [], False),
    ],
)
def test_a_wrong_token_is_refused_before_the_socket_is_accepted(
    serve: Serve, query: str, header: list[str], allowed: bool
) -> None:
    served = serve(api_keys=("token",))
    if allowed:
        with connected(served, query, header=header) as client:
            client.start()
        return
    with pytest.raises(websocket.WebSocketBadStatusException) as caught, connected(served, query, header=header):
        pass
    assert caught.value.status_code == 401
    body = json.loads(caught.value.resp_body)
    assert (body["code"], body["data"], bool(body["message"])) == ("Unauthorized", {}, True)


def failed(client: Socket, code: str, named: str = "") -> None:
    """The next messages are a complete task-failed, and the close."""
    _, _, message = client.rest()
    assert message["payload"] == {}
    assert list(message["header"]) == ["task_id", "event", "error_code", "error_message", "attributes"]
    assert (message["header"]["event"], message["header"]["error_code"]) == ("task-failed", code)
    assert named in message["header"]["error_message"]
    assert client.closed() == NORMAL


@pytest.mark.parametrize(
    ("changes", "code", "named"),
    [
        ({"mode": None}, "InvalidParameter", "mode"),
        ({"mode": "zero_shot"}, "InvalidParameter", "mode"),
        ({"reference_audio_id": None}, "InvalidParameter", "reference_audio_id"),
        ({"reference_audio_id": ""}, "InvalidParameter", "reference_audio_id"),
        ({"reference_audio_id": "nobody"}, "NotFound", "reference audio: nobody not found."),
        ({"reference_audio_id": "../../alex"}, "NotFound", "not found"),
        ({"sample_rate": 1}, "InvalidParameter", "sample_rate"),
        ({"sample_rate": "24000"}, "InvalidParameter", "sample_rate"),
        ({"bit_rate": 192}, "InvalidParameter", "bit_rate"),
        ({"volume": 50}, "InvalidParameter", "volume"),
        ({"speed": 3}, "InvalidParameter", "speed"),
        ({"speed": "fast"}, "InvalidParameter", "speed"),
        ({"output_format": "opus"}, "InvalidParameter", "output_format"),
        ({"instruct": ["a"]}, "InvalidParameter", "instruct"),
        ({"debug": "yes"}, "InvalidParameter", "debug"),
    ],
)
def test_a_task_with_bad_parameters_fails_before_it_starts(shared: Served, changes: Any, code: str, named: str) -> None:
    with connected(shared) as client:
        client.run(**changes)
        failed(client, code, named)


@pytest.mark.parametrize("payload", [None, {}, {"parameters": None}, {"parameters": []}, {"parameters": "mode"}])
def test_a_task_without_parameters_fails(shared: Served, payload: Any) -> None:
    with connected(shared) as client:
        client.send("run-task", payload)
        failed(client, "InvalidParameter")


@pytest.mark.parametrize(
    ("steps", "named"),
    [
        ([("continue-task", {"input": {"text": "a"}})], "no task is running"),
        ([("finish-task", {"input": {}})], "no task is running"),
        ([("finish-task", {"input": {"directive": "cancel"}})], ""),
        ([("stop-task", {})], "unknown action"),
        ([("", {})], "unknown action"),
        (["start", ("continue-task", {"input": {"text": "a"}}, "other")], "'task-1' is running"),
        (["start", ("finish-task", {"input": {}}, "other")], "'task-1' is running"),
        (["start", ("finish-task", {"input": {"directive": "cancel"}}, "other")], "'task-1' is running"),
        (["start", ("continue-task", {"input": {"text": 5}})], "text must be a string"),
        (["start", ("continue-task", {"input": {"text": ["a"]}})], "text must be a string"),
        (["start", ("continue-task", {"input": "text"})], "input must be an object"),
        (["start", ("continue-task", {"input": {"text": "\0"}})], "NUL"),
        (["start", ("finish-task", {"input": {}})], "there is no text"),
        (["start", ("continue-task", {"input": {"text": " \n"}}), ("finish-task", {"input": {}})], "there is no text"),
        (["start", ("continue-task", {"input": {"text": "a" * 200_001}})], "200001"),
        (["start", ("continue-task", {"input": {"text": "a" * 10_000_000}})], "10000000"),
    ],
)
def test_a_message_out_of_order_fails_the_task(shared: Served, steps: list[Any], named: str) -> None:
    with connected(shared) as client:
        for step in steps:
            client.start() if step == "start" else client.send(*step[:2], task=(*step, None)[2])
        code = "TooLarge" if named.isdigit() else "InvalidParameter"
        failed(client, code, named)
    until(lambda: at_rest(shared))


@pytest.mark.parametrize("action", ["continue-task", "finish-task"])
def test_nothing_may_follow_finish_task(serve: Serve, action: str) -> None:
    served = serve(FakeEngine(delay_s=0.02))
    with connected(served) as client:
        client.start()
        client.say(TEXT * 5)
        client.finish()
        client.send(action, {"input": {"text": "more"}})
        failed(client, "InvalidParameter", "after finish-task")
    assert served.engine.aborted == 1


@pytest.mark.parametrize("frame", ["", "{", "[]", "null", "run-task", '"\\ud800"', "[" * 50_000, '{"header": 1}'])
@pytest.mark.parametrize("started", [True, False])
def test_a_frame_that_is_no_instruction_fails(shared: Served, started: bool, frame: str) -> None:
    with connected(shared) as client:
        if started:
            client.start()
        client.task = client.task if started else ""
        client.raw(frame)
        failed(client, "InvalidParameter")


def test_a_binary_frame_fails(shared: Served) -> None:
    with connected(shared) as client:
        client.start()
        client.raw(json.dumps({"header": {}}).encode(), websocket.ABNF.OPCODE_BINARY)
        failed(client, "InvalidParameter", "binary")


@pytest.mark.parametrize("task", ["x", "任务", "a b/c?&<>\"'\\", "é" * 1024])
def test_any_task_id_comes_back_as_it_was(shared: Served, task: str) -> None:
    with connected(shared) as client:
        client.start(task)


def test_text_that_is_not_utf8_closes_the_socket(shared: Served) -> None:
    with connected(shared) as client:
        client.raw(b'{"header": "\xff\xfe"}')
        assert client.closed() == 1007


def test_a_long_text_counts_over_all_its_pieces(serve: Serve) -> None:
    with connected(serve(max_text_characters=20)) as client:
        client.start()
        client.say("a" * 15)
        client.say("b" * 10)
        failed(client, "TooLarge", "25")


@pytest.mark.parametrize("fail_at", [0, 3])
def test_a_failing_engine_fails_the_task(serve: Serve, fail_at: int) -> None:
    with connected(serve(FakeEngine(error=EngineError("the vocoder broke"), fail_at=fail_at))) as client:
        client.start()
        client.say(TEXT)
        if fail_at:
            client.result()
        failed(client, "InternalError", "the vocoder broke")


def test_a_bug_is_told_without_its_details(serve: Serve) -> None:
    with connected(serve(FakeEngine(error=RuntimeError("secret")))) as client:
        client.start()
        client.say(TEXT)
        message = client.rest()[2]
    assert message["header"]["error_code"] == "InternalError"
    assert "secret" not in message["header"]["error_message"]


def test_overload_fails_the_task(serve: Serve) -> None:
    served = serve(FakeEngine(delay_s=0.02), max_active=1, max_queued=0)
    with connected(served) as busy, connected(served) as client:
        busy.start()
        busy.say(TEXT * 10)
        busy.result()
        client.start()
        client.say(TEXT)
        failed(client, "ServiceUnavailable", "overloaded")


def test_failures_are_counted_by_class_once(serve: Serve) -> None:
    served = serve(FakeEngine(error=EngineError("the vocoder broke")))
    for text in (TEXT, 5):
        with connected(served) as client:
            client.start()
            client.say(text)
            client.rest()
    counted = served.parts.app.state.context.metrics.text().decode()
    assert 'cosy_errors_total{dialect="pai_eas",kind="internal"} 1.0' in counted
    assert 'cosy_errors_total{dialect="pai_eas",kind="invalid"} 1.0' in counted

"""Cosy's own WebSocket: text that comes in pieces, audio and events, and every way in which it may end early."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest
import requests
import websocket

from cosy.audio.io import load_audio
from cosy.errors import EngineError, OverloadedError
from cosy.types import Mode
from tests.server.calls import close_code, eventually, reset, web_socket
from tests.server.conftest import Serve, Served, running
from tests.server.fake import LEVEL, SECONDS_PER_CHARACTER, FakeEngine, make_parts

PATH = "/cosy/v1/speech"
KEY = "a-secret-key"
LONG = "A sentence that takes its time. " * 20
DONE = {"type", "audio_s", "first_audio_s", "rtf", "segments", "seed", "warnings", "stopped"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for all tests that leave nothing behind."""
    with make_parts(tmp_path_factory.mktemp("shared")) as parts, running(parts) as url:
        yield Served(url, parts)


class Socket:
    """A client that says what it is told to."""

    def __init__(self, connection: websocket.WebSocket) -> None:
        self.connection = connection
        self.audio = b""  # since the last start

    def send(self, type: str, **fields: Any) -> None:
        self.connection.send(json.dumps({"type": type, **fields}))

    def start(self, **fields: Any) -> dict[str, Any]:
        self.audio = b""
        self.send("start", **fields)
        started = self.event()
        assert started["type"] == "started", started
        return started

    def say(self, *pieces: str) -> None:
        for piece in pieces:
            self.send("text", text=piece)

    def get(self) -> dict[str, Any] | bytes:
        opcode, data = self.connection.recv_data()
        assert opcode in (websocket.ABNF.OPCODE_TEXT, websocket.ABNF.OPCODE_BINARY), f"opcode {opcode}: {data!r}"
        if opcode == websocket.ABNF.OPCODE_TEXT:
            return dict(json.loads(data))
        self.audio += data
        return bytes(data)

    def event(self) -> dict[str, Any]:
        """The next message, which is no audio."""
        message = self.get()
        assert isinstance(message, dict)
        return message

    def rest(self) -> list[dict[str, Any]]:
        """All events up to `done` or `error`, which is the last."""
        events: list[dict[str, Any]] = []
        while not events or events[-1]["type"] not in ("done", "error"):
            message = self.get()
            if isinstance(message, dict):
                events.append(message)
        return events

    def until_audio(self) -> None:
        while not isinstance(self.get(), bytes):
            pass

    def closed(self) -> int:
        """The code with which the server closes, which it must do next."""
        return close_code(self.connection)

    def refused(self, code: str, param: str = "") -> str:
        """The next message is this error, and the socket is closed after it."""
        error = self.event()
        assert error.keys() == {"type", "code", "message", "param", "retry_after_s"}
        assert (error["type"], error["code"], error["param"]) == ("error", code, param), error
        assert self.closed() == (1008 if code in ("unauthorized", "forbidden") else 1000)
        return str(error["message"])

    def hang_up(self) -> None:
        """Vanish without a word, as a killed process does."""
        reset(self.connection.sock)


@contextmanager
def connected(served: Served, query: str = "", **given: Any) -> Iterator[Socket]:
    with web_socket(served.ws_url + PATH + query, **given) as connection:
        yield Socket(connection)


def seconds(text: str) -> float:
    return len(text) * SECONDS_PER_CHARACTER


# Speaking


def test_text_goes_in_and_audio_with_its_story_comes_out(shared: Served) -> None:
    with connected(shared) as socket:
        started = socket.start(voice="alex", seed=5)
        assert started.keys() == {"type", "request_id", "rate_hz", "seed"}
        assert (started["rate_hz"], started["seed"]) == (24_000, 5)
        socket.say("Hello there. ", "How are you?")
        socket.send("end")
        *events, done = socket.rest()
    samples = np.frombuffer(socket.audio, "<i2") / 32768
    assert len(samples) / 24_000 == pytest.approx(seconds("Hello there. How are you?"), abs=1e-3)
    assert np.abs(samples).max() == pytest.approx(LEVEL, abs=0.01)
    assert np.abs(np.diff(samples)).max() < 0.06, "the sine breaks off somewhere"
    assert {event["type"] for event in events} == {"progress", "segment"}
    assert done.keys() == DONE
    assert done["audio_s"] == pytest.approx(seconds("Hello there. How are you?"))
    assert (done["seed"], done["warnings"], done["stopped"]) == (5, [], False)
    assert 0 <= done["first_audio_s"] < 5
    assert done["rtf"] >= 0


def test_a_text_that_is_known_comes_with_the_start_and_reaches_the_engine_whole(serve: Serve) -> None:
    server = serve()
    with connected(server) as socket:
        socket.start(text="Hello there. How are you?")
        done = socket.rest()[-1]
    assert done["audio_s"] == pytest.approx(seconds("Hello there. How are you?"))
    assert [request.text for request in server.engine.requests] == ["Hello there. How are you?"]


def test_segments_are_told_when_they_end_and_again_at_the_end(shared: Served) -> None:
    with connected(shared) as socket:
        socket.start()
        socket.say("One. ", "Two, three.")
        socket.send("end")
        heard, at_end = 0, []
        while (message := socket.get()) and not (isinstance(message, dict) and message["type"] == "done"):
            if isinstance(message, bytes):
                heard += len(message) // 2
            elif message["type"] == "segment":
                at_end.append((message, heard / 24_000))
    assert [(each["index"], each["text"]) for each, _ in at_end] == [(0, "One. "), (1, "Two, three.")]
    for each, position_s in at_end:
        assert each["end_s"] == pytest.approx(position_s, abs=2e-3)
    assert at_end[1][0]["start_s"] == at_end[0][0]["end_s"]
    assert isinstance(message, dict)
    assert message["segments"] == [{k: v for k, v in each.items() if k != "type"} for each, _ in at_end]


def test_progress_follows_every_piece_of_audio_and_tells_where_it_ends(shared: Served) -> None:
    with connected(shared) as socket:
        socket.start()
        socket.say("A longer sentence, in one piece.")
        socket.send("end")
        computed = 0.0
        while not isinstance(message := socket.get(), dict) or message["type"] == "progress":
            if isinstance(message, bytes):
                progress = socket.event()
                assert progress["type"] == "progress"
                assert progress["offset_s"] == pytest.approx(len(socket.audio) / 48_000, abs=2e-3)
                assert progress["compute_s"] >= computed
                computed = progress["compute_s"]


def test_what_is_asked_for_reaches_the_engine(serve: Serve) -> None:
    server = serve()
    with connected(server) as socket:
        started = socket.start(
            voice="alex",
            mode="instruct",
            instruction="Speak\nslowly.<|endofprompt|>",
            speed=2,
            pitch=1.25,
            gain_db=-6.0,
            seed=9,
            sample_rate_hz=16_000,
            format="pcm",
            whatever="is ignored",
        )
        socket.say("Hello there, my friend.")
        socket.send("end")
        done = socket.rest()[-1]
    (request,) = server.engine.requests
    assert (request.voice, request.mode, request.instruction) == ("alex", Mode.INSTRUCT, "Speak slowly.")
    assert (request.seed, request.format, request.gain_db) == (9, "pcm", -6.0)
    assert request.speed == pytest.approx(2 / 1.25)  # it is pitched on the way out, which takes it back to 2
    assert started["rate_hz"] == 16_000
    assert done["audio_s"] == pytest.approx(seconds("Hello there, my friend.") / 2, abs=0.01)
    assert len(socket.audio) / 32_000 == pytest.approx(done["audio_s"], abs=0.01)


def test_nothing_but_text_is_needed(serve: Serve) -> None:
    server = serve()
    with connected(server) as socket:
        socket.start(voice=None, mode=None, seed=None, sample_rate_hz=None)
        socket.say("Hello.")
        socket.send("end")
        socket.rest()
    (request,) = server.engine.requests
    assert (request.voice, request.mode, request.instruction, request.speed) == (None, None, "", 1.0)


def test_a_text_may_come_whole(serve: Serve) -> None:
    server = serve()
    with connected(server) as socket:
        socket.start(text="Hello there.")
        done = socket.rest()[-1]
        assert done["audio_s"] == pytest.approx(seconds("Hello there."), abs=0.01)
        socket.start(text="Once more.")
        assert socket.rest()[-1]["segments"][0]["text"] == "Once more."
    assert [request.text for request in server.engine.requests] == ["Hello there.", "Once more."]


@pytest.mark.parametrize(("text", "code"), [("", "invalid"), (" \n", "invalid"), ("x" * 201, "too_large")])
def test_a_whole_text_that_cannot_be_spoken_is_refused(serve: Serve, text: str, code: str) -> None:
    with connected(serve(max_text_characters=200)) as socket:
        socket.start(text=text)
        socket.refused(code, "text")


def test_after_a_whole_text_no_more_comes(serve: Serve) -> None:
    with connected(serve(FakeEngine(delay_s=0.05))) as socket:
        socket.start(text=LONG)
        socket.say("More.")
        assert "came after end" in socket.rest()[-1]["message"]


def test_a_seed_that_was_drawn_is_told_and_used(serve: Serve) -> None:
    server = serve()
    seeds = set()
    for _ in range(3):
        with connected(server) as socket:
            seed = socket.start()["seed"]
            socket.say("Hello.")
            socket.send("end")
            assert socket.rest()[-1]["seed"] == seed == server.engine.requests[-1].seed
            seeds.add(seed)
    assert len(seeds) == 3  # equal ones among 2**32: less than once in a billion runs


def test_text_goes_into_the_engine_as_it_comes(serve: Serve) -> None:
    server = serve()
    with connected(server) as socket:
        socket.start()
        assert server.engine.running == 0, "a request without text holds no place"
        for number, piece in enumerate(("The first part, ", "the second part, ", "the third.")):
            socket.say(piece)
            socket.until_audio()
            assert server.engine.pieces[number] == piece
            while len(socket.audio) < 48_000 * seconds("".join(server.engine.pieces)) - 600:  # some is held back
                socket.get()
        socket.send("end")
        assert socket.rest()[-1]["audio_s"] == pytest.approx(seconds("The first part, the second part, the third."))


def test_blank_pieces_are_kept_for_the_text_after_them(serve: Serve) -> None:
    server = serve()
    with connected(server) as socket:
        socket.start()
        socket.say("", " ", "\n")
        time.sleep(0.1)
        assert server.engine.requests == []
        socket.say("Hello.", "")
        socket.send("end")
        socket.rest()
    assert "".join(server.engine.pieces) == " \nHello."


def test_a_socket_takes_one_request_after_another(serve: Serve) -> None:
    server = serve()
    with connected(server) as socket:
        ids = set()
        for text in ("One.", "And two."):
            ids.add(socket.start()["request_id"])
            socket.say(text)
            socket.send("end")
            assert socket.rest()[-1]["audio_s"] == pytest.approx(seconds(text))
            assert len(socket.audio) / 48_000 == pytest.approx(seconds(text), abs=1e-3)
    assert ids == set(server.engine.ids)
    assert len(ids) == 2


def test_a_cloned_voice_speaks_by_its_id(serve: Serve) -> None:
    from tests.server.dialects.recordings import clip

    server = serve()
    answer = requests.post(
        server.url + "/cosy/v1/voices", files={"file": ("a.wav", clip())}, data={"name": "Ada"}, timeout=20
    )
    with connected(server) as socket:
        socket.start(voice=answer.json()["id"])
        socket.say("Hello.")
        socket.send("end")
        socket.rest()
    assert server.engine.requests[0].voice == answer.json()["id"]


def test_the_example_of_the_documentation_works(
    shared: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[3] / "docs/api/cosy.md").read_text(encoding="utf-8")
    [example] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(example.replace("ws://127.0.0.1:8000", shared.ws_url), names)
    names["socket"].close()
    samples, rate_hz = load_audio(tmp_path / "speech.wav")
    assert len(samples) / rate_hz == pytest.approx(seconds("Good morning. The weather is fine."), abs=1e-3)


# Ending early


def idle(server: Served) -> bool:
    found = requests.get(server.url + "/cosy/v1/server", timeout=20).json()
    return server.engine.running == 0 and (found["active"], found["queue"]) == (0, 0)


def test_stop_aborts_the_engine_and_says_what_was_made(serve: Serve) -> None:
    server = serve(FakeEngine(delay_s=0.02))
    with connected(server) as socket:
        socket.start()
        socket.say(LONG)
        socket.until_audio()
        socket.send("stop")
        done = socket.rest()[-1]
        assert (done["type"], done["stopped"]) == ("done", True)
        assert 0 < done["audio_s"] < seconds(LONG) / 2
        assert server.engine.aborted == 1
        assert idle(server)
        socket.start()  # and the socket is as good as new
        socket.say("Hello.")
        socket.send("end")
        assert socket.rest()[-1]["stopped"] is False


def test_stop_before_any_text_and_after_the_end(serve: Serve) -> None:
    server = serve()
    with connected(server) as socket:
        socket.start()
        socket.send("stop")
        done = socket.event()
        assert done.keys() == DONE
        assert (done["audio_s"], done["first_audio_s"], done["rtf"], done["segments"]) == (0.0, None, None, [])
        for type in ("stop", "text", "end"):  # they were on their way
            socket.send(type)
        socket.start()
        socket.say("Hello.")
        socket.send("end")
        assert socket.rest()[-1]["stopped"] is False
    assert server.engine.aborted == 0


def test_a_new_start_ends_the_running_request(serve: Serve) -> None:
    server = serve(FakeEngine(delay_s=0.02))
    with connected(server) as socket:
        socket.start()
        socket.say(LONG)
        socket.until_audio()
        socket.send("start")
        assert socket.rest()[-1]["stopped"] is True
        assert socket.event()["type"] == "started"
        assert server.engine.aborted == 1


@pytest.mark.parametrize("abruptly", [True, False])
def test_a_client_that_leaves_aborts_the_engine(serve: Serve, abruptly: bool) -> None:
    server = serve(FakeEngine(delay_s=0.02))
    with connected(server) as socket:
        socket.start()
        socket.say(LONG)
        socket.until_audio()
        if abruptly:
            socket.hang_up()
        else:
            socket.connection.close()
        eventually(lambda: server.engine.aborted == 1)
        eventually(lambda: idle(server))


def test_a_client_that_reads_nothing_is_cut_off(serve: Serve) -> None:
    server = serve(stall_s=0.3)
    with connected(server, sockopt=[(1, 8, 4096)]) as socket:  # SOL_SOCKET, SO_RCVBUF
        socket.start(sample_rate_hz=48_000)
        socket.say("x" * 20_000)
        socket.send("end")
        eventually(lambda: server.engine.aborted == 1)
        eventually(lambda: idle(server))


def test_silence_ends_a_request_that_waits_for_text(serve: Serve) -> None:
    server = serve(idle_timeout_s=0.6)
    with connected(server) as socket:
        socket.start()
        socket.say("Hello.")
        error = socket.rest()[-1]
        assert (error["type"], error["code"]) == ("error", "invalid")
        assert "nothing came for 0.6 s" in error["message"]
        assert socket.closed() == 1000
    assert server.engine.aborted == 1


def test_empty_text_keeps_a_request_alive(serve: Serve) -> None:
    with connected(serve(idle_timeout_s=0.8)) as socket:
        socket.start()
        for _ in range(10):
            time.sleep(0.1)
            socket.say("")
        socket.say("Hello.")
        socket.send("end")
        assert socket.rest()[-1]["type"] == "done"


def test_a_socket_without_a_request_is_closed_after_a_while(serve: Serve) -> None:
    with connected(serve(idle_timeout_s=0.2)) as socket:
        assert socket.closed() == 1000


def test_a_request_that_takes_long_is_not_silence(serve: Serve) -> None:
    with connected(serve(FakeEngine(delay_s=0.3), idle_timeout_s=0.2)) as socket:
        socket.start()
        socket.say("Hello.")
        socket.send("end")
        assert socket.rest()[-1]["type"] == "done"
        assert socket.closed() == 1000


# What is wrong


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"voice": "nobody"}, "unknown_voice", "voice"),
        ({"voice": 5}, "invalid", "voice"),
        ({"mode": "sung"}, "invalid", "mode"),
        ({"instruction": ["slow"]}, "invalid", "instruction"),
        ({"speed": 4.5}, "invalid", "speed"),
        ({"speed": "fast"}, "invalid", "speed"),
        ({"pitch": 0.4}, "invalid", "pitch"),
        ({"gain_db": 21}, "invalid", "gain_db"),
        ({"seed": -1}, "invalid", "seed"),
        ({"seed": 1.5}, "invalid", "seed"),
        ({"sample_rate_hz": 12_345}, "invalid", "sample_rate_hz"),
        ({"format": "mp3"}, "invalid", "format"),
    ],
)
def test_a_bad_start_is_refused_by_the_name_of_the_field(
    shared: Served, fields: dict[str, Any], code: str, param: str
) -> None:
    with connected(shared) as socket:
        socket.send("start", **fields)
        assert param in socket.refused(code, param)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (["no JSON"], "not JSON"),
        (["[]"], "must be a JSON object, not list"),
        (['{"type": NaN}'], "not JSON"),
        (['{"type": "start", "voice": "\\ud800"}'], "not JSON"),
        ([b"{}"], "binary frame"),
    ],
)
def test_frames_that_are_no_messages_are_refused(shared: Served, frames: list[str | bytes], message: str) -> None:
    with connected(shared) as socket:
        for frame in frames:
            binary = isinstance(frame, bytes)
            socket.connection.send(frame, websocket.ABNF.OPCODE_BINARY if binary else websocket.ABNF.OPCODE_TEXT)
        assert message in socket.refused("invalid")


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([{}], "type"),
        ([{"type": 5}], "type"),
        ([{"type": "pause"}], "type"),
        ([{"type": "text", "text": "Hello."}], "type"),
        ([{"type": "end"}], "type"),
        ([{"type": "stop"}], "type"),
    ],
)
def test_messages_out_of_place_are_refused(shared: Served, messages: list[dict[str, Any]], param: str) -> None:
    with connected(shared) as socket:
        for message in messages:
            socket.connection.send(json.dumps(message))
        assert socket.refused("invalid", param)


@pytest.mark.parametrize("fields", [{"type": "text", "text": 5}, {"type": "text", "text": "a\0b"}])
def test_text_that_is_none_is_refused(shared: Served, fields: dict[str, Any]) -> None:
    with connected(shared) as socket:
        socket.start()
        socket.connection.send(json.dumps(fields))
        socket.refused("invalid", "text")


@pytest.mark.parametrize("pieces", [[], ["", " \n"]])
def test_a_request_without_text_is_refused(shared: Served, pieces: list[str]) -> None:
    with connected(shared) as socket:
        socket.start()
        socket.say(*pieces)
        socket.send("end")
        assert "no text to speak" in socket.refused("invalid", "text")


def test_text_after_the_end_is_refused(serve: Serve) -> None:
    server = serve(FakeEngine(delay_s=0.05))
    with connected(server) as socket:
        socket.start()
        socket.say(LONG)
        socket.send("end")
        socket.say("More.")
        error = socket.rest()[-1]
        assert (error["code"], error["param"]) == ("invalid", "type")
    eventually(lambda: idle(server))


def test_too_much_text_is_refused(serve: Serve) -> None:
    server = serve(max_text_characters=20)
    with connected(server) as socket:
        socket.start()
        socket.say("twelve chars", "twelve chars")
        assert socket.rest()[-1]["code"] == "too_large"
    eventually(lambda: idle(server))


@pytest.mark.parametrize(
    ("error", "code", "retry_after_s"),
    [
        (OverloadedError("no room", 3.0), "overloaded", 3.0),
        (EngineError("a network failed"), "internal", None),
        (RuntimeError("a secret"), "internal", None),
    ],
)
@pytest.mark.parametrize("fail_at", [0, 2])
def test_a_failure_of_the_engine_is_told(
    serve: Serve, error: Exception, code: str, retry_after_s: float | None, fail_at: int
) -> None:
    server = serve(FakeEngine(error=error, fail_at=fail_at))
    with connected(server) as socket:
        socket.start()
        socket.say("A sentence of some length.")
        told = socket.rest()[-1]
        assert (told["type"], told["code"], told["retry_after_s"]) == ("error", code, retry_after_s)
        assert "secret" not in told["message"]
        assert socket.closed() == 1000
    assert bool(socket.audio) == (fail_at > 0)
    page = requests.get(server.url + "/metrics", timeout=20).text
    assert f'cosy_errors_total{{dialect="cosy",kind="{code}"}} 1.0' in page


def test_a_full_server_says_so(serve: Serve) -> None:
    server = serve(FakeEngine(delay_s=0.05), max_active=1, max_queued=0)
    with connected(server) as first, connected(server) as second:
        first.start()
        first.say(LONG)
        first.until_audio()
        second.start()
        second.say("Hello.")
        error = second.rest()[-1]
        assert (error["code"], error["retry_after_s"] > 0) == ("overloaded", True)
        assert isinstance(first.get(), dict | bytes)


# Keys


def test_a_key_comes_with_the_handshake_or_with_start(serve: Serve) -> None:
    server = serve(api_keys=[KEY])
    ways: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        (f"?token={KEY}", {}, {}),
        ("", {"header": {"Authorization": f"Bearer {KEY}"}}, {}),
        ("", {}, {"key": KEY}),
    ]
    for query, given, fields in ways:
        with connected(server, query, **given) as socket:
            for _ in range(2):  # a key is needed once
                socket.start(**fields)
                socket.say("Hello.")
                socket.send("end")
                assert socket.rest()[-1]["type"] == "done"
                fields = {}
    (row,) = requests.get(f"{server.url}/cosy/v1/usage?token={KEY}", timeout=20).json()["usage"]
    assert (row["key_id"], row["requests"]) == ("static-1", 6)


def test_a_wrong_key_is_refused_in_the_handshake(serve: Serve) -> None:
    with (
        pytest.raises(websocket.WebSocketBadStatusException) as raised,
        connected(serve(api_keys=[KEY]), "?token=wrong"),
    ):
        pass
    assert raised.value.status_code == 401
    assert json.loads(raised.value.resp_body)["error"]["code"] == "unauthorized"


@pytest.mark.parametrize("key", [None, "", "wrong", "schlüssel"])
def test_a_start_without_a_valid_key_is_refused(serve: Serve, key: str | None) -> None:
    server = serve(api_keys=[KEY])
    with connected(server) as socket:
        socket.send("start", key=key)
        socket.refused("unauthorized", "" if key else "key")
    assert server.engine.requests == []


def test_a_key_of_another_scope_is_refused(serve: Serve) -> None:
    server = serve(api_keys=[KEY])

    async def create() -> str:
        return (await server.keys.create("keeper", ["voices"]))[1]

    with connected(server) as socket:
        socket.send("start", key=anyio.run(create))
        assert "scope 'speech'" in socket.refused("forbidden")


def test_without_a_key_nothing_but_start_is_read(serve: Serve) -> None:
    with connected(serve(api_keys=[KEY])) as socket:
        socket.say("Hello.")
        socket.refused("invalid", "type")


def test_a_server_without_keys_ignores_those_that_come(shared: Served) -> None:
    with connected(shared, "?token=whatever") as socket:
        socket.start(key="whatever")

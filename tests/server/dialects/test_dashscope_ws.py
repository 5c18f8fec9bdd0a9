"""DashScope's WebSocket frame by frame: order, counting, sentences, and what a client does wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import websocket

from cosy.errors import EngineError
from tests.server.conftest import Serve, Served, running
from tests.server.dialects.answers import heard, lasts
from tests.server.dialects.dashscope_calls import PATH, TEXT, Outcome, Socket, connected, seconds_of
from tests.server.dialects.pai_calls import at_rest, error_db, until
from tests.server.fake import FakeEngine, make_parts

NORMAL, NOT_JSON = 1000, 1007
FINISHED = "task-finished"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for all tests that leave nothing behind."""
    with make_parts(tmp_path_factory.mktemp("shared")) as parts, running(parts) as url:
        yield Served(url, parts)


def spoken(served: Served, *texts: str, **parameters: Any) -> Outcome:
    """A task from its start to its end."""
    with connected(served) as client:
        client.start(**parameters)
        for text in texts:
            client.say(text)
        client.finish()
        return client.rest()


# Events


def test_a_task_message_by_message(shared: Served) -> None:
    outcome = spoken(shared, "床前明月光，", "疑是")
    types = [event["output"]["type"].removeprefix("sentence-") for event in outcome.events]
    begin, end = types.index("begin"), types.index("end")
    assert (begin, types.count("begin"), types.count("end"), types[-1]) == (0, 2, 2, "end")
    assert set(types[1:end]) == {"synthesis"}
    assert types[end + 1] == "begin"
    sentence = {"index": 0, "words": []}
    told = {"sentence": sentence, "type": "sentence-begin", "original_text": "床前明月光，"}
    assert outcome.events[0] == {"output": told}
    assert outcome.events[1] == {"output": {"sentence": sentence, "type": "sentence-synthesis"}}
    assert outcome.events[end] == {"output": {**told, "type": "sentence-end"}, "usage": {"characters": 11}}
    assert [each["sentence"]["index"] for each in outcome.outputs("sentence-begin")] == [0, 1]
    payload = {"output": {"sentence": {"words": []}}, "usage": {"characters": 15}}
    request_uuid = outcome.last["header"].pop("attributes")["request_uuid"]
    assert len(request_uuid) == 36
    assert outcome.last == {"header": {"task_id": "task-1", "event": FINISHED}, "payload": payload}


@pytest.mark.parametrize("path", [PATH, PATH + "/"])
def test_both_spellings_of_the_path(shared: Served, path: str) -> None:
    with connected(shared, path) as client:
        client.start()


def test_speech_starts_before_finish_task_and_text_reaches_the_engine_as_it_comes(serve: Serve) -> None:
    served = serve()
    with connected(served) as client:
        client.start()
        client.say("Hello, ")
        assert client.audio()
        assert served.engine.pieces == ["Hello, "]
        for letter in "world":
            client.say(letter)
        until(lambda: served.engine.pieces == ["Hello, ", *"world"])
        client.finish()
        outcome = client.rest()
    assert outcome.end == FINISHED
    assert "".join(outcome.texts) == "Hello, world"


def test_a_flush_ends_what_the_engine_was_given(serve: Serve) -> None:
    served = serve()
    with connected(served) as client:
        client.start()
        client.flush()
        for text in ("One", " two", "!"):
            client.say(text)
        client.flush()
        until(lambda: served.engine.finished == 1)
        client.flush()
        client.say(" (Three")
        client.flush()
        client.say(") …")
        client.finish()
        outcome = client.rest()
    assert served.engine.finished == len(served.engine.requests) == 2
    assert served.engine.pieces == ["One", " two", "!", " (Three"]
    assert "".join(outcome.texts) == "One two! (Three) …"
    assert [each["sentence"]["index"] for each in outcome.outputs("sentence-end")] == [0, 1, 2, 3]
    assert lasts(outcome.audio, "pcm", seconds_of("One two! (Three"))
    assert error_db(np.frombuffer(outcome.audio, "<i2")[: round(24_000 * seconds_of("One two!"))] / 32768, 24_000) < -30


@pytest.mark.parametrize(
    ("text", "count"),
    [("你好", 4), ("中A文123", 8), ("中文。", 5), ("中 文。", 6), ("漢字かな", 6), ("한국어", 3), ("a 1!", 4)],
)
def test_han_characters_count_twice(shared: Served, text: str, count: int) -> None:
    assert spoken(shared, text).last["payload"]["usage"] == {"characters": count}


def test_ssml_tags_count_for_nothing(shared: Served) -> None:
    outcome = spoken(shared, "<speak>你好</speak>", enable_ssml=True)
    assert outcome.last["payload"]["usage"] == {"characters": 4}
    assert outcome.texts == ["你好"]


def test_sentences_tell_their_times_and_no_invented_words(shared: Served) -> None:
    outcome = spoken(shared, "Hello there. ", "And more.", word_timestamp_enabled=True)
    first, second = (each["sentence"] for each in outcome.outputs("sentence-end"))
    middle, end = round(1000 * seconds_of("Hello there. ")), round(1000 * seconds_of("Hello there. And more."))
    assert first == {"index": 0, "words": [], "begin_time": 0, "end_time": middle}
    assert second == {"index": 1, "words": [], "begin_time": middle, "end_time": end}


@pytest.mark.parametrize("texts", [[], [""], [" ", "\n"]])
def test_a_task_without_text_ends_without_audio(shared: Served, texts: list[str]) -> None:
    outcome = spoken(shared, *texts)
    assert (outcome.end, outcome.audio, outcome.events) == (FINISHED, b"", [])
    assert outcome.last["payload"]["usage"] == {"characters": 0}


def test_text_in_run_task_is_the_first_piece(shared: Served) -> None:
    with connected(shared) as client:
        client.run(given={"text": "One "})
        assert client.get()["header"]["event"] == "task-started"
        client.say("two")
        client.finish()
        assert "".join(client.rest().texts) == "One two"


# Parameters


@pytest.mark.parametrize(
    ("chosen", "rate_hz", "real_hz"),
    [
        ("Default", 0, 22050),
        (None, None, 22050),
        ("mp3", 16000, 16000),
        ("MP3", 48000, 48000),
        ("wav", 0, 22050),
        ("wav", 44100.0, 44100),
        ("pcm", 16000, 16000),
        ("opus", 0, 48000),
        ("opus", 44100, 48000),
        ("opus", 24000, 24000),
    ],
)
def test_formats_and_rates(shared: Served, chosen: str | None, rate_hz: float | None, real_hz: int) -> None:
    audio = spoken(shared, TEXT, format=chosen, sample_rate=rate_hz).audio
    kind = (chosen or "Default").lower().replace("default", "mp3")
    assert heard(audio, kind, real_hz)[1] == real_hz
    assert lasts(audio, kind, seconds_of(TEXT), real_hz)


def test_a_wav_has_one_header_and_says_that_its_length_is_unknown(shared: Served) -> None:
    audio = spoken(shared, TEXT, "And more.", format="wav").audio
    assert audio.count(b"RIFF") == 1
    assert audio[4:8] == audio[40:44] == b"\xff" * 4


@pytest.mark.parametrize(("volume", "level"), [(50, 0.5), (25, 0.25), (10, 0.1)])
def test_volume_is_linear(shared: Served, volume: int, level: float) -> None:
    samples = np.frombuffer(spoken(shared, TEXT, volume=volume).audio, "<i2") / 32768
    assert np.abs(samples).max() == pytest.approx(level, abs=0.005)


def test_volume_0_is_silence_and_100_does_not_overflow(shared: Served) -> None:
    assert not np.frombuffer(spoken(shared, TEXT, volume=0).audio, "<i2").any()
    assert np.abs(np.diff(np.frombuffer(spoken(shared, TEXT, volume=100).audio, "<i2") / 32768)).max() < 0.2


def test_a_bit_rate_of_opus(shared: Served) -> None:
    sizes = [len(spoken(shared, TEXT * 3, format="opus", sample_rate=16000, bit_rate=rate).audio) for rate in (8, 64)]
    assert sizes[1] > 1.5 * sizes[0]


def test_rate_and_pitch_are_independent(shared: Served) -> None:
    audio = spoken(shared, TEXT, rate=0.5, pitch=1.5).audio
    assert lasts(audio, "pcm", seconds_of(TEXT, 0.5))
    spectrum = np.abs(np.fft.rfft(np.frombuffer(audio, "<i2")))
    assert np.argmax(spectrum) / seconds_of(TEXT, 0.5) == pytest.approx(450, abs=1)  # 300 Hz, 1.5 times


def test_a_seed_of_0_is_none(shared: Served) -> None:
    seeds = []
    for seed in (0, 5):
        spoken(shared, TEXT, seed=seed, type=0, enable_aigc_tag=True, phoneme_timestamp_enabled=False)
        seeds.append(shared.engine.requests[-1].seed)
    assert seeds == [None, 5]


def test_words_are_replaced_wherever_the_text_is_cut(shared: Served) -> None:
    before = len(shared.engine.pieces)
    words = {"replace": [{"草地": "草弟"}, {"草": "花"}]}
    outcome = spoken(shared, "一", "草", "地", "草", hot_fix=words)
    assert "".join(shared.engine.pieces[before:]) == "一草弟花"
    assert "".join(outcome.texts) == "一草地草"
    assert outcome.last["payload"]["usage"] == {"characters": 8}


# SSML


def test_breaks_are_silent_for_as_long_as_they_say_at_any_pitch(shared: Served) -> None:
    text = '<speak>one<break time="250ms"/>two<break time="1s"/></speak>'
    for pitch in (1.0, 2.0):
        audio = spoken(shared, text, enable_ssml=True, pitch=pitch).audio
        assert lasts(audio, "pcm", seconds_of("onetwo") + 1.25)
        samples = np.frombuffer(audio, "<i2")
        assert not samples[-23_000:].any()
        middle = round(24_000 * (seconds_of("one") + 0.125))
        assert not samples[middle - 2000 : middle + 2000].any()


def test_ssml_comes_in_one_message(shared: Served) -> None:
    with connected(shared) as client:
        client.start(enable_ssml=True)
        client.say("<speak>one</speak>")
        client.say("two")
        failed(client, "InvalidParameter", "Text request limit violated, expected 1.")


def test_an_ssml_task_ends_when_its_client_ends_it(shared: Served) -> None:
    with connected(shared) as client:
        client.start(enable_ssml=True)
        client.say("<speak>one</speak>")
        client.audio()
        until(lambda: at_rest(shared))
        client.finish()
        assert client.rest().end == FINISHED


def test_without_the_parameter_markup_is_text(shared: Served) -> None:
    assert spoken(shared, "<speak>a</speak>").texts == ["<speak>a</speak>"]


def test_ssml_without_words_is_an_empty_task(shared: Served) -> None:
    outcome = spoken(shared, '<speak><break time="1s"/></speak>', enable_ssml=True)
    assert (outcome.end, outcome.audio) == (FINISHED, b"")


# Tasks on one socket


def test_one_socket_speaks_many_tasks(shared: Served) -> None:
    with connected(shared) as client:
        for number, chosen in enumerate(("mp3", "wav", "opus", "mp3")):
            client.start(f"task-{number}", format=chosen)
            client.say(TEXT)
            client.finish()
            outcome = client.rest()
            assert outcome.outputs("sentence-begin")[0]["sentence"]["index"] == 0
            assert lasts(outcome.audio, chosen, seconds_of(TEXT))


def test_a_new_task_ends_the_running_one_at_once(serve: Serve) -> None:
    served = serve(FakeEngine(delay_s=0.01))
    with connected(served) as client:
        client.start("one")
        client.say(TEXT * 20)
        client.audio()
        client.run("two")
        while (
            isinstance(message := client.connection.recv(), bytes) or json.loads(message)["header"]["task_id"] == "one"
        ):
            assert isinstance(message, bytes) or json.loads(message)["header"]["event"] == "result-generated"
        assert json.loads(message)["header"]["event"] == "task-started"
        assert (served.engine.running, served.engine.aborted) == (0, 1)
        client.say("Hello.")
        client.finish()
        assert lasts(client.rest().audio, "pcm", seconds_of("Hello."))


def test_a_new_task_ends_one_that_never_got_text(serve: Serve) -> None:
    served = serve()
    with connected(served) as client:
        client.start("one")
        client.start("two")
        client.say("Hello.")
        client.finish()
        assert client.rest().end == FINISHED
    assert len(served.engine.requests) == 1


@pytest.mark.parametrize("finished", [True, False])
def test_cancelling_drops_the_rest(serve: Serve, finished: bool) -> None:
    served = serve(FakeEngine(delay_s=0.01))
    with connected(served) as client:
        client.start("one")
        client.say(TEXT * 20)
        client.audio()
        if finished:
            client.finish()
        client.finish(directive="cancel")
        assert client.rest().end == FINISHED
        assert (served.engine.running, served.engine.aborted) == (0, 1)
        client.start("two")
        client.say("Hello.")
        client.finish()
        assert lasts(client.rest().audio, "pcm", seconds_of("Hello."))


@pytest.mark.parametrize("ssml", [True, False])
@pytest.mark.parametrize("polite", [True, False])
def test_a_client_that_leaves_stops_the_engine(serve: Serve, polite: bool, ssml: bool) -> None:
    served = serve(FakeEngine(delay_s=0.02))
    with connected(served) as client:
        client.start(enable_ssml=ssml)
        client.say(f"<speak>{TEXT * 20}</speak>" if ssml else TEXT * 20)
        client.audio()
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
                client.audio()
            client.hang_up()
    until(lambda: at_rest(shared))
    spoken(shared, TEXT)


def test_a_silent_client_times_out_inside_a_task_only(serve: Serve) -> None:
    served = serve(task_timeout_s=0.3, idle_timeout_s=0.6)
    with connected(served) as client:
        client.start()
        client.say("Hello.")
        outcome = client.rest()
        header = outcome.last["header"]
        assert (header["event"], header["error_code"]) == ("task-failed", "CLIENT_ERROR")
        assert header["error_message"] == "request timeout after 0.3 seconds."
        assert client.closed() == NORMAL
    with connected(served) as client:
        client.start()
        client.finish()
        assert client.rest().end == FINISHED
        assert client.closed() == NORMAL  # once it was idle for long
    until(lambda: at_rest(served))


def test_the_timeout_is_23_seconds() -> None:
    from cosy.server.settings import Settings

    assert f"{Settings().task_timeout_s:g}" == "23"


# Mistakes


def failed(client: Socket, code: str, named: str = "") -> None:
    """The next messages are a complete task-failed, and the close."""
    message = client.rest().last
    assert message["payload"] == {}
    assert list(message["header"]) == ["task_id", "event", "error_code", "error_message", "attributes"]
    assert (message["header"]["event"], message["header"]["error_code"]) == ("task-failed", code)
    assert named in message["header"]["error_message"]
    assert client.closed() == NORMAL


@pytest.mark.parametrize(
    ("query", "header", "allowed"),
    [
        ("", ["Authorization: Bearer token"], True),
        ("", ["Authorization: bearer token"], True),
        ("?api_key=token", [], True),
        ("?token=token", [], True),
        ("", ["Authorization: Bearer wrong"], False),
        ("?token=wrong", [], False),
        ("", [], False),
    ],
)
def test_a_wrong_key_is_refused_before_the_socket_is_accepted(
    serve: Serve, query: str, header: list[str], allowed: bool
) -> None:
    served = serve(api_keys=("token",))
    if allowed:
        with connected(served, PATH + query, header=header) as client:
            client.start()
        return
    with pytest.raises(websocket.WebSocketBadStatusException) as caught, connected(served, PATH + query, header=header):
        pass
    assert caught.value.status_code == 401
    body = json.loads(caught.value.resp_body)
    assert (body["code"], body["message"]) == ("InvalidApiKey", "Invalid API-key provided.")
    assert body["request_id"]


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"voice": None}, "voice"),
        ({"voice": ""}, "voice"),
        ({"voice": 5}, "voice"),
        ({"voice": "nobody"}, "[tts:]Engine return error code: 418"),
        ({"voice": "../../alex"}, "[tts:]Engine return error code: 418"),
        ({"text_type": "SSML"}, "text_type"),
        ({"format": "flac"}, "format"),
        ({"format": 1}, "format"),
        ({"sample_rate": 1}, "sample_rate"),
        ({"sample_rate": 11025}, "sample_rate"),
        ({"sample_rate": "24000"}, "sample_rate"),
        ({"sample_rate": True}, "sample_rate"),
        ({"volume": 101}, "volume"),
        ({"volume": -1}, "volume"),
        ({"volume": 50.5}, "volume"),
        ({"volume": "50"}, "volume"),
        ({"rate": 0.49}, "rate"),
        ({"rate": "fast"}, "rate"),
        ({"pitch": 2.01}, "pitch"),
        ({"seed": 65_536}, "seed"),
        ({"seed": -1}, "seed"),
        ({"format": "opus", "bit_rate": 5}, "bit_rate"),
        ({"format": "opus", "bit_rate": 511}, "bit_rate"),
        ({"bit_rate": "32k"}, "bit_rate"),
        ({"enable_ssml": "yes"}, "enable_ssml"),
        ({"language_hints": "zh"}, "language_hints"),
        ({"language_hints": [1]}, "language_hints"),
        ({"instruction": ["a"]}, "instruction"),
        ({"hot_fix": []}, "hot_fix"),
        ({"hot_fix": {"replace": {"a": "b"}}}, "hot_fix"),
    ],
)
def test_a_task_with_bad_parameters_fails_before_it_starts(
    shared: Served, parameters: dict[str, Any], named: str
) -> None:
    with connected(shared) as client:
        client.run(**parameters)
        failed(client, "InvalidParameter", named)


WHOLE = {
    "task_group": "audio",
    "task": "tts",
    "function": "SpeechSynthesizer",
    "model": "cosyvoice-v2",
    "parameters": {"voice": "alex"},
    "input": {},
}


@pytest.mark.parametrize(
    ("changes", "code", "named"),
    [
        ({"input": None}, "InvalidParameter", "task can not be null"),
        ({"task": None}, "InvalidParameter", "task can not be null"),
        ({"task": "asr"}, "InvalidParameter", "task can not be null"),
        ({"function": 1}, "InvalidParameter", "function"),
        ({"model": None}, "InvalidParameter", "model"),
        ({"model": "sambert-zhichu-v1"}, "ModelNotFound", "sambert"),
        ({"parameters": None}, "InvalidParameter", "voice"),
        ({"parameters": []}, "InvalidParameter", "parameters"),
        ({"input": "text"}, "InvalidParameter", "input"),
        ({"input": {"text": 1}}, "InvalidParameter", "text"),
    ],
)
def test_a_task_that_lacks_something_fails(shared: Served, changes: dict[str, Any], code: str, named: str) -> None:
    with connected(shared) as client:
        client.send("run-task", WHOLE | changes)
        failed(client, code, named)


@pytest.mark.parametrize(
    ("steps", "named"),
    [
        ([("continue-task", {"input": {"text": "a"}})], "no task is running"),
        ([("finish-task", {"input": {}})], "no task is running"),
        ([("stop-task", {})], "unknown action"),
        (["start", ("continue-task", {"input": {"text": "a"}}, "other")], "'task-1' is running"),
        (["start", ("continue-task", {"input": {"text": 5}})], "text must be a string"),
        (["start", ("continue-task", {"input": "text"})], "input must be an object"),
        (["start", ("continue-task", {"input": {"text": "\0"}})], "NUL"),
        (["start", ("continue-task", {"input": {"text": "a" * 20_001}})], "20001"),
        (["start", ("finish-task", {"input": {}}), ("finish-task", {"input": {}})], ""),
        (["ssml", ("continue-task", {"input": {"text": "<speak>"}})], "not well-formed"),
        (["ssml", ("continue-task", {"input": {"text": "<p>a</p>"}})], "<p>"),
        (["ssml", ("continue-task", {"input": {"text": "<speak><voice name='x'>a</voice></speak>"}})], "<voice>"),
    ],
)
def test_a_message_out_of_order_fails_the_task(shared: Served, steps: list[Any], named: str) -> None:
    with connected(shared) as client:
        for step in steps:
            if isinstance(step, str):
                client.start(enable_ssml=step == "ssml")
            else:
                client.send(*step[:2], task=(*step, None)[2])
        if not named:
            client.rest()
        failed(client, "InvalidParameter", named)
    until(lambda: at_rest(shared))


def test_a_text_of_ten_megabytes_never_reaches_the_engine(shared: Served) -> None:
    requests = len(shared.engine.requests)
    with connected(shared) as client:
        client.start()
        client.say("a" * 10_000_000)
        failed(client, "InvalidParameter", "20000")
    assert len(shared.engine.requests) == requests


def test_a_long_text_counts_over_all_its_pieces(serve: Serve) -> None:
    with connected(serve(max_text_characters=20)) as client:
        client.start()
        client.say("a" * 15)
        client.say("b" * 10)
        failed(client, "InvalidParameter", "25")


@pytest.mark.parametrize("frame", ["", "{", "run-task", "[" * 50_000, '{"header": NaN}', '{"header": "\\ud800"}'])
@pytest.mark.parametrize("started", [True, False])
def test_a_frame_that_is_not_json_closes_the_socket(shared: Served, started: bool, frame: str) -> None:
    with connected(shared) as client:
        if started:
            client.start()
        client.raw(frame)
        assert client.closed() == NOT_JSON


@pytest.mark.parametrize(
    "frame", ["[]", "null", '{"header": 1}', '{"header": {}}', '{"header": {"action": "run-task"}}']
)
def test_json_that_is_no_instruction_fails(shared: Served, frame: str) -> None:
    with connected(shared) as client:
        client.task = ""
        client.raw(frame)
        failed(client, "InvalidParameter")


def test_text_that_is_not_utf8_closes_the_socket(shared: Served) -> None:
    with connected(shared) as client:
        client.raw(b'{"header": "\xff\xfe"}')
        assert client.closed() == NOT_JSON


def test_a_binary_frame_fails(shared: Served) -> None:
    with connected(shared) as client:
        client.start()
        client.raw(b"{}", websocket.ABNF.OPCODE_BINARY)
        failed(client, "InvalidParameter", "binary")


@pytest.mark.parametrize("task", ["x", "任务", "0a9dba9e-d3a6", "a b/c?&<>\"'\\", "é" * 128])
def test_any_task_id_comes_back_as_it_was(shared: Served, task: str) -> None:
    with connected(shared) as client:
        client.start(task)


def test_a_task_id_may_have_128_characters(shared: Served) -> None:
    with connected(shared) as client:
        client.run("x" * 129)
        failed(client, "InvalidParameter", "128")


@pytest.mark.parametrize("fail_at", [0, 3])
def test_a_failing_engine_fails_the_task(serve: Serve, fail_at: int) -> None:
    with connected(serve(FakeEngine(error=EngineError("the vocoder broke"), fail_at=fail_at))) as client:
        client.start()
        client.say(TEXT)
        if fail_at:
            client.audio()
        failed(client, "InternalError", "the vocoder broke")


def test_a_bug_is_told_without_its_details(serve: Serve) -> None:
    with connected(serve(FakeEngine(error=RuntimeError("secret")))) as client:
        client.start()
        client.say(TEXT)
        header = client.rest().last["header"]
    assert header["error_code"] == "InternalError"
    assert "secret" not in header["error_message"]


def test_overload_fails_the_task(serve: Serve) -> None:
    served = serve(FakeEngine(delay_s=0.02), max_active=1, max_queued=0)
    with connected(served) as busy, connected(served) as client:
        busy.start()
        busy.say(TEXT * 10)
        busy.audio()
        client.start()
        client.say(TEXT)
        failed(client, "Throttling.RateQuota", "overloaded")

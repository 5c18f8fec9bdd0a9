"""Compute Nest's interface, by the calls of its published client and by ones that are wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from cosy.errors import OverloadedError
from cosy.types import InlineVoice, Mode
from tests.server.conftest import Serve
from tests.server.dialects.recordings import bomb, clip, silence
from tests.server.fake import PRESET, SECONDS_PER_CHARACTER, FakeEngine

TEXT = "Hello, I am a voice."
INSTRUCTION = "Theo 'Crimson', is a fiery, passionate rebel leader. \
                                 Fights with fervor for justice, but struggles with impulsiveness."
PROMPT_TEXT = "I hope you can do better than me in the future."
MIB = 2**20


def prompt(data: bytes | None = None, name: str = "prompt_wav") -> list[tuple[str, tuple[str, bytes, str]]]:
    """The file part as the published client sends it: without extension or true type."""
    return [("prompt_wav", (name, clip() if data is None else data, "application/octet-stream"))]


def samples_of(response: requests.Response) -> Any:
    """As the published client reads it: 16000 bytes at a time, without a look at the head."""
    audio = b"".join(response.iter_content(chunk_size=16000))
    return np.frombuffer(audio, dtype=np.int16)


CALLS: dict[str, dict[str, Any]] = {
    "sft": {"data": {"tts_text": TEXT, "spk_id": "Chinese Female"}},
    "zero_shot": {"data": {"tts_text": TEXT, "prompt_text": PROMPT_TEXT}, "files": prompt()},
    "cross_lingual": {"data": {"tts_text": TEXT}, "files": prompt()},
    "instruct": {"data": {"tts_text": TEXT, "spk_id": "Chinese Female", "instruct_text": INSTRUCTION}},
    "instruct2": {"data": {"tts_text": TEXT, "instruct_text": INSTRUCTION}, "files": prompt()},
}
MODES = {
    "sft": None,
    "zero_shot": Mode.ZERO_SHOT,
    "cross_lingual": Mode.CROSS_LINGUAL,
    "instruct": Mode.INSTRUCT,
    "instruct2": Mode.INSTRUCT,
}


@pytest.mark.parametrize("mode", CALLS)
def test_the_published_client_gets_samples_at_the_rate_it_stores_them_at(serve: Serve, mode: str) -> None:
    server = serve()
    headers = {"X-API-TOKEN": "whatever"}
    for method in ("GET", "POST"):
        url = f"{server.url}/inference_{mode}"
        with requests.request(method, url, stream=True, headers=headers, timeout=10, **CALLS[mode]) as response:
            assert response.status_code == 200
            assert response.headers["Content-Type"] == "application/octet-stream"
            assert response.headers["X-Sample-Rate"] == "22050"
            assert response.headers["Transfer-Encoding"] == "chunked"
            samples = samples_of(response)
        assert len(samples) / 22_050 == pytest.approx(SECONDS_PER_CHARACTER * len(TEXT), abs=0.01)
        assert np.abs(samples).max() == pytest.approx(2**14, rel=0.02)
        spectrum = np.abs(np.fft.rfft(samples))
        assert np.argmax(spectrum) * 22_050 / len(samples) == pytest.approx(300.0, abs=2.0)


@pytest.mark.parametrize("mode", CALLS)
def test_each_path_asks_the_engine_for_its_mode(serve: Serve, mode: str) -> None:
    server = serve()
    assert requests.get(f"{server.url}/inference_{mode}", timeout=10, **CALLS[mode]).status_code == 200
    (asked,) = server.engine.requests
    assert (asked.text, asked.mode, asked.stream) == (TEXT, MODES[mode], True)
    if "files" in CALLS[mode]:
        assert asked.voice == InlineVoice(clip(), PROMPT_TEXT if mode == "zero_shot" else "")
    else:
        assert asked.voice == PRESET
    assert asked.instruction == (" ".join(INSTRUCTION.split()) if "instruct" in mode else "")


def test_fields_may_be_in_a_form_in_json_or_in_the_query(serve: Serve) -> None:
    url, fields = f"{serve().url}/inference_sft", {"tts_text": TEXT, "spk_id": "中文女"}
    answers = [
        requests.post(url, data=fields, timeout=10),
        requests.post(url, files={key: (None, value) for key, value in fields.items()}, timeout=10),
        requests.post(url, json={**fields, "speed": None, "unknown": [1]}, timeout=10),
        requests.get(url, params=fields, timeout=10),
        requests.post(url, params={**fields, "tts_text": "?"}, data={"tts_text": TEXT}, timeout=10),
    ]
    assert [answer.status_code for answer in answers] == [200] * 5
    assert len({answer.content for answer in answers}) == 1


def test_a_voice_is_found_whatever_its_case(serve: Serve) -> None:
    server = serve(voice_fallback=False)
    data = {"tts_text": TEXT, "spk_id": f" {PRESET.upper()} "}
    assert requests.post(f"{server.url}/inference_sft", data=data, timeout=10).status_code == 200
    assert server.engine.requests[0].voice == PRESET


def test_an_instruction_ends_at_its_mark(serve: Serve) -> None:
    server = serve()
    for instruction in ("Be glad.<|endofprompt|>", "Be  glad. <|endofprompt|>and this is text"):
        data = {"tts_text": TEXT, "spk_id": PRESET, "instruct_text": instruction}
        assert requests.get(f"{server.url}/inference_instruct", data=data, timeout=10).status_code == 200
    assert {asked.instruction for asked in server.engine.requests} == {"Be glad."}


def test_a_mark_in_the_text_divides_an_instruction_from_it(serve: Serve) -> None:
    server = serve()
    data = {"tts_text": f"Be glad. <|endofprompt|> {TEXT}", "spk_id": PRESET}
    requests.get(f"{server.url}/inference_sft", data=data, timeout=10)
    (asked,) = server.engine.requests
    assert (asked.text, asked.mode, asked.instruction) == (TEXT, Mode.INSTRUCT, "Be glad.")


def test_the_sample_sentence_of_a_cloning_page_is_no_transcript(serve: Serve) -> None:
    server = serve()
    sentence = "在一无所知中, 梦里的一天结束了，一个新的轮回便会开始"
    data = {"tts_text": TEXT, "prompt_text": sentence}
    requests.get(f"{server.url}/inference_zero_shot", data=data, files=prompt(), timeout=10)
    assert (server.engine.requests[0].mode, server.engine.requests[0].voice) == (
        Mode.CROSS_LINGUAL,
        InlineVoice(clip(), ""),
    )


@pytest.mark.parametrize(
    "part",
    [
        ("prompt_wav", clip(format="FLAC"), "audio/wav"),
        ("../../etc/passwd", clip(), ""),
        ("名.wav", clip(), "audio/wav"),
        ("x.pcm", clip()[44:], "audio/pcm"),
    ],
    ids=["flac", "path", "unicode", "pcm"],
)
def test_a_recording_is_known_by_its_content(serve: Serve, part: tuple[str, bytes, str]) -> None:
    server = serve()
    url = f"{server.url}/inference_cross_lingual"
    answer = requests.get(url, data={"tts_text": TEXT}, files={"prompt_wav": part}, timeout=10)
    assert answer.status_code == 200
    voice = server.engine.requests[0].voice
    assert isinstance(voice, InlineVoice)
    assert voice.audio in (part[1], clip())


def test_optional_fields_reach_the_engine(serve: Serve) -> None:
    server = serve()
    fields = {"speed": "2", "sample_rate": "16000", "seed": "5", "stream": "False"}
    data = {"tts_text": TEXT, "spk_id": PRESET, **fields}
    answer = requests.post(f"{server.url}/inference_sft", data=data, timeout=10)
    assert answer.headers["X-Sample-Rate"] == "16000"
    assert len(answer.content) / 2 / 16_000 == pytest.approx(SECONDS_PER_CHARACTER * len(TEXT) / 2, abs=0.01)
    asked = server.engine.requests[0]
    assert (asked.speed, asked.seed, asked.stream) == (2.0, 5, False)


def test_a_setting_chooses_the_models_own_rate(serve: Serve) -> None:
    server = serve(compute_nest_rate_hz=24000)
    answer = requests.get(f"{server.url}/inference_sft", timeout=10, **CALLS["sft"])
    assert answer.headers["X-Sample-Rate"] == "24000"
    assert len(answer.content) == 2 * round(24_000 * SECONDS_PER_CHARACTER * len(TEXT))


def test_audio_comes_while_it_is_made(serve: Serve) -> None:
    server = serve(FakeEngine(delay_s=0.05))
    url = f"{server.url}/inference_sft"
    with requests.get(url, data={"tts_text": TEXT * 5, "spk_id": PRESET}, stream=True, timeout=10) as response:
        pieces = response.iter_content(chunk_size=1000)
        assert next(pieces)
        assert server.engine.running == 1


def missing(field: str) -> dict[str, Any]:
    return {"detail": [{"type": "missing", "loc": ["body", field], "msg": "Field required", "input": None}]}


def form(**fields: str) -> dict[str, Any]:
    return {"data": {"tts_text": TEXT, "spk_id": PRESET} | fields}


def upload(data: bytes) -> dict[str, Any]:
    return {"data": {"tts_text": TEXT}, "files": prompt(data)}


def raw(body: bytes, media_type: str) -> dict[str, Any]:
    return {"data": body, "headers": {"Content-Type": media_type}}


NOT_UTF8 = (
    b'--b\r\nContent-Disposition: form-data; name="tts_text"\r\n\r\n\xc4\xe3\xba\xc3\r\n'
    b'--b\r\nContent-Disposition: form-data; name="spk_id"\r\n\r\nalex\r\n--b--\r\n'
)
BAD: dict[str, tuple[str, dict[str, Any], int, Any]] = {
    "nothing": ("sft", {}, 422, missing("tts_text")),
    "no text": ("sft", {"data": {"spk_id": PRESET}}, 422, missing("tts_text")),
    "empty text": ("sft", form(tts_text=""), 422, missing("tts_text")),
    "blank text": ("sft", form(tts_text=" \n"), 422, missing("tts_text")),
    "nothing after the mark": ("sft", form(tts_text="Be glad.<|endofprompt|> "), 422, "tts_text"),
    "no voice": ("sft", {"data": {"tts_text": TEXT}}, 422, missing("spk_id")),
    "unknown voice": ("sft", form(spk_id="x"), 400, f"unknown spk_id 'x'; available: ['{PRESET}']"),
    "voice like a path": ("sft", form(spk_id="../../etc/passwd"), 400, "unknown spk_id '../../etc/passwd'"),
    "no instruction": ("instruct", form(), 422, missing("instruct_text")),
    "instruction of a mark alone": ("instruct", form(instruct_text="<|endofprompt|>"), 422, missing("instruct_text")),
    "no recording": ("cross_lingual", form(), 422, missing("prompt_wav")),
    "empty recording": ("cross_lingual", upload(b""), 422, missing("prompt_wav")),
    "recording as text": ("cross_lingual", form(prompt_wav="data:audio/wav;base64,AAAA"), 422, "prompt_wav"),
    "no transcript": ("zero_shot", upload(clip()), 422, missing("prompt_text")),
    "text as a file": ("sft", {"files": {"tts_text": ("a.txt", b"Hello"), "spk_id": (None, PRESET)}}, 422, "tts_text"),
    "text as a number": ("sft", {"json": {"tts_text": 5, "spk_id": PRESET}}, 422, "tts_text"),
    "text as a list": ("sft", {"json": {"tts_text": [TEXT], "spk_id": PRESET}}, 422, "tts_text"),
    "text with half a character": (
        "sft",
        raw(b'{"tts_text": "a\\ud800", "spk_id": "alex"}', "application/json"),
        422,
        "tts_text",
    ),
    "voice with NUL": ("sft", form(spk_id="a\0b"), 422, "spk_id"),
    "speed as a word": ("sft", form(speed="fast"), 422, "speed"),
    "speed not a number": ("sft", form(speed="nan"), 422, "speed"),
    "speed too high": ("sft", form(speed="4.1"), 422, "speed"),
    "rate that is not offered": ("sft", form(sample_rate="12345"), 422, "sample_rate"),
    "seed below zero": ("sft", form(seed="-1"), 422, "seed"),
    "seed beyond bounds": ("sft", form(seed=str(2**63)), 422, "seed"),
    "stream as a word": ("sft", form(stream="perhaps"), 422, "stream"),
    "a long text": ("sft", form(tts_text="x" * 300_000), 413, "300000 characters"),
    "10 MB of text": ("sft", form(tts_text="x" * 10_000_000), 413, "characters"),
    "33 MB of text": ("sft", form(tts_text="x" * 33 * MIB), 413, "larger than 32 MiB"),
    "21 MB of recording": ("cross_lingual", upload(clip() + bytes(21 * MIB)), 413, "larger than 20 MiB"),
    "noise for a recording": ("cross_lingual", upload(np.random.default_rng(0).bytes(5000)), 400, "prompt_wav cannot"),
    "half a recording's head": ("cross_lingual", upload(clip()[:30]), 400, "prompt_wav cannot"),
    "silence": ("cross_lingual", upload(silence()), 400, "prompt_wav cannot"),
    "too short": ("cross_lingual", upload(clip(0.5)), 400, "prompt_wav cannot"),
    "five hours in a small file": ("cross_lingual", upload(bomb()), 400, "prompt_wav cannot"),
    "too long for a transcript": (
        "zero_shot",
        {"data": {"tts_text": TEXT, "prompt_text": PROMPT_TEXT}, "files": prompt(clip(31.0))},
        400,
        "prompt_wav cannot",
    ),
    "text in another charset": ("sft", raw(NOT_UTF8, "multipart/form-data; boundary=b"), 422, "tts_text"),
    "escapes in another charset": (
        "sft",
        raw(b"tts_text=%C4%E3&spk_id=alex", "application/x-www-form-urlencoded"),
        422,
        "body",
    ),
    "JSON in another charset": ("sft", raw(b'{"tts_text": "\xc4\xe3"}', "application/json"), 422, "body"),
    "broken JSON": ("sft", raw(b'{"tts_text": ', "application/json"), 422, "body"),
    "deep JSON": ("sft", raw(b"[" * 100_000, "application/json"), 422, "body"),
    "JSON that is no object": ("sft", {"json": ["x"]}, 422, "body"),
    "a body of no known kind": ("sft", raw(b"Hello", "text/plain"), 422, "body"),
    "multipart without end": (
        "sft",
        raw(b"--b\r\nContent-", "multipart/form-data; boundary=b"),
        422,
        missing("tts_text"),
    ),
    "multipart without boundary": ("sft", raw(NOT_UTF8, "multipart/form-data"), 422, "body"),
    "multipart of many parts": ("sft", {"files": {f"f{n}": (None, "x") for n in range(100)}}, 422, "body"),
    "unknown path": ("nothing", form(), 404, "Not Found"),
}


@pytest.fixture(scope="module")
def strict_server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One server for the whole table; none of it may reach the engine."""
    from tests.server.conftest import running
    from tests.server.fake import make_parts

    with make_parts(tmp_path_factory.mktemp("store"), voice_fallback=False) as parts, running(parts) as url:
        yield url, parts.engine


@pytest.mark.parametrize("case", BAD)
def test_a_bad_request_is_told_what_is_wrong(strict_server: Any, case: str) -> None:
    url, engine = strict_server
    mode, arguments, status, expected = BAD[case]
    answer = requests.post(f"{url}/inference_{mode}", timeout=30, **arguments)
    assert answer.status_code == status, answer.text
    detail = answer.json()["detail"]
    assert list(answer.json()) == ["detail"]
    if isinstance(expected, dict):
        assert answer.json() == expected
    elif status == 422:
        assert detail[0]["loc"][-1] == expected
        assert set(detail[0]) == {"type", "loc", "msg", "input"}
    else:
        assert expected in detail
    assert engine.requests == []


def test_a_wrong_or_missing_token_is_refused_and_the_right_one_let_in(serve: Serve) -> None:
    url = f"{serve(api_keys=['secret']).url}/inference_sft"
    for headers in ({}, {"X-API-TOKEN": "wrong"}):
        answer = requests.get(url, headers=headers, timeout=10, **CALLS["sft"])
        assert answer.status_code == 401
        assert answer.json() == {"detail": "Invalid or missing API token"}
    for headers in ({"X-API-TOKEN": "secret"}, {"Authorization": "bearer secret"}):
        assert requests.get(url, headers=headers, timeout=10, **CALLS["sft"]).status_code == 200


def test_another_method_is_refused(serve: Serve) -> None:
    answer = requests.put(f"{serve().url}/inference_sft", timeout=10, **CALLS["sft"])
    assert (answer.status_code, answer.json()) == (405, {"detail": "Method Not Allowed"})


def test_an_overloaded_engine_is_503_and_says_when_to_come_back(serve: Serve) -> None:
    server = serve(FakeEngine(error=OverloadedError("the engine is full", 3.2)))
    answer = requests.get(f"{server.url}/inference_sft", timeout=10, **CALLS["sft"])
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "4")
    assert answer.json() == {"detail": "the engine is full"}


def test_a_failure_halfway_cuts_the_connection(serve: Serve) -> None:
    server = serve(FakeEngine(error=RuntimeError("broken"), fail_at=3))
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        requests.get(f"{server.url}/inference_sft", timeout=10, **CALLS["sft"])


def test_a_failure_before_any_audio_is_500_without_details(serve: Serve) -> None:
    server = serve(FakeEngine(error=RuntimeError("secret path")))
    answer = requests.get(f"{server.url}/inference_sft", timeout=10, **CALLS["sft"])
    assert answer.status_code == 500
    assert "secret" not in json.dumps(answer.json())


def test_nothing_of_a_recording_sent_along_is_kept(serve: Serve, tmp_path: Path) -> None:
    server = serve()
    before = sorted(path.name for path in tmp_path.rglob("*"))
    requests.get(f"{server.url}/inference_cross_lingual", timeout=10, **CALLS["cross_lingual"])
    assert sorted(path.name for path in tmp_path.rglob("*")) == before
